"""What the scenarios of promotion share: 40 images of 5 platforms at a source, 8 destinations, and the requests to each."""

import concurrent.futures, hashlib, http.client, json, os, pathlib, re, socket, threading, time, urllib.request

from harness import free_port, wait_for

REPOSITORIES, VERSIONS, PLATFORMS, DESTINATIONS = 8, 5, 5, 8
IMAGES = REPOSITORIES * VERSIONS
MIB = 1 << 20
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ARCHITECTURES = ["amd64", "arm64", "arm", "ppc64le", "s390x"]


class Registry:
    """`portolan registry serve` on a directory, with its metrics."""

    def __init__(self, bench, portolan, storage, *flags):
        self.bench, self.storage = bench, storage
        self.port, self.admin = free_port(), free_port()
        log = (bench.dir / "registries.log").open("a")
        listen = ["--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin}"]
        command = [portolan, "registry", "serve", "--storage", f"file://{storage}", *listen, *flags]
        self.process = bench.start(command, stderr=log)
        wait_for(self.port)
        wait_for(self.admin)

    def stop(self):
        self.bench.stop(self.process)

    def counters(self):
        """Requests, those of GET /v2/, and bytes sent and received, since it was started."""
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics").read().decode()
        requests = {}
        for operation, count in re.findall(r'^portolan_registry_requests_total\{operation="([^"]*)"[^}]*\} (\d+)$', text, re.M):
            requests[operation] = requests.get(operation, 0) + int(count)
        of = lambda name: int(re.search(rf"^portolan_registry_{name}_total (\d+)$", text, re.M)[1])
        return sum(requests.values()), requests.get("ping", 0), of("sent_bytes"), of("received_bytes")


class Scene:
    """The content of the source: base layers that the images of a platform share, and each image's own layers."""

    def __init__(self, base_bytes, own_bytes):
        self.base_bytes, self.own_bytes = base_bytes, own_bytes
        self.digests, self.blobs = {}, {}

    def push(self, port):
        bases = [os.urandom(self.base_bytes) for _ in range(PLATFORMS)]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for repository in range(REPOSITORIES):
                name = f"bench/app{repository}"
                wire = lambda blob: self.put_blob(port, name, blob)
                list(pool.map(wire, bases))
                for version in range(VERSIONS):
                    own = [os.urandom(self.own_bytes) for _ in range(PLATFORMS)]
                    list(pool.map(wire, own))
                    self.digests[repository, version] = self.put_image(port, name, list(zip(bases, own)))

    def put_image(self, port, name, platforms):
        entries = []
        for architecture, layers in zip(ARCHITECTURES, platforms):
            layers = [(f"sha256:{hashlib.sha256(layer).hexdigest()}", len(layer)) for layer in layers]
            config = json.dumps({"architecture": architecture, "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [layer[0] for layer in layers]}}).encode()
            config = self.put_blob(port, name, config), len(config)
            descriptor = lambda kind, it: {"mediaType": f"application/vnd.oci.image.{kind}", "digest": it[0], "size": it[1]}
            manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor("config.v1+json", config), "layers": [descriptor("layer.v1.tar", layer) for layer in layers]}
            digest, size = self.put_manifest(port, name, MANIFEST, manifest)
            entries.append({"mediaType": MANIFEST, "digest": digest, "size": size, "platform": {"architecture": architecture, "os": "linux"}})
        return self.put_manifest(port, name, INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})[0]

    def put_blob(self, port, name, blob):
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        self.blobs[digest] = len(blob)
        ask(port, "POST", f"/v2/{name}/blobs/uploads/?digest={digest}", blob, "application/octet-stream")
        return digest

    def put_manifest(self, port, name, media_type, manifest):
        body = json.dumps(manifest).encode()
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        ask(port, "PUT", f"/v2/{name}/manifests/{digest}", body, media_type)
        return digest, len(body)

    def tag(self, port):
        """Tags the images, for clients that know tags only."""
        for (repository, version), digest in self.digests.items():
            name = f"bench/app{repository}"
            status, body = ask(port, "GET", f"/v2/{name}/manifests/{digest}")
            ask(port, "PUT", f"/v2/{name}/manifests/v{version}", body, INDEX)

    def write_manifests(self, directory, source, ports):
        """A thin manifest directory with one project."""
        for kind in ("images", "manifests"):
            (directory / kind / "bench").mkdir(parents=True, exist_ok=True)
        lines = [f"registries:\n- name: 127.0.0.1:{source}/bench\n  src: true"]
        lines += [f"- name: 127.0.0.1:{port}/prod" for port in ports]
        (directory / "manifests/bench/promoter-manifest.yaml").write_text("\n".join(lines) + "\n")
        entries = []
        for repository in range(REPOSITORIES):
            entries.append(f"- name: app{repository}\n  dmap:")
            entries += [f'    "{self.digests[repository, version]}": ["v{version}"]' for version in range(VERSIONS)]
        (directory / "images/bench/images.yaml").write_text("\n".join(entries) + "\n")
        return directory

    def check(self, port):
        """Whether a destination has every tag on its digest."""
        for (repository, version), digest in self.digests.items():
            request = urllib.request.Request(f"http://127.0.0.1:{port}/v2/prod/app{repository}/manifests/v{version}", method="HEAD", headers={"Accept": INDEX})
            found = urllib.request.urlopen(request).headers["Docker-Content-Digest"]
            assert found == digest, f"app{repository}:v{version} is on {found}, not {digest}"


def ask(port, method, path, body=None, content_type=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    headers = {"Content-Type": content_type} if content_type else {"Accept": f"{INDEX}, {MANIFEST}"}
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    if response.status >= 300:
        raise SystemExit(f"{method} {path}: {response.status} {content[:500]}")
    return response.status, content


class Throttle:
    """Passes on what comes to a port, at most so many bytes a second of all connections together from the server."""

    def __init__(self, to, rate):
        self.to, self.rate, self.paid, self.lock = to, rate, time.monotonic(), threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
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
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.carry, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self.carry, args=(server, client, True), daemon=True).start()

    def carry(self, source, to, is_paced):
        buffer = memoryview(bytearray(MIB))
        try:
            while length := source.recv_into(buffer):
                if is_paced:
                    self.pay(length)
                to.sendall(buffer[:length])
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def pay(self, length):
        with self.lock:
            now = time.monotonic()
            # A tenth of a second may come in one go.
            self.paid = max(self.paid, now - 0.1) + length / self.rate
            wait = self.paid - now
        if wait > 0:
            time.sleep(wait)

    def close(self):
        self.listener.close()
