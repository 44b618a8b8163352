// The same service with its files in an object store: nothing stays on the disk, ranges come through, trouble is told.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { Server, photos, root, run, sleep, tempDir } from "./harness.mjs";
import { s3Settings } from "./stack.mjs";

let peers, ports, env;
before(async () => {
  peers = spawn("node", [path.join(root, "tests/contract/s3_peers.mjs")], { stdio: ["pipe", "pipe", "inherit"] });
  const line = await new Promise((done, fail) => { peers.stdout.once("data", (d) => done(String(d))); peers.on("exit", () => fail(new Error("s3_peers.mjs does not start"))); });
  ports = Object.fromEntries([...line.matchAll(/(\w+)=(\d+)/g)].map(([, k, v]) => [k, v]));
  env = { STORAGE_BACKEND: "s3://test-bucket/e2e tests", ...s3Settings(ports, "flaky_"), SPOOL_MAX_BYTES: "200M", MAX_FILE_SIZE: "1G" };
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
  const t = await new Server({ env, dir: s.dir }).start();
  const part = await t.fetch(`/api/v1/objects/${id}/content`, { headers: { Range: "bytes=1000-1999" } });
  assert.equal(part.status, 206);
  assert.deepEqual(Buffer.from(await part.arrayBuffer()), bytes.subarray(1000, 2000));
  assert.deepEqual(Buffer.from(await (await t.fetch(`/api/v1/objects/${id}/content`)).arrayBuffer()), bytes);
  assert.equal((await t.fetch(`/api/v1/objects/${id}/content`, { method: "HEAD" })).headers.get("content-length"), String(bytes.length));
  assert.ok((await t.fetch(`/api/v1/objects/${id}?permanent=true`, { method: "DELETE" })).ok);
  assert.ok(!(await state()).split("\n").some((line) => line.startsWith("key ") && line.includes(asset.sha256)));
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
