// Every answer has the shape the OpenAPI document promises, and the document names every route.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { Server, labelled, photos, root } from "./harness.mjs";

let s, api, ajv;
const covered = new Set();

before(async () => {
  s = await new Server().start();
  api = (await s.json("/api/openapi.json")).body;
  ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats(ajv);
  ajv.addSchema({ $id: "api", components: api.components });
});
after(() => s.stop());

const fill = (template, values) => template.replace(/\{(\w+)\}/g, (_, k) => encodeURIComponent(values[k] ?? "x"));

// Calls a route by its template and holds the answer to the document.
async function call(method, template, { values = {}, query = "", body, form, raw, headers } = {}) {
  const op = api.paths[template]?.[method];
  assert.ok(op, `${method} ${template} is in the document`);
  const res = await s.fetch(fill(template, values) + query, { method: method.toUpperCase(), redirect: "manual",
    headers: { ...(body ? { "Content-Type": "application/json" } : {}), ...headers }, body: body ? JSON.stringify(body) : form ?? raw });
  const promised = op.responses[res.status];
  assert.ok(promised, `${method} ${template} answered ${res.status}, which the document does not promise`);
  const text = Buffer.from(await res.arrayBuffer());
  const ref = promised.content?.["application/json"]?.schema?.$ref;
  if (ref) {
    const data = JSON.parse(text);
    const ok = ajv.validate({ $ref: `api${ref}` }, data);
    assert.ok(ok, `${method} ${template} ${res.status}: ${ajv.errorsText()} in ${JSON.stringify(data).slice(0, 600)}`);
    covered.add(`${method} ${template}`);
    return { status: res.status, body: data, headers: res.headers };
  }
  covered.add(`${method} ${template}`);
  return { status: res.status, body: text, headers: res.headers };
}
const v1 = "/api/v1";

test("the main routes answer as promised", async () => {
  for (const p of ["/", "/live", "/ready", "/health", "/metrics", "/api/openapi.json", "/api/docs"]) await call("get", p);
  await call("get", "/api/docs/{file}", { values: { file: "start.js" } });
  const form = new FormData();
  for (const p of labelled(["animals/birds"], 8)) form.append("files", new Blob([fs.readFileSync(p.path)]), path.basename(p.path));
  form.append("owner", "ann");
  const job = (await call("post", `${v1}/ingest`, { form })).body;
  await s.job(job.job_id);
  await call("put", `${v1}/files/{name}`, { values: { name: "a.txt" }, raw: "text" });
  await call("get", `${v1}/ingest/{job_id}/status`, { values: job });
  await call("get", `${v1}/jobs`); await call("get", `${v1}/ingest`, { query: "?status=done&limit=1" });
  const id = job.system_ids[0];
  await call("get", `${v1}/objects`, { query: "?limit=2" });
  for (const tail of ["", "/content", "/thumbnail", "/similar", "/lineage"]) assert.equal((await call("get", `${v1}/objects/{id}${tail}`, { values: { id } })).status, 200, tail);
  assert.equal((await call("patch", `${v1}/objects/{id}`, { values: { id }, body: { comments: "c", tags: ["x"], filename: "n.png" } })).status, 200);
  await call("post", `${v1}/objects/{id}/reprocess`, { values: { id } });
  await s.quiet();
  await call("delete", `${v1}/objects/{id}`, { values: { id } });
  await call("get", `${v1}/trash`);
  await call("post", `${v1}/objects/{id}/restore`, { values: { id } });
  const hits = (await call("get", `${v1}/search`, { query: "?query=bird" })).body.results;
  assert.ok(hits.length > 0);
  for (const { part, snippet } of hits) assert.deepEqual({ part, snippet }, { part: { kind: "whole", time: null, page: null }, snippet: null });
  assert.equal((await call("post", `${v1}/search`, { body: { query: "bird", limit: 3, filters: { owner: "ann", type: "media" } } })).status, 200);
  const probe = new FormData();
  probe.append("file", new Blob([fs.readFileSync(path.join(photos, fs.readdirSync(photos).find((f) => /coffee/.test(f))))]), "q.jpg");
  assert.equal((await call("post", `${v1}/search/image`, { form: probe })).status, 200);
});

test("folders and their admin twins answer as promised", async () => {
  const a = (await call("post", `${v1}/clusters`, { body: { name: "One" } })).body.cluster;
  const b = (await call("post", `${v1}/clusters`, { body: { name: "Two" } })).body.cluster;
  await call("get", `${v1}/clusters`); await call("get", `${v1}/admin/clusters`); await call("get", `${v1}/admin/clusters/statistics`);
  await call("get", `${v1}/admin/clusters/merge-candidates`);
  await call("get", `${v1}/clusters/{id}`, { values: a }); await call("get", `${v1}/admin/clusters/{id}`, { values: a });
  for (const body of [{ action: "rename", name: "Uno" }, { action: "update_threshold", threshold: 0.8 }, { action: "confirm", provisional: false }, { action: "lock", locked: true }, { action: "lock", locked: false }])
    assert.equal((await call("patch", `${v1}/clusters/{id}`, { values: a, body })).status, 200, JSON.stringify(body));
  assert.equal((await call("post", `${v1}/clusters/{id}/approve`, { values: a, body: { name: "Eins" } })).status, 200);
  assert.equal((await call("post", `${v1}/admin/clusters/{id}/rename`, { values: a, body: { name: "Ein" } })).status, 200);
  assert.equal((await call("post", `${v1}/admin/clusters/{id}/threshold`, { values: a, body: { threshold: 0.7 } })).status, 200);
  assert.equal((await call("post", `${v1}/admin/clusters/{id}/confirm`, { values: a, body: {} })).status, 200);
  assert.equal((await call("post", `${v1}/admin/clusters/{id}/merge`, { values: a, body: { source_cluster_ids: [b.id] } })).status, 200);
  assert.equal((await call("get", `${v1}/clusters/{id}`, { values: b })).status, 308);
  await call("delete", `${v1}/clusters/{id}`, { values: a });
  await call("post", `${v1}/admin/organise`, { body: { dry_run: true } });
});

test("the dead-letter queue and the rest of admin answer as promised", async () => {
  const whole = fs.readFileSync(path.join(photos, fs.readdirSync(photos).find((f) => /coffee/.test(f))));
  const form = new FormData();
  form.append("files", new Blob([whole.subarray(0, 20000)]), "cut.jpg");
  const job = (await call("post", `${v1}/ingest`, { form })).body;
  await s.job(job.job_id);
  assert.equal((await call("get", `${v1}/admin/dlq`)).body.total, 1);
  assert.equal((await call("get", `${v1}/admin/dlq/{job_id}`, { values: job })).body.items.length, 1);
  assert.equal((await call("post", `${v1}/admin/dlq/{job_id}/retry`, { values: job, body: { fallback: true } })).status, 400, "there is no fallback yet");
  assert.equal((await call("post", `${v1}/admin/dlq/{job_id}/retry`, { values: job })).body.count, 1);
  await s.quiet();
  assert.equal((await call("post", `${v1}/admin/dlq/retry-all`)).body.count, 1);
  await s.quiet();
  assert.equal((await call("delete", `${v1}/admin/dlq/{job_id}`, { values: job })).body.count, 1);
  await call("delete", `${v1}/admin/dlq`);
  assert.equal((await s.json(`${v1}/objects/${job.system_ids[0]}`)).status, 200, "discarding never deletes the file");
  await call("get", `${v1}/admin/stats`);
  await call("get", `${v1}/admin/config`);
  assert.equal((await call("post", `${v1}/admin/scrub`, { body: { objects: [job.system_ids[0]] } })).status, 202);
  await call("post", `${v1}/admin/scrub`, { body: {} });
  await call("get", `${v1}/admin/scrub`);
});

test("unknown ids are 404 in the promised shape on every route that takes one", async () => {
  const unknown = "01890000-0000-7000-8000-000000000000";
  for (const [template, ops] of Object.entries(api.paths))
    for (const method of Object.keys(ops)) {
      if (!/\{(id|job_id)\}/.test(template)) continue;
      const body = method === "patch" ? (template.includes("clusters") ? { action: "rename", name: "x" } : { comments: "x" }) : /merge$/.test(template) ? { source_cluster_ids: [unknown] } : /threshold$/.test(template) ? { threshold: 0.5 } : /rename$/.test(template) ? { name: "x" } : undefined;
      const res = await call(method, template, { values: { id: unknown, job_id: unknown }, body });
      assert.equal(res.status, 404, `${method} ${template}`);
    }
});

test("keys and sessions answer as promised", async () => {
  const made = (await call("post", `${v1}/admin/keys`, { body: { scope: "admin", name: "k" } })).body;
  s.key = made.key;
  const other = (await call("post", `${v1}/admin/keys`, { body: { scope: "read", owner: "ann", expires: "2100-01-01T00:00:00Z" } })).body;
  assert.equal((await call("get", `${v1}/admin/keys`)).body.total, 2);
  assert.equal((await call("delete", `${v1}/admin/keys/{id}`, { values: other })).status, 204);
  assert.equal((await call("get", `${v1}/admin/keys`, { query: "?revoked=true" })).body.total, 2);
  assert.equal((await call("post", `${v1}/session`, { body: { key: made.key } })).status, 201);
  assert.equal((await call("post", `${v1}/session`, { body: { key: "wrong" } })).status, 401);
  assert.equal((await call("delete", `${v1}/session`)).status, 204);
});

test("every route of the document was called, and the document says the scope of each", () => {
  const missing = [];
  for (const [template, ops] of Object.entries(api.paths))
    for (const [method, op] of Object.entries(ops)) {
      if (!covered.has(`${method} ${template}`)) missing.push(`${method} ${template}`);
      assert.ok(["open", "read", "write", "admin"].includes(op["x-scope"]));
    }
  assert.deepEqual(missing, []);
});

test("the configuration page of the docs is what the program prints", async () => {
  const { run } = await import("./harness.mjs");
  const doc = fs.readFileSync(path.join(root, "docs/configuration.md"), "utf8");
  const printed = (await run(["config", "docs"])).stdout.trim();
  assert.ok(doc.includes(printed), "docs/configuration.md holds the output of: file-allocator config docs");
});

test("pages list no item twice and miss none while others are added", async () => {
  const put = (n) => s.fetch(`${v1}/files/p${n}.txt`, { method: "PUT", body: `page ${n}` });
  for (let n = 0; n < 40; n++) await put(n);
  const before = new Set((await s.every(`${v1}/objects?name=p`, "objects")).map((o) => o.id));
  const seen = [];
  let cursor = null, n = 40;
  do {
    const { body } = await s.json(`${v1}/objects?name=p&limit=7${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
    seen.push(...body.objects.map((o) => o.id));
    cursor = body.next_cursor;
    await put(n++);
  } while (cursor);
  assert.equal(new Set(seen).size, seen.length, "none twice");
  for (const id of before) assert.ok(seen.includes(id), "none missed");
  const first = (await s.json(`${v1}/objects?limit=1`)).body.next_cursor;
  const forged = (first[0] === "A" ? "B" : "A") + first.slice(1);
  assert.equal((await s.json(`${v1}/objects?cursor=${encodeURIComponent(forged)}`)).status, 400);
});
