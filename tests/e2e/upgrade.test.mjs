// A start that has to bring the catalog up to date first says how far it is, and ends in order when it is told to.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { Server, run, sleep, slow, tempDir } from "./harness.mjs";
import { productionEnv, stack } from "./stack.mjs";

const embedded = { QUEUE_BACKEND: "inproc", STORAGE_BACKEND: "fs://" };

async function saying(server, words) {
  server.start().catch(() => {}); // it never listens
  for (const end = Date.now() + 30000 * slow; !words.test(server.log); await sleep(50))
    if (Date.now() > end) throw new Error(`it never said ${words}:\n${server.log}`);
}

async function endsInOrder(server, words) {
  const began = Date.now();
  server.child.kill("SIGTERM");
  await server.closed;
  assert.equal(server.code, 0, server.log);
  assert.match(server.log, words);
  assert.ok(!/"level":"ERROR"/.test(server.log), server.log);
  assert.ok(Date.now() - began < 5000 * slow);
}

test("on SQLite, waiting for another program's migration is told, and SIGTERM ends it", async () => {
  const dir = tempDir(), url = `sqlite:///${dir}/catalog.db`;
  const server = (env) => new Server({ dir: tempDir(), env: { ...embedded, DATABASE_URL: url, ...env } });
  // It holds the lock in the midst of its first migration.
  const first = server({ FILE_ALLOCATOR_FAULT: "catalog.migrate=stall" });
  await saying(first, /fault: catalog.migrate=stall/);
  const second = server();
  await saying(second, /waiting for another program that holds the catalog \(\d+ s so far\)/);
  await endsInOrder(second, /stopped while waiting for another program that holds the catalog/);
  await first.kill();
  const third = await server().start();
  assert.equal((await third.fetch("/ready")).status, 200);
  await third.stop();
  for (const d of [dir, first.dir, second.dir]) fs.rmSync(d, { recursive: true, force: true });
});

test("on PostgreSQL, a migration that lasts is told, and SIGTERM cancels it and undoes it", async () => {
  const dir = tempDir(), env = { ...(await productionEnv(dir, ["postgres"])), ...embedded }, st = await stack(), db = `fa${st.names.get(dir)}`;
  // A transaction that makes a table of the same name: whoever makes it too waits for its end.
  const held = st.psql.held(db, "BEGIN; CREATE TABLE object (x int); SELECT pg_sleep(120)");
  while (st.psql(db, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(120)' AND pid <> pg_backend_pid()") !== "1") await sleep(50);
  const s = new Server({ dir, env });
  await saying(s, /migration 0001_first \(1 of \d+\) has run for \d+ s, statement \d+/);
  await endsInOrder(s, /stopped in migration 0001_first, which is undone/);
  assert.equal(st.psql(db, "SELECT count(*) FROM schema_version"), "0");
  assert.equal(st.psql(db, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'file-allocator' AND datname = current_database()"), "0");
  st.psql(db, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(120)' AND pid <> pg_backend_pid()");
  await held;
  const again = await new Server({ dir, env }).start();
  assert.equal((await again.fetch("/ready")).status, 200);
  await again.stop();
});

test("migrate finds no catalog to bring up to date, and names options that are not its own", async () => {
  const dir = tempDir(), cli = (...words) => run(["migrate", ...words], { cwd: dir, env: { DATA_PATH: path.join(dir, "data") } });
  for (const words of [["--dry-run"], []]) {
    const none = await cli(...words);
    assert.equal(none.code, 1);
    assert.match(none.stderr, /there is no catalog at .*: the first start of the server makes it/);
  }
  assert.equal(fs.existsSync(path.join(dir, "data")), false);
  const wrong = await cli("--dry-run", "--to", "postgresql://x/y");
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /--to belongs to "migrate copy"/);
  assert.equal((await cli("cpoy")).code, 2);
  const s = await new Server({ dir, env: { ...embedded, DATABASE_URL: "" } }).start();
  const there = await cli("--dry-run");
  assert.equal(there.code, 0, there.stderr);
  assert.match(there.stdout, /schema version \d+, the newest that this program knows: nothing to do/);
  await s.stop();
});
