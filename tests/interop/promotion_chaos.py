"""Rounds of promotions through registries that fail at random, each followed by a run without faults. See promotion-chaos.sh."""

import asyncio, collections, http.client, json, pathlib, random, re, signal, sys, threading, time

from fault_proxy import Plan, Proxy
from registry_content import CONFIG, EMPTY, INDEX, LAYER, MANIFEST, Registry, digest_of

DOCKER = "application/vnd.docker."
FOREIGN = DOCKER + "image.rootfs.foreign.diff.tar.gzip"
ACCEPT = ", ".join([INDEX, MANIFEST, DOCKER + "distribution.manifest.v2+json", DOCKER + "distribution.manifest.list.v2+json"])
HOLDS = {"present", "copied", "tagged", "attached"}
# The --deadline of a run with faults, in seconds, and how much later it must have ended.
DEADLINE, STUCK = 8, 20
DIGEST_TAG = re.compile(r"sha256-([0-9a-f]{64})(\..*)?")


# The content.


def image(registry, repository, seed, layers, config=b"", config_type=CONFIG, media_type=MANIFEST):
    """Pushes an image with these layers (content or descriptors, and a media type); its descriptor."""
    layers = [it if isinstance(it, dict) else registry.blob(repository, *it) for it in layers]
    config = registry.blob(repository, config or json.dumps({"architecture": "amd64", "os": "linux", "seed": seed}).encode(), config_type)
    return registry.manifest(repository, {"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers})


def index(registry, repository, children):
    platforms = [{"architecture": it, "os": "linux"} for it in ("amd64", "arm64", "s390x")]
    entries = [{**child, "platform": platform} for child, platform in zip(children, platforms)]
    return registry.manifest(repository, {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})


def noise(seed, size=600):
    return random.Random(seed).randbytes(size)


def content(registry):
    """Pushes thirty images; yields repository, descriptor and whether it has attachments."""
    for number in range(8):
        yield f"app{number % 4}", registry.image(f"team/app{number % 4}", f"single {number}", layers=1 + number % 3), number == 1
    for number in range(4):
        yield f"app{number}", registry.index(f"team/app{number}", f"index {number}")[0], number < 2
    # Two indexes with a child in common, three times, and an index of indexes.
    for number in range(3):
        name = f"team/multi{number}"
        one, two, three = (registry.image(name, f"child {at} of {number}") for at in range(3))
        first, second = index(registry, name, [one, two]), index(registry, name, [two, three])
        yield f"multi{number}", first, number == 0
        yield f"multi{number}", second, number == 0
    yield "multi2", index(registry, name, [first, second]), False
    for number in range(2):
        chart = (noise(f"chart {number}"), "application/vnd.cncf.helm.chart.content.v1.tar+gzip")
        config = json.dumps({"name": f"hello{number}", "version": "0.1.0"}).encode()
        name = f"charts/hello{number}"
        yield name, image(registry, f"team/{name}", number, [chart], config, "application/vnd.cncf.helm.config.v1+json"), number == 0
    yield "artifacts", image(registry, "team/artifacts", 0, [(b"an artifact", "text/plain")], b"{}", EMPTY), True
    foreign = {"mediaType": FOREIGN, "digest": digest_of(b"elsewhere"), "size": 9, "urls": ["https://registry.example/layer"]}
    docker = DOCKER + "container.image.v1+json", DOCKER + "distribution.manifest.v2+json"
    layer = DOCKER + "image.rootfs.diff.tar.gzip"
    for number in range(2):
        yield "windows", image(registry, "team/windows", number, [foreign, (noise(f"windows {number}"), layer)], b"", *docker), False
    for number in range(2):
        yield "docker", image(registry, "team/docker", number, [(noise(f"docker {number}"), layer)], b"", *docker), number == 0
    for number in range(2):
        same = (noise(f"twice {number}"), LAYER)
        yield "odd", image(registry, "team/odd", number, [same, (b"\0" * 1024, LAYER), same]), False
    # More than goes in one request.
    yield "odd", image(registry, "team/odd", 2, [(noise("big", 5 << 20), LAYER)]), False
    yield "odd", image(registry, "team/odd", 3, []), False


def attach(registry, repository, subject):
    registry.signature(repository, subject, "builder")
    bill = registry.referrer(repository, subject, "application/spdx+json")
    registry.referrer(repository, subject, "application/vnd.example.scan")
    registry.signature(repository, bill, "auditor")


class Manifests:
    """The promotion manifests: their images and edges."""

    def __init__(self, registry):
        self.edges, self.images = [], collections.defaultdict(dict)
        for number, (name, descriptor, attached) in enumerate(content(registry)):
            if attached:
                attach(registry, f"team/{name}", descriptor)
            tags = [f"v{number}", f"stable-{number}"][: 1 + (number % 3 == 0)] if number % 10 != 9 else []
            self.images[name][descriptor["digest"]] = tags
            self.edges += [(name, descriptor["digest"], tag) for tag in tags or [None]]
        # Tags that are on another digest at every destination.
        self.moves = [(name, next(iter(self.images[name])), "pinned") for name in ("app0", "multi1", "odd")]
        self.tags = {(name, tag): digest for name, digest, tag in self.edges}

    def write(self, thin, source, destinations):
        """Writes the thin manifest directory."""
        moves = {name: {digest: [tag]} for name, digest, tag in self.moves}
        registries = [{"name": f"{source}/team", "src": True}, *({"name": it} for it in destinations)]
        for project, images in (("team", self.images), ("moves", moves)):
            for kind, file, value in (
                ("images", "images.yaml", [{"name": name, "dmap": dmap} for name, dmap in images.items()]),
                ("manifests", "promoter-manifest.yaml", {"registries": registries}),
            ):
                path = thin / kind / project / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(value, indent=1))  # which is YAML


# What the registries hold, read directly and not through the proxy.


class Reader:
    """Reads a registry, from several threads."""

    def __init__(self, name, host):
        self.name, self.host, self.local = name, host, threading.local()
        self.complete = set()

    def get(self, path, method="GET"):
        for last in (False, False, False, True):
            try:
                if not hasattr(self.local, "connection"):
                    self.local.connection = http.client.HTTPConnection(self.host, timeout=30)
                self.local.connection.request(method, path, headers={"Accept": ACCEPT})
                response = self.local.connection.getresponse()
                status, headers, body = response.status, response.headers, response.read()
                # Distribution does not write atomically: while something is written again, reading it may be a 500.
                if status < 500 or last:
                    return status, headers, body
            except (http.client.HTTPException, OSError):
                del self.local.connection
                if last:
                    raise
            time.sleep(0.05)

    def tags(self, repository):
        status, _, body = self.get(f"/v2/{repository}/tags/list?n=1000")
        return sorted(json.loads(body).get("tags") or []) if status == 200 else []

    def digest(self, repository, tag):
        status, _, body = self.get(f"/v2/{repository}/manifests/{tag}")
        return digest_of(body) if status == 200 else f"status {status}"

    def referrers(self, repository, digest):
        status, _, body = self.get(f"/v2/{repository}/referrers/{digest}")
        listed = json.loads(body)["manifests"] if status == 200 else []
        return sorted(it["digest"] for it in listed)

    def faults(self, repository, digest, whole=False):
        """What is missing below a manifest; with `whole`, blobs are read and verified."""
        known = (repository, digest, whole)
        if known in self.complete:
            return []
        status, _, body = self.get(f"/v2/{repository}/manifests/{digest}")
        if status != 200 or digest_of(body) != digest:
            return [f"{self.name} {repository}@{digest}: {status}, {digest_of(body)}"]
        faults = self.faults_below(repository, body, whole)
        if not faults:
            self.complete.add(known)
        return faults

    def faults_below(self, repository, manifest, whole=False):
        manifest = json.loads(manifest)
        if "manifests" in manifest:
            return [fault for it in manifest["manifests"] for fault in self.faults(repository, it["digest"], whole)]
        blobs = [it for it in [manifest["config"], *manifest["layers"]] if it["mediaType"] != FOREIGN]
        return [fault for it in blobs for fault in self.blob_faults(repository, it, whole)]

    def blob_faults(self, repository, blob, whole):
        status, headers, body = self.get(f"/v2/{repository}/blobs/{blob['digest']}", "GET" if whole else "HEAD")
        right = digest_of(body) == blob["digest"] if whole else int(headers["Content-Length"] or 0) == blob["size"]
        return [] if status == 200 and right else [f"{self.name} {repository} blob {blob['digest']}: {status}, {len(body)} bytes"]


def holding(reader, prefix, manifests):
    """Tags and referrers of the images at a registry, and the faults of their content."""
    held, faults = {}, []
    for name, images in manifests.images.items():
        repository = f"{prefix}/{name}"
        found = {tag: reader.digest(repository, tag) for tag in reader.tags(repository) if tag != "pinned"}
        for tag, digest in found.items():
            faults += reader.faults(repository, digest, whole=True)
            fallback = DIGEST_TAG.fullmatch(tag)
            if fallback and not fallback.group(2):
                _, _, body = reader.get(f"/v2/{repository}/manifests/{tag}")
                digest = " ".join(sorted(it["digest"] for it in json.loads(body)["manifests"]))
            held[f"{name}:{tag}"] = digest
        for digest in images:
            faults += reader.faults(repository, digest, whole=True)
            for referrer in reader.referrers(repository, digest):
                faults += reader.faults(repository, referrer, whole=True)
                held[f"{name} {referrer} refers to"] = digest
    return held, faults


def tag_faults(reader, prefix, manifests, placed):
    """Tags at a registry that are wrong or incomplete. Missing ones are no faults."""
    faults = []
    for name in manifests.images:
        repository = f"{prefix}/{name}"
        for tag in reader.tags(repository):
            digest = reader.digest(repository, tag)
            wanted = placed[reader.name, name] if tag == "pinned" else manifests.tags.get((name, tag), digest)
            if digest != wanted:
                faults.append(f"{reader.name} {repository}:{tag} is on {digest}, not {wanted}")
            if not DIGEST_TAG.fullmatch(tag) and tag != "pinned" and (name, tag) not in manifests.tags:
                faults.append(f"{reader.name} {repository}:{tag}: no manifest requests this tag")
            faults += reader.faults(repository, digest)
    return faults


# The rounds.


class Chaos:
    def __init__(self, portolan, work, staging, registries):
        self.portolan, self.work = portolan, work
        self.readers = {name: Reader(name, host) for name, host in registries.items()}
        self.count, self.violations, self.prefix = collections.Counter(), [], None
        self.source = Proxy("staging", staging, self.before_write, self.violations.append, self.count)
        self.proxies = {name: Proxy(name, host, self.before_write, self.violations.append, self.count) for name, host in registries.items()}
        self.manifests = Manifests(Registry(staging))
        self.thin = work / "thin"

    async def before_write(self, name, request):
        """Checks a write before it is forwarded: everything below a tag must be there, and the tag must be right."""
        try:
            self.violations += await asyncio.to_thread(self.judge, name, request)
        except Exception as error:
            self.violations.append(f"{name} {request.method} {request.target}: {error!r}")

    def judge(self, name, request):
        write = f"{name}: {request.method} {request.path}"
        if request.method == "DELETE":
            return [] if request.session else [f"{write}: nothing may be deleted"]
        if name == "staging":
            return [f"{write}: nothing may be written to the source"]
        if ":" in request.rest:
            return []
        faults = [f"{write} before {it}" for it in self.readers[name].faults_below(request.repository, request.body)]
        image = request.repository.removeprefix(f"{self.prefix}/")
        wanted = self.manifests.tags.get((image, request.rest))
        if wanted and wanted != digest_of(request.body):
            faults.append(f"{write} is {digest_of(request.body)}, not {wanted}")
        # Portolan's registry itself refuses a conditional write.
        if request.rest == "pinned" and (name != "portolan" or not request.header("if-none-match")):
            faults.append(f"{write} overwrites a tag")
        return faults

    def write_manifests(self, prefix):
        self.prefix = f"{prefix}/images"
        destinations = [f"{it.address}/{self.prefix}" for it in self.proxies.values()]
        self.manifests.write(self.thin, self.source.address, destinations)

    async def promote(self, log, project, seconds=60, kill=None):
        """Runs it, perhaps kills it; its exit code, and its report if there is one."""
        report = log.with_suffix(".json")
        command = [self.portolan, "promote", "--thin-manifest-dir", self.thin, "--confirm", "--all", "--report", report]
        command += ["--deadline", f"{seconds}s", "--project", project]
        with open(log.with_suffix(".out"), "wb") as out, open(log.with_suffix(".err"), "wb") as err:
            process = await asyncio.create_subprocess_exec(*command, stdout=out, stderr=err)
        try:
            if kill:
                await asyncio.wait_for(process.wait(), kill[0])
            await asyncio.wait_for(process.wait(), seconds + STUCK)
        except asyncio.TimeoutError:
            process.send_signal(kill[1] if kill else signal.SIGKILL)
            await process.wait()
            if not kill:
                self.violations.append(f"{log.name}: it did not end {STUCK} s after its deadline")
        while any(it.active for it in (self.source, *self.proxies.values())):
            await asyncio.sleep(0.01)
        if process.returncode not in (0, 1, -signal.SIGKILL):
            self.violations.append(f"{log.name}: it ended with {process.returncode}")
        if "panicked" in log.with_suffix(".err").read_text():
            self.violations.append(f"{log.name}: it panicked")
        return process.returncode, json.loads(report.read_text()) if report.exists() else None

    def false_outcomes(self, report):
        """Edges that hold according to the report, but not at the registry."""
        readers = {it.address: self.readers[name] for name, it in self.proxies.items()}
        for edge in report["outcomes"]:
            if edge["outcome"] not in HOLDS:
                continue
            host, _, path = edge["destination"].partition("/")
            reader, repository = readers[host], f"{path}/{edge['repository']}"
            faults = reader.faults(repository, edge["digest"])
            if edge["tag"] and (found := reader.digest(repository, edge["tag"])) != edge["digest"]:
                faults.append(f"it is on {found}")
            yield from (f"reported as {edge['outcome']}: {reader.name} {repository}:{edge['tag']}: {it}" for it in faults)

    def differences(self):
        """The differences to what a run without faults wrote."""
        faults = []
        for name, reader in self.readers.items():
            held, wrong = holding(reader, self.prefix, self.manifests)
            faults += wrong
            for key in sorted(held.keys() | self.expected[name].keys()):
                if held.get(key) != self.expected[name].get(key):
                    faults.append(f"{name} {key}: {held.get(key)}, undisturbed {self.expected[name].get(key)}")
        return faults

    async def undisturbed(self):
        for proxy in (self.source, *self.proxies.values()):
            await proxy.listen()
        self.write_manifests("undisturbed")
        begin = time.monotonic()
        code, report = await self.promote(self.work / "undisturbed", "team")
        self.duration = time.monotonic() - begin
        self.expected = {name: holding(reader, self.prefix, self.manifests) for name, reader in self.readers.items()}
        wrong = [fault for _, faults in self.expected.values() for fault in faults]
        self.expected = {name: held for name, (held, _) in self.expected.items()}
        if code != 0 or wrong or self.violations:
            raise SystemExit(f"undisturbed, it ends with {code}: {wrong} {self.violations} {report and report['summary']}")
        print(f"    undisturbed: {len(self.manifests.edges)} edges at each of {len(self.readers)} registries, {self.duration:.1f} s, {self.count['requests']} requests", flush=True)

    def place(self):
        """Pushes the tags that must not move."""
        placed = {}
        for reader in self.readers.values():
            for name, _, tag in self.manifests.moves:
                registry, repository = Registry(reader.host), f"{self.prefix}/{name}"
                descriptor = image(registry, repository, "pinned", [(b"pinned " + name.encode(), LAYER)])
                _, _, body = reader.get(f"/v2/{repository}/manifests/{descriptor['digest']}")
                registry.ask("PUT", f"/v2/{repository}/manifests/{tag}", body, {"Content-Type": MANIFEST})
                placed[reader.name, name] = descriptor["digest"]
        return placed

    async def round(self, seed):
        choice = random.Random(seed)
        self.count.clear()
        self.write_manifests(f"round{seed}")
        placed = await asyncio.to_thread(self.place)
        faults, ends, log = [], [], self.work / f"round{seed}"
        for number in range(choice.choice([1, 2, 2, 3])):
            for proxy in (self.source, *self.proxies.values()):
                proxy.plan = Plan(f"{seed} {number}", proxy.name)
            kill = choice.random() < 0.5 and (choice.random() * 2 * self.duration, choice.choice([signal.SIGKILL] * 3 + [signal.SIGTERM]))
            project = choice.choice(["team", "*"])
            run = log.with_name(f"{log.name}-{number}")
            habits = {it.name: it.plan.habits for it in (self.source, *self.proxies.values())}
            run.with_suffix(".plan").write_text(json.dumps({"project": project, "kill": kill and kill[0], "habits": habits}))
            code, report = await self.promote(run, project, DEADLINE, kill)
            ends.append(f"{'killed' if code < 0 else code}")
            faults += [f"{run.name}: {it}" for it in await asyncio.to_thread(self.after, code, report, project, placed)]
        for proxy in (self.source, *self.proxies.values()):
            proxy.plan = None
        disturbed = dict(self.count)
        code, report = await self.promote(log.with_name(f"{log.name}-clean"), "team")
        if code != 0:
            faults.append(f"the clean run ends with {code}: {report and report['summary']}")
        faults += await asyncio.to_thread(self.differences)
        code, report = await self.promote(log.with_name(f"{log.name}-moves"), "*")
        summary = report["summary"]
        if (code, summary["refused"], summary["failed"]) != (1, len(placed), 0):
            faults.append(f"tags on other digests: exit {code}, {summary}")
        faults += await asyncio.to_thread(self.after, code, report, "*", placed)
        faults += self.violations
        self.violations.clear()
        befell = ", ".join(f"{name} {count}" for name, count in sorted(disturbed.items()) if name not in ("faults", "requests"))
        log.with_suffix(".faults").write_text(befell)
        print(f"    seed {seed}: ended {', '.join(ends)} after {disturbed.get('faults', 0)} faults in {disturbed.get('requests', 0)} requests; then {'equal' if not faults else 'WRONG'}", flush=True)
        for fault in faults[:40]:
            print(f"        {fault}", flush=True)
        return not faults

    def after(self, code, report, project, placed):
        """The faults after a run."""
        faults = [it for reader in self.readers.values() for it in tag_faults(reader, self.prefix, self.manifests, placed)]
        if code == 0:
            faults += [f"exit 0, but {it}" for it in self.differences()]
            if project == "*":
                faults.append("exit 0 with tags on other digests")
        return faults + list(self.false_outcomes(report) if report else [])


async def main(portolan, work, seed, rounds, staging, *registries):
    chaos = Chaos(portolan, pathlib.Path(work), staging, dict(it.split("=") for it in registries))
    await chaos.undisturbed()
    good = [await chaos.round(int(seed) + number) for number in range(int(rounds))]
    if not all(good):
        raise SystemExit(f"{good.count(False)} of {rounds} rounds went wrong")


asyncio.run(main(*sys.argv[1:]))
