// The include graph of src/ and the table tools/layers.txt, for check-layers and house.
import fs from "node:fs";
import path from "node:path";

// { rooms: Map room -> Set of rooms it may include, vendors: [{ header, places }], problems }
export function readTable(root) {
  const rooms = new Map(), vendors = [], problems = [];
  const lines = fs.readFileSync(path.join(root, "tools/layers.txt"), "utf8").split("\n");
  for (const [i, line] of lines.entries()) {
    if (!line.trim() || line.startsWith("#")) continue;
    const vendor = /^<(\S+?)>?((?:\s+\S+)+)$/.exec(line), row = /^(\w+):\s*(.*)$/.exec(line);
    if (vendor) vendors.push({ header: vendor[1], places: vendor[2].trim().split(/\s+/) });
    else if (!row) problems.push(`tools/layers.txt:${i + 1}: cannot read '${line}'`);
    else if (rooms.has(row[1])) problems.push(`tools/layers.txt:${i + 1}: ${row[1]} has two rows`);
    else rooms.set(row[1], new Set(row[2].split(/\s+/).filter(Boolean)));
  }
  return { rooms, vendors, problems };
}

export function* walk(dir, pattern) {
  if (!fs.existsSync(dir)) return;
  for (const e of fs.readdirSync(dir, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const p = path.join(dir, e.name);
    if (e.isDirectory()) yield* walk(p, pattern);
    else if (pattern.test(e.name)) yield p;
  }
}

export const roomOf = (file) => file.split("/")[1]; // src/<room>/…, sub-folders belong to their room

// Map file -> { own: [{ line, name, target }], system: [{ line, name }] } of the files below folder. Paths are relative
// to root; target is null when nothing in the tree has that name (beside the file or below src/).
export function includes(root, folder) {
  const graph = new Map();
  for (const file of walk(path.join(root, folder), /\.(c|h|def)$/)) {
    const rel = path.relative(root, file), own = [], system = [];
    for (const [i, line] of fs.readFileSync(file, "utf8").split("\n").entries()) {
      const m = /^\s*#\s*include\s+(["<])([^">]+)[">]/.exec(line);
      if (!m) continue;
      if (m[1] === "<") { system.push({ line: i + 1, name: m[2] }); continue; }
      const found = [path.join(path.dirname(file), m[2]), path.join(root, "src", m[2]), path.join(root, "tests", m[2])].find((p) => fs.existsSync(p));
      own.push({ line: i + 1, name: m[2], target: found ? path.relative(root, found) : null });
    }
    graph.set(rel, { own, system });
  }
  return graph;
}

// What a file sees: Map header -> the trail of headers that leads there, the file itself not among them.
export function seen(graph, file) {
  const trails = new Map(), next = [[file, []]];
  while (next.length) { // breadth first: the trail is a shortest one
    const [at, trail] = next.shift();
    for (const { target } of graph.get(at)?.own ?? []) {
      if (!target || target === file || trails.has(target)) continue;
      trails.set(target, [...trail, target]);
      next.push([target, [...trail, target]]);
    }
  }
  return trails;
}

// Strongly connected components of more than one node; edges: Map node -> iterable of nodes.
export function circles(edges) {
  const index = new Map(), low = new Map(), on = new Set(), stack = [], out = [];
  const visit = (v) => {
    index.set(v, index.size);
    low.set(v, index.get(v));
    stack.push(v);
    on.add(v);
    for (const w of edges.get(v) ?? []) {
      if (!index.has(w)) { visit(w); low.set(v, Math.min(low.get(v), low.get(w))); }
      else if (on.has(w)) low.set(v, Math.min(low.get(v), index.get(w)));
    }
    if (low.get(v) !== index.get(v)) return;
    const one = [];
    let w;
    do { w = stack.pop(); on.delete(w); one.push(w); } while (w !== v);
    if (one.length > 1) out.push(one.sort());
  };
  for (const v of edges.keys()) if (!index.has(v)) visit(v);
  return out.sort((a, b) => b.length - a.length || (a[0] < b[0] ? -1 : 1));
}
