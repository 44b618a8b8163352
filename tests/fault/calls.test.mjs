// The n-th call fails, or kills the server, in every other request and at the start. FA_FAULT=REGEX: only requests so named.
import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { sleep } from "../e2e/harness.mjs";
import { FULL, Installation, fresh, sha256, table } from "./books.mjs";
import { Control, library } from "./control.mjs";

const wanted = (name) => name.match(process.env.FA_FAULT ?? "");
let serial = 0;
const name = () => `c${++serial}.bin`;

async function installation(workers = "0") {
  const x = new Installation({ WORKER_THREADS: workers });
  x.control = new Control(path.join(x.dir, "control"));
  Object.assign(x.env, { LD_PRELOAD: library, FAULT_CONTROL: path.join(x.dir, "control"), FAULT_ROOT: path.join(x.dir, "data") });
  await x.open();
  return x;
}
const seed = async (x) => { const r = await x.put(name(), fresh(150000)); assert.equal(r.status, 202, JSON.stringify(r.body)); return r.body.system_ids[0]; };

// before() without a fault gives what run() works on; run() resolves to a status, 0 when the connection broke.
const requests = {
  list: { run: async (x) => (await x.ask("/api/v1/objects?limit=50")).status },
  search: { run: async (x) => (await x.ask("/api/v1/search?query=c&mode=text")).status },
  folders: { run: async (x) => (await x.ask("/api/v1/clusters")).status },
  download: {
    before: seed,
    run: async (x, id) => {
      let r, bytes;
      try { r = await x.s.fetch(`/api/v1/objects/${id}/content`); bytes = Buffer.from(await r.arrayBuffer()); } catch { return 0; }
      if (r.status === 200) assert.equal(sha256(bytes), x.assets.get(id).sha, "a download that ends well is the file");
      return r.status;
    },
  },
  rename: { before: seed, run: async (x, id) => (await x.rename(id, name())).status },
  trash: { before: seed, run: async (x, id) => (await x.trash(id)).status },
  restore: { before: async (x) => { const id = await seed(x); await x.trash(id); return id; }, run: async (x, id) => (await x.restore(id)).status },
  purge: { before: seed, run: async (x, id) => (await x.purge(id)).status },
  folder: { run: async (x) => (await x.folder(name())).status },
  move: { before: async (x) => [await seed(x), (await x.folder(name())).body.cluster.id], run: async (x, [id, f]) => (await x.move(id, f)).status },
  merge: {
    before: async (x) => { const [a, b] = [(await x.folder(name())).body.cluster.id, (await x.folder(name())).body.cluster.id]; await x.move(await seed(x), b); return [a, b]; },
    run: async (x, [a, b]) => (await x.merge(a, b)).status,
  },
};
const reading = ["list", "search", "folders", "download"];
const series = (r) => (reading.includes(r) ? [["read", "EIO"], ["read", "EINTR"], ["read", "short"], ["open", "EMFILE"], ["stat", "EIO"], ["allocate", "ENOMEM"]]
  : [["write", "EIO"], ["write", "ENOSPC"], ["write", "EDQUOT"], ["write", "EINTR"], ["write", "short"], ["fsync", "EIO"], ["unlink", "EIO"], ["open", "EIO"], ["read", "EIO"], ["allocate", "ENOMEM"]]);

test("every n-th call of every other request fails", { timeout: 3600000 }, async () => {
  const x = await installation(), rows = [];
  assert.ok(await x.start(), x.failure?.message);
  for (const [request, { before, run }] of Object.entries(requests).filter(([r]) => wanted(r)))
    for (const [op, error] of series(request)) {
      const row = { runs: 0, done: 0, refused: 0, cut: 0 }, most = FULL ? (op === "allocate" ? 1500 : 300) : op === "allocate" ? 40 : 6;
      for (let n = 1, misses = 0; n <= most && misses < 2; n += FULL || op !== "allocate" ? 1 : 3) {
        const on = await before?.(x);
        x.control.arm(op, error, n);
        const status = await run(x, on);
        const hit = x.control.disarm();
        assert.ok(!x.dead, `the server ended by ${x.s.signal ?? x.s.code} in ${request}, ${op} ${error} at ${n}:\n${x.s.log.slice(-2000)}`);
        assert.ok([0, 200, 201, 202, 204, 500, 503, 507].includes(status), `${request}, ${op} ${error} at ${n}: ${status}`);
        // Memory, and a body that was begun, may cost the connection, never more.
        if (status === 0) assert.ok(op === "allocate" || request === "download", `${request}, ${op} ${error} at ${n}: cut off`);
        misses = hit ? 0 : misses + 1;
        if (hit) { row.runs++; row[status === 0 ? "cut" : status < 300 ? "done" : "refused"]++; }
      }
      rows.push([request, op, error, row.runs, row.done, row.refused, row.cut, 0]);
    }
  await x.verify("after all of them");
  // What came out wrong would be seen in every byte.
  x.forget();
  await x.verify("after all of them, again");
  table("calls that fail in other requests", ["request", "fails", "with", "runs", "done", "refused", "cut off", "losses"], rows);
  await x.end();
});

test("kill -9 at the n-th write, sync, link, rename or open of an upload", { timeout: 3600000 }, async () => {
  const x = await installation(), rows = [];
  for (const op of ["write", "fsync", "link", "rename", "open", "close"].filter(wanted)) {
    let runs = 0;
    for (let n = 1, misses = 0; n <= (FULL ? 200 : 4) && misses < 1; n++) {
      if (x.s === undefined || x.dead) assert.ok(await x.start(), x.failure?.message);
      x.control.arm(op, "SIGKILL", n);
      await x.form([{ name: name(), data: fresh(150000) }, { name: name(), data: fresh(100) }]);
      await sleep(20);
      const hit = x.control.disarm();
      misses = hit ? 0 : misses + 1;
      if (!hit) continue;
      runs++;
      await x.s.ended();
      assert.equal(x.s.signal, "SIGKILL");
      await x.verify(`killed at ${op} ${n}`);
    }
    rows.push([op, runs, 0]);
  }
  table("kill -9 at the n-th call of an upload", ["call", "runs", "losses"], rows);
  await x.end();
});

// What is armed from the first instruction on: the start fails with a message, or the service is as good as ever.
test("every n-th call of a start fails", { timeout: 3600000 }, async () => {
  const x = await installation(), rows = [];
  assert.ok(await x.start(), x.failure?.message);
  for (let i = 0; i < 3; i++) await seed(x);
  await x.s.kill();
  for (const [op, error] of [["open", "EIO"], ["open", "EMFILE"], ["read", "EIO"], ["write", "EIO"], ["write", "ENOSPC"], ["fsync", "EIO"], ["stat", "EIO"], ["mkdir", "EIO"], ["unlink", "EIO"], ["allocate", "ENOMEM"]].filter(([o]) => wanted(o))) {
    const row = { runs: 0, up: 0, refused: 0 };
    const at = op === "allocate" ? (FULL ? Array.from({ length: 400 }, (_, i) => 1 + Math.floor(i * i / 8)) : [1, 3, 30, 200, 700, 2000, 5000, 9000]) : Array.from({ length: FULL ? 300 : 5 }, (_, i) => i + 1);
    for (const n of at) {
      x.control.arm(op, error, n);
      const up = await x.start(), hit = x.control.disarm();
      if (!hit) { await x.s.kill(); break; }
      row.runs++;
      row[up ? "up" : "refused"]++;
      if (up) await x.s.kill();
      else {
        await x.s.closed;
        assert.equal(x.s.signal ?? null, null, `${op} ${error} at ${n}: it ended by ${x.s.signal}\n${x.s.log.slice(-2000)}`);
        assert.notEqual(x.s.code, 0, `${op} ${error} at ${n}`);
        assert.ok(x.s.log.length > 0, `${op} ${error} at ${n}: it says why`);
      }
    }
    assert.ok(await x.start(), `after ${op} ${error}: ${x.failure?.message}`);
    await x.verify(`after ${op} ${error}`);
    await x.s.kill();
    rows.push([op, error, row.runs, row.up, row.refused, 0]);
  }
  table("calls that fail at the start", ["fails", "with", "runs", "started", "refused with a message", "losses"], rows);
  await x.end();
});
