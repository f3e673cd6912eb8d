"""promote-fanout: 40 images of 5 platforms, 2 GiB in all, from one registry to eight: `portolan promote` beside a loop of `crane copy` and beside `skopeo sync`.

The images are 8 repositories of 5 versions; the images of a platform share a base layer. All registries are `portolan registry
serve` on directories, and the destinations are empty each time. The source is throttled to 100 MB/s, and then not. Needs
crane, skopeo, and twenty gigabytes in the temporary directory, which TMPDIR sets.
"""

import os, shutil, subprocess, sys

from harness import Bench, built_portolan
from promotion_scene import DESTINATIONS, IMAGES, MIB, REPOSITORIES, VERSIONS, Registry, Scene, Throttle
from registry_blob import check_space, found_crane
from registry_copy import cost

RATE = 100_000_000
BASE, OWN = 32 * MIB, 9_900_000  # 5 base layers and 200 own ones: 2 GiB


def run(arguments):
    crane = found_crane()
    if not shutil.which("skopeo"):
        sys.exit("skopeo is missing: apt-get install skopeo")
    check_space(2 * (DESTINATIONS + 1) + 2)
    with Bench() as bench:
        portolan = built_portolan()
        scene = Scene(BASE, OWN)
        source = Registry(bench, portolan, bench.dir / "source")
        print(f"making {IMAGES} images in {bench.dir}", file=sys.stderr)
        scene.push(source.port)
        scene.tag(source.port)
        clients = {"portolan promote": promote, "crane copy": crane_loop(crane), "skopeo sync": skopeo_sync}
        rows = []
        for rate in (RATE, None):
            for name, client in clients.items():
                rows.append(measure(bench, portolan, scene, source, name, client, rate))
                print(rows[-1], file=sys.stderr)
        source.stop()
        return report(scene, rows)


def measure(bench, portolan, scene, source, name, client, rate):
    directories = [bench.dir / f"to{n}" for n in range(DESTINATIONS)]
    destinations = [Registry(bench, portolan, directory) for directory in directories]
    throttle = Throttle(source.port, rate) if rate else None
    port = throttle.port if throttle else source.port
    before = source.counters()
    took, cpu, peak = client(bench, portolan, scene, port, [it.port for it in destinations])
    read = source.counters()[2] - before[2]
    counters = [it.counters() for it in destinations]
    for destination in destinations:
        scene.check(destination.port)
        destination.stop()
    if throttle:
        throttle.close()
    for directory in directories:
        shutil.rmtree(directory)
    requests = sum(it[0] - it[1] for it in counters) / DESTINATIONS / IMAGES
    return name, rate, took, cpu, peak, read / sum(scene.blobs.values()), requests


def promote(bench, portolan, scene, source, ports):
    directory = scene.write_manifests(bench.dir / "thin", source, ports)
    return cost(bench, [portolan, "promote", "--quiet", "--confirm", "--thin-manifest-dir", directory])


def crane_loop(crane):
    """What people write: one copy after the other, each with all its platforms."""

    def loop(bench, _, scene, source, ports):
        script = bench.dir / "loop.sh"
        copies = [
            f"{crane} copy --insecure 127.0.0.1:{source}/bench/app{repository}:v{version} 127.0.0.1:{port}/prod/app{repository}:v{version}"
            for port in ports
            for repository in range(REPOSITORIES)
            for version in range(VERSIONS)
        ]
        script.write_text("set -e\n" + "\n".join(copies) + "\n")
        return cost(bench, ["sh", script])

    return loop


def skopeo_sync(bench, _, scene, source, ports):
    """One run a destination, with all platforms."""
    tags = ", ".join(f'"v{version}"' for version in range(VERSIONS))
    images = "\n".join(f"    bench/app{repository}: [{tags}]" for repository in range(REPOSITORIES))
    (bench.dir / "sync.yaml").write_text(f"127.0.0.1:{source}:\n  tls-verify: false\n  images:\n{images}\n")
    script = bench.dir / "sync.sh"
    sync = "skopeo sync --all --preserve-digests --dest-tls-verify=false --src yaml --dest docker"
    # It puts them under the last part of their name.
    lines = [f"{sync} {bench.dir}/sync.yaml 127.0.0.1:{port}/prod" for port in ports]
    script.write_text("set -e\n" + "\n".join(lines) + "\n")
    return cost(bench, ["sh", script])


def report(scene, rows):
    total = sum(scene.blobs.values())
    lines = [
        "| source | client | seconds | bytes read at the source / blobs | requests per image and destination | client's CPU s | client's peak resident MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, rate, took, cpu, peak, read, requests in rows:
        memory = f"{peak:.0f}" if name.startswith("portolan") else "–"
        lines.append(f"| {'100 MB/s' if rate else 'unthrottled'} | {name} | {took:.1f} | {read:.3f} | {requests:.1f} | {cpu:.1f} | {memory} |")
    for rate in (RATE, None):
        took = {row[0]: row[2] for row in rows if row[1] == rate}
        ours = took.pop("portolan promote")
        best = min(took, key=took.get)
        lines.append(f"\n{'Throttled' if rate else 'Unthrottled'}: {ours / took[best]:.2f} × the time of {best}.")
    lines.append(f"\n{len(scene.blobs)} blobs of {total / MIB:,.0f} MiB; what is read at the source has manifests in it. {versions()}")
    return "\n".join(lines)


def versions():
    first = lambda command: subprocess.run(command, capture_output=True, text=True).stdout.split("\n")[0]
    return f"crane {first([found_crane(), 'version'])}, {first(['skopeo', '--version'])}."


def measurement(arguments):
    return f"{IMAGES} images to {DESTINATIONS} destinations, one run each"
