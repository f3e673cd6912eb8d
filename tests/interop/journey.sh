#!/usr/bin/env bash
# The whole journey between other projects' programs: Debian's docker-registry as staging and as
# production, skopeo as the pusher and the puller; Portolan promotes, mirrors and serves between them.
#
#     cargo build --release && tests/interop/journey.sh
#
# Needs docker-registry, skopeo and curl on the PATH.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need docker-registry skopeo curl

say "two registries, both $(docker-registry --version | head -n 1)"
docker_registry staging
docker_registry production
staging=$(address staging "$registry_pattern")
production=$(address production "$registry_pattern")

say "skopeo pushes a multi-platform image to staging"
multi_platform_layout "$work/layout"
index=$digest
skopeo copy --quiet --all --preserve-digests --dest-tls-verify=false "oci:$work/layout:v1" "docker://$staging/team/app:v1"

say "portolan promotes it by a thin manifest directory"
mkdir -p "$work/thin/images/team" "$work/thin/manifests/team"
cat >"$work/thin/images/team/images.yaml" <<YAML
- name: app
  dmap:
    "sha256:$index": ["v1", "stable"]
YAML
cat >"$work/thin/manifests/team/promoter-manifest.yaml" <<YAML
registries:
- name: $staging/team
  src: true
- name: $production/images/team
YAML
promote() { "$portolan" --quiet promote --thin-manifest-dir "$work/thin" --output json "$@"; }
expect() { case $1 in *"$2"*) ;; *) fail "expected $2 in: $1" ;; esac; }
out=$(promote)
expect "$out" '"edges":2,"present":0,"to_copy":2,"to_tag":0,"to_attach":0,"lost":0,"refused":0,"failed":0'
curl -fsS "http://$production/v2/_catalog" | grep -q '"repositories":\[\]' || fail "the dry run wrote something"
out=$(promote --confirm)
expect "$out" '"edges":2,"present":0,"copied":2,"tagged":0,"attached":0,"lost":0,"refused":0,"failed":0'

say "a second promotion finds nothing to do"
writes() { grep -cE '"(POST|PUT|PATCH|DELETE) /v2/|http.request.method=(POST|PUT|PATCH|DELETE)' "$work/production.log" || true; }
before=$(writes)
[ "$before" -gt 0 ] || fail "the log of docker-registry does not show writes, so that it cannot show their absence"
out=$(promote --confirm)
expect "$out" '"edges":2,"present":2,"copied":0,"tagged":0,"attached":0,"lost":0,"refused":0,"failed":0'
[ "$(writes)" -eq "$before" ] || fail "the second promotion wrote to production"

say "portolan mirrors production into two blob stores"
mirror() { "$portolan" --quiet mirror --from "$production/images" --to "file://$work/store" --to "file://$work/copy" --confirm --output json; }
first=$(mirror)
printf '    first:  %s\n' "$first"
blobs=$(find "$work/store/containers/images" -type f | wc -l)
[ "$blobs" -eq 7 ] || fail "the store has $blobs objects, not 2 layers, 2 configs, 2 manifests and an index"
diff -r "$work/store/containers" "$work/copy/containers" || fail "the two stores differ"
stamp=$(find "$work/store" -type f -printf '%p %T@ %i\n' | sort | sha256sum)

say "a second mirroring finds nothing to do"
second=$(mirror)
printf '    second: %s\n' "$second"
expect "$second" '"blobs":0,"repaired":0,"bytes":0,'
[ "$(find "$work/store" -type f -printf '%p %T@ %i\n' | sort | sha256sum)" = "$stamp" ] || fail "the second mirroring wrote to the store"

say "portolan serves it"
start store "$portolan" store serve "$work/store" --listen 127.0.0.1:0
store=$(address store "$portolan_pattern")
cat >"$work/front.yaml" <<YAML
listen: 127.0.0.1:0
admin: null
upstream: {endpoint: "http://$production", path: images}
stores:
- {name: near, url: "http://$store", serves: [{cloud: "*"}]}
YAML
start front "$portolan" serve --config "$work/front.yaml"
front=$(address front "$portolan_pattern")
layer=$(find "$work/store/containers/images" -type f -size +200k -printf '%f\n' | head -n 1)
location=$(curl -fsS -o /dev/null -w '%{http_code} %{redirect_url}' "http://$front/v2/team/app/blobs/$layer")
[ "$location" = "307 http://$store/containers/images/$layer" ] || fail "the front does not send the blob's client to the store: $location"

say "skopeo pulls everything through the front"
skopeo copy --quiet --all --src-tls-verify=false "docker://$front/team/app:stable" "dir:$work/pulled"
checked=$(content_addressed "$work/pulled" "$index")
equal "files that came" "$checked" 7
say "all $checked files have the sha256 of their name"
