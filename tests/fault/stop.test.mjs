// A process that is stopped and goes on later believes that no time has passed. The server for longer than its lease, with a task in hand;
// a decoder for longer than it may take. (Several instances, on PostgreSQL: tests/e2e/instances.test.mjs.)
import assert from "node:assert/strict";
import { test } from "node:test";
import fs from "node:fs";
import { labelled, sleep } from "../e2e/harness.mjs";
import { FULL, Installation, LEASE, decoders, fresh, table } from "./books.mjs";

const ROUNDS = FULL ? 12 : 3, rows = [];
const pictures = labelled(["animals", "food"], 40).filter((p) => p.path.endsWith(".png")).map((p) => fs.readFileSync(p.path));
let serial = 0;
const picture = () => Buffer.concat([pictures[++serial % pictures.length], fresh(16)]);

async function busy(x) {
  for (let i = 0; i < 2000; i++) {
    if (decoders(x.s.child.pid).length && (await x.ask("/api/v1/admin/stats")).body.queue.depth > 0) return;
    await sleep(5);
  }
  throw new Error("no task was ever under way");
}

test("the server is stopped for longer than its leases", { timeout: 600000 }, async () => {
  const x = await new Installation({ WORKER_THREADS: "2" }).open();
  assert.ok(await x.start());
  for (let round = 0; round < ROUNDS; round++) {
    for (let i = 0; i < 6; i++) assert.equal((await x.put(`p${++serial}.png`, picture())).status, 202);
    await busy(x);
    x.s.child.kill("SIGSTOP");
    await sleep(LEASE * 1000 + 1500);
    x.s.child.kill("SIGCONT");
    await x.settled(`stopped, round ${round}`);
    await x.audit();
    assert.equal(x.dlq, 0, "nothing was given up");
  }
  await x.verify("stopped beyond the lease");
  rows.push(["the server, longer than TASK_LEASE, with tasks under way", ROUNDS, 6 * ROUNDS, 0]);
  await x.end();
});

test("a decoder is stopped for longer than it may take", { timeout: 600000 }, async () => {
  const x = await new Installation({ TASK_TIMEOUT: "2s" }).open();
  assert.ok(await x.start());
  for (let round = 0; round < ROUNDS; round++) {
    assert.equal((await x.put(`warm${++serial}.png`, picture())).status, 202);
    await x.settled("warm");
    const [d] = decoders(x.s.child.pid);
    process.kill(d, "SIGSTOP");
    for (let i = 0; i < 3; i++) assert.equal((await x.put(`p${++serial}.png`, picture())).status, 202);
    await x.settled(`decoder, round ${round}`);
    assert.ok(!decoders(x.s.child.pid).includes(d), "it was replaced");
    await x.audit();
    assert.equal(x.dlq, 0, "its task was tried again");
  }
  await x.verify("a stopped decoder");
  rows.push(["a decoder, longer than TASK_TIMEOUT", ROUNDS, 4 * ROUNDS, 0]);
  await x.end();
});

test("the table", () => table("SIGSTOP", ["stopped", "runs", "files", "losses"], rows));
