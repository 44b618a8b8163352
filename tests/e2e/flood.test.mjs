// Floods: thousands of clients that send nothing, or too much, or never end. Each is answered as the contract says, the
// service goes on for everybody else, and its memory stays within what the number of connections allows.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import { after, before, describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import { Server, random, sanitized, sleep, slow } from "./harness.mjs";

const MB = 1 << 20;
const openFiles = Number(execFileSync("sh", ["-c", "ulimit -Hn"]).toString().replace("unlimited", "1000000"));
// A container may allow fewer threads than that: each connection is one.
const cgroup = (name) => { try { return Number(fs.readFileSync(`/sys/fs/cgroup/${name}`, "utf8").replace("max", "1000000")); } catch { return 1000000; } };
const threads = cgroup("pids.max") - (cgroup("pids.current") % 1000000);
// A sanitizer's memory is not the service's, and its threads cost several times as much.
const many = (n) => (sanitized ? Math.floor(n / 10) : Math.min(n, openFiles - 1000));

// A connection that says these bytes and keeps what comes back; closed when the other end or close() says so.
class Peer {
  constructor(s, words = []) {
    this.got = "";
    this.closed = false;
    this.sock = net.connect({ port: new URL(s.url).port, host: "127.0.0.1" });
    this.sock.on("data", (d) => { this.got += d.toString("latin1"); });
    this.sock.on("error", () => {});
    this.ended = new Promise((done) => this.sock.on("close", () => { this.closed = true; done(); }));
    this.opened = new Promise((done) => { this.sock.on("connect", done); this.sock.on("close", done); });
    for (const w of words) this.say(w);
  }
  say(w) { return this.closed || this.sock.destroyed ? false : this.sock.write(w); }
  // Until it ends, at most so long.
  async end(seconds = 60) {
    const timer = setTimeout(() => this.sock.destroy(), seconds * 1000 * slow);
    await this.ended;
    clearTimeout(timer);
    return this.got;
  }
  close() { this.sock.destroy(); return this.ended; }
}

// Opened in groups, since nobody's backlog holds thousands.
async function openMany(s, n, words = []) {
  const peers = [];
  while (peers.length < n) {
    const group = Array.from({ length: Math.min(100, n - peers.length) }, () => new Peer(s, words));
    await Promise.all(group.map((p) => p.opened));
    peers.push(...group);
  }
  return peers;
}
const closeAll = (peers) => Promise.all(peers.map((p) => p.close()));

// A client like any other, in a thread of its own so that the flood does not hold it up: what it was answered. A
// connection that ends before the answer is tried again, as every client of HTTP does, for 15 s: half of the time that
// those who only hold connections could keep others out if the service let them.
const asker = `
const http = require("node:http"), { parentPort, workerData } = require("node:worker_threads");
let on = true;
const seen = { ok: 0, again: 0, other: [] };
parentPort.on("message", () => { on = false; });
const once = () => new Promise((done) => {
  const req = http.get(workerData, { agent: false }, (res) => { res.resume(); res.on("end", () => done(res.statusCode)); });
  req.on("error", (e) => done(e.code));
});
(async () => {
  while (on) {
    let status = 0;
    for (const end = Date.now() + 15000; status !== 200 && Date.now() < end; ) { status = await once(); if (status !== 200) seen.again++; }
    if (status === 200) seen.ok++; else seen.other.push(status);
    await new Promise((r) => setTimeout(r, 20));
  }
  parentPort.postMessage(seen);
  parentPort.close();
})();`;
const askers = new Set();
function ordinary(s) {
  const worker = new Worker(asker, { eval: true, workerData: `${s.url}/api/v1/objects?limit=1` });
  worker.unref();
  askers.add(worker);
  return { stop: () => new Promise((done) => { worker.once("message", (seen) => { askers.delete(worker); done(seen); }); worker.postMessage("stop"); }) };
}
after(() => Promise.all([...askers].map((w) => w.terminate())));

const metric = async (s, name) => Number(new RegExp(`^${name} (\\d+)`, "m").exec(await (await s.fetch("/metrics")).text())?.[1]);
const status = (got) => Number(/^HTTP\/1\.1 (\d+)/.exec(got)?.[1] ?? 0);
const HOST = "Host: localhost\r\n";

describe("a server of 512 connections", () => {
  let s;
  before(async () => { s = await new Server({ env: { MIN_BODY_RATE: "1K", MAX_FILE_SIZE: "1M", WORKER_THREADS: "1" } }).start(); });
  after(() => s.stop());

  test("5,000 idle connections: the newest stay, the others give way, and everybody else is served", { timeout: 120000 * slow }, async () => {
    await (await s.fetch("/api/v1/objects")).arrayBuffer();
    const rss = s.rss(), dropped = await metric(s, "http_rejected_connections_total"), n = many(5000);
    const client = ordinary(s);
    const peers = await openMany(s, n);
    await sleep(300);
    const open = peers.filter((p) => !p.closed).length, grown = s.rss() - rss;
    const seen = await client.stop();
    console.log(`# ${n} idle connections at a cap of 512: ${open} stay, ${seen.ok} ordinary requests answered meanwhile (${seen.again} connections tried again), memory +${(grown / MB).toFixed(1)} MB`);
    assert.ok(open <= 512 && open >= Math.min(n, 512) - 70, `${open} are open`);
    assert.equal(s.log.match(/as many as HTTP_MAX_CONNECTIONS allows/g)?.length ?? 0, n > 512 ? 1 : 0, "said once");
    assert.deepEqual(seen.other, [], "the ordinary client is served");
    assert.ok(seen.ok > 0);
    assert.ok((await metric(s, "http_rejected_connections_total")) - dropped >= n - 512);
    if (!sanitized) assert.ok(grown < 40 * MB, `grew by ${grown / MB} MB`);
    await closeAll(peers);
  });

  test("connect and reset, again and again", { timeout: 60000 * slow }, async () => {
    const client = ordinary(s), rss = s.rss();
    for (let i = 0; i < 20; i++) {
      const peers = await openMany(s, 100, i % 2 ? ["GET /api/v1/objects HTTP/1.1\r\n" + HOST + "\r\n"] : []);
      for (const p of peers) p.sock.resetAndDestroy();
      await Promise.all(peers.map((p) => p.ended));
    }
    const seen = await client.stop();
    assert.deepEqual(seen.other, []);
    if (!sanitized) assert.ok(s.rss() - rss < 40 * MB);
  });

  test("a hundred slow senders are told 408, or closed where they say nothing", { timeout: 100000 * slow }, async () => {
    const client = ordinary(s);
    const head = "PUT /api/v1/files/slow.bin HTTP/1.1\r\n" + HOST + "Content-Length: 100000\r\n\r\n";
    const dripping = await openMany(s, 50, [head]), silent = await openMany(s, 25, [head]);
    const halfHead = await openMany(s, 25, ["GET /api/v1/objects HTTP/1.1\r\n" + HOST + "X-Drip: "]);
    const drip = setInterval(() => { for (const p of [...dripping, ...halfHead]) p.say("x"); }, 500);
    const answers = await Promise.all([...dripping, ...silent, ...halfHead].map((p) => p.end(80)));
    clearInterval(drip);
    const seen = await client.stop();
    assert.deepEqual([...new Set(answers.slice(0, 50).map(status))], [408]);
    assert.deepEqual([...new Set(answers.slice(50))], [""], "no byte for 30 s: closed");
    assert.deepEqual(seen.other, []);
    assert.equal((await s.json("/api/v1/objects")).body.total, 0, "nothing was kept");
  });

  test("a head of too many or too large fields, and a line without end", { timeout: 60000 * slow }, async () => {
    const line = "GET /api/v1/objects HTTP/1.1\r\n" + HOST;
    const rss = s.rss();
    const floods = [
      ["fields", [line, ...Array.from({ length: 5000 }, (_, i) => `X-${i}: 1\r\n`)], [431]],
      ["one field", [line, "X: " + "a".repeat(100000)], [431]],
      ["many small ones just below", [line, "X: 1\r\n".repeat(700), "\r\n"], [200, 431]],
      ["a request line", ["GET /" + "a".repeat(200000)], [414, 400]],
      ["no line at all", ["\0".repeat(200000)], [400, 414, 431, 0]],
      ["17 KB of fields", [line, "X: " + "a".repeat(17000) + "\r\n\r\n"], [431]],
    ];
    for (const [what, words, allowed] of floods) {
      const got = await new Peer(s, words).end(35);
      assert.ok(allowed.includes(status(got)), `${what}: ${got.slice(0, 200)}`);
    }
    const peers = await Promise.all(Array.from({ length: 200 }, async () => status(await new Peer(s, floods[0][1]).end(40))));
    // A reset may overtake the library's own answer while the client still sends.
    assert.ok(peers.every((x) => x === 431 || x === 0), String([...new Set(peers)]));
    assert.equal((await s.fetch("/live")).status, 200);
    if (!sanitized) assert.ok(s.rss() - rss < 40 * MB);
  });

  test("chunked bodies without end stop at the limit, and nothing of them is kept", { timeout: 60000 * slow }, async () => {
    const piece = "10000\r\n" + "x".repeat(0x10000) + "\r\n";
    const client = ordinary(s), rss = s.rss();
    const one = async (first) => {
      const p = new Peer(s, [first]);
      for (let i = 0; i < 2000 && !p.closed && !p.got; i++) if (!p.say(piece)) await Promise.race([new Promise((r) => p.sock.once("drain", r)), p.ended, sleep(5000)]);
      return status(await p.end(30));
    };
    const put = "PUT /api/v1/files/endless.bin HTTP/1.1\r\n" + HOST + "Transfer-Encoding: chunked\r\n\r\n";
    const json = "POST /api/v1/search HTTP/1.1\r\n" + HOST + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    const all = await Promise.all(Array.from({ length: 20 }, (_, i) => one(i % 2 ? put : json)));
    assert.deepEqual([...new Set(all)], [413]);
    // A chunk's size line, or its extension, without end is no chunk; libmicrohttpd itself says 500 when its buffer is full of one.
    for (const bad of ["f".repeat(100000), "1;" + "x".repeat(100000), "-5\r\n", "0x5\r\nhello\r\n"]) {
      const p = new Peer(s, [put, bad]);
      const got = await p.end(35);
      assert.ok([400, 413, 500, 0].includes(status(got)), `${bad.slice(0, 10)}: ${got.slice(0, 300)}`);
    }
    assert.deepEqual((await client.stop()).other, []);
    assert.equal((await s.json("/api/v1/objects")).body.total, 0);
    if (!sanitized) assert.ok(s.rss() - rss < 60 * MB);
  });

  test("a thousand parts are taken, one more is refused whole", { timeout: 60000 * slow }, async () => {
    const post = async (n) => {
      const edge = "edge", part = (i) => `--${edge}\r\nContent-Disposition: form-data; name="files"; filename="p${i}.txt"\r\n\r\nthousand ${i}\r\n`;
      const body = Array.from({ length: n }, (_, i) => part(i)).join("") + `--${edge}--\r\n`;
      return s.json("/api/v1/ingest", { method: "POST", headers: { "Content-Type": `multipart/form-data; boundary=${edge}` }, body });
    };
    const refused = await post(1001);
    assert.equal(refused.status, 413);
    assert.match(refused.body.error, /1000/);
    assert.equal((await s.json("/api/v1/objects")).body.total, 0);
    const taken = await post(1000);
    assert.equal(taken.status, 202);
    assert.equal(taken.body.system_ids.length, 1000);
    assert.equal((await s.json("/api/v1/objects")).body.total, 1000);
    // Parts without a name, or with heads without end.
    for (const [head, want] of [["Content-Disposition: form-data; name=\"files\"; filename=\"" + "a".repeat(9000) + "\"", 413], ["X: y", 400]]) {
      const res = await s.json("/api/v1/ingest", { method: "POST", headers: { "Content-Type": "multipart/form-data; boundary=e" }, body: `--e\r\n${head}\r\n\r\nx\r\n--e--\r\n` });
      assert.ok([400, 413].includes(res.status), `${want}: ${res.status} ${JSON.stringify(res.body)}`);
    }
  });

  test("thousands of requests in one go on one connection are answered in order", { timeout: 60000 * slow }, async () => {
    const n = sanitized ? 300 : 3000, rss = s.rss();
    const p = new Peer(s);
    await p.opened;
    for (let i = 0; i < n; i++) p.say(`GET /live HTTP/1.1\r\n${HOST}X-Request-ID: r${i}\r\n${i === n - 1 ? "Connection: close\r\n" : ""}\r\n`);
    const got = await p.end(50);
    const ids = [...got.matchAll(/X-Request-ID: r(\d+)/gi)].map((m) => Number(m[1]));
    assert.equal(ids.length, n);
    assert.deepEqual(ids, ids.map((_, i) => i));
    if (!sanitized) assert.ok(s.rss() - rss < 20 * MB);
  });

  test("slow readers of a large download hold a connection, not the bytes", { timeout: 60000 * slow }, async () => {
    const bytes = random(MB);
    const up = await s.upload([{ name: "large.bin", data: bytes }]);
    const where = `/api/v1/objects/${up.body.system_ids[0]}/content`;
    const client = ordinary(s), rss = s.rss(), n = 200;
    const readers = Array.from({ length: n }, () => {
      const sock = net.connect({ port: new URL(s.url).port, host: "127.0.0.1" });
      sock.on("error", () => {});
      sock.pause(); // reads nothing: the kernel's buffers fill, the server waits
      sock.write(`GET ${where} HTTP/1.1\r\n${HOST}\r\n`);
      return sock;
    });
    await sleep(1500);
    const grown = s.rss() - rss;
    console.log(`# ${n} readers of 1 MB that do not read: memory +${(grown / MB).toFixed(1)} MB`);
    if (!sanitized) assert.ok(grown < 60 * MB, `grew by ${grown / MB} MB`);
    const whole = Buffer.from(await (await s.fetch(where)).arrayBuffer());
    assert.ok(whole.equals(bytes));
    for (const sock of readers) sock.destroy();
    assert.deepEqual((await client.stop()).other, []);
  });
});

describe("a server that lets 6,000 in", () => {
  test("what a connection costs, idle and after a request", { timeout: 120000 * slow, skip: openFiles < 8000 || threads < 8000 ? `open files are limited to ${openFiles}, threads to ${threads}` : false }, async () => {
    const n = many(5000);
    const s = await new Server({ env: { HTTP_MAX_CONNECTIONS: "6000", WORKER_THREADS: "1" } }).start();
    await (await s.fetch("/api/v1/objects")).arrayBuffer();
    const rss = s.rss();
    const peers = await openMany(s, n);
    await sleep(500);
    assert.equal(peers.filter((p) => !p.closed).length, n);
    const idle = s.rss() - rss;
    for (const p of peers) p.say("GET /api/v1/objects?limit=1 HTTP/1.1\r\n" + HOST + "\r\n");
    for (let i = 0; i < 200 && peers.some((p) => !p.got && !p.closed); i++) await sleep(100);
    const answered = peers.filter((p) => status(p.got) === 200).length, used = s.rss() - rss;
    assert.equal((await s.fetch("/live")).status, 200);
    await closeAll(peers);
    await sleep(500);
    const left = s.rss() - rss;
    console.log(`# ${n} connections at once: idle +${(idle / MB).toFixed(1)} MB (${(idle / n / 1024).toFixed(1)} KB each), after ${answered} answers +${(used / MB).toFixed(1)} MB (${(used / n / 1024).toFixed(1)} KB each), closed +${(left / MB).toFixed(1)} MB`);
    assert.ok(answered > 0.9 * n, `${answered} of ${n} were answered 200`);
    if (!sanitized) {
      assert.ok(idle / n < 64 * 1024, `${idle / n} bytes a connection`);
      assert.ok(used / n < 128 * 1024, `${used / n} bytes a connection`);
    }
    await s.stop();
  });
});
