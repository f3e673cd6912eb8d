#!/usr/bin/env bash
# Promotion of thirty images to three registries of different makers, through a proxy that injects faults at random: 429 and
# 503, resets and cut bodies, HEADs that fail where GET succeeds, stale listings, refused mounts, tokens and upload sessions that
# expire; and portolan is killed at random moments. In no round may exit 0 be false, a tag be incomplete, or a tag move. After
# each round a run without faults ends with 0, and the registries hold the same content as after a run without any faults.
#
#     cargo build --release && PATH=$(tests/interop/tools.sh):$PATH tests/interop/promotion-chaos.sh
#
# Runs ROUNDS rounds (2, to keep .ci/run short; 20 or more by hand), with the seeds from SEED on: SEED=7 ROUNDS=1 repeats the
# round of seed 7. If a round fails, or with KEEP=1, the logs are kept in a folder that it names. Needs docker-registry,
# python3, and registry (distribution 3) on the PATH.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need docker-registry registry python3
seed=${SEED:-1}
rounds=${ROUNDS:-2}
here=$(dirname "$0")
export PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1

# distribution NAME PROGRAM: docker-registry or registry on a free port. Foreign layers must be allowed by their URLs.
distribution() {
  cat >"$work/$1.yml" <<YAML
version: 0.1
log: {level: info}
storage: {filesystem: {rootdirectory: $work/$1}, delete: {enabled: true}}
http: {addr: "127.0.0.1:0"}
validation: {manifests: {urls: {allow: ['^https://registry\.example/']}}}
YAML
  # Distribution 3 would try to send traces to a collector that is not there.
  start "$1" env OTEL_TRACES_EXPORTER=none "$2" serve "$work/$1.yml"
}

portolan_registry staging
# A killed promotion leaves its upload sessions behind, which count for its address until they expire.
portolan_registry portolan --storage "file://$work/portolan" --max-uploads 10000
distribution distribution2 docker-registry
distribution distribution3 registry

staging=$(address staging "$portolan_pattern")
registries=("portolan=$(address portolan "$portolan_pattern")")
for name in distribution2 distribution3; do registries+=("$name=$(address "$name" "$registry_pattern")"); done

say "from seed $seed on, $rounds rounds"
status=0
mkdir "$work/rounds"
python3 "$here/promotion_chaos.py" "$portolan" "$work/rounds" "$seed" "$rounds" "$staging" "${registries[@]}" || status=$?
if [ "$status" -ne 0 ] || [ -n "${KEEP:-}" ]; then
  kept=$(mktemp -d "${TMPDIR:-/tmp}/promotion-chaos.XXXXXX")
  cp -r "$work/rounds" "$work"/*.log "$kept"
  say "the logs are in $kept"
fi
[ "$status" -eq 0 ] || fail 'see above'
say 'all of it holds'
