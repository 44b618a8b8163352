// Several instances on one PostgreSQL, one Redis and one S3 store, and what may happen to them.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { Server, labelled, photos, random, run, sanitized, sleep, slow, tempDir } from "./harness.mjs";
import { productionEnv, stack } from "./stack.mjs";

const FILES = Number(process.env.FA_FILES ?? (sanitized ? 400 : 2000));
const LEASE = 3 * slow;

const sha256 = (data) => crypto.createHash("sha256").update(data).digest("hex");
const scrape = async (s) => { const text = await (await s.fetch("/metrics")).text(); return (name) => Number(new RegExp(`^${name.replace(/[{}"]/g, "\\$&")} (\\S+)$`, "m").exec(text)?.[1] ?? NaN); };
const metric = async (s, name) => (await scrape(s))(name);

async function instances(n, settings = {}, commands = []) {
  const shared = tempDir(), env = await productionEnv(shared);
  const all = [];
  for (let i = 0; i < n; i++) all.push(await new Server({ dir: tempDir(), env: { ...env, ...settings }, command: commands[i] }).start());
  return { all, database: new URL(env.DATABASE_URL).pathname.slice(1) };
}

// What is sent: bytes that no pipeline wants, pictures, many of them twice, and pictures that are broken.
function material() {
  const pictures = labelled(["animals", "food", "vehicles", "hobbies"], 60).filter((p) => p.path.endsWith(".png")).map((p) => fs.readFileSync(p.path));
  return Array.from({ length: FILES }, (_, i) => {
    const key = crypto.randomUUID(), picture = pictures[(i >> 1) % pictures.length];
    if (i % 2) return { name: `f${i}.bin`, key, broken: false, data: random(3000 + (i % 97) * 100, i + 1) };
    if (i % 50 === 8) return { name: `f${i}.png`, key, broken: true, data: Buffer.concat([picture.subarray(0, 300), random(60, i + 1)]) };
    return { name: `f${i}.png`, key, broken: false, data: picture };
  });
}

// Sends until somebody says yes: the same key to whoever answers, as a client behind a load balancer would.
async function deliver(file, all, first) {
  for (let tries = 0; tries < 400; tries++) {
    const s = all[(first + tries) % all.length];
    try {
      const form = new FormData();
      form.append("files", new Blob([file.data]), file.name);
      const res = await fetch(`${s.url}/api/v1/ingest`, { method: "POST", body: form, headers: { "Idempotency-Key": file.key }, signal: AbortSignal.timeout(4000 * slow) });
      const body = await res.json();
      if (res.status === 202) return { id: body.system_ids[0], job: body.job_id, replayed: res.headers.get("idempotency-replayed") === "true", tries };
      assert.equal(res.status, 503, JSON.stringify(body));
    } catch (e) {
      if (e instanceof assert.AssertionError) throw e;
    }
    await sleep(100);
  }
  throw new Error(`${file.name} was never acknowledged`);
}

// SIGSTOP while it has a task, for longer than its lease, until a write of its own came too late.
async function pauseUntilRefused(s) {
  for (let tries = 0; tries < 10; tries++) {
    for (let i = 0; i < 400 && !((await metric(s, "busy_workers")) > 0); i++) await sleep(5);
    s.child.kill("SIGSTOP");
    await sleep((LEASE + 6) * 1000);
    s.child.kill("SIGCONT");
    for (let i = 0; i < 30; i++) {
      await sleep(100);
      if ((await metric(s, "tokens_rejected_total").catch(() => 0)) > 0) return tries + 1;
    }
  }
  throw new Error("no write was ever refused");
}

async function verify(s, files, acked, st, database) {
  const all = await s.every("/api/v1/objects", "objects");
  const byId = new Map(all.map((a) => [a.id, a]));
  assert.equal(byId.size, all.length, "no asset is listed twice");
  assert.equal(all.length, files.length, "each file is there once, whatever was sent twice");
  for (const [i, f] of files.entries()) {
    const a = byId.get(acked[i].id);
    assert.ok(a, `${f.name} is there`);
    assert.equal(a.filename, f.name);
    assert.equal(a.sha256, sha256(f.data));
    assert.equal(a.status, f.broken ? "failed" : "done", `${f.name}: ${JSON.stringify(a.error ?? a.status)}`);
  }
  const dead = await s.every("/api/v1/admin/dlq", "items");
  assert.deepEqual(dead.map((d) => d.system_id).sort(), all.filter((a) => a.status === "failed").map((a) => a.id).sort(), "what failed is in the DLQ");
  for (let at = 0; at < all.length; at += 20)
    await Promise.all(all.slice(at, at + 20).map(async (a) => assert.equal(sha256(Buffer.from(await (await s.fetch(`/api/v1/objects/${a.id}/content`)).arrayBuffer())), a.sha256, `${a.filename} byte for byte`)));
  const folders = await s.every("/api/v1/clusters", "clusters");
  for (const f of folders) assert.equal(f.asset_count, all.filter((a) => a.cluster?.id === f.id).length, `${f.name} counts its files`);
  assert.ok(folders.length > 1, "folders were founded");
  assert.equal(new Set(folders.map((f) => f.name)).size, folders.length, "no two folders of one name");
  // Exactly once, as the history tells it.
  assert.equal(st.psql(database, "SELECT count(*) FROM (SELECT asset FROM lineage WHERE action = 'processed' GROUP BY asset HAVING count(*) > 1) x"), "0");
  assert.equal(st.psql(database, "SELECT count(*) FROM task WHERE state NOT IN (2, 3)"), "0");
  assert.equal(st.psql(database, "SELECT count(*) FROM (SELECT asset FROM task GROUP BY asset HAVING count(*) > 1) x"), "0");
  return { folders: folders.length, dead: dead.length };
}

test(`three instances, ${FILES} uploads, one killed, one paused, Redis emptied, PostgreSQL restarted`, { timeout: 900000 * slow }, async () => {
  const st = await stack();
  const { all, database } = await instances(3, { TASK_LEASE: `${LEASE}s`, WORKER_THREADS: "1", ORGANISE_INTERVAL: "3s" });
  const [a, b, c] = all, files = material(), acked = []; // b does not live long
  let next = 0, failed;
  const client = async (n) => {
    while (next < files.length && !failed) {
      const i = next++;
      try { acked[i] = await deliver(files[i], all, i + n); } catch (e) { failed ??= e; }
    }
  };
  const reached = async (share) => { while (next < files.length * share && !failed) await sleep(20); };
  const clients = Array.from({ length: 6 }, (_, n) => client(n));
  await reached(0.15);
  st.redis("FLUSHALL");
  await reached(0.3);
  await b.kill();
  await reached(0.4);
  const pauses = await pauseUntilRefused(c);
  await reached(0.6);
  await st.restartPostgres(1);
  await reached(0.8);
  st.redis("FLUSHALL");
  all[1] = await new Server({ dir: b.dir, env: b.env }).start();
  await Promise.all(clients);
  if (failed) throw failed;
  await a.quiet(400);
  // Any instance answers for any job.
  for (const s of all) for (let i = 0; i < files.length; i += Math.ceil(files.length / 40)) assert.equal((await s.json(`/api/v1/ingest/${acked[i].job}/status`)).body.assets[0].system_id, acked[i].id);
  const sums = await verify(c, files, acked, st, database);
  const rejected = await metric(c, "tokens_rejected_total");
  assert.ok(rejected > 0);
  const gauges = await Promise.all(all.map((s) => metric(s, 'assets_total{kind="media",status="done"}')));
  assert.ok(gauges[0] > 0 && gauges.every((g) => g === gauges[0]), `equal on every instance: ${gauges}`);
  console.log(`# ${files.length} files, ${acked.filter((x) => x.tries).length} sent more than once, ${acked.filter((x) => x.replayed).length} replayed, ${pauses} pauses, ${rejected} stale writes refused, ${sums.folders} folders, ${sums.dead} in the DLQ`);
  for (const s of all) await s.stop();
});

test("a worker without a server does the work of servers that have none", { timeout: 120000 * slow }, async () => {
  const { all: [s, w] } = await instances(2, { WORKER_THREADS: "1" }, ["serve", "worker"]);
  const idle = await new Server({ dir: tempDir(), env: { ...s.env, WORKER_THREADS: "0" } }).start();
  await s.stop();
  const { status, body } = await idle.upload([{ path: path.join(photos, "cat.jpg") }]);
  assert.equal(status, 202);
  assert.equal((await idle.job(body.job_id)).status, "done");
  assert.equal(await metric(w, 'jobs_processed_total{job_type="image",status="success"}'), 1);
  assert.equal((await w.fetch("/ready")).status, 200);
  assert.equal((await w.fetch("/api/v1/objects")).status, 404, "a worker has no API");
  await w.stop();
  await idle.stop();
});

test("a worker says what it cannot work without", async () => {
  const alone = await run(["worker", "--data", path.join(tempDir(), "data")]);
  assert.equal(alone.code, 1);
  assert.match(alone.stderr, /set DATABASE_URL to postgresql:/);
});

test("fifty clients and two connections: bounded waiting, 503 past it, no deadlock", { timeout: 120000 * slow }, async () => {
  const st = await stack();
  const { all: [s], database } = await instances(1, { DB_POOL_SIZE: "1", DB_MAX_OVERFLOW: "1", DB_POOL_TIMEOUT: "400ms", WORKER_THREADS: "1" });
  const seen = { 202: 0, 503: 0 };
  let peak = 0, until = Date.now() + 6000 * slow, held;
  const watch = (async () => {
    while (Date.now() < until) {
      peak = Math.max(peak, Number(st.psql("postgres", `SELECT count(*) FROM pg_stat_activity WHERE datname = '${database}' AND application_name = 'file-allocator' AND backend_type = 'client backend'`)));
      const now = await scrape(s), active = now('database_connections{state="active"}'), idle = now('database_connections{state="idle"}');
      assert.ok(active + idle <= 2, `${active} active, ${idle} idle`);
      assert.equal(now('database_connections{state="max"}'), 2);
      await sleep(100);
    }
  })();
  const client = async (n) => {
    for (let i = 0; Date.now() < until; i++) {
      const began = Date.now();
      const res = await s.fetch(`/api/v1/files/c${n}-${i}.bin`, { method: "PUT", body: random(2000, n * 1000 + i + 1) });
      await res.arrayBuffer();
      assert.ok(res.status in seen, `${res.status}`);
      seen[res.status]++;
      if (res.status === 503) {
        assert.ok(Number(res.headers.get("retry-after")) >= 1);
        held = Math.max(held ?? 0, Date.now() - began);
      }
    }
  };
  const clients = Array.from({ length: 50 }, (_, n) => client(n));
  // For a while nobody gets anything written: those who wait must be told so, in time.
  await sleep(1500 * slow);
  const lock = st.psql.held(database, "BEGIN; LOCK TABLE job IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(2); COMMIT");
  await Promise.all([...clients, watch, lock]);
  assert.ok(seen[202] > 50 && seen[503] > 0, JSON.stringify(seen));
  assert.ok(peak <= 3, `${peak} connections: two of the pool and the keeper's`);
  const { body } = await s.json("/api/v1/objects?limit=1");
  assert.equal(body.total, seen[202], "what was acknowledged is there, what was refused is not");
  console.log(`# ${seen[202]} acknowledged, ${seen[503]} told 503 after at most ${held} ms, ${peak} connections`);
  await s.stop();
});

// What docs/production.md says of outages.
test("without PostgreSQL requests are told 503 and nothing has to be restarted; without Redis all goes on", { timeout: 180000 * slow }, async () => {
  const st = await stack();
  const { all: [s] } = await instances(1, { DB_POOL_TIMEOUT: "500ms", WORKER_THREADS: "1" });
  const before = await s.upload([{ path: path.join(photos, "cat.jpg") }]);
  await s.job(before.body.job_id);
  const back = st.restartPostgres(5 * slow);
  await sleep(1000);
  const refused = await s.upload([{ name: "a.bin", data: random(100, 1) }]);
  assert.equal(refused.status, 503);
  assert.ok(Number(refused.headers.get("retry-after")) >= 1);
  assert.equal((await s.fetch(`/api/v1/objects/${before.body.system_ids[0]}/content`)).status, 503);
  assert.equal((await s.fetch("/live")).status, 200);
  assert.equal((await s.fetch("/ready")).status, 503);
  assert.equal((await s.json("/health")).body.database.status, "unhealthy");
  await back;
  let after;
  for (let i = 0; i < 100 && after?.status !== 202; i++) { await sleep(100); after = await s.upload([{ path: path.join(photos, "coffee.jpg") }]); }
  assert.equal((await s.job(after.body.job_id)).status, "done");
  assert.equal((await s.fetch("/ready")).status, 200);
  st.freezeRedis();
  const alone = await s.upload([{ path: path.join(photos, "rocket.jpg") }]);
  assert.equal(alone.status, 202);
  assert.equal((await s.job(alone.body.job_id)).status, "done");
  let health;
  for (let i = 0; i < 100 && health?.queue.status !== "degraded"; i++) { await sleep(100); health = (await s.json("/health")).body; }
  assert.equal(health.queue.status, "degraded");
  assert.equal(health.status, "degraded");
  assert.equal((await s.fetch("/ready")).status, 200);
  st.thawRedis();
  for (let i = 0; i < 100 && health.status !== "healthy"; i++) { await sleep(200); health = (await s.json("/health")).body; }
  assert.equal(health.status, "healthy");
  await s.stop();
});
