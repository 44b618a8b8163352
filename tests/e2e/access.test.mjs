// Keys, hosts, origins: who may speak to the service.
import assert from "node:assert/strict";
import http from "node:http";
import { after, before, describe, test } from "node:test";
import { Server } from "./harness.mjs";

function raw(s, where, headers, method = "GET") {
  return new Promise((done, fail) => {
    const u = new URL(s.url);
    const req = http.request({ host: u.hostname, port: u.port, path: where, method, headers, agent: false }, (res) => {
      let text = "";
      res.on("data", (d) => (text += d));
      res.on("end", () => done({ status: res.statusCode, headers: res.headers, text }));
    });
    req.on("error", fail);
    req.end();
  });
}

describe("with API_KEY", () => {
  let s;
  before(async () => { s = await new Server({ env: { API_KEY: "correct horse battery" } }).start(); });
  after(() => s.stop());

  test("every route under /api/v1 wants it; probes and docs do not", async () => {
    const api = JSON.parse((await raw(s, "/api/openapi.json", {})).text);
    let asked = 0;
    for (const [template, ops] of Object.entries(api.paths))
      for (const [method, op] of Object.entries(ops)) {
        const where = template.replace(/\{\w+\}/g, "01890000-0000-7000-8000-000000000000");
        const none = await raw(s, where, {}, method.toUpperCase());
        const wrong = await raw(s, where, { "X-API-Key": "wrong" }, method.toUpperCase());
        if (op["x-scope"] !== "open") {
          assert.ok(template.startsWith("/api/v1/"), template);
          assert.equal(none.status, 401, `${method} ${template}`);
          assert.equal(wrong.status, 401, `${method} ${template}`);
          asked++;
        } else if (template !== "/api/v1/session") assert.notEqual(none.status, 401, template);
      }
    assert.ok(asked > 30);
  });

  test("both spellings of the header are taken", async () => {
    assert.equal((await raw(s, "/api/v1/objects", { "X-API-Key": "correct horse battery" })).status, 200);
    assert.equal((await raw(s, "/api/v1/objects", { Authorization: "Bearer correct horse battery" })).status, 200);
    assert.equal((await raw(s, "/api/v1/objects", { Authorization: "Basic Y29ycmVjdA==" })).status, 401);
  });

  test("the key appears in no log line and not in /admin/config", async () => {
    const { body } = await s.json("/api/v1/admin/config");
    assert.equal(JSON.stringify(body).includes("correct horse"), false);
    assert.equal(s.log.includes("correct horse"), false);
  });
});

describe("without a key, in a browser on the same machine", () => {
  let s;
  before(async () => { s = await new Server({ env: { ALLOWED_ORIGINS: "https://photos.example", ALLOWED_HOSTS: "nas.local" } }).start(); });
  after(() => s.stop());

  test("a foreign Host (DNS rebinding) is refused, known ones are not", async () => {
    const port = new URL(s.url).port;
    assert.equal((await raw(s, "/api/v1/objects", { Host: "evil.example" })).status, 403);
    for (const host of ["localhost", `127.0.0.1:${port}`, "[::1]", "nas.local"]) assert.equal((await raw(s, "/api/v1/objects", { Host: host })).status, 200, host);
  });

  test("a foreign page can neither read nor write", async () => {
    const before = (await s.json("/api/v1/objects")).body.total;
    for (const headers of [{ Origin: "https://evil.example" }, { Origin: "null" }, { "Sec-Fetch-Site": "cross-site" }]) {
      assert.equal((await raw(s, "/api/v1/objects", headers)).status, 403, JSON.stringify(headers));
      assert.equal((await raw(s, "/api/v1/files/x.txt", headers, "PUT")).status, 403, JSON.stringify(headers));
    }
    assert.equal((await s.json("/api/v1/objects")).body.total, before);
  });

  test("an allowed origin gets CORS headers, exactly its own", async () => {
    const ok = await raw(s, "/api/v1/objects", { Origin: "https://photos.example" });
    assert.equal(ok.status, 200);
    assert.equal(ok.headers["access-control-allow-origin"], "https://photos.example");
    const pre = await raw(s, "/api/v1/objects", { Origin: "https://photos.example", "Access-Control-Request-Method": "GET" }, "OPTIONS");
    assert.equal(pre.status, 204);
    for (const near of ["https://photos.example.evil", "http://photos.example", "https://photos.example:444", "https://a.photos.example", "https://photos.example/", "null"]) {
      const res = await raw(s, "/api/v1/objects", { Origin: near });
      assert.equal(res.headers["access-control-allow-origin"], undefined, near);
      assert.equal(res.status, 403, near);
    }
    for (const res of [ok, pre]) assert.equal(res.headers["access-control-allow-credentials"], undefined, "no cookie crosses origins");
    assert.equal(ok.headers.vary, "Origin");
  });
});

describe("what a browser is served", () => {
  let s;
  before(async () => { s = await new Server().start(); });
  after(() => s.stop());

  test("what it could run comes as a sandboxed attachment of a type that does not run", async () => {
    const files = { "a.svg": '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "a.html": "<!doctype html><script>alert(1)</script>", "a.js": "alert(1)",
      "a.xhtml": '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script></html>', "a.pdf": "%PDF-1.4\n1 0 obj<</S/JavaScript/JS(app.alert(1))>>endobj\n", "a.swf": "FWS\x0a", "a.mht": "MIME-Version: 1.0\r\n" };
    for (const [name, text] of Object.entries(files)) {
      const { body } = await s.upload([{ name, data: Buffer.from(text), type: "text/html" }]);
      for (const query of ["", "?download=false"]) {
        const res = await s.fetch(`/api/v1/objects/${body.system_ids[0]}/content${query}`);
        assert.match(res.headers.get("content-type"), /^(text\/plain; charset=utf-8|application\/(octet-stream|pdf|json))$/, name);
        assert.match(res.headers.get("content-disposition"), /^attachment; filename="a\./, name);
        assert.equal(res.headers.get("content-security-policy"), "sandbox; default-src 'none'", name);
        assert.equal(res.headers.get("x-content-type-options"), "nosniff", name);
        assert.match(res.headers.get("cache-control"), /^private/, name);
        await res.arrayBuffer();
      }
    }
  });

  test("the docs page holds no inline script, and its policy would stop one", async () => {
    const res = await raw(s, "/api/docs", {});
    const scripts = /script-src ([^;]+)/.exec(res.headers["content-security-policy"])[1];
    assert.equal(scripts.trim(), "'self'");
    assert.match(res.headers["content-security-policy"], /default-src 'none'.*frame-ancestors 'none'/);
    for (const [tag] of res.text.matchAll(/<script[^>]*>/g)) assert.match(tag, / src="\/api\/docs\//);
    assert.doesNotMatch(res.text, /\son\w+=|javascript:/);
  });
});

describe("METRICS_TOKEN", () => {
  test("guards /metrics alone", async () => {
    const s = await new Server({ env: { METRICS_TOKEN: "t0ken" } }).start();
    assert.equal((await raw(s, "/metrics", {})).status, 401);
    assert.equal((await raw(s, "/metrics", { Authorization: "Bearer t0ken" })).status, 200);
    assert.equal((await raw(s, "/live", {})).status, 200);
    await s.stop();
  });
});
