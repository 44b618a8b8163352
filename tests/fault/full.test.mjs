// Full disks: small tmpfs volumes that are filled by uploads, by somebody else, and in inodes. What was acknowledged stays whole and readable,
// what is refused is refused with a reason, and when there is room again all goes on, without a restart.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { labelled, sleep, tempDir } from "../e2e/harness.mjs";
import { Installation, fresh, table } from "./books.mjs";

const rows = [], mounts = [];
process.on("exit", () => { for (const at of mounts) try { execFileSync("umount", ["-l", at]); } catch { /* it is gone */ } });

function volume(options) {
  const at = tempDir();
  try { execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", at], { stdio: ["ignore", "ignore", "pipe"] }); } catch (e) {
    throw new Error(`this test mounts small file systems, for which it must be root with the right to mount (in a container: CAP_SYS_ADMIN): ${e.stderr}`);
  }
  mounts.push(at);
  return at;
}
function unmount(at) { execFileSync("umount", ["-l", at]); mounts.splice(mounts.indexOf(at), 1); fs.rmdirSync(at); }

// Somebody else's file that takes what is left; the function gives it back.
function ballast(at) {
  const file = path.join(at, "ballast"), fd = fs.openSync(file, "w"), piece = Buffer.alloc(65536, 1);
  for (let n = piece.length; n >= 1; ) try { fs.writeSync(fd, piece, 0, n); } catch (e) { if (e.code !== "ENOSPC") throw e; n >>= 1; }
  fs.closeSync(fd);
  return () => fs.rmSync(file);
}

// Uploads until they are refused, several times in a row; every refusal has a reason.
async function fill(x, size, most = 4000, query = "") {
  let taken = 0, refused = 0;
  for (let i = 0, row = 0; i < most && row < 12; i++) {
    const r = await x.put(`fill-${i}.bin`, fresh(size), query);
    if (r.status === 202) { taken++; row = 0; continue; }
    assert.ok([503, 507].includes(r.status), `refused with ${r.status} ${JSON.stringify(r.body)}`);
    assert.ok(r.body.error, "a reason is given");
    refused++;
    row++;
  }
  assert.ok(refused > 0, "the volume was filled");
  return { taken, refused };
}

// Reading needs no room.
async function reads(x) {
  const all = await x.s.every("/api/v1/objects", "objects"), some = all.filter((_, i) => i % Math.ceil(all.length / 10) === 0);
  for (const a of some) assert.equal((await x.s.fetch(`/api/v1/objects/${a.id}/content`)).status, 200);
  assert.ok((await x.s.json("/api/v1/search?query=fill&mode=text&limit=5")).body.results.length > 0, "search goes on");
  assert.equal((await x.s.fetch("/live")).status, 200);
  assert.equal((await x.s.fetch("/metrics")).status, 200);
  return all.length;
}

const serving = async (x, seconds = 20) => {
  let r;
  for (const end = Date.now() + seconds * 1000; Date.now() < end && r?.status !== 202; await sleep(50)) r = await x.put(`again-${Date.now()}.bin`, fresh(5000));
  assert.equal(r.status, 202, `with room again it takes files: ${r.status} ${JSON.stringify(r.body)}`);
};

// The bytes of what was purged are off the disk.
async function collected(x) {
  let n;
  for (const end = Date.now() + 30000; Date.now() < end; await sleep(100)) {
    n = (await x.s.json("/api/v1/admin/stats")).body;
    if (n.storage.objects === n.assets.total) return;
  }
  throw new Error(`${n.storage.objects} objects for ${n.assets.total} files\n${x.s.log.slice(-1500)}`);
}

async function scenario(name, { options, env = () => ({}), size = 100000, query, spare, alone, away = 0.5 }) {
  const at = volume(options), x = new Installation({ GC_GRACE: "0s", ...env(at) });
  // Either all of it is on the volume, or what env() puts there.
  if (!Object.keys(x.env).some((k) => k.endsWith("_PATH"))) { fs.rmSync(x.dir, { recursive: true }); x.dir = at; }
  await x.open();
  assert.ok(await x.start(), `${x.failure?.message}`);
  if (spare) fs.writeFileSync(path.join(at, "spare"), Buffer.alloc(spare, 1));
  const { taken, refused } = await fill(x, size, 4000, query);
  const seen = await reads(x);
  assert.equal(seen, taken, "all of them are listed");
  // What frees room goes on: the first ones are purged, and there is room for new ones without a restart.
  const ids = [...x.assets.keys()].slice(0, Math.ceil(taken * away));
  let purged = 0;
  for (const id of ids) {
    const { status } = await x.purge(id);
    assert.ok([204, 503, 507].includes(status), `a purge is done or refused: ${status}`);
    purged += status === 204;
  }
  // What a catalog has grown to it keeps, so somebody must make room; one that is alone has no slack: a deletion is a write, too.
  if (spare) fs.rmSync(path.join(at, "spare"));
  if (!alone) assert.ok(purged > 0, "files can be purged from a full volume");
  await serving(x);
  await collected(x);
  // Full to the last byte, and started so.
  const give = ballast(at);
  await fill(x, size, 4000, query);
  await reads(x);
  if (!x.dead) await x.s.kill();
  assert.ok(await x.start(), `it starts on a full volume: ${x.failure?.message}`);
  await reads(x);
  assert.ok([503, 507].includes((await x.put("no.bin", fresh(size), query)).status));
  give();
  await serving(x);
  x.forget();
  const { assets } = await x.verify(name);
  rows.push([name, taken, refused, purged, assets, 0]);
  await x.s.kill();
  if (x.dir === at) x.dir = "/nonexistent";
  await x.end();
  unmount(at);
}

test("one volume for all of it is filled by uploads", { timeout: 600000 }, () => scenario("everything on one volume", { options: "size=32m", env: () => ({ MIN_FREE_SPACE: "12M" }) }));
test("one volume is filled by small files", { timeout: 600000 }, () => scenario("everything on one volume, small files", { options: "size=24m", size: 12, spare: 6 << 20, env: () => ({ MIN_FREE_SPACE: "10M" }) }));
test("the storage has a volume of its own", { timeout: 600000 }, () => scenario("storage on a volume of its own", { options: "size=8m", env: (at) => ({ MIN_FREE_SPACE: "0", STORAGE_PATH: path.join(at, "storage") }) }));
test("the catalog has a volume of its own", { timeout: 600000 }, () => scenario("catalog on a volume of its own", { options: "size=14m", size: 100, spare: 3 << 20, alone: true, query: `?comments=${"words ".repeat(600)}`, env: (at) => ({ MIN_FREE_SPACE: "0", DATA_PATH: path.join(at, "data"), STORAGE_PATH: path.join(tempDir(), "storage") }) }));
test("a catalog with a volume of its own leaves room to delete", { timeout: 600000 }, () => scenario("catalog on a volume of its own, part of it kept free", { options: "size=24m", size: 100, away: 0.9, query: `?comments=${"words ".repeat(600)}`, env: (at) => ({ MIN_FREE_SPACE: "5M", DATA_PATH: path.join(at, "data"), STORAGE_PATH: path.join(tempDir(), "storage") }) }));
// A disk so slow that the checkpointer (the keeper thread) copies nothing of the WAL during the whole test: the writer must, before the database lacks the room for what it holds.
test("a catalog with a volume of its own whose checkpointer cannot keep up", { timeout: 600000 }, () => scenario("the same, with the checkpointer (the thread that copies the WAL) stopped", { options: "size=24m", size: 100, away: 0.9, query: `?comments=${"words ".repeat(600)}`, env: (at) => ({ FILE_ALLOCATOR_FAULT: "catalog.checkpoint=stall", MIN_FREE_SPACE: "5M", DATA_PATH: path.join(at, "data"), STORAGE_PATH: path.join(tempDir(), "storage") }) }));
test("the inodes run out", { timeout: 600000 }, () => scenario("no inodes left", { options: "size=64m,nr_inodes=420", size: 1000, env: () => ({ MIN_FREE_SPACE: "0" }) }));

test("pictures whose pipeline meets a full volume are done when there is room", { timeout: 600000 }, async () => {
  const at = volume("size=48m"), x = new Installation({ WORKER_THREADS: "2", TASK_MAX_ERRORS: "2", MIN_FREE_SPACE: "0" });
  fs.rmSync(x.dir, { recursive: true });
  x.dir = at;
  await x.open();
  const pictures = labelled(["animals", "food"], 12).map((p) => fs.readFileSync(p.path));
  assert.ok(await x.start({ WORKER_THREADS: "0" }));
  for (const [i, p] of pictures.entries()) assert.equal((await x.put(`${i}.png`, p)).status, 202);
  await x.s.kill();
  const give = ballast(at);
  assert.ok(await x.start(), `${x.failure?.message}`);
  await sleep(4000); // they fail now, or wait
  give();
  await x.settled("with room again", 120);
  assert.equal((await x.send("/api/v1/admin/dlq/retry-all", "POST")).status, 200);
  await x.settled("tried again", 120);
  await x.verify("pictures on a full volume");
  assert.equal(x.dlq, 0, "all of them are done");
  rows.push(["pictures analysed while it is full", pictures.length, "–", "–", pictures.length, 0]);
  await x.s.kill();
  x.dir = "/nonexistent";
  unmount(at);
});

test("the table", () => table("full disks", ["volume", "accepted", "refused until full", "purged while full", "verified at the end", "losses"], rows));
