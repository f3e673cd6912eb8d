"""promote-faults: a promotion of 60 two-layer images to a registry behind a proxy that refuses requests at random."""

import asyncio, concurrent.futures, hashlib, json, os, pathlib, random, socket, subprocess, sys, threading, time

from harness import Bench, built_portolan
from promotion_scene import MANIFEST, Registry, ask

IMAGES, LAYER = 60, 4096
STATUSES = {503: "Service Unavailable", 429: "Too Many Requests"}
# Percent, status, `Retry-After`.
UNDISTURBED = 0, 503, None
CASES = [(percent, status, None) for status in STATUSES for percent in (1, 3, 10)]
CASES += [(1, 429, 0), (10, 429, 0), (1, 429, 1), (5, 429, 1)]
SEEDS = 20


class FaultProxy:
    """Passes requests on to a port, but responds to some of them itself, at random with a seed. It speaks HTTP/1.1 with
    `Content-Length` only, which is what the client and the registry send here."""

    def __init__(self, to, percent, status, retry_after, seed):
        self.to, self.percent, self.chance = to, percent, random.Random(seed)
        after = "" if retry_after is None else f"Retry-After: {retry_after}\r\n"
        self.refusal = f"HTTP/1.1 {status} {STATUSES[status]}\r\n{after}Content-Length: 0\r\n\r\n".encode()
        self.passed = self.refused = 0
        self.retry_after, self.pauses, self.pause_end = retry_after, 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(asyncio.start_server(self.serve, sock=self.listener))
        self.loop.run_forever()

    async def serve(self, reader, writer):
        upstream = None
        try:
            while message := await self.message(reader):
                head, body = message
                if self.chance.random() * 100 < self.percent:
                    self.refuse(writer)
                    await writer.drain()
                    continue
                self.passed += 1
                upstream = upstream or await asyncio.open_connection("127.0.0.1", self.to)
                upstream[1].write(head + body)
                head, body = await self.message(upstream[0], is_head=head.startswith(b"HEAD "))
                writer.write(head + body)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for end in (writer, upstream and upstream[1]):
                if end:
                    end.close()

    def refuse(self, writer):
        self.refused += 1
        if self.retry_after:
            # Those that overlap are one.
            self.pauses += time.monotonic() > self.pause_end
            self.pause_end = time.monotonic() + self.retry_after
        writer.write(self.refusal)

    async def message(self, reader, is_head=False):
        try:
            first = await reader.readexactly(1)
            if not first.isalpha():
                return None  # a probe for TLS, which most servers refuse at once
            head = first + await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return head, b"" if is_head else await reader.readexactly(length)

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)


def push(port):
    """Pushes the images, and returns their digests."""

    def image(number):
        name = f"bench/app{number}"
        blobs = [os.urandom(LAYER), os.urandom(LAYER), json.dumps({"number": number}).encode()]
        described = []
        for blob in blobs:
            digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
            ask(port, "POST", f"/v2/{name}/blobs/uploads/?digest={digest}", blob, "application/octet-stream")
            described.append({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": len(blob)})
        config = {**described.pop(), "mediaType": "application/vnd.oci.image.config.v1+json"}
        body = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": described}).encode()
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        ask(port, "PUT", f"/v2/{name}/manifests/{digest}", body, MANIFEST)
        return digest

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return list(pool.map(image, range(IMAGES)))


def write_manifest(path, digests, source, destination):
    lines = [f"registries:\n- name: 127.0.0.1:{source}/bench\n  src: true\n- name: 127.0.0.1:{destination}/prod\nimages:"]
    lines += [f'- name: app{number}\n  dmap:\n    "{digest}": ["v1"]' for number, digest in enumerate(digests)]
    path.write_text("\n".join(lines) + "\n")
    return path


def run(arguments):
    with Bench() as bench:
        portolan = built_portolan()
        source = Registry(bench, portolan, bench.dir / "source")
        digests = push(source.port)
        rows, count = [], 0

        def promoted(case, seed):
            """Promotes to a new registry behind a new proxy, and returns the time and the numbers of requests."""
            nonlocal count
            count += 1
            destination = Registry(bench, portolan, bench.dir / f"to{count}")
            proxy = FaultProxy(destination.port, *case, seed)
            manifest = write_manifest(bench.dir / f"{count}.yaml", digests, source.port, proxy.port)
            command = [portolan, "promote", "--quiet", "--confirm", "--attachments", "none", "--manifest", manifest]
            begin = time.monotonic()
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)
            took = time.monotonic() - begin
            if done.returncode:
                raise SystemExit(f"{case}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
            for number, digest in enumerate(digests):
                ask(destination.port, "HEAD", f"/v2/prod/app{number}/manifests/{digest}")
            destination.stop()
            proxy.close()
            return took, proxy.pauses * (case[2] or 0), proxy.passed, proxy.refused

        undisturbed = median([promoted(UNDISTURBED, seed)[0] for seed in range(arguments.pairs)])
        for case in CASES:
            runs = [promoted(case, seed) for seed in range(arguments.pairs)]
            rows.append(row(case, runs, undisturbed))
            print(rows[-1], file=sys.stderr)
        source.stop()
        limit = mark(undisturbed)
        head = [
            f"Undisturbed: {undisturbed:.2f} s, so the mark is {limit:.2f} s, and a second more for each pause that was demanded.\n",
            "| refused at random | seconds, median | longest | × undisturbed | most above its pauses | seeds within the mark | requests passed on | refused | seconds of pauses |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        return "\n".join(head + rows)


def median(values):
    return sorted(values)[len(values) // 2]


def mark(undisturbed):
    return 3 * undisturbed + 2


def row(case, runs, undisturbed):
    """Each run must be within the mark: 3 × the undisturbed time plus 2 s, and the pauses that were demanded."""
    percent, status, retry_after = case
    name = f"{percent} % {status}" + ("" if retry_after is None else f", `Retry-After: {retry_after}`")
    times, pauses, passed, refused = zip(*runs)
    own = [took - paused for took, paused in zip(times, pauses)]
    within = sum(took <= mark(undisturbed) for took in own)
    mean = lambda values: sum(values) // len(values)
    cells = name, f"{median(times):.2f}", f"{max(times):.2f}", f"{median(times) / undisturbed:.1f}", f"{max(own):.2f}", f"{within} of {len(runs)}", mean(passed), mean(refused), mean(pauses)
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def measurement(arguments):
    return f"{IMAGES} images of two layers, one destination, {arguments.pairs} seeds a row"
