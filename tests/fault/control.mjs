// The other side of inject.c: what fails next, in a file that both map.
import fs from "node:fs";
import path from "node:path";
import { build } from "../e2e/harness.mjs";

export const library = path.join(build, "tests/libfault_inject.so");
const OPS = { write: 1, fsync: 2, link: 3, rename: 4, open: 5, close: 6, truncate: 7, allocate: 8, read: 9, unlink: 10, mkdir: 11, stat: 12 };
const ERRORS = { EINTR: 4, EIO: 5, ENOMEM: 12, EMFILE: 24, ENOSPC: 28, EDQUOT: 122, short: 0, SIGKILL: -9 };

export class Control {
  constructor(file) { fs.writeFileSync(file, Buffer.alloc(16)); this.fd = fs.openSync(file, "r+"); }
  put(...words) { fs.writeSync(this.fd, Buffer.from(Int32Array.from(words).buffer), 0, 16, 0); }
  arm(op, error, n) { this.put(0, ERRORS[error], n, 0); fs.writeSync(this.fd, Buffer.from(Int32Array.of(OPS[op]).buffer), 0, 4, 0); }
  hits() { const b = Buffer.alloc(16); fs.readSync(this.fd, b, 0, 16, 0); return b.readInt32LE(12); }
  // How many failed.
  disarm() { const n = this.hits(); this.put(0, 0, 0, 0); return n; }
}
