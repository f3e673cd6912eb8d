"""Makes a small world of the shape of Kubernetes' promotion manifests: its projects, repositories, tags and destinations, with
generated images, and the staging repositories that they come from.

    promotion_tree.py TREE OUT DIGESTS STAGING PRODUCTION…

Writes a thin manifest directory to OUT, and the edges to OUT.edges, each as `host/repository:tag digest`.
"""

import collections, itertools, pathlib, re, sys

import yaml

from registry_content import Registry


def main():
    tree, out, digests, staging, *productions = sys.argv[1:]
    tree, out = pathlib.Path(tree), pathlib.Path(out)
    registry, edges = Registry(staging), {}
    projects = read(tree)
    chosen = choose(projects, int(digests))
    counts = collections.Counter()
    for project, registries, images in projects:
        source = next(it["name"] for it in registries if it.get("src"))
        moved = {it["name"]: move(it["name"], productions) for it in registries if not it.get("src")}
        moved[source] = f"{staging}/{source}"
        text = (tree / "manifests" / project / "promoter-manifest.yaml").read_text()
        # As it is written, but for the names.
        text = re.sub(r"(name: *)([\"']?)([^\s\"']+)\2", lambda found: found[1] + moved[found[3]], text)
        write(out / "manifests" / project / "promoter-manifest.yaml", text)
        lines = []
        for name, digest, tags in images:
            if (project, name, digest) not in chosen:
                continue
            seed = f"{project} {name} {digest}"
            repository = f"{source}/{name}"
            # Every seventh one has several platforms.
            made = registry.image(repository, seed) if counts["digests"] % 7 else registry.index(repository, seed)[0]
            counts["digests"] += 1
            quoted = ", ".join(f'"{tag}"' for tag in tags)
            lines.append(f'- name: {name}\n  dmap:\n    "{made["digest"]}": [{quoted}]')
            for destination, tag in itertools.product([it for it in moved if it != source], tags):
                edges[f"{moved[destination]}/{name}:{tag}"] = made["digest"]
        counts["projects"] += 1
        write(out / "images" / project / "images.yaml", "\n".join(lines) + "\n" if lines else "# nothing yet\n")
    pathlib.Path(f"{out}.edges").write_text("".join(f"{edge} {digest}\n" for edge, digest in edges.items()))
    print(f"{counts['projects']} projects, {counts['digests']} digests, {len(edges)} edges")


def read(tree):
    """Each project, its registries, and its images with their digests and tags."""
    projects = []
    for path in sorted(tree.glob("manifests/*/promoter-manifest.yaml")):
        project = path.parent.name
        registries = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)["registries"]
        images = yaml.load((tree / "images" / project / "images.yaml").read_text(), Loader=yaml.CSafeLoader) or []
        wishes = [(it["name"], digest, tags) for it in images for digest, tags in (it.get("dmap") or {}).items() if tags]
        projects.append((project, registries, wishes))
    return projects


def choose(projects, count):
    """Digests of every project in turn, those with several tags first."""
    queues = []
    for project, _, wishes in projects:
        by_image = collections.defaultdict(list)
        for name, digest, tags in sorted(wishes, key=lambda wish: (-len(wish[2]), wish)):
            by_image[name].append((project, name, digest))
        # One of each image before the second of any.
        queues.append([wish for rank in itertools.zip_longest(*by_image.values()) for wish in rank if wish])
    in_turn = (wish for rank in itertools.zip_longest(*queues) for wish in rank if wish)
    return set(itertools.islice(in_turn, count))


def move(name, productions):
    """A destination as a path of one of the registries that stand in for all."""
    region, _, path = name.partition("-docker.pkg.dev/")
    return f"{productions[sum(region.encode()) % len(productions)]}/{region}/{path}"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


main()
