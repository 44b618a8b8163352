// The same service with its files in an object store: nothing stays on the disk, ranges come through, trouble is told.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { Server, photos, root, run, slow, sleep, tempDir } from "./harness.mjs";
import { productionEnv, s3Settings } from "./stack.mjs";

let peers, ports, env;
before(async () => {
  peers = spawn("node", [path.join(root, "tests/contract/s3_peers.mjs")], { stdio: ["pipe", "pipe", "inherit"] });
  const line = await new Promise((done, fail) => { peers.stdout.once("data", (d) => done(String(d))); peers.on("exit", () => fail(new Error("s3_peers.mjs does not start"))); });
  ports = Object.fromEntries([...line.matchAll(/(\w+)=(\d+)/g)].map(([, k, v]) => [k, v]));
  // New catalogs come to one prefix: sidecars of an earlier one would stop their start.
  env = { SIDECARS: "false", STORAGE_BACKEND: "s3://test-bucket/e2e tests", ...s3Settings(ports, "flaky_"), SPOOL_MAX_BYTES: "200M", MAX_FILE_SIZE: "1G" };
});
after(() => peers.stdin.end());
const rules = async (list) => (await fetch(`http://127.0.0.1:${ports.control}/rules`, { method: "POST", body: JSON.stringify(list) })).text();
const state = async () => (await fetch(`http://127.0.0.1:${ports.control}/`)).text();

test("a photograph is kept, understood, listed and given back in parts", async () => {
  const s = await new Server({ env }).start();
  const file = path.join(photos, fs.readdirSync(photos).find((f) => f.startsWith("cat")));
  const bytes = fs.readFileSync(file);
  const { status, body } = await s.upload([{ path: file }]);
  assert.equal(status, 202);
  assert.equal((await s.job(body.job_id)).status, "done");
  const id = body.system_ids[0], asset = (await s.json(`/api/v1/objects/${id}`)).body;
  assert.equal(asset.sha256, crypto.createHash("sha256").update(bytes).digest("hex"));
  assert.ok((await state()).includes(`key e2e tests/objects/${asset.sha256.slice(0, 2)}/${asset.sha256}`));
  assert.ok((await state()).includes(`key e2e tests/derived/${asset.sha256.slice(0, 2)}/${asset.sha256}/thumb.webp`));
  assert.ok(JSON.stringify(asset).includes(`s3://test-bucket/e2e tests/objects/`));
  const thumb = await s.fetch(`/api/v1/objects/${id}/thumbnail`);
  assert.equal(thumb.headers.get("content-type"), "image/webp");
  assert.ok((await thumb.arrayBuffer()).byteLength > 500);
  assert.deepEqual(Buffer.from(await (await s.fetch(`/api/v1/objects/${id}/content`)).arrayBuffer()), bytes);
  assert.match(JSON.stringify((await s.json("/health")).body), /"backend":"s3"/);
  await s.kill();

  // Another process has no copies: what it gives back comes from the store.
  const t = await new Server({ env: { ...env, GC_GRACE: "0s" }, dir: s.dir }).start();
  const part = await t.fetch(`/api/v1/objects/${id}/content`, { headers: { Range: "bytes=1000-1999" } });
  assert.equal(part.status, 206);
  assert.deepEqual(Buffer.from(await part.arrayBuffer()), bytes.subarray(1000, 2000));
  assert.deepEqual(Buffer.from(await (await t.fetch(`/api/v1/objects/${id}/content`)).arrayBuffer()), bytes);
  assert.equal((await t.fetch(`/api/v1/objects/${id}/content`, { method: "HEAD" })).headers.get("content-length"), String(bytes.length));
  assert.ok((await t.fetch(`/api/v1/objects/${id}?permanent=true`, { method: "DELETE" })).ok);
  const left = async () => (await state()).split("\n").some((line) => line.startsWith("key ") && line.includes(asset.sha256));
  for (const end = Date.now() + 60000 * slow; await left(); await sleep(100)) assert.ok(Date.now() < end, "its bytes are collected");
  assert.deepEqual(fs.readdirSync(path.join(t.dir, "data/spool")), []);
  await t.stop();
});

test("a file in parts arrives whole, and its end can be read alone", async () => {
  const s = await new Server({ env }).start();
  const bytes = crypto.randomBytes(70 << 20);
  const { status, body } = await s.upload([{ name: "large.bin", data: bytes }]);
  assert.equal(status, 202);
  assert.ok((await state()).includes("partNumber=5"));
  const id = body.system_ids[0];
  await s.kill();
  const t = await new Server({ env, dir: s.dir }).start();
  const got = crypto.createHash("sha256");
  for await (const p of (await t.fetch(`/api/v1/objects/${id}/content`)).body) got.update(p);
  assert.equal(got.digest("hex"), crypto.createHash("sha256").update(bytes).digest("hex"));
  const end = await t.fetch(`/api/v1/objects/${id}/content`, { headers: { Range: "bytes=-100" } });
  assert.deepEqual(Buffer.from(await end.arrayBuffer()), bytes.subarray(-100));
  await t.stop();
});

test("nothing is acknowledged while the store is away, and it goes on when it is back", async () => {
  const s = await new Server({ env }).start();
  await rules([{ action: "reset", times: -1 }]);
  const away = await s.upload([{ name: "a.txt", data: Buffer.from("away") }]);
  assert.equal(away.status, 503);
  await sleep(10500); // the last look at the store is that old
  assert.equal((await s.json("/health")).body.status === "healthy", false);
  await rules([{ action: "status", status: 503, times: 2 }]);
  assert.equal((await s.upload([{ name: "a.txt", data: Buffer.from("away") }])).status, 202);
  await rules([]);
  await s.stop();
});

test("a wrong key stops the start and says why, without the key", async () => {
  const dir = tempDir();
  const end = await run(["serve"], { env: { ...env, AWS_SECRET_ACCESS_KEY: "not-it", APP_PORT: "0", DATA_PATH: dir } });
  fs.rmSync(dir, { recursive: true, force: true });
  assert.notEqual(end.code, 0);
  assert.match(end.stdout + end.stderr, /SignatureDoesNotMatch/);
  assert.ok(!(end.stdout + end.stderr).includes("not-it"));
});

// ---- write-back

const sha256 = (bytes) => crypto.createHash("sha256").update(bytes).digest("hex");
const keyOf = (bytes) => `key e2e tests/objects/${sha256(bytes).slice(0, 2)}/${sha256(bytes)}`;
const cat = () => path.join(photos, fs.readdirSync(photos).find((f) => f.startsWith("cat")));
const later = () => ({ ...env, S3_WRITE_BACK: "true", TASK_LEASE: `${3 * slow}s` });
const away = (match, extra = {}) => rules([{ match, action: "reset", times: -1, ...extra }]);
async function storageIs(s, what, good) {
  for (const end = Date.now() + 60000 * slow; ; await sleep(100)) {
    const { status, storage } = (await s.json("/health")).body;
    if (good(storage, status)) return storage;
    if (Date.now() > end) throw new Error(`the storage is not ${what}: ${JSON.stringify(storage)}`);
  }
}
const allSent = (s) => storageIs(s, "all sent", (st) => st.waiting.objects === 0);

test("with write-back, what is acknowledged while the store is away survives kill -9 and gets there", async () => {
  const s = await new Server({ env: later() }).start();
  const picture = fs.readFileSync(cat()), text = crypto.randomBytes(30000);
  assert.deepEqual((await allSent(s)).waiting, { objects: 0, bytes: 0, oldest_seconds: 0 });
  await away("/");
  const { status, body } = await s.upload([{ path: cat() }, { name: "a.bin", data: text }]);
  assert.equal(status, 202);
  assert.equal((await s.upload([{ name: "again.bin", data: text }])).status, 202);
  const told = await storageIs(s, "degraded", (st, all) => st.status === "degraded" && all === "degraded");
  assert.deepEqual([told.waiting.objects, told.waiting.bytes], [2, picture.length + text.length]);
  assert.ok(told.waiting.oldest_seconds > 0);
  assert.match(told.note, /not available/);
  const [first, second] = body.system_ids;
  assert.deepEqual(Buffer.from(await (await s.fetch(`/api/v1/objects/${first}/content`)).arrayBuffer()), picture);
  const part = await s.fetch(`/api/v1/objects/${second}/content`, { headers: { Range: "bytes=20000-20099" } });
  assert.equal(part.status, 206);
  assert.deepEqual(Buffer.from(await part.arrayBuffer()), text.subarray(20000, 20100));
  await s.kill();
  assert.ok(!(await state()).includes(keyOf(picture)) && !(await state()).includes(keyOf(text)));

  await rules([]); // a start needs the store; then it goes away again before anything is sent
  await away("/objects/");
  const t = await new Server({ env: later(), dir: s.dir }).start();
  assert.equal((await storageIs(t, "waiting", (st) => st.waiting.objects === 2)).waiting.bytes, picture.length + text.length);
  await rules([]);
  await allSent(t);
  assert.ok((await state()).includes(keyOf(picture)) && (await state()).includes(keyOf(text)));
  assert.equal((await t.job(body.job_id)).status, "done");
  assert.ok((await state()).includes(`derived/${sha256(picture).slice(0, 2)}/${sha256(picture)}/thumb.webp`));
  assert.equal((await t.json("/api/v1/admin/stats")).body.queue.dlq, 0);
  await t.stop();
});

test("with write-back, what is purged before it was sent never reaches the store, and a full spool is told", async () => {
  const s = await new Server({ env: { ...later(), SPOOL_MAX_BYTES: "2M", GC_GRACE: "0s" } }).start();
  const secret = crypto.randomBytes(1 << 20), kept = crypto.randomBytes(900 << 10);
  await away("/objects/", { method: "PUT" });
  const { body } = await s.upload([{ name: "secret.bin", data: secret }]);
  assert.equal((await s.upload([{ name: "kept.bin", data: kept }])).status, 202);
  assert.equal((await s.upload([{ name: "more.bin", data: crypto.randomBytes(1 << 20) }])).status, 503);
  const gone = await s.fetch(`/api/v1/objects/${body.system_ids[0]}?permanent=true`, { method: "DELETE" });
  assert.ok(gone.ok, `${gone.status} ${await gone.text()}\n${s.log.slice(-3000)}`);
  assert.equal((await s.fetch(`/api/v1/objects/${body.system_ids[0]}/content`)).status, 404);
  assert.equal((await storageIs(s, "one less", (st) => st.waiting.objects === 1)).waiting.bytes, kept.length);
  await rules([]);
  await allSent(s);
  assert.ok((await state()).includes(keyOf(kept)));
  // It may have been asked to remove what it never had.
  const told = (await state()).split("\n").filter((line) => line.includes(sha256(secret)) && !/^seen (GET|HEAD|DELETE) /.test(line));
  assert.deepEqual(told, [], "nothing was sent");
  await s.stop();
});

test("with write-back, another instance waits for a file it cannot see yet and counts nothing against it", async () => {
  const shared = { ...(await productionEnv(tempDir())), ...later(), STORAGE_BACKEND: "s3://test-bucket/several" };
  const a = await new Server({ env: { ...shared, WORKER_THREADS: "0" } }).start(), b = await new Server({ env: shared }).start();
  await away("/objects/", { method: "PUT" });
  const { status, body } = await a.upload([{ path: cat() }]);
  assert.equal(status, 202);
  for (let i = 0; i < 600 * slow && !b.log.includes("task handed back"); i++) await sleep(100);
  assert.match(b.log, /task handed back: .*the instance that took it may still have to send it/);
  const content = `/api/v1/objects/${body.system_ids[0]}/content`;
  assert.equal((await b.fetch(content)).status, 503);
  assert.deepEqual(Buffer.from(await (await a.fetch(content)).arrayBuffer()), fs.readFileSync(cat()));
  await rules([]);
  await allSent(a);
  assert.equal((await b.job(body.job_id)).status, "done");
  assert.equal((await b.fetch(content)).status, 200);
  const lineage = JSON.stringify((await a.json(`/api/v1/objects/${body.system_ids[0]}/lineage`)).body);
  assert.ok(!lineage.includes("retried") && !lineage.includes("failed"), lineage);
  await a.stop();
  await b.stop();
});
