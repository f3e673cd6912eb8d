"""What scenarios share: the binary, processes and their ports, and what a process has used."""

import os, pathlib, re, signal, socket, subprocess, sys, tempfile, time

ROOT = pathlib.Path(__file__).resolve().parent.parent
ENDINGS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


def built_portolan():
    if not os.environ.get("PORTOLAN"):
        subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
    return pathlib.Path(os.environ.get("PORTOLAN", ROOT / "target/release/portolan"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nothing listens on port {port}")


def children(pid):
    found = [pid]
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(stat.parent.name))
        except OSError:
            pass
    return found


def cpu_seconds(pids):
    ticks = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mib(pids, of="VmRSS"):
    kib = 0
    for pid in pids:
        kib += int(re.search(of + r":\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])
    return kib / 1024


def peak_mib(pids):
    return resident_mib(pids, "VmHWM")


class Bench:
    """A temporary directory and processes, which end with the `with` block, also when it is interrupted."""

    def __enter__(self):
        for ending in ENDINGS:
            if signal.getsignal(ending) is not signal.SIG_IGN:  # as under nohup
                signal.signal(ending, lambda number, _: sys.exit(128 + number))
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="portolan-bench-"))
        self.processes = []
        return self

    def start(self, command, core=None, **kwargs):
        pin = ["taskset", "-c", core] if core else []
        process = subprocess.Popen(pin + [str(part) for part in command], stdout=subprocess.DEVNULL, **kwargs)
        self.processes.append(process)
        return process

    def stop(self, process):
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.processes.remove(process)

    def __exit__(self, *_):
        for ending in ENDINGS:  # a second one does not interrupt this
            signal.signal(ending, signal.SIG_IGN)
        for process in reversed(self.processes[:]):
            self.stop(process)
        subprocess.run(["rm", "-rf", self.dir], check=True)
