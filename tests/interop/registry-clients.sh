#!/usr/bin/env bash
# Portolan's registry, on a directory, with other projects' clients: skopeo, buildah and crane push, pull,
# list, copy, tag and delete; first over plain HTTP, then with TLS, users and rights, on the same directory.
#
#     cargo build --release && PATH=$(tests/interop/tools.sh):$PATH tests/interop/registry-clients.sh
#
# Needs skopeo, buildah, crane, docker-registry, openssl, htpasswd and curl on the PATH. Buildah wants to be root, or to
# have user namespaces.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need skopeo buildah crane docker-registry openssl htpasswd curl

# No client may read or write the logins of the user who runs this. (Not exported: docker-registry takes REGISTRY_… as its own.)
export DOCKER_CONFIG=$work/anonymous
mkdir "$DOCKER_CONFIG"
printf '{}' >"$DOCKER_CONFIG/config.json"
sk() { REGISTRY_AUTH_FILE=$DOCKER_CONFIG/config.json skopeo --override-os linux --override-arch amd64 "$@"; }
b() {
  REGISTRY_AUTH_FILE=$DOCKER_CONFIG/config.json \
    buildah --root "$work/buildah" --runroot "$work/buildah-run" --storage-driver vfs "$@" 2>>"$work/buildah.log"
}
# lines COMMAND…: its output on one line, in order.
lines() { "$@" | LC_ALL=C sort | paste -sd' '; }
# refused WORD COMMAND…: it fails, and says WORD, large or small.
refused() {
  local word=$1 out
  shift
  if out=$("$@" 2>&1); then fail "not refused: $*"; fi
  grep -qi "$word" <<<"$out" || fail "refused, but not as $word: $*: $out"
}

multi_platform_layout "$work/layout"
index=$digest
portolan_registry registry --storage "file://$work/store"
host=$(address registry "$portolan_pattern")

say "skopeo pushes, inspects, lists, copies, pulls and deletes"
sk copy --quiet --all --preserve-digests --dest-tls-verify=false "oci:$work/layout:v1" "docker://$host/team/app:v1"
sk copy --quiet --all --preserve-digests --src-tls-verify=false --dest-tls-verify=false \
  "docker://$host/team/app:v1" "docker://$host/other/deep/app:v2"
equal "skopeo's manifest" "$(sk inspect --raw --tls-verify=false "docker://$host/team/app:v1" | sha256sum)" "$index  -"
equal "skopeo's digest" "$(sk inspect --format '{{.Digest}}' --tls-verify=false "docker://$host/other/deep/app:v2")" "sha256:$index"
sk list-tags --tls-verify=false "docker://$host/other/deep/app" | grep -q '"v2"' || fail "skopeo does not list v2"
sk copy --quiet --all --src-tls-verify=false "docker://$host/other/deep/app:v2" "dir:$work/skopeo"
equal "files that skopeo pulled" "$(content_addressed "$work/skopeo" "$index")" 7
sk delete --tls-verify=false "docker://$host/other/deep/app:v2"
refused 'manifest unknown' sk inspect --raw --tls-verify=false "docker://$host/other/deep/app:v2"

say "buildah builds, pushes as OCI and as Docker, and pulls"
container=$(b from scratch)
b copy --quiet "$container" "$work/root-amd64/data" /data >/dev/null
b commit --quiet "$container" built >/dev/null
b push --quiet --tls-verify=false --digestfile "$work/oci.digest" built "docker://$host/team/built:oci"
b push --quiet --tls-verify=false --format v2s2 --digestfile "$work/docker.digest" built "docker://$host/team/built:docker"
for format in oci docker; do
  equal "buildah's $format digest" "$(crane digest "$host/team/built:$format")" "$(cat "$work/$format.digest")"
  b rmi --all --force >/dev/null
  b pull --quiet --tls-verify=false "docker://$host/team/built:$format" >/dev/null
  b push --quiet "$host/team/built:$format" "dir:$work/built-$format"
  layer=$(find "$work/built-$format" -size +200k)
  tar -xOf "$layer" data | cmp - "$work/root-amd64/data" || fail "buildah pulled another file than it pushed"
done
crane manifest "$host/team/built:docker" | grep -q docker.distribution.manifest.v2 || fail "buildah did not push as Docker"

say "crane pushes, appends, pulls, lists, reads, copies, tags and deletes"
crane push "$work/layout" "$host/crane/app:v1" >/dev/null 2>&1
equal "crane's digest" "$(crane digest "$host/crane/app:v1")" "sha256:$index"
equal "crane's manifest" "$(crane manifest "$host/crane/app:v1" | sha256sum)" "$index  -"
layer=$(find "$work/layout/blobs/sha256" -size +200k -printf '%f\n' | head -n 1)
equal "crane's blob" "$(crane blob "$host/crane/app@sha256:$layer" | sha256sum)" "$layer  -"
crane append --oci-empty-base --new_layer "$work/layer.tar" --new_tag "$host/crane/appended:v1" >/dev/null 2>&1
crane validate --remote "$host/crane/appended:v1" >/dev/null 2>&1 || fail "crane does not find valid what it appended"
crane tag "$host/crane/app:v1" stable 2>/dev/null
equal "crane's tags" "$(lines crane ls "$host/crane/app")" 'stable v1'
equal "crane's catalog" "$(lines crane catalog "$host")" 'crane/app crane/appended other/deep/app team/app team/built'
docker_registry peer
peer=$(address peer "$registry_pattern")
crane copy "$host/crane/app:v1" "$peer/there:v1" 2>/dev/null
# From a repository of a name that is not here, so that nothing can be mounted.
crane copy "$peer/there:v1" "$host/back:v1" 2>/dev/null
equal "the digest there" "$(crane digest "$peer/there:v1")" "sha256:$index"
crane pull --format oci "$host/back:v1" "$work/crane" 2>/dev/null
equal "files that crane pulled" "$(content_addressed "$work/crane/blobs/sha256")" 7
crane delete "$host/crane/app:v1"
equal "tags after the deletion of one" "$(lines crane ls "$host/crane/app")" stable
crane delete "$host/crane/app@sha256:$index"
refused manifest_unknown crane manifest "$host/crane/app:stable"

say "the same directory with TLS, users and rights"
stop registry
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
  -addext 'subjectAltName=IP:127.0.0.1,DNS:localhost' -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
for user in ci reader; do htpasswd -bnB "$user" "$user-secret" | sed '/^$/d' >>"$work/htpasswd"; done
cat >"$work/rights.yaml" <<YAML
rules:
- {users: [ci], repositories: ["team/**"], rights: [pull, push]}
- {users: ["*"], repositories: ["**"], rights: [pull]}
YAML
portolan_registry registry --storage "file://$work/store" --tls-cert "$work/cert.pem" --tls-key "$work/key.pem" \
  --htpasswd "$work/htpasswd" --rights "$work/rights.yaml"
host=$(address registry "$portolan_pattern")
mkdir "$work/ca" && cp "$work/cert.pem" "$work/ca/ca.crt"
as() { DOCKER_CONFIG=$work/$1 SSL_CERT_FILE=$work/cert.pem crane "${@:2}" 2>&1 | tee -a "$work/crane.log"; }
for user in ci reader; do as "$user" auth login "$host" --username "$user" --password "$user-secret" >/dev/null; done

equal "without a login" "$(curl -sS -o /dev/null -w '%{http_code}' --cacert "$work/cert.pem" "https://$host/v2/")" 401
refused unauthorized as anonymous digest "$host/team/app:v1"
refused unauthorized as anonymous push "$work/layout" "$host/team/app:v2"
equal "what was pushed before" "$(as reader digest "$host/team/app:v1")" "sha256:$index"
refused denied as reader push "$work/layout" "$host/team/app:v2"
refused denied as reader tag "$host/team/app:v1" v2
refused denied as reader delete "$host/team/app:v1"
refused denied as ci push "$work/layout" "$host/elsewhere:v1"
as ci push "$work/layout" "$host/team/app:v2" >/dev/null
equal "the tags" "$(lines as reader ls "$host/team/app")" 'v1 v2'
sk copy --quiet --all --preserve-digests --dest-cert-dir "$work/ca" --dest-creds ci:ci-secret \
  "oci:$work/layout:v1" "docker://$host/team/skopeo:v1"
sk copy --quiet --all --src-cert-dir "$work/ca" --src-creds reader:reader-secret \
  "docker://$host/team/skopeo:v1" "dir:$work/skopeo-tls"
equal "files that skopeo pulled over TLS" "$(content_addressed "$work/skopeo-tls" "$index")" 7
refused denied sk copy --quiet --all --dest-cert-dir "$work/ca" --dest-creds reader:reader-secret \
  "oci:$work/layout:v1" "docker://$host/team/skopeo:v2"
refused unauthorized sk inspect --raw --cert-dir "$work/ca" --creds reader:wrong "docker://$host/team/skopeo:v1"
refused certificate sk inspect --raw --creds reader:reader-secret "docker://$host/team/skopeo:v1"
grep 'protocol error' "$work/crane.log" && fail "crane complains of HTTP/2"
say "every user could do what the rights allow, and nothing else"
