// Two hundred clients at once: no errors, bounded memory.
import assert from "node:assert/strict";
import http from "node:http";
import { test } from "node:test";
import { Server, random, sanitized, slow } from "./harness.mjs";

function put(s, name, data) {
  return new Promise((done, fail) => {
    const req = http.request(`${s.url}/api/v1/files/${name}`, { method: "PUT", agent: false, headers: { "Content-Length": data.length } }, (res) => {
      res.resume();
      res.on("end", () => done(res.statusCode));
    });
    req.on("error", fail);
    req.end(data);
  });
}

test("200 concurrent uploads all succeed within bounded memory", { timeout: 180000 * slow }, async () => {
  const s = await new Server().start();
  const idle = s.rss();
  let peak = idle;
  const watch = setInterval(() => (peak = Math.max(peak, s.rss())), 20);
  const data = Array.from({ length: 200 }, (_, i) => random(1 << 20, i + 1));
  const statuses = await Promise.all(data.map((d, i) => put(s, `u${i}.bin`, d)));
  clearInterval(watch);
  assert.deepEqual([...new Set(statuses)], [202]);
  assert.equal((await s.json("/api/v1/objects")).body.total, 200);
  console.log(`# idle ${idle >> 20} MB, peak ${peak >> 20} MB during 200 uploads of 1 MB`);
  // 200 bodies are 200 MB; a server that held them would pass this by far.
  if (!sanitized) assert.ok(peak - idle < 120 << 20, `grew by ${(peak - idle) >> 20} MB`);
  await s.stop();
});
