"""registry-blob: a big blob pushed and pulled by crane, and a small one pulled 64 times at once, beside docker-registry.

Needs docker-registry and curl (apt-get install docker-registry curl), crane, and twice the blob in the temporary
directory, which TMPDIR sets. Servers and clients are not pinned to cores.
"""

import hashlib, json, os, pathlib, random, shutil, statistics, subprocess, sys, tempfile, time

from harness import Bench, built_portolan, cpu_seconds, free_port, peak_mib, wait_for

MIB, GIB = 1 << 20, 1 << 30
SMALL, CLIENTS = 64 * MIB, 64
GIBS = 2
CRANE = "github.com/google/go-containerregistry/cmd/crane@v0.21.6"
PEER = "docker-registry"

PEER_CONFIG = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: "{storage}"}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


def found_crane():
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    found = shutil.which("crane") or next(iter(sorted(cache.glob("portolan/tools/*/crane"))), None)
    return found or sys.exit(f"crane is neither on PATH nor in {cache}/portolan/tools/*/: go install {CRANE}")


def check_debian_tools():
    missing = [tool for tool in (PEER, "curl") if not shutil.which(tool)]
    if missing:
        sys.exit(f"not on PATH: apt-get install {' '.join(missing)}")


def check_space(gib):
    """The blob is there twice: in the layout, and in the storage of the registry that runs. The small one takes the rest."""
    directory = tempfile.gettempdir()
    free, needed = shutil.disk_usage(directory).free / GIB, 2 * gib + 0.25
    if free < needed:
        sys.exit(f"{directory} has {free:.2f} GiB free, and --gib {gib} needs {needed:.2f} GiB: set TMPDIR to another directory, or ask for less")


def layout(directory, size):
    """An OCI layout of one image with one layer of `size` bytes that do not compress; returns the layer's digest."""
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True)
    layer, digest, draw = blobs / "layer", hashlib.sha256(), random.Random(size)
    with layer.open("wb") as file:
        for _ in range(size // MIB):
            chunk = draw.randbytes(MIB)
            digest.update(chunk)
            file.write(chunk)
    layer.rename(blobs / digest.hexdigest())
    layer = f"sha256:{digest.hexdigest()}"

    def added(kind, value):
        content = json.dumps(value).encode()
        name = hashlib.sha256(content).hexdigest()
        (blobs / name).write_bytes(content)
        return {"mediaType": f"application/vnd.oci.image.{kind}.v1+json", "digest": f"sha256:{name}", "size": len(content)}

    config = added("config", {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer]}})
    layers = [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": size}]
    manifest = added("manifest", {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": layers})
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return layer


class Registry:
    """A registry on an empty directory for the length of a `with` block."""

    def __init__(self, bench, name, portolan):
        self.bench, self.name, self.portolan = bench, name, portolan
        self.storage, self.log = bench.dir / "storage", bench.dir / "registry.log"

    def __enter__(self):
        self.storage.mkdir()
        self.port = free_port()
        command = [self.portolan, "registry", "serve", "--storage", f"file://{self.storage}", "--listen", f"127.0.0.1:{self.port}"]
        if self.name == PEER:
            config = self.bench.dir / "registry.yml"
            config.write_text(PEER_CONFIG.format(storage=self.storage, port=self.port))
            command = [PEER, "serve", config]
        with self.log.open("w") as log:
            self.process = self.bench.start(command, stderr=log)
        try:
            wait_for(self.port)
        except SystemExit as failure:
            self.fail(failure)
        return self

    def __exit__(self, *_):
        self.bench.stop(self.process)
        shutil.rmtree(self.storage)

    def fail(self, what):
        sys.exit(f"{what}\nThe end of the log of {self.name}:\n{self.log.read_text()[-4000:]}")

    def cost(self, work):
        """Seconds that `work` took, and CPU seconds of the registry meanwhile. Nothing that was written before is unwritten at its begin."""
        os.sync()
        cpu, begin = cpu_seconds([self.process.pid]), time.monotonic()
        work()
        return time.monotonic() - begin, cpu_seconds([self.process.pid]) - cpu

    def crane(self, crane, *arguments):
        environment = dict(os.environ, DOCKER_CONFIG=str(self.bench.dir))  # which holds no credentials
        done = subprocess.run([crane, *arguments, "--insecure"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode or "retrying" in done.stderr:
            self.fail(f"crane {arguments[0]} failed, or did not succeed at once:\n{done.stderr}")

    def push(self, crane, layout):
        self.crane(crane, "push", str(layout), f"127.0.0.1:{self.port}/bench/blob:v1")

    def pull(self, crane, digest):
        self.crane(crane, "blob", f"127.0.0.1:{self.port}/bench/blob@{digest}")

    def pull_at_once(self, digest):
        """CLIENTS pulls, each on a connection of its own. curl does not send the fragment, which only multiplies the URL."""
        url = f"http://127.0.0.1:{self.port}/v2/bench/blob/blobs/{digest}#[1-{CLIENTS}]"
        parallel = ["--parallel", "--parallel-immediate", "--parallel-max", str(CLIENTS)]
        report = ["--no-progress-meter", "--output", "/dev/null", "--write-out", "%{http_code} %{size_download} %{num_connects}\n"]
        done = subprocess.run(["curl", "-q", "--noproxy", "*", *parallel, *report, url], capture_output=True, text=True)
        if done.returncode or done.stdout.splitlines() != [f"200 {SMALL} 1"] * CLIENTS:
            self.fail(f"not every pull is right; their statuses, bytes and connections:\n{done.stdout}{done.stderr}")


def measured(bench, name, portolan, crane, gib, big, small):
    with Registry(bench, name, portolan) as registry:
        push, push_cpu = registry.cost(lambda: registry.push(crane, big[0]))
        pull, pull_cpu = registry.cost(lambda: registry.pull(crane, big[1]))
        peak = peak_mib([registry.process.pid])
    with Registry(bench, name, portolan) as registry:
        registry.push(crane, small[0])
        crowd, _ = registry.cost(lambda: registry.pull_at_once(small[1]))
        crowd_peak = peak_mib([registry.process.pid])
    return {
        "push": gib * 1024 / push,
        "pull": gib * 1024 / pull,
        "push_cpu": push_cpu / gib,
        "pull_cpu": pull_cpu / gib,
        "peak": peak,
        "crowd": CLIENTS * SMALL / MIB / crowd,
        "crowd_peak": crowd_peak,
    }


def report(runs):
    rows = [
        f"| server | push MiB/s | pull MiB/s | push CPU s/GiB | pull CPU s/GiB | peak resident MiB | {CLIENTS} pulls at once MiB/s | peak resident MiB, {CLIENTS} pulls |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, all in runs.items():
        run = {key: statistics.median(run[key] for run in all) for key in all[0]}
        peak, crowd_peak = (max(run[key] for run in all) for key in ("peak", "crowd_peak"))
        rows.append(f"| {name} | {run['push']:,.0f} | {run['pull']:,.0f} | {run['push_cpu']:.2f} | {run['pull_cpu']:.2f} | {peak:.0f} | {run['crowd']:,.0f} | {crowd_peak:.0f} |")
    rows += [f"\n| portolan / {PEER} | pair by pair | median |", "|---|---|---|"]
    compared = {"push": "push MiB/s", "pull": "pull MiB/s", "crowd": f"{CLIENTS} pulls at once MiB/s", "push_cpu": "push CPU", "pull_cpu": "pull CPU"}
    for key, label in compared.items():
        ratios = [ours[key] / peer[key] for peer, ours in zip(runs[PEER], runs["portolan"])]
        rows.append(f"| {label} | {', '.join(f'{r:.2f}' for r in ratios)} | {statistics.median(ratios):.2f} |")
    rows.append(f"\nPeaks are the highest of all pairs. Every one of the {CLIENTS} pulls at once, of a blob of {SMALL // MIB} MiB, got 200 and the whole content.")
    return "\n".join(rows)


def run(arguments):
    crane = found_crane()
    check_debian_tools()
    check_space(arguments.gib)
    with Bench() as bench:
        portolan = built_portolan()
        print(f"making a layer of {arguments.gib} GiB in {bench.dir}", file=sys.stderr)
        big, small = ((bench.dir / name, layout(bench.dir / name, size)) for name, size in (("big", arguments.gib * GIB), ("small", SMALL)))
        runs = {PEER: [], "portolan": []}
        for pair in range(arguments.pairs):
            for name in list(runs)[:: 1 if pair % 2 == 0 else -1]:  # who comes first takes turns
                run = measured(bench, name, portolan, crane, arguments.gib, big, small)
                runs[name].append(run)
                print(f"pair {pair + 1} {name}: {run}", file=sys.stderr)
        return report(runs)


def measurement(arguments):
    return f"{arguments.gib} GiB"
