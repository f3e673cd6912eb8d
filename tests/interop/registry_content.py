"""Small content for the interoperability scripts, and pushing it: images, signatures as cosign lays them out, referrers."""

import hashlib, http.client, json

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"


def digest_of(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Registry:
    """A registry over one connection."""

    def __init__(self, host):
        self.host = host
        self.connection = http.client.HTTPConnection(host, timeout=30)

    def ask(self, method, path, body=None, headers={}):
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        content = response.read()
        if response.status >= 300:
            raise SystemExit(f"{method} http://{self.host}{path}: {response.status} {content[:500]!r}")
        return response, content

    def blob(self, repository, content, media_type):
        """Pushes a blob; its descriptor."""
        digest = digest_of(content)
        response, _ = self.ask("POST", f"/v2/{repository}/blobs/uploads/")
        session = response.headers["Location"].replace(f"http://{self.host}", "")
        session += f"{'&' if '?' in session else '?'}digest={digest}"
        self.ask("PUT", session, content, {"Content-Type": "application/octet-stream"})
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def manifest(self, repository, manifest, reference=None):
        """Pushes a manifest; its descriptor."""
        content = json.dumps(manifest).encode()
        digest, media_type = digest_of(content), manifest["mediaType"]
        self.ask("PUT", f"/v2/{repository}/manifests/{reference or digest}", content, {"Content-Type": media_type})
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def image(self, repository, seed, layers=1, architecture="amd64"):
        """Pushes an image that no other seed has."""
        layers = [self.blob(repository, f"layer {at} of {seed}\n".encode() * 40, LAYER) for at in range(layers)]
        config = {"architecture": architecture, "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [it["digest"] for it in layers]}}
        config = self.blob(repository, json.dumps(config).encode(), CONFIG)
        return self.manifest(repository, {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers})

    def index(self, repository, seed, platforms=2, layers=2):
        """Pushes an index of images."""
        architectures = ["amd64", "arm64", "arm", "ppc64le", "s390x"][:platforms]
        entries = []
        for architecture in architectures:
            image = self.image(repository, f"{seed} {architecture}", layers, architecture)
            entries.append({**image, "platform": {"architecture": architecture, "os": "linux"}})
        return self.manifest(repository, {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}), entries

    def signature(self, repository, subject, signer):
        """Pushes a signature under its digest tag."""
        payload = json.dumps({"critical": {"image": {"docker-manifest-digest": subject["digest"]}}}).encode()
        layer = {**self.blob(repository, payload, SIMPLE_SIGNING), "annotations": {"dev.cosignproject.cosign/signature": signer}}
        config = {"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}
        config = self.blob(repository, json.dumps(config).encode(), CONFIG)
        tag = subject["digest"].replace(":", "-") + ".sig"
        return self.manifest(repository, {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}, tag)

    def referrer(self, repository, subject, kind):
        """Pushes an artifact that refers to another one."""
        config = self.blob(repository, b"{}", EMPTY)
        layer = self.blob(repository, f"{kind} of {subject['digest']}".encode(), "text/plain")
        subject = {key: subject[key] for key in ("mediaType", "digest", "size")}
        return self.manifest(repository, {"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind, "config": config, "layers": [layer], "subject": subject})
