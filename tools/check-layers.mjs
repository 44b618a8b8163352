// Holds src/ to tools/layers.txt: which room may include which, where vendor headers may stand, no cycles,
// and *_priv.h only inside its own room.
import fs from "node:fs";
import path from "node:path";

const root = path.resolve(path.dirname(new URL(import.meta.url).pathname), "..");
const allowed = new Map(), vendors = [];
for (const line of fs.readFileSync(path.join(root, "tools/layers.txt"), "utf8").split("\n")) {
  if (!line.trim() || line.startsWith("#")) continue;
  const v = /^(<\S+)\s+(\S.*)$/.exec(line), r = /^(\w+):\s*(.*)$/.exec(line);
  if (v) vendors.push({ prefix: v[1].slice(1).replace(/>$/, ""), where: v[2].split(/\s+/) });
  else if (r) allowed.set(r[1], new Set(r[2].split(/\s+/).filter(Boolean)));
  else { console.error(`layers.txt: cannot read '${line}'`); process.exit(1); }
}

const problems = [];
// The table itself must be a DAG.
const state = new Map();
function visit(room, trail) {
  if (state.get(room) === "done") return;
  if (state.get(room) === "open") { problems.push(`layers.txt has a cycle: ${[...trail, room].join(" -> ")}`); return; }
  state.set(room, "open");
  for (const next of allowed.get(room) ?? []) visit(next, [...trail, room]);
  state.set(room, "done");
}
for (const room of allowed.keys()) visit(room, []);

function* sources(dir) {
  for (const e of fs.readdirSync(dir, { withFileTypes: true })) {
    const p = path.join(dir, e.name);
    if (e.isDirectory()) yield* sources(p);
    else if (/\.(c|h|def)$/.test(e.name)) yield p;
  }
}
let files = 0;
for (const file of sources(path.join(root, "src"))) {
  files++;
  const rel = path.relative(root, file), room = rel.split("/")[1];
  if (!allowed.has(room)) { problems.push(`${rel}: room ${room} is not in layers.txt`); continue; }
  for (const [i, line] of fs.readFileSync(file, "utf8").split("\n").entries()) {
    const own = /^\s*#\s*include\s+"([^"]+)"/.exec(line), sys = /^\s*#\s*include\s+<([^>]+)>/.exec(line);
    if (own) {
      const target = own[1].includes("/") ? own[1].split("/")[0] : room;
      if (target !== room && !allowed.get(room).has(target)) problems.push(`${rel}:${i + 1}: ${room} may not include ${target}`);
      if (target !== room && /_priv\.h$/.test(own[1])) problems.push(`${rel}:${i + 1}: ${own[1]} is private to ${target}`);
    }
    if (sys) for (const v of vendors)
      if (sys[1].startsWith(v.prefix) && !v.where.some((w) => rel.startsWith(w))) problems.push(`${rel}:${i + 1}: <${sys[1]}> belongs in ${v.where.join(" or ")}*`);
  }
}
for (const p of problems) console.error(p);
console.log(`layers: ${files} files, ${allowed.size} rooms, ${problems.length} problems`);
process.exit(problems.length ? 1 : 0);
