// Power cuts. A server's work is recorded call by call (record.c); then, for points between two calls, the disk is built as the cut may have
// left it (disk.mjs), opened by the code that opens it in the server, and held to what had been answered until then.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { test } from "node:test";
import { Server, build, photos, tempDir } from "../e2e/harness.mjs";
import { FULL, fresh, sha256, table } from "./books.mjs";
import { Disk, isAnswer, isMap, isSync, readRecord, seeded } from "./disk.mjs";

const run = promisify(execFile);
const SEED = Number(process.env.FA_SEED ?? 1);
const IMAGES = Number(process.env.FA_IMAGES ?? (FULL ? 3000 : 280));
const BATCH = 16;
const hex = (id) => id.replaceAll("-", "");
const memory = fs.existsSync("/dev/shm") ? "/dev/shm" : os.tmpdir();
const picture = fs.readFileSync(path.join(photos, "cat.jpg"));

// ---- the work: chains of requests, each one's outcome known -----------------------------------------------------------------
// A step is {request, state}: state is what is true after its answer of the assets and folders of its chain; {} before the first.
class Chain {
  constructor(s, record) { this.s = s; this.record = record; this.steps = []; this.now = { assets: {}, folders: {} }; }
  async step(send, change) {
    const request = `op-${this.record.next++}`, step = { request };
    const res = await send({ "X-Request-ID": request });
    const text = await res.text();
    assert.ok(res.status >= 200 && res.status < 300, `${request}: ${res.status} ${text}`);
    this.now = structuredClone(this.now);
    change(this.now, text ? JSON.parse(text) : undefined);
    step.state = this.now;
    this.steps.push(step);
  }
  json(where, method, body, change) {
    return this.step((h) => this.s.fetch(where, { method, headers: { ...h, ...(body ? { "Content-Type": "application/json" } : {}) }, body: body && JSON.stringify(body) }), change);
  }
  async put(name, data) {
    let id;
    await this.step((h) => this.s.fetch(`/api/v1/files/${name}`, { method: "PUT", headers: h, body: data }), (n, r) => { [id] = r.system_ids; n.assets[id] = { name, sha: sha256(data), trashed: 0, folder: "" }; });
    return id;
  }
  rename(id, name) { return this.json(`/api/v1/objects/${id}`, "PATCH", { filename: name }, (n) => { n.assets[id].name = name; }); }
  trash(id) { return this.json(`/api/v1/objects/${id}`, "DELETE", undefined, (n) => { n.assets[id].trashed = 1; }); }
  restore(id) { return this.json(`/api/v1/objects/${id}/restore`, "POST", undefined, (n) => { n.assets[id].trashed = 0; }); }
  purge(id) { return this.json(`/api/v1/objects/${id}?permanent=true`, "DELETE", undefined, (n) => { delete n.assets[id]; }); }
  async folder(name) {
    let id;
    await this.json("/api/v1/clusters", "POST", { name }, (n, r) => { id = r.cluster.id; n.folders[id] = name; });
    return id;
  }
  move(id, folder) { return this.json(`/api/v1/objects/${id}`, "PATCH", { cluster_id: folder }, (n) => { n.assets[id].folder = hex(folder); }); }
  merge(into, from) {
    return this.json(`/api/v1/clusters/${into}`, "PATCH", { action: "merge", source_cluster_ids: [from] }, (n) => {
      delete n.folders[from];
      for (const a of Object.values(n.assets)) if (a.folder === hex(from)) a.folder = hex(into);
    });
  }
  renameFolder(id, name) { return this.json(`/api/v1/clusters/${id}`, "PATCH", { action: "rename", name }, (n) => { n.folders[id] = name; }); }
  removeFolder(id) {
    return this.json(`/api/v1/clusters/${id}`, "DELETE", undefined, (n) => { delete n.folders[id]; for (const a of Object.values(n.assets)) if (a.folder === hex(id)) a.folder = ""; });
  }
}

const shared = fresh(20000);
const kinds = {
  purged: async (c, i) => { const id = await c.put(`p${i}.bin`, fresh(9000)); await c.rename(id, `q${i}.bin`); await c.purge(id); },
  trashed: async (c, i) => { const id = await c.put(`t${i}.bin`, fresh(100)); await c.trash(id); await c.restore(id); await c.trash(id); },
  twice: async (c, i) => { const a = await c.put(`a${i}.bin`, shared), b = await c.put(`b${i}.bin`, shared); await c.purge(i % 2 ? a : b); },
  folders: async (c, i) => {
    const [f, g, id] = [await c.folder(`F${i}`), await c.folder(`G${i}`), await c.put(`f${i}.bin`, fresh(3000))];
    await c.move(id, g);
    await c.merge(f, g);
    await c.renameFolder(f, `H${i}`);
    if (i % 2) await c.removeFolder(f);
  },
  form: async (c, i) => {
    const files = [0, 1, 2].map((n) => ({ name: `m${i}-${n}.bin`, data: fresh(5000) })), form = new FormData();
    for (const f of files) form.append("files", new Blob([f.data]), f.name);
    await c.step((h) => c.s.fetch("/api/v1/ingest", { method: "POST", body: form, headers: h }), (n, r) => files.forEach((f, k) => { n.assets[r.system_ids[k]] = { name: f.name, sha: sha256(f.data), trashed: 0, folder: "" }; }));
  },
  large: async (c, i) => { await c.put(`l${i}.bin`, fresh(700000)); },
  picture: async (c, i) => { await c.put(`c${i}.jpg`, Buffer.concat([picture, fresh(16)])); },
};

async function work(s, record, chains, rounds, from) {
  const jobs = [];
  for (let i = from; i < from + rounds; i++) for (const kind of Object.keys(kinds)) if (!["large", "picture"].includes(kind) || i === from) jobs.push([kind, i]);
  await Promise.all([0, 1, 2].map(async () => {
    while (jobs.length) {
      const [kind, i] = jobs.shift(), c = new Chain(s, record);
      chains.push(c);
      await kinds[kind](c, i);
    }
  }));
  await s.quiet(60);
}

// Apart, so that neither is synced along with the other.
const places = (root) => ({ DATA_PATH: path.join(root, "place/data"), STORAGE_PATH: path.join(root, "store/storage") });

async function record(dir, log) {
  const chains = [], count = { next: 0 }, root = path.join(dir, "disk"), rounds = FULL ? 6 : 3;
  fs.mkdirSync(root);
  // The first start of an installation, and its death; a second life with a proper end.
  const env = { ...places(root), LD_PRELOAD: path.join(build, "tests/libfault_record.so"), RECORD_LOG: log, RECORD_ROOT: root, WORKER_THREADS: "1", TASK_LEASE: "5s" };
  const first = await new Server({ dir, env }).start();
  assert.match(fs.readFileSync(`/proc/${first.child.pid}/maps`, "utf8"), /libfault_record/, "the library is in the server");
  await work(first, count, chains, rounds, 0);
  await first.kill();
  const second = await new Server({ dir, env }).start();
  await work(second, count, chains, rounds, 100);
  second.child.kill("SIGTERM");
  assert.deepEqual(await second.ended(), { code: 0, signal: null }, second.log.slice(-2000));
  return { chains, root };
}

// ---- what a disk holds -------------------------------------------------------------------------------------------------
const DUMP = `SELECT json_group_array(json_array(lower(hex(id)), filename, lower(hex(sha256)), trashed <> 0, lower(hex(coalesce(cluster, ''))))) FROM asset;
SELECT json_group_array(json_array(lower(hex(c.id)), c.name, c.count, (SELECT count(*) FROM asset a WHERE a.cluster = c.id AND a.trashed = 0))) FROM cluster c;
PRAGMA foreign_key_check; PRAGMA integrity_check;`;

async function examine(data, cut, told) {
  const { stdout } = await run("sqlite3", ["-readonly", path.join(data, "catalog.db"), DUMP], { maxBuffer: 1 << 26 });
  const [assets, folders, ...rest] = stdout.trim().split("\n");
  assert.deepEqual(rest, ["ok"], `${cut}: the catalog is whole`);
  const there = new Map(), folderThere = new Map();
  for (const [id, name, sha, trashed, folder] of JSON.parse(assets)) {
    assert.ok(!there.has(id), `${cut}: ${name} is there once`);
    there.set(id, { name, sha, trashed, folder });
    const object = path.join(data, "../../store/storage/objects", sha.slice(0, 2), sha);
    assert.ok(fs.existsSync(object), `${cut}: ${name} has its bytes`);
    assert.equal(sha256(fs.readFileSync(object)), sha, `${cut}: ${name} byte for byte`);
  }
  for (const [id, name, count, members] of JSON.parse(folders)) {
    assert.equal(count, members, `${cut}: ${name} counts its files`);
    folderThere.set(id, name);
  }
  // Of every chain: the state after its last answer, or after the request that was under way.
  let known = 0;
  for (const { steps } of told) {
    const acked = steps.filter((s) => s.acked).length;
    const ids = Object.keys(Object.assign({}, ...steps.map((s) => s.state.assets))), fids = Object.keys(Object.assign({}, ...steps.map((s) => s.state.folders)));
    const seen = { assets: Object.fromEntries(ids.filter((id) => there.has(hex(id))).map((id) => [id, there.get(hex(id))])), folders: Object.fromEntries(fids.filter((id) => folderThere.has(hex(id))).map((id) => [id, folderThere.get(hex(id))])) };
    known += Object.keys(seen.assets).length;
    const may = [acked ? steps[acked - 1].state : { assets: {}, folders: {} }, ...(acked < steps.length ? [steps[acked].state] : [])];
    // The pipeline may have put a picture into a folder of its own making.
    const loose = (s) => JSON.stringify({ assets: Object.fromEntries(Object.entries(s.assets).sort().map(([id, a]) => [id, a.name.endsWith(".jpg") ? { ...a, folder: "" } : a])), folders: Object.entries(s.folders).sort() }, (k, v) => (v && !Array.isArray(v) && typeof v === "object" ? Object.fromEntries(Object.entries(v).sort()) : v));
    assert.ok(may.map(loose).includes(loose(seen)), `${cut}: after ${acked} of ${steps.map((s) => s.request)} it holds ${loose(seen)} instead of ${may.map(loose).join(" or ")}`);
  }
  assert.equal(known, there.size, `${cut}: nothing that nobody sent`);
  return there.size;
}

// The real server on it, over HTTP.
async function serve(image, cut, told) {
  const s = await new Server({ dir: image, env: { ...places(image), WORKER_THREADS: "1", TASK_LEASE: "5s" } }).start();
  const all = await s.every("/api/v1/objects", "objects");
  for (const { steps } of told) {
    const acked = steps.filter((x) => x.acked).length;
    if (acked !== steps.length) continue;
    for (const [id, a] of Object.entries(steps[acked - 1].state.assets)) {
      if (a.trashed) continue;
      assert.equal(all.find((x) => x.id === id)?.filename, a.name, `${cut}: listed`);
      assert.equal(sha256(Buffer.from(await (await s.fetch(`/api/v1/objects/${id}/content`)).arrayBuffer())), a.sha, `${cut}: served`);
    }
  }
  assert.equal((await s.upload([{ name: "after.bin", data: fresh(100) }])).status, 202, `${cut}: it goes on`);
  await s.kill();
}

// ---- the cuts --------------------------------------------------------------------------------------------------------------
// [index of the last event before the cut, variant], in order. "nothing" changes with each sync only, and is hardest just before the next.
function cuts(events) {
  const before = { nothing: [], names: [], some: [], all: [] };
  for (let i = 1; i < events.length; i++) {
    if (isSync(events[i])) before.nothing.push(i - 1);
    if (isAnswer(events[i])) continue;
    before.names.push(i - 1);
    before.some.push(i - 1);
    if (i % 5 === 0) before.all.push(i - 1);
  }
  before.nothing.push(events.length - 1);
  const share = { nothing: 0.4, names: 0.2, some: 0.35, all: 0.05 }, out = [];
  for (const [variant, at] of Object.entries(before)) {
    const n = Math.min(at.length, Math.ceil(IMAGES * share[variant]));
    for (let k = 0; k < n; k++) out.push([at[Math.floor(((k + 0.5) * at.length) / n)], variant]);
  }
  return out.sort((a, b) => a[0] - b[0]);
}

// Builds and examines the disks of all these cuts. ignore: syncs that are taken for undone. Resolves to what was done; throws at a loss.
async function replay({ events, inode, steps, chains }, todo, images, { ignore, serveEvery = Infinity } = {}) {
  const disk = new Disk(inode), sum = { nothing: 0, names: 0, some: 0, all: 0, files: 0, served: 0, disks: 0 };
  let at = -1, batch = [];
  const advance = (to) => {
    while (at < to) {
      const e = events[++at];
      if (!(isSync(e) && ignore?.(disk.of(e)))) disk.do(e);
      const head = isAnswer(e) && e.data.toString("latin1"), id = head && /^HTTP\/1\.1 2\d\d /.test(head) && /^X-Request-ID: (op-\d+)\r$/im.exec(head)?.[1];
      if (id) steps.get(id).acked = true;
    }
  };
  const flush = async () => {
    const quick = batch.filter((b) => !b.server);
    const lines = quick.length ? (await run(path.join(build, "tests/fault_recover"), quick.map((b) => path.join(b.image, "place/data")), { maxBuffer: 1 << 24 })).stdout.split("\n") : [];
    const all = await Promise.allSettled(batch.map(async (b) => {
      if (b.server) return serve(b.image, b.cut, b.told);
      assert.equal(lines[quick.indexOf(b)], "ok", `${b.cut}: it opens`);
      const n = await examine(path.join(b.image, "place/data"), b.cut, b.told);
      sum.files += n;
    }));
    for (const b of batch) fs.rmSync(b.image, { recursive: true, force: true });
    batch = [];
    for (const r of all) if (r.status === "rejected") throw r.reason;
  };
  for (const s of steps.values()) s.acked = false;
  for (const [point, variant] of todo) {
    advance(point);
    const n = ++sum.disks, image = path.join(images, String(n)), server = n % serveEvery === 0;
    disk.write(image, variant, seeded(SEED * 100003 + n));
    batch.push({ image, server, told: chains.map((c) => ({ steps: c.steps.map((s) => ({ ...s })) })), cut: `cut after event ${point} of ${events.length}, ${variant}, seed ${SEED}` });
    sum[variant]++;
    sum.served += server;
    if (batch.length === BATCH) await flush();
  }
  await flush();
  advance(events.length - 1);
  return { ...sum, disk };
}

test("after a power cut at any point all that was answered is there", { timeout: 7200000 }, async () => {
  const dir = tempDir(), log = path.join(dir, "record"), images = fs.mkdtempSync(path.join(memory, "fa-power-"));
  process.on("exit", () => fs.rmSync(images, { recursive: true, force: true }));
  const { chains, root } = await record(dir, log), steps = new Map(chains.flatMap((c) => c.steps).map((s) => [s.request, s]));
  const did = { events: readRecord(log), inode: fs.statSync(root, { bigint: true }).ino, steps, chains }, { events } = did;
  assert.deepEqual(events.filter(isMap).map((e) => path.basename(e.name)).filter((n) => !n.endsWith("-shm")), [], "nothing that must last is written through a mapping");
  const todo = cuts(events), sum = await replay(did, todo, images, { serveEvery: Math.ceil(todo.length / (FULL ? 40 : 6)) });
  assert.deepEqual(sum.disk.differences(root), [], "the record is complete");
  assert.equal([...steps.values()].filter((s) => !s.acked).length, 0, "every answer is in the record");
  // A test that cannot fail proves nothing: each of the syncs that the promise rests on is left out once, and its loss must be seen.
  const late = todo.filter(([at, variant]) => variant === "nothing" && at > events.length / 2).filter((_, i) => i % 4 === 0).slice(0, BATCH);
  for (const [what, ignore] of [["an object's directory", (it) => it.entries && /^[0-9a-f]{2}$/.test(it.name)], ["an object", (it) => !it.entries && !it.name], ["the folder above DATA_PATH", (it) => it.entries && it.name === "place"], ["the catalog's log", (it) => it.name === "catalog.db-wal"]])
    await assert.rejects(replay(did, late, images, { ignore }), (e) => e instanceof assert.AssertionError, `without syncs of ${what} nothing would be lost?`);
  console.log(`# ${events.length} calls recorded, ${events.filter(isSync).length} syncs, ${steps.size} answers; ${sum.disks} disks, ${sum.served} of them under the whole server, ${sum.files} files compared`);
  table("power cuts", ["what had not been synced", "cuts", "losses"], [["nothing is there", sum.nothing, 0], ["all names and sizes, no bytes", sum.names, 0], ["some, writes torn", sum.some, 0], ["all", sum.all, 0]]);
  fs.rmSync(dir, { recursive: true, force: true });
});
