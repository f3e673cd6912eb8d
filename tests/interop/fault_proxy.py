"""A proxy that injects faults between a client and registries. It never responds to a GET with a false 404, so that a client can
always find out what a registry holds, and it changes nothing there, but for writes that it cuts short.

Which requests fail depends on the seed and on the request (its method, its path, how often it came before), not on the
order in which concurrent requests arrive."""

import asyncio, base64, collections, json, random, re, socket, struct, time, urllib.parse

LONGEST_LINE = 64 * 1024
SESSION = re.compile(r"/blobs/uploads/([^/?]+)")
PATH = re.compile(r"/v2/(?P<repository>.+?)/(?P<kind>manifests|blobs|tags|referrers)/(?P<rest>.*)")

# The faults: name -> the requests that may have it.
READ, WRITE = ("GET", "HEAD"), ("POST", "PATCH", "PUT")
FAULTS = {
    "429": lambda it: True,
    "429 with Retry-After": lambda it: True,
    "503": lambda it: True,
    "503 with Retry-After": lambda it: True,
    "500": lambda it: True,
    "502 after it was carried out": lambda it: it.method in WRITE,
    "reset at once": lambda it: True,
    "reset after it was carried out": lambda it: True,
    "reset within the request's body": lambda it: it.length > 1,
    "reset within the response's body": lambda it: it.method == "GET",
    "response cut short": lambda it: it.method == "GET",
    "response shortened": lambda it: it.method == "GET" and it.kind in ("blobs", "manifests"),
    "response corrupted": lambda it: it.method == "GET" and it.kind in ("blobs", "manifests") and not it.session,
    "HEAD 404": lambda it: it.method == "HEAD",
    "HEAD 403": lambda it: it.method == "HEAD",
    "HEAD 405": lambda it: it.method == "HEAD",
    "HEAD 500": lambda it: it.method == "HEAD",
    "session expired": lambda it: it.session is not None,
    "mount refused": lambda it: it.mounts,
    "mount is an upload": lambda it: it.mounts,
    "listing lags": lambda it: it.kind == "tags",
    "listing names removed tags": lambda it: it.kind == "tags",
    "Link dropped": lambda it: it.kind == "tags",
    "no Docker-Content-Digest": lambda it: it.kind == "manifests" and it.method in READ,
    "Location relative": lambda it: it.starts_upload,
    "Location without a path": lambda it: it.starts_upload,
    "Location absolute": lambda it: it.starts_upload,
    "Location with a query": lambda it: it.starts_upload,
    "redirected to a GET-only URL": lambda it: it.method in READ and it.kind in ("blobs", "manifests") and not it.session,
    "delay": lambda it: True,
    "long delay": lambda it: True,
}
# Faults of every request to a registry: name -> faults. A registry has at most one habit of each line.
HABITS = [
    {"HEAD finds nothing": ["HEAD 404"], "HEAD is forbidden": ["HEAD 403"], "HEAD is not supported": ["HEAD 405"], "HEAD breaks": ["HEAD 500"]},
    {"refuses mounts": ["mount refused"], "never mounts": ["mount is an upload"]},
    {"Location is relative": ["Location relative"], "Location is a name": ["Location without a path"], "Location has a query": ["Location with a query"]},
    {"lists late": ["listing lags"], "lists what is gone": ["listing names removed tags"]},
    {"short pages": [], "short pages without Link": ["Link dropped"]},
    {"no digest header": ["no Docker-Content-Digest"]},
    {"signed URLs": ["redirected to a GET-only URL"]},
    {"tokens": []},
]
MOUNT_REFUSALS = [401, 403, 404, 405, 500]


class Request:
    """A request's head, and what it is about."""

    def __init__(self, line, headers):
        self.method, self.target, _ = line.split(" ")
        self.headers = headers
        self.path, _, self.query = self.target.partition("?")
        self.length = int(self.header("content-length") or 0)
        self.body = b""
        parts = PATH.fullmatch(self.path)
        self.repository, self.kind, self.rest = parts.groups() if parts else (None, None, None)
        session = SESSION.search(self.path)
        self.session = session and session.group(1)
        self.starts_upload = self.method == "POST" and self.kind == "blobs"
        self.mounts = self.starts_upload and "mount=" in self.query

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name), None)

    def key(self):
        """The same in each run, whatever identifiers the registry gives."""
        digest = re.search(r"(?:digest|mount)=([^&]*)", self.query)
        return self.method, SESSION.sub("/blobs/uploads/", self.path), digest and digest.group(1)


class Response:
    def __init__(self, status, headers=(), body=b""):
        self.status, self.headers, self.body = status, list(headers), body

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name), None)

    def replace(self, name, value):
        self.headers = [(key, old) for key, old in self.headers if key.lower() != name.lower()]
        if value is not None:
            self.headers.append((name, value))

    @classmethod
    def error(cls, status, code="UNKNOWN", headers=()):
        body = json.dumps({"errors": [{"code": code, "message": "a fault"}]}).encode()
        return cls(status, [("Content-Type", "application/json"), *headers], body)


class Plan:
    """The faults of the requests to one registry in one run."""

    def __init__(self, seed, name):
        self.seed, self.seen = f"{seed} {name}", collections.Counter()
        choice = random.Random(self.seed)
        level = choice.choice([0, 0.002, 0.005, 0.02])
        self.rates = {fault: level * choice.choice([0, 0, 1, 3]) for fault in FAULTS}
        for rare in ("long delay", "429 with Retry-After", "503 with Retry-After"):
            self.rates[rare] /= 5
        self.habits = [choice.choice(sorted(habits)) for habits in HABITS if choice.random() < 0.25]
        always = {name: faults for habits in HABITS for name, faults in habits.items()}
        self.rates.update({fault: 1 for habit in self.habits for fault in always[habit]})
        self.mount_refusal = choice.choice(MOUNT_REFUSALS)
        self.short_pages = any("short pages" in habit for habit in self.habits)
        self.lifetime = choice.choice([0.1, 0.5, 3]) if "tokens" in self.habits else None

    def draw(self, request):
        """The faults of a request, and the random choices for their details."""
        key = request.key()
        self.seen[key] += 1
        choice = random.Random(f"{self.seed} {key} {self.seen[key]}")
        faults = []
        for fault, concerns in FAULTS.items():
            if choice.random() < self.rates[fault] and concerns(request):
                faults.append(fault)
        return faults, choice


class Proxy:
    """A port before one registry."""

    def __init__(self, name, upstream, before_write, report, count):
        self.name, self.upstream = name, upstream
        self.before_write, self.report, self.count = before_write, report, count
        self.plan, self.tokens, self.expired, self.idle = None, {}, set(), []
        self.active = 0

    async def listen(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, limit=LONGEST_LINE)
        self.address = "127.0.0.1:%d" % self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        try:
            while head := await read_head(reader):
                self.active += 1
                try:
                    if not await self.respond(Request(*head), reader, writer):
                        break
                finally:
                    self.active -= 1
        except (OSError, EOFError, asyncio.IncompleteReadError):
            pass  # one side closed the connection
        except Exception as error:  # a fault of the proxy, which asyncio would only log
            self.report(f"proxy of {self.name}: {error!r}")
        finally:
            writer.close()

    async def respond(self, request, reader, writer):
        """Responds to a request. True if the connection stays open."""
        faults, choice = self.plan.draw(request) if self.plan else ([], None)
        self.count["requests"] += 1
        for fault in faults:
            self.count["faults"] += 1
            self.count[fault] += 1
        if "delay" in faults:
            await asyncio.sleep(choice.random() * 0.2)
        if "long delay" in faults:
            await asyncio.sleep(1 + choice.random())
        if "reset at once" in faults:
            return reset(writer)
        if "reset within the request's body" in faults:
            await self.forward_part(request, reader, choice.randrange(request.length))
            return reset(writer)
        request.body = await read_body(reader, request)
        response = self.refuse(request, faults, choice) or await self.carry_out(request, faults, choice)
        if response is None or "reset after it was carried out" in faults:
            return reset(writer)
        return await self.send(request, response, faults, choice, writer)

    def refuse(self, request, faults, choice):
        """The response, if the request is not forwarded."""
        if request.path == "/token" and self.plan and self.plan.lifetime:
            return self.token(request)
        if request.path.startswith("/signed/"):
            if request.method != "GET":
                return Response.error(403, "DENIED")
            # The request that was redirected.
            request.target = base64.urlsafe_b64decode(request.path.removeprefix("/signed/")).decode()
            return None
        if self.plan and self.plan.lifetime and (refusal := self.authorize(request)):
            return refusal
        if request.session in self.expired or "session expired" in faults:
            self.expired.add(request.session)
            if request.session is not None:
                return Response.error(404, "BLOB_UPLOAD_UNKNOWN")
        for fault in faults:
            status = fault.split(" ")[0]
            if status in ("429", "503"):
                wait = [("Retry-After", choice.choice(["0", "1", "1"]))] if "Retry" in fault else []
                return Response.error(int(status), "TOOMANYREQUESTS", wait)
            if fault == "500":
                return Response.error(500)
            if status == "HEAD":
                return Response(int(fault[5:]))
            if fault == "mount refused":
                return Response.error(self.plan.mount_refusal, "DENIED")
            if fault == "redirected to a GET-only URL":
                signed = base64.urlsafe_b64encode(request.target.encode()).decode()
                return Response(307, [("Location", f"http://{self.address}/signed/{signed}")])
        return None

    async def carry_out(self, request, faults, choice):
        """The registry's response, perhaps with other headers or another body."""
        if "mount is an upload" in faults:
            request.target = request.path
        if request.kind == "tags" and self.plan and self.plan.short_pages:
            request.target = re.sub(r"\bn=\d+", "n=2", request.target)
        if request.method == "PUT" and request.kind == "manifests" or request.method == "DELETE":
            await self.before_write(self.name, request)
        response = await self.forward(request)
        if "502 after it was carried out" in faults:
            return Response.error(502)
        if request.starts_upload and response.status == 202 and (location := response.header("location")):
            response.replace("Location", self.other_location(location, faults))
        if "no Docker-Content-Digest" in faults:
            response.replace("Docker-Content-Digest", None)
        if "Link dropped" in faults:
            response.replace("Link", None)
        if request.kind == "tags" and response.status == 200:
            response.body = other_listing(response.body, faults, choice)
        return response

    def other_location(self, location, faults):
        path = re.sub(r"^https?://[^/]*", "", location)
        if "Location with a query" in faults:
            location += ("&" if "?" in location else "?") + "x-region=a%2Fb"
        if "Location relative" in faults:
            return re.sub(r"^https?://[^/]*", "", location)
        if "Location absolute" in faults:
            return f"http://{self.address}{path}"
        if "Location without a path" in faults:
            return path.rsplit("/blobs/uploads/", 1)[1]
        return location

    async def send(self, request, response, faults, choice, writer):
        body = b"" if request.method == "HEAD" else response.body
        if body and "response corrupted" in faults:
            body = bytes([body[0] ^ 1]) + body[1:]
        if body and "response shortened" in faults:
            body = body[:-1]
        length = response.header("content-length") if request.method == "HEAD" else str(len(body))
        skipped = ("content-length", "transfer-encoding", "connection", "keep-alive")
        lines = [f"HTTP/1.1 {response.status} X"]
        lines += [f"{key}: {value}" for key, value in response.headers if key.lower() not in skipped]
        if response.status != 204:
            lines.append(f"Content-Length: {length or 0}")
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        if body and ("response cut short" in faults or "reset within the response's body" in faults):
            writer.write(body[: choice.randrange(len(body))])
            await writer.drain()
            return reset(writer) if "response cut short" not in faults else False
        writer.write(body)
        await writer.drain()
        return True

    # Tokens: anonymous, for the scopes of the request, and expired long before their `expires_in`.

    def token(self, request):
        requested = urllib.parse.parse_qs(request.query).get("scope", [])
        scopes = frozenset(scope for text in requested for scope in text.split())
        token = f"t{len(self.tokens)}"
        self.tokens[token] = scopes, time.monotonic() + self.plan.lifetime
        return Response(200, [("Content-Type", "application/json")], json.dumps({"token": token, "expires_in": 300}).encode())

    def authorize(self, request):
        """A 401, unless the token covers the request."""
        action = "pull" if request.method in READ else "push"
        token = (request.header("authorization") or "").removeprefix("Bearer ")
        scopes, end = self.tokens.get(token, (frozenset(), 0))
        granted = any(
            scope.startswith(f"repository:{request.repository}:") and action in scope.rsplit(":", 1)[1].split(",") for scope in scopes
        )
        if time.monotonic() < end and (granted or request.repository is None):
            return None
        challenge = f'Bearer realm="http://{self.address}/token",service="proxy"'
        if request.repository:
            challenge += f',scope="repository:{request.repository}:{"pull" if action == "pull" else "pull,push"}"'
        return Response.error(401, "UNAUTHORIZED", [("WWW-Authenticate", challenge)])

    # The registry.

    def head_of(self, request):
        skipped = ("authorization", "connection", "transfer-encoding", "content-length", "expect")
        lines = [f"{request.method} {request.target} HTTP/1.1"]
        lines += [f"{key}: {value}" for key, value in request.headers if key.lower() not in skipped]
        return lines

    async def forward(self, request):
        head = [*self.head_of(request)]
        if request.body or request.method in WRITE:
            head.append(f"Content-Length: {len(request.body)}")
        content = "\r\n".join([*head, "", ""]).encode("latin-1") + request.body
        while True:
            reused = bool(self.idle)
            reader, writer = self.idle.pop() if reused else await self.connect()
            try:
                writer.write(content)
                await writer.drain()
                response = await read_response(reader, request.method)
                self.idle.append((reader, writer))
                return response
            except (OSError, EOFError, asyncio.IncompleteReadError):
                writer.close()
                if not reused:
                    raise

    async def forward_part(self, request, reader, length):
        """Forwards the beginning of the body, then closes the connection."""
        part = await reader.readexactly(length)
        if request.method == "PUT" and request.kind == "manifests":
            return
        head = [*self.head_of(request), f"Content-Length: {request.length}", "", ""]
        _, writer = await self.connect()
        writer.write("\r\n".join(head).encode("latin-1") + part)
        await writer.drain()
        writer.close()

    async def connect(self):
        host, port = self.upstream.rsplit(":", 1)
        return await asyncio.open_connection(host, int(port), limit=LONGEST_LINE)


def other_listing(body, faults, choice):
    """A stale listing: without new tags, or with removed ones."""
    listing = json.loads(body)
    tags = listing.get("tags") or []
    if "listing lags" in faults:
        tags = [tag for tag in tags if choice.random() < 0.6]
    if "listing names removed tags" in faults:
        tags = sorted({*tags, "removed", choice.choice(["v1", "stable", "pinned"])})
    return json.dumps({**listing, "tags": tags}).encode()


def reset(writer):
    """Ends the connection with a RST."""
    writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


async def read_head(reader):
    """First line and headers; None at the end of the connection, False if it is not HTTP."""
    try:
        line = await reader.readline()
    except ValueError:  # no line end within the limit: TLS, for instance
        return False
    if not line:
        return None
    if not line.endswith(b" HTTP/1.1\r\n") and not line.startswith(b"HTTP/1.1 "):
        return False
    headers = []
    while (header := await reader.readline()) != b"\r\n":
        if not header:
            raise EOFError
        key, _, value = header.decode("latin-1").partition(":")
        headers.append((key, value.strip()))
    return line.decode("latin-1").strip(), headers


async def read_body(reader, message):
    if (message.header("transfer-encoding") or "").lower() != "chunked":
        return await reader.readexactly(int(message.header("content-length") or 0))
    body = b""
    while (size := int((await reader.readline()).split(b";")[0], 16)) > 0:
        body += await reader.readexactly(size)
        await reader.readline()
    while await reader.readline() != b"\r\n":
        pass
    return body


async def read_response(reader, method):
    head = await read_head(reader)
    if not head:
        raise EOFError
    line, headers = head
    response = Response(int(line.split(" ")[1]), headers)
    if method != "HEAD" and response.status not in (204, 304):
        response.body = await read_body(reader, response)
    return response
