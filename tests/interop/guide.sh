#!/usr/bin/env bash
# The commands of the guides, as they stand there, in a copy of the examples: each block must succeed. Only the ports are
# other ones, since the guides' may be taken.
#
#     cargo build --release && PATH=$(tests/interop/tools.sh):$PATH tests/interop/guide.sh
#
# Needs crane, curl, htpasswd and python3 on the PATH.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need crane curl htpasswd python3

mkdir "$work/bin"
ln -s "$portolan" "$work/bin/portolan"
export PATH=$work/bin:$PATH DOCKER_CONFIG=$work/docker

# commands PAGE…: the shell blocks of the pages, in order.
commands() { sed -n '/^```sh$/,/^```$/{/^```/!p}' "$@"; }

# free_ports: a sed script that replaces each port of the guides by a free one.
free_ports() {
  python3 - 5001 5002 5003 8080 8082 9090 9091 <<'PY'
import socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in sys.argv[1:]]
for wanted, free in zip(sys.argv[1:], sockets):
    print(f"s/\\([:?]\\){wanted}\\b/\\1{free.getsockname()[1]}/g")
PY
}

# run_pages PAGE…: their commands in one shell, in a fresh copy of the examples.
run_pages() {
  local copy script
  copy=$work/$(basename "$1" .md)
  cp -r "$root/examples" "$copy"
  free_ports >"$copy/ports.sed"
  sed -i -f "$copy/ports.sed" "$copy"/front.yaml "$copy"/promotion/*/*/*.yaml
  script=$(commands "$@" | sed -f "$copy/ports.sed")
  [ -n "$script" ] || fail "no commands in $*"
  # Whatever the page leaves running ends with its shell.
  (cd "$copy" && timeout 120 bash -euo pipefail -c "trap 'kill \$(jobs -p) 2>/dev/null || true' EXIT; $script" >"$work/page.log" 2>&1) ||
    fail "the commands of $*"
  say "the commands of $*"
}

cd "$root/docs/guide"
run_pages first-promotion.md first-front.md
grep -q 'tag move' "$work/page.log" || fail 'the mistake of the first promotion is not refused'
grep -q 'exit code 1' "$work/page.log" || fail 'the mistake of the first promotion does not exit with 1'
run_pages team-registry.md
grep -q 'denied, as it should be' "$work/page.log" || fail 'a push without rights is not denied'
say 'all of it holds'
