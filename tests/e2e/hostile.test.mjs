// Bad files, bad requests, bad clients: each gets what the contract says, and the server goes on.
import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { after, before, test } from "node:test";
import zlib from "node:zlib";
import { Server, build, photos, program, random, slow, tempDir } from "./harness.mjs";
import { onS3 } from "./stack.mjs";

const LIMIT = 2 << 20;
let s;
before(async () => { s = await new Server({ env: { MAX_FILE_SIZE: "2M", MIN_BODY_RATE: "1K" } }).start(); });
after(() => s.stop());

// Everything a peer sends until it closes, at most ms.
function talk(chunks, ms = 10000) {
  return new Promise((done) => {
    const sock = net.connect(new URL(s.url).port, "127.0.0.1");
    let got = "";
    const timer = setTimeout(() => sock.destroy(), ms);
    sock.on("data", (d) => (got += d.toString("latin1")));
    sock.on("close", () => { clearTimeout(timer); done(got); });
    sock.on("error", () => {});
    sock.on("connect", async () => {
      for (const c of chunks) {
        if (sock.destroyed) break;
        if (typeof c === "number") await new Promise((r) => setTimeout(r, c));
        else if (!sock.write(c)) await Promise.race([new Promise((r) => sock.once("drain", r)), new Promise((r) => sock.once("close", r))]);
      }
    });
  });
}
const alive = async () => assert.equal((await s.fetch("/live")).status, 200);

function png(width, height) {
  const crcTable = Array.from({ length: 256 }, (_, n) => { let c = n; for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1; return c >>> 0; });
  const crc = (b) => { let c = 0xffffffff; for (const x of b) c = crcTable[(c ^ x) & 255] ^ (c >>> 8); return (c ^ 0xffffffff) >>> 0; };
  const chunk = (type, data) => { const b = Buffer.concat([Buffer.from(type), data]); const out = Buffer.alloc(8 + data.length + 4); out.writeUInt32BE(data.length, 0); b.copy(out, 4); out.writeUInt32BE(crc(b), 8 + data.length); return out; };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0); head.writeUInt32BE(height, 4); head[8] = 1;
  return Buffer.concat([Buffer.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]), chunk("IHDR", head), chunk("IDAT", zlib.deflateSync(Buffer.alloc((1 + Math.ceil(width / 8)) * height), { level: 9 })), chunk("IEND", Buffer.alloc(0))]);
}

test("a truncated JPEG is kept and ends in the dead-letter queue as corrupt", async () => {
  const whole = fs.readFileSync(path.join(photos, fs.readdirSync(photos).find((f) => /coffee/.test(f))));
  const { status, body } = await s.upload([{ name: "cut.jpg", data: whole.subarray(0, whole.length >> 1) }]);
  assert.equal(status, 202);
  const job = await s.job(body.job_id);
  assert.equal(job.status, "failed");
  assert.equal(job.assets[0].error.stage, "decode");
  assert.equal(job.assets[0].error.code, "corrupt");
  const dlq = (await s.json(`/api/v1/admin/dlq/${body.job_id}`)).body;
  assert.equal(dlq.items.length, 1);
  assert.equal(dlq.items[0].history.length, 1, "a permanent error is tried once");
  const content = await s.fetch(`/api/v1/objects/${body.system_ids[0]}/content`);
  assert.equal((await content.arrayBuffer()).byteLength, whole.length >> 1, "the bytes are kept all the same");
});

// The program beside a decoder with a trap door: a picture that ends in "hostile:WORD" takes it over (hostile_decode.c).
function besideHostileDecoder() {
  const dir = tempDir();
  fs.mkdirSync(path.join(dir, "bin"));
  fs.copyFileSync(program, path.join(dir, "bin/file-allocator"));
  fs.copyFileSync(path.join(build, "tests/hostile_decoder"), path.join(dir, "bin/file-allocator-decode"));
  for (const folder of ["share", "lib"]) fs.symlinkSync(path.join(build, folder), path.join(dir, folder));
  return dir;
}

test("a picture that takes over its decoder costs its own task and nothing else", { timeout: 120000 * slow }, async () => {
  const prefix = besideHostileDecoder();
  const t = await new Server({ program: path.join(prefix, "bin/file-allocator") }).start();
  const photo = (name) => fs.readFileSync(path.join(photos, name));
  const evil = Buffer.concat([photo("coffee.jpg"), Buffer.from("hostile:socket")]);
  const { body } = await t.upload([{ name: "before.jpg", data: photo("cat.jpg") }, { name: "evil.jpg", data: evil }, { name: "after.jpg", data: photo("rocket.jpg") }]);
  const job = await t.job(body.job_id);
  assert.equal(job.status, "partial");
  assert.deepEqual(job.assets.map((a) => a.status), ["done", "failed", "done"]);
  assert.equal(job.assets[1].error.stage, "decode");
  assert.equal(job.assets[1].error.code, "crashed");
  const [entry] = (await t.json(`/api/v1/admin/dlq/${body.job_id}`)).body.items;
  assert.equal(entry.history.length, 3, "three deliveries that ended in a crash");
  for (const attempt of entry.history) assert.match(attempt.message, /died while working on this file: it made a system call/);
  const { status, jail } = (await t.json("/health")).body;
  assert.equal(jail.crashes, 3);
  assert.match(jail.isolation, /^(seccomp\+landlock|seccomp)$/);
  assert.equal(jail.status, jail.note ? "degraded" : "healthy");
  assert.notEqual(status, "unhealthy");
  assert.match(t.log, /"decoders/, "the start log says how decoders are locked in");
  const content = await t.fetch(`/api/v1/objects/${body.system_ids[1]}/content`);
  assert.deepEqual(Buffer.from(await content.arrayBuffer()), evil, "the bytes are kept all the same");
  const form = new FormData();
  form.append("file", new Blob([evil]), "evil.jpg");
  assert.equal((await t.fetch("/api/v1/search/image", { method: "POST", body: form })).status, 422, "nor does it answer a search");
  const later = await t.upload([{ name: "later.png", data: photo("coins.png") }]);
  assert.equal((await t.job(later.body.job_id)).status, "done");
  await t.stop();
  fs.rmSync(prefix, { recursive: true });
});

test("a 0-byte file is a valid asset", async () => {
  const { status, body } = await s.upload([{ name: "empty.jpg", data: Buffer.alloc(0) }]);
  assert.equal(status, 202);
  const a = (await s.json(`/api/v1/objects/${body.system_ids[0]}`)).body;
  assert.equal(a.size_bytes, 0);
  assert.equal(a.status, "done");
  assert.equal((await (await s.fetch(`/api/v1/objects/${a.id}/content`)).arrayBuffer()).byteLength, 0);
});

test("a 200-megapixel PNG is refused by its header, cheaply", async () => {
  const { status, body } = await s.upload([{ name: "huge.png", data: png(20000, 10000) }]);
  assert.equal(status, 202);
  const job = await s.job(body.job_id);
  assert.equal(job.status, "failed");
  assert.equal(job.assets[0].error.code, "too_large");
  assert.match(job.assets[0].error.message, /200000000|200 ?M/);
});

test("a text named .jpg is a text", async () => {
  const { body } = await s.upload([{ name: "letter.jpg", data: Buffer.from("Dear all,\nthis is no picture.\n"), type: "image/jpeg" }]);
  const a = (await s.json(`/api/v1/objects/${body.system_ids[0]}`)).body;
  assert.equal(a.content_type, "text/plain");
  assert.equal(a.kind, "document");
  assert.equal(a.status, "done");
});

test("HTML named .png is never served as something a browser runs", async () => {
  const { body } = await s.upload([{ name: "x.png", data: Buffer.from("<html><script>alert(1)</script></html>"), type: "image/png" }]);
  const res = await s.fetch(`/api/v1/objects/${body.system_ids[0]}/content`);
  assert.match(res.headers.get("content-type"), /^text\/plain/);
  assert.match(res.headers.get("content-disposition"), /^attachment/);
  assert.match(res.headers.get("content-security-policy"), /sandbox/);
});

for (const [given, kept] of [["../../etc/passwd", "passwd"], ["..\\..\\boot.ini", "boot.ini"], ["/abs/name.txt", "name.txt"], ["..", "unnamed"], ["a/../", "unnamed"]]) {
  test(`the name ${JSON.stringify(given)} keeps only ${kept}`, async () => {
    const b = "XbX";
    const body = `--${b}\r\nContent-Disposition: form-data; name="files"; filename="${given.replace(/\\/g, "\\\\")}"\r\n\r\nhi\r\n--${b}--\r\n`;
    const res = await s.json("/api/v1/ingest", { method: "POST", headers: { "Content-Type": `multipart/form-data; boundary=${b}` }, body });
    assert.equal(res.status, 202, JSON.stringify(res.body));
    assert.equal((await s.json(`/api/v1/objects/${res.body.system_ids[0]}`)).body.filename, kept);
    assert.ok(!fs.existsSync(path.join(s.dir, "etc")));
  });
}

test("a declared body over MAX_FILE_SIZE is a 413 that names the limit", async () => {
  const got = await talk([`PUT /api/v1/files/big.bin HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${LIMIT * 2}\r\n\r\n`, random(LIMIT), random(LIMIT)]);
  assert.match(got, /^HTTP\/1\.1 413 /);
  assert.match(got, /MAX_FILE_SIZE/);
  await alive();
});

test("an undeclared body over MAX_FILE_SIZE, by chunks, gets its 413 while it is still sending, every time", async () => {
  const block = random(65536);
  for (let i = 0; i < 20; i++) {
    const chunks = [`PUT /api/v1/files/big.bin HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n`];
    for (let k = 0; k < 60; k++) chunks.push(`10000\r\n`, block, `\r\n`);
    const got = await talk(chunks);
    assert.match(got, /^HTTP\/1\.1 413 /, `try ${i}: ${got.slice(0, 200)}`);
    assert.match(got, /"code":"too_large"/);
  }
  await alive();
  assert.equal((await s.json("/api/v1/objects?name=big.bin")).body.total, 0, "nothing of it is kept");
  assert.deepEqual(fs.readdirSync(path.join(s.dir, onS3 ? "data/spool" : "data/storage/tmp")), []);
});

test("one bad part refuses the request whole", async () => {
  const before = (await s.json("/api/v1/objects")).body.total;
  const { status, body } = await s.upload([{ name: "good.txt", data: Buffer.from("good") }, { name: "bad.bin", data: random(LIMIT + 1) }]);
  assert.equal(status, 413);
  assert.match(body.error, /bad\.bin/);
  assert.equal((await s.json("/api/v1/objects")).body.total, before);
});

test("a refused request leaves its idempotency key free", async () => {
  const fields = { idempotency_key: "refused first" }, small = { name: "small.txt", data: Buffer.from("small") };
  const refusals = [
    await s.upload([small, { name: "bad.bin", data: random(LIMIT + 1) }], fields),
    await s.upload([small], { ...fields, ownr: "ann" }),
    await s.upload([], fields),
    await s.upload([small], { ...fields, payload: "{}" }),
  ];
  assert.deepEqual(refusals.map((r) => r.status), [413, 400, 400, 415]);
  const first = await s.upload([small], fields), again = await s.upload([small], fields);
  assert.deepEqual([first.status, again.status], [202, 202]);
  assert.equal(first.headers.get("idempotency-replayed"), null);
  assert.equal(again.headers.get("idempotency-replayed"), "true");
  assert.equal(again.body.job_id, first.body.job_id);
});

test("a request with two Content-Lengths is refused", async () => {
  const got = await talk(["POST /api/v1/ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"]);
  assert.match(got, /^HTTP\/1\.1 400 /);
  await alive();
});

test("Content-Length with Transfer-Encoding is refused", async () => {
  const got = await talk(["POST /api/v1/ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]);
  assert.match(got, /^HTTP\/1\.1 400 /);
});

test("a body slower than MIN_BODY_RATE is closed, others are not held up", { timeout: 90000 * slow }, async () => {
  const chunks = ["PUT /api/v1/files/slow.bin HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"];
  for (let i = 0; i < 80; i++) chunks.push("x".repeat(50), 500);
  const start = Date.now();
  const got = await talk(chunks, 60000);
  const took = (Date.now() - start) / 1000;
  assert.ok(took > 15 && took < 50, `closed after ${took} s`);
  assert.match(got, /^(HTTP\/1\.1 408 |$)/);
  await alive();
});

const refused = [
  ["no file at all", { fields: { owner: "ann" } }, 400, /files/],
  ["a bad owner", { files: true, fields: { owner: "../x" } }, 400, /owner/],
  ["an unknown field", { files: true, fields: { ownr: "ann" } }, 400, /ownr.*allowed/],
  ["a JSON payload, which this version does not take", { files: true, fields: { payload: "{}" } }, 415, /payload/],
  ["a folder with a slash", { files: true, fields: { folder: "a/b" } }, 400, /folder/],
];
for (const [what, q, status, message] of refused)
  test(`${what} is refused with a clear error`, async () => {
    const res = await s.upload(q.files ? [{ name: "a.txt", data: Buffer.from("a") }] : [], q.fields);
    assert.equal(res.status, status);
    assert.match(res.body.error, message);
    assert.equal(res.body.request_id, res.headers.get("x-request-id"));
  });

test("application/json to /ingest is answered 415", async () => {
  assert.equal((await s.send("/api/v1/ingest", "POST", { payload: { a: 1 } })).status, 415);
});

for (const [where, field] of [["/api/v1/objects?limit=0", "limit"], ["/api/v1/objects?kind=bird", "kind"], ["/api/v1/objects?cursor=zzz", "cursor"], ["/api/v1/search?query=", "query"], ["/api/v1/search?query=a&threshold=2", "threshold"], ["/api/v1/objects/nope", "id"], ["/api/v1/objects?created_after=yesterday", "created_after"]])
  test(`${where} is a 400 that names ${field}`, async () => {
    const { status, body } = await s.json(where);
    assert.equal(status, 400);
    assert.match(body.error, new RegExp(field));
  });

test("an unknown path is 404, a wrong method 405 with Allow", async () => {
  assert.equal((await s.json("/api/v1/nothing")).status, 404);
  const res = await s.fetch("/api/v1/search", { method: "DELETE" });
  assert.equal(res.status, 405);
  assert.match(res.headers.get("allow"), /GET/);
});
