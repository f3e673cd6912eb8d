"""front-warm: redirects of blobs whose presence is known, beside nginx `return 307`.

Needs two cores, nginx and wrk (apt-get install nginx-light wrk), and the published address ranges in
PORTOLAN_DATA/ranges (default ../shared/data).
"""

import ipaddress, json, os, pathlib, random, re, statistics, subprocess, sys, urllib.request

from harness import ROOT, Bench, built_portolan, children, cpu_seconds, free_port, resident_mib, wait_for

DATA = pathlib.Path(os.environ.get("PORTOLAN_DATA", ROOT / "../shared/data"))
SERVER_CORE, LOAD_CORE = "0", "1"
DIGESTS, ADDRESSES, CONNECTIONS = 10_000, 10_000, 64

# The load: every request asks for another digest as another client. `warm` walks all digests for one
# client of each store in turn; otherwise both are drawn at random.
LUA = """
local digests, addresses, warm = {}, {}, os.getenv("WARM") == "1"
for line in io.lines(os.getenv("DIGESTS")) do
  digests[#digests + 1] = "GET /v2/kubernetes/pause/blobs/sha256:" .. line .. " HTTP/1.1\\r\\nHost: r\\r\\nX-Forwarded-For: "
end
for line in io.lines(os.getenv("ADDRESSES")) do addresses[#addresses + 1] = line .. "\\r\\n\\r\\n" end
local random, n, d, a = math.random, tonumber(os.getenv("START")), #digests, #addresses
math.randomseed(20261122)
function request()
  if not warm then return digests[random(d)] .. addresses[random(a)] end
  local at = n
  n = n + 1
  return digests[math.floor(at / a) % d + 1] .. addresses[at % a + 1]
end
"""

NGINX = """
daemon off; worker_processes 1; pid {dir}/{name}.pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 1h;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  server {{ listen 127.0.0.1:{port} reuseport; location / {{ return {response}; }} }} }}
"""


def nginx(bench, name, response, core):
    port = free_port()
    conf = bench.dir / f"{name}.conf"
    conf.write_text(NGINX.format(dir=bench.dir, name=name, port=port, response=response))
    process = bench.start(["nginx", "-p", bench.dir, "-c", conf, "-e", "stderr"], core)
    wait_for(port)
    return process, port


def wrk(port, script, digests, addresses, seconds, warm_from=None):
    warm = {"WARM": "0", "START": "0"} if warm_from is None else {"WARM": "1", "START": str(warm_from)}
    environment = dict(os.environ, DIGESTS=str(digests), ADDRESSES=str(addresses), **warm)
    command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(script), f"http://127.0.0.1:{port}"]
    out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    unit = {"us": 1, "ms": 1e3, "s": 1e6}
    latency = {p: float(v) * unit[u] for p, v, u in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", out)}
    if re.search(r"Non-2xx or 3xx responses|Socket errors", out):
        sys.exit(f"the load saw errors:\n{out}")
    return {
        "requests": int(re.search(r"(\d+) requests in", out)[1]),
        "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]),
        "p50": latency["50"],
        "p99": latency["99"],
    }


def metric(admin, pattern):
    text = urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics").read().decode()
    return sum(float(value) for value in re.findall(pattern, text, re.M))


def client_addresses():
    """Half of the addresses are in AWS's ranges, a fifth in GCP's, the rest anywhere; a fifth is IPv6."""
    aws = json.loads((DATA / "ranges/aws-ip-ranges.json").read_text())
    gcp = json.loads((DATA / "ranges/gcp-cloud.json").read_text())
    pools = {
        ("aws", 4): [p["ip_prefix"] for p in aws["prefixes"]],
        ("aws", 6): [p["ipv6_prefix"] for p in aws["ipv6_prefixes"]],
        ("gcp", 4): [p["ipv4Prefix"] for p in gcp["prefixes"] if "ipv4Prefix" in p],
        ("gcp", 6): [p["ipv6Prefix"] for p in gcp["prefixes"] if "ipv6Prefix" in p],
    }
    draw = random.Random(20261122)
    for _ in range(ADDRESSES):
        version = 6 if draw.random() < 0.2 else 4
        where = draw.choices(["aws", "gcp", "anywhere"], [5, 2, 3])[0]
        if where == "anywhere":
            bits = 32 if version == 4 else 128
            yield ipaddress.ip_address(draw.getrandbits(bits)) if version == 4 else ipaddress.IPv6Address(draw.getrandbits(bits))
            continue
        net = ipaddress.ip_network(draw.choice(pools[where, version]))
        yield net[draw.randrange(net.num_addresses)]


def front_config(bench, bucket, listen, admin):
    """The built-in configuration's stores and upstream, with one local bucket in place of every store."""
    text = (ROOT / "examples/registry.k8s.io.yaml").read_text()
    stores = text[text.index("\nstores:") :]
    stores = re.sub(r"url: [^,\s}]+", f'url: "http://127.0.0.1:{bucket}"', stores)
    config = f"""
listen: 127.0.0.1:{listen}
admin: 127.0.0.1:{admin}
upstream: {{endpoint: "https://us-central1-docker.pkg.dev", path: k8s-artifacts-prod/images}}
client_ip: {{forwarded: auto, trusted_hops: 0}}
keep_upstream: [gcp]
ranges:
- {{cloud: aws, format: aws, from: "{DATA}/ranges/aws-ip-ranges.json"}}
- {{cloud: gcp, format: gcp, from: "{DATA}/ranges/gcp-cloud.json"}}
{stores}
"""
    path = bench.dir / "front.yaml"
    path.write_text(config)
    return path


def one_address_of_each_store(portolan, config, addresses):
    """An address for each store that some address goes to, as the front itself explains it."""
    found = {}
    for address in addresses:
        path = "/v2/a/blobs/sha256:" + "0" * 64
        out = subprocess.run([portolan, "--quiet", "explain", "--config", config, "--ip", str(address), path], capture_output=True, text=True, check=True).stdout
        store = re.search(r"store `?([\w.-]+)`?", out)
        if store and store[1] not in found:
            found[store[1]] = address
    return found


def run(arguments):
    with Bench() as bench:
        portolan = built_portolan()
        script, digests, addresses = bench.dir / "load.lua", bench.dir / "digests", bench.dir / "addresses"
        script.write_text(LUA)
        draw = random.Random(1)
        digests.write_text("".join(f"{draw.getrandbits(256):064x}\n" for _ in range(DIGESTS)))
        clients = list(client_addresses())
        addresses.write_text("".join(f"{address}\n" for address in clients))

        _, bucket = nginx(bench, "bucket", "200 ok", LOAD_CORE)
        peer, peer_port = nginx(bench, "peer", "307 https://bucket.example$request_uri", SERVER_CORE)
        listen, admin = free_port(), free_port()
        config = front_config(bench, bucket, listen, admin)
        front = bench.start([portolan, "serve", "--config", config], SERVER_CORE, stderr=subprocess.DEVNULL)
        wait_for(listen)

        stores = one_address_of_each_store(portolan, config, clients[:1500])
        representatives = bench.dir / "representatives"
        representatives.write_text("".join(f"{address}\n" for address in stores.values()))
        probes = lambda: metric(admin, r"^portolan_redirector_probes_total\{[^}]*\} (\d+)")
        print(f"warming {len(stores)} stores x {DIGESTS} digests", file=sys.stderr)
        # Round after round over all pairs, until a whole round sends no request to a store.
        pairs = len(stores) * DIGESTS
        sent, quiet, at = probes(), 0, 0
        while quiet < pairs:
            if at > 20 * pairs:
                sys.exit("presence does not settle: is its capacity below the number of pairs?")
            done = wrk(listen, script, digests, representatives, 5, warm_from=at)["requests"]
            at += done
            before, sent = sent, probes()
            quiet = quiet + done if sent == before else 0
        warm_probes = probes()

        contestants = {"nginx return 307": (children(peer.pid), peer_port), "portolan": (children(front.pid), listen)}
        runs = {name: [] for name in contestants}
        for pair in range(arguments.pairs):
            for name, (pids, port) in contestants.items():
                before = cpu_seconds(pids)
                run = wrk(port, script, digests, addresses, arguments.seconds)
                run["cpu"] = (cpu_seconds(pids) - before) / run["requests"] * 1e6
                run["rss"] = resident_mib(pids)
                runs[name].append(run)
                print(f"pair {pair + 1} {name}: {run}", file=sys.stderr)
        sent = probes() - warm_probes
        rows = ["| server | CPU µs/request | requests/s | p50 µs | p99 µs | resident MiB |", "|---|---|---|---|---|---|"]
        median = {name: {key: statistics.median(run[key] for run in all) for key in all[0]} for name, all in runs.items()}
        for name, run in median.items():
            rows.append(f"| {name} | {run['cpu']:.2f} | {run['rate']:,.0f} | {run['p50']:.0f} | {run['p99']:.0f} | {run['rss']:.0f} |")
        ratios = [b["cpu"] / a["cpu"] for a, b in zip(*runs.values())]
        rows.append(f"\nCPU per request, portolan / nginx, pair by pair: {', '.join(f'{r:.2f}' for r in ratios)}; median {statistics.median(ratios):.2f}.")
        rows.append(f"Presence was known for {warm_probes:,.0f} pairs of store and digest; {sent:,.0f} HEADs were sent during the measurement.")
        return "\n".join(rows)


def measurement(arguments):
    return f"{arguments.seconds} s"
