// SPDX-License-Identifier: Apache-2.0
// Peers for the S3 tests, all on free ports of the loopback: s3rver (a store that checks no signatures), a small
// store of the tests' own that checks everything, and before each of them a proxy that fails as it is told.
// With FA_S3=swift OpenStack Swift besides, and the control port speaks of that. Says its ports in one line, ends when its standard input does.
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import S3rver from "s3rver";
import { refusal, sha256 } from "./s3_sigv4.mjs";

const BUCKET = "test-bucket";
const ACCOUNT = { region: "eu-test-1", key: "KEYID", secret: "se/cr+et=", token: "" };
const TOKEN_ACCOUNT = { ...ACCOUNT, key: "TOKENID", token: "session/token+==" };
const PAGE = 2; // keys of a page of a listing, few so that there are pages

const listen = (server) => new Promise((done) => server.listen(0, "127.0.0.1", () => done(server.address().port)));
const whole = async (stream) => { const parts = []; for await (const p of stream) parts.push(p); return Buffer.concat(parts); };
const xml = (s) => s.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

// ---- the strict store

const objects = new Map(), uploads = new Map(), seen = [];
let lastRefusal = "", lent = 0;

function answer(res, status, body = "", headers = {}) {
  res.writeHead(status, { "Content-Length": Buffer.byteLength(body), ...headers });
  res.end(body);
}
const fail = (res, status, code) => answer(res, status, `<?xml version="1.0"?>\n<Error><Code>${code}</Code></Error>`);

function list(res, q) {
  const from = q.has("continuation-token") ? q.get("continuation-token").slice("&é=/+".length) : "";
  const keys = [...objects.keys()].filter((k) => k.startsWith(q.get("prefix") ?? "") && k > from).sort();
  const page = keys.slice(0, PAGE), more = keys.length > PAGE;
  answer(res, 200, `<?xml version="1.0"?>\n<ListBucketResult xmlns="x"><Prefix>${xml(q.get("prefix"))}</Prefix>` + page.map((k) => `<Contents><Size>${objects.get(k).length}</Size><LastModified>2026-01-02T03:04:05.678Z</LastModified><Key>${xml(k)}</Key></Contents>`).join("") +
    `<IsTruncated>${more}</IsTruncated>` + (more ? `<NextContinuationToken>${xml("&é=/+" + page.at(-1))}</NextContinuationToken>` : "") + "</ListBucketResult>");
}

function read(req, res, bytes) {
  const m = /^bytes=(\d+)-(\d+)$/.exec(req.headers.range ?? "");
  const headers = { ETag: `"${sha256(bytes)}"` };
  let status = 200, part = bytes;
  if (m) {
    if (+m[1] >= bytes.length) return fail(res, 416, "InvalidRange");
    part = bytes.subarray(+m[1], +m[2] + 1);
    status = 206;
    headers["Content-Range"] = `bytes ${m[1]}-${+m[1] + part.length - 1}/${bytes.length}`;
  }
  res.writeHead(status, { ...headers, "Content-Length": part.length });
  res.end(req.method === "HEAD" ? undefined : part);
}

function complete(res, key, id, body) {
  const up = uploads.get(id);
  if (!up || up.key !== key) return fail(res, 404, "NoSuchUpload");
  const named = [...String(body).matchAll(/<PartNumber>(\d+)<\/PartNumber><ETag>([^<]*)<\/ETag>/g)];
  if (named.length !== up.parts.size || named.some(([, n, etag]) => !up.parts.has(+n) || etag !== `"${sha256(up.parts.get(+n))}"`)) return fail(res, 400, "InvalidPart");
  objects.set(key, Buffer.concat(named.map(([, n]) => up.parts.get(+n))));
  uploads.delete(id);
  answer(res, 200, `\n<?xml version="1.0"?><CompleteMultipartUploadResult xmlns="x"><Key>${xml(key)}</Key></CompleteMultipartUploadResult>`);
}

function object(req, res, key, q, body) {
  const id = q.get("uploadId");
  if (req.method === "POST" && q.has("uploads")) {
    const made = `id+/=&${uploads.size}-${Date.now()}`;
    uploads.set(made, { key, parts: new Map() });
    return answer(res, 200, `<InitiateMultipartUploadResult><UploadId>${xml(made)}</UploadId></InitiateMultipartUploadResult>`);
  }
  if (req.method === "POST") return complete(res, key, id, body);
  if (req.method === "PUT" && id) {
    if (!uploads.has(id)) return fail(res, 404, "NoSuchUpload");
    uploads.get(id).parts.set(+q.get("partNumber"), body);
    return answer(res, 200, "", { ETag: `"${sha256(body)}"` });
  }
  if (req.method === "PUT") {
    objects.set(key, body);
    return answer(res, 200, "", { ETag: `"${sha256(body)}"` });
  }
  if (req.method === "DELETE") {
    if (id) uploads.delete(id); else objects.delete(key);
    return answer(res, 204);
  }
  if (!objects.has(key)) return fail(res, 404, "NoSuchKey");
  return read(req, res, objects.get(key));
}

const strict = http.createServer(async (req, res) => {
  let body;
  try { body = await whole(req); } catch { return; }
  const account = req.headers.authorization?.includes("=TOKENID/") ? TOKEN_ACCOUNT : ACCOUNT;
  const no = refusal(req, body, account);
  seen.push(`${req.method} ${req.url} ${req.headers.range ?? ""}`.trim());
  if (no) {
    lastRefusal = `${req.method} ${req.url}: ${no}`;
    return fail(res, no === "the payload has another hash" ? 400 : 403, no === "the payload has another hash" ? "XAmzContentSHA256Mismatch" : "SignatureDoesNotMatch");
  }
  const url = new URL(req.url, "http://x");
  const virtual = /^([^.]+)\.localhost:/.exec(req.headers.host);
  const [, bucket, key] = virtual ? [, virtual[1], url.pathname.slice(1)] : /^\/([^/]*)\/?(.*)$/s.exec(url.pathname);
  if (bucket !== BUCKET) return fail(res, 404, "NoSuchBucket");
  const name = decodeURIComponent(key);
  return name === "" ? list(res, url.searchParams) : object(req, res, name, url.searchParams, body);
});

// ---- the proxies

// {method, match, action, times, bytes, status, retryAfter}; actions: status, reset (before anything is read), cut (after
// so many bytes of the request's body), lose (the store has done it, the answer is dropped), short (half an answer),
// gather (until count of them have come, none goes on).
let rules = [], gathered = [];
function rule(req) {
  const r = rules.find((x) => x.times !== 0 && (!x.method || x.method === req.method) && (!x.match || req.url.includes(x.match)));
  if (r && r.times > 0) r.times--;
  return r;
}

const proxy = (port, told = () => {}) => http.createServer(async (req, res) => {
  told(req);
  const r = rule(req);
  const gone = () => { req.socket.resetAndDestroy ? req.socket.resetAndDestroy() : req.socket.destroy(); };
  if (r?.action === "reset") return gone();
  const parts = [];
  let n = 0;
  try {
    for await (const p of req) {
      parts.push(p);
      n += p.length;
      if (r?.action === "cut" && n >= r.bytes) return gone();
    }
  } catch { return; }
  if (r?.action === "gather") await new Promise((go) => { if (gathered.push(go) === r.count) for (const g of gathered.splice(0)) g(); });
  if (r?.action === "status") return answer(res, r.status, `<Error><Code>${r.status === 404 ? "NoSuchKey" : "SlowDown"}</Code></Error>`, r.retryAfter ? { "Retry-After": r.retryAfter } : {});
  const headers = { ...req.headers };
  delete headers.expect;
  // Swift sends the last chunk of a body that is not there after a HEAD that finds nothing: an error after the answer.
  let answered = false;
  const up = http.request({ host: "127.0.0.1", port, method: req.method, path: req.url, headers, setHost: false, agent: false }, async (from) => {
    answered = true;
    const body = await whole(from);
    if (r?.action === "lose") return gone();
    res.writeHead(from.statusCode, from.headers);
    if (r?.action === "short") return res.write(body.subarray(0, body.length >> 1), gone);
    res.end(body);
  });
  up.on("error", () => { if (!answered) gone(); });
  up.end(Buffer.concat(parts));
});

// ---- what the tests may ask and say

const control = http.createServer(async (req, res) => {
  const body = String(await whole(req));
  if (req.url.startsWith("/role")) { // lends a key for as many seconds as the query says
    lent++;
    if (req.headers.authorization !== "Bearer of good news") return answer(res, 401);
    const until = new Date(Date.now() + 1000 * req.url.split("?")[1]).toISOString();
    return answer(res, 200, `{ "AccessKeyId" : "TOKENID",\n"SecretAccessKey":"se\\/cr+et=", "Token":"${TOKEN_ACCOUNT.token}", "Expiration":"${until}", "RoleArn":"x"}`);
  }
  if (req.url === "/rules") {
    rules = JSON.parse(body);
    seen.length = 0;
  } else if (req.url.startsWith("/damage?")) {
    const key = [...objects.keys()].find((k) => k.endsWith(req.url.slice(8)));
    objects.set(key, Buffer.from(String(objects.get(key)).replace(/./s, "!")));
  } else if (req.url.startsWith("/lose?")) {
    objects.delete([...objects.keys()].find((k) => k.endsWith(req.url.slice(6))));
  } else if (req.url.startsWith("/stray?")) {
    objects.set(req.url.slice(7), Buffer.from(body));
  }
  answer(res, 200, `uploads=${uploads.size}\nobjects=${objects.size}\nleft=${rules.reduce((a, r) => a + Math.max(r.times, 0), 0)}\nrequests=${seen.length}\nlent=${lent}\nrefusal=${lastRefusal}\n` + seen.map((s) => `seen ${s}\n`).join("") + (swift ? await swift.keys() : [...objects.keys()]).map((k) => `key ${k}\n`).join(""));
});

if (!["", "swift"].includes(process.env.FA_S3 ?? "")) throw new Error(`FA_S3=${process.env.FA_S3}: allowed is swift`);
const swift = process.env.FA_S3 ? await (await import("../swift/swift.mjs")).startSwift(BUCKET) : undefined;
const directory = fs.mkdtempSync(path.join(os.tmpdir(), "s3-peers-"));
const end = () => { swift?.stop(); fs.rmSync(directory, { recursive: true, force: true }); process.exit(0); };
const s3rver = new S3rver({ address: "127.0.0.1", port: 0, directory, silent: true, configureBuckets: [{ name: BUCKET }] });
const { port } = await s3rver.run();
const ports = { s3rver: port, strict: await listen(strict), flaky_s3rver: await listen(proxy(port)), control: await listen(control) };
ports.flaky_strict = await listen(proxy(ports.strict));
if (swift) ports.swift = swift.port;
if (swift) ports.flaky_swift = await listen(proxy(swift.port, (req) => seen.push(`${req.method} ${req.url}`)));
process.stdin.on("end", end).on("error", end).resume();
process.on("SIGTERM", end);
console.log(Object.entries(ports).map(([k, v]) => `${k}=${v}`).join(" "));
