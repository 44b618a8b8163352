// The main job: keep a photograph, place it, find it, get it back.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { Server, photos } from "./harness.mjs";

let s;
before(async () => { s = await new Server().start(); });
after(() => s.stop());
const file = path.join(photos, fs.readdirSync(photos).find((f) => f.startsWith("cat")));
const bytes = fs.readFileSync(file);
let asset;

test("an upload is acknowledged with ids and becomes done", async () => {
  const { status, body, headers } = await s.upload([{ path: file }], { owner: "ann", tags: "pets, Chelsea", comments: "on the sofa" });
  assert.equal(status, 202);
  assert.equal(body.status, "accepted");
  assert.equal(body.system_ids.length, 1);
  assert.equal(headers.get("x-request-id"), body.request_id);
  const job = await s.job(body.job_id);
  assert.equal(job.status, "done");
  assert.deepEqual(job.progress, { queued: 0, processing: 0, done: 1, failed: 0, total: 1 });
  asset = (await s.json(`/api/v1/objects/${body.system_ids[0]}`)).body;
});

test("the asset says what it is, upright and with its camera", () => {
  assert.equal(asset.kind, "media");
  assert.equal(asset.content_type, "image/jpeg");
  assert.equal(asset.size_bytes, bytes.length);
  assert.equal(asset.sha256, crypto.createHash("sha256").update(bytes).digest("hex"));
  assert.equal(asset.owner, "ann");
  assert.equal(asset.comments, "on the sofa");
  assert.equal(asset.embedding.dimension, 512);
  assert.equal(asset.metadata.primary_category, "cats");
  assert.ok(asset.metadata.exif.Make, "EXIF is read");
  const { description, detected_objects, scene_type, vlm_model } = asset.metadata;
  assert.deepEqual({ description, detected_objects, scene_type, vlm_model }, { description: "", detected_objects: [], scene_type: "", vlm_model: null });
  const tags = Object.fromEntries(asset.tags.map((t) => [t.name, t.source]));
  assert.equal(tags.pets, "human");
  assert.equal(tags.Chelsea, "human");
  assert.equal(tags.cats, "zero-shot");
});

test("a word that fits finds it, with similarity and reason", async () => {
  const { status, body } = await s.json("/api/v1/search?query=kitten");
  assert.equal(status, 200);
  assert.equal(body.results[0]?.id, asset.id);
  assert.ok(body.results[0].similarity >= 0.5 && body.results[0].similarity <= 1);
  assert.ok(body.results[0].matched.vector >= 0.5);
  assert.equal(body.results[0].matched.filename, false);
});

test("a word that does not fit finds nothing", async () => {
  const { body } = await s.json("/api/v1/search?query=submarine");
  assert.deepEqual(body.results, []);
  assert.equal(body.total, 0);
});

test("its name and tags find it too, and say so", async () => {
  const byName = (await s.json(`/api/v1/search?query=${path.basename(file, path.extname(file))}&mode=text`)).body;
  assert.equal(byName.results[0].id, asset.id);
  assert.equal(byName.results[0].matched.filename, true);
  const byTag = (await s.json("/api/v1/search?query=chelsea&mode=text")).body;
  assert.equal(byTag.results[0].matched.tags, true);
});

test("download gives the same bytes, whole and in part", async () => {
  const whole = await s.fetch(`/api/v1/objects/${asset.id}/content`);
  assert.equal(whole.status, 200);
  assert.equal(whole.headers.get("content-type"), "image/jpeg");
  assert.deepEqual(Buffer.from(await whole.arrayBuffer()), bytes);
  const part = await s.fetch(`/api/v1/objects/${asset.id}/content`, { headers: { Range: "bytes=100-199" } });
  assert.equal(part.status, 206);
  assert.equal(part.headers.get("content-range"), `bytes 100-199/${bytes.length}`);
  assert.deepEqual(Buffer.from(await part.arrayBuffer()), bytes.subarray(100, 200));
  const same = await s.fetch(`/api/v1/objects/${asset.id}/content`, { headers: { "If-None-Match": whole.headers.get("etag") } });
  assert.equal(same.status, 304);
});

test("thumbnail and preview are small upright pictures", async () => {
  const thumb = await s.fetch(`/api/v1/objects/${asset.id}/thumbnail`);
  assert.equal(thumb.headers.get("content-type"), "image/webp");
  const data = Buffer.from(await thumb.arrayBuffer());
  assert.equal(data.subarray(0, 4).toString(), "RIFF");
  assert.ok(data.length < 40000);
  const preview = await s.fetch(`/api/v1/objects/${asset.id}/thumbnail?size=preview`);
  assert.equal(preview.headers.get("content-type"), "image/jpeg");
  assert.equal(Buffer.from(await preview.arrayBuffer()).readUInt16BE(0), 0xffd8);
});

test("the same bytes again share the object, are named a duplicate, and learn nothing new", async () => {
  const { body } = await s.upload([{ name: "copy.jpg", data: bytes }], { owner: "ann" });
  assert.deepEqual(body.duplicates, [{ system_id: body.system_ids[0], of: asset.id }]);
  await s.job(body.job_id);
  const copy = (await s.json(`/api/v1/objects/${body.system_ids[0]}`)).body;
  assert.equal(copy.duplicate_of, asset.id);
  assert.equal(copy.uri, asset.uri);
  assert.equal(copy.metadata.phash, asset.metadata.phash);
  const stranger = (await s.upload([{ name: "mine.jpg", data: bytes }], { owner: "bob" })).body;
  assert.deepEqual(stranger.duplicates, [], "another owner's copy is no news to bob");
});

test("similar and search by image find it by example", async () => {
  const other = (await s.json("/api/v1/objects?owner=bob")).body.objects[0];
  await s.job(other.job_id);
  const near = (await s.json(`/api/v1/objects/${other.id}/similar`)).body;
  assert.ok(near.results.every((r) => r.owner === "bob"), "neighbours stay with their owner");
  const form = new FormData();
  form.append("file", new Blob([bytes]), "query.jpg");
  const { status, body } = await s.json("/api/v1/search/image?owner=ann", { method: "POST", body: form });
  assert.equal(status, 200);
  assert.ok(body.results[0].similarity > 0.95);
});

test("PUT keeps a raw body under its name", async () => {
  const res = await s.json("/api/v1/files/notes%20%C3%BC.txt?owner=ann", { method: "PUT", body: "hello\n" });
  assert.equal(res.status, 202);
  const a = (await s.json(`/api/v1/objects/${res.body.system_ids[0]}`)).body;
  assert.equal(a.filename, "notes ü.txt");
  assert.equal(a.kind, "document");
  assert.equal(a.status, "done");
  const content = await s.fetch(`/api/v1/objects/${a.id}/content`);
  assert.match(content.headers.get("content-disposition"), /^attachment; filename="notes [^"]*"; filename\*=UTF-8''notes%20%C3%BC\.txt$/);
  assert.equal(content.headers.get("x-content-type-options"), "nosniff");
});

test("an idempotency key gives the first answer again, and refuses other content", async () => {
  const a = await s.upload([{ name: "i.txt", data: Buffer.from("one") }], { idempotency_key: "k1" });
  const b = await s.upload([{ name: "i.txt", data: Buffer.from("one") }], { idempotency_key: "k1" });
  assert.equal(b.status, 202);
  assert.equal(b.headers.get("idempotency-replayed"), "true");
  assert.deepEqual(b.body.system_ids, a.body.system_ids);
  const c = await s.upload([{ name: "i.txt", data: Buffer.from("two") }], { idempotency_key: "k1" });
  const used = (res, job) => {
    assert.equal(res.status, 409);
    assert.equal(res.body.code, "conflict");
    assert.match(res.body.error, /^idempotency_key: was used with other content by job /);
    assert.deepEqual(res.body.details, { existing_job_id: job });
  };
  used(c, a.body.job_id);
  used(await s.upload([{ name: "i.txt", data: Buffer.from("two") }], {}, { "Idempotency-Key": "k1" }), a.body.job_id);
  used(await s.json("/api/v1/files/i.txt", { method: "PUT", body: "two", headers: { "Idempotency-Key": "k1" } }), a.body.job_id);
});

test("of requests in flight with one idempotency key and different content one wins, the others learn its job", async () => {
  const all = await Promise.all([1, 2, 3, 4, 5, 6].map((i) => s.upload([{ name: "r.txt", data: Buffer.from(`race ${i}`) }], { idempotency_key: "race" })));
  const won = all.filter((r) => r.status === 202), lost = all.filter((r) => r.status === 409);
  assert.deepEqual([won.length, lost.length], [1, 5]);
  for (const r of lost) assert.deepEqual(r.body.details, { existing_job_id: won[0].body.job_id });
});

test("trash, restore and permanent removal", async () => {
  const { body } = await s.upload([{ name: "old.bin", data: Buffer.from([1, 2, 3]) }]);
  const id = body.system_ids[0];
  assert.equal((await s.fetch(`/api/v1/objects/${id}`, { method: "DELETE" })).status, 204);
  assert.equal((await s.json(`/api/v1/objects?name=old.bin`)).body.total, 0);
  assert.equal((await s.json(`/api/v1/trash`)).body.objects[0].id, id);
  assert.equal((await s.json(`/api/v1/objects/${id}/restore`, { method: "POST" })).status, 200);
  assert.equal((await s.json(`/api/v1/objects?name=old.bin`)).body.total, 1);
  assert.equal((await s.fetch(`/api/v1/objects/${id}?permanent=true`, { method: "DELETE" })).status, 204);
  assert.equal((await s.json(`/api/v1/objects/${id}`)).status, 404);
});

test("lineage tells every step", async () => {
  const { body } = await s.json(`/api/v1/objects/${asset.id}/lineage`);
  const actions = body.lineage.map((l) => l.action);
  assert.equal(actions[0], "accepted");
  assert.ok(actions.length >= 2);
});

test("what is not understood cannot be analysed again, and nothing about it changes", async () => {
  const bmp = Buffer.concat([Buffer.from("BM"), Buffer.from([70, 0, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0]), Buffer.alloc(52)]);
  const mp4 = Buffer.concat([Buffer.from([0, 0, 0, 24]), Buffer.from("ftypisom\x00\x00\x02\x00isomiso2"), Buffer.alloc(100)]);
  const { body } = await s.upload([{ name: "x.bmp", data: bmp }, { name: "x.mp4", data: mp4 }, { name: "x.bin", data: Buffer.from([0, 1, 2, 3]) }]);
  const types = [];
  for (const id of body.system_ids) {
    const before = (await s.json(`/api/v1/objects/${id}`)).body;
    types.push(before.content_type);
    const r = await s.send(`/api/v1/objects/${id}/reprocess`, "POST");
    assert.deepEqual([r.status, r.body.code], [422, "not_analysable"]);
    assert.match(r.body.error, new RegExp(before.content_type));
    assert.deepEqual((await s.json(`/api/v1/objects/${id}`)).body, before);
    assert.equal(before.status, "done");
    assert.deepEqual(before.products, []);
    assert.equal((await s.json(`/api/v1/objects/${id}/thumbnail`)).status, 404);
  }
  assert.deepEqual(types, ["image/bmp", "video/mp4", "application/octet-stream"]);
  const dlq = (await s.json("/api/v1/admin/dlq")).body;
  assert.equal(dlq.total, 0);
});

test("a picture lists its products, and is analysed again at once", async () => {
  assert.deepEqual((await s.json(`/api/v1/objects/${asset.id}`)).body.products, ["preview", "thumb"]);
  const r = await s.send(`/api/v1/objects/${asset.id}/reprocess`, "POST");
  assert.equal(r.status, 202);
  assert.equal((await s.job(asset.job_id)).status, "done");
  assert.deepEqual((await s.json(`/api/v1/objects/${asset.id}`)).body.products, ["preview", "thumb"]);
  // Without a wake-up each of them would wait for the workers to look by themselves, which they do every five seconds.
  const began = Date.now();
  for (let i = 0; i < 3; i++) {
    assert.equal((await s.send(`/api/v1/objects/${asset.id}/reprocess`, "POST")).status, 202);
    assert.equal((await s.job(asset.job_id)).status, "done");
  }
  assert.ok(Date.now() - began < 8000, `${Date.now() - began} ms`);
});

test("JPEG XL is a picture like the others", async () => {
  const { body } = await s.upload([{ path: path.join(photos, "../images/exif.jxl") }]);
  assert.equal((await s.job(body.job_id)).status, "done");
  const view = (await s.json(`/api/v1/objects/${body.system_ids[0]}`)).body;
  assert.deepEqual([view.content_type, view.kind, view.metadata.format, view.metadata.width], ["image/jxl", "media", "jxl", 64]);
  assert.deepEqual(view.products, ["preview", "thumb"]);
  assert.equal((await s.fetch(`/api/v1/objects/${view.id}/thumbnail`)).headers.get("content-type"), "image/webp");
});
