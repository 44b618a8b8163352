// A hundred mixed photographs by the CLI: folders with sensible names, similar ones together.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { Server, labelled, run, slow, tempDir } from "./harness.mjs";

const labels = ["animals/birds", "animals/mammals", "plants/flowers", "food/fruit", "vehicles", "hobbies/music"].filter((l) => fs.existsSync(path.join("/usr/share/tuxpaint/stamps", l)));
let s, dir, given;
before(async () => {
  s = await new Server().start();
  dir = tempDir();
  given = labelled(labels, 20);
  for (const [i, p] of given.entries()) {
    const to = path.join(dir, p.label.replaceAll("/", "_"));
    fs.mkdirSync(to, { recursive: true });
    // The folder's name must not help: only the picture and a neutral file name are given.
    fs.copyFileSync(p.path, path.join(to, `IMG_${String(i).padStart(4, "0")}${path.extname(p.path)}`));
  }
});
after(async () => { await s.stop(); fs.rmSync(dir, { recursive: true, force: true }); });

test("ingest of a folder uploads every picture", { timeout: 120000 * slow }, async () => {
  assert.ok(given.length >= 90, `${given.length} pictures`);
  const r = await run(["--url", s.url, "ingest", "--wait", dir]);
  assert.equal(r.code, 0, r.stderr);
  await s.quiet();
  assert.equal((await s.json("/api/v1/objects")).body.total, given.length);
});

test("again, everything is skipped because the server has it", async () => {
  const r = await run(["--url", s.url, "--json", "ingest", dir]);
  assert.equal(r.code, 0, r.stderr);
  const lines = r.stdout.trim().split("\n").map((l) => JSON.parse(l)).filter((l) => l.path);
  assert.equal(lines.length, given.length);
  assert.ok(lines.every((l) => l.status === "skipped"), r.stdout.slice(0, 500));
});

test("after a pass there are folders, named after what is in them, and pure", async () => {
  assert.equal((await s.send("/api/v1/admin/organise", "POST", {})).status, 200);
  const truth = new Map(given.map((p, i) => [`IMG_${String(i).padStart(4, "0")}`, p.label]));
  const folders = await s.every("/api/v1/clusters", "clusters");
  assert.ok(folders.length >= 4, `${folders.length} folders`);
  let right = 0, placed = 0;
  for (const f of folders) {
    const files = await s.every(`/api/v1/objects?cluster_id=${f.id}`, "objects");
    assert.equal(files.length, f.asset_count);
    assert.ok(files.length >= 3, `${f.name} has ${files.length}`);
    const counts = {};
    for (const a of files) { const l = truth.get(a.filename.slice(0, 8)); counts[l] = (counts[l] ?? 0) + 1; }
    const [best, n] = Object.entries(counts).sort((a, b) => b[1] - a[1])[0];
    right += n; placed += files.length;
    console.log(`# ${f.name.padEnd(28)} ${String(files.length).padStart(3)} files, ${n} of ${best}`);
    assert.doesNotMatch(f.name, /^(object|cluster|folder|group) ?\d*$/i);
  }
  const names = folders.map((f) => f.name);
  assert.equal(new Set(names.map((n) => n.toLowerCase())).size, names.length, "names are unique");
  console.log(`# ${placed} of ${given.length} placed, ${right} with their like (purity ${(right / placed).toFixed(2)})`);
  assert.ok(names.some((n) => /bird/i.test(n)), `a folder of birds among ${names}`);
  assert.ok(right / placed >= 0.75, `purity ${right / placed}`);
  assert.ok(placed >= given.length * 0.3, `${placed} placed`);
});

test("search by a category's word finds that category first", async () => {
  const truth = new Map(given.map((p, i) => [`IMG_${String(i).padStart(4, "0")}`, p.label]));
  for (const [query, label] of [["bird", "animals/birds"], ["fruit", "food/fruit"], ["musical instrument", "hobbies/music"]]) {
    if (!labels.includes(label)) continue;
    const { body } = await s.json(`/api/v1/search?query=${encodeURIComponent(query)}&limit=6&mode=vector`);
    assert.ok(body.results.length >= 3, `${query}: ${body.results.length} hits`);
    const good = body.results.filter((r) => truth.get(r.filename.slice(0, 8)) === label).length;
    assert.ok(good >= body.results.length - 1, `${query}: ${good} of ${body.results.length}`);
  }
});

test("a person's rename, move, merge and lock hold through a pass", async () => {
  const folders = await s.every("/api/v1/clusters", "clusters");
  const [a, b] = folders;
  assert.equal((await s.send(`/api/v1/clusters/${a.id}`, "PATCH", { action: "rename", name: "My birds" })).status, 200);
  assert.equal((await s.send(`/api/v1/clusters/${b.id}`, "PATCH", { action: "rename", name: "my BIRDS" })).status, 409, "names are unique whatever their case");
  const file = (await s.every(`/api/v1/objects?cluster_id=${b.id}`, "objects"))[0];
  const moved = await s.send(`/api/v1/objects/${file.id}`, "PATCH", { cluster_id: a.id });
  assert.equal(moved.body.cluster.id, a.id);
  assert.equal(moved.body.pinned, true);
  await s.send("/api/v1/admin/organise", "POST", {});
  const now = (await s.json(`/api/v1/objects/${file.id}`)).body;
  assert.equal(now.cluster.name, "My birds");
  const merged = await s.send(`/api/v1/clusters/${a.id}`, "PATCH", { action: "merge", source_cluster_ids: [b.id] });
  assert.equal(merged.body.status, "success");
  const old = await s.fetch(`/api/v1/clusters/${b.id}`, { redirect: "manual" });
  assert.equal(old.status, 308);
  assert.equal(old.headers.get("location"), `/api/v1/clusters/${a.id}`);
  const all = await s.every(`/api/v1/objects?cluster_id=${a.id}`, "objects");
  assert.equal((await s.json(`/api/v1/clusters/${a.id}`)).body.cluster.asset_count, all.length);
});

test("files sent to a folder by name stay there", async () => {
  const p = given.find((g) => g.label === "food/fruit");
  const { body } = await s.upload([{ path: p.path, name: "apple.png" }], { folder: "Kitchen 2026" });
  await s.job(body.job_id);
  const a = (await s.json(`/api/v1/objects/${body.system_ids[0]}`)).body;
  assert.equal(a.cluster.name, "Kitchen 2026");
  assert.equal(a.cluster.provisional, false);
});
