"""registry-copy: an image with one big layer copied from registry to registry by `portolan promote` and by `crane copy`; then over a link that is cut ten times.

Both registries are `portolan registry serve` on a directory; the destination is empty each time. Needs crane, and three times
the blob in the temporary directory, which TMPDIR sets. Servers and clients are not pinned to cores.
"""

import os, shutil, socket, statistics, struct, subprocess, sys, threading, time

from harness import Bench, built_portolan, free_port, peak_mib, wait_for
from registry_blob import GIB, check_space, found_crane, layout

PEER = "crane copy"
CUTS = 10
GIBS = 1

MANIFEST = """
registries:
- name: 127.0.0.1:{source}/bench
  src: true
- name: 127.0.0.1:{to}/bench
images:
- name: blob
  dmap:
    "{digest}": [v1]
"""


class Link:
    """Passes on what comes to a port, counts it, and resets all its connections each time that so many bytes more have passed."""

    def __init__(self, to, every, cuts):
        self.to, self.every, self.left, self.passed, self.next = to, every, cuts, 0, every
        self.cuts, self.lock, self.open = 0, threading.Lock(), set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.to))
            for end in (client, server):
                # What a cut takes with it is to be that of the two ends.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.open |= {client, server}
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self.carry, args=ends, daemon=True).start()

    def carry(self, source, to):
        try:
            while piece := source.recv(64 << 10):
                self.count(len(piece))
                to.sendall(piece)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def count(self, length):
        with self.lock:
            self.passed += length
            if not self.left or self.passed < self.next:
                return
            self.left, self.next, self.cuts = self.left - 1, self.passed + self.every, self.cuts + 1
            for end in self.open:
                try:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    end.shutdown(socket.SHUT_RDWR)
                    end.close()
                except OSError:
                    pass
            self.open.clear()

    def close(self):
        self.listener.close()


class Served:
    """`portolan registry serve` on a directory for the length of a `with` block."""

    def __init__(self, bench, portolan, storage):
        self.bench, self.portolan, self.storage = bench, portolan, storage

    def __enter__(self):
        self.port = free_port()
        log = (self.bench.dir / "registry.log").open("a")
        command = [self.portolan, "registry", "serve", "--storage", f"file://{self.storage}", "--listen", f"127.0.0.1:{self.port}"]
        self.process = self.bench.start(command, stderr=log)
        wait_for(self.port)
        return self

    def __exit__(self, *_):
        self.bench.stop(self.process)


def cost(bench, command):
    """Seconds, CPU seconds and peak MiB of a client that ends well."""
    os.sync()
    log = bench.dir / "client.log"
    begin = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=dict(os.environ, DOCKER_CONFIG=str(bench.dir)))
        peak = 0
        # The peak memory of wait4 includes that of this process before exec.
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            try:
                peak = max(peak, peak_mib([process.pid]))
            except (OSError, TypeError):
                pass  # it has just ended
            time.sleep(0.01)
        _, status, used = ended
    took = time.monotonic() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command} failed:\n{log.read_text()[-4000:]}")
    return took, used.ru_utime + used.ru_stime, peak


def promote(bench, portolan, source, to, digest):
    manifest = bench.dir / "manifest.yaml"
    manifest.write_text(MANIFEST.format(source=source, to=to, digest=digest))
    return [portolan, "promote", "--quiet", "--confirm", "--manifest", manifest]


def run(arguments):
    crane = found_crane()
    check_space(2 * arguments.gib)
    with Bench() as bench:
        portolan = built_portolan()
        print(f"making a layer of {arguments.gib} GiB in {bench.dir}", file=sys.stderr)
        layout(bench.dir / "layout", arguments.gib * GIB)
        runs = {PEER: [], "portolan promote": []}
        with Served(bench, portolan, bench.dir / "source") as source:
            name = f"127.0.0.1:{source.port}/bench/blob:v1"
            subprocess.run([crane, "push", bench.dir / "layout", name, "--insecure"], check=True, capture_output=True)
            digest = subprocess.run([crane, "digest", name, "--insecure"], check=True, capture_output=True, text=True).stdout.strip()

            def copied(command):
                storage = bench.dir / "to"
                with Served(bench, portolan, storage) as to:
                    used = cost(bench, command(to.port))
                    subprocess.run([crane, "manifest", f"127.0.0.1:{to.port}/bench/blob:v1", "--insecure"], check=True, capture_output=True)
                shutil.rmtree(storage)
                return used

            commands = {
                PEER: lambda to: [crane, "copy", "--insecure", name, f"127.0.0.1:{to}/bench/blob:v1"],
                "portolan promote": lambda to: promote(bench, portolan, source.port, to, digest),
            }
            for pair in range(arguments.pairs):
                for client in list(runs)[:: 1 if pair % 2 == 0 else -1]:  # who comes first takes turns
                    used = copied(commands[client])
                    runs[client].append(used)
                    print(f"pair {pair + 1} {client}: {used}", file=sys.stderr)
            cuts = [cut_copy(bench, portolan, source.port, digest, arguments.gib, side) for side in ("source", "destination")]
        return report(arguments.gib, runs, cuts)


def cut_copy(bench, portolan, source, digest, gib, side):
    """A copy whose link to one side is cut; returns what passed over it, as a share of the blob."""
    storage = bench.dir / "to"
    with Served(bench, portolan, storage) as to:
        link = Link(source if side == "source" else to.port, gib * GIB // (CUTS + 1), CUTS)
        ports = (link.port, to.port) if side == "source" else (source, link.port)
        cost(bench, promote(bench, portolan, *ports, digest))
        link.close()
    shutil.rmtree(storage)
    return side, link.cuts, link.passed / (gib * GIB)


def report(gib, runs, cuts):
    rows = ["| client | MiB/s | CPU s/GiB | peak resident MiB |", "|---|---|---|---|"]
    for client, all in runs.items():
        took, cpu, _ = (statistics.median(run[at] for run in all) for at in range(3))
        rows.append(f"| {client} | {gib * 1024 / took:,.0f} | {cpu / gib:.2f} | {max(run[2] for run in all):.0f} |")
    ratios = [peer[0] / ours[0] for peer, ours in zip(runs[PEER], runs["portolan promote"])]
    rows.append(f"\nportolan promote / {PEER}, MiB/s pair by pair: {', '.join(f'{r:.2f}' for r in ratios)}; median {statistics.median(ratios):.2f}. Peaks are the highest of all pairs.\n")
    for side, count, share in cuts:
        rows.append(f"With the link to the {side} cut {count} times, {share:.3f} × the blob passed over it.")
    return "\n".join(rows)


def measurement(arguments):
    return f"{arguments.gib} GiB"
