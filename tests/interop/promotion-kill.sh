#!/usr/bin/env bash
# kill -9 at twenty random moments of a promotion costs only time: the run after it ends with registries that are, byte for
# byte, those of an undisturbed promotion.
#
#     cargo build --release && tests/interop/promotion-kill.sh [SEED]
#
# Needs python3.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need python3
kills=20
seed=${1:-5}
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

# destinations: three empty registries on directories, and a manifest that goes there from staging.
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
# No function: what is killed must be portolan, not a shell that waits for it.
promote=("$portolan" --quiet promote --thin-manifest-dir "$work/thin" --confirm)
# So that there are moments enough between its beginning and its end.
slowly=(--quota "$staging=250")
# Every file of the three, with the sha256 of its content; open upload sessions do not count as content.
content() { (cd "$work" && find a b c -type f -not -path '*/uploads/*' -print0 | sort -z | xargs -0 sha256sum); }

destinations
begin=$(date +%s%N)
"${promote[@]}" "${slowly[@]}" >"$work/undisturbed.txt"
duration=$((($(date +%s%N) - begin) / 1000000))
end_destinations
content >"$work/expected"
say "undisturbed: $duration ms, $(wc -l <"$work/expected") files at three registries; seed $seed"

# What the repositories of the three hold, in files; a registry may still be about to finish a request.
held() { { find "$work"/[abc]/repositories -type f 2>/dev/null || true; } | wc -l; }

# The processes that promote these manifests. The words come from a file, so that this is none of them.
printf '%s' "$work/thin" >"$work/words"
alive() { grep -alsFf "$work/words" /proc/[0-9]*/cmdline || true; }

# kill_one: kills a promotion at a random moment; sets what it left, and fails where it had ended by then.
kill_one() {
  local status=0
  after=$((RANDOM * RANDOM % duration))
  "${promote[@]}" "${slowly[@]}" >/dev/null 2>&1 &
  pid_of[promotion]=$!
  sleep "$(printf '%d.%03d' $((after / 1000)) $((after % 1000)))"
  kill -9 "${pid_of[promotion]}" 2>/dev/null || true
  wait "${pid_of[promotion]}" 2>/dev/null || status=$?
  unset "pid_of[promotion]"
  equal "kill $kill: promotions that live on" "$(alive)" ''
  left=$(held)
  [ "$status" -eq 0 ] && return 1
  equal "kill $kill after $after ms: the exit code" "$status" 137
}

RANDOM=$seed
all=$(cut -d' ' -f3- "$work/expected" | grep -c '^./repositories/')
kill=1 early=0 midway=0
while [ "$kill" -le "$kills" ]; do
  destinations
  if ! kill_one; then
    end_destinations
    early=$((early + 1))
    [ "$early" -le "$kills" ] || fail "the promotion ends before the moments come, $early times"
    continue
  fi
  [ "$left" -eq 0 ] || [ "$left" -ge "$all" ] || midway=$((midway + 1))
  "${promote[@]}" >"$work/repaired.txt" || fail "kill $kill after $after ms: the run after it ends with $?: $(cat "$work/repaired.txt")"
  "${promote[@]}" --output json >"$work/again.json" || fail "kill $kill: the third run ends with $?"
  grep -q '"copied":0,"tagged":0,"attached":0' "$work/again.json" || fail "kill $kill: the third run finds something to do"
  end_destinations
  content | cmp - "$work/expected" || fail "kill $kill after $after ms: the registries differ from the undisturbed ones (seed $seed)"
  printf '    kill %2d after %4d ms: %4d of %d files of repositories were there, now all\n' "$kill" "$after" "$left" "$all"
  kill=$((kill + 1))
done
# Else they were no moments of a promotion.
[ "$midway" -ge $((kills / 4)) ] || fail "only $midway of $kills kills came while it wrote (seed $seed)"
say 'all of it holds'
