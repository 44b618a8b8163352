// Every route with every kind of key: what each may do, and that nothing of another owner's shows or changes.
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { Server, photos, run, slow, sleep, tempDir } from "./harness.mjs";
import { productionEnv, stackEnv } from "./stack.mjs";

const V1 = "/api/v1";
const picture = fs.readFileSync(path.join(photos, fs.readdirSync(photos).filter((f) => /\.jpe?g$/.test(f)).sort()[0]));
const broken = Buffer.concat([Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 16]), Buffer.from("JFIF\0 and then nothing that is a picture")]);

// fetch() decides itself about Host, Origin and Sec-Fetch-Site; these tests do.
function ask(s, method, where, headers = {}, body) {
  return new Promise((done, fail) => {
    const u = new URL(s.url);
    const req = http.request({ host: u.hostname, port: u.port, path: where, method, agent: false,
      headers: { ...headers, ...(body === undefined ? {} : { "Content-Length": Buffer.byteLength(body) }) } }, (res) => {
      const parts = [];
      res.on("data", (d) => parts.push(d));
      res.on("end", () => done({ status: res.statusCode, headers: res.headers, text: Buffer.concat(parts).toString("latin1") }));
    });
    req.on("error", fail);
    req.end(body);
  });
}
async function askJson(s, method, where, headers, body) {
  const res = await ask(s, method, where, body === undefined ? headers : { ...headers, "Content-Type": "application/json" }, body === undefined ? undefined : JSON.stringify(body));
  return { ...res, body: res.text ? JSON.parse(res.text) : undefined };
}
const bearing = (key) => ({ "X-API-Key": key });
const origin = (s) => new URL(s.url).origin;

async function makeKey(s, by, wish) {
  const res = await askJson(s, "POST", `${V1}/admin/keys`, bearing(by), wish);
  assert.equal(res.status, 201, res.text);
  assert.match(res.body.key, /^fa_[0-9a-f]{8}_[0-9a-f]{64}$/);
  return res.body;
}

async function beginSession(s, key, headers = {}) {
  const res = await askJson(s, "POST", `${V1}/session`, { Origin: origin(s), ...headers }, { key });
  assert.equal(res.status, 201, res.text);
  const [cookie] = res.headers["set-cookie"];
  return { cookie: cookie.split(";")[0], flags: cookie.split("; ").slice(1), body: res.body };
}

function form(fields, file, name) {
  const edge = "edge-of-parts";
  const parts = Object.entries(fields).map(([k, v]) => Buffer.from(`--${edge}\r\nContent-Disposition: form-data; name="${k}"\r\n\r\n${v}\r\n`));
  parts.push(Buffer.from(`--${edge}\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\n\r\n`), file, Buffer.from(`\r\n--${edge}--\r\n`));
  return { type: `multipart/form-data; boundary=${edge}`, body: Buffer.concat(parts) };
}

async function upload(s, key, file, name, fields = {}) {
  const f = form(fields, file, name);
  const res = await ask(s, "POST", `${V1}/ingest`, { ...bearing(key), "Content-Type": f.type }, f.body);
  assert.equal(res.status, 202, res.text);
  return JSON.parse(res.text);
}

async function ended(s, key, job) {
  for (const end = Date.now() + 60000 * slow; Date.now() < end; await sleep(20)) {
    const { body } = await askJson(s, "GET", `${V1}/ingest/${job.job_id}/status`, bearing(key));
    if (["done", "failed", "partial"].includes(body.status)) return body.status;
  }
  throw new Error(`job ${job.job_id} does not end\n${s.log.slice(-3000)}`);
}

const distinct = (n) => Buffer.concat([picture, Buffer.from(`after the end of the picture ${n}`)]);
let counter = 0;

// All that an owner may have, made with its own write key.
async function belongings(s, key, root, owner) {
  const n = ++counter;
  const photo = await upload(s, key, distinct(n), `${owner}-secret-${n}.jpg`, { owner });
  const dead = [];
  for (let i = 0; i < 2; i++) dead.push(await upload(s, key, Buffer.concat([broken, Buffer.from(`${n}.${i}`)]), `${owner}-secret-broken-${n}-${i}.jpg`, { owner }));
  const folders = [];
  for (const name of ["a", "b"]) folders.push((await askJson(s, "POST", `${V1}/clusters`, bearing(key), { name: `${owner}-secret-${name}-${n}`, owner })).body.cluster.id);
  const spare = await makeKey(s, root, { scope: "read", owner, name: `${owner}-secret-key-${n}` });
  assert.equal(await ended(s, key, photo), "done");
  for (const d of dead) assert.equal(await ended(s, key, d), "failed");
  return { asset: photo.system_ids[0], job: photo.job_id, dead: dead.map((d) => d.job_id), folders, key: spare.id };
}

// The request that a route's success needs.
function request(method, template, b, n) {
  const kind = template.includes("/clusters") ? b.folders[0] : template.includes("/admin/keys") ? b.key : b.asset;
  const job = template.includes("/admin/dlq") ? b.dead[method === "delete" ? 1 : 0] : b.job;
  const where = template.replace("{id}", kind).replace("{job_id}", job).replace("{name}", "put.txt").replace("{file}", "start.js");
  const bodies = {
    [`patch ${V1}/objects/{id}`]: { comments: "c" }, [`post ${V1}/search`]: { query: "bird" }, [`post ${V1}/clusters`]: { name: `made ${n}` },
    [`patch ${V1}/clusters/{id}`]: { action: "confirm", provisional: false }, [`post ${V1}/clusters/{id}/approve`]: {},
    [`post ${V1}/admin/clusters/{id}/rename`]: { name: `renamed ${n}` }, [`post ${V1}/admin/clusters/{id}/merge`]: { source_cluster_ids: [b.folders[1]] },
    [`post ${V1}/admin/clusters/{id}/threshold`]: { threshold: 0.8 }, [`post ${V1}/admin/clusters/{id}/confirm`]: {}, [`post ${V1}/admin/organise`]: { dry_run: true }, [`post ${V1}/admin/scrub`]: {},
    [`post ${V1}/admin/dlq/{job_id}/retry`]: {}, [`delete ${V1}/admin/dlq/{job_id}`]: {}, [`post ${V1}/admin/keys`]: { name: `by walk ${n}` }, [`post ${V1}/session`]: {},
  };
  const name = `${method} ${template}`;
  if (name === `post ${V1}/ingest` || name === `post ${V1}/search/image`) { const f = form({}, picture, "q.jpg"); return { where, type: f.type, body: f.body }; }
  if (name === `put ${V1}/files/{name}`) return { where, type: "text/plain", body: "text" };
  if (name.startsWith(`get ${V1}/search`)) return { where: `${where}?query=bird` };
  return bodies[name] ? { where, type: "application/json", body: JSON.stringify(bodies[name]) } : { where };
}

const ranks = { open: 0, read: 1, write: 2, admin: 3 };
const success = (op) => Object.keys(op.responses).filter((c) => c[0] === "2" && c !== "206").map(Number);

describe("keys", () => {
  let s, root, api, keys, ann;
  const routes = [];

  before(async () => {
    s = await new Server({ env: { WORKER_THREADS: "2" } }).start();
    api = (await askJson(s, "GET", "/api/openapi.json")).body;
    for (const [template, ops] of Object.entries(api.paths)) for (const [method, op] of Object.entries(ops)) routes.push({ template, method, op });
    // What ends things comes last, and what moves all entries of the queue after what needs one.
    const late = (r) => (r.template === `${V1}/session` && r.method === "delete" ? 3 : /dlq(\/retry-all)?$/.test(r.template) ? 2 : r.method === "delete" ? 1 : 0);
    routes.sort((a, b) => late(a) - late(b));
  });
  after(() => s.stop());

  test("the first key: an admin's, of no owner, made on the machine itself, by no foreign page", async () => {
    const first = (wish, headers = {}) => askJson(s, "POST", `${V1}/admin/keys`, headers, wish);
    assert.equal((await askJson(s, "GET", `${V1}/objects`)).status, 200);
    assert.equal((await first({ scope: "write" })).status, 400);
    assert.equal((await first({ scope: "admin", owner: "ann" })).status, 400);
    assert.equal((await first({ scope: "admin" }, { "X-Forwarded-For": "192.0.2.7" })).status, 403);
    assert.equal((await first({ scope: "admin" }, { Origin: "https://evil.example" })).status, 403);
    assert.equal((await first({ scope: "admin" }, { Host: "evil.example" })).status, 403);
    assert.equal((await askJson(s, "GET", `${V1}/objects`)).status, 200, "none of these made a key");
    const made = await first({ scope: "admin", name: "root" });
    assert.equal(made.status, 201);
    assert.match(made.body.note, /every request needs a key/);
    assert.equal(made.headers["cache-control"], "no-store");
    root = made.body.key;
    assert.equal((await askJson(s, "GET", `${V1}/objects`)).status, 401);
    assert.equal((await first({ scope: "admin" })).status, 401);
    assert.equal((await askJson(s, "GET", `${V1}/objects`, bearing(root))).status, 200);
    // The only way in cannot be thrown away.
    assert.equal((await askJson(s, "DELETE", `${V1}/admin/keys/${made.body.id}`, bearing(root))).status, 409);
  });

  test("keys of all sorts", async () => {
    keys = {};
    for (const owner of ["ann", "bob"]) for (const scope of ["read", "write", "admin"]) keys[`${owner} ${scope}`] = (await makeKey(s, root, { owner, scope, name: `${owner} ${scope}` })).key;
    keys["any read"] = (await makeKey(s, root, { scope: "read" })).key;
    keys["any write"] = (await makeKey(s, root, { scope: "read,write" })).key;
    keys["any admin"] = root;
    const expired = await makeKey(s, root, { scope: "admin", expires: new Date(Date.now() + 1500).toISOString() });
    assert.equal((await askJson(s, "GET", `${V1}/objects`, bearing(expired.key))).status, 200);
    const revoked = await makeKey(s, root, { scope: "admin" });
    assert.equal((await askJson(s, "GET", `${V1}/objects`, bearing(revoked.key))).status, 200);
    const session = await beginSession(s, revoked.key);
    assert.equal((await askJson(s, "GET", `${V1}/objects`, { Cookie: session.cookie })).status, 200);
    assert.equal((await askJson(s, "DELETE", `${V1}/admin/keys/${revoked.id}`, bearing(root))).status, 204);
    assert.equal((await askJson(s, "GET", `${V1}/objects`, bearing(revoked.key))).status, 401, "at once on this instance");
    assert.equal((await askJson(s, "GET", `${V1}/objects`, { Cookie: session.cookie })).status, 401, "its sessions too");
    keys.expired = expired.key;
    keys.revoked = revoked.key;
    // Right form, right prefix, wrong secret.
    keys.wrong = root.slice(0, 12) + root.slice(12).replace(/./g, (c) => (c === "0" ? "1" : "0"));
    await sleep(6600); // until it expired, and what was believed of it is forgotten
  });

  test("no key widens itself", async () => {
    const make = (by, wish) => askJson(s, "POST", `${V1}/admin/keys`, bearing(by), wish);
    assert.equal((await make(keys["ann admin"], { owner: "bob", scope: "read" })).status, 403);
    const own = await make(keys["ann admin"], { scope: "admin" });
    assert.deepEqual([own.status, own.body.owner], [201, "ann"], "left out, the owner is its own");
    assert.equal((await make(keys["ann write"], { scope: "read" })).status, 403);
    assert.equal((await make(keys["any write"], { scope: "read" })).status, 403);
    const short = await makeKey(s, root, { scope: "admin", expires: new Date(Date.now() + 3600000).toISOString() });
    assert.equal((await make(short.key, { scope: "read", expires: new Date(Date.now() + 7200000).toISOString() })).status, 403);
    assert.equal((await make(short.key, { scope: "read" })).body.expires_at, short.expires_at);
    const list = (await askJson(s, "GET", `${V1}/admin/keys?revoked=true`, bearing(keys["ann admin"]))).body.keys;
    assert.ok(list.length >= 4 && list.every((k) => k.owner === "ann"));
    assert.ok(list.every((k) => !("key" in k) && !("hash" in k)));
    for (const [field, value] of [["scope", "root"], ["scope", ""], ["expires", "soon"], ["owner", "../x"], ["name", 7], ["hash", "x"]])
      assert.equal((await make(root, { [field]: value })).status, 400, field);
  });

  test("route × key: every cell as the table declares it", async () => {
    ann = await belongings(s, keys["ann write"], root, "ann");
    const annSession = (await beginSession(s, keys["ann write"])).cookie;
    const columns = [
      { name: "none", headers: {}, rank: -1 }, { name: "wrong", headers: bearing(keys.wrong), rank: -1 },
      { name: "expired", headers: bearing(keys.expired), rank: -1 }, { name: "revoked", headers: bearing(keys.revoked), rank: -1 },
      { name: "cookie, foreign page", headers: { Cookie: annSession, Origin: "https://evil.example" }, rank: 2, foreignPage: true },
      { name: "cookie, other port", headers: { Cookie: annSession, "Sec-Fetch-Site": "same-site" }, rank: 2, foreignPage: true },
      ...["read", "write", "admin"].map((w) => ({ name: `bob ${w}`, headers: bearing(keys[`bob ${w}`]), rank: ranks[w], owner: "bob", stranger: true })),
      ...["read", "write", "admin"].map((w) => ({ name: `ann ${w}`, headers: bearing(keys[`ann ${w}`]), rank: ranks[w], owner: "ann" })),
      { name: "ann cookie", headers: { Cookie: annSession, Origin: origin(s) }, rank: 2, owner: "ann", session: true },
      ...["read", "write", "admin"].map((w) => ({ name: `any ${w}`, headers: bearing(keys[`any ${w}`]), rank: ranks[w] })),
    ];
    const state = async () => {
      const get = async (where) => (await askJson(s, "GET", where, bearing(root))).body;
      const all = await get(`${V1}/admin/keys?revoked=true`);
      return { objects: await get(`${V1}/objects?owner=ann`), trash: await get(`${V1}/trash?owner=ann`), folders: await get(`${V1}/clusters?owner=ann`),
        jobs: await get(`${V1}/jobs?owner=ann`), lineage: await get(`${V1}/objects/${ann.asset}/lineage`), dlq: (await get(`${V1}/admin/dlq`)).items.filter((i) => i.owner === "ann"),
        keys: all.keys.filter((k) => k.owner === "ann").map((k) => ({ ...k, last_used_at: null })) };
    };
    const expected = (route, c) => {
      const { template, method, op } = route, scope = op["x-scope"];
      assert.ok(scope in ranks, `${method} ${template} declares a scope`);
      if (template === `${V1}/session`) {
        if (c.foreignPage) return [403];
        if (method === "delete") return [204];
        return c.rank > 0 && !c.session ? [201] : [401];
      }
      if (scope === "open") return success(op);
      if (c.rank < 0) return [401];
      if (c.foreignPage || c.rank < ranks[scope] || (op["x-unbound"] && c.owner)) return [403];
      if (c.stranger && /\{(id|job_id)\}/.test(template)) return [404];
      return success(op);
    };
    const before = await state();
    assert.equal(before.dlq.length, 2);
    const ids = [ann.asset, ann.job, ...ann.dead, ...ann.folders, ann.key];
    const table = {}, wrong = [];
    let n = 0;
    for (const c of columns) {
      const b = c.owner === "ann" || c.name.startsWith("any") ? await belongings(s, keys["ann write"], root, "ann") : ann;
      for (const route of routes) {
        const q = request(route.method, route.template, b, `${c.name} ${n++}`);
        const res = await ask(s, route.method.toUpperCase(), q.where, { ...c.headers, ...(q.type ? { "Content-Type": q.type } : {}) }, q.body);
        const allowed = expected(route, c), name = `${route.method.toUpperCase()} ${route.template}`;
        (table[name] ??= {})[c.name] = res.status;
        if (!allowed.includes(res.status)) wrong.push(`${name} with ${c.name}: ${res.status}, not ${allowed}: ${res.text.slice(0, 200)}`);
        if (!Object.hasOwn(route.op.responses, res.status)) wrong.push(`${name} with ${c.name}: ${res.status} is not in the document`);
        if (c.stranger || c.rank < 0)
          for (const word of [...ids.filter((id) => !q.where.includes(id)), "ann-secret"]) if (res.text.includes(word)) wrong.push(`${name} with ${c.name} tells ${word}`);
      }
      if (c.stranger || c.foreignPage || c.rank < 0) assert.deepEqual(await state(), before, `${c.name} changed something of ann's`);
    }
    const names = Object.keys(table);
    const width = Math.max(...names.map((n) => n.length));
    console.log(`${"".padEnd(width)} | ${columns.map((c) => c.name).join(" | ")}`);
    for (const name of names) console.log(`${name.padEnd(width)} | ${columns.map((c) => String(table[name][c.name] ?? "-").padEnd(c.name.length)).join(" | ")}`);
    assert.deepEqual(wrong, []);
  });

  test("naming another owner is refused or finds nothing", async () => {
    const bob = bearing(keys["bob admin"]);
    for (const where of ["objects", "trash", "jobs", "clusters", "admin/clusters", "search?query=x"])
      assert.equal((await ask(s, "GET", `${V1}/${where}${where.includes("?") ? "&" : "?"}owner=ann`, bob)).status, 403, where);
    assert.equal((await askJson(s, "POST", `${V1}/search`, bob, { query: "x", filters: { owner: "ann" } })).status, 403);
    assert.equal((await askJson(s, "POST", `${V1}/clusters`, bob, { name: "x", owner: "ann" })).status, 403);
    assert.equal((await ask(s, "PUT", `${V1}/files/x.txt?owner=ann`, bob, "x")).status, 403);
    // Folder and hash filters with ann's values, and ann's folder as a target.
    const seen = (await askJson(s, "GET", `${V1}/objects/${ann.asset}`, bearing(root))).body;
    for (const filter of [`cluster_id=${ann.folders[0]}`, `sha256=${seen.sha256}`, "name=secret"])
      assert.equal((await askJson(s, "GET", `${V1}/objects?${filter}`, bob)).body.total, 0, filter);
    const own = await upload(s, keys["bob write"], Buffer.from("bob's"), "b.txt");
    assert.equal((await askJson(s, "PATCH", `${V1}/objects/${own.system_ids[0]}`, bob, { cluster_id: ann.folders[0] })).status, 404);
    const folder = (await askJson(s, "POST", `${V1}/clusters`, bob, { name: "bob's" })).body.cluster.id;
    assert.equal((await askJson(s, "PATCH", `${V1}/clusters/${folder}`, bob, { action: "merge", source_cluster_ids: [ann.folders[0]] })).status, 404);
    assert.equal((await askJson(s, "PATCH", `${V1}/clusters/${folder}`, bearing(root), { action: "merge", source_cluster_ids: [ann.folders[0]] })).status, 404, "folders never mix owners, whoever asks");
    const stats = (await askJson(s, "GET", `${V1}/admin/stats`, bob)).body;
    assert.equal("free_bytes" in stats.storage, false);
    assert.equal("free_bytes" in (await askJson(s, "GET", `${V1}/admin/stats`, bearing(root))).body.storage, true);
  });

  test("the actor of a change is the key", async () => {
    const list = (await askJson(s, "GET", `${V1}/admin/keys`, bearing(root))).body.keys;
    const writer = list.find((k) => k.name === "ann write");
    assert.ok(writer.last_used_at);
    await askJson(s, "PATCH", `${V1}/objects/${ann.asset}`, bearing(keys["ann write"]), { comments: "who" });
    const { lineage } = (await askJson(s, "GET", `${V1}/objects/${ann.asset}/lineage`, bearing(keys["ann read"]))).body;
    assert.equal(lineage.find((e) => e.action === "accepted").actor, writer.id);
    assert.equal(lineage.at(-1).actor, writer.id);
    const failed = await upload(s, keys["ann write"], broken, "broken again.jpg");
    assert.equal(await ended(s, keys["ann read"], failed), "failed");
    assert.equal((await askJson(s, "POST", `${V1}/admin/dlq/${failed.job_id}/retry`, bearing(keys["ann admin"]), {})).status, 200);
    const admin = list.find((k) => k.name === "ann admin");
    assert.equal((await askJson(s, "GET", `${V1}/objects/${failed.system_ids[0]}/lineage`, bearing(root))).body.lineage.find((e) => e.action === "retried").actor, admin.id);
  });

  test("a session: cookie flags, the same-origin rule, its end", async () => {
    const { cookie, flags, body } = await beginSession(s, keys["ann read"]);
    assert.deepEqual([...flags].sort(), ["HttpOnly", "Max-Age=43200", "Path=/", "SameSite=Strict"]);
    assert.deepEqual([body.scope, body.owner], ["read", "ann"]);
    assert.ok(Math.abs(new Date(body.expires_at) - Date.now() - 12 * 3600e3) < 60e3 * slow);
    assert.ok((await beginSession(s, keys["ann read"], { "X-Forwarded-Proto": "https" })).flags.includes("Secure"));
    const get = (headers) => ask(s, "GET", `${V1}/objects`, { Cookie: cookie, ...headers });
    assert.equal((await get({})).status, 200);
    assert.equal((await get({ "Sec-Fetch-Site": "same-origin" })).status, 200);
    for (const headers of [{ Origin: "https://evil.example" }, { Origin: "null" }, { "Sec-Fetch-Site": "cross-site" }, { "Sec-Fetch-Site": "same-site" }])
      assert.equal((await get(headers)).status, 403, JSON.stringify(headers));
    // Neither a foreign page nor a session can begin one; a cookie is no key for it.
    assert.equal((await askJson(s, "POST", `${V1}/session`, { Origin: "https://evil.example" }, { key: root })).status, 403);
    assert.equal((await askJson(s, "POST", `${V1}/session`, { Origin: origin(s) }, { key: cookie.split("=")[1] })).status, 401);
    const end = await ask(s, "DELETE", `${V1}/session`, { Cookie: cookie, Origin: origin(s) });
    assert.equal(end.status, 204);
    assert.match(end.headers["set-cookie"][0], /^fa_session=; Path=\/; Max-Age=0/);
    assert.equal((await get({})).status, 401);
  });

  test("failed tries are logged with address and prefix, and counted; no key is ever logged", async () => {
    const count = async () => Number(/http_requests_total\{method="GET",route="\/api\/v1\/objects",status="401"\} (\d+)/.exec((await ask(s, "GET", "/metrics")).text)[1]);
    const before = await count();
    await ask(s, "GET", `${V1}/objects`, bearing(keys.wrong));
    assert.equal(await count(), before + 1);
    // By reason, each from 0 on: no key, an unknown one, one that may not, a foreign page.
    const failures = async () => Object.fromEntries([...(await ask(s, "GET", "/metrics")).text.matchAll(/http_auth_failures_total\{reason="(\w+)"\} (\d+)/g)].map((m) => [m[1], Number(m[2])]));
    const was = await failures();
    await ask(s, "GET", `${V1}/objects`);
    await ask(s, "GET", `${V1}/objects`, bearing(keys.wrong));
    await askJson(s, "POST", `${V1}/session`, { Origin: origin(s) }, { key: keys.wrong });
    await ask(s, "GET", `${V1}/admin/keys`, bearing(keys["ann read"]));
    await ask(s, "GET", `${V1}/admin/config`, bearing(keys["ann admin"]));
    await ask(s, "DELETE", `${V1}/session`, { Origin: "https://evil.example" });
    const now = await failures();
    assert.deepEqual(Object.keys(now).sort(), ["host_not_allowed", "no_key", "origin_not_allowed", "owner", "scope", "unknown_key"]);
    const grew = (reason) => now[reason] - was[reason];
    assert.deepEqual(["no_key", "unknown_key", "scope", "owner", "origin_not_allowed", "host_not_allowed"].map(grew), [1, 2, 1, 1, 1, 0]);
    await sleep(50);
    const line = s.log.split("\n").filter((l) => l.includes("was refused")).at(-1);
    assert.match(line, /"client":"127\.0\.0\.1"/);
    assert.ok(line.includes(`"key":"${keys.wrong.slice(0, 11)}"`), line);
    assert.match(s.log, /key [0-9a-f-]{36} was revoked by [0-9a-f-]{36}/);
    assert.match(s.log, /was made by [0-9a-f-]{36}: scope write, owner ann/);
    for (const key of Object.values(keys)) assert.equal(s.log.includes(key.slice(12)), false);
  });

  test("keys and sessions survive a restart, and still close the API; another owner's copy shows nowhere", async () => {
    const cookie = (await beginSession(s, keys["ann write"])).cookie;
    s.child.kill("SIGTERM");
    await s.ended();
    s = await new Server({ dir: s.dir, env: { WORKER_THREADS: "0" } }).start();
    assert.equal((await ask(s, "GET", `${V1}/objects`)).status, 401);
    assert.equal((await ask(s, "GET", `${V1}/objects`, { Cookie: cookie })).status, 200);
    // ann holds this picture, decoded, with thumbnails; nobody holds the other one. No worker runs: bob sees them as they arrive.
    const held = (await askJson(s, "GET", `${V1}/objects/${ann.asset}`, bearing(root))).body;
    const bytes = distinct(Number(/secret-(\d+)/.exec(held.filename)[1]));
    const plain = (o) => JSON.stringify(o, (k, v) => (/^(id|job_id|system_ids?|sha256|uri|request_id|created_at|updated_at|at|size_bytes)$/.test(k) ? undefined : v));
    const looks = async (data) => {
      const receipt = await upload(s, keys["bob write"], data, "same-name.jpg");
      const id = receipt.system_ids[0], out = [plain(receipt)];
      for (const tail of ["", "/lineage", "/similar", "/thumbnail", "/thumbnail?size=preview"]) {
        const res = await ask(s, "GET", `${V1}/objects/${id}${tail}`, bearing(keys["bob read"]));
        out.push(`${tail} ${res.status} ${plain(JSON.parse(res.text))}`.replace(/"query_time_ms":[\d.]+/, ""));
      }
      out.push(plain((await askJson(s, "GET", `${V1}/ingest/${receipt.job_id}/status`, bearing(keys["bob read"]))).body));
      const stats = (await askJson(s, "GET", `${V1}/admin/stats`, bearing(keys["bob admin"]))).body;
      return { out, objects: stats.storage.objects };
    };
    const start = (await askJson(s, "GET", `${V1}/admin/stats`, bearing(keys["bob admin"]))).body.storage.objects;
    const fresh = await looks(distinct("nobody's")), same = await looks(bytes);
    assert.deepEqual(same.out, fresh.out);
    assert.deepEqual([fresh.objects, same.objects], [start + 1, start + 2], "counts are of what bob himself holds");
  });
});

describe("two instances on one PostgreSQL", () => {
  test("a key, a session and their end hold on both within seconds", async () => {
    const shared = await productionEnv(tempDir(), ["postgres"]);
    const [a, b] = await Promise.all([0, 1].map(() => new Server({ dir: tempDir(), env: shared }).start()));
    const get = async (s, headers) => (await ask(s, "GET", `${V1}/objects`, headers)).status;
    const becomes = async (want, headers) => { for (let i = 0; i < 30 && (await get(b, headers)) !== want; i++) await sleep(500); return get(b, headers); };
    assert.equal(await get(b, {}), 200);
    const root = await askJson(a, "POST", `${V1}/admin/keys`, {}, { scope: "admin" });
    assert.equal(root.status, 201, root.text);
    assert.equal(await becomes(401, {}), 401, "the open one closes");
    const key = await makeKey(a, root.body.key, { scope: "read", owner: "ann" });
    const { cookie } = await beginSession(a, key.key);
    assert.deepEqual([await get(b, bearing(key.key)), await get(b, { Cookie: cookie })], [200, 200]);
    assert.equal((await askJson(a, "DELETE", `${V1}/admin/keys/${key.id}`, bearing(root.body.key))).status, 204);
    assert.deepEqual([await get(a, bearing(key.key)), await get(a, { Cookie: cookie })], [401, 401], "at once where it was asked");
    assert.deepEqual([await becomes(401, bearing(key.key)), await becomes(401, { Cookie: cookie })], [401, 401]);
    await Promise.all([a.stop(), b.stop()]);
  });
});

describe("the command line", () => {
  test("first key without a server, then list, create and revoke with one", async () => {
    const dir = tempDir(), shared = await stackEnv(dir), env = { DATA_PATH: path.join(dir, "data"), ...shared };
    const refused = await run(["apikey", "create", "--direct", "--scope", "read"], { cwd: dir, env });
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /first key must be an admin/);
    const first = await run(["apikey", "create", "--direct", "--scope", "admin", "--name", "root"], { cwd: dir, env });
    assert.equal(first.code, 0, first.stderr);
    const key = first.stdout.trim();
    assert.match(key, /^fa_[0-9a-f]{8}_[0-9a-f]{64}$/);
    const s = await new Server({ dir, env }).start();
    assert.equal((await ask(s, "GET", `${V1}/objects`)).status, 401);
    const cli = (...words) => run(["--url", s.url, ...words], { cwd: dir, env: { ...env, FILE_ALLOCATOR_KEY: key } });
    const made = await cli("apikey", "create", "--scope", "read,write", "--owner", "ann", "--expires", "90d", "--json");
    assert.equal(made.code, 0, made.stderr);
    const child = JSON.parse(made.stdout);
    assert.deepEqual([child.scope, child.owner], ["write", "ann"]);
    assert.ok(Math.abs(new Date(child.expires_at) - Date.now() - 90 * 86400e3) < 60e3 * slow);
    const list = await cli("apikey", "list");
    assert.match(list.stdout, /root[^\n]*admin[^\n]*any[^\n]*never/);
    assert.match(list.stdout, new RegExp(`${child.id}[^\\n]*write[^\\n]*ann`));
    assert.equal((await cli("apikey", "revoke", child.id)).code, 0);
    assert.equal((await cli("apikey", "list")).stdout.includes(child.id), false);
    assert.match((await cli("apikey", "list", "--all")).stdout, /revoked/);
    assert.equal((await run(["--url", s.url, "apikey", "list"], { cwd: dir, env })).code, 1);
    const beside = await run(["apikey", "create", "--direct", "--scope", "admin"], { cwd: dir, env });
    if (shared.DATABASE_URL) assert.equal(beside.code, 0, beside.stderr);
    else assert.match(beside.stderr, /in use by process \d+; leave --direct out/);
    assert.equal((await cli("apikey", "crate")).code, 2);
    await s.stop();
  });

  test("a session of API_KEY ends when API_KEY changes", async () => {
    let s = await new Server({ env: { API_KEY: "first secret" } }).start();
    const { cookie, body } = await beginSession(s, "first secret");
    assert.deepEqual([body.key_id, body.scope, body.owner], ["env", "admin", null]);
    const status = async () => (await ask(s, "GET", `${V1}/objects`, { Cookie: cookie })).status;
    assert.equal(await status(), 200);
    for (const [secret, want] of [["first secret", 200], ["second secret", 401]]) {
      s.child.kill("SIGTERM");
      await s.ended();
      s = await new Server({ dir: s.dir, env: { API_KEY: secret } }).start();
      assert.equal(await status(), want);
    }
    await s.stop();
  });
});
