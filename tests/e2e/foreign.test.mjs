// Pages of other origins in a real browser, and our own: what a foreign page can read and write of the service (nothing),
// with no key, with a session in the same browser, and with a name rebound to this machine; and what stored files can do
// when they are opened in our origin (nothing either).
import assert from "node:assert/strict";
import http from "node:http";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { chromium } from "playwright-core";
import { Server, photos, sleep, slow } from "./harness.mjs";

const V1 = "/api/v1";
const picture = fs.readFileSync(path.join(photos, fs.readdirSync(photos).filter((f) => /\.jpe?g$/.test(f)).sort()[0]));
const limit = { timeout: 90000 * slow };
let browser, foreign, port;

before(async () => {
  // Any name is this machine: evil.example another site, 127.0.0.1 on another port the same site and another origin. That
  // browsers begin to keep pages away from local addresses by themselves is not to be relied on, and switched off.
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP *.example 127.0.0.1", "--disable-features=BlockInsecurePrivateNetworkRequests,PrivateNetworkAccessChecks,LocalNetworkAccessChecks"] });
  foreign = http.createServer((req, res) => { res.setHeader("Content-Type", "text/html"); res.end("<!doctype html><title>foreign</title><body>"); });
  await new Promise((done) => foreign.listen(0, "127.0.0.1", done));
  port = foreign.address().port;
});
after(async () => { await browser?.close(); foreign?.close(); });

// Everything a page may try on another origin; runs inside the page.
async function attempts([target, id, credentials]) {
  const out = {};
  const form = () => { const f = new FormData(); f.append("files", new Blob(["evil"]), "evil.txt"); return f; };
  const tries = {
    "read a list": async () => (await fetch(`${target}/api/v1/objects`, { credentials })).text(),
    "read a file": async () => (await fetch(`${target}/api/v1/objects/${id}/content`, { credentials })).text(),
    "read the settings": async () => (await fetch(`${target}/api/v1/admin/config`, { credentials })).text(),
    "read without CORS": async () => { const r = await fetch(`${target}/api/v1/objects`, { mode: "no-cors", credentials }); const t = await r.text(); if (r.type === "opaque" && t === "") throw new Error("opaque"); return t; },
    "post a form by fetch": async () => (await fetch(`${target}/api/v1/ingest`, { method: "POST", body: form(), credentials })).text(),
    "post a form without CORS": async () => { await fetch(`${target}/api/v1/ingest`, { method: "POST", body: form(), mode: "no-cors", credentials }); throw new Error("sent"); },
    "put a file": async () => (await fetch(`${target}/api/v1/files/evil.txt`, { method: "PUT", body: "evil", credentials })).text(),
    "delete a file": async () => (await fetch(`${target}/api/v1/objects/${id}`, { method: "DELETE", credentials })).text(),
    "post JSON as text": async () => { await fetch(`${target}/api/v1/clusters`, { method: "POST", body: '{"name":"evil"}', headers: { "Content-Type": "text/plain" }, mode: "no-cors", credentials }); throw new Error("sent"); },
    "make a key": async () => { await fetch(`${target}/api/v1/admin/keys`, { method: "POST", body: '{"scope":"admin"}', mode: "no-cors", credentials }); throw new Error("sent"); },
    "begin a session": async () => { await fetch(`${target}/api/v1/session`, { method: "POST", body: "{}", mode: "no-cors", credentials }); throw new Error("sent"); },
    "send a beacon": async () => { navigator.sendBeacon(`${target}/api/v1/ingest`, form()); throw new Error("sent"); },
    "show a picture": () => new Promise((done, fail) => { const i = new Image(); i.onload = () => done(`${i.naturalWidth}`); i.onerror = () => fail(new Error("no picture")); i.src = `${target}/api/v1/objects/${id}/content`; }),
    "run a list as a script": () => new Promise((done, fail) => { const e = document.createElement("script"); e.onload = () => done("ran"); e.onerror = () => fail(new Error("no script")); e.src = `${target}/api/v1/objects`; document.body.append(e); }),
    "open a web socket": () => new Promise((done, fail) => { const w = new WebSocket(`${target.replace("http", "ws")}/api/v1/objects`); w.onopen = () => done("open"); w.onerror = () => fail(new Error("no socket")); }),
    "listen to events": () => new Promise((done, fail) => { const e = new EventSource(`${target}/api/v1/objects`, { withCredentials: credentials === "include" }); e.onopen = () => done("open"); e.onerror = () => { e.close(); fail(new Error("no events")); }; }),
    "post a form by submitting it": () => new Promise((done, fail) => {
      const frame = document.createElement("iframe"); frame.name = "into"; document.body.append(frame);
      const f = document.createElement("form"); f.method = "POST"; f.enctype = "multipart/form-data"; f.target = "into"; f.action = `${target}/api/v1/ingest`;
      const field = document.createElement("input"); field.type = "file"; field.name = "files";
      const files = new DataTransfer(); files.items.add(new File(["evil"], "evil.txt")); field.files = files.files;
      f.append(field); document.body.append(f);
      frame.onload = () => { let inside = ""; try { inside = frame.contentDocument.body.textContent; } catch { /* another origin */ } inside ? done(inside) : fail(new Error("sent")); };
      f.submit();
    }),
    "look into a frame": () => new Promise((done, fail) => {
      const frame = document.createElement("iframe"); document.body.append(frame);
      frame.onload = () => { try { const t = frame.contentDocument.body.textContent; t ? done(t) : fail(new Error("empty")); } catch { fail(new Error("another origin")); } };
      frame.src = `${target}/api/v1/objects`;
    }),
  };
  for (const [what, run] of Object.entries(tries)) {
    try { out[what] = `GOT ${String(await Promise.race([run(), new Promise((_, no) => setTimeout(() => no(new Error("nothing came")), 5000))])).slice(0, 80)}`; } catch (e) { out[what] = e.message; }
  }
  return out;
}

// Nothing was read, and the service holds what it held.
async function allFail(s, page, target, id, credentials, headers = {}) {
  const state = async () => {
    const all = {};
    for (const where of ["objects", "trash", "clusters", "jobs", "admin/keys"]) all[where] = (await s.json(`${V1}/${where}`, { headers })).body;
    return JSON.stringify(all, (k, v) => (k === "last_used_at" ? undefined : v));
  };
  const before = await state();
  const out = await page.evaluate(attempts, [target, id, credentials]);
  for (const [what, result] of Object.entries(out)) assert.doesNotMatch(result, /^GOT/, `${what}: ${result}`);
  assert.equal(Object.keys(out).length, 18);
  assert.equal(await state(), before, "nothing was written");
  return out;
}

describe("without a key", () => {
  let s, id;
  before(async () => {
    s = await new Server().start();
    const up = await s.upload([{ name: "a.jpg", data: picture }]);
    id = up.body.system_ids[0];
    await s.job(up.body.job_id);
  });
  after(() => s.stop());

  for (const [what, host] of [["another site", "evil.example"], ["another port of this host", "127.0.0.1"]])
    test(`a page of ${what} reads and writes nothing`, limit, async () => {
      const page = await browser.newPage();
      await page.goto(`http://${host}:${port}/`);
      const out = await allFail(s, page, s.url, id, "omit");
      if (host === "evil.example") for (const [k, v] of Object.entries(out)) console.log(`# ${k}: ${v}`);
      await page.close();
    });

  test("a name of somebody's that now leads here is told to go away", limit, async () => {
    const rebound = `http://rebound.example:${new URL(s.url).port}`;
    const page = await browser.newPage();
    // The page itself came from the attacker's server, before the name was pointed at this machine.
    await page.route(`${rebound}/attack.html`, (route) => route.fulfill({ contentType: "text/html", body: "<!doctype html><title>x</title><body>" }));
    await page.goto(`${rebound}/attack.html`);
    const before = JSON.stringify((await s.json(`${V1}/objects`)).body);
    const out = await page.evaluate(async ([where]) => {
      const ask = async (path, options) => { const r = await fetch(path, options); return [r.status, (await r.text()).slice(0, 200)]; };
      return { list: await ask("/api/v1/objects"), content: await ask(where), put: await ask("/api/v1/files/evil.txt", { method: "PUT", body: "evil" }) };
    }, [`${V1}/objects/${id}/content`]);
    for (const [what, [status, text]] of Object.entries(out)) {
      assert.equal(status, 403, what);
      assert.match(text, /ALLOWED_HOSTS/);
    }
    assert.equal(JSON.stringify((await s.json(`${V1}/objects`)).body), before);
    await page.close();
  });

  test("our own page may, and its console stays empty", limit, async () => {
    const page = await browser.newPage(), problems = [];
    page.on("console", (m) => { if (["error", "warning"].includes(m.type())) problems.push(m.text()); });
    page.on("pageerror", (e) => problems.push(String(e)));
    await page.goto(`${s.url}/api/docs`);
    await page.waitForSelector(".opblock-tag", { timeout: 20000 * slow });
    // Swagger UI works: a request is tried out from the page and answered.
    await page.click("#operations-Service-get_live .opblock-summary-control");
    await page.click("#operations-Service-get_live .execute");
    const status = ".live-responses-table tbody .response-col_status";
    await page.waitForSelector(status, { timeout: 20000 * slow });
    assert.match(await page.textContent(status), /200/);
    const list = await page.evaluate(async () => (await (await fetch("/api/v1/objects")).json()).total);
    assert.equal(list, 1);
    assert.deepEqual(problems, []);
    // An inline script would not run, and is reported.
    const inline = await page.evaluate(() => new Promise((done) => {
      addEventListener("securitypolicyviolation", (e) => done(e.violatedDirective));
      const e = document.createElement("script"); e.textContent = "window.ran = true"; document.body.append(e);
      setTimeout(() => done(window.ran ? "it ran" : "nothing"), 2000);
    }));
    assert.match(inline, /^script-src/);
    await page.close();
  });
});

describe("with keys, and a session in the same browser", () => {
  let s, id, context;
  const root = { "X-API-Key": "root key of this test" };
  before(async () => {
    s = await new Server({ env: { API_KEY: root["X-API-Key"] } }).start();
    const up = await s.upload([{ name: "a.jpg", data: picture }]);
    id = up.body.system_ids[0];
    await s.job(up.body.job_id);
    context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`${s.url}/api/docs`);
    const began = await page.evaluate(async (key) => (await fetch("/api/v1/session", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ key }) })).status, root["X-API-Key"]);
    assert.equal(began, 201);
    assert.equal(await page.evaluate(async () => (await fetch("/api/v1/objects")).status), 200, "the cookie serves our own page");
    assert.equal(await page.evaluate(() => document.cookie), "", "and no script reads it");
    await page.close();
  });
  after(async () => { await context?.close(); await s.stop(); });

  for (const [what, host] of [["another site", "evil.example"], ["another port of this host, to which the cookie is sent", "127.0.0.1"]])
    test(`a page of ${what} reads and writes nothing`, limit, async () => {
      const page = await context.newPage();
      await page.goto(`http://${host}:${port}/`);
      await allFail(s, page, s.url, id, "include", root);
      await page.close();
    });

  test("stored files opened as pages run nothing; pictures and sound are shown", limit, async () => {
    const page = await context.newPage(), problems = [];
    page.on("console", (m) => { if (m.type() === "error") problems.push(m.text()); });
    const wav = Buffer.alloc(44 + 800);
    wav.write("RIFF"); wav.writeUInt32LE(836, 4); wav.write("WAVEfmt ", 8); wav.writeUInt32LE(16, 16); wav.writeUInt16LE(1, 20); wav.writeUInt16LE(1, 22);
    wav.writeUInt32LE(8000, 24); wav.writeUInt32LE(8000, 28); wav.writeUInt16LE(1, 32); wav.writeUInt16LE(8, 34); wav.write("data", 36); wav.writeUInt32LE(800, 40);
    const put = async (name, data) => (await s.upload([{ name, data }])).body.system_ids[0];
    const sound = await put("a.wav", wav), evil = await put("a.svg", Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"><script>document.title="ran"</script></svg>'));
    const opened = await page.goto(`${s.url}${V1}/objects/${id}/content`);
    assert.match(opened.headers()["content-security-policy"], /^sandbox; default-src 'none'/);
    assert.ok((await page.evaluate(() => document.images[0].naturalWidth)) > 10, "the picture is shown");
    assert.equal(await page.evaluate(() => origin), "null", "in no origin");
    await page.goto(`${s.url}${V1}/objects/${sound}/content`);
    // asked from outside: in a sandbox no script of a page runs, so no timer either
    const ready = () => page.evaluate(() => document.querySelector("video, audio")?.readyState ?? -1);
    for (let i = 0; i < 100 * slow && (await ready()) < 1; i++) await sleep(100);
    assert.ok((await ready()) >= 1, `the sound is played: ${await ready()}; ${problems}`);
    // What is not shown is downloaded.
    const [download] = await Promise.all([page.waitForEvent("download"), page.goto(`${s.url}${V1}/objects/${evil}/content`).catch(() => {})]);
    assert.equal(download.suggestedFilename(), "a.svg");
    await download.cancel();
    // As a picture of our own page it is not shown either: it is served as bytes.
    await page.goto(`${s.url}/api/docs`);
    const shown = await page.evaluate((where) => new Promise((done) => { const i = new Image(); i.onload = () => done("shown"); i.onerror = () => done("not shown"); i.src = where; }), `${V1}/objects/${evil}/content`);
    assert.equal(shown, "not shown");
    assert.deepEqual(problems.filter((p) => !/favicon/.test(p)), []);
    await page.close();
  });
});
