// Another owner's identical file changes nothing that a key can see or count: answers while it waits and when it is done,
// work done for it, what deleting it says, and which calls to the disk an upload takes.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { Server, photos, random, sleep, slow, tempDir } from "./harness.mjs";
import { onS3 } from "./stack.mjs";

const V1 = "/api/v1", ROOT = "root key of this test";
const names = fs.readdirSync(photos).filter((f) => /\.jpe?g$/.test(f)).sort();
// A picture of one's own: the same pixels, other bytes.
const picture = (i, mark) => Buffer.concat([fs.readFileSync(path.join(photos, names[i % names.length])), Buffer.from(`after the end ${mark}`)]);

async function withOwners(env = {}) {
  const s = await new Server({ env: { API_KEY: ROOT, WORKER_THREADS: "1", ...env } }).start();
  const keys = {};
  for (const owner of ["ann", "bob"]) {
    const { status, body } = await s.send(`${V1}/admin/keys`, "POST", { owner, scope: "admin", name: owner });
    assert.equal(status, 201);
    keys[owner] = body.key;
  }
  return { s, as: (owner) => ({ "X-API-Key": keys[owner] }) };
}

// What differs between any two files, and what tells the time.
const plain = (x) => JSON.parse(JSON.stringify(x, (k, v) => (/^(id|job_id|system_ids?|sha256|uri|thumbnail|request_id|created_at|updated_at|completed_at|at|size_bytes|query_time_ms|operation_id)$/.test(k) ? undefined : v)));

describe("two owners", () => {
  let s, as;
  before(async () => { ({ s, as } = await withOwners()); });
  after(() => s.stop());

  const stage = async (name) => Number(new RegExp(`job_stage_duration_seconds_count\\{stage="${name}"\\} (\\d+)`).exec(await (await s.fetch("/metrics")).text())?.[1] ?? 0);
  const get = async (owner, where) => { const r = await s.json(V1 + where, { headers: as(owner) }); return { status: r.status, body: plain(r.body ?? null) }; };
  const upload = (owner, name, data) => s.upload([{ name, data }], {}, as(owner));

  // The whole life of one file of bob's, as his keys see it. The folder and name are the same each time.
  async function life(data) {
    const seen = [], work = [await stage("decode"), await stage("embed")];
    const up = await upload("bob", "holiday.jpg", data);
    assert.equal(up.status, 202);
    seen.push(["receipt", plain(up.body)]);
    const id = up.body.system_ids[0];
    for (const end = Date.now() + 60000 * slow; ; await sleep(20)) {
      const job = await s.json(`${V1}/ingest/${up.body.job_id}/status`, { headers: as("bob") });
      if (job.body.status === "done") { seen.push(["job", plain(job.body)]); break; }
      assert.ok(Date.now() < end, JSON.stringify(job.body));
    }
    for (const tail of ["", "/lineage", "/similar"]) seen.push([tail, await get("bob", `/objects/${id}${tail}`)]);
    for (const tail of ["/content", "/thumbnail", "/thumbnail?size=preview"]) {
      const res = await s.fetch(`${V1}/objects/${id}${tail}`, { headers: as("bob") });
      const bytes = Buffer.from(await res.arrayBuffer());
      seen.push([tail, res.status, res.headers.get("content-type"), res.headers.get("content-disposition"), tail === "/content" ? bytes.equals(data) : bytes.length]);
    }
    for (const where of ["/objects", "/objects?name=holiday&limit=1", "/jobs?limit=1", "/search?query=holiday&threshold=0", "/clusters", "/trash", "/admin/stats", "/admin/dlq"]) {
      const { status, body } = await get("bob", where);
      delete body.uptime_seconds;
      delete body.storage; // bytes: the files differ in length
      seen.push([where, status, JSON.stringify(body).replace(/"next_cursor":"[^"]*"/, '"next_cursor":"…"')]);
    }
    seen.push(["work", (await stage("decode")) - work[0], (await stage("embed")) - work[1]]);
    const gone = await s.fetch(`${V1}/objects/${id}`, { method: "DELETE", headers: as("bob") });
    const purged = await s.fetch(`${V1}/objects/${id}?permanent=true`, { method: "DELETE", headers: as("bob") });
    seen.push(["deleted", gone.status, purged.status, (await get("bob", `/objects/${id}`)).status]);
    return seen;
  }

  test("a file that ann holds as well lives as one that nobody holds", { timeout: 120000 * slow }, async () => {
    const shared = picture(0, "shared"), own = picture(0, "own   ");
    assert.equal(shared.length, own.length);
    const first = await upload("ann", "ann's.jpg", shared);
    await s.job(first.body.job_id);
    // once to have bob's caches and folders as they will be
    await life(picture(0, "first "));
    const alone = await life(own), both = await life(shared);
    for (const [i, step] of alone.entries()) assert.deepEqual(both[i], step, step[0]);
    const work = alone.find((x) => x[0] === "work");
    assert.deepEqual(work, ["work", 1, 1], "and it was decoded for bob himself");
    // ann's is as it was, also after bob removed his for good
    const res = await s.fetch(`${V1}/objects/${first.body.system_ids[0]}/content`, { headers: as("ann") });
    assert.ok(Buffer.from(await res.arrayBuffer()).equals(shared));
    const view = await s.json(`${V1}/objects/${first.body.system_ids[0]}`, { headers: as("ann") });
    assert.deepEqual([view.body.duplicate_of, view.body.near_duplicates], [null, []]);
  });

  test("the hash of a file of ann's finds nothing for bob, and errors name nothing of hers", async () => {
    const data = picture(1, "only ann's");
    const up = await upload("ann", "secret-name.jpg", data);
    await s.job(up.body.job_id);
    const { sha256, id } = (await s.json(`${V1}/objects/${up.body.system_ids[0]}`, { headers: as("ann") })).body;
    assert.equal((await get("bob", `/objects?sha256=${sha256}`)).body.total, 0);
    const unknown = "01890000-0000-7000-8000-000000000000";
    for (const tail of ["", "/content", "/thumbnail", "/similar", "/lineage"]) {
      const hers = await s.json(`${V1}/objects/${id}${tail}`, { headers: as("bob") }), none = await s.json(`${V1}/objects/${unknown}${tail}`, { headers: as("bob") });
      assert.equal(hers.status, 404);
      assert.deepEqual(plain(hers.body), plain(none.body), tail);
    }
    // A condition on her bytes' tag is not looked at either.
    const res = await s.fetch(`${V1}/objects/${id}/content`, { headers: { ...as("bob"), "If-None-Match": `"${sha256}"` } });
    assert.equal(res.status, 404);
  });

  test("one's own copy is still named", async () => {
    const data = picture(2, "twice");
    const first = await upload("bob", "a.jpg", data), second = await upload("bob", "b.jpg", data);
    assert.deepEqual(second.body.duplicates, [{ system_id: second.body.system_ids[0], of: first.body.system_ids[0] }]);
  });
});

// The calls of one upload that reach for the disk, in order. Wall time says nothing on a busy machine; these do.
async function durableCalls(s, act) {
  const log = path.join(tempDir(), "trace");
  const tracer = spawn("strace", ["-f", "-qq", "-y", "-e", "trace=openat,link,linkat,rename,renameat,renameat2,unlink,unlinkat,fsync,fdatasync,sync_file_range,ftruncate,fallocate", "-o", log, "-p", String(s.child.pid)], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  tracer.stderr.on("data", (d) => { said += d; });
  for (let i = 0; i < 200 && !/TracerPid:\s+[1-9]/.test(fs.readFileSync(`/proc/${s.child.pid}/status`, "utf8")); i++) await sleep(20);
  await sleep(100);
  await act();
  await sleep(300); // a checkpoint or so may follow; it must not be cut off in one run and not in the other
  tracer.kill("SIGINT");
  await new Promise((done) => tracer.on("exit", done));
  const calls = fs.readFileSync(log, "utf8").split("\n").filter((l) => l.includes(s.dir) || /\/proc\/self\/fd/.test(l));
  fs.rmSync(path.dirname(log), { recursive: true });
  return { calls, said };
}

// Names that differ from file to file.
const shape = (line) => line.replace(/^\d+ +/, "").replace(/[0-9a-f]{64}/g, "HASH").replace(/objects\/[0-9a-f]{2}/g, "objects/XX").replace(/#\d+|fd\/\d+|\b\d+</g, (m) => m.replace(/\d+/, "N"))
  .replace(/up-[0-9a-f-]+/g, "up-ID").replace(/= -1 EEXIST.*|= \d+.*/, "").replace(/\(deleted\)/g, "").replace(/\s+/g, " ").trim();

describe("calls to the disk", { skip: onS3 ? "the bytes are on S3" : false }, () => {
  test("an upload takes the same ones whether another owner holds the bytes or not", { timeout: 120000 * slow }, async (t) => {
    const { s, as } = await withOwners({ WORKER_THREADS: "0", MIN_BODY_RATE: "0" });
    try {
      const shared = random(300000, 7), send = (owner, data) => s.fetch(`${V1}/files/same.bin`, { method: "PUT", body: data, headers: { ...as(owner), "Content-Type": "application/octet-stream" } });
      assert.equal((await send("ann", shared)).status, 202);
      for (let i = 0; i < 3; i++) assert.equal((await send("bob", random(300000, 20 + i))).status, 202); // connections, directories, statements
      const run = async (data) => {
        const { calls, said } = await durableCalls(s, async () => assert.equal((await send("bob", data)).status, 202));
        // The catalog's log is written by others as well (duties, leases): that it was synced is asked, not how often.
        const all = calls.map(shape), log = all.filter((c) => /catalog\.db/.test(c));
        return { said, log, shapes: all.filter((c) => !/catalog\.db/.test(c)) };
      };
      const fresh = await run(random(300000, 50));
      if (/Operation not permitted|EPERM/.test(fresh.said)) return t.skip("strace may not look at processes here");
      const same = await run(shared);
      assert.deepEqual(fresh.shapes.map((c) => c.split("(")[0]), ["openat", "fsync", "linkat", "fsync"], fresh.shapes.join("\n"));
      if (!process.env.FA_STACK) for (const r of [fresh, same]) assert.ok(r.log.some((c) => c.startsWith("fdatasync")), "and the catalog");
      console.log(`# calls of an upload: ${fresh.shapes.map((c) => c.split("(")[0]).join(" ")}`);
      assert.deepEqual(same.shapes, fresh.shapes);
    } finally {
      await s.stop();
    }
  });

  test("how long both take, told and not judged", { timeout: 120000 * slow }, async () => {
    const { s, as } = await withOwners({ WORKER_THREADS: "0" });
    const n = process.env.FA_TIMES ? Number(process.env.FA_TIMES) : 40;
    const send = async (owner, data) => {
      const begin = process.hrtime.bigint();
      const res = await s.fetch(`${V1}/files/same.bin`, { method: "PUT", body: data, headers: as(owner) });
      await res.arrayBuffer();
      assert.equal(res.status, 202);
      return Number(process.hrtime.bigint() - begin) / 1e6;
    };
    const shared = Array.from({ length: n }, (_, i) => random(50000, 1000 + i));
    for (const data of shared) await send("ann", data);
    const fresh = [], same = [];
    for (let i = 0; i < n; i++) { // by turns, so that what else happens on the machine meets both
      fresh.push(await send("bob", random(50000, 5000 + i)));
      same.push(await send("bob", shared[i]));
    }
    const at = (list, q) => [...list].sort((a, b) => a - b)[Math.floor(q * list.length)].toFixed(2);
    console.log(`# ${n} uploads of 50 KB each, ms p25/p50/p75: fresh ${[0.25, 0.5, 0.75].map((q) => at(fresh, q)).join("/")}, another owner's ${[0.25, 0.5, 0.75].map((q) => at(same, q)).join("/")}`);
    await s.stop();
  });
});
