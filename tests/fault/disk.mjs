// A disk as a power cut may leave it, made from the record of record.c. The model is the strict one of POSIX: a file's data is durable as of
// its last sync, an entry of a directory as of the last sync of that directory, and of what came later anything may be there or not.
import fs from "node:fs";
import path from "node:path";

const [CREATE, WRITE, TRUNCATE, LINK, RENAME, UNLINK, MKDIR, SYNC, ANSWER, MAP] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

export function readRecord(file) {
  const b = fs.readFileSync(file), events = [];
  for (let at = 0; at < b.length; ) {
    const [event, n1, n2, n3] = [0, 4, 8, 12].map((o) => b.readUInt32LE(at + o));
    const e = { event, a: b.readBigUInt64LE(at + 16), b: b.readBigUInt64LE(at + 24), at: Number(b.readBigUInt64LE(at + 32)) };
    at += 40;
    e.name = b.toString("utf8", at, (at += n1));
    e.name2 = b.toString("utf8", at, (at += n2));
    e.data = b.subarray(at, (at += n3));
    events.push(e);
  }
  return events;
}
export const isAnswer = (e) => e.event === ANSWER;
export const isSync = (e) => e.event === SYNC;
export const isMap = (e) => e.event === MAP;

class Bytes {
  constructor() { this.b = Buffer.alloc(0); this.size = 0; }
  reserve(n) {
    if (n <= this.b.length) return;
    const more = Buffer.alloc(Math.max(n, 2 * this.b.length));
    this.b.copy(more, 0, 0, this.size);
    this.b = more;
  }
  write(at, data) { this.reserve(at + data.length); data.copy(this.b, at); this.size = Math.max(this.size, at + data.length); }
  resize(n) { this.reserve(n); if (n < this.size) this.b.fill(0, n, this.size); this.size = n; }
  get() { return this.b.subarray(0, this.size); }
  clone() { const c = new Bytes(); c.b = Buffer.from(this.get()); c.size = this.size; return c; }
  do(op) { if (op.data) this.write(op.at, op.data); else this.resize(op.size); }
}

class File {
  constructor() { this.live = new Bytes(); this.durable = new Bytes(); this.pending = []; }
  do(op) { this.live.do(op); this.pending.push(op); }
  sync() { const any = this.pending.length > 0; for (const op of this.pending) this.durable.do(op); this.pending = []; return any; }
}

// Entry operations: {dir, name, to (File or Dir; undefined: removed), from: {dir, name} of a rename}.
const enter = (which, op) => {
  if (op.from && op.from.dir[which].get(op.from.name) === op.to) op.from.dir[which].delete(op.from.name);
  if (op.to) op.dir[which].set(op.name, op.to);
  else op.dir[which].delete(op.name);
};
class Dir {
  entries = true;
  constructor() { this.live = new Map(); this.durable = new Map(); this.pending = []; }
  sync() {
    const any = this.pending.length > 0;
    for (const op of this.pending.slice()) {
      enter("durable", op);
      // A rename is in two directories and one step.
      for (const d of [op.dir, op.from?.dir]) if (d) d.pending = d.pending.filter((o) => o !== op);
    }
    return any;
  }
}

export class Disk {
  constructor(rootInode) {
    this.root = new Dir();
    this.inodes = new Map([[BigInt(rootInode), this.root]]);
  }
  entry(op) {
    enter("live", op);
    op.dir.pending.push(op);
    if (op.from && op.from.dir !== op.dir) op.from.dir.pending.push(op);
  }
  of(e) { return this.inodes.get(e.a) ?? {}; }
  // True when what is durable changed.
  do(e) {
    const dir = this.inodes.get(e.b), it = this.inodes.get(e.a);
    switch (e.event) {
      case CREATE: case MKDIR: {
        const made = e.event === MKDIR ? new Dir() : new File();
        made.name = e.name;
        this.inodes.set(e.a, made);
        if (e.name) this.entry({ dir, name: e.name, to: made });
        return false;
      }
      case WRITE: it.do({ at: e.at, data: e.data }); return false;
      case TRUNCATE: it.do({ size: e.at }); return false;
      case LINK: this.entry({ dir, name: e.name, to: it }); return false;
      case UNLINK: this.entry({ dir, name: e.name }); return false;
      case RENAME: this.entry({ dir, name: e.name2, to: it.live.get(e.name), from: { dir: it, name: e.name } }); return false;
      case SYNC: return it ? it.sync() : false;
      default: return false;
    }
  }

  // nothing: only what was synced. names: all names, and sizes, but no byte that was not synced. some: a part of everything, writes torn.
  // all: as the kernel would have it, and a killed process leaves it.
  write(to, variant, random = Math.random) {
    const chosen = new Map(), chance = (op) => { if (!chosen.has(op)) chosen.set(op, random() < 0.5); return chosen.get(op); };
    const copies = new Map(); // directories whose entries a chosen operation changed
    const entries = (d) => {
      if (variant !== "some") return variant === "nothing" ? d.durable : d.live;
      if (!copies.has(d)) {
        const now = new Map(d.durable);
        for (const op of d.pending) {
          if (!chance(op)) continue;
          if (op.from?.dir === d && now.get(op.from.name) === op.to) now.delete(op.from.name);
          if (op.dir === d) { if (op.to) now.set(op.name, op.to); else now.delete(op.name); }
        }
        copies.set(d, now);
      }
      return copies.get(d);
    };
    const content = (f) => {
      if (variant === "nothing" || (variant !== "all" && f.pending.length === 0)) return f.durable.get();
      if (variant === "all") return f.live.get();
      const b = f.durable.clone();
      if (variant === "names") { b.resize(f.live.size); return b.get(); }
      for (const op of f.pending) {
        const dice = random();
        if (dice < 0.4) b.do(op);
        else if (dice < 0.8 && op.data) {
          // Some of its sectors, or of its pages.
          const unit = random() < 0.5 ? 512 : 4096;
          for (let at = op.at - (op.at % unit); at < op.at + op.data.length; at += unit) {
            const from = Math.max(at, op.at), end = Math.min(at + unit, op.at + op.data.length);
            if (random() < 0.5) b.write(from, op.data.subarray(from - op.at, end - op.at));
          }
        }
      }
      return b.get();
    };
    const put = (d, where) => {
      fs.mkdirSync(where, { recursive: true });
      for (const [name, it] of entries(d)) {
        const p = path.join(where, name);
        if (it instanceof Dir) put(it, p);
        // SQLite's index of the log lives in memory that is mapped; a crash may leave any bytes in it.
        else if (name.endsWith("-shm")) fs.writeFileSync(p, Buffer.from(Array.from({ length: 32768 }, () => Math.floor(random() * 256))));
        else fs.writeFileSync(p, content(it));
      }
    };
    put(this.root, to);
  }

  // With everything durable the model must be what is there: or the record has a hole.
  differences(where) {
    const found = [];
    const same = (d, p) => {
      const there = fs.readdirSync(p, { withFileTypes: true }), names = new Set(there.map((e) => e.name));
      for (const name of d.live.keys()) if (!names.has(name)) found.push(`${p}/${name} is not there`);
      for (const e of there) {
        const it = d.live.get(e.name), at = path.join(p, e.name);
        if (!it) found.push(`${at} is not in the record`);
        else if (e.isDirectory()) same(it, at);
        else if (!e.name.endsWith("-shm") && !fs.readFileSync(at).equals(it.live.get())) found.push(`${at} has other bytes`);
      }
    };
    same(this.root, where);
    return found;
  }
}

export function seeded(seed) {
  let x = seed >>> 0 || 1;
  return () => { x ^= x << 13; x >>>= 0; x ^= x >>> 17; x ^= x << 5; x >>>= 0; return x / 4294967296; };
}
