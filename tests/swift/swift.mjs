// SPDX-License-Identifier: Apache-2.0
// OpenStack Swift with its S3 API, on one node: a proxy and an account, a container and an object server and the
// memcached that the proxy wants, on free ports of the loopback; all data in a temporary folder, whose file system must
// take extended attributes.
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { sha256, signature } from "../contract/s3_sigv4.mjs";

const NODE = path.join(path.dirname(new URL(import.meta.url).pathname), "node.py");
const PYTHON = "/usr/bin/python3"; // the one that has the modules of Debian's packages
const PAGE = 2; // keys of a page of a listing, few so that there are pages
const kinds = ["account", "container", "object"];
const servers = [...kinds, "proxy"], all = [...servers, "memcached"];

// All at once, so that no two are the same.
async function freePorts(n) {
  const held = await Promise.all(Array.from({ length: n }, () => new Promise((done) => { const s = net.createServer().listen(0, "127.0.0.1", () => done(s)); })));
  const ports = held.map((s) => s.address().port);
  await Promise.all(held.map((s) => new Promise((done) => s.close(done))));
  return ports;
}

// Patient, since the machine may be busy: a listing that is behind or a 503 would be the test's fault, not the program's.
const common = (dir, port) => `[DEFAULT]
bind_ip = 127.0.0.1
bind_port = ${port}
workers = 0
user = ${os.userInfo().username}
swift_dir = ${dir}
devices = ${dir}/node
mount_check = false
fallocate_reserve = 0
log_level = CRITICAL
conn_timeout = 10
node_timeout = 60
container_update_timeout = 30
`;

const server = (kind) => `[pipeline:main]
pipeline = ${kind}-server
[app:${kind}-server]
use = egg:swift#${kind}
conn_timeout = 10
node_timeout = 60
container_update_timeout = 30
`;

function proxy(memcached) {
  const filters = ["catch_errors", "gatekeeper", "cache", "listing_formats", "bulk", "s3api", "tempauth", "copy", "slo"];
  const options = {
    cache: `memcache_servers = 127.0.0.1:${memcached}\n`,
    s3api: `location = ${account.region}\ns3_acl = false\nmax_bucket_listing = ${PAGE}\n`,
    tempauth: `user_${account.key.replace(":", "_")} = ${account.secret} .admin\n`,
  };
  return `[pipeline:main]
pipeline = ${filters.join(" ")} proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
conn_timeout = 10
node_timeout = 60
recoverable_node_timeout = 60
` + filters.map((f) => `[filter:${f}]\nuse = egg:swift#${f === "cache" ? "memcache" : f}\n${options[f] ?? ""}`).join("");
}

export const account = { region: "eu-test-1", key: "test:tester", secret: "se/cr+et=" };

async function ask(port, method, url) {
  const payload = sha256(""), date = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const headers = { host: `127.0.0.1:${port}`, "x-amz-content-sha256": payload, "x-amz-date": date };
  const signed = Object.keys(headers).sort(), { region, key, secret } = account;
  const proof = signature({ method, url, headers, signed, payload, date, region, service: "s3", secret });
  const authorization = `AWS4-HMAC-SHA256 Credential=${key}/${date.slice(0, 8)}/${region}/s3/aws4_request, SignedHeaders=${signed.join(";")}, Signature=${proof}`;
  const answer = await fetch(`http://127.0.0.1:${port}${url}`, { method, headers: { ...headers, authorization } });
  const body = await answer.text();
  if (!answer.ok) throw new Error(`Swift: ${method} ${url}: ${answer.status} ${body}`);
  return body;
}

async function keys(port, bucket) {
  const found = [];
  for (let next = ""; next !== undefined; ) {
    const page = await ask(port, "GET", `/${bucket}?${next && `continuation-token=${encodeURIComponent(next)}&`}list-type=2`);
    found.push(...[...page.matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key]) => key));
    next = /<NextContinuationToken>([^<]*)</.exec(page)?.[1];
  }
  return found;
}

// With that bucket in it. Returns {port, keys(), stop()}.
export async function startSwift(bucket) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "fa-swift-"));
  const ports = Object.fromEntries((await freePorts(all.length)).map((port, i) => [all[i], port]));
  fs.mkdirSync(`${dir}/node/disk`, { recursive: true });
  fs.writeFileSync(`${dir}/swift.conf`, "[swift-hash]\nswift_hash_path_suffix = tests\n");
  for (const kind of kinds) fs.writeFileSync(`${dir}/${kind}.conf`, common(dir, ports[kind]) + server(kind));
  fs.writeFileSync(`${dir}/proxy.conf`, common(dir, ports.proxy) + proxy(ports.memcached));
  const children = [];
  const stop = () => {
    for (const c of children) c.kill("SIGKILL");
    fs.rmSync(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  };
  try {
    execFileSync(PYTHON, [NODE, dir, "rings", ...kinds.map((k) => ports[k])], { stdio: ["ignore", "ignore", "inherit"] });
    const start = (...command) => children.push(spawn("setpriv", ["--pdeathsig", "KILL", ...command], { stdio: ["ignore", "ignore", "inherit"], cwd: dir }));
    start("memcached", "-u", os.userInfo().username, /* a change of user would lose the signal */ "-l", "127.0.0.1", "-p", String(ports.memcached));
    for (const kind of servers) start(PYTHON, NODE, dir, "serve", kind);
    for (const kind of all) await answers(ports[kind], kind, children);
    await ask(ports.proxy, "PUT", `/${bucket}`);
  } catch (e) {
    stop();
    throw e;
  }
  return { port: ports.proxy, keys: () => keys(ports.proxy, bucket), stop };
}

async function answers(port, kind, children) {
  for (const end = Date.now() + 50e3; Date.now() < end && children.every((c) => c.exitCode === null); ) {
    const up = await new Promise((done) => { const s = net.connect(port, "127.0.0.1", () => { s.destroy(); done(true); }); s.on("error", () => done(false)); });
    if (up) return;
    await new Promise((r) => setTimeout(r, 100));
  }
  throw new Error(`Swift's ${kind} does not start; are Debian's swift packages installed (deps/matrix.txt)?`);
}
