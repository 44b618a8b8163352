// Draws the structure of the source: modules (rooms) with their sizes and layers (floors), the dependencies (arrows) between
// them, circular dependencies of .c files, and functions that nobody uses. The references, to data as well as functions, are read
// from the object files of a build (nm).
//
//     node tools/house.mjs [--check] [ROOT [BUILD]]
//
// --check prints only violations of tools/house.txt, and fails if there are any.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { circles, includes, readTable, roomOf, walk } from "./layers.mjs";

const args = process.argv.slice(2).filter((a) => a !== "--check"), checking = process.argv.includes("--check");
const root = path.resolve(args[0] ?? path.join(path.dirname(new URL(import.meta.url).pathname), ".."));
const build = path.resolve(args[1] ?? path.join(root, "build/dev"));
const problems = [];

// ---- tools/house.txt ----
const limits = { room: 100, circle: Infinity }, generated = [], allowed = new Map();
for (const [i, line] of fs.readFileSync(path.join(root, "tools/house.txt"), "utf8").split("\n").entries()) {
  if (!line.trim() || line.startsWith("#")) continue;
  const limit = /^limit (room|circle) (\d+)$/.exec(line), table = /^generated (\S+)$/.exec(line), unused = /^unused (\w+)\s+(\S.*)$/.exec(line);
  if (limit) limits[limit[1]] = Number(limit[2]);
  else if (table) generated.push(table[1]);
  else if (unused) allowed.set(unused[1], unused[2]);
  else problems.push(`tools/house.txt:${i + 1}: cannot read '${line}'`);
}

// ---- rooms and lines ----
const table = readTable(root).rooms, graph = includes(root, "src");
const rooms = new Map(); // room -> { lines, folders: Map sub-folder -> lines, files }
let total = 0;
for (const file of graph.keys()) {
  if (generated.some((g) => file.includes(g))) continue;
  const lines = fs.readFileSync(path.join(root, file), "utf8").split("\n").length - 1;
  const room = rooms.get(roomOf(file)) ?? rooms.set(roomOf(file), { lines: 0, files: 0, folders: new Map() }).get(roomOf(file));
  const folder = file.split("/").slice(2, -1).join("/");
  room.lines += lines;
  room.files++;
  total += lines;
  if (folder) room.folders.set(folder, (room.folders.get(folder) ?? 0) + lines);
}
const share = (lines) => (100 * lines) / total;

// ---- objects: who defines and who references what ----
const objects = new Map(); // object -> { file: path below root or generated/<room>/…, product }
for (const { directory, command, file } of JSON.parse(fs.readFileSync(path.join(build, "compile_commands.json"), "utf8"))) {
  const output = /\s-o (\S+)/.exec(command)[1], object = path.resolve(directory, output);
  const inside = path.relative(root, file), made = /CMakeFiles\/room_(\w+)\.dir\/generated\/(.*)\.o$/.exec(output);
  if (made) objects.set(object, { file: `src/${made[1]}/generated/${made[2]}`, product: true });
  else objects.set(object, { file: inside, product: inside.startsWith("src/") && !/^(tests|bench)\//.test(output) });
}
const missing = [...objects.keys()].filter((o) => !fs.existsSync(o));
if (missing.length) {
  console.error(`house: ${missing.length} objects are not built (${path.relative(root, missing[0])} …): make build`);
  process.exit(1);
}
const defined = new Map(), wanted = []; // symbol -> Set of product files; { symbol, file, product }
const types = new Map(); // symbol -> nm's letter
const nm = execFileSync("nm", ["-A", "-P", "-g", ...objects.keys()], { encoding: "utf8", maxBuffer: 1 << 28 });
for (const line of nm.split("\n")) {
  const m = /^(.*): (\S+) (\w)(?: |$)/.exec(line);
  if (!m) continue;
  const { file, product } = objects.get(m[1]);
  if (/[Uwv]/.test(m[3])) wanted.push({ symbol: m[2], file, product });
  else if (product) {
    (defined.get(m[2]) ?? defined.set(m[2], new Set()).get(m[2])).add(file);
    types.set(m[2], m[3]);
  }
}
const ties = new Map(); // file -> Map file -> Set of symbols
const users = new Map([...defined.keys()].map((s) => [s, { product: new Set(), tests: new Set() }]));
for (const { symbol, file, product } of wanted)
  for (const home of defined.get(symbol) ?? []) {
    if (home === file) continue;
    users.get(symbol)[product ? "product" : "tests"].add(file);
    if (!product) continue;
    const mine = ties.get(file) ?? ties.set(file, new Map()).get(file);
    (mine.get(home) ?? mine.set(home, new Set()).get(home)).add(symbol);
  }

// ---- arrows between rooms: an include or a reference ----
const arrows = new Map([...rooms.keys()].map((r) => [r, new Set()]));
const point = (from, to) => { if (from !== to && arrows.has(from) && arrows.has(to)) arrows.get(from).add(to); };
for (const [file, { own }] of graph) for (const { target } of own) if (target?.startsWith("src/")) point(roomOf(file), roomOf(target));
for (const [file, homes] of ties) for (const home of homes.keys()) point(roomOf(file), roomOf(home));
const against = [];
for (const [from, tos] of arrows) for (const to of tos) if (!table.get(from)?.has(to)) against.push(`${from} -> ${to}`);

// A room's floor is the length of the longest path from it to the ground; rooms in a circle share one.
const ringOf = new Map();
for (const ring of circles(arrows)) for (const room of ring) ringOf.set(room, ring);
const floors = new Map();
function floor(room) {
  if (floors.has(room)) return floors.get(room);
  const ring = ringOf.get(room) ?? [room];
  const below = ring.flatMap((r) => [...arrows.get(r)]).filter((r) => !ring.includes(r));
  const n = below.length ? 1 + Math.max(...below.map(floor)) : 0;
  for (const r of ring) floors.set(r, n);
  return n;
}
for (const room of rooms.keys()) floor(room);

// ---- circles of files, and what nobody uses ----
const rings = circles(new Map([...ties].map(([file, homes]) => [file, homes.keys()])));
const unused = [];
for (const [symbol, { product, tests }] of users) {
  if (product.size || symbol === "main") continue;
  unused.push({ symbol, file: [...defined.get(symbol)][0], tests: [...tests].sort() });
}
unused.sort((a, b) => (a.file + a.symbol < b.file + b.symbol ? -1 : 1));

// ---- rules ----
for (const [name, { lines }] of rooms)
  if (share(lines) > limits.room) problems.push(`src/${name}: ${lines} lines, ${share(lines).toFixed(1)} % of src; a room has at most ${limits.room} %`);
for (const ring of rings)
  if (ring.length > limits.circle) problems.push(`a circle of ${ring.length} files that call each other, at most ${limits.circle}: ${ring.join(", ")}`);
for (const a of against) problems.push(`${a} is against tools/layers.txt`);
for (const u of unused)
  if (!allowed.has(u.symbol)) problems.push(`${u.file}: ${u.symbol} is used by ${u.tests.length ? "tests only" : "no other file"}: remove it or make it static`);
for (const s of allowed.keys()) if (!unused.some((u) => u.symbol === s)) problems.push(`tools/house.txt: ${s} is not unused: strike its line`);

// ---- the picture ----
function draw() {
  const order = [...rooms].sort(([a, x], [b, y]) => floors.get(b) - floors.get(a) || y.lines - x.lines || (a < b ? -1 : 1));
  const count = [...arrows.values()].reduce((n, s) => n + s.size, 0);
  const largest = [...rooms].sort(([, x], [, y]) => y.lines - x.lines)[0];
  console.log(`${rooms.size} rooms, ${graph.size} files, ${total} lines; largest room ${largest[0]} ${share(largest[1].lines).toFixed(1)} %; ` +
    `${count} arrows, ${against.length} against the table; largest circle ${rings[0]?.length ?? 1} files; ${unused.length} unused symbols\n`);
  console.log("floor room             lines  share  arrows to");
  let last = -1;
  for (const [name, { lines, folders }] of order) {
    const at = floors.get(name), out = [...arrows.get(name)].sort((a, b) => floors.get(b) - floors.get(a) || (a < b ? -1 : 1));
    console.log(`${(at === last ? "" : String(at)).padStart(5)} ${name.padEnd(14)} ${String(lines).padStart(7)} ${share(lines).toFixed(1).padStart(5)}%  ${out.join(" ")}`);
    for (const [folder, n] of folders) console.log(`        ${`${folder}/`.padEnd(12)} ${String(n).padStart(6)} ${share(n).toFixed(1).padStart(5)}%`);
    last = at;
  }
  console.log(`\nAgainst the table: ${against.join(", ") || "none"}`);
  console.log(`Circles of rooms: ${circles(arrows).map((c) => c.join(" ")).join("; ") || "none"}`);
  console.log(`Circles of files: ${rings.length || "none"}`);
  for (const ring of rings) {
    console.log(`  ${ring.length} files`);
    for (const file of ring)
      for (const [home, symbols] of ties.get(file))
        if (ring.includes(home)) console.log(`    ${file} -> ${home}: ${[...symbols].sort().join(" ")}`);
  }
  console.log(`Defined for others and used by no other file of the program: ${unused.length || "none"}`);
  for (const { symbol, file, tests } of unused) {
    const by = tests.length ? `tests: ${tests.map((t) => path.basename(t)).join(" ")}` : "nobody";
    console.log(`  ${file}: ${symbol} (${/[TW]/.test(types.get(symbol)) ? "function" : "data"}; ${by})${allowed.has(symbol) ? `: ${allowed.get(symbol)}` : ""}`);
  }
  const priv = new Map();
  for (const folder of ["tests", "bench"])
    for (const [file, { own }] of includes(root, folder))
      for (const { target } of own) if (target && /^src\/.*_priv\.h$/.test(target)) priv.set(target, [...(priv.get(target) ?? []), path.basename(file)]);
  console.log(`Private headers that tests include (allowed): ${priv.size || "none"}`);
  for (const [header, files] of [...priv].sort()) console.log(`  ${header}: ${files.join(" ")}`);
}

if (!checking) { draw(); if (problems.length) console.log("\nBroken rules:"); }
for (const p of problems) (checking ? console.error : console.log)(checking ? p : `  ${p}`);
if (checking) console.log(`house: ${rooms.size} rooms, ${rings.length} circles, ${problems.length} problems`);
process.exit(checking && problems.length ? 1 : 0);
