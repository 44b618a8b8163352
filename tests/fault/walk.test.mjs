// kill -9, EIO and ENOSPC at every fault point in src/, in every operation that passes it, at its first, second, … passing.
// Embedded by default; FA_STACK and FA_WRITE_BACK=1 take it to the other corners. FA_FAULT=REGEX: only points so named.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { labelled, photos, root, sleep } from "../e2e/harness.mjs";
import { FULL, Installation, LEASE, corner, cornerName, decoders, fresh, table } from "./books.mjs";
import { points } from "./points.mjs";

const PASSINGS = FULL ? { kill: 12, eio: 6, enospc: 1 } : { kill: 2, eio: 1, enospc: 1 }; // of a point, in one operation
const LANES = Number(process.env.FA_LANES ?? 4);
const picture = fs.readFileSync(path.join(photos, "cat.jpg"));
const pictures = labelled(["animals", "food"], 40).filter((p) => p.path.endsWith(".png")).map((p) => fs.readFileSync(p.path));
let serial = 0;
// A picture nobody has sent: trailing bytes do not matter to a decoder.
const freshPicture = () => Buffer.concat([pictures[++serial % pictures.length], fresh(16)]);
const name = (x) => `${x}-${++serial}.bin`;
const holds = { fs: !corner.s3, s3: corner.s3, back: corner.back, sqlite: !corner.postgres, postgres: corner.postgres };
const here = (p) => !p.elsewhere && (!p.full || FULL) && (p.on ?? []).every((c) => c.split("|").some((x) => holds[x]));

test("every fault point in the source has a row, and every row a point", () => {
  const found = new Set();
  const walk = (dir) => {
    for (const e of fs.readdirSync(dir, { withFileTypes: true })) {
      const p = path.join(dir, e.name);
      if (e.isDirectory()) walk(p);
      else if (e.name.endsWith(".c")) for (const [, args] of fs.readFileSync(p, "utf8").matchAll(/\bFAULT\(([^)]*)\)/g)) for (const [, point] of args.matchAll(/"([^"]+)"/g)) found.add(point);
    }
  };
  walk(path.join(root, "src"));
  assert.deepEqual([...found].filter((p) => !points[p]), [], "points without a row in tests/fault/points.mjs");
  assert.deepEqual(Object.keys(points).filter((p) => !found.has(p)), [], "rows without a point in src/");
  for (const [p, row] of Object.entries(points)) if (row.elsewhere) assert.ok(fs.readFileSync(path.join(root, row.elsewhere), "utf8").includes(p), `${row.elsewhere} walks ${p}`);
});

// ---- operations: before() without a fault, run() with it. run() enters what it was told into the books. -------------------
const listed = async (x, states = "live") => [...x.assets].filter(([, a]) => a.states.size === 1 && a.states.has(states)).map(([id]) => id);
const one = async (x, state, make) => { const r = await x.put(name("seed"), fresh()); const id = r.body.system_ids[0]; if (make) await make(id); return id; };
const ask = async (x, id) => { try { return await x.s.job(id, 60); } catch { return undefined; } };
// A task that stays under way: its decoder, there since a first picture, is stopped before it gets the second. Thaw what it gives.
async function held(x) {
  const first = await x.put(`w${++serial}.png`, freshPicture());
  await ask(x, first.body?.job_id);
  const all = x.dead ? [] : decoders(x.s.child.pid);
  for (const d of all) process.kill(d, "SIGSTOP");
  const { body } = await x.put(`h${++serial}.png`, freshPicture());
  for (let i = 0; i < 1000 && !x.dead; i++, await sleep(5)) if ((await x.ask(`/api/v1/ingest/${body?.job_id}/status`)).body?.status === "processing") break;
  return { all, job: body?.job_id };
}
const thaw = (all) => { for (const d of all) try { process.kill(d, "SIGCONT"); } catch { /* gone with the server */ } };

const operations = {
  upload: { run: (x) => x.put(name("upload"), fresh(200000)) },
  form: { run: (x) => x.form(Array.from({ length: 3 }, () => ({ name: name("form"), data: fresh(70000) }))) },
  duplicate: {
    before: async (x) => { x.same = fresh(70000); await x.put(name("first"), x.same); },
    run: (x) => x.put(name("second"), x.same),
  },
  picture: { run: async (x) => { const r = await x.put(`p${++serial}.png`, freshPicture()); if (r.status === 202) await ask(x, r.body.job_id); } },
  broken: { run: async (x) => { const r = await x.put(`b${++serial}.jpg`, Buffer.concat([picture.subarray(0, 400), fresh(100)])); if (r.status === 202) await ask(x, r.body.job_id); } },
  large: { run: (x) => x.put(name("large"), fresh(65 << 20)) },
  rename: { before: async (x) => { x.id = await one(x); }, run: (x) => x.rename(x.id, name("renamed")) },
  trash: { before: async (x) => { x.id = await one(x); }, run: (x) => x.trash(x.id) },
  restore: { before: async (x) => { x.id = await one(x); await x.trash(x.id); }, run: (x) => x.restore(x.id) },
  purge: { before: async (x) => { x.id = await one(x); }, run: (x) => x.purge(x.id) },
  // Bytes that nobody refers to any more are removed.
  collect: {
    env: { GC_GRACE: "0s" },
    before: async (x) => { x.id = await one(x); },
    run: async (x) => { await x.purge(x.id); for (let i = 0; i < 60 && !x.dead && !/removed 1 objects|cannot collect/.test(x.s.log); i++) await sleep(50); },
  },
  folder: {
    before: async (x) => { x.id = await one(x); },
    run: async (x) => { const r = await x.folder(name("Folder")); if (r.status === 201) await x.move(x.id, r.body.cluster.id); },
  },
  merge: {
    before: async (x) => {
      [x.a, x.b] = [(await x.folder(name("A"))).body.cluster.id, (await x.folder(name("B"))).body.cluster.id];
      for (const f of [x.a, x.b, x.b]) await x.move(await one(x), f);
    },
    run: (x) => x.merge(x.a, x.b),
  },
  unfolder: {
    before: async (x) => { x.a = (await x.folder(name("C"))).body.cluster.id; await x.move(await one(x), x.a); },
    run: async (x) => { await x.renameFolder(x.a, name("D")); await x.removeFolder(x.a); },
  },
  reprocess: {
    before: async (x) => { const r = await x.put(`r${++serial}.png`, freshPicture()); x.id = r.body.system_ids[0]; await x.s.job(r.body.job_id); },
    run: async (x) => { const r = await x.ask(`/api/v1/objects/${x.id}/reprocess`, { method: "POST" }); if (r.status === 202) await rest(x); },
  },
  first: { fresh: true, run: async () => {} },
  restart: { starting: true, run: (x) => x.put(name("restart"), fresh()) },
  // The end of a process whose vectors changed.
  drain: {
    run: async (x) => {
      const r = await x.put(`d${++serial}.png`, freshPicture());
      await ask(x, r.body?.job_id);
      x.s.child.kill("SIGTERM");
      await x.s.ended();
    },
  },
  // The end of one whose worker is busy: the lease is handed back.
  leave: {
    env: { SHUTDOWN_GRACE: "0s" },
    run: async (x) => {
      const { all } = await held(x);
      x.s.child.kill("SIGTERM");
      await sleep(1500); // past the second that a handler has to end by itself
      thaw(all);
      await x.s.ended();
    },
  },
  // A task that takes longer than the time between two heartbeats.
  slow: {
    run: async (x) => {
      const { all, job } = await held(x);
      await sleep((LEASE / 3) * 1000 + 300);
      thaw(all);
      await ask(x, job);
    },
  },
  // A lease whose holder died, found by the next one, maybe before it says that it listens.
  expired: {
    starting: true,
    before: async (x) => {
      await x.s.kill();
      assert.ok(await x.start({ FILE_ALLOCATOR_FAULT: "task.complete=kill" }));
      await x.put(`e${++serial}.png`, freshPicture());
      await x.s.ended();
      await sleep(LEASE * 1000 + 100);
    },
    run: (x) => rest(x),
  },
  many: { run: async (x) => { for (let i = 0; i < 500 && !x.dead; i += 10) await Promise.all(Array.from({ length: 10 }, () => x.put(name("many"), fresh(600)))); } },
};
// Its end is told a moment after a request found nobody.
const alive = async (x) => { if (!x.dead && (await x.ask("/live")).status !== 200) await Promise.race([x.s.ended(), sleep(2000)]); return !x.dead; };
const rest = async (x) => { for (let i = 0; i < 1200 && !x.dead; i++) { const r = await x.ask("/api/v1/admin/stats"); if (r.body?.queue?.depth === 0) return; await sleep(50); } };

// ---- one run -------------------------------------------------------------------------------
// Whether the fault struck, and where: "start", before the operation, or "run".
async function strike(lane, op, point, row, action, n) {
  const what = operations[op], label = `${point}=${action}@${n} in ${op}`, env = { ...what.env, FILE_ALLOCATOR_FAULT: `${point}=${action}@${n}${row.with ? `,${row.with}` : ""}` };
  let x = lane.x;
  if (what.fresh) { await x?.end(); x = lane.x = await new Installation().open(); }
  if (what.before) {
    if (x.dead) assert.ok(await x.start(), label);
    await what.before(x);
    await x.s.kill();
  } else if (x.s && !x.dead) await x.s.kill();
  const up = await x.start(env);
  if (up) await what.run(x);
  // Leases of the dead run out before the next start, or each would take until the next look for such.
  const leases = ["picture", "broken", "slow", "reprocess", "drain", "leave", "expired"].includes(op);
  if (leases && up && (await alive(x))) await rest(x);
  // The line that tells it comes through a pipe, and what happens beside the request a moment later.
  for (const end = Date.now() + (n === 1 ? 3000 : 300); !x.dead && Date.now() < end && !x.s.log.includes(`fault: ${point}=${action}@${n}`); ) await sleep(20);
  if (x.dead) await x.s.closed;
  const told = () => x.s.log.includes(`fault: ${point}=${action}@${n}`), struck = told();
  if (action === "kill") {
    if (struck) { await x.s.ended(); assert.equal(x.s.signal, "SIGKILL", label); }
    else if (!up) throw new Error(`${label}: it did not start: ${x.failure.message}`);
  } else if (await alive(x)) {
    // An error ends nothing: the next request is served.
    let r = await x.put(name("after"), fresh());
    // One passing more than the operation makes is this request's.
    if (!struck && r.status !== 202) for (const end = Date.now() + 1000; r.status !== 202 && Date.now() < end; await sleep(20)) if (told()) r = await x.put(name("after"), fresh());
    assert.equal(r.status, 202, `${label}: served on: ${r.status} ${JSON.stringify(r.body)}\n${x.s.log.slice(-1500)}`);
  } else if (up) {
    assert.equal(x.s.signal ?? null, null, `${label}: ended by itself\n${x.s.log.slice(-2000)}`);
  }
  if (leases && x.dead) await sleep(LEASE * 1000 + 100);
  await x.verify(label);
  return struck && (up || what.fresh || what.starting ? "run" : "start");
}

const rows = [];

test(`a kill or an error at every fault point loses nothing (${cornerName})`, { timeout: 3600000 }, async () => {
  const jobs = [];
  for (const [point, row] of Object.entries(points)) {
    if (!here(row) || !point.match(process.env.FA_FAULT ?? "")) continue;
    for (const op of row.ops) for (const action of row.actions ?? ["kill", "eio", "enospc"]) if (FULL || action !== "enospc" || !point.endsWith(".after")) jobs.push({ point, row, op, action });
  }
  // What takes long first.
  const weight = { many: 9, leave: 8, expired: 8, slow: 7, drain: 6, picture: 5, broken: 5, reprocess: 4 };
  jobs.sort((a, b) => (weight[b.op] ?? 0) - (weight[a.op] ?? 0));
  const sums = new Map(), dead = [];
  let failed;
  const lane = async () => {
    const l = { x: await new Installation().open() };
    while (jobs.length && !failed) {
      const { point, row, op, action } = jobs.shift();
      try {
        let runs = 0, inside = 0, where;
        const most = ["many", "large", "leave", "expired", "slow", "drain", "collect"].includes(op) ? 1 : PASSINGS[action];
        // Work beside the operation takes passings of its own: where all went to that, once more.
        for (let tries = 0; tries < 3 && inside === 0; tries++) {
          for (let n = 1; inside < most; n++, runs++) {
            where = await strike(l, op, point, row, action, n);
            if (!where) break;
            inside += where === "run";
          }
        }
        if (process.env.FA_DEBUG) console.log(`# ${op} ${point}=${action}: ${runs}, ${jobs.length} left`);
        if (inside === 0) dead.push(`${point}=${action} in ${op}`);
        const key = `${op}\0${action}`, sum = sums.get(key) ?? { op, action, points: 0, runs: 0 };
        sums.set(key, { ...sum, points: sum.points + 1, runs: sum.runs + runs });
      } catch (e) { failed ??= e; e.message = `${op}, ${point}=${action}: ${e.message}`; }
    }
    // Everything again, byte for byte.
    if (!failed && l.x.s) { l.x.forget(); await l.x.verify("at the end").catch((e) => { failed ??= e; }); }
    await l.x.end();
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  if (failed) throw failed;
  assert.deepEqual(dead, [], "points that their operation never passes");
  for (const { op, action, points: n, runs } of [...sums.values()].sort((a, b) => (a.op + a.action < b.op + b.action ? -1 : 1))) rows.push([op, action, n, runs, 0]);
  table(`fault points, ${cornerName}`, ["operation", "fault", "points", "runs", "losses"], rows);
});
