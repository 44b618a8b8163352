// What is held in memory while much is under way: bodies stream to the disk, so their size does not count.
import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import { Server, random, sanitized, sleep, slow } from "./harness.mjs";

const MB = 1 << 20, STEP = 256 << 10;
const mb = (n) => (n / MB).toFixed(1);

// One PUT whose body stops short of its end until told to go on.
class Held {
  constructor(s, name, body, hold, number) {
    this.body = body;
    this.first = Buffer.from(body.subarray(0, STEP)); // no two bodies alike
    this.first.writeUInt32BE(number, 0);
    this.hold = hold;
    this.got = "";
    this.sock = net.connect({ port: new URL(s.url).port, host: "127.0.0.1" });
    this.sock.on("data", (d) => { this.got += d.toString("latin1"); });
    this.ended = new Promise((done, fail) => { this.sock.on("close", done); this.sock.on("error", fail); });
    this.ended.catch(() => {});
    this.sock.write(`PUT /api/v1/files/${name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n`);
  }
  async send(from, to) {
    for (let i = from; i < to; i += STEP) {
      const piece = i ? this.body.subarray(i, Math.min(to, i + STEP)) : this.first;
      if (!this.sock.write(piece)) await new Promise((r) => this.sock.once("drain", r));
    }
  }
  most() { return this.send(0, this.body.length - this.hold); }
  async rest() {
    await this.send(this.body.length - this.hold, this.body.length);
    await this.ended;
    return Number(/^HTTP\/1\.1 (\d+)/.exec(this.got)?.[1]);
  }
}

test("200 uploads held open in mid-body: less than 1 MB of memory an upload", { timeout: 600000 * slow }, async () => {
  // The same in small for every run; FA_MEMORY=full sends all 4 GB.
  const full = process.env.FA_MEMORY === "full";
  const n = sanitized ? 50 : 200, size = full ? 20 * MB : 2 * MB;
  const s = await new Server({ env: { WORKER_THREADS: "1", MIN_BODY_RATE: "0" } }).start();
  await (await s.fetch("/api/v1/objects")).arrayBuffer();
  const shared = random(size), before = s.rss();
  let peak = before;
  const watch = setInterval(() => { peak = Math.max(peak, s.rss()); }, 50);
  const held = Array.from({ length: n }, (_, i) => new Held(s, `h${i}.bin`, shared, MB, i));
  await Promise.all(held.map((h) => h.most()));
  await sleep(500);
  const open = s.rss();
  assert.equal((await s.json("/api/v1/objects")).body.total, 0, "none has ended");
  const answers = await Promise.all(held.map((h) => h.rest()));
  clearInterval(watch);
  assert.deepEqual([...new Set(answers)], [202]);
  assert.equal((await s.json("/api/v1/objects")).body.total, n);
  await sleep(500);
  console.log(`# ${n} uploads of ${size / MB} MB held open: before ${mb(before)} MB, all open ${mb(open)} MB, peak ${mb(peak)} MB, after ${mb(s.rss())} MB`);
  if (!sanitized) assert.ok(peak - before < n * MB, `grew by ${mb(peak - before)} MB, that is ${mb((peak - before) / n)} MB an upload`);
  await s.stop();
});

test("thousands of search requests leave nothing behind", { timeout: 600000 * slow }, async () => {
  const full = process.env.FA_MEMORY === "full";
  const n = full ? 10000 : sanitized ? 200 : 1000, clients = 16;
  const s = await new Server({ env: { WORKER_THREADS: "1" } }).start();
  for (let i = 0; i < 30; i++) await s.upload([{ name: `note ${i} of the sea and the dog.txt`, data: Buffer.from(`text ${i}`) }]);
  const words = ["dog", "sea", "red", "bicycle", "cat", "note", "mountain", "of", "child", "night", "ship", "tree"];
  let asked = 0;
  const ask = async (until) => {
    while (asked < until) {
      const i = asked++; // a query of its own each time: the cache of query vectors must stay within its bound too
      const { status, body } = await s.json(`/api/v1/search?query=${words[i % 12]}+${words[(i * 7) % 11]}+${i}&threshold=0`);
      assert.equal(status, 200, JSON.stringify(body));
    }
  };
  const all = (until) => Promise.all(Array.from({ length: clients }, () => ask(until)));
  const before = s.rss();
  await all(n / 2); // the model's memory, the connections' and the cache's are there now
  const half = s.rss();
  await all(n);
  const after = s.rss();
  console.log(`# ${n} searches: before ${mb(before)} MB, after half ${mb(half)} MB, after all ${mb(after)} MB`);
  if (!sanitized) {
    assert.ok(after - before < 150 * MB, `grew by ${mb(after - before)} MB`);
    assert.ok(after - half < 24 * MB, `the second half grew by ${mb(after - half)} MB`);
  }
  await s.stop();
});
