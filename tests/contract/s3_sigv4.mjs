// SPDX-License-Identifier: Apache-2.0
// A strict verifier of AWS Signature Version 4 in the Authorization header, and, when run by itself, its own test
// against the four examples that Amazon publishes with the description of the algorithm.
import crypto from "node:crypto";
import { pathToFileURL } from "node:url";

const hmac = (key, text) => crypto.createHmac("sha256", key).update(text).digest();
export const sha256 = (bytes) => crypto.createHash("sha256").update(bytes).digest("hex");
const escape = (s) => Buffer.from(s).toString("latin1").replace(/[^A-Za-z0-9\-._~]/g, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0"));

// From the parts of a request as they came: the rules are applied to what they mean, so that only one spelling fits.
export function signature({ method, url, headers, signed, payload, date, region, service, secret }) {
  const [path, query = ""] = url.split(/\?(.*)/s);
  const uri = path.split("/").map((s) => escape(decodeURIComponent(s))).join("/");
  const pairs = query ? query.split("&").map((p) => p.split(/=(.*)/s)).map(([k, v = ""]) => [escape(decodeURIComponent(k)), escape(decodeURIComponent(v))]) : [];
  pairs.sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : x > y ? 1 : 0));
  const canonical = [
    method, uri, pairs.map(([k, v]) => `${k}=${v}`).join("&"),
    ...signed.map((h) => `${h}:${String(headers[h]).trim().replace(/ +/g, " ")}`), "",
    signed.join(";"), payload,
  ].join("\n");
  const scope = `${date.slice(0, 8)}/${region}/${service}/aws4_request`;
  const text = ["AWS4-HMAC-SHA256", date, scope, sha256(canonical)].join("\n");
  const key = ["" + date.slice(0, 8), region, service, "aws4_request"].reduce((k, part) => hmac(k, part), "AWS4" + secret);
  return hmac(key, text).toString("hex");
}

// null when the request is signed as it must be, else why not.
export function refusal(req, body, { region, key, secret, token, now = Date.now() }) {
  const h = req.headers;
  const m = /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(h.authorization ?? "");
  if (!m) return "the Authorization header does not parse";
  const [, id, day, where, service, names, given] = m;
  const date = h["x-amz-date"] ?? "";
  const signed = names.split(";");
  if (id !== key) return "another key id";
  if (where !== region || service !== "s3") return `scope ${where}/${service}`;
  const t = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date);
  if (!t || !date.startsWith(day)) return "x-amz-date";
  if (Math.abs(Date.UTC(t[1], t[2] - 1, t[3], t[4], t[5], t[6]) - now) > 15 * 60e3) return "the clocks differ";
  if (signed.join() !== [...signed].sort().join()) return "signed headers are not sorted";
  for (const need of ["host", ...Object.keys(h).filter((n) => n.startsWith("x-amz-"))]) if (!signed.includes(need)) return `${need} is not signed`;
  for (const name of signed) if (!(name in h)) return `${name} is signed and not sent`;
  const payload = h["x-amz-content-sha256"];
  if (!payload) return "no x-amz-content-sha256";
  if (payload !== sha256(body)) return "the payload has another hash";
  if ((h["x-amz-security-token"] ?? "") !== (token ?? "")) return "security token";
  const want = signature({ method: req.method, url: req.url, headers: h, signed, payload, date, region, service, secret });
  return crypto.timingSafeEqual(Buffer.from(want), Buffer.from(given)) ? null : "the signature does not match";
}

// Amazon S3 API reference, "Signature calculations for the Authorization header": examples of 2013-05-24.
const example = { date: "20130524T000000Z", region: "us-east-1", service: "s3", secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" };
const base = (payload) => ({ host: "examplebucket.s3.amazonaws.com", "x-amz-content-sha256": payload, "x-amz-date": example.date });
const empty = sha256("");
export const published = [
  [{ method: "GET", url: "/test.txt", payload: empty, headers: { ...base(empty), range: "bytes=0-9" } }, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"],
  [{ method: "PUT", url: "/test%24file.text", payload: sha256("Welcome to Amazon S3."), headers: { ...base(sha256("Welcome to Amazon S3.")), date: "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY" } }, "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"],
  [{ method: "GET", url: "/?lifecycle", payload: empty, headers: base(empty) }, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"],
  [{ method: "GET", url: "/?max-keys=2&prefix=J", payload: empty, headers: base(empty) }, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"],
];

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  for (const [request, want] of published) {
    const signed = Object.keys(request.headers).sort();
    const got = signature({ ...example, ...request, signed });
    if (got !== want) throw new Error(`${request.method} ${request.url}: ${got} instead of ${want}`);
    const authorization = `AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=${signed.join(";")}, Signature=${want}`;
    const peer = { region: "us-east-1", key: "AKIAIOSFODNN7EXAMPLE", secret: example.secret, now: Date.UTC(2013, 4, 24) };
    const asked = { ...request, headers: { ...request.headers, authorization } };
    const body = request.method === "PUT" ? "Welcome to Amazon S3." : "";
    const no = refusal(asked, body, peer);
    if (no) throw new Error(`${request.method} ${request.url}: ${no}`);
    // And each change is noticed.
    for (const [what, changed, bytes, who] of [
      ["method", { ...asked, method: "POST" }, body, peer],
      ["path", { ...asked, url: asked.url.replace("/", "/x") }, body, peer],
      ["body", asked, body + "x", peer],
      ["secret", asked, body, { ...peer, secret: "x" }],
      ["time", asked, body, { ...peer, now: Date.UTC(2013, 4, 24, 1) }],
      ["host", { ...asked, headers: { ...asked.headers, host: "other" } }, body, peer],
      ["header", { ...asked, headers: { ...asked.headers, "x-amz-acl": "public-read" } }, body, peer],
    ]) if (!refusal(changed, bytes, who)) throw new Error(`${request.url}: a changed ${what} was accepted`);
  }
  console.log(`${published.length} published examples`);
}
