// Checks src/ against tools/layers.txt: which room may include which, directly or through other headers; where the headers of
// libraries may be included; no cycles; *_priv.h only inside its own room, and every header that no other room includes is a *_priv.h.
//
//     node tools/check-layers.mjs [ROOT]
import fs from "node:fs";
import path from "node:path";
import { circles, includes, readTable, roomOf, seen } from "./layers.mjs";

const root = path.resolve(process.argv[2] ?? path.join(path.dirname(new URL(import.meta.url).pathname), ".."));
const { rooms, vendors, problems } = readTable(root);
const graph = includes(root, "src");
const outside = new Map([...includes(root, "tests"), ...includes(root, "bench")]);

for (const file of graph.keys()) if (file.split("/").length < 3) problems.push(`${file}: not in a room`);
for (const room of new Set([...graph.keys()].filter((f) => f.split("/").length > 2).map(roomOf))) if (!rooms.has(room)) problems.push(`src/${room}: not in tools/layers.txt`);
for (const [room, granted] of rooms) {
  if (!fs.existsSync(path.join(root, "src", room))) problems.push(`tools/layers.txt: ${room} has a row and no folder in src/`);
  for (const g of granted) {
    if (g === room) problems.push(`tools/layers.txt: ${room} is granted itself`);
    else if (!rooms.has(g)) problems.push(`tools/layers.txt: ${room} is granted ${g}, which has no row`);
  }
}
for (const c of circles(rooms)) problems.push(`tools/layers.txt: a cycle of ${c.join(", ")}`);

// Each include line by itself.
for (const [file, { own }] of graph) {
  const room = roomOf(file);
  for (const { line, name, target } of own) {
    if (!target) problems.push(`${file}:${line}: no such file: ${name}`);
    else if (!target.startsWith("src/")) problems.push(`${file}:${line}: ${name} is not in src/`);
    else if (roomOf(target) !== room && /_priv\.h$/.test(target)) problems.push(`${file}:${line}: ${name} is private to ${roomOf(target)}`);
  }
}

// Vendor headers, as far as they are seen; of each header that shows one to the wrong place, the first file is named.
const shown = new Map(), usedPlaces = new Set();
for (const [file, { system }] of graph) {
  const sees = system.map(({ line, name }) => ({ name, at: `${file}:${line}`, says: "" }));
  for (const header of seen(graph, file).keys())
    for (const { name } of graph.get(header)?.system ?? []) sees.push({ name, at: `${header} ${name} ${roomOf(file)}`, says: `${file} sees <${name}> through ${header}, and it` });
  for (const { name, at, says } of sees)
    for (const v of vendors.filter((x) => name.startsWith(x.header))) {
      const here = v.places.filter((p) => file.startsWith(p));
      for (const p of here) usedPlaces.add(v.header + p);
      if (!here.length && !shown.has(at)) shown.set(at, `${says || `${at}: <${name}>`} belongs in ${v.places.map((p) => `${p}*`).join(" or ")}`);
    }
}
problems.push(...shown.values());

// What each room sees, however many headers lie between.
const reached = new Map([...rooms.keys()].map((r) => [r, new Map()])); // room -> room -> { trail, files }
for (const file of graph.keys()) {
  const mine = reached.get(roomOf(file));
  for (const [header, trail] of mine ? seen(graph, file) : []) {
    const other = roomOf(header);
    if (!header.startsWith("src/") || other === roomOf(file)) continue;
    const way = mine.get(other) ?? mine.set(other, { trail: null, files: new Set() }).get(other);
    way.files.add(file);
    if (!way.trail || trail.length + 1 < way.trail.length) way.trail = [file, ...trail];
  }
}
for (const [room, ways] of reached)
  for (const [other, { trail, files }] of ways)
    if (!rooms.get(room).has(other)) {
      const more = files.size > 1 ? ` (and ${files.size - 1} more of its files)` : "";
      problems.push(`${trail[0]}: ${room} may not include ${other}, and does: ${trail.join(" -> ")}${more}`);
    }
for (const [room, granted] of rooms)
  for (const g of granted) if (g !== room && rooms.has(g) && !reached.get(room).has(g)) problems.push(`tools/layers.txt: ${room} does not use its grant of ${g}`);
for (const v of vendors)
  for (const p of v.places) if (!usedPlaces.has(v.header + p)) problems.push(`tools/layers.txt: nothing in ${p}* includes <${v.header}`);

// A header that another room sees, or a test includes, is public; every other one says that it is private. Tests may include
// private headers too.
const open = new Set(), hidden = new Map();
for (const [file, { own }] of [...graph, ...outside]) {
  const room = graph.has(file) ? roomOf(file) : null;
  for (const { target } of own) {
    if (!target?.startsWith("src/") || roomOf(target) === room || target.endsWith("_priv.h")) continue;
    for (const header of [target, ...seen(graph, target).keys()])
      if (!header.endsWith("_priv.h")) open.add(header);
      else if (room && roomOf(header) !== room) hidden.set(header, `${target} shows ${header} to ${file}, and it is private to ${roomOf(header)}`);
  }
}
problems.push(...hidden.values());
for (const file of graph.keys())
  if (file.endsWith(".h") && !file.endsWith("_priv.h") && !open.has(file))
    problems.push(`${file}: no other room sees it and no test includes it: call it *_priv.h`);

for (const p of problems) console.error(p);
console.log(`layers: ${graph.size} files, ${rooms.size} rooms, ${problems.length} problems`);
process.exit(problems.length ? 1 : 0);
