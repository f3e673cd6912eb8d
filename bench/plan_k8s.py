"""plan-k8s: parse and edges of the real tree of Kubernetes' promotion manifests, beside a short Python script with libyaml.

Needs the tree in PORTOLAN_DATA (default ../shared/data) and python3-yaml of Debian, with libyaml.
"""

import os, pathlib, statistics, subprocess, sys

from harness import ROOT, Bench
from registry_copy import cost

PEER = "Python with libyaml"

SCRIPT = '''
import collections, pathlib, sys, yaml
tree = pathlib.Path(sys.argv[1])
load = lambda path: yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
edges, conflicts = {}, 0
for path in sorted(tree.glob("manifests/*/promoter-manifest.yaml")):
    registries = load(path)["registries"]
    images = load(tree / "images" / path.parent.name / "images.yaml") or []
    destinations = [registry["name"] for registry in registries if not registry.get("src")]
    for image in images:
        for digest, tags in (image.get("dmap") or {}).items():
            for destination in destinations:
                for tag in tags or [None]:
                    key = f"{destination}/{image['name']}", tag
                    if edges.setdefault(key, digest) != digest and tag:
                        conflicts += 1
print(len(edges), conflicts)
'''


def run(arguments):
    data = pathlib.Path(os.environ.get("PORTOLAN_DATA", ROOT / "../shared/data"))
    tree = data / "k8s.io/registry.k8s.io"
    if not tree.is_dir():
        sys.exit(f"{tree} is not there; set PORTOLAN_DATA")
    python = "/usr/bin/python3"  # which has Debian's packages
    if subprocess.run([python, "-c", "import yaml; yaml.CSafeLoader"], capture_output=True).returncode:
        sys.exit("libyaml for Python is missing: apt-get install python3-yaml")
    subprocess.run(["cargo", "build", "--release", "--quiet", "-p", "promotion-manifest", "--example", "edges"], cwd=ROOT, check=True)
    ours = ROOT / "target/release/examples/edges"
    with Bench() as bench:
        script = bench.dir / "edges.py"
        script.write_text(SCRIPT)
        commands = {PEER: [python, script, tree], "portolan": [ours, tree]}
        runs = {name: [] for name in commands}
        for pair in range(arguments.pairs):
            for name in list(runs)[:: 1 if pair % 2 == 0 else -1]:
                runs[name].append(cost(bench, commands[name]))
                said = (bench.dir / "client.log").read_text().strip()
                print(f"pair {pair + 1} {name}: {runs[name][-1]}: {said}", file=sys.stderr)
    return report(runs, said)


def report(runs, said):
    rows = ["| program | CPU s | seconds | peak resident MiB |", "|---|---|---|---|"]
    for name, all in runs.items():
        took, cpu, _ = (statistics.median(run[at] for run in all) for at in range(3))
        rows.append(f"| {name} | {cpu:.3f} | {took:.3f} | {max(run[2] for run in all):.0f} |")
    ratios = [ours[1] / peer[1] for peer, ours in zip(runs[PEER], runs["portolan"])]
    rows.append(f"\nportolan / {PEER}, CPU pair by pair: {', '.join(f'{r:.3f}' for r in ratios)}; median {statistics.median(ratios):.3f}. The whole process: reading the files, parsing, edges, counting.")
    return "\n".join(rows)


def measurement(arguments):
    return "one process each"
