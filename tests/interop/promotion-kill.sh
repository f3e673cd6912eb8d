#!/usr/bin/env bash
# kill -9 at twenty random moments of a promotion costs only time: the run after it ends with registries that are, byte for
# byte, those of a promotion that nobody disturbed.
#
#     cargo build --release && tests/interop/promotion-kill.sh [SEED]
#
# Needs python3.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need python3
kills=20
seed=${1:-$RANDOM}
export PYTHONPATH=$(dirname "$0") PYTHONDONTWRITEBYTECODE=1

portolan_registry staging
staging=$(address staging "$portolan_pattern")
python3 - "$staging" >"$work/images.yaml" <<'PYTHON'
import sys
from registry_content import Registry
registry = Registry(sys.argv[1])
for number in range(16):
    name = f"app{number % 4}"
    index, children = registry.index(f"team/{name}", f"image {number}")
    if number % 2:
        registry.signature(f"team/{name}", index, "builder")
        bill = registry.referrer(f"team/{name}", children[0], "application/spdx+json")
        registry.signature(f"team/{name}", bill, "builder")
    print(f'- name: {name}\n  dmap: {{"{index["digest"]}": ["v{number}", "stable-{number}"]}}')
PYTHON

# run NAME: three empty registries on directories, and a manifest that goes there from a staging that is not too fast.
destinations() {
  local to
  mkdir -p "$work/thin/images/team" "$work/thin/manifests/team"
  cp "$work/images.yaml" "$work/thin/images/team/"
  printf 'registries:\n- {name: %s/team, src: true}\n' "$staging" >"$work/thin/manifests/team/promoter-manifest.yaml"
  for to in a b c; do
    rm -rf "${work:?}/$to"
    portolan_registry "$to" --storage "file://$work/$to"
    printf -- '- name: %s/images\n' "$(address "$to" "$portolan_pattern")" >>"$work/thin/manifests/team/promoter-manifest.yaml"
  done
}
end_destinations() { for to in a b c; do stop "$to"; done; }
promote() { "$portolan" --quiet promote --thin-manifest-dir "$work/thin" --confirm --quota "$staging=250" "$@"; }
# Every file of the three, with the sha256 of its content; open upload sessions are nobody's content.
content() { (cd "$work" && find a b c -type f -not -path '*/uploads/*' -print0 | sort -z | xargs -0 sha256sum); }

destinations
begin=$(date +%s%N)
promote >"$work/undisturbed.txt"
duration=$((($(date +%s%N) - begin) / 1000000))
end_destinations
content >"$work/expected"
say "undisturbed: $duration ms, $(wc -l <"$work/expected") files at three registries; seed $seed"

RANDOM=$seed
for kill in $(seq "$kills"); do
  destinations
  after=$((RANDOM * RANDOM % duration))
  promote >/dev/null 2>&1 &
  promotion=$!
  sleep "$(printf '%d.%03d' $((after / 1000)) $((after % 1000)))"
  kill -9 "$promotion" 2>/dev/null || true
  wait "$promotion" 2>/dev/null || true
  left=$(find "$work"/[abc]/repositories -type f 2>/dev/null | wc -l) || left=0
  promote >"$work/repaired.txt" || fail "kill $kill after $after ms: the run after it ends with $?: $(cat "$work/repaired.txt")"
  promote --output json >"$work/again.json" || fail "kill $kill: the third run ends with $?"
  grep -q '"copied":0,"tagged":0,"attached":0' "$work/again.json" || fail "kill $kill: the third run finds something to do"
  end_destinations
  content | cmp - "$work/expected" || fail "kill $kill after $after ms: the registries differ from the undisturbed ones (seed $seed)"
  printf '    kill %2d after %4d ms: %4d files of repositories were there, now all\n' "$kill" "$after" "$left"
done
say 'all of it holds'
