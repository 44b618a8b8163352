#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Makes a small installation of this release on each engine, with a few of everything, and keeps it in tests/data/releases/VERSION, so that
// tests/e2e/releases.test.mjs can prove that later programs open it.
//   FA_BUILD=build/dev node tools/make-release-data.mjs [NAME]      NAME: the folder's name, if it is not the program's version
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { Server, photos, root, run, sleep, tempDir } from "../tests/e2e/harness.mjs";
import { engines, look, losses, releases, sha256, still } from "../tests/e2e/release.mjs";
import { productionEnv, stack } from "../tests/e2e/stack.mjs";

const V1 = "/api/v1";
if (process.env.FA_STACK) throw new Error("FA_STACK must not be set: both engines are made here");

/* ---- what goes in ------------------------------------------------------------------------------ */

const scratch = tempDir();
const vips = (...args) => execFileSync(args[0], args.slice(1).map(String), { cwd: scratch, stdio: ["ignore", "ignore", "ignore"] });
const read = (name) => fs.readFileSync(path.join(scratch, name));

// Pictures small enough for a repository, several of each motif so that the organiser finds folders.
function makePictures() {
  for (const motif of ["cat", "coffee", "rocket", "astronaut", "motorcycle", "coins"]) {
    const from = path.join(photos, fs.readdirSync(photos).find((f) => f.startsWith(motif)));
    vips("vipsthumbnail", from, "-s", "128", "-o", `${scratch}/${motif}.jpg[Q=70,strip]`);
    vips("vips", "extract_area", `${motif}.jpg`, `${motif}-detail.jpg[Q=70]`, 14, 12, 84, 70);
    vips("vips", "gamma", `${motif}.jpg`, `${motif}-light.jpg[Q=70]`, "--exponent", "1.5");
    vips("vips", "copy", `${motif}.jpg`, `${motif}-again.jpg[Q=45]`);
  }
  vips("vipsthumbnail", path.join(photos, "rocket.jpg"), "-s", "48", "-o", `${scratch}/small.ppm`);
}

// Motion JPEG in AVI: a video that any decoder of videos reads.
function avi(frames, width, height) {
  const u32 = (...n) => { const b = Buffer.alloc(4 * n.length); n.forEach((x, i) => b.writeUInt32LE(x, 4 * i)); return b; };
  const u16 = (...n) => { const b = Buffer.alloc(2 * n.length); n.forEach((x, i) => b.writeUInt16LE(x, 2 * i)); return b; };
  const chunk = (name, data) => Buffer.concat([Buffer.from(name), u32(data.length), data, Buffer.alloc(data.length % 2)]);
  const list = (name, ...parts) => chunk("LIST", Buffer.concat([Buffer.from(name), ...parts]));
  const avih = u32(500000, 20000, 0, 0x10, frames.length, 0, 1, 20000, width, height, 0, 0, 0, 0);
  const strh = Buffer.concat([Buffer.from("vidsMJPG"), u32(0, 0, 0, 1, 2, 0, frames.length, 20000, 0xffffffff, 0), u16(0, 0, width, height)]);
  const strf = Buffer.concat([u32(40, width, height), u16(1, 24), Buffer.from("MJPG"), u32(width * height * 3, 0, 0, 0, 0)]);
  const hdrl = list("hdrl", chunk("avih", avih), list("strl", chunk("strh", strh), chunk("strf", strf)));
  const body = Buffer.concat([Buffer.from("AVI "), hdrl, list("movi", ...frames.map((f) => chunk("00dc", f)))]);
  return chunk("RIFF", body);
}

function bmp(width, height) {
  const row = Math.ceil((width * 3) / 4) * 4, b = Buffer.alloc(54 + row * height, 0x5a);
  b.fill(0, 0, 54).write("BM");
  b.writeUInt32LE(b.length, 2); b.writeUInt32LE(54, 10); b.writeUInt32LE(40, 14);
  b.writeInt32LE(width, 18); b.writeInt32LE(height, 22); b.writeUInt16LE(1, 26); b.writeUInt16LE(24, 28);
  return b;
}

function pdf(words) {
  const stream = `BT /F1 18 Tf 40 100 Td (${words}) Tj ET`;
  const parts = ["<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
    "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
    `<< /Length ${stream.length} >>\nstream\n${stream}\nendstream`, "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"];
  let text = "%PDF-1.4\n";
  const at = parts.map((p, i) => { const here = text.length; text += `${i + 1} 0 obj\n${p}\nendobj\n`; return here; });
  const xref = text.length;
  text += `xref\n0 ${parts.length + 1}\n0000000000 65535 f \n${at.map((a) => `${String(a).padStart(10, "0")} 00000 n \n`).join("")}`;
  return Buffer.from(`${text}trailer\n<< /Size ${parts.length + 1} /Root 1 0 R >>\nstartxref\n${xref}\n%%EOF\n`);
}

const text = (name, words) => ({ name, data: Buffer.from(words) });
const image = (name) => ({ name, path: path.join(root, "tests/data/images", name) });
const spoiled = Buffer.from("These bytes are spoiled on the disk after they were stored.\n".repeat(8));
const repeated = text("receipt 7.txt", "paid: 7 crowns\n");

const queries = ["cat", "coffee", "a rocket", "motorcycle"].flatMap((q) => ["hybrid", "vector"].map((m) => `query=${encodeURIComponent(q)}&mode=${m}&threshold=0.5`))
  .concat(["résumé", "привет", "holiday", "first", "notes", "astronaut", "by me"].map((q) => `query=${encodeURIComponent(q)}&mode=text&threshold=0`))
  .concat(["query=cat&owner=ann", "query=cat&owner=bob", "query=astronaut&mode=text&threshold=0&tags=first"]);
const lists = ["owner=ann", "owner=bob", "owner=default", "kind=media", "kind=file", "status=failed", "status=queued", "tag=first", "tag=by%20me", "name=r%C3%A9sum%C3%A9", "name=%D0%BF%D1%80%D0%B8%D0%B2%D0%B5%D1%82", "content_type=text%2Fplain"];

/* ---- a life in short -------------------------------------------------------------------------- */

class Life {
  constructor(dir, env) {
    this.dir = dir;
    this.env = env;
    this.notes = { keys: {}, aliases: {}, operations: [], gone: [] };
  }

  async with(settings, work) {
    this.s = new Server({ dir: this.dir, env: { ...this.env, ...still, ...settings } });
    this.s.key = this.root;
    await this.s.start();
    await work();
    this.s.child.kill("SIGTERM");
    const { code } = await this.s.ended();
    if (code !== 0) throw new Error(`the server ended with ${code}: ${this.s.log.slice(-3000)}`);
  }

  cli(...words) {
    return run(words, { cwd: this.dir, env: { LSAN_OPTIONS: "", DATA_PATH: path.join(this.dir, "data"), ...this.env, ...still } });
  }

  async ask(method, where, body) {
    const r = body === undefined ? await this.s.json(V1 + where, { method }) : await this.s.send(V1 + where, method, body);
    if (r.status >= 300) throw new Error(`${method} ${where}: ${r.status} ${JSON.stringify(r.body)}`);
    if (r.body?.operation_id) this.notes.operations.push({ id: r.body.operation_id, action: r.body.action, cluster_id: r.body.cluster_id });
    return r.body;
  }

  async up(files, fields) {
    const { status, body } = await this.s.upload(files, fields);
    if (status !== 202) throw new Error(`upload: ${status} ${JSON.stringify(body)}`);
    return body.system_ids;
  }

  async makeKeys() {
    const made = await this.cli("apikey", "create", "--direct", "--scope", "admin", "--name", "root");
    if (made.code !== 0) throw new Error(made.stderr);
    this.root = made.stdout.trim();
    this.notes.keys.root = { key: this.root, opens: 200 };
  }

  async giveKeys() {
    const keys = {
      "ann's phone": [{ scope: "read", owner: "ann" }, 200], "ann's desk": [{ scope: "write", owner: "ann" }, 200], reader: [{ scope: "read" }, 200],
      "bob's admin": [{ scope: "admin", owner: "bob" }, 200], lost: [{ scope: "write" }, 401], brief: [{ scope: "read", expires: new Date(Date.now() + 3000).toISOString() }, 401],
    };
    for (const [name, [fields, opens]] of Object.entries(keys)) {
      const made = await this.ask("POST", "/admin/keys", { name, ...fields });
      this.notes.keys[name] = { id: made.id, key: made.key, opens };
      if (name === "lost") await this.ask("DELETE", `/admin/keys/${made.id}`);
    }
    const session = await fetch(`${this.s.url}${V1}/session`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ key: this.notes.keys["ann's phone"].key }) });
    if (session.status !== 201) throw new Error(`session: ${session.status}`);
  }

  async fill() {
    const shot = (...names) => names.map((n) => ({ name: `${n}.jpg`, data: read(`${n}.jpg`) }));
    const views = (motif) => shot(motif, `${motif}-detail`, `${motif}-light`);
    this.ann = await this.up([...views("cat"), ...views("coffee"), ...views("rocket"), ...shot("cat-again", "rocket-again")], { owner: "ann", tags: "first,holiday", comments: "A holiday." });
    this.trip = await this.up(views("coins"), { owner: "ann", folder: "Trip" });
    this.same = await this.up([{ name: "the same cat.jpg", data: read("cat.jpg") }], { owner: "ann" });
    this.bob = await this.up([...shot("cat"), text("файл привет.md", "# Привет\n"), text("résumé.txt", "A résumé.\n")], { owner: "bob", comments: "bob's own" });
    this.mine = await this.up([...views("astronaut"), ...views("motorcycle"), ...shot("astronaut-again")], { tags: ["first", "by machine"] });
    this.rest = await this.up([text("notes.txt", "A few notes.\n"), { name: "empty", data: Buffer.alloc(0) }, text("data.json", '{"a": [1, 2.50, "ü"], "b": null}\n'), text("page.html", "<!doctype html><p>page</p>"),
      { name: "letter.pdf", data: pdf("A letter about holidays") }, { name: "clip.avi", data: avi([read("cat.jpg"), read("cat-light.jpg"), read("cat-again.jpg")], 128, 85) }, { name: "flat.bmp", data: bmp(16, 12) },
      { name: "plain.ppm", data: read("small.ppm") }, image("small.gif"), image("small.avif"), image("exif.jpg"), { name: "spoiled.bin", data: spoiled }]);
    await this.up([{ name: "broken.jpg", data: read("cat.jpg").subarray(0, 900) }], { owner: "bob", tags: "broken" });
    await this.s.upload([repeated], { owner: "ann", idempotency_key: "receipt-7" }).then(({ body }) => {
      this.notes.idempotency = { owner: "ann", key: "receipt-7", name: repeated.name, text: String(repeated.data), job_id: body.job_id, system_ids: body.system_ids, until: new Date(Date.now() + 29 * 86400e3).toISOString() };
    });
    await this.s.quiet();
  }

  async organise() {
    await this.ask("POST", "/admin/organise", {});
    const found = await this.s.every(`${V1}/clusters?status=provisional`, "clusters");
    if (found.length < 4) throw new Error(`only ${found.length} folders were found: ${found.map((c) => `${c.name} (${c.asset_count})`)}`);
    const [renamed, confirmed, locked] = found;
    await this.ask("PATCH", `/clusters/${renamed.id}`, { action: "rename", name: "Renamed é 🐈" });
    await this.ask("POST", `/clusters/${confirmed.id}/approve`, {});
    await this.ask("PATCH", `/clusters/${locked.id}`, { action: "lock", locked: true });
  }

  async decide() {
    const made = {};
    for (const [name, owner] of [["One", "default"], ["Two", "default"], ["Three", "default"], ["Papers", "bob"], ["Gone", "default"]]) made[name] = (await this.ask("POST", "/clusters", { name, owner })).cluster.id;
    const place = (id, cluster_id) => this.ask("PATCH", `/objects/${id}`, { cluster_id });
    await place(this.rest[0], made.One);
    await place(this.rest[2], made.Two);
    await place(this.mine[0], made.Two);
    await place(this.bob[2], made.Papers);
    await place(this.rest[3], made.Gone);
    await place(this.ann[8], null);
    const { operation_id } = await this.ask("PATCH", `/clusters/${made.One}`, { action: "merge", source_cluster_ids: [made.Two] });
    this.notes.aliases[made.Two] = made.One;
    this.notes.merge = { operation_id, source: made.Two, members: [this.rest[2], this.mine[0]].sort(), target: made.One };
    await this.ask("PATCH", `/clusters/${made.Three}`, { action: "update_threshold", threshold: 0.81 });
    await this.ask("DELETE", `/clusters/${made.Gone}`);
    await this.ask("PATCH", `/objects/${this.mine[1]}`, { filename: "renamed one.jpg", tags: ["by me", "first"], comments: 'moved "here"\n' });
    for (const id of [this.rest[1], this.ann[7], this.bob[1]]) await this.ask("DELETE", `/objects/${id}`);
    await this.ask("POST", `/objects/${this.bob[1]}/restore`);
    for (const id of [this.rest[7]]) { await this.ask("DELETE", `/objects/${id}?permanent=true`); this.notes.gone.push(id); }
    await this.ask("POST", `/objects/${this.ann[0]}/reprocess`);
    await this.s.quiet();
  }

  // A disk that fails three times: a dead task with a history.
  async die() {
    this.dead = await this.up([{ name: "unlucky.jpg", data: read("coins-again.jpg") }], { tags: "unlucky" });
    await this.s.quiet();
    const { items } = await this.ask("GET", "/admin/dlq");
    const mine = items.find((d) => d.system_id === this.dead[0]);
    if (!mine || mine.attempts !== 3) throw new Error(`the task is not dead after three tries: ${JSON.stringify(mine)}`);
    this.notes.retry = { job_id: mine.job_id, system_id: mine.system_id };
  }

  async spoil() {
    const hash = sha256(spoiled), file = path.join(this.dir, "data/storage/objects", hash.slice(0, 2), hash);
    const bytes = fs.readFileSync(file);
    bytes[10] ^= 1;
    fs.chmodSync(file, 0o600);
    fs.writeFileSync(file, bytes);
    fs.chmodSync(file, 0o444);
    await this.ask("POST", "/admin/scrub", {});
    for (let i = 0; ; i++, await sleep(50)) {
      const { last, bad_total } = await this.ask("GET", "/admin/scrub");
      if (last && bad_total === 1) break;
      if (i > 600) throw new Error("the pass of the scrubber does not end");
    }
    this.notes.spoiled = { id: this.rest[11], sha256: hash, text: String(spoiled) };
  }

  async backup() {
    const made = await this.cli("backup", "create", path.join(this.dir, "backup"), "--json", "--quiet");
    if (made.code !== 0) throw new Error(`backup: ${made.stderr}`);
    this.schema = JSON.parse(made.stdout).schema_version;
  }

  async live() {
    await this.makeKeys();
    const work = { WORKER_THREADS: "2", TASK_MAX_ERRORS: "3", MAX_IMAGE_SIZE: "96", THUMBNAIL_SIZE: "64" };
    await this.with(work, async () => {
      await this.giveKeys();
      await this.fill();
      await this.organise();
      await this.decide();
    });
    const eio = Array(3).fill("storage.derived=eio").join();
    await this.with({ ...work, FILE_ALLOCATOR_FAULT: eio }, () => this.die());
    await this.with({}, async () => { // nobody works: it waits for the next program
      this.notes.queued = await this.up([{ name: "waiting.jpg", data: read("motorcycle-again.jpg") }, text("also waiting.txt", "waits\n")]);
    });
    await sleep(3000); // "brief" has expired
    await this.backup();
    await this.with({}, () => this.spoil());
  }

  async account() {
    let seen;
    await this.with({}, async () => { seen = await look(this.s, { queries, lists }); });
    const { code, stdout, stderr } = await this.cli("fsck", "--json", "--quiet");
    if (code !== 1) throw new Error(`fsck finds the spoiled object and says 1, not ${code}: ${stderr}`);
    return { schema_version: this.schema, notes: this.notes, seen, fsck: JSON.parse(stdout) };
  }
}

/* ---- packing it ---------------------------------------------------------------------------------- */

// A line for each entry down to that depth: readable, and not half of it indentation.
function lines(value, depth, indent = "") {
  if (depth === 0 || !(value instanceof Object) || Array.isArray(value)) return JSON.stringify(value);
  const inner = `${indent} `;
  return `{\n${Object.entries(value).map(([k, v]) => `${inner}${JSON.stringify(k)}: ${lines(v, depth - 1, inner)}`).join(",\n")}\n${indent}}`;
}

async function dump(dir, to) {
  const st = await stack();
  const sql = execFileSync("pg_dump", ["-h", "127.0.0.1", "-p", String(st.pgPort), "-U", "super", "--no-owner", "--no-privileges", `fa${st.names.get(dir)}`], { encoding: "utf8", maxBuffer: 256 << 20 });
  // Later programs of PostgreSQL put these around a dump and older ones do not know them.
  fs.writeFileSync(to, sql.replace(/^\\(un)?restrict .*\n/gm, ""));
}

async function make(engine, pack) {
  const dir = tempDir();
  const env = engine === "postgres" ? await productionEnv(dir, ["postgres"]) : { DATABASE_URL: "" };
  const life = new Life(dir, env);
  await life.live();
  const account = await life.account(), again = await life.account();
  const lost = losses(again.seen, account.seen);
  if (lost.length) throw new Error(`two looks differ:\n${lost.join("\n")}`);
  fs.mkdirSync(path.join(pack, engine), { recursive: true });
  for (const name of ["data", "backup"]) fs.cpSync(path.join(dir, name), path.join(pack, engine, name), { recursive: true });
  fs.rmSync(path.join(pack, engine, "data/lock"), { force: true }); // it names a process
  if (engine === "postgres") await dump(dir, path.join(pack, engine, "dump.sql"));
  fs.rmSync(dir, { recursive: true, force: true });
  return account;
}

const version = (await run(["version"])).stdout.match(/\d+\.\d+\.\d+\S*/)[0];
const name = process.argv[2] ?? version, to = path.join(releases, name);
if (fs.existsSync(path.join(to, "expected.json"))) throw new Error(`${to} is there: a release's data are made once`);
makePictures();
const pack = tempDir(), expected = { release: name, program: version, made: new Date().toISOString(), queries, lists, engines: {} };
for (const engine of engines) expected.engines[engine] = await make(engine, pack);
fs.mkdirSync(to, { recursive: true });
fs.writeFileSync(path.join(to, "expected.json"), `${lines(expected, 5)}\n`);
execFileSync("tar", ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-cJf", path.join(to, "data.tar.xz"), "-C", pack, ...engines], { env: { ...process.env, XZ_OPT: "-9e" } });
for (const d of [pack, scratch]) fs.rmSync(d, { recursive: true, force: true });
console.log(`${to}: ${fs.statSync(path.join(to, "data.tar.xz")).size} bytes`);
