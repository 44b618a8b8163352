// What a client was told, and whether the service stands to it: every acknowledgement is entered here, and verify() compares the
// entries with a server that came back. What was not acknowledged may have happened or not, but never by half.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { Server, sleep, tempDir } from "../e2e/harness.mjs";
import { stack } from "../e2e/stack.mjs";

export const FULL = process.env.FA_TORTURE === "full";
export const LEASE = 2; // seconds: the shortest in which a picture is done with on a busy machine
export const sha256 = (data) => crypto.createHash("sha256").update(data).digest("hex");
export const parts = process.env.FA_STACK === "production" ? ["postgres", "redis", "s3"] : (process.env.FA_STACK ?? "").split(",").filter(Boolean);
export const corner = { postgres: parts.includes("postgres"), s3: parts.includes("s3"), back: parts.includes("s3") && process.env.FA_WRITE_BACK === "1" };
export const cornerName = `${corner.postgres ? "PostgreSQL" : "SQLite"}, ${corner.back ? "S3 with write-back" : corner.s3 ? "S3" : "directory"}`;

let serial = Date.now() % 1e6;
// Bytes that nobody has sent before.
export function fresh(n = 3000) {
  return Buffer.concat([crypto.randomBytes(n - 8), Buffer.from(String(++serial).padStart(8, "0"))]);
}

export const decoders = (pid) => {
  const found = [];
  for (const p of fs.readdirSync("/proc")) {
    if (!/^\d+$/.test(p)) continue;
    try {
      const stat = fs.readFileSync(`/proc/${p}/stat`, "utf8"), [, ppid] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (Number(ppid) === pid) found.push(Number(p));
    } catch { /* it has just gone */ }
  }
  return found;
};

export class Installation {
  constructor(env = {}, dir = tempDir()) {
    this.dir = dir;
    this.env = { WORKER_THREADS: "1", TASK_LEASE: `${LEASE}s`, ...(corner.back ? { S3_WRITE_BACK: "true" } : {}), ...env };
    this.storage = this.env.STORAGE_PATH; // undefined: below dir, wherever that is by then
    this.data = this.env.DATA_PATH;
    this.assets = new Map(); // id -> {sha, names: Set, states: Set of live, trash, gone, folders: Set or undefined}
    this.sent = new Map(); // sha -> what was tried with it: {name, group}
    this.folders = new Map(); // id -> {names: Set, states: Set of there, merged, gone}
    this.groups = new Map(); // group -> how many files: all of them are there or none
    this.checked = new Set(); // objects whose bytes were compared
    this.losses = 0;
  }

  // Resolves to whether it listens: a fault may strike before.
  async start(env = {}) {
    this.s = new Server({ dir: this.dir, env: { ...this.env, ...env } });
    try { await this.s.start(); return true; } catch (e) {
      await this.s.ended();
      this.failure = e;
      return false;
    }
  }

  get dead() { return !this.s || this.s.code !== undefined || this.s.signal !== undefined; }

  // A request whose answer may never come: {status 0} then.
  async ask(where, options) {
    try { return await this.s.json(where, options); } catch (e) {
      if (e instanceof assert.AssertionError || /not JSON/.test(e.message)) throw e;
      return { status: 0, body: undefined };
    }
  }
  send(where, method, body) { return this.ask(where, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }); }

  // ---- what a client does ------------------------------------------------------------------
  enter(id, sha, name) { this.assets.set(id, { sha, names: new Set([name]), states: new Set(["live"]) }); }

  async put(name, data, query = "") {
    const sha = sha256(data);
    this.sent.set(sha, { ...(this.sent.get(sha) ?? { names: new Set(), many: 0 }) });
    this.sent.get(sha).names.add(name);
    this.sent.get(sha).many++;
    const r = await this.ask(`/api/v1/files/${name}${query}`, { method: "PUT", body: data });
    if (r.status === 202) this.enter(r.body.system_ids[0], sha, name);
    return r;
  }
  async form(files, fields = {}) {
    const group = `g${++serial}`;
    for (const f of files) {
      const sha = sha256(f.data), before = this.sent.get(sha) ?? { names: new Set(), many: 0 };
      this.sent.set(sha, { ...before, names: before.names.add(f.name), many: before.many + 1, group });
    }
    this.groups.set(group, files.length);
    let r;
    try { r = await this.s.upload(files, fields); } catch { return { status: 0 }; }
    if (r.status === 202) files.forEach((f, i) => this.enter(r.body.system_ids[i], sha256(f.data), f.name));
    return r;
  }
  // What is asked for may be so from now on; after the answer it must.
  async change(id, where, options, key, to) {
    const a = this.assets.get(id);
    a[key].add(to);
    const r = typeof options.body === "object" ? await this.send(where, options.method, options.body) : await this.ask(where, options);
    if (r.status >= 200 && r.status < 300) a[key] = new Set([to]);
    return r;
  }
  rename(id, name) { return this.change(id, `/api/v1/objects/${id}`, { method: "PATCH", body: { filename: name } }, "names", name); }
  trash(id) { return this.change(id, `/api/v1/objects/${id}`, { method: "DELETE" }, "states", "trash"); }
  purge(id) { return this.change(id, `/api/v1/objects/${id}?permanent=true`, { method: "DELETE" }, "states", "gone"); }
  restore(id) { return this.change(id, `/api/v1/objects/${id}/restore`, { method: "POST" }, "states", "live"); }

  async folder(name) {
    const r = await this.send("/api/v1/clusters", "POST", { name });
    if (r.status === 201) this.folders.set(r.body.cluster.id, { names: new Set([name]), states: new Set(["there"]) });
    return r;
  }
  move(id, folder) {
    const a = this.assets.get(id);
    a.folders ??= new Set([null]);
    return this.change(id, `/api/v1/objects/${id}`, { method: "PATCH", body: { cluster_id: folder } }, "folders", folder);
  }
  async folderChange(id, method, body, key, to) {
    const f = this.folders.get(id);
    f[key].add(to);
    const r = body ? await this.send(`/api/v1/clusters/${id}`, method, body) : await this.ask(`/api/v1/clusters/${id}`, { method });
    if (r.status >= 200 && r.status < 300) f[key] = new Set([to]);
    return r;
  }
  renameFolder(id, name) { return this.folderChange(id, "PATCH", { action: "rename", name }, "names", name); }
  // Its files become unsorted, and those of a merged one the survivor's.
  async removeFolder(id) {
    const inside = this.inside(id);
    for (const a of inside) a.folders.add(null);
    const r = await this.folderChange(id, "DELETE", undefined, "states", "gone");
    if (r.status === 204) for (const a of inside) a.folders = new Set([null]);
    return r;
  }
  async merge(into, from) {
    const f = this.folders.get(from), inside = this.inside(from);
    f.states.add("merged");
    for (const a of inside) a.folders.add(into);
    const r = await this.send(`/api/v1/clusters/${into}`, "PATCH", { action: "merge", source_cluster_ids: [from] });
    if (r.status === 200) {
      f.states = new Set(["merged"]);
      for (const a of inside) a.folders = new Set([into]);
    }
    return r;
  }
  inside(folder) { return [...this.assets.values()].filter((a) => a.folders?.has(folder)); }

  // ---- the audit ------------------------------------------------------------------------------
  // The server dies without a word (if it lives), comes back, comes to rest, and is held to the books.
  async verify(label) {
    if (!this.dead) await this.s.kill();
    assert.ok(await this.start(), `${label}: it starts again: ${this.failure?.message}`);
    await this.settled(label);
    try { return await this.audit(); } catch (e) {
      this.losses++;
      e.message = `${label}: ${e.message}\n${this.s.log.slice(-2500)}`;
      throw e;
    }
  }

  // Every task is done or given up.
  async settled(label, seconds = 90) {
    for (const end = Date.now() + seconds * 1000; ; await sleep(50)) {
      const { body } = await this.s.json("/api/v1/admin/stats");
      if (body.queue.depth === 0) return body;
      if (Date.now() > end) throw new Error(`${label}: the queue still holds ${body.queue.depth}\n${this.s.log.slice(-3000)}`);
    }
  }

  async audit() {
    const live = await this.s.every("/api/v1/objects", "objects"), trash = await this.s.every("/api/v1/trash", "objects");
    this.identities([...live, ...trash]);
    const where = new Map([...live.map((a) => [a.id, ["live", a]]), ...trash.map((a) => [a.id, ["trash", a]])]);
    for (const [id, book] of this.assets) {
      const [state, a] = where.get(id) ?? ["gone"];
      assert.ok(book.states.has(state), `${id} (${[...book.names]}) is ${state}, and may be ${[...book.states]}`);
      book.states = new Set([state]);
      if (state === "gone") { this.assets.delete(id); continue; }
      assert.equal(a.sha256, book.sha, `${id} is what was sent`);
      assert.ok(book.names.has(a.filename), `${id} is called ${a.filename}, and may be ${[...book.names]}`);
      book.names = new Set([a.filename]);
      assert.ok(["done", "failed"].includes(a.status), `${id} ended: ${a.status}`);
      if (!book.folders || state !== "live") continue;
      assert.ok(book.folders.has(a.cluster?.id ?? null), `${id} is in ${a.cluster?.id}, and may be in ${[...book.folders]}`);
      book.folders = new Set([a.cluster?.id ?? null]);
    }
    await this.bytes([...live, ...trash]);
    await this.folderBooks(live);
    await this.counts(live, trash);
    this.tables();
    await this.disk();
    return { assets: where.size };
  }

  // Nobody twice; who was never acknowledged was at least sent, and whole groups or nothing of them.
  identities(all) {
    const seen = new Set(), groups = new Map();
    for (const a of all) {
      assert.ok(!seen.has(a.id), `${a.id} is listed once`);
      seen.add(a.id);
      const tried = this.sent.get(a.sha256);
      assert.ok(tried, `${a.id} ${a.filename} is of bytes that somebody sent`);
      if (tried.group) groups.set(tried.group, (groups.get(tried.group) ?? 0) + 1);
      if (this.assets.has(a.id)) continue;
      assert.ok(tried.names.has(a.filename), `${a.filename} was a name`);
      this.enter(a.id, a.sha256, a.filename);
    }
    for (const [group, n] of groups) {
      if (this.groups.has(group)) assert.equal(n, this.groups.get(group), "of a form's files all are there or none");
      this.groups.delete(group); // what becomes of them later is each one's own
    }
    const times = new Map();
    for (const a of all) times.set(a.sha256, (times.get(a.sha256) ?? 0) + 1);
    for (const [sha, n] of times) assert.ok(n <= this.sent.get(sha).many, `${sha} was sent ${this.sent.get(sha).many} times and is there ${n} times`);
  }

  async bytes(all) {
    const unseen = all.filter((a) => !this.checked.has(a.sha256));
    for (let at = 0; at < unseen.length; at += 8)
      await Promise.all(unseen.slice(at, at + 8).map(async (a) => {
        const r = await this.s.fetch(`/api/v1/objects/${a.id}/content`);
        assert.equal(r.status, 200, `${a.filename}: its bytes are to be had`);
        assert.equal(sha256(Buffer.from(await r.arrayBuffer())), a.sha256, `${a.filename} byte for byte`);
        this.checked.add(a.sha256);
      }));
    // The others at least have their bytes still.
    for (const a of all) if (this.checked.has(a.sha256) && !corner.s3) fs.accessSync(path.join(this.objects(), a.sha256.slice(0, 2), a.sha256));
  }
  objects() { return path.join(this.storage ?? path.join(this.data ?? path.join(this.dir, "data"), "storage"), "objects"); }
  // Before the end: all of them again.
  forget() { this.checked.clear(); }

  async folderBooks(live) {
    const all = await this.s.every("/api/v1/clusters", "clusters"), by = new Map(all.map((f) => [f.id, f]));
    for (const f of all) assert.equal(f.asset_count, live.filter((a) => a.cluster?.id === f.id).length, `${f.name} counts its files`);
    assert.equal(new Set(all.map((f) => f.name)).size, all.length, "no two folders of one name");
    for (const [id, book] of this.folders) {
      const status = by.has(id) ? 200 : (await this.s.fetch(`/api/v1/clusters/${id}`, { redirect: "manual" })).status;
      const state = { 200: "there", 308: "merged", 404: "gone" }[status];
      assert.ok(book.states.has(state), `folder ${[...book.names]} is ${state}, and may be ${[...book.states]}`);
      book.states = new Set([state]);
      if (state !== "there") { this.folders.delete(id); continue; }
      assert.ok(book.names.has(by.get(id).name), `folder is called ${by.get(id).name}, and may be ${[...book.names]}`);
      book.names = new Set([by.get(id).name]);
    }
  }

  async counts(live, trash) {
    const { body } = await this.s.json("/api/v1/admin/stats"), dead = await this.s.every("/api/v1/admin/dlq", "items");
    for (const kind of ["media", "document", "json", "file"])
      for (const status of ["queued", "processing", "done", "failed"])
        assert.equal(body.assets[kind][status], live.filter((a) => a.kind === kind && a.status === status).length, `${kind} ${status} is counted`);
    assert.equal(body.assets.trashed, trash.length);
    assert.equal(body.assets.total, live.length, "the total");
    assert.deepEqual(dead.map((d) => d.system_id).sort(), [...live, ...trash].filter((a) => a.status === "failed").map((a) => a.id).sort(), "what failed is in the DLQ");
    this.dlq = dead.length;
  }

  sql(text) {
    if (!corner.postgres) return execFileSync("sqlite3", ["-readonly", path.join(this.data ?? path.join(this.dir, "data"), "catalog.db"), text], { encoding: "utf8" }).trim();
    return this.st.psql(`fa${this.st.names.get(this.dir)}`, text);
  }
  async open() { if (corner.postgres) this.st = await stack(); return this; }

  tables() {
    if (!corner.postgres) assert.equal(this.sql("PRAGMA integrity_check"), "ok");
    assert.equal(this.sql("SELECT count(*) FROM task WHERE state NOT IN (2, 3)"), "0", "every task is done or dead");
    assert.equal(this.sql("SELECT count(*) FROM (SELECT asset FROM task GROUP BY asset HAVING count(*) > 1) x"), "0", "one task a file");
    // Each time its pipeline is begun by a person it ends once.
    assert.equal(this.sql("SELECT count(*) FROM (SELECT asset FROM lineage GROUP BY asset HAVING sum(CASE WHEN action = 'processed' THEN 1 ELSE 0 END) > 1 + sum(CASE WHEN action LIKE 'reprocess%' THEN 1 ELSE 0 END)) x"), "0", "processed once");
  }

  // Every object holds what its name says, and no upload left anything.
  async disk() {
    if (corner.s3) return;
    const root = path.dirname(this.objects());
    // A page of sidecars may be on its way: its files come and go. What is left over stays.
    for (const end = Date.now() + 15000; fs.readdirSync(path.join(root, "tmp")).length && Date.now() < end; ) await sleep(50);
    assert.deepEqual(fs.readdirSync(path.join(root, "tmp")), [], "nothing half written is left over");
    this.hashed ??= new Set();
    for (const shard of fs.readdirSync(path.join(root, "objects")))
      for (const name of fs.readdirSync(path.join(root, "objects", shard))) {
        if (this.hashed.has(name)) continue;
        assert.equal(sha256(fs.readFileSync(path.join(root, "objects", shard, name))), name, "an object is what its name says");
        this.hashed.add(name);
      }
  }

  async end() {
    if (this.s && !this.dead) await this.s.kill();
    fs.rmSync(this.dir, { recursive: true, force: true });
  }
}

// The page's table, printed by the tests that count: docs/reliability.md has it as it comes.
export function table(title, columns, rows) {
  console.log(`# ${title}`);
  console.log(`# | ${columns.join(" | ")} |\n# |${columns.map(() => "---").join("|")}|`);
  for (const r of rows) console.log(`# | ${r.join(" | ")} |`);
}
