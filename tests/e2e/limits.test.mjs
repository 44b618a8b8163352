// Rate limits: of an address, of a key, of bytes, behind a proxy, and across instances that share a Redis.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import { after, before, describe, test } from "node:test";
import { Server, random, run, sleep, tempDir } from "./harness.mjs";
import { answers, freePort } from "./stack.mjs";

const objects = "/api/v1/objects";

// The statuses of n requests sent together.
const burst = async (s, n, headers = {}, where = objects) =>
  (await Promise.all(Array.from({ length: n }, async () => { const r = await s.fetch(where, { headers }); await r.arrayBuffer(); return r.status; })));
const count = (list, status) => list.filter((x) => x === status).length;
const metric = async (s, line) => Number(new RegExp(`^${line.replace(/[{}"/]/g, "\\$&")} (\\d+)`, "m").exec(await (await s.fetch("/metrics")).text())?.[1]);

describe("one instance", () => {
  let s;
  before(async () => { s = await new Server({ env: { RATE_LIMIT_RPS: "2" } }).start(); });
  after(() => s.stop());

  test("lets the burst through and then its rate, and says when to come back", async () => {
    const began = Date.now();
    const got = await burst(s, 60);
    const most = 10 + 2 * ((Date.now() - began) / 1000) + 1;
    assert.ok(count(got, 200) >= 10 && count(got, 200) <= most, `${count(got, 200)} of 60, at most ${most}`);
    assert.equal(count(got, 200) + count(got, 429), 60);
    let refused;
    for (let i = 0; i < 100 && refused?.status !== 429; i++) refused = await s.json(objects);
    assert.equal(refused.status, 429);
    assert.equal(refused.body.code, "rate_limited");
    assert.match(refused.body.error, /RATE_LIMIT_RPS/);
    const wait = Number(refused.headers.get("retry-after"));
    assert.ok(Number.isInteger(wait) && wait >= 1, `Retry-After: ${wait}`);
    assert.equal(refused.body.details.retry_after, wait);
    assert.equal(refused.headers.get("ratelimit-limit"), "10");
    assert.equal(refused.headers.get("ratelimit-remaining"), "0");
    await sleep(wait * 1000);
    assert.equal((await s.fetch(objects)).status, 200);
  });

  test("never limits probes, metrics and the documentation", async () => {
    for (const where of ["/live", "/ready", "/metrics", "/api/openapi.json"]) {
      const got = await burst(s, 30, {}, where);
      assert.equal(count(got, 200), 30, `${where}: ${got}`);
    }
    assert.ok(await metric(s, `http_requests_total{method="GET",route="${objects}",status="429"}`) > 0);
  });

  test("believes nobody about another address when no proxy is trusted", async () => {
    await burst(s, 40);
    const got = await Promise.all(Array.from({ length: 20 }, async (_, i) => (await s.fetch(objects, { headers: { "X-Forwarded-For": `1.2.3.${i}` } })).status));
    assert.ok(count(got, 429) > 10, String(got));
  });
});

test("a key has a bucket of its own; wrong keys spend the address's", async () => {
  const s = await new Server({ env: { RATE_LIMIT_RPS: "1", RATE_LIMIT_BURST: "5", API_KEY: "correct horse battery" } }).start();
  const wrong = await burst(s, 30, { "X-API-Key": "wrong" });
  assert.ok(count(wrong, 401) >= 5 && count(wrong, 429) >= 10, String(wrong));
  const right = await burst(s, 30);
  assert.ok(count(right, 200) >= 5 && count(right, 429) >= 10, String(right));
  await s.stop();
});

test("a trusted proxy's clients are told apart, and an IPv6 network is one client", async () => {
  const s = await new Server({ env: { RATE_LIMIT_RPS: "1", RATE_LIMIT_BURST: "5", TRUSTED_PROXIES: "127.0.0.0/8, ::1" } }).start();
  const as = (xff, n = 20) => burst(s, n, { "X-Forwarded-For": xff });
  for (const xff of ["1.2.3.4", "9.9.9.9, 1.2.3.5", "2001:db8:0:1::1"]) {
    const got = await as(xff);
    assert.ok(count(got, 200) >= 5 && count(got, 429) >= 5, `${xff}: ${got}`);
  }
  assert.ok(count(await as("2001:db8:0:1:ffff::2"), 429) >= 10, "the same /64");
  assert.ok(count(await as("2001:db8:0:2::1", 3), 200) === 3, "another /64");
  assert.ok(count(await as("6.6.6.6, 1.2.3.4"), 429) >= 10, "what stands left of the client's address is not read");
  assert.match(s.log, /"client":"1\.2\.3\.5"/);
  await s.stop();
});

test("a network that is none stops the start and is named", async () => {
  const dir = tempDir();
  const end = await run(["serve"], { cwd: dir, env: { DATA_PATH: `${dir}/data`, APP_PORT: "0", TRUSTED_PROXIES: "10.0.0.0/8,10.1.0.0/99" } });
  assert.notEqual(end.code, 0);
  assert.match(end.stdout + end.stderr, /TRUSTED_PROXIES: .*10\.1\.0\.0\/99/);
  fs.rmSync(dir, { recursive: true });
});

describe("bytes", () => {
  let s;
  const put = (bytes, headers = {}) => new Promise((done, fail) => {
    const u = new URL(s.url);
    const req = http.request({ host: u.hostname, port: u.port, path: "/api/v1/files/b.bin", method: "PUT", headers, agent: false }, (res) => {
      let text = "";
      res.on("data", (d) => (text += d));
      res.on("end", () => done({ status: res.statusCode, headers: res.headers, text }));
    });
    req.on("error", fail);
    for (let i = 0; i < bytes.length; i += 65536) req.write(bytes.subarray(i, i + 65536));
    req.end();
  });
  before(async () => { s = await new Server({ env: { RATE_LIMIT_BYTES: "1K", MIN_BODY_RATE: "0" } }).start(); });
  after(() => s.stop());

  test("what is announced counts before it is sent, and only uploads wait", async () => {
    const data = random(50000);
    assert.equal((await put(data, { "Content-Length": data.length })).status, 202);
    const refused = await put(data, { "Content-Length": data.length });
    assert.equal(refused.status, 429);
    assert.match(JSON.parse(refused.text).error, /RATE_LIMIT_BYTES/);
    assert.ok(Number(refused.headers["retry-after"]) >= 10);
    assert.equal((await s.fetch(objects)).status, 200);
    assert.equal((await put(random(2000, 2), { "Content-Length": 2000 })).status, 202, "what still fits goes through");
  });

  test("what is not announced is let in, counted, and waited for by the next", async () => {
    assert.equal((await put(random(300000, 3), { "Transfer-Encoding": "chunked" })).status, 202);
    const refused = await put(random(10, 4), { "Content-Length": 10 });
    assert.equal(refused.status, 429);
    assert.ok(Number(refused.headers["retry-after"]) > 200);
  });
});

describe("two instances on one Redis", () => {
  const seconds = 4, rps = 20;
  let redis, a, b;
  before(async () => {
    const port = await freePort();
    redis = spawn("redis-server", ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"], { stdio: "ignore", cwd: os.tmpdir() });
    await answers(port, 10);
    const env = { QUEUE_BACKEND: "redis", REDIS_URL: `redis://127.0.0.1:${port}/7`, RATE_LIMIT_RPS: String(rps), RATE_LIMIT_BURST: String(rps) };
    [a, b] = await Promise.all([new Server({ env }).start(), new Server({ env }).start()]);
  });
  after(async () => { redis.kill("SIGKILL"); await Promise.all([a.stop(), b.stop()]); });

  // Both are asked as fast as they answer, until a hundred were refused; how many of the answers were 200.
  async function both() {
    const began = Date.now(), passed = () => (Date.now() - began) / 1000;
    let ok = 0, refused = 0;
    await Promise.all([a, a, b, b].map(async (s) => {
      while (passed() < seconds || (refused < 100 && passed() < 30)) {
        const got = await burst(s, 2);
        ok += count(got, 200);
        refused += count(got, 429);
      }
    }));
    return { ok, seconds: passed() };
  }

  test("let through together what one would", async () => {
    const got = await both();
    const one = rps + rps * got.seconds;
    assert.ok(got.ok >= rps, `${got.ok} of a bucket of ${rps}`);
    assert.ok(got.ok <= 1.4 * one, `${got.ok} in ${got.seconds} s, one alone ${one}, each for itself ${2 * one}`);
  });

  test("and without it each limits for itself, answers as before and says so", async () => {
    redis.kill("SIGKILL");
    const got = await both();
    assert.ok(got.ok >= rps && got.ok <= 2 * (rps + rps * got.seconds) + 4, `${got.ok} in ${got.seconds} s`);
    for (const s of [a, b]) {
      const { body } = await s.json("/health");
      assert.equal(body.queue.status, "degraded", JSON.stringify(body.queue));
      const some = await burst(s, 100);
      assert.ok(count(some, 429) > 0 && count(some, 200) + count(some, 429) === 100, String(some));
    }
  });
});
