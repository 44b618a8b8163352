// An embedded installation moved to PostgreSQL, with its objects where they are and in an S3 store: it answers as
// before, life goes on there, and a copy that is killed goes on where it stopped.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { Server, labelled, run, tempDir } from "./harness.mjs";
import { productionEnv } from "./stack.mjs";

const embedded = { DATABASE_URL: "", QUEUE_BACKEND: "inproc", STORAGE_BACKEND: "fs://" };
const bytes = (n) => crypto.createHash("sha512").update(String(n)).digest();
let dir, wanted;

// What users see: files with all that is known of them, folders, what searches find, and the bytes.
async function tell(s) {
  const plain = ({ uri, urls, storage_uri, ...rest }) => rest;
  const files = (await s.every("/api/v1/objects?sort=created_at", "objects")).map((f) => plain(f));
  const each = [];
  for (const f of files) {
    const { body } = await s.json(`/api/v1/objects/${f.id}`);
    const content = Buffer.from(await (await s.fetch(`/api/v1/objects/${f.id}/content`)).arrayBuffer());
    const thumb = await s.fetch(`/api/v1/objects/${f.id}/thumbnail`);
    const picture = thumb.ok ? Buffer.from(await thumb.arrayBuffer()) : Buffer.from(String(thumb.status));
    each.push([plain(body), crypto.createHash("sha256").update(content).digest("hex"), crypto.createHash("sha256").update(picture).digest("hex")]);
  }
  const folders = await s.every("/api/v1/clusters?sort=name", "clusters");
  const found = {};
  for (const q of ["text=привет", "text=résumé", "text=holidays"]) found[q] = (await s.json(`/api/v1/search?query=${encodeURIComponent(q.slice(5))}&mode=text&limit=100&threshold=0`)).body.results.map((r) => r.id).sort();
  const near = (await s.json("/api/v1/search?query=animal&mode=vector&limit=8&threshold=0")).body.results.map((r) => [r.id, r.similarity.toFixed(2)]);
  const trash = await s.every("/api/v1/trash", "objects");
  return { each, folders, found, near, trash: trash.map(plain) };
}

const copy = (args, env = {}) => run(["migrate", "copy", "--json", "--from", path.join(dir, "data"), ...args], { env: { LSAN_OPTIONS: "", ...env } });
const target = (env) => ["--to", env.DATABASE_URL];
const hashes = () => Object.fromEntries(["catalog.db"].map((f) => [f, crypto.createHash("sha256").update(fs.readFileSync(path.join(dir, "data", f))).digest("hex")]));

before(async () => {
  const s = await new Server({ env: embedded }).start();
  dir = s.dir;
  for (const p of labelled(["animals", "food"], 6)) await s.upload([{ path: p.path }], { owner: "ann", tags: p.label });
  for (let i = 0; i < 30; i++) await s.upload([{ name: `файл привет ${i}.bin`, data: bytes(i % 20) }], { owner: i % 3 ? "ann" : "bob", comments: i % 2 ? "holidays" : "" });
  await s.upload([{ name: "résumé.txt", data: Buffer.from("text") }], { folder: "Papers" });
  await s.upload([{ name: "empty", data: Buffer.alloc(0) }]);
  await s.upload([{ name: "broken.jpg", data: Buffer.from("\xff\xd8\xff\xe0 no picture", "latin1") }]);
  const gone = (await s.upload([{ name: "gone.txt", data: Buffer.from("gone") }])).body.system_ids[0];
  await s.json(`/api/v1/objects/${gone}`, { method: "DELETE" });
  await s.quiet();
  wanted = await tell(s);
  const busy = await copy(["--to", "postgresql://nobody@127.0.0.1:1/none"]);
  assert.equal(busy.code, 1);
  assert.match(busy.stderr, new RegExp(`in use by process ${s.child.pid}: stop the server`));
  s.child.kill("SIGTERM");
  await s.ended();
});
after(() => fs.rmSync(dir, { recursive: true, force: true }));

test("moved to PostgreSQL with its files in place, it answers the same and goes on", async () => {
  const env = { ...(await productionEnv("in place")), STORAGE_BACKEND: "fs://", STORAGE_PATH: path.join(dir, "data/storage") };
  const before = hashes();
  const dry = await copy([...target(env), "--dry-run"]);
  assert.equal(dry.code, 0, dry.stderr);
  assert.equal(JSON.parse(dry.stdout).found, "new");
  const first = await copy([...target(env), "--verify"]);
  assert.equal(first.code, 0, first.stderr);
  const told = JSON.parse(first.stdout);
  assert.equal(told.equal, true);
  assert.equal(told.objects.hashed, told.objects.seen);
  assert.ok(told.tables.every((t) => t.equal) && told.groups.every((g) => g.equal));
  assert.equal(told.groups.filter((g) => g.what === "files" && g.status === "trash").reduce((n, g) => n + g.count, 0), 1);
  const again = await copy(target(env));
  assert.equal(again.code, 0, again.stderr);
  assert.equal(JSON.parse(again.stdout).found, "finished");
  assert.deepEqual(hashes(), before); // the source is never written

  const s = await new Server({ env }).start();
  assert.deepEqual(await tell(s), wanted);
  const { status, body } = await s.upload([{ path: labelled(["animals"], 8).at(-1).path }], { owner: "ann" });
  assert.equal(status, 202);
  assert.equal((await s.job(body.job_id)).status, "done");
  const late = await copy(target(env));
  assert.equal(late.code, 1);
  assert.equal(JSON.parse(late.stdout).equal, false);
  await s.stop();
});

test("moved to PostgreSQL and S3, it answers the same from there", async () => {
  const env = await productionEnv("to S3");
  const { DATABASE_URL, STORAGE_BACKEND, QUEUE_BACKEND, REDIS_URL, ...s3 } = env;
  const args = [...target(env), "--storage-to", STORAGE_BACKEND, "--verify"];
  const first = await copy(args, s3);
  assert.equal(first.code, 0, first.stderr);
  const told = JSON.parse(first.stdout).objects;
  assert.ok(told.copied > 30 && told.derived >= 24 && told.bad === 0);
  assert.equal(told.hashed, told.seen);
  const again = JSON.parse((await copy(args, s3)).stdout);
  assert.equal(again.objects.copied, 0);
  assert.equal(again.objects.there, told.seen);
  const s = await new Server({ env }).start();
  assert.deepEqual(await tell(s), wanted);
  assert.equal((await s.upload([{ name: "later.txt", data: Buffer.from("later") }])).status, 202);
  await s.stop();
});

test("a backup of it moves to PostgreSQL as well", async () => {
  const b = path.join(tempDir(), "b"), to = tempDir(), env = { ...(await productionEnv("from a backup")), STORAGE_BACKEND: "fs://", STORAGE_PATH: to };
  const made = await run(["backup", "create", b, "--json"], { env: { LSAN_OPTIONS: "", DATA_PATH: path.join(dir, "data") } });
  assert.equal(made.code, 0, made.stderr);
  const from = path.join(b, "backups", JSON.parse(made.stdout).backup);
  const moved = await run(["migrate", "copy", "--json", "--from", from, "--storage-from", b, ...target(env), "--storage-to", to], { env: { LSAN_OPTIONS: "" } });
  assert.equal(moved.code, 0, moved.stderr);
  const s = await new Server({ env }).start();
  assert.deepEqual(await tell(s), wanted);
  await s.stop();
  for (const d of [path.dirname(b), to]) fs.rmSync(d, { recursive: true, force: true });
});

test("killed anywhere, it goes on and ends the same; a damaged object is named", async () => {
  const env = { ...(await productionEnv("killed")), STORAGE_BACKEND: "fs://" }, to = tempDir();
  let kills = 0, last;
  // The n-th batch, then the n-th object: both kinds of interruption.
  for (const fault of ["catalog.copy=kill@1", "catalog.copy=kill@4", "catalog.copy=kill@9", "storage.link=kill@5", "storage.dirsync=kill@4", ""]) {
    last = await copy([...target(env), "--storage-to", `fs://${to}`, "--jobs", "2"], fault ? { FILE_ALLOCATOR_FAULT: fault } : {});
    if (last.signal === "SIGKILL") kills++;
    if (kills === 1 && fault === "catalog.copy=kill@4") {
      const half = new Server({ env: { ...env, STORAGE_PATH: to } });
      await assert.rejects(half.start(), /migrate copy/);
    }
  }
  assert.ok(kills >= 4, `${kills} kills`);
  assert.equal(last.code, 0, last.stderr);
  assert.equal(JSON.parse(last.stdout).found, "begun");
  const some = path.join(to, "objects", crypto.createHash("sha256").update(bytes(3)).digest("hex").replace(/^(..)/, "$1/$1"));
  fs.chmodSync(some, 0o600);
  fs.writeFileSync(some, bytes(4));
  const checked = await copy([...target(env), "--storage-from", to, "--verify"]);
  assert.equal(checked.code, 3);
  assert.equal(JSON.parse(checked.stdout).objects.bad, 1);
  assert.match(checked.stderr, /holds other bytes/);
  fs.rmSync(to, { recursive: true, force: true });
});

test("what cannot be done is refused with what to do", async () => {
  const expect = async (args, code, words) => {
    const r = await run(["migrate", "copy", ...args]);
    assert.equal(r.code, code, r.stderr);
    assert.match(r.stderr, words);
  };
  const data = path.join(dir, "data");
  await expect(["--from", data], 2, /--to: allowed is postgresql:\/\//);
  await expect(["--from", data, "--to", "mysql://x/y"], 2, /--to: allowed is postgresql:\/\//);
  await expect(["--to", "postgresql://x@127.0.0.1:1/y", "--from", path.join(dir, "nothing")], 1, /there is no catalog at/);
  await expect(["--to", "postgresql://x:s3cret@127.0.0.1:1/y", "--from", data], 1, /cannot connect to PostgreSQL/);
  await expect(["--to", "postgresql://x@127.0.0.1:1/y", "--from", path.join(data, "lock")], 2, /is not a catalog of File Allocator/);
  const env = await productionEnv("refused");
  await expect(["--from", data, "--to", env.DATABASE_URL, "--storage-from", dir], 1, /is no storage/);
  // A store that does not take the key: seen before a row is copied.
  const { STORAGE_BACKEND, S3_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_REGION } = env;
  const wrong = await copy([...target(env), "--storage-to", STORAGE_BACKEND], { S3_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_REGION, AWS_SECRET_ACCESS_KEY: "wrong" });
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /object store/);
  assert.equal(JSON.parse((await copy([...target(env), "--dry-run"])).stdout).found, "new");
});
