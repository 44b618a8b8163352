// Installations of earlier releases, opened by this program: everything is still there, and life goes on in them.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { Server, run, slow, tempDir } from "./harness.mjs";
import { engines, look, losses, releases, sha256, still } from "./release.mjs";
import { productionEnv, stack } from "./stack.mjs";

const V1 = "/api/v1";

// The installation as that release left it, in a folder and a database of its own.
class Installation {
  constructor(release, engine) {
    Object.assign(this, { release, engine, dir: tempDir() });
    this.expected = JSON.parse(fs.readFileSync(path.join(releases, release, "expected.json"), "utf8"));
    const { schema_version, notes, seen, fsck } = this.expected.engines[engine];
    Object.assign(this, { schema_version, notes, seen, known: fsck.findings });
    execFileSync("tar", ["-xJf", path.join(releases, release, "data.tar.xz"), "-C", this.dir, "--strip-components=1", engine]);
  }

  // An empty one beside it, for what is made out of it.
  async beside() {
    const other = Object.assign(Object.create(Installation.prototype), this, { dir: tempDir() });
    await other.settle();
    return other;
  }

  async settle() {
    this.env = { ...still, LSAN_OPTIONS: "", ...(this.engine === "postgres" ? await productionEnv(this.dir, ["postgres"]) : { DATABASE_URL: "" }) };
  }

  async load() {
    await this.settle();
    if (this.engine === "postgres") {
      const st = await stack();
      execFileSync("psql", ["-h", "127.0.0.1", "-p", String(st.pgPort), "-U", "super", "-d", `fa${st.names.get(this.dir)}`, "-qX", "-v", "ON_ERROR_STOP=1", "-f", path.join(this.dir, "dump.sql")], { stdio: ["ignore", "ignore", "inherit"] });
    }
  }

  done() {
    fs.rmSync(this.dir, { recursive: true, force: true });
  }

  async serve(work, settings = {}) {
    const s = new Server({ dir: this.dir, env: { ...this.env, ...settings } });
    s.key = this.notes.keys.root.key;
    await s.start();
    await work(s);
    s.child.kill("SIGTERM");
    assert.equal((await s.ended()).code, 0, s.log.slice(-3000));
  }

  cli(...words) {
    return run(words, { cwd: this.dir, env: { DATA_PATH: path.join(this.dir, "data"), FILE_ALLOCATOR_KEY: this.notes.keys.root.key, ...this.env } });
  }

  async plan() {
    const r = await this.cli("migrate", "--dry-run", "--json");
    assert.equal(r.code, 0, r.stderr);
    return JSON.parse(r.stdout);
  }

  async fsck(...words) {
    const r = await this.cli("fsck", "--json", "--quiet", ...words);
    assert.ok(r.stdout, r.stderr);
    return { code: r.code, findings: JSON.parse(r.stdout).findings };
  }
}

async function ask(s, method, where, body) {
  const r = body === undefined ? await s.json(V1 + where, { method }) : await s.send(V1 + where, method, body);
  assert.ok(r.status < 300, `${method} ${where}: ${r.status} ${JSON.stringify(r.body)}`);
  return r.body;
}

const doors = (s, notes) => Promise.all(Object.entries(notes.keys).map(async ([name, { key }]) => [name, (await fetch(`${s.url}${V1}/objects`, { headers: { "X-API-Key": key } })).status]));

async function findsEverything(s, { expected, seen, notes }) {
  const now = await look(s, expected);
  assert.deepEqual(losses(now, seen), []);
  assert.deepEqual([now.ids, now.members], [seen.ids, seen.members], "and nothing has come up");
  assert.deepEqual(Object.fromEntries(await doors(s, notes)), Object.fromEntries(Object.entries(notes.keys).map(([name, k]) => [name, k.opens])));
  for (const [old, survivor] of Object.entries(notes.aliases)) {
    const res = await s.fetch(`${V1}/clusters/${old}`, { redirect: "manual" });
    assert.deepEqual([res.status, res.headers.get("location").endsWith(survivor)], [308, true]);
  }
  for (const id of notes.gone) assert.equal((await s.fetch(`${V1}/objects/${id}`)).status, 404);
}

// What is to be found when the spoiled object's bytes are back.
function mended({ seen, notes }) {
  const { scrub, ...rest } = structuredClone(seen);
  rest.files[notes.spoiled.id].content.sha256 = notes.spoiled.sha256;
  return rest;
}

async function restores(i, from) {
  const verified = await i.cli("backup", "verify", from);
  assert.equal(verified.code, 0, verified.stderr);
  const other = await i.beside(), restored = await other.cli("backup", "restore", from);
  assert.equal(restored.code, 0, restored.stderr);
  await other.serve(async (s) => assert.deepEqual(losses(await look(s, i.expected), mended(i)), []));
  assert.deepEqual(await other.fsck(), { code: 0, findings: [] });
  other.done();
}

async function replays(s, { owner, key, name, text, job_id, system_ids, until }) {
  if (Date.now() > Date.parse(until)) return; // forgotten, as it was promised
  const { status, body, headers } = await s.upload([{ name, data: Buffer.from(text) }], { owner, idempotency_key: key });
  assert.deepEqual([status, body.job_id, body.system_ids, headers.get("idempotency-replayed")], [202, job_id, system_ids, "true"]);
}

// Everything that waits is done, the dead is revived, what was merged is parted again where the program can undo.
async function goesOn(s, i) {
  const { notes, seen } = i;
  for (const id of notes.queued) assert.equal((await ask(s, "GET", `/objects/${id}`)).status, "done");
  const retried = await i.cli("dlq", "retry", notes.retry.job_id, "--url", s.url);
  assert.equal(retried.code, 0, retried.stderr);
  await s.quiet();
  const revived = await ask(s, "GET", `/objects/${notes.retry.system_id}`);
  assert.deepEqual([revived.status, revived.error], ["done", null]);
  assert.deepEqual(losses(revived.tags, seen.files[notes.retry.system_id].asset.tags), []);
  assert.equal((await ask(s, "GET", "/admin/dlq")).total, seen.counts.dlq - 1);
  const [trashed] = seen.ids.trash;
  await ask(s, "POST", `/objects/${trashed}/restore`);
  assert.deepEqual(losses((await ask(s, "GET", `/objects/${trashed}`)).tags, seen.files[trashed].asset.tags), []);
  // The same bytes again are known, and what comes now is found.
  const original = Object.values(seen.files).find((f) => f.asset.embedding && f.asset.owner === "ann" && !f.asset.duplicate_of).asset;
  const data = Buffer.from(await (await s.fetch(`${V1}/objects/${original.id}/content`)).arrayBuffer());
  const { body } = await s.upload([{ name: "brought again.jpg", data }, { name: "newcomer.txt", data: Buffer.from("new") }], { owner: "ann" });
  assert.equal((await s.job(body.job_id)).status, "done");
  assert.equal((await ask(s, "GET", `/objects/${body.system_ids[0]}`)).sha256, original.sha256);
  assert.equal(body.duplicates[0].system_id, body.system_ids[0]);
  assert.deepEqual((await ask(s, "GET", "/search?query=newcomer&mode=text&threshold=0")).results.map((r) => r.id), [body.system_ids[1]]);
  await ask(s, "POST", "/admin/organise", {});
  for (const f of Object.values(seen.folders).filter((f) => !f.provisional || f.locked)) {
    assert.deepEqual(losses(await ask(s, "GET", `/clusters/${f.id}`), { cluster: { id: f.id, name: f.name, status: f.status, locked: f.locked } }), []);
    assert.deepEqual(losses((await s.every(`${V1}/objects?cluster_id=${f.id}`, "objects")).map((o) => o.id), seen.members[f.id]), []);
  }
}

async function undoes(s, { operation_id, source, members, target }) {
  const { paths } = await (await s.fetch("/api/openapi.json")).json();
  if (!paths["/api/v1/admin/operations/{id}/undo"]) return "this program has no undo";
  await ask(s, "POST", `/admin/operations/${operation_id}/undo`);
  assert.equal((await s.fetch(`${V1}/clusters/${source}`, { redirect: "manual" })).status, 200);
  const back = (await s.every(`${V1}/objects?cluster_id=${source}`, "objects")).map((o) => o.id).sort();
  assert.deepEqual(back, members);
  for (const o of await s.every(`${V1}/objects?cluster_id=${target}`, "objects")) assert.ok(!members.includes(o.id));
}

for (const release of fs.readdirSync(releases, { withFileTypes: true }).filter((d) => d.isDirectory()).map((d) => d.name).sort())
  for (const engine of engines)
    describe(`an installation of ${release} on ${engine}`, { timeout: 300000 * slow }, () => {
      let i;
      before(async () => { i = new Installation(release, engine); await i.load(); });
      after(() => i.done());

      test("what an upgrade would do is said first, without doing it, and it can be done without a server", async () => {
        const other = new Installation(release, engine);
        await other.load();
        const file = path.join(other.dir, "data/catalog.db"), hash = () => engine === "sqlite" && sha256(fs.readFileSync(file)), before = hash();
        const plan = await other.plan(), again = await other.plan();
        assert.deepEqual(again, plan);
        assert.equal(hash(), before);
        assert.deepEqual([plan.engine, plan.version], [{ sqlite: "sqlite", postgres: "postgresql" }[engine], other.schema_version]);
        assert.deepEqual(plan.migrations.map((m) => m.version), Array.from({ length: plan.newest - plan.version }, (_, k) => plan.version + 1 + k));
        for (const m of plan.migrations) assert.match(`${m.name} ${m.what}`, /^\d{4}_\w+ \S+/);
        // Cut off before a migration is committed, and after: the one is done again, the other is not.
        const cut = { "catalog.migrate": 0, "catalog.migrated": 1 };
        for (const point of plan.migrations.length ? Object.keys(cut) : []) {
          const killed = await run(["migrate"], { cwd: other.dir, env: { DATA_PATH: path.join(other.dir, "data"), ...other.env, FILE_ALLOCATOR_FAULT: `${point}=kill` } });
          assert.equal(killed.signal, "SIGKILL", killed.stderr);
          assert.equal((await other.plan()).version, plan.version + cut[point]);
        }
        const { migrations: left } = await other.plan(), done = await other.cli("migrate", "--json");
        assert.equal(done.code, 0, done.stderr);
        for (const m of left) assert.match(done.stderr, new RegExp(`${m.name} .* is done after`));
        const after = await other.plan();
        assert.deepEqual([after.version, after.migrations], [plan.newest, []]);
        assert.match((await other.cli("migrate", "-n")).stdout, /nothing to do/);
        await other.serve(async (s) => {
          assert.equal((await s.json(`${V1}/objects`)).body.total, other.seen.ids.live.length);
          assert.deepEqual(await other.plan(), after); // also beside a server
        });
        other.done();
      });

      test("everything is found again, the keys open the door, and a repeated request gets the first answer", async () => {
        await i.serve(async (s) => {
          await findsEverything(s, i);
          await replays(s, i.notes.idempotency);
        });
        await i.serve((s) => findsEverything(s, i)); // upgraded once, it stays so
      });

      test("fsck finds what was known then, and nothing when the spoiled bytes are back", async () => {
        const first = await i.fsck();
        assert.deepEqual(first.findings, i.known);
        await i.serve(async (s) => {
          const { status, body } = await s.upload([{ name: "put back.bin", data: Buffer.from(i.notes.spoiled.text) }]);
          assert.equal(status, 202);
          const res = await s.fetch(`${V1}/objects/${i.notes.spoiled.id}/content`);
          assert.equal(sha256(Buffer.from(await res.arrayBuffer())), i.notes.spoiled.sha256);
          assert.equal((await s.fetch(`${V1}/objects/${body.system_ids[0]}?permanent=true`, { method: "DELETE" })).status, 204);
        });
        assert.deepEqual(await i.fsck(), { code: 0, findings: [] });
      });

      test("a backup of it is complete, verified, and restored it answers the same", async () => {
        const to = path.join(i.dir, "backups"), made = await i.cli("backup", "create", to, "--json", "--quiet");
        assert.equal(made.code, 0, made.stderr);
        assert.equal(JSON.parse(made.stdout).files, i.seen.ids.live.length);
        await restores(i, to);
      });

      test("a backup that was made then restores, and answers the same", () => restores(i, path.join(i.dir, "backup")));

      test("work goes on: what waited is done, the dead is retried, new files join the old ones", async (t) => {
        let note;
        await i.serve(async (s) => {
          await s.quiet();
          await goesOn(s, i);
          note = await undoes(s, i.notes.merge);
        }, { WORKER_THREADS: "2" });
        if (note) t.diagnostic(note);
        assert.deepEqual(await i.fsck(), { code: 0, findings: [] });
      });

      test("its sidecars make a lost catalog again", async () => {
        const lost = new Installation(release, engine);
        await lost.settle();
        for (const name of fs.readdirSync(path.join(lost.dir, "data"))) if (/^catalog|^vector$/.test(name)) fs.rmSync(path.join(lost.dir, "data", name), { recursive: true });
        const r = await lost.cli("rebuild", "--json", "--quiet");
        assert.equal(r.code, 3, r.stderr); // of what was deleted for good the bytes are there and no sidecar
        const { files, dead, trashed, folders, recovered, damaged, missing } = JSON.parse(r.stdout), { seen, notes } = lost;
        assert.deepEqual({ files, dead, trashed, folders, recovered, damaged, missing }, { files: Object.keys(seen.files).length, dead: seen.counts.dlq, trashed: seen.ids.trash.length,
          folders: Object.keys(seen.folders).length, recovered: notes.gone.length, damaged: 0, missing: 0 }, r.stderr);
        await lost.serve(async (s) => {
          const { ids, files, folders, members, lists, similar, search, dlq } = seen;
          assert.deepEqual(losses(await look(s, lost.expected), { ids, files, folders, members, lists, similar, search, dlq }), []);
        }, { API_KEY: notes.keys.root.key }); // keys are in no sidecar
        lost.done();
      });
    });
