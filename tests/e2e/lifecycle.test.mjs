// Starting, stopping, refusing to start, draining.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { Server, labelled, program, run, tempDir } from "./harness.mjs";

test("it is ready, healthy in every component, and counts itself", async () => {
  const s = await new Server().start();
  assert.deepEqual((await s.json("/live")).body, { status: "alive" });
  const ready = await s.json("/ready");
  assert.equal(ready.status, 200);
  assert.equal(ready.body.database, "connected");
  assert.equal(ready.body.storage, "available");
  assert.equal(ready.body.workers, "running");
  const health = (await s.json("/health")).body;
  // a kernel that cannot lock decoders in has its say
  assert.equal(health.status, health.jail.isolation === "seccomp+landlock" ? "healthy" : "degraded", JSON.stringify(health));
  const metrics = await (await s.fetch("/metrics")).text();
  for (const line of [/^ingest_requests_total\{request_type="multipart",status="accepted"\} 0$/m, /^dead_letter_queue_depth\{job_type="image",class="system"\} 0$/m, /^build_info\{version="[^"]+"\} 1$/m, /^http_request_duration_seconds_bucket\{method="GET",route="\/live",le="0\.15"\}/m])
    assert.match(metrics, line);
  const root = await s.fetch("/", { redirect: "manual", headers: { Accept: "text/html" } });
  assert.equal(root.status, 302);
  assert.equal((await s.json("/")).body.name, "File Allocator");
  await s.stop();
});

test("DEBUG=true logs what LOG_LEVEL=DEBUG would, unless LOG_LEVEL is set", async () => {
  const quietLines = async (env) => {
    const s = await new Server({ env }).start();
    assert.equal((await s.fetch("/live")).status, 200);
    s.child.kill("SIGTERM");
    await s.ended();
    await s.closed;
    const lines = s.log.split("\n").filter((l) => l.startsWith("{")).map((l) => JSON.parse(l));
    await s.stop();
    return lines.filter((l) => l.level === "DEBUG" && l.path === "/live").length;
  };
  assert.equal(await quietLines({}), 0);
  assert.equal(await quietLines({ DEBUG: "true" }), 1);
  assert.equal(await quietLines({ DEBUG: "true", LOG_LEVEL: "INFO" }), 0);
});

test("a second server on the same data names the first one's pid and stops", async () => {
  const s = await new Server().start();
  const r = await run(["serve"], { env: { DATA_PATH: path.join(s.dir, "data"), APP_PORT: "0" } });
  assert.notEqual(r.code, 0);
  assert.match(r.stderr, new RegExp(`in use by process ${s.child.pid}`));
  await s.stop();
});

test("a bad setting stops the start and says setting, value and what is allowed", async () => {
  const dir = tempDir();
  for (const [env, says] of [[{ APP_PORT: "99999" }, /APP_PORT.*99999.*65535/], [{ CLUSTER_THRESHOLD: "high" }, /CLUSTER_THRESHOLD.*high/], [{ DATABASE_URL: "mysql://x/y" }, /DATABASE_URL.*sqlite/], [{ API_KEY: "your_key_here" }, /API_KEY/]]) {
    const r = await run(["serve"], { cwd: dir, env: { DATA_PATH: dir, ...env } });
    assert.equal(r.code, 2, r.stderr);
    assert.match(r.stderr, says);
  }
  fs.rmSync(dir, { recursive: true });
});

test("a port in use is named", async () => {
  const s = await new Server().start();
  const dir = tempDir();
  const r = await run(["serve"], { cwd: dir, env: { DATA_PATH: dir, APP_PORT: new URL(s.url).port } });
  assert.notEqual(r.code, 0);
  assert.match(r.stderr, /in use/);
  await s.stop();
  fs.rmSync(dir, { recursive: true });
});

test("a stop in the middle of work loses none of it, and counts no attempt", async () => {
  const dir = tempDir();
  let s = await new Server({ dir, env: { WORKER_THREADS: "1", SHUTDOWN_GRACE: "2s" } }).start();
  const files = labelled(["animals", "food"], 30);
  const { body, status } = await s.upload(files.map((f) => ({ path: f.path })));
  assert.equal(status, 202);
  s.child.kill("SIGTERM");
  assert.equal((await s.ended()).code, 0, s.log.slice(-3000));
  s = await new Server({ dir }).start();
  const job = await s.job(body.job_id, 120);
  assert.equal(job.status, "done", JSON.stringify(job.progress));
  assert.equal(job.progress.done, files.length);
  assert.equal((await s.json("/api/v1/admin/dlq")).body.total, 0);
  await s.stop();
});

test("a decoder killed from outside costs nothing but a retry", async () => {
  const s = await new Server({ env: { WORKER_THREADS: "1" } }).start();
  const files = labelled(["animals"], 30);
  const { body } = await s.upload(files.map((f) => ({ path: f.path })));
  let killed = 0;
  for (let i = 0; i < 200 && killed < 2; i++) {
    await new Promise((r) => setTimeout(r, 30));
    for (const pid of fs.readdirSync("/proc").filter((p) => /^\d+$/.test(p))) {
      try {
        const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
        const ppid = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
        if (ppid === s.child.pid && stat.includes("file-allocator")) { process.kill(Number(pid), "SIGKILL"); killed++; }
      } catch { /* gone already */ }
    }
  }
  assert.ok(killed >= 1, "a decoder was there to kill");
  const job = await s.job(body.job_id, 120);
  assert.equal(job.progress.done, files.length, JSON.stringify(job));
  await s.stop();
});

test("version and help work without a server", async () => {
  assert.match((await run(["version"])).stdout, /\d+\.\d+\.\d+/);
  const help = await run(["--help"]);
  assert.equal(help.code, 0);
  for (const word of ["serve", "ingest", "search", "get", "status", "dlq", "config", "doctor", "healthcheck"]) assert.match(help.stdout, new RegExp(`\\b${word}\\b`));
  assert.ok(fs.existsSync(program));
});
