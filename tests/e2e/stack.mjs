// The production corner: a real PostgreSQL with pgvector, a real Redis and an S3 store, started once a test file when
// FA_STACK=production, so that the same scenarios run on them unchanged. Every folder of a Server gets a database, a
// Redis database number and a bucket prefix of its own.
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";

const root = path.resolve(path.dirname(new URL(import.meta.url).pathname), "../..");
const asPostgres = process.getuid() === 0 ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : [];
let started;
// FA_STACK=production, or any of postgres, redis and s3 with commas between: the rest stays embedded.
const every = ["postgres", "redis", "s3"];
const parts = process.env.FA_STACK === "production" ? every : (process.env.FA_STACK ?? "").split(",").filter(Boolean);
for (const part of parts) if (!every.includes(part)) throw new Error(`FA_STACK: ${part}: allowed are production, or ${every.join(", ")}`);
export const onS3 = parts.includes("s3");

// Of the line of s3_peers.mjs, settings for the store that FA_S3 names: the strict one, or swift; or for the proxy before it.
export const s3Peer = process.env.FA_S3 || "strict";
export const s3Settings = (ports, before = "") => ({
  S3_ENDPOINT_URL: `http://127.0.0.1:${ports[before + s3Peer]}`,
  AWS_ACCESS_KEY_ID: s3Peer === "swift" ? "test:tester" : "KEYID", AWS_SECRET_ACCESS_KEY: "se/cr+et=", AWS_REGION: "eu-test-1",
});

export const freePort = () => new Promise((done) => { const s = net.createServer().listen(0, "127.0.0.1", () => { const { port } = s.address(); s.close(() => done(port)); }); });

export async function answers(port, seconds) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
    const ok = await new Promise((done) => { const s = net.connect(port, "127.0.0.1", () => { s.destroy(); done(true); }); s.on("error", () => done(false)); });
    if (ok) return;
    await new Promise((r) => setTimeout(r, 50));
  }
  throw new Error(`nothing answers on port ${port}`);
}

function keep(children, command, args, options = {}) {
  const child = spawn(command, args, { stdio: "ignore", ...options });
  child.on("error", (e) => { throw new Error(`${command}: ${e.message}; is it installed?`); });
  children.push(child);
  return child;
}

async function start() {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "fa-stack-")), children = [];
  fs.chmodSync(dir, 0o777);
  const bin = fs.realpathSync(path.join(root, ".cache/pgvector/bin"));
  const [pgPort, redisPort] = [await freePort(), await freePort()];
  const [command, ...first] = [...asPostgres, path.join(bin, "initdb")];
  execFileSync(command, [...first, "-D", `${dir}/pg`, "-U", "super", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"], { stdio: "ignore", cwd: "/" });
  const server = [...asPostgres, path.join(bin, "postgres"), "-D", `${dir}/pg`, "-p", String(pgPort), "-k", dir, "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"];
  let postgres = keep(children, server[0], server.slice(1), { cwd: "/" });
  const redisServer = keep(children, "redis-server", ["--port", String(redisPort), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--databases", "256", "--dir", dir]);
  const peers = keep(children, process.execPath, [path.join(root, "tests/contract/s3_peers.mjs")], { stdio: ["pipe", "pipe", "inherit"] });
  const line = await new Promise((done) => peers.stdout.once("data", (d) => done(String(d))));
  const s3 = Object.fromEntries([...line.matchAll(/(\w+)=(\d+)/g)].map(([, k, v]) => [k, v]));
  await answers(pgPort, 20);
  await answers(redisPort, 10);
  process.on("exit", () => {
    // SIGQUIT: PostgreSQL ends at once, without waiting for connections.
    postgres.kill("SIGQUIT");
    for (const c of children) if (c !== postgres) { c.kill("SIGTERM"); c.kill("SIGCONT"); }
    fs.rmSync(dir, { recursive: true, force: true });
  });
  // The stack must not hold the test process up.
  for (const c of children) { c.unref(); c.stdin?.unref?.(); c.stdout?.unref?.(); }
  // Down for that long, all connections cut.
  async function restartPostgres(seconds) {
    const ended = new Promise((done) => postgres.on("exit", done));
    postgres.ref(); // on a busy machine its end may be all there is to wait for
    postgres.kill("SIGINT");
    await ended;
    await new Promise((r) => setTimeout(r, seconds * 1000));
    postgres = keep(children, server[0], server.slice(1), { cwd: "/" });
    postgres.unref();
    await answers(pgPort, 20);
  }
  const psql = (database, text) => execFileSync("psql", ["-h", "127.0.0.1", "-p", String(pgPort), "-U", "super", "-d", database, "-qAtc", text], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim();
  // The same in the background, for statements that hold something.
  psql.held = (database, text) => new Promise((done) => spawn("psql", ["-h", "127.0.0.1", "-p", String(pgPort), "-U", "super", "-d", database, "-qc", text], { stdio: "ignore" }).on("exit", done));
  const redis = (...words) => execFileSync("redis-cli", ["-p", String(redisPort), ...words], { encoding: "utf8" }).trim();
  return { dir, pgPort, redisPort, s3, names: new Map(), restartPostgres, psql, redis, freezeRedis: () => redisServer.kill("SIGSTOP"), thawRedis: () => redisServer.kill("SIGCONT") };
}

export function stack() {
  return (started ??= start());
}

// Settings that put the Server of that folder on the stack; {} on the embedded defaults.
export async function stackEnv(folder) {
  return parts.length ? productionEnv(folder, parts) : {};
}

export async function productionEnv(folder, wanted = every) {
  const st = await stack();
  if (!st.names.has(folder)) {
    const n = st.names.size + 1;
    for (let tries = 0; ; tries++) {
      try { st.psql("postgres", `CREATE DATABASE fa${n}`); break; } catch (e) { if (tries > 40) throw e; await new Promise((r) => setTimeout(r, 100)); }
    }
    st.names.set(folder, n);
  }
  const n = st.names.get(folder);
  const settings = {
    postgres: { DATABASE_URL: `postgresql://super@127.0.0.1:${st.pgPort}/fa${n}` },
    redis: { QUEUE_BACKEND: "redis", REDIS_URL: `redis://127.0.0.1:${st.redisPort}/${n}` },
    s3: { STORAGE_BACKEND: `s3://test-bucket/e2e-${n}`, ...s3Settings(st.s3) },
  };
  return Object.assign({}, ...wanted.map((part) => settings[part]));
}
