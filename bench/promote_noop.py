"""promote-noop: a promotion of 40 images to eight registries when all is there already: the requests to each registry."""

import sys

from harness import Bench, built_portolan
from promotion_scene import DESTINATIONS, IMAGES, REPOSITORIES, Registry, Scene
from registry_copy import cost


def run(arguments):
    with Bench() as bench:
        portolan = built_portolan()
        scene = Scene(4096, 4096)
        source = Registry(bench, portolan, bench.dir / "source")
        scene.push(source.port)
        directories = [bench.dir / f"to{n}" for n in range(DESTINATIONS)]

        def promoted(flags, more):
            """Runs it with destinations that were just started, and returns the requests to them and to the source."""
            destinations = [Registry(bench, portolan, directory, *flags) for directory in directories]
            thin = scene.write_manifests(bench.dir / "thin", source.port, [it.port for it in destinations])
            before = source.counters()
            took, _, peak = cost(bench, [portolan, "promote", "--quiet", "--confirm", "--thin-manifest-dir", thin, *more])
            counters = [it.counters() for it in destinations]
            pings = sum(it[1] for it in counters)
            for destination in destinations:
                destination.stop()
            return sum(it[0] for it in counters) - pings, pings, source.counters()[0] - before[0], took, peak

        promoted([], ["--attachments", "none"])
        rows = []
        for listing, flags in (("tags/list and HEAD", []), ("extended listing", ["--google-listing"])):
            for attachments in ("none", "all"):
                rows.append((listing, attachments, *promoted(flags, ["--attachments", attachments])))
                print(rows[-1], file=sys.stderr)
        source.stop()
        return report(rows)


def report(rows):
    lines = [
        "| registries | --attachments | requests at the destinations | mark | GET /v2/ besides | requests at the source | seconds | peak resident MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    repositories = REPOSITORIES * DESTINATIONS
    edges = IMAGES * DESTINATIONS
    for listing, attachments, requests, pings, source, took, peak in rows:
        mark = {"extended listing": repositories, "tags/list and HEAD": repositories + edges}[listing] if attachments == "none" else "–"
        lines.append(f"| {listing} | {attachments} | {requests} | {mark} | {pings} | {source} | {took:.2f} | {peak:.0f} |")
    lines.append(f"\n{edges} edges in {repositories} repositories.")
    return "\n".join(lines)


def measurement(arguments):
    return f"{IMAGES} images that are at {DESTINATIONS} destinations"
