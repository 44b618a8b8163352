// The n-th write, sync, link, open, close or allocation of an upload fails, for every n there is; then the books are checked:
// what was acknowledged is there byte for byte, what was refused can be sent again, and the server is still the same process.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { Server, labelled, photos, random, tempDir } from "../e2e/harness.mjs";
import { table } from "./books.mjs";
import { Control, library } from "./control.mjs";

const FULL = process.env.FA_TORTURE === "full";
const SERIES = [["write", "EIO"], ["write", "ENOSPC"], ["write", "EDQUOT"], ["write", "EINTR"], ["write", "short"], ["fsync", "EIO"], ["fsync", "ENOSPC"], ["link", "EIO"], ["link", "ENOSPC"],
  ["rename", "EIO"], ["open", "EMFILE"], ["open", "EIO"], ["close", "EIO"], ["truncate", "EIO"], ["read", "EIO"], ["read", "EINTR"], ["read", "short"], ["stat", "EIO"], ["mkdir", "ENOSPC"], ["unlink", "EIO"], ["fsync", "EDQUOT"], ["link", "EDQUOT"], ["allocate", "ENOMEM"]]
  .filter(([op]) => op.match(process.env.FA_FAULT ?? ""));
const sha256 = (data) => crypto.createHash("sha256").update(data).digest("hex");

class Installation {
  constructor(workers) {
    this.dir = tempDir();
    this.file = path.join(this.dir, "control");
    this.control = new Control(this.file);
    this.workers = workers;
    this.acked = new Map();
    this.sent = 0;
  }
  async start() {
    this.s = await new Server({ dir: this.dir, env: { LD_PRELOAD: library, FAULT_CONTROL: this.file, FAULT_ROOT: path.join(this.dir, "data"), WORKER_THREADS: this.workers } }).start();
    await fs.promises.access(`/proc/${this.s.child.pid}/map_files`).catch(() => {});
    assert.match(fs.readFileSync(`/proc/${this.s.child.pid}/maps`, "utf8"), /libfault_inject/, "the library is in the server");
  }
  async put(data, name) {
    let status, id;
    try {
      const r = await this.s.upload([{ name, data }]);
      [status, id] = [r.status, r.body?.system_ids?.[0]];
    } catch (e) {
      // An allocation that failed in libmicrohttpd may cost the connection, never more.
      status = "cut";
    }
    assert.ok(this.s.code === undefined, `the server ended by ${this.s.signal ?? this.s.code} at ${name}:\n${this.s.log.slice(-3000)}`);
    if (status === 202) this.acked.set(id, sha256(data));
    return status;
  }
  // The series' end: dies without a word, comes back, and must have all it ever acknowledged.
  async verify() {
    await this.s.kill();
    await this.start();
    await this.s.quiet(60);
    const all = await this.s.every("/api/v1/objects", "objects"), byId = new Map(all.map((a) => [a.id, a]));
    let lost = 0;
    for (const [id, hash] of this.acked) if (byId.get(id)?.sha256 !== hash) lost++;
    for (const a of all) if (sha256(Buffer.from(await (await this.s.fetch(`/api/v1/objects/${a.id}/content`)).arrayBuffer())) !== a.sha256) lost++;
    assert.equal(lost, 0, "nothing acknowledged is lost or changed");
    return all;
  }
}

const rows = [];
const tell = (title) => table(title, ["fails", "with", "runs", "acknowledged", "refused", "cut off", "losses"], rows.splice(0).map((r) => [r.op, r.error, r.runs, r.ok, r.refused, r.cut, 0]));

test("every n-th call of an upload fails", { timeout: 1800000 }, async () => {
  const x = new Installation("0");
  await x.start();
  assert.equal(await x.put(random(500, 99), "warm.bin"), 202);
  for (const [op, error] of SERIES) {
    const row = { op, error, runs: 0, ok: 0, refused: 0, cut: 0 };
    const limit = op === "allocate" ? (FULL ? 4000 : 250) : FULL ? 1000 : 60;
    for (let n = 1, misses = 0; n <= limit && misses < 3; n++) {
      const data = random(150000, ++x.sent * 7 + 1);
      x.control.arm(op, error, n);
      const status = await x.put(data, `${op}-${error}-${n}.bin`);
      const hits = x.control.disarm();
      assert.ok([202, 500, 503, 507, "cut"].includes(status), `${op} ${error} at ${n}: ${status}`);
      if (status === "cut") assert.equal(op, "allocate", "only memory may cost the answer");
      // Threads beside the request make the count vary; three in a row without a failure are its end.
      misses = hits ? 0 : misses + 1;
      if (hits) { row.runs++; row[status === 202 ? "ok" : status === "cut" ? "cut" : "refused"]++; }
      if (status !== 202) assert.equal(await x.put(data, `again-${op}-${error}-${n}.bin`), 202, `${op} ${error} at ${n}: sent again`);
    }
    await x.verify();
    rows.push(row);
  }
  tell("faults during an upload");
  assert.ok(x.acked.size > SERIES.length);
  await x.s.stop();
});

test("every n-th call of the pipeline fails", { timeout: 1800000 }, async () => {
  const x = new Installation("1");
  await x.start();
  const pictures = labelled(["animals", "food", "vehicles"], 60).map((p) => fs.readFileSync(p.path));
  await x.s.job((await x.s.upload([{ path: path.join(photos, "cat.jpg") }])).body.job_id);
  let next = 0;
  for (const [op, error] of SERIES.filter(([o]) => o !== "allocate")) {
    const row = { op, error, runs: 0, ok: 0, refused: 0, cut: 0 };
    for (let n = 1, misses = 0; n <= (FULL ? 400 : 12) && misses < 2; n++) {
      const data = Buffer.concat([pictures[next++ % pictures.length], Buffer.from(`${next}`)]);
      const r = await x.s.upload([{ name: `p${next}.png`, data }]);
      if (r.status !== 202) { assert.ok(r.status >= 500); continue; }
      x.acked.set(r.body.system_ids[0], sha256(data));
      x.control.arm(op, error, n);
      const job = await x.s.job(r.body.job_id);
      const hits = x.control.disarm();
      assert.equal(job.status, "done", `${op} ${error} at ${n}: ${JSON.stringify(job)}`);
      misses = hits ? 0 : misses + 1;
      if (hits) { row.runs++; row.ok++; }
    }
    const all = await x.verify();
    assert.ok(all.every((a) => a.status === "done"));
    rows.push(row);
  }
  tell("faults while a picture is worked on: each is done in the end");
  await x.s.stop();
});
