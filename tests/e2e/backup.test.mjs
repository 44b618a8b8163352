// A backup of a server under load, restored elsewhere, answers as the original did; whatever cuts it off, and wherever
// a bit flips, is found.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { Server, labelled, random, run, sleep, tempDir } from "./harness.mjs";
import { onS3, stackEnv } from "./stack.mjs";

const sha = (b) => crypto.createHash("sha256").update(b).digest("hex");
const adminKey = "admin-key-of-the-original";
const folders = [];
const dir = () => { const d = tempDir(); folders.push(d); return d; };
let source, wanted, key, backups, made;

const settings = async (folder) => ({ LSAN_OPTIONS: "", ...(await stackEnv(folder)), DATA_PATH: path.join(folder, "data") });
const backup = async (folder, args, env = {}) => run(["backup", ...args], { env: { ...(await settings(folder)), ...env } });
const json = (r) => { try { return JSON.parse(r.stdout); } catch { throw new Error(`no JSON: ${JSON.stringify(r)}`); } };
const names = (d) => (fs.existsSync(`${d}/backups`) ? fs.readdirSync(`${d}/backups`).sort() : []);
const whole = (d) => names(d).filter((n) => fs.existsSync(`${d}/backups/${n}/manifest.json`));
const objectFile = (d, hex) => `${d}/objects/${hex.slice(0, 2)}/${hex}`;

// What users see of ann and bob: the load is another owner's.
async function tell(s) {
  const plain = ({ uri, urls, storage_uri, ...rest }) => rest;
  const out = { files: [], folders: [], found: {}, dlq: [], trash: [] };
  for (const owner of ["ann", "bob"]) {
    for (const f of await s.every(`/api/v1/objects?owner=${owner}&sort=created_at`, "objects")) {
      const { body } = await s.json(`/api/v1/objects/${f.id}`);
      const content = Buffer.from(await (await s.fetch(`/api/v1/objects/${f.id}/content`)).arrayBuffer());
      const thumb = await s.fetch(`/api/v1/objects/${f.id}/thumbnail`);
      out.files.push([plain(f), plain(body), sha(content), thumb.ok ? sha(Buffer.from(await thumb.arrayBuffer())) : thumb.status]);
    }
    out.folders.push(...(await s.every(`/api/v1/clusters?owner=${owner}&sort=name`, "clusters")));
    out.trash.push(...(await s.every(`/api/v1/trash?owner=${owner}`, "objects")).map(plain));
    for (const q of ["привет", "résumé", "holidays"]) out.found[owner + q] = (await s.json(`/api/v1/search?query=${encodeURIComponent(q)}&owner=${owner}&mode=text&limit=100&threshold=0`)).body.results.map((r) => r.id).sort();
    out.found[owner] = (await s.json(`/api/v1/search?query=animal&owner=${owner}&mode=vector&limit=8&threshold=0`)).body.results.map((r) => [r.id, r.similarity.toFixed(2)]);
  }
  out.dlq = (await s.every("/api/v1/admin/dlq", "items")).filter((d) => d.filename === "broken.jpg");
  out.keys = (await s.json("/api/v1/admin/keys")).body.keys.map(({ last_used_at, ...k }) => k);
  return out;
}

async function load(s, until, sent) {
  for (let i = 0; !until.stop; i++) {
    const { status, body } = await s.upload([{ name: `load ${i}.bin`, data: random(3000 + i, i + 7) }], { owner: "load" });
    assert.equal(status, 202);
    sent.set(body.system_ids[0], sha(random(3000 + i, i + 7)));
    if (i % 5 === 0) await s.upload([{ path: labelled(["food"], 30)[(i / 5) % 30].path }], { owner: "load" });
  }
}

before(async () => {
  source = await new Server({ env: { API_KEY: adminKey } }).start();
  for (const p of labelled(["animals"], 6)) await source.upload([{ path: p.path }], { owner: "ann", tags: p.label });
  for (let i = 0; i < 12; i++) await source.upload([{ name: `файл привет ${i}.bin`, data: random(100 + (i % 8), (i % 8) + 1) }], { owner: i % 3 ? "ann" : "bob", comments: i % 2 ? "holidays" : "" });
  await source.upload([{ name: "résumé.txt", data: Buffer.from("text") }], { owner: "ann", folder: "Papers" });
  await source.upload([{ name: "empty", data: Buffer.alloc(0) }], { owner: "bob" });
  await source.upload([{ name: "broken.jpg", data: Buffer.from("\xff\xd8\xff\xe0 no picture", "latin1") }], { owner: "bob" });
  const gone = (await source.upload([{ name: "gone.txt", data: Buffer.from("gone") }], { owner: "ann" })).body.system_ids[0];
  await source.json(`/api/v1/objects/${gone}`, { method: "DELETE" });
  key = (await source.send("/api/v1/admin/keys", "POST", { scope: "read", owner: "ann", name: "phone" })).body.key;
  await source.quiet();
  wanted = await tell(source);
  backups = path.join(dir(), "backups of a server");
});
after(async () => {
  await source.stop();
  for (const d of folders) fs.rmSync(d, { recursive: true, force: true });
});

test("a server under load is backed up, restored elsewhere, and answers the same there", async () => {
  const until = { stop: false }, sent = new Map();
  const loads = [load(source, until, sent), sleep(200).then(() => load(source, until, new Map()))];
  await sleep(300);
  const early = [...sent.keys()];
  const r = await backup(source.dir, ["create", backups, "--json"]);
  until.stop = true;
  await Promise.all(loads);
  assert.equal(r.code, 0, r.stderr);
  made = json(r);
  assert.equal(made.complete, true);
  assert.equal(made.snapshots, 1);
  assert.equal((await backup(source.dir, ["verify", backups])).code, 0);

  const to = dir();
  const dry = await backup(to, ["restore", backups, "--dry-run", "--verify", "--json"]);
  assert.equal(dry.code, 0, dry.stderr);
  assert.equal(json(dry).hashed, made.objects);
  assert.equal(fs.existsSync(path.join(to, "data")), false);
  const back = await backup(to, ["restore", backups, "--json"]);
  assert.equal(back.code, 0, back.stderr);
  assert.equal(json(back).copied, made.objects);

  const s = new Server({ dir: to });
  s.key = adminKey;
  s.env = { API_KEY: adminKey };
  await s.start();
  assert.deepEqual(await tell(s), wanted);
  // Of what came during the backup: all that was acknowledged before it is there, and nothing is half.
  const there = await s.every("/api/v1/objects?owner=load", "objects");
  const ids = new Set(there.map((f) => f.id));
  for (const id of early) assert.ok(ids.has(id), `${id} was acknowledged before the backup`);
  for (const f of there) {
    const content = Buffer.from(await (await s.fetch(`/api/v1/objects/${f.id}/content`)).arrayBuffer());
    assert.equal(content.length, f.size_bytes);
    if (sent.has(f.id)) assert.equal(sha(content), sent.get(f.id));
  }
  // What was at work is worked on, and life goes on.
  await s.quiet();
  assert.equal((await s.json("/api/v1/admin/dlq")).body.total, 1);
  const now = await s.upload([{ name: "later.txt", data: Buffer.from("later") }], { owner: "ann" });
  assert.equal(now.status, 202);
  const phone = await fetch(`${s.url}/api/v1/objects`, { headers: { "X-API-Key": key } });
  assert.equal(phone.status, 200);
  assert.equal((await fetch(`${s.url}/api/v1/objects`, { headers: { "X-API-Key": key.replace(/.$/, (c) => (c === "a" ? "b" : "a")) } })).status, 401);
  const again = await backup(to, ["restore", backups]);
  assert.equal(again.code, 1);
  await s.stop();
});

test("the next backup copies only what is new; --keep removes what only old ones needed", async () => {
  const data = crypto.randomBytes(5000);
  const id = (await source.upload([{ name: "only now.bin", data }], { owner: "load" })).body.system_ids[0];
  await source.quiet();
  const second = json(await backup(source.dir, ["create", backups, "--json"]));
  assert.ok(second.there >= made.objects - 1);
  assert.equal(second.copied, second.objects - second.there);
  assert.ok(second.copied >= 1 && fs.existsSync(objectFile(backups, sha(data))));
  const third = json(await backup(source.dir, ["create", backups, "--json", "--verify"]));
  assert.equal(third.copied, 0);
  assert.equal(third.hashed, third.objects);
  const listed = json(await backup(source.dir, ["list", backups, "--json"]));
  assert.deepEqual(listed.map((b) => b.backup), names(backups).reverse());

  const own = path.join(dir(), "b"), first = path.join(dir(), "c");
  fs.cpSync(backups, own, { recursive: true });
  await source.json(`/api/v1/objects/${id}?permanent=true`, { method: "DELETE" });
  const kept = json(await backup(source.dir, ["create", own, "--keep", "2", "--json"]));
  assert.equal(kept.removed_backups, 2);
  assert.equal(names(own).length, 2);
  const last = json(await backup(source.dir, ["create", own, "--keep", "1", "--json"]));
  assert.equal(names(own).length, 1);
  assert.equal(last.gone, 0);
  assert.equal((await backup(source.dir, ["verify", own])).code, 0);
  // Only what the one that is left names.
  const listedObjects = fs.readFileSync(`${own}/backups/${names(own)[0]}/objects.txt`, "utf8").split("\n").filter(Boolean).map((l) => l.split(" ")[0]);
  const files = fs.readdirSync(`${own}/objects`).flatMap((d) => fs.readdirSync(`${own}/objects/${d}`)).sort();
  assert.deepEqual(files, listedObjects);
  assert.equal(fs.existsSync(first), false);
});

test("one flipped bit anywhere is found and named", async () => {
  const d = path.join(dir(), "b"), name = names(backups)[0];
  fs.cpSync(backups, d, { recursive: true });
  const flip = (file) => {
    const b = fs.readFileSync(file), at = crypto.randomInt(b.length);
    b[at] ^= 1 << crypto.randomInt(8);
    fs.chmodSync(file, 0o600);
    fs.writeFileSync(file, b);
  };
  const object = sha(random(103, 4));
  const each = [[objectFile(d, object), new RegExp(object)]];
  for (const f of fs.readdirSync(`${d}/backups/${name}`)) {
    const file = `${d}/backups/${name}/${f}`;
    if (fs.statSync(file).size) each.push([file, new RegExp(`${name}.*${f === "manifest.sha256" ? "manifest" : f}`)]);
  }
  for (const [file, words] of each) {
    const was = fs.readFileSync(file);
    flip(file);
    const r = await backup(d, ["verify", d, "--json"]);
    assert.equal(r.code, 1, `${file}: ${r.stderr}`);
    assert.match(r.stderr, words);
    assert.equal(json(r).good, false);
    fs.writeFileSync(file, was);
  }
  assert.equal((await backup(d, ["verify", d])).code, 0);
  // Ways of copying leave empty folders and names with a dot behind.
  for (const x of fs.readdirSync(`${d}/objects`)) if (!fs.readdirSync(`${d}/objects/${x}`).length) fs.rmdirSync(`${d}/objects/${x}`);
  for (const x of [".file-allocator", "lock", "readers"]) fs.rmSync(`${d}/${x}`);
  fs.rmdirSync(`${d}/tmp`);
  assert.equal((await backup(d, ["verify", d])).code, 0);
  fs.rmSync(objectFile(d, object));
  assert.match((await backup(d, ["verify", d])).stderr, new RegExp(`object ${object} is not in the storage`));
  // A backup that lost an object is not restored, unless one insists; the next create mends it.
  const to = dir();
  const refused = await backup(to, ["restore", d, "--backup", name]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /1 objects of backup .* are missing or damaged/);
  await assert.rejects(new Server({ dir: to }).start(), /not finished/);
  const partial = await backup(to, ["restore", d, "--backup", name, "--partial", "--json"]);
  assert.equal(partial.code, 3, partial.stderr);
  assert.equal(json(partial).bad, 1);
  flip(objectFile(d, sha(random(104, 5))));
  const mended = json(await backup(source.dir, ["create", d, "--verify", "--json"]));
  assert.equal(mended.mended, 1);
  assert.ok(mended.copied >= 2);
  assert.equal((await backup(d, ["verify", d])).code, 0);
});

test("killed or out of space at any point, there is no backup that looks like one, and the next is whole", async () => {
  const d = path.join(dir(), "b");
  let ends = 0;
  const points = ["backup.catalog=kill@1", "backup.list=kill@1", "storage.link=kill@5", "storage.dirsync=kill@3", "backup.list=kill@3", "backup.file=kill@1", "backup.file=kill@2",
    "backup.catalog=enospc@1", "backup.list=enospc@2", "storage.write=enospc@2", "backup.file=enospc@2"];
  for (const fault of points) {
    const r = await backup(source.dir, ["create", d, "--jobs", "2"], { FILE_ALLOCATOR_FAULT: fault });
    if (r.signal === "SIGKILL" || r.code === 1) ends++;
    if (r.code === 1) assert.match(r.stderr, new RegExp(`${d} is full, there is no new backup`), fault);
    if (r.code === 1) assert.deepEqual(names(d), [], fault);
    assert.equal(whole(d).length, r.code === 0 ? 1 : 0, fault);
    if (r.code === 0) fs.rmSync(`${d}/backups/${names(d)[0]}`, { recursive: true });
  }
  assert.ok(ends >= points.length - 2, `${ends} of ${points.length}`);
  // And at moments that nobody chose.
  for (let i = 0; i < 3; i++) {
    const other = path.join(d, "..", `r${i}`);
    const r = await backup(source.dir, ["create", other], { FILE_ALLOCATOR_FAULT: `storage.write=kill@${1 + crypto.randomInt(40)}` });
    assert.deepEqual(whole(other), r.signal ? [] : names(other));
  }
  const r = await backup(source.dir, ["create", d, "--json"]);
  assert.equal(r.code, 0, r.stderr);
  assert.ok(json(r).there > 0);
  assert.equal(names(d).length, 1);
  assert.equal((await backup(d, ["verify", d])).code, 0);
});

test("a restore that is cut off goes on, and no server starts before its end", async () => {
  const to = dir();
  // In a directory while objects come; in PostgreSQL while rows do; in SQLite before the file is named.
  const points = onS3 ? [] : ["storage.link=kill@3", "storage.dirsync=kill@9"];
  points.push(...((await settings(to)).DATABASE_URL ? ["catalog.copy=kill@2", "catalog.copy=kill@7"] : ["restore.catalog=kill@1"]));
  for (const fault of points) {
    const r = await backup(to, ["restore", backups, "--jobs", "2"], { FILE_ALLOCATOR_FAULT: fault });
    assert.equal(r.signal, "SIGKILL", `${fault}: ${r.stderr}`);
    await assert.rejects(new Server({ dir: to }).start(), /not finished/);
  }
  const r = await backup(to, ["restore", backups, "--json"]);
  assert.equal(r.code, 0, r.stderr);
  assert.equal(json(r).again, true);
  const s = await new Server({ dir: to, env: { API_KEY: adminKey } }).start();
  assert.deepEqual(await tell(s), wanted);
  await s.stop();
});

test("what is missing at the source makes a backup incomplete, and nothing else", { skip: onS3 && "objects of a bucket are not files here" }, async () => {
  const s = await new Server({}).start(), d = path.join(dir(), "b"), storage = path.join(s.dir, "data/storage");
  const data = Buffer.from("soon lost"), other = Buffer.from("soon damaged");
  await s.upload([{ name: "kept.txt", data: Buffer.from("kept") }, { name: "lost.txt", data }, { name: "damaged.txt", data: other }]);
  await s.quiet();
  const whole = json(await backup(s.dir, ["create", d, "--json"]));
  const fresh = path.join(dir(), "c");
  fs.rmSync(objectFile(storage, sha(data)));
  fs.chmodSync(objectFile(storage, sha(other)), 0o600);
  fs.writeFileSync(objectFile(storage, sha(other)), "SOON DAMAGED");
  // The folder that has them already is not harmed by their loss.
  assert.equal((await backup(s.dir, ["create", d])).code, 0);
  const r = await backup(s.dir, ["create", fresh, "--json"]);
  assert.equal(r.code, 3, r.stderr);
  assert.match(r.stderr, new RegExp(sha(data)));
  assert.match(r.stderr, new RegExp(sha(other)));
  assert.deepEqual([json(r).complete, json(r).missing], [false, 2]);
  assert.match((await backup(s.dir, ["list", fresh])).stdout, /INCOMPLETE/);
  const v = await backup(s.dir, ["verify", fresh, "--json"]);
  assert.equal(v.code, 0, v.stderr);
  assert.equal(json(v).incomplete, 1);
  const to = dir();
  assert.match((await backup(to, ["restore", fresh])).stderr, /no complete backup/);
  assert.match((await backup(to, ["restore", fresh, "--backup", json(r).backup])).stderr, /incomplete, it lacks 2 objects/);
  const half = await backup(to, ["restore", fresh, "--partial", "--json"]);
  assert.equal(half.code, 3);
  assert.deepEqual([json(half).files, json(half).copied], [3, 1]);
  assert.equal(whole.complete, true);
  await s.stop();
});

test("what cannot be done is refused with what to do", async () => {
  const expect = async (folder, args, code, words, env) => {
    const r = await backup(folder, args, env);
    assert.equal(r.code, code, r.stderr);
    assert.match(r.stderr, words);
  };
  const full = dir(), nothing = dir();
  fs.writeFileSync(path.join(full, "letter.txt"), "x");
  await expect(source.dir, ["make", full], 2, /it knows create, list, verify and restore/);
  await expect(source.dir, ["create", full], 2, /holds letter.txt and no backups/);
  await expect(source.dir, ["create", path.join(source.dir, "data")], 2, /is the DATA_PATH/);
  await expect(source.dir, ["verify", nothing], 1, /holds no backups/);
  await expect(nothing, ["restore", full], 1, /holds no backups/);
  await expect(source.dir, ["restore", backups, "--dry-run"], 1, /in use by process \d+: stop the server/);
  await expect(nothing, ["restore", backups, "--backup", "../../x"], 2, /no backup's name/);
  await expect(nothing, ["restore", backups, "--backup", "20260101T000000Z-00000000"], 1, /there is no backup/);
  // A manifest of a program to come.
  const d = path.join(dir(), "b"), name = names(backups).at(-1), manifest = `${d}/backups/${name}/manifest.json`;
  fs.cpSync(backups, d, { recursive: true });
  const rewrite = (change) => {
    const text = JSON.stringify({ ...JSON.parse(fs.readFileSync(`${backups}/backups/${name}/manifest.json`)), ...change });
    fs.writeFileSync(manifest, text);
    fs.writeFileSync(`${d}/backups/${name}/manifest.sha256`, `${sha(text)}  manifest.json\n`);
  };
  rewrite({ format: 2 });
  await expect(nothing, ["restore", d], 1, /has format 2, this program knows up to 1/);
  rewrite({ schema_version: 9999 });
  await expect(nothing, ["restore", d], 1, /schema version 9999, this program knows up to/);
  // The other engine.
  const { DATABASE_URL } = await settings(nothing);
  await expect(nothing, ["restore", backups], 2, DATABASE_URL ? /of PostgreSQL/ : /of SQLite: restore it to SQLite/, { DATABASE_URL: DATABASE_URL ? "" : "postgresql://nobody@127.0.0.1:1/x" });
  assert.equal(fs.existsSync(path.join(nothing, "data", "catalog.db")), false);
});
