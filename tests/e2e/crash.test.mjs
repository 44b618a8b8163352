// kill -9 at random moments while many files are uploaded: what was acknowledged is there, once, and every task ends.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import { test } from "node:test";
import { Server, labelled, random, sleep, slow, tempDir } from "./harness.mjs";

const KILLS = Number(process.env.FA_KILLS ?? 50);

test(`${KILLS} kills during uploads lose nothing and double nothing`, { timeout: 900000 * slow }, async () => {
  const dir = tempDir();
  const pictures = labelled(["animals", "food", "vehicles"], 25).map((p) => fs.readFileSync(p.path));
  const acked = new Map(); // system_id -> sha256
  let sent = 0, refused = 0;
  for (let round = 0; round <= KILLS; round++) {
    const s = await new Server({ dir }).start();
    if (round === KILLS) {
      // The last start: everything settles, then the books are checked.
      await s.quiet(300);
      const all = [...(await s.every("/api/v1/objects", "objects"))];
      const byId = new Map(all.map((a) => [a.id, a]));
      assert.equal(byId.size, all.length, "no asset is listed twice");
      for (const [id, sha] of acked) {
        const a = byId.get(id);
        assert.ok(a, `acknowledged ${id} is there`);
        assert.equal(a.sha256, sha);
        assert.ok(["done", "failed"].includes(a.status), `${id} ended: ${a.status}`);
      }
      // Unacknowledged ones may be there (the answer was lost) but whole; every object equals its name.
      let checked = 0;
      for (const a of all) {
        const bytes = Buffer.from(await (await s.fetch(`/api/v1/objects/${a.id}/content`)).arrayBuffer());
        assert.equal(crypto.createHash("sha256").update(bytes).digest("hex"), a.sha256, `${a.id} byte for byte`);
        checked++;
      }
      const failed = all.filter((a) => a.status === "failed");
      const dlq = await s.every("/api/v1/admin/dlq", "items");
      assert.deepEqual(dlq.map((d) => d.system_id).sort(), failed.map((a) => a.id).sort(), "a task is done or in the DLQ");
      const folders = await s.every("/api/v1/clusters", "clusters");
      for (const f of folders) {
        const n = all.filter((a) => a.cluster?.id === f.id).length;
        assert.equal(f.asset_count, n, `${f.name} counts its files`);
      }
      console.log(`# ${sent} sent, ${acked.size} acknowledged, ${refused} cut off, ${checked} verified, ${folders.length} folders, ${dlq.length} in the DLQ`);
      assert.ok(acked.size > KILLS, "the test did something");
      await s.stop();
      return;
    }
    const until = Date.now() + (40 + Math.random() * 500) * slow;
    const client = async (n) => {
      while (Date.now() < until + 200 && !s.signal) {
        // Half new bytes, half pictures (so that workers are busy and duplicates occur).
        const data = Math.random() < 0.5 ? random(20000, (round * 1000 + n * 100 + sent) | 1) : pictures[Math.floor(Math.random() * pictures.length)];
        sent++;
        try {
          const { status, body } = await s.upload([{ name: `f${sent}.bin`, data }]);
          if (status === 202) acked.set(body.system_ids[0], crypto.createHash("sha256").update(data).digest("hex"));
        } catch { refused++; return; }
      }
    };
    const clients = [0, 1, 2, 3].map(client);
    await sleep(until - Date.now());
    await s.kill();
    await Promise.all(clients);
  }
});
