#!/usr/bin/env bash
# Promotion between programs that others wrote: an index, a Helm chart, signatures and referrers go from Portolan's
# registry to Debian's docker-registry, which has no referrers API, and to Portolan's; helm pulls what was promoted. A real
# image of Docker schema 1, which is in schema1.json with its signature, is refused.
#
#     cargo build --release && PATH=$(tests/interop/tools.sh):$PATH tests/interop/promotion.sh
#
# Needs docker-registry, skopeo, python3, crane and helm on the PATH.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need docker-registry skopeo python3 curl crane helm
here=$(dirname "$0")
export HELM_CACHE_HOME=$work/helm-cache HELM_CONFIG_HOME=$work/helm-config HELM_DATA_HOME=$work/helm-data
export PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1

portolan_registry staging
docker_registry old
portolan_registry new --admin 127.0.0.1:0
staging=$(address staging "$portolan_pattern")
old=$(address old "$registry_pattern")
new=$(address new "$portolan_pattern")

say "$(helm version --short) packages a chart and pushes it to staging"
helm create "$work/hello" >/dev/null
helm package --destination "$work" "$work/hello" >/dev/null
helm push --plain-http "$work/hello-0.1.0.tgz" "oci://$staging/team/charts" >"$work/helm.log" 2>&1
chart=$(crane digest --insecure "$staging/team/charts/hello:0.1.0")

say "an index with a signature, a signed child and a bill of materials of it"
python3 - "$staging" >"$work/content" <<'PYTHON'
import sys
from registry_content import Registry
registry = Registry(sys.argv[1])
index, children = registry.index("team/app", "app")
registry.signature("team/app", index, "builder")
registry.signature("team/app", children[0], "builder")
bill = registry.referrer("team/app", children[1], "application/spdx+json")
registry.signature("team/app", bill, "builder")
print(index["digest"], children[0]["digest"], children[1]["digest"], bill["digest"])
PYTHON
read -r index child other bill <"$work/content"

mkdir -p "$work/thin/images/team" "$work/thin/manifests/team"
cat >"$work/thin/manifests/team/promoter-manifest.yaml" <<YAML
registries:
- {name: $staging/team, src: true}
- {name: $old/images}
- {name: $new/images}
- {name: $new/images/again}
YAML
cat >"$work/thin/images/team/images.yaml" <<YAML
- name: app
  dmap: {"$index": ["v1", "stable"]}
- name: charts/hello
  dmap: {"$chart": ["0.1.0"]}
YAML
promote() { "$portolan" --quiet promote --thin-manifest-dir "$work/thin" --output json --confirm "$@" >"$work/report.json"; }
expect() { grep -qF "$1" "$work/report.json" || fail "expected $1 in: $(cat "$work/report.json")"; }

say "portolan promotes all of it to three destinations"
promote || fail "it ends with $?: $(cat "$work/report.json")"
expect '"edges":9,"present":0,"copied":9,"tagged":0,"attached":0,"lost":0,"refused":0,"failed":0,"attachment_broken":0,"public_name_failures":0'
for to in "$old/images" "$new/images" "$new/images/again"; do
  for tag in v1 stable; do equal "$to/app:$tag" "$(crane digest --insecure "$to/app:$tag")" "$index"; done
  for signed in "$index" "$child" "$bill"; do
    tag=${signed/:/-}.sig
    equal "$to/app:$tag" "$(crane digest --insecure "$to/app:$tag")" "$(crane digest --insecure "$staging/team/app:$tag")"
  done
done
curl -fsS "http://$new/v2/images/app/referrers/$other" | grep -q "$bill" || fail "the registry with the API does not list the bill"
crane manifest --insecure "$old/images/app:${other/:/-}" | grep -q "$bill" || fail "the registry without the API has no index that lists the bill"

say "skopeo and helm pull what was promoted"
skopeo copy --quiet --all --src-tls-verify=false "docker://$old/images/app:stable" "dir:$work/pulled"
equal 'files that came' "$(content_addressed "$work/pulled" "${index#sha256:}")" 9
for to in "$old" "$new"; do
  mkdir "$work/pull-$to"
  helm pull --plain-http "oci://$to/images/charts/hello" --version 0.1.0 --destination "$work/pull-$to" >>"$work/helm.log" 2>&1
  cmp "$work/hello-0.1.0.tgz" "$work/pull-$to/hello-0.1.0.tgz" || fail "helm pulled another chart from $to"
done

say "a second promotion finds nothing to do"
# Counted by the registries, not by portolan.
writes() { echo "$(grep -cE '"(POST|PUT|PATCH|DELETE) /v2/' "$work/old.log" || true) $(requests_of "$writing" new)"; }
before=$(writes)
case " $before " in *' 0 '*) fail "the counts of the registries do not show writes ($before), so that it cannot show their absence" ;; esac
promote || fail "it ends with $?"
expect '"edges":9,"present":9,"copied":0,"tagged":0,"attached":0,"lost":0,"refused":0,"failed":0,"attachment_broken":0,"public_name_failures":0'
equal 'requests that wrote, in all' "$(writes)" "$before"

say "production's own signature stays, and staging's new one is added"
python3 - "$staging" "$old" "$index" <<'PYTHON'
import sys
from registry_content import Registry
staging, production, index = sys.argv[1:]
Registry(staging).signature("team/app", {"digest": index}, "second builder")
Registry(production).signature("images/app", {"digest": index}, "production")
PYTHON
promote || fail "it ends with $?"
signers=$(crane manifest --insecure "$old/images/app:${index/:/-}.sig" | python3 -c '
import json, sys
print(*(layer["annotations"]["dev.cosignproject.cosign/signature"] for layer in json.load(sys.stdin)["layers"]), sep=", ")')
equal 'the signatures at production' "$signers" 'production, second builder'

say "a signed image of Docker schema 1, from a registry that still takes it, is refused"
docker_registry ancient 'compatibility: {schema1: {enabled: true}}'
ancient=$(address ancient "$registry_pattern")
schema1=$(python3 - "$ancient" "$here/schema1.json" <<'PYTHON'
import sys
from registry_content import Registry
registry = Registry(sys.argv[1])
registry.blob("team/legacy", b"a layer of schema 1\n", "")
media_type = "application/vnd.docker.distribution.manifest.v1+prettyjws"
response, _ = registry.ask("PUT", "/v2/team/legacy/manifests/v1", open(sys.argv[2], "rb").read(), {"Content-Type": media_type})
print(response.headers["Docker-Content-Digest"])
PYTHON
)
mkdir -p "$work/thin/images/ancient" "$work/thin/manifests/ancient"
printf -- '- name: legacy\n  dmap: {"%s": ["v1"]}\n' "$schema1" >"$work/thin/images/ancient/images.yaml"
printf 'registries:\n- {name: %s/team, src: true}\n- {name: %s/images}\n' "$ancient" "$new" >"$work/thin/manifests/ancient/promoter-manifest.yaml"
status=0
promote || status=$?
equal 'the exit code' "$status" 1
expect '"edges":10,"present":9,"copied":0,"tagged":0,"attached":0,"lost":0,"refused":0,"failed":1'
expect "\"digest\":\"$schema1\",\"tag\":\"v1\",\"outcome\":\"failed\""
expect 'it is a Docker schema 1 manifest'
equal 'of production' "$(curl -sS -o "$work/legacy" -w '%{http_code}' "http://$new/v2/images/legacy/tags/list")" 404
rm -r "$work/thin/images/ancient" "$work/thin/manifests/ancient"

say "a tag is not moved, whatever the manifests request"
sed -i "s/$chart/$index/" "$work/thin/images/team/images.yaml"
skopeo copy --quiet --all --preserve-digests --src-tls-verify=false --dest-tls-verify=false "docker://$staging/team/app@$index" "docker://$staging/team/charts/hello:x"
status=0
promote || status=$?
equal 'the exit code' "$status" 1
expect '"refused":3,"failed":0'
equal 'the chart' "$(crane digest --insecure "$old/images/charts/hello:0.1.0")" "$chart"
say 'all of it holds'
