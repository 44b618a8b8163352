// What only files on a disk can suffer; not part of the production corner.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { Server, run, tempDir } from "./harness.mjs";

test("storage that vanished is not mistaken for an empty one", async () => {
  const dir = tempDir();
  const s = await new Server({ dir }).start();
  await s.upload([{ name: "a.txt", data: Buffer.from("a") }]);
  s.child.kill("SIGTERM");
  await s.ended();
  fs.renameSync(path.join(dir, "data/storage"), path.join(dir, "elsewhere"));
  const r = await run(["serve"], { cwd: dir, env: { DATA_PATH: path.join(dir, "data"), APP_PORT: "0" } });
  assert.notEqual(r.code, 0);
  assert.match(r.stderr, /mount/);
  fs.rmSync(dir, { recursive: true });
});
