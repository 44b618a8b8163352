// Starts the real program on a free port in a temporary folder and speaks HTTP to it.
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { stackEnv } from "./stack.mjs";

export const root = path.resolve(path.dirname(new URL(import.meta.url).pathname), "../..");
export const build = process.env.FA_BUILD ?? path.join(root, "build/dev");
export const program = path.join(build, "bin/file-allocator");
export const photos = path.join(root, "tests/data/photos");
export const stamps = "/usr/share/tuxpaint/stamps";
export const sanitized = /asan|tsan/.test(build);
// A sanitizer's shadow and redzones are not the service's memory, and it is several times slower.
export const slow = sanitized ? 6 : 1;

for (const need of [program, stamps]) if (!fs.existsSync(need)) throw new Error(`${need} is missing: run the tests by make test`);

// A test that failed leaves its servers; they must not keep the run from ending, nor outlive it.
const living = new Set();
process.on("exit", () => { for (const child of living) child.kill("SIGKILL"); });
const hold = (child, ref) => { for (const x of [child, child.stdout, child.stderr]) x[ref ? "ref" : "unref"](); };

export function tempDir() {
  return fs.mkdtempSync(path.join(os.tmpdir(), "fa-e2e-"));
}

export class Server {
  constructor(options = {}) {
    this.dir = options.dir ?? tempDir();
    this.env = options.env ?? {};
    this.log = "";
    this.key = options.env?.API_KEY;
    this.command = options.command ?? "serve";
    this.program = options.program ?? program;
  }

  async start() {
    const env = { PATH: process.env.PATH, HOME: this.dir, APP_PORT: "0", DATA_PATH: path.join(this.dir, "data"), LOG_FORMAT: "json",
      ASAN_OPTIONS: "detect_leaks=1:abort_on_error=0", UBSAN_OPTIONS: "print_stacktrace=1", ...(await stackEnv(this.dir)), ...this.env };
    this.child = spawn(this.program, [this.command], { cwd: this.dir, env, stdio: ["ignore", "pipe", "pipe"] });
    living.add(this.child);
    const child = this.child;
    this.exited = new Promise((done) => this.child.on("exit", (code, signal) => { living.delete(child); this.code = code; this.signal = signal; done({ code, signal }); }));
    this.closed = new Promise((done) => this.child.on("close", done)); // all it wrote is in the log
    this.url = await new Promise((done, fail) => {
      const seen = (chunk) => {
        this.log += chunk;
        const m = /listens on (http:\/\/[^\s"\\]+)/.exec(this.log);
        if (m) done(m[1].replace(/\/$/, ""));
      };
      this.child.stdout.on("data", seen);
      this.child.stderr.on("data", seen);
      this.child.on("error", fail);
      this.child.on("exit", () => fail(new Error(`server ended before it listened:\n${this.log}`)));
    });
    hold(this.child, false);
    return this;
  }

  // A sanitizer's report or a failed drain must fail the test that stops the server.
  async stop() {
    if (this.code === undefined && this.signal === undefined) this.child.kill("SIGTERM");
    const end = await this.ended();
    if (end.code !== 0) throw new Error(`server ended with ${JSON.stringify(end)}:\n${this.log.slice(-6000)}`);
    fs.rmSync(this.dir, { recursive: true, force: true });
  }

  async kill() {
    this.child.kill("SIGKILL");
    await this.ended();
  }

  async ended() {
    hold(this.child, true);
    return this.exited;
  }

  headers(extra = {}) {
    return this.key ? { "X-API-Key": this.key, ...extra } : extra;
  }

  async fetch(where, options = {}) {
    return fetch(this.url + where, { ...options, headers: this.headers(options.headers) });
  }

  async json(where, options = {}) {
    const res = await this.fetch(where, options);
    const text = await res.text();
    let body;
    try { body = text ? JSON.parse(text) : undefined; } catch { throw new Error(`${where}: not JSON (${res.status}): ${text.slice(0, 300)}`); }
    return { status: res.status, body, headers: res.headers };
  }

  send(where, method, body) {
    return this.json(where, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  }

  // files: [{name, data (Buffer) | path}], fields: {name: value | [values]}
  async upload(files, fields = {}, headers = {}) {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) for (const v of [value].flat()) form.append(name, v);
    for (const f of files) form.append("files", new Blob([f.data ?? fs.readFileSync(f.path)], { type: f.type ?? "" }), f.name ?? path.basename(f.path));
    return this.json("/api/v1/ingest", { method: "POST", body: form, headers });
  }

  async job(id, seconds = 60) {
    const end = Date.now() + seconds * 1000 * slow;
    for (;;) {
      const { body } = await this.json(`/api/v1/ingest/${id}/status`);
      if (["done", "failed", "partial"].includes(body.status)) return body;
      if (Date.now() > end) throw new Error(`job ${id} still ${body.status}: ${JSON.stringify(body)}\n${this.log.slice(-4000)}`);
      await sleep(20);
    }
  }

  // Until nothing waits or runs.
  async quiet(seconds = 120) {
    const end = Date.now() + seconds * 1000 * slow;
    for (;;) {
      const { body } = await this.json("/api/v1/admin/stats");
      if (body.queue.depth === 0) return body;
      if (Date.now() > end) throw new Error(`queue still holds ${body.queue.depth}\n${this.log.slice(-4000)}`);
      await sleep(100);
    }
  }

  async every(where, key) {
    const all = [];
    let cursor = null;
    do {
      const sep = where.includes("?") ? "&" : "?";
      const { status, body } = await this.json(`${where}${sep}limit=500${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
      if (status !== 200) throw new Error(`${where}: ${status} ${JSON.stringify(body)}`);
      all.push(...body[key]);
      cursor = body.next_cursor;
    } while (cursor);
    return all;
  }

  rss() {
    return Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${this.child.pid}/status`, "utf8"))[1]) * 1024;
  }
}

export const sleep = (ms) => new Promise((r) => setTimeout(r, ms));

export function run(args, options = {}) {
  return new Promise((done) => {
    const child = spawn(program, args, { cwd: options.cwd ?? os.tmpdir(), env: { PATH: process.env.PATH, HOME: os.tmpdir(), ...options.env }, stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "", stderr = "";
    child.stdout.on("data", (d) => (stdout += d));
    child.stderr.on("data", (d) => (stderr += d));
    child.on("exit", (code, signal) => done({ code, signal, stdout, stderr }));
  });
}

// Labelled pictures: [{path, label (top folder), caption}], at most per a label.
export function labelled(labels, per) {
  const out = [];
  for (const label of labels) {
    const found = [];
    const walk = (dir) => {
      for (const e of fs.readdirSync(dir, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
        const p = path.join(dir, e.name);
        if (e.isDirectory()) walk(p);
        else if (/\.(png|jpg)$/.test(e.name) && !/_mirror|_flip/.test(e.name)) found.push(p);
      }
    };
    walk(path.join(stamps, label));
    for (const p of found.slice(0, per)) {
      const txt = p.replace(/\.(png|jpg)$/, ".txt");
      out.push({ path: p, label, caption: fs.existsSync(txt) ? fs.readFileSync(txt, "utf8").split("\n")[0] : "" });
    }
  }
  return out;
}

// A PNG of one colour, w×h, 1 bit: for sizes, not for looks.
export function random(n, seed = 1) {
  const b = Buffer.alloc(n);
  let x = seed >>> 0 || 1;
  for (let i = 0; i < n; i++) { x ^= x << 13; x >>>= 0; x ^= x >>> 17; x ^= x << 5; x >>>= 0; b[i] = x; }
  return b;
}
