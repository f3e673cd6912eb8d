#!/usr/bin/env bash
# Everything behind an authenticating HTTP proxy and a private certificate authority: promotion, mirroring and the front. The
# registries' names resolve for the proxy alone, so whatever does not go through it fails.
#
#     cargo build --release && PATH=$(tests/interop/tools.sh):$PATH tests/interop/proxy.sh
#
# Needs squid, openssl, htpasswd, curl, crane and python3 on the PATH.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin # where Debian has squid
need squid openssl htpasswd curl crane python3

# The authority, and one certificate for all servers.
chmod 755 "$work"
mkdir "$work/squid" "$work/docker" "$work/store"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=private authority' -keyout "$work/ca.key" -out "$work/ca.pem" 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj '/CN=servers' -keyout "$work/key.pem" -out "$work/request.pem" 2>/dev/null
openssl x509 -req -days 2 -in "$work/request.pem" -CA "$work/ca.pem" -CAkey "$work/ca.key" -out "$work/chain.pem" \
  -extfile <(echo 'subjectAltName=DNS:staging.test,DNS:production.test,DNS:store.test,IP:127.0.0.1') 2>/dev/null

for name in staging production; do
  start "$name" "$portolan" registry serve --listen 127.0.0.1:0 --tls-cert "$work/chain.pem" --tls-key "$work/key.pem"
done
start store "$portolan" store serve "$work/store" --listen 127.0.0.1:0
# The same files with TLS, which a store server leaves to what stands in front of it.
cat >"$work/tls_store.py" <<'PYTHON'
import functools, http.server, ssl, sys
store, chain, key = sys.argv[1:]
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=store)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(chain, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(f"port {server.server_port}", flush=True)
server.serve_forever()
PYTHON
start tls-store python3 "$work/tls_store.py" "$work/store" "$work/chain.pem" "$work/key.pem"
port_of() { address "$1" "$portolan_pattern" | sed 's/.*://'; }
staging=staging.test:$(port_of staging) production=production.test:$(port_of production)

# The proxy resolves the names, and requires a password.
htpasswd -bc "$work/squid/users" robot 'pass:word' 2>/dev/null
printf '127.0.0.1 %s\n' staging.test production.test store.test ranges.test >"$work/squid/hosts"
free_port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
proxy=127.0.0.1:$(free_port) tls_proxy=127.0.0.1:$(free_port)
ncsa=$(find /usr/lib /usr/libexec -name basic_ncsa_auth 2>/dev/null | head -n 1)
[ -n "$ncsa" ] || fail 'squid has no basic_ncsa_auth'
cat >"$work/squid.conf" <<CONF
http_port $proxy
https_port $tls_proxy tls-cert=$work/chain.pem tls-key=$work/key.pem
hosts_file $work/squid/hosts
auth_param basic program $ncsa $work/squid/users
auth_param basic realm proxy
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
cache deny all
access_log stdio:$work/squid/access.log
cache_log $work/squid/cache.log
pid_filename none
coredump_dir $work/squid
shutdown_lifetime 0 seconds
CONF
chmod -R a+rwX "$work/squid"
start squid squid -N -f "$work/squid.conf"
for _ in $(seq 100); do curl -s -o /dev/null "http://$proxy" && break || sleep 0.1; done

url="http://robot:pass%3Aword@$proxy"
through=(env HTTP_PROXY="$url" HTTPS_PROXY="$url" DOCKER_CONFIG="$work/docker")
proxied() { grep -c "$1" "$work/squid/access.log" || true; }

echo 'hello' >"$work/hello.txt"
tar -C "$work" -cf "$work/layer.tar" hello.txt
"${through[@]}" SSL_CERT_FILE="$work/ca.pem" crane append --oci-empty-base --new_layer "$work/layer.tar" --new_tag "$staging/team/app:1" >/dev/null 2>&1 ||
  fail 'crane cannot push through the proxy'
digest=$("${through[@]}" SSL_CERT_FILE="$work/ca.pem" crane digest "$staging/team/app:1")
cat >"$work/images.yaml" <<YAML
registries:
- {name: "$staging/team", src: true}
- name: $production/images
images:
- name: app
  dmap:
    "$digest": ["1.0"]
YAML
promote=("$portolan" promote --manifest "$work/images.yaml" --confirm)

say 'without the proxy no name resolves'
status=0
env DOCKER_CONFIG="$work/docker" "${promote[@]}" --ca-file "$work/ca.pem" >"$work/out" 2>&1 || status=$?
equal 'exit code without a proxy' "$status" 1

say 'a wrong password is named, and not printed'
status=0
env HTTPS_PROXY="http://robot:wrong@$proxy" DOCKER_CONFIG="$work/docker" "${promote[@]}" --ca-file "$work/ca.pem" >"$work/out" 2>&1 || status=$?
equal 'exit code with a wrong password' "$status" 1
grep -q "$proxy.*407" "$work/out" || fail "the error does not name the proxy and its response: $(cat "$work/out")"
if grep -q 'wrong@\|robot:' "$work/out"; then fail 'the password is printed'; fi

say 'without the private authority nothing is trusted'
status=0
"${through[@]}" "${promote[@]}" >"$work/out" 2>&1 || status=$?
equal 'exit code without --ca-file' "$status" 1
grep -q 'certificate' "$work/out" || fail "the error does not name the certificate: $(cat "$work/out")"

say 'promotion'
"${through[@]}" "${promote[@]}" --ca-file "$work/ca.pem" >"$work/out" 2>&1 || fail "promotion through the proxy: $(cat "$work/out")"
equal 'the digest in production' "$("${through[@]}" SSL_CERT_FILE="$work/ca.pem" crane digest "$production/images/app:1.0")" "$digest"
[ "$(proxied "CONNECT $staging")" -gt 0 ] && [ "$(proxied "CONNECT $production")" -gt 0 ] || fail 'the proxy saw no tunnel'

say 'a proxy that speaks TLS'
before=$(proxied "CONNECT $staging")
env HTTPS_PROXY="https://robot:pass%3Aword@$tls_proxy" DOCKER_CONFIG="$work/docker" "${promote[@]}" --ca-file "$work/ca.pem" >"$work/out" 2>&1 ||
  fail "promotion through the proxy with TLS: $(cat "$work/out")"
[ "$(proxied "CONNECT $staging")" -gt "$before" ] || fail 'the proxy saw no tunnel'

say 'mirroring'
"${through[@]}" "$portolan" mirror --from "$production/images" --to "file://$work/store" --confirm --ca-file "$work/ca.pem" >"$work/out" 2>&1 ||
  fail "mirroring through the proxy: $(cat "$work/out")"
[ -f "$work/store/containers/images/$digest" ] || fail 'the manifest is not in the store'

say 'NO_PROXY'
before=$(proxied "$production")
status=0
"${through[@]}" NO_PROXY=production.test "${promote[@]}" --ca-file "$work/ca.pem" >"$work/out" 2>&1 || status=$?
equal 'exit code where NO_PROXY names a host that does not resolve' "$status" 1
equal 'requests of the proxy to a host in NO_PROXY' "$(proxied "$production")" "$before"

# front NAME STORE [FLAG…]: starts a front with this store, and writes into the file location where it sends a client for the blob.
front() {
  local name=$1 store=$2
  shift 2
  cat >"$work/$name.yaml" <<YAML
listen: 127.0.0.1:0
admin: null
cache_dir: null
upstream: {endpoint: "https://$production", path: images}
client_ip: {forwarded: never}
stores:
- {name: store, url: "$store", serves: [{cloud: "*"}]}
YAML
  start "$name" "${through[@]}" "$portolan" serve --config "$work/$name.yaml" "$@"
  curl -s -o /dev/null -w '%{redirect_url}' "http://$(address "$name" "$portolan_pattern")/v2/app/blobs/$digest" >"$work/location"
}

say 'the front probes its stores through the proxy'
store=store.test:$(port_of store)
front front "http://$store"
equal 'where a client is sent' "$(cat "$work/location")" "http://$store/containers/images/$digest"
[ "$(proxied "HEAD http://$store/containers/images/$digest")" -gt 0 ] || fail 'the proxy saw no probe'

say 'the front probes a store with TLS by a private authority through the proxy'
store=store.test:$(address tls-store 'port \(.*\)')
front tls-front "https://$store" --ca-file "$work/ca.pem"
equal 'where a client is sent with --ca-file' "$(cat "$work/location")" "https://$store/containers/images/$digest"
[ "$(proxied "CONNECT $store")" -gt 0 ] || fail 'the proxy saw no tunnel to the store'
front untrusting-front "https://$store"
equal 'where a client is sent without --ca-file' "$(cat "$work/location")" "https://$production/v2/images/app/blobs/$digest"
say 'all of it holds'
