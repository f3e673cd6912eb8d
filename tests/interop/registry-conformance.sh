#!/usr/bin/env bash
# The distribution specification's own suite against Portolan's registry, in memory and on a directory, and for
# comparison against Debian's docker-registry: as it comes, and then with all that it leaves off by default.
#
#     cargo build --release && PATH=$(tests/interop/tools.sh):$PATH tests/interop/registry-conformance.sh
#
# Needs docker-registry and conformance on the PATH.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need docker-registry conformance

# What the suite leaves off by default, as its report names it.
off='Blob upload cancel,Manifest put with tag params,Sparse Manifests,Tag Param,Tag Param sha512'
everything=(OCI_API_BLOBS_UPLOAD_CANCEL=true OCI_API_BLOBS_DIGEST_HEADER=true OCI_API_MANIFESTS_DIGEST_HEADER=true
  OCI_API_MANIFESTS_TAG_PARAM=true OCI_DATA_SPARSE=true)

# suite NAME PATTERN SETTING…: runs it against the server NAME, whose log says by PATTERN where it listens. Leaves
# NAME.report, and NAME.rows: what was tested, a tab, how it went.
suite() {
  local name=$1 host
  host=$(address "$1" "$2")
  shift 2
  mkdir "$work/$name.results"
  # It exits with 1 after any failure; what it found stands in the report, and is judged below. It reads settings
  # from the directory that it runs in, so that one is empty.
  (cd "$work/$name.results" && env OCI_VERSION=1.1 OCI_TLS=disabled OCI_REGISTRY="$host" OCI_LOG=error "$@" conformance) \
    >"$work/$name.report" 2>"$work/$name-suite.log" || true
  sed -n '/^API conformance:/,$s/^  \(.*[^.]\)\.*: *\([A-Za-z]*\)$/\1\t\2/p' "$work/$name.report" >"$work/$name.rows"
  printf '    %s: %s;%s\n' "$name" "$(grep '^OCI Conformance Result' "$work/$name.report" || echo 'no result')" \
    "$(for status in Pass FAIL Error Skip Disabled; do printf ' %s %s' "$(count "$name" "$status")" "$status"; done)"
}

# count NAME STATUS: how many tests ended so.
count() { sed -n "s/^  $2\.*: *\([0-9][0-9]*\)$/\1/p" "$work/$1.report"; }

# table NAME…: the rows of all of them, side by side.
table() {
  local name files=()
  for name; do files+=("$work/$name.rows"); done
  awk -F '\t' -v names="$*" '
    FNR == 1 { file++ }
    !($1 in seen) { seen[$1] = 1; order[++rows] = $1 }
    { cell[$1, file] = $2 }
    END {
      files = split(names, name, " ")
      printf "    %-30s", ""; for (f = 1; f <= files; f++) printf " %-15s", name[f]; print ""
      for (r = 1; r <= rows; r++) {
        printf "    %-30s", order[r]; for (f = 1; f <= files; f++) printf " %-15s", cell[order[r], f]; print ""
      }
    }' "${files[@]}"
}

# judge NAME OFF DISABLED: everything passed, but for the rows OFF, and nothing else was left out. A row is the worst
# of its tests, but Pass hides a Skip; so the counts matter as well.
judge() {
  local name=$1 failed='' status found
  grep -q '^OCI Conformance Result: Pass$' "$work/$name.report" || failed+=' the result is not Pass;'
  for status in FAIL Error Skip; do
    found=$(count "$name" "$status")
    [ "$found" = 0 ] || failed+=" $found $status;"
  done
  found=$(count "$name" Disabled)
  [ "$found" = "$3" ] || failed+=" $found Disabled, not $3;"
  found=$(rows "$name" 'FAIL|Error|Skip|Unknown')
  [ -z "$found" ] || failed+=" not passed: $found;"
  found=$(rows "$name" Disabled)
  [ "$found" = "$2" ] || failed+=" switched off: $found;"
  [ -z "$failed" ] && return
  # A test with its errors below it.
  grep -B 1 '^ *- ' "$work/$name.report" | grep -v '^--$' | cut -c1-300 | head -n 60 >&2 || true
  printf '%s:%s\n' "$name" "$failed" >&2
  wrong+=" $name"
}

# rows NAME STATUSES: those with one of them, as a list.
rows() { awk -F '\t' -v statuses="^($2)$" '$2 ~ statuses {print $1}' "$work/$1.rows" | LC_ALL=C sort | paste -sd,; }

wrong=

say "the specification's suite as it comes"
portolan_registry memory
portolan_registry directory --storage "file://$work/plain"
docker_registry docker-registry
suite memory "$portolan_pattern"
suite directory "$portolan_pattern"
suite docker-registry "$registry_pattern"
table memory directory docker-registry
judge memory "$off" 2 # cancelling an upload, for each of two digest algorithms
judge directory "$off" 2

say "and with everything that it can test"
portolan_registry memory-all --allow-missing-references
portolan_registry directory-all --allow-missing-references --storage "file://$work/sparse"
docker_registry docker-registry-all
suite memory-all "$portolan_pattern" "${everything[@]}"
suite directory-all "$portolan_pattern" "${everything[@]}"
suite docker-registry-all "$registry_pattern" "${everything[@]}"
table memory-all directory-all docker-registry-all
judge memory-all '' 0
judge directory-all '' 0

[ -z "$wrong" ] || fail "does not hold:$wrong"
say "both storages passed $(count memory Pass) tests, and $(count memory-all Pass) with everything"
