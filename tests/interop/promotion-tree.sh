#!/usr/bin/env bash
# Kubernetes' promotion manifests promoted for real at a reduced scale: all its projects, registries and 22 destinations, which are
# paths of three registries here, and some hundred small images in the place of its twenty thousand.
#
#     cargo build --release && PATH=$(tests/interop/tools.sh):$PATH tests/interop/promotion-tree.sh
#
# Needs crane, curl, and python3 with yaml, and the tree in PORTOLAN_DATA (default ../shared/data); without it, it skips.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need crane curl python3
tree=${PORTOLAN_DATA:-$root/../shared/data}/k8s.io/registry.k8s.io
if [ ! -d "$tree" ]; then
  printf 'skipped: %s is not there; set PORTOLAN_DATA\n' "$tree"
  exit 0
fi
digests=${DIGESTS:-210}
export PYTHONPATH=$(dirname "$0") PYTHONDONTWRITEBYTECODE=1

portolan_registry staging --admin 127.0.0.1:0
hosts=()
for name in one two three; do
  portolan_registry "$name" --admin 127.0.0.1:0
  hosts+=("$(address "$name" "$portolan_pattern")")
done
# Debian's Python is the one that has its packages.
/usr/bin/python3 "$(dirname "$0")/promotion_tree.py" "$tree" "$work/thin" "$digests" "$(address staging "$portolan_pattern")" "${hosts[@]}" >"$work/made"
say "the tree: $(cat "$work/made")"
edges=$(wc -l <"$work/thin.edges")

promote() { "$portolan" --quiet promote --thin-manifest-dir "$work/thin" --confirm --report "$work/report.json" >"$work/promoted.txt"; }
# summary MEMBER…: prints these members of the summary.
summary() { python3 -c 'import json, sys; it = json.load(open(sys.argv[1]))["summary"]; print(*(it[name] for name in sys.argv[2:]))' "$work/report.json" "$@"; }

say 'portolan promotes it'
promote || fail "it ends with $?: $(cat "$work/promoted.txt")"
equal 'edges, copied, failed' "$(summary edges copied failed)" "$edges $edges 0"
printf '    %s requests, %s bytes written, %s s\n' $(summary requests bytes_sent seconds)

say "crane reads the digest of each of the $edges edges"
begin=$SECONDS
# Several at once, and several words to each shell, which is what takes the time.
check='while [ $# -gt 0 ]; do [ "$(crane digest --insecure "$1")" = "$2" ] || echo "$1 is not on $2"; shift 2; done'
xargs -P 4 -n 100 sh -c "$check" check <"$work/thin.edges" >"$work/wrong" || fail "crane: $(head "$work/wrong")"
equal 'edges that are not as requested' "$(cat "$work/wrong")" ''
printf '    %s s\n' "$((SECONDS - begin))"

say 'again: nothing to do'
# Counted by the registries, not by portolan.
requests=$(requests_of '.*' staging one two three)
writes=$(requests_of "$writing" staging one two three)
[ "$writes" -gt "$edges" ] || fail "the registries' metrics do not show writes, so that they cannot show their absence"
promote || fail "it ends with $?: $(cat "$work/promoted.txt")"
equal 'edges, present' "$(summary edges present)" "$edges $edges"
equal 'requests that wrote, in all' "$(requests_of "$writing" staging one two three)" "$writes"
equal 'requests in the report' "$(summary requests)" "$(($(requests_of '.*' staging one two three) - requests))"
printf '    %s requests, %s s\n' $(summary requests seconds)
say 'all of it holds'
