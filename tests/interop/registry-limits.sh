#!/usr/bin/env bash
# Portolan's registry, on a directory, where it gets tight: a disk that fills up during pushes, and lists of ten thousand
# names. Prints how long the lists take; only what they say is checked.
#
#     cargo build --release && tests/interop/registry-limits.sh
#     NAMES=1000 tests/interop/registry-limits.sh    # shorter lists
#
# Needs python3 on the PATH; for the small disk root, or user namespaces.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need python3

cat >"$work/client.py" <<'PYTHON'
import hashlib, http.client, json, os, re, sys, time
from concurrent.futures import ThreadPoolExecutor

class Client:
    """One connection, kept open."""
    def __init__(self):
        self.connection = http.client.HTTPConnection(sys.argv[1], timeout=60)

    def __call__(self, method, path, body=None, wanted=None, **headers):
        try:
            self.connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        except BrokenPipeError:
            pass # the response came before all of it was sent
        response = self.connection.getresponse()
        response.body = response.read()
        check(wanted in (None, response.status), f"{method} {path}: {response.status}, not {wanted}: {response.body[:300]}")
        return response

def check(holds, otherwise):
    if not holds:
        sys.exit(f"FAILED: {otherwise}")

def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()

INDEX = "application/vnd.oci.image.index.v1+json"
def index(note):
    """An index of nothing, which needs nothing else to be there."""
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "annotations": {"note": note}}).encode()
PYTHON
drive() { PYTHONPATH=$work python3 - "$@"; }

# with_tmpfs DIR SIZE: sets $with to what runs a command with a tmpfs at DIR; fails where none can be mounted. It is in a
# mount namespace of its own, so that it goes with the process, whatever ends that.
with_tmpfs() {
  # shellcheck disable=SC2016 # for that shell
  local user mount='mount -t tmpfs -o "size=$1" tmpfs "$0" && shift && exec "$@"'
  with=()
  mkdir "$1"
  for user in --map-root-user --; do
    unshare --mount "$user" sh -c "$mount" "$1" "$2" true 2>/dev/null && with=(unshare --mount "$user" sh -c "$mount" "$1" "$2")
  done
  [ ${#with[@]} -gt 0 ]
}
serve=("$portolan" registry serve --listen 127.0.0.1:0)

say "a disk of 24 MiB fills up"
if ! with_tmpfs "$work/small" 24m; then
  say "skipped: a tmpfs can be mounted neither by this user nor in a user namespace"
else
  start small "${with[@]}" "${serve[@]}" --storage "file://$work/small/store"
  drive "$(address small "$portolan_pattern")" <<'PYTHON'
from client import *
client = Client()
def refused(response):
    check(response.status == 507, f"{response.status} on a full disk: {response.body[:300]}")
    errors = json.loads(response.body)["errors"]
    check(errors[0]["code"] == "UNKNOWN" and errors[0]["message"], f"not the specification's body: {response.body}")

def push(data, **options):
    return client("POST", f"/v2/a/blobs/uploads/?digest={digest(data)}", data, **options)

old, large = index("old"), index("x" * 1_000_000)
client("PUT", "/v2/a/manifests/tag", old, 201, Content_Type=INDEX)
upload = os.urandom(6 << 20)
session = client("POST", "/v2/a/blobs/uploads/", wanted=202).headers["Location"]
def patch(begin, end, **options):
    return client("PATCH", session, upload[begin:end], Content_Range=f"{begin}-{end - 1}", **options)
session = patch(0, 1 << 20, wanted=202).headers["Location"]

kept = []
def fill(size):
    while (response := push(data := os.urandom(size))).status == 201:
        kept.append(digest(data))
    refused(response)
fill(1 << 20)
refused(patch(1 << 20, 4 << 20)) # in the middle of it
fill(1 << 16)
fill(1 << 12) # so that in the end nothing fits
refused(push(b"a few bytes"))
refused(client("PUT", "/v2/a/manifests/tag", large, Content_Type=INDEX))
refused(client("PUT", "/v2/b/manifests/new", old, Content_Type=INDEX))

def all_there():
    for name in kept:
        check(digest(client("GET", f"/v2/a/blobs/{name}", wanted=200).body) == name, f"{name} has other content")
all_there()
check(client("GET", "/v2/a/manifests/tag", wanted=200).body == old, "the tag has moved, though its push failed")
client("GET", "/v2/b/manifests/new", wanted=404)
client("GET", f"/v2/a/manifests/{digest(large)}", wanted=404)
at = int(re.fullmatch("0-([0-9]+)", client("GET", session, wanted=204).headers["Range"])[1]) + 1
check(1 << 20 <= at < 4 << 20, f"of the upload {at} bytes are there")

for name in kept[:8]:
    client("DELETE", f"/v2/a/blobs/{name}", wanted=202)
kept = kept[8:]
session = patch(at, len(upload), wanted=202).headers["Location"]
client("PUT", f"{session}?digest={digest(upload)}", wanted=201)
kept.append(digest(upload))
client("PUT", "/v2/a/manifests/tag", large, 201, Content_Type=INDEX)
check(client("GET", "/v2/a/manifests/tag", wanted=200).body == large, "the tag has not moved")
all_there()
print(f"    {len(kept)} blobs are right; the upload went on at {at} bytes")
PYTHON
  stop small
fi

names=${NAMES:-10000}
say "$names tags, and $names repositories"
# Away from the disk, if possible: some file systems need minutes to remove so many files. To sync costs nothing there.
with_tmpfs "$work/names" 1g || say "on the disk of $work, since no tmpfs can be mounted"
start names "${with[@]}" "${serve[@]}" --storage "file://$work/names/store"
drive "$(address names "$portolan_pattern")" "$names" <<'PYTHON'
from client import *
count = int(sys.argv[2])
# Among them large letters, and names that continue others by what comes before "/" and by what comes after it: their
# order is neither that of the folders in a tree nor that of the alphabet.
tags = [f"{'vV_'[i % 3]}{i // 3}{['', '.1', '-rc', '_x'][i % 4]}" for i in range(count)]
repositories = [f"team{i // 7}{['', '/app', '-x', '.y', '/app/deep', '__z', 'a'][i % 7]}" for i in range(count)]
manifest = index("a name")

def timed(what, work):
    begin = time.monotonic()
    result = work()
    print(f"    {what}: {time.monotonic() - begin:.2f} s")
    return result

def push_all(targets):
    def push_some(part):
        client = Client()
        for path in part:
            client("PUT", path, manifest, 201, Content_Type=INDEX)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(push_some, [targets[i::8] for i in range(8)]))

def walk(path, member, page):
    client, found, pages, link = Client(), [], 0, f"{path}?n={page}"
    while link:
        response = client("GET", link, wanted=200)
        part = json.loads(response.body)[member]
        check(len(part) <= page, f"{link} has {len(part)} names")
        found, pages = found + part, pages + 1
        link = response.headers["Link"] and re.fullmatch('<([^>]*)>; *rel="next"', response.headers["Link"])[1]
    return found, pages

full = f"/v2/{repositories[0]}"
timed(f"push {count} repositories", lambda: push_all([f"/v2/{name}/manifests/{digest(manifest)}" for name in repositories]))
timed(f"push {count} tags", lambda: push_all([f"{full}/manifests/{tag}" for tag in tags]))
for path, member, names in ((f"{full}/tags/list", "tags", tags), ("/v2/_catalog", "repositories", repositories)):
    for page in (10000, 100):
        found, pages = timed(f"all {member} by {page}", lambda: walk(path, member, page))
        check(found == sorted(names), f"{member} by {page}: {len(found)} names, not these {count} in ASCII order")
        check(pages == -(-count // page), f"{member} by {page}: {pages} pages")
PYTHON
say "every name came once, and in order"
