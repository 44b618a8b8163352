// Every FAULT("name") in src/ and the operations in which the walk (walk.test.mjs) meets it. A new point needs a row here and nothing
// else; one without a row, and one that its operation never passes, fails the test.
//   ops      keys of the walk's operations
//   actions  kill, eio, enospc; default: all three
//   on       where the point is: fs, s3, back (S3 with write-back), sqlite, postgres; default: everywhere. Several: all must hold
//   with     a fault armed beside it, so that it is reached
//   elsewhere  the test that walks it instead
//   full     torture only: it takes long
const TASKS = ["picture"];
export const points = {
  "storage.write": { ops: ["upload", "form", "duplicate"] },
  "storage.write.after": { ops: ["upload", "form", "duplicate"], on: ["fs"] },
  "storage.fsync": { ops: ["upload", "form", "duplicate"], on: ["fs|back"] },
  "storage.fsync.after": { ops: ["upload", "form", "duplicate"], on: ["fs"] },
  "storage.link": { ops: ["upload", "form", "duplicate"], on: ["fs|back"] },
  "storage.link.after": { ops: ["upload", "form", "duplicate"], on: ["fs"] },
  "storage.dirsync": { ops: ["upload", "form", "duplicate", "purge"], on: ["fs"] },
  "storage.dirsync.after": { ops: ["upload", "form", "duplicate", "purge"], on: ["fs"] },
  "storage.send": { ops: ["upload", "form"], on: ["s3"] },
  "storage.send.after": { ops: ["upload", "form"], on: ["s3"] },
  "storage.part": { ops: ["large"], on: ["s3"], full: true },
  "storage.complete": { ops: ["large"], on: ["s3"], full: true },
  "storage.complete.after": { ops: ["large"], on: ["s3"], full: true },
  "storage.sent": { ops: ["upload", "form"], on: ["back"] },
  "storage.remove": { ops: ["purge"] },
  "storage.remove.after": { ops: ["purge"] },
  "storage.derived": { ops: TASKS },
  "storage.derived.after": { ops: TASKS },
  "storage.sentinel": { ops: ["first"] },
  "storage.sentinel.after": { ops: ["first"] },
  "storage.sidecar": { elsewhere: "tests/contract/test_storage_list.c" },
  "storage.sidecar.sync": { elsewhere: "tests/contract/test_storage_list.c" },
  "storage.sidecar.rename": { elsewhere: "tests/contract/test_storage_list.c" },
  "storage.unnamed": { ops: ["restart"], on: ["fs"] },
  "storage.hardlink": { ops: ["restart"], on: ["fs"], with: "storage.unnamed=eio" },
  "catalog.migrate": { ops: ["first"] },
  "catalog.migrated": { ops: ["first"] },
  "catalog.commit": { ops: ["upload", "form", "duplicate", "picture", "broken", "rename", "trash", "restore", "purge", "folder", "merge", "unfolder", "reprocess"] },
  "catalog.committed": { ops: ["upload", "form", "duplicate", "picture", "broken", "rename", "trash", "restore", "purge", "folder", "merge", "unfolder", "reprocess"], actions: ["kill"] },
  "catalog.cache": { ops: ["drain"], on: ["sqlite"] },
  "catalog.cache.after": { ops: ["drain"], on: ["sqlite"] },
  "catalog.checkpoint": { ops: ["many"], on: ["sqlite"], actions: ["kill", "eio"] },
  "catalog.copy": { elsewhere: "tests/contract/test_migrate_copy.c" },
  "task.claim": { ops: [...TASKS, "reprocess"] },
  "task.claim.after": { ops: [...TASKS, "reprocess"] },
  "task.extend": { ops: ["slow"] },
  "task.extend.after": { ops: ["slow"] },
  "task.fail": { ops: ["broken"] },
  "task.fail.after": { ops: ["broken"] },
  "task.release": { ops: ["leave"] },
  "task.release.after": { ops: ["leave"] },
  "task.expire": { ops: ["expired"] },
  "task.expire.after": { ops: ["expired"] },
  "task.complete": { ops: [...TASKS, "reprocess"] },
  "task.complete.after": { ops: [...TASKS, "reprocess"] },
};
