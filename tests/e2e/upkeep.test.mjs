// What keeps an installation healthy for years: deleted bytes leave the disk and never take others with them.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { Server, photos, random, run, sleep, slow, tempDir } from "./harness.mjs";
import { onS3, productionEnv, stack } from "./stack.mjs";

// Everything here looks at files; PostgreSQL's part is in the test of two instances.
const embedded = !process.env.FA_STACK;
const sha256 = (data) => crypto.createHash("sha256").update(data).digest("hex");
const objectPath = (s, sha) => path.join(s.dir, "data/storage/objects", sha.slice(0, 2), sha);
const content = async (s, id) => Buffer.from(await (await s.fetch(`/api/v1/objects/${id}/content`)).arrayBuffer());
const purge = async (s, id) => assert.equal((await s.fetch(`/api/v1/objects/${id}?permanent=true`, { method: "DELETE" })).status, 204);

async function until(what, good, seconds = 30) {
  for (const end = Date.now() + seconds * 1000 * slow; ; await sleep(50)) {
    const value = await good();
    if (value) return value;
    if (Date.now() > end) throw new Error(`never came: ${what}`);
  }
}
const metric = async (s, name) => Number(new RegExp(`^${name} (\\S+)$`, "m").exec(await (await s.fetch("/metrics")).text())?.[1] ?? NaN);

test("deleted for good is out of reach at once, and off the disk after GC_GRACE", { skip: !embedded }, async () => {
  const dir = tempDir(), data = random(5000, 1);
  let s = await new Server({ dir }).start(); // a day of grace
  const { body } = await s.upload([{ name: "a.bin", data }]);
  await purge(s, body.system_ids[0]);
  assert.equal((await s.fetch(`/api/v1/objects/${body.system_ids[0]}/content`)).status, 404);
  await sleep(1500);
  assert.ok(fs.existsSync(objectPath(s, sha256(data))), "the grace is a day");
  s.child.kill("SIGTERM");
  await s.ended();
  s = await new Server({ dir, env: { GC_GRACE: "0s" } }).start();
  await until("the file is removed", () => !fs.existsSync(objectPath(s, sha256(data))));
  await until("the books are closed", async () => (await s.json("/api/v1/admin/stats")).body.storage.objects === 0);
  assert.equal(await metric(s, "gc_objects_total"), 1);
  assert.equal(await metric(s, "gc_bytes_total"), data.length);
  // Of two that share bytes, one may go.
  const two = (await s.upload([{ name: "a.bin", data }, { name: "b.bin", data }])).body.system_ids;
  await purge(s, two[0]);
  await sleep(2500);
  assert.deepEqual(await content(s, two[1]), data);
  await s.stop();
});

for (const point of ["gc.marked", "gc.removed"])
  test(`a collector killed at ${point} is taken over, and the bytes can come again`, { skip: !embedded }, async () => {
    const dir = tempDir(), data = random(4000, 2), kept = random(4000, 3);
    let s = await new Server({ dir, env: { GC_GRACE: "0s", FILE_ALLOCATOR_FAULT: `${point}=kill` } }).start();
    const { body } = await s.upload([{ name: "a.bin", data }, { name: "b.bin", data: kept }]);
    await purge(s, body.system_ids[0]);
    assert.equal((await s.ended()).signal, "SIGKILL");
    s = await new Server({ dir, env: { GC_GRACE: "0s" } }).start();
    // At once, while the next collector may be at it.
    const again = await until("accepted", async () => { const r = await s.upload([{ name: "again.bin", data }]); assert.ok([202, 503].includes(r.status)); return r.status === 202 && r.body; });
    assert.deepEqual(await content(s, again.system_ids[0]), data);
    await sleep(1500);
    assert.deepEqual(await content(s, again.system_ids[0]), data);
    assert.deepEqual(await content(s, body.system_ids[1]), kept);
    await purge(s, again.system_ids[0]);
    await until("the file is removed", () => !fs.existsSync(objectPath(s, sha256(data))));
    await until("one object is left", async () => (await s.json("/api/v1/admin/stats")).body.storage.objects === 1);
    await s.stop();
  });

test("killed between the bytes and the catalog, or between the catalog and the last look, nothing acknowledged is missing", { skip: !embedded }, async () => {
  for (const [point, known] of [["ingest.committed", 0], ["ingest.referred", 1]]) {
    const dir = tempDir(), data = random(3000, 4);
    let s = await new Server({ dir, env: { FILE_ALLOCATOR_FAULT: `${point}=kill` } }).start();
    await assert.rejects(s.upload([{ name: "a.bin", data }], { idempotency_key: "k" }));
    assert.equal((await s.ended()).signal, "SIGKILL");
    // The worst that may have happened to it: its bytes went with a collector that had begun before.
    if (known) fs.rmSync(path.join(dir, "data/storage/objects", sha256(data).slice(0, 2), sha256(data)));
    s = await new Server({ dir, env: { GC_GRACE: "0s" } }).start();
    assert.equal((await s.json("/api/v1/objects")).body.total, known);
    const { status, body, headers } = await s.upload([{ name: "a.bin", data }], { idempotency_key: "k" });
    assert.equal(status, 202);
    assert.equal(headers.get("idempotency-replayed") === "true", known === 1);
    assert.deepEqual(await content(s, body.system_ids[0]), data, "the repeat put the bytes again");
    await s.stop();
  }
});

test("a refused upload is taken back", { skip: !embedded }, async () => {
  const s = await new Server({ env: { FILE_ALLOCATOR_FAULT: "ingest.referred=eio", GC_GRACE: "0s" } }).start();
  const data = random(3000, 5);
  assert.equal((await s.upload([{ name: "a.bin", data }], { idempotency_key: "k" })).status, 500);
  assert.equal((await s.json("/api/v1/objects")).body.total, 0);
  assert.equal((await s.json("/api/v1/jobs")).body.jobs.length, 0);
  await until("its bytes are removed", () => !fs.existsSync(objectPath(s, sha256(data))));
  const { status, headers, body } = await s.upload([{ name: "a.bin", data }], { idempotency_key: "k" });
  assert.equal(status, 202);
  assert.equal(headers.get("idempotency-replayed"), null);
  assert.deepEqual(await content(s, body.system_ids[0]), data);
  await s.stop();
});

test("with less room than MIN_FREE_SPACE nothing is taken, and reading and deleting go on", { skip: !embedded }, async () => {
  const dir = tempDir(), s = await new Server({ dir }).start(), data = random(3000, 9);
  const { body } = await s.upload([{ name: "early.bin", data }]);
  await s.kill();
  const t = await new Server({ dir, env: { MIN_FREE_SPACE: "16T" } }).start();
  const late = await t.upload([{ name: "late.bin", data: random(3000, 10) }]);
  assert.equal(late.status, 503);
  assert.equal(late.body.code, "no_space");
  assert.match(late.body.error, /MIN_FREE_SPACE/);
  const health = (await t.json("/health")).body;
  for (const part of ["storage", "database"]) {
    assert.equal(health[part].status, "degraded", part);
    assert.match(health[part].note, /MIN_FREE_SPACE/);
  }
  assert.equal(health.status, "degraded");
  assert.equal((await t.fetch("/ready")).status, 200);
  assert.deepEqual(await content(t, body.system_ids[0]), data);
  await purge(t, body.system_ids[0]);
  assert.equal((await t.json("/api/v1/admin/stats")).body.assets.total, 0);
  await t.stop();
});

test("two instances that upload, delete and collect the same bytes lose nothing that was acknowledged", { timeout: 300000 * slow }, async () => {
  const shared = tempDir(), env = { ...(await productionEnv(shared)), GC_GRACE: "0s", WORKER_THREADS: "0" };
  if (!onS3) Object.assign(env, { STORAGE_BACKEND: "fs://", STORAGE_PATH: path.join(shared, "objects") });
  const all = [await new Server({ dir: tempDir(), env }).start(), await new Server({ dir: tempDir(), env }).start()];
  const contents = [random(2000, 6), random(3000, 7), random(100, 8)];
  const kept = new Map();
  let acknowledged = 0, busy = 0;
  const end = Date.now() + 6000 * slow;
  const client = async (n) => {
    for (let i = 0; Date.now() < end; i++) {
      const s = all[(n + i) % 2], data = contents[Math.floor(Math.random() * contents.length)];
      const { status, body } = await s.upload([{ name: `c${n}.bin`, data }]);
      if (status === 503) { busy++; continue; }
      assert.equal(status, 202, JSON.stringify(body));
      acknowledged++;
      const id = body.system_ids[0];
      assert.deepEqual(await content(all[(n + i + 1) % 2], id), data, "the other instance has it at once");
      if (Math.random() < 0.9) await purge(all[n % 2], id);
      else kept.set(id, data);
      if (kept.size > 2) for (const k of [...kept.keys()]) if (kept.delete(k)) await purge(s, k); // another may have come first
      await sleep(Math.random() * 300);
    }
  };
  await Promise.all([0, 1, 2].map(client));
  for (const [id, data] of kept) assert.deepEqual(await content(all[0], id), data);
  const collected = (await metric(all[0], "gc_objects_total")) + (await metric(all[1], "gc_objects_total"));
  console.log(`# ${acknowledged} acknowledged, ${busy} busy, ${collected} objects collected, ${kept.size} left`);
  assert.ok(acknowledged > 10 && collected > 0);
  for (const s of all) await s.stop();
  fs.rmSync(shared, { recursive: true, force: true });
});

const scrub = (s, body) => s.send("/api/v1/admin/scrub", "POST", body ?? {});
const report = async (s) => (await s.json("/api/v1/admin/scrub")).body;
function flip(file, at = 10) {
  fs.chmodSync(file, 0o640);
  const fd = fs.openSync(file, "r+"), b = Buffer.alloc(1);
  fs.readSync(fd, b, 0, 1, at);
  b[0] ^= 1;
  fs.writeSync(fd, b, 0, 1, at);
  fs.closeSync(fd);
}

test("reading again finds one flipped bit, a cut and a missing file; the same bytes uploaded again mend them", { skip: !embedded }, async () => {
  const s = await new Server().start();
  const [flipped, cut, missing, well] = [20, 21, 22, 23].map((n) => random(300000, n));
  const ids = (await s.upload([flipped, cut, missing, well].map((data, i) => ({ name: `f${i}.bin`, data })))).body.system_ids;
  assert.equal((await scrub(s)).status, 202);
  await until("a first pass", async () => (await report(s)).last?.objects === 4);
  assert.deepEqual((await report(s)).bad, []);
  flip(objectPath(s, sha256(flipped)));
  fs.chmodSync(objectPath(s, sha256(cut)), 0o640);
  fs.truncateSync(objectPath(s, sha256(cut)), 1000);
  fs.rmSync(objectPath(s, sha256(missing)));
  assert.equal((await scrub(s)).status, 202);
  const found = await until("the pass's end", async () => { const r = await report(s); return r.bad_total === 3 && !r.now && r; });
  const by = new Map(found.bad.map((b) => [b.system_ids[0], b]));
  assert.match(by.get(ids[0]).reason, /not those of its name/);
  assert.match(by.get(ids[1]).reason, /has 1000 bytes and should have 300000/);
  assert.match(by.get(ids[2]).reason, /missing/);
  assert.equal(by.get(ids[0]).sha256, sha256(flipped));
  assert.equal(found.last.objects, 4);
  assert.equal(found.last.bytes, 1200000);
  assert.equal(found.last.bad, 3);
  const health = (await s.json("/health")).body;
  assert.equal(health.storage.status, "degraded");
  assert.match(health.storage.note, /3 stored objects are damaged/);
  assert.equal(await metric(s, "scrub_bad_objects"), 3);
  assert.ok((await metric(s, 'scrub_objects_total{result="bad"}')) >= 3);
  assert.ok((await metric(s, "scrub_last_success_timestamp_seconds")) > 1e9);
  assert.match(s.log, /"ERROR","logger":"scrub"/);

  // Uploaded again, by whomever, they are mended before the acknowledgement.
  for (const [i, data] of [flipped, cut, missing].entries()) {
    assert.equal((await s.upload([{ name: "again.bin", data }], { owner: "bob" })).status, 202);
    assert.deepEqual(await content(s, ids[i]), data);
  }
  assert.equal((await report(s)).bad_total, 0);
  assert.equal((await s.json("/health")).body.storage.status, "healthy");
  // Mended by hand, it leaves the list when it is read again; asked for by id.
  flip(objectPath(s, sha256(well)));
  assert.equal((await scrub(s, { objects: [ids[3]] })).status, 202);
  await until("found", async () => (await report(s)).bad_total === 1);
  flip(objectPath(s, sha256(well)));
  assert.equal((await scrub(s, { objects: [sha256(well)] })).status, 202);
  await until("well again", async () => (await report(s)).bad_total === 0);
  for (const objects of [["x"], [], [crypto.randomUUID()], ["0".repeat(64)], "all"]) assert.equal((await scrub(s, { objects })).status, 400);
  await s.stop();
});

test("a pass that was cut off goes on after the restart", { skip: !embedded }, async () => {
  const dir = tempDir(), env = { SCRUB_RATE: "100K" };
  let s = await new Server({ dir, env }).start();
  await s.upload(Array.from({ length: 12 }, (_, i) => ({ name: `f${i}.bin`, data: random(60000, 30 + i) })));
  assert.equal((await scrub(s)).status, 202);
  const before = await until("some were read", async () => { const r = await report(s); return r.pass && r.pass.objects > 0 && r; });
  await s.kill();
  s = await new Server({ dir, env: { SCRUB_RATE: "1G" } }).start();
  const after = await until("the end", async () => { const r = await report(s); return !r.pass && r; });
  assert.equal(after.last.began_at, before.pass.began_at, "the same pass");
  assert.equal(after.last.objects, 12);
  await s.stop();
});

test("bytes that no row tells of are removed at the end of a pass, young ones are not", { skip: !embedded }, async () => {
  const s = await new Server().start();
  const old = random(5000, 50), young = random(5000, 51);
  for (const data of [old, young]) fs.writeFileSync(objectPath(s, sha256(data)), data);
  const then = Date.now() / 1000 - 2 * 86400;
  fs.utimesSync(objectPath(s, sha256(old)), then, then);
  assert.equal((await scrub(s)).status, 202);
  await until("the pass's end", async () => !(await report(s)).pass && (await report(s)).last);
  assert.ok(!fs.existsSync(objectPath(s, sha256(old))));
  assert.ok(fs.existsSync(objectPath(s, sha256(young))));
  assert.equal((await s.json("/api/v1/admin/stats")).body.storage.objects, 0);
  await s.stop();
});

// An installation of its own, with its server stopped: what fsck says of it.
async function fsck(dir, args = [], env = {}) {
  const out = await run(["fsck", "--json", ...args], { cwd: dir, env: { DATA_PATH: path.join(dir, "data"), ...env } });
  return { ...out, report: out.stdout ? JSON.parse(out.stdout) : undefined };
}
const told = (r, check) => r.report.checks.find((c) => c.check === check);

test("fsck looks beside a server, repairs only without one, and tells by its code how it went", { skip: !embedded }, async () => {
  const dir = tempDir();
  let s = await new Server({ dir }).start();
  const picture = path.join(photos, fs.readdirSync(photos).find((f) => f.startsWith("cat")));
  const data = random(4000, 60);
  const { body } = await s.upload([{ path: picture }, { name: "a.bin", data }]);
  await s.job(body.job_id);
  const [cat, bin] = body.system_ids;
  const asset = (await s.json(`/api/v1/objects/${cat}`)).body;
  let r = await fsck(dir);
  assert.equal(r.code, 0, r.stdout + r.stderr);
  assert.equal(r.report.clean, true);
  assert.equal(r.report.objects, 2);
  const thumb = path.join(dir, "data/storage/derived", asset.sha256.slice(0, 2), asset.sha256, "thumb.webp");
  fs.rmSync(thumb);
  r = await fsck(dir, ["--quick"]);
  assert.equal(r.code, 1);
  assert.equal(told(r, "derived_missing").found, 1);
  r = await fsck(dir, ["--repair"]);
  assert.equal(r.code, 1);
  assert.match(r.stderr, new RegExp(`in use by process ${s.child.pid}: stop it before --repair`));
  s.child.kill("SIGTERM");
  await s.ended();
  r = await fsck(dir, ["--repair"]);
  assert.equal(r.code, 3, r.stdout + r.stderr);
  assert.equal((await fsck(dir)).code, 0);
  fs.rmSync(objectPath({ dir }, sha256(data)));
  r = await fsck(dir, ["--repair"]);
  assert.equal(r.code, 1, "nobody can bring its bytes back");
  assert.equal(told(r, "object_missing").found, 1);
  assert.match(r.report.findings[0].what, new RegExp(sha256(data)));

  s = await new Server({ dir }).start();
  await s.quiet();
  assert.ok(fs.existsSync(thumb), "the thumbnail was made again");
  assert.equal((await s.json(`/api/v1/objects/${cat}`)).body.status, "done");
  const lost = (await s.json(`/api/v1/objects/${bin}`)).body;
  assert.equal(lost.status, "failed");
  assert.match(JSON.stringify(lost), /upload it again/);
  assert.equal((await report(s)).bad_total, 1);
  assert.equal((await s.upload([{ name: "b.bin", data }])).status, 202);
  assert.equal((await s.json(`/api/v1/objects/${bin}`)).body.status, "done");
  assert.deepEqual(await content(s, bin), data);
  assert.equal((await fsck(dir)).code, 0);
  const text = await run(["fsck"], { cwd: dir, env: { DATA_PATH: path.join(dir, "data") } });
  assert.match(text.stdout, /^clean: 2 objects/m);
  await s.stop();
  assert.equal((await fsck(tempDir())).code, 1);
});

test("fsck and reading again on PostgreSQL and an object store that lost, spoiled and kept too much", { timeout: 180000 * slow }, async () => {
  const dir = tempDir(), env = { ...(await productionEnv(dir)), GC_GRACE: "0s" }, { s3 } = await stack();
  const control = async (what, body) => (await fetch(`http://127.0.0.1:${s3.control}/${what}`, { method: "POST", body })).text();
  const s = await new Server({ dir, env }).start();
  const picture = path.join(photos, fs.readdirSync(photos).find((f) => f.startsWith("cat")));
  const [spoiled, lost, stray] = [70, 71, 72].map((n) => Buffer.from(random(3000, n).toString("hex"))); // the store spoils text
  const { body } = await s.upload([{ path: picture }, { name: "a.bin", data: spoiled }, { name: "b.bin", data: lost }]);
  await s.job(body.job_id);
  const [cat, ...ids] = body.system_ids, { sha256: sha } = (await s.json(`/api/v1/objects/${cat}`)).body;
  const at = env.STORAGE_BACKEND.split("/").at(-1), kept = async () => (await control("")).split("\n").filter((k) => k.startsWith(`key ${at}/`) && /objects|derived/.test(k)).length;
  let r = await fsck(dir, [], env);
  assert.equal(r.code, 0, r.stdout + r.stderr);
  assert.equal(r.report.objects, 3);
  assert.equal(await kept(), 5);

  await control(`damage?${sha256(spoiled)}`);
  await control(`lose?${sha256(lost)}`);
  await control(`lose?${sha}/thumb.webp`);
  await control(`stray?${at}/objects/${sha256(stray).slice(0, 2)}/${sha256(stray)}`, stray);
  r = await fsck(dir, ["--quick"], env);
  assert.equal(r.code, 1, r.stdout + r.stderr);
  for (const [check, n] of [["object_missing", 1], ["object_bytes", 0], ["derived_missing", 1], ["object_stray", 1]]) assert.equal(told(r, check)?.found ?? 0, n, check);
  r = await fsck(dir, [], env);
  assert.equal(told(r, "object_bytes").found, 1);
  assert.equal((await scrub(s)).status, 202);
  await until("the pass finds both", async () => { const x = await report(s); return x.bad_total === 2 && !x.pass && x.last; });
  assert.equal((await s.json("/health")).body.storage.status, "degraded");

  r = await fsck(dir, ["--repair"], env); // beside the server
  assert.equal(r.code, 1, "nobody can bring the bytes back");
  await s.quiet();
  for (const id of ids) assert.equal((await s.json(`/api/v1/objects/${id}`)).body.status, "failed");
  assert.equal(await kept(), 4, "the thumbnail is there again; what is lost and what nobody knew are not");
  for (const data of [spoiled, lost]) assert.equal((await s.upload([{ name: "again.bin", data }])).status, 202);
  for (const [i, data] of [spoiled, lost].entries()) {
    assert.equal((await s.json(`/api/v1/objects/${ids[i]}`)).body.status, "done");
    assert.deepEqual(await content(s, ids[i]), data);
  }
  r = await fsck(dir, [], env);
  assert.equal(r.code, 0, r.stdout + r.stderr);
  await s.stop();
});
