// What a client can find in an installation, written down so that a later program can be asked for the same, and the comparison of two
// such accounts that accepts additions and never a loss. tools/make-release-data writes one; releases.test.mjs reads it.
import crypto from "node:crypto";
import path from "node:path";
import { root, sleep, slow } from "./harness.mjs";

export const releases = path.join(root, "tests/data/releases");
export const engines = ["sqlite", "postgres"];
const V1 = "/api/v1";

// Nothing ages: trash is not emptied, no pass begins by itself, and no worker touches what waits.
export const still = {
  QUEUE_BACKEND: "inproc", STORAGE_BACKEND: "fs://", WORKER_THREADS: "0", TRASH_DAYS: "0", SCRUB_DAYS: "0", GC_GRACE: "365d", ORGANISE_INTERVAL: "24h",
  IDEMPOTENCY_TTL: "30d",
};

export const sha256 = (bytes) => crypto.createHash("sha256").update(bytes).digest("hex");

async function get(s, where) {
  const { status, body } = await s.json(V1 + where);
  if (status !== 200) throw new Error(`${where}: ${status} ${JSON.stringify(body)}`);
  return body;
}

async function bytesOf(s, where) {
  const res = await s.fetch(V1 + where);
  const bytes = Buffer.from(await res.arrayBuffer());
  return res.ok ? { status: res.status, type: res.headers.get("content-type"), sha256: sha256(bytes) } : { status: res.status };
}

async function filesOf(s, list) {
  const files = {};
  for (const { id } of list)
    files[id] = {
      asset: await get(s, `/objects/${id}`),
      content: await bytesOf(s, `/objects/${id}/content`),
      thumb: await bytesOf(s, `/objects/${id}/thumbnail?size=thumb`),
      preview: await bytesOf(s, `/objects/${id}/thumbnail?size=preview`),
      lineage: (await get(s, `/objects/${id}/lineage`)).lineage,
    };
  return files;
}

// Hits of each query: the best one, and all of them.
async function hitsOf(s, queries) {
  const found = {};
  for (const query of queries) {
    const { results } = await get(s, `/search?${query}&limit=100`);
    found[query] = { first: results[0]?.id ?? null, hits: results.map((r) => r.id).sort() };
  }
  return found;
}

const idsOf = (list) => list.map((x) => x.id).sort();
const byId = (list) => Object.fromEntries(list.map((x) => [x.id, x]));

// queries: query strings of /search; lists: query strings of /objects whose ids are wanted.
export async function look(s, { queries, lists }) {
  for (const end = Date.now() + 60000 * slow; (await get(s, "/search?query=warm")).warming; await sleep(50))
    if (Date.now() > end) throw new Error("search is still warming");
  const live = await s.every(`${V1}/objects`, "objects"), trash = await s.every(`${V1}/trash`, "objects");
  const clusters = await s.every(`${V1}/clusters`, "clusters"), jobs = await s.every(`${V1}/jobs`, "jobs");
  const dead = await s.every(`${V1}/admin/dlq`, "items"), stats = await get(s, "/admin/stats");
  const account = {
    ids: { live: idsOf(live), trash: idsOf(trash) },
    files: await filesOf(s, [...live, ...trash]),
    folders: byId(clusters), members: {}, lists: {}, jobs: {}, dlq: {},
    similar: {},
    search: await hitsOf(s, queries),
    scrub: { last: null, bad: [] },
    counts: { assets: stats.assets, clusters: stats.clusters, embeddings: stats.embeddings, objects: stats.storage.objects, bytes: stats.storage.asset_bytes, dlq: stats.queue.dlq, waiting: stats.queue.depth },
  };
  for (const c of clusters) account.members[c.id] = idsOf(await s.every(`${V1}/objects?cluster_id=${c.id}`, "objects"));
  for (const list of lists) account.lists[list] = idsOf(await s.every(`${V1}/objects?${list}`, "objects"));
  for (const j of jobs) account.jobs[j.job_id] = await get(s, `/ingest/${j.job_id}/status`);
  for (const d of dead) account.dlq[d.job_id] = await get(s, `/admin/dlq/${d.job_id}`);
  for (const o of live.filter((x) => x.embedding)) account.similar[o.id] = (await get(s, `/objects/${o.id}/similar?threshold=0.5&limit=100`)).results.map((r) => r.id).sort();
  const scrub = await get(s, "/admin/scrub");
  account.scrub = { last: scrub.last, bad: scrub.bad };
  account.keys = byId((await get(s, "/admin/keys?revoked=true")).keys.map(({ last_used_at, ...key }) => key));
  return account;
}

// What is lost of `expected` in `actual`, as lines "where: what". Members and elements that are new are no loss; the order of a list is none
// either. A number with a fraction is equal to five digits, since engines print them differently.
export function losses(actual, expected, where = "") {
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual)) return [`${where}: ${JSON.stringify(actual)} is no list`];
    const free = new Set(actual.keys()), out = [];
    for (const [i, want] of expected.entries()) {
      const at = [...free].find((k) => losses(actual[k], want).length === 0);
      if (at !== undefined) free.delete(at);
      else out.push(...(actual.length === expected.length && want instanceof Object ? losses(actual[i], want, `${where}[${i}]`) : [`${where}: lost ${JSON.stringify(want)} of ${JSON.stringify(actual)}`]));
    }
    return out;
  }
  if (expected instanceof Object) {
    if (!(actual instanceof Object)) return [`${where}: ${JSON.stringify(actual)}, not ${JSON.stringify(expected)}`];
    return Object.keys(expected).flatMap((k) => losses(actual[k], expected[k], where ? `${where}.${k}` : k));
  }
  if (typeof expected === "number" && !Number.isInteger(expected) && Math.abs(actual - expected) <= 1e-5 * Math.abs(expected)) return [];
  return actual === expected ? [] : [`${where}: ${JSON.stringify(actual)}, not ${JSON.stringify(expected)}`];
}
