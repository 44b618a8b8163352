// Banned calls, bare malloc outside base, file and function sizes, SPDX lines, hosts and machine paths, and one dialect.
// check-source.mjs [tree]: another tree than this one, for tests.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

const root = path.resolve(process.argv[2] ?? path.join(path.dirname(new URL(import.meta.url).pathname), ".."));
const tracked = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], { cwd: root, encoding: "utf8" }).split("\n").filter((f) => f && fs.existsSync(path.join(root, f)));
const problems = [];
const banned = /\b(sprintf|vsprintf|strcpy|strcat|strncat|gets|atoi|atol|atoll|strtok|system|popen|tmpnam|mktemp)\s*\(/;
const bareMemory = /(?<![\w.>])(malloc|calloc|realloc|free|strdup|strndup|asprintf|vasprintf)\s*\(/;
const generated = /unicode_tables|warmup_files|fold_table/;
const MAX_FILE = 600, MAX_FUNCTION = 60;

// Comments and strings are blanked so that words in them count for nothing.
const blank = (s) => s.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'/g, (m) => m.replace(/[^\n]/g, " "));

function functions(text, file) {
  // clang-format puts the brace that opens a function alone in the first column, and the closing one too.
  const lines = text.split("\n");
  let start = -1;
  lines.forEach((line, i) => {
    if (line === "{") start = i;
    else if (line === "}" && start >= 0) {
      const n = i - start - 1;
      if (n > MAX_FUNCTION) problems.push(`${file}:${start + 1}: function of ${n} lines, at most ${MAX_FUNCTION}`);
      start = -1;
    }
  });
}

// The rules of CONTRIBUTING.md, "Style, in short", that a script can check.
const type = /^(const |volatile |_Atomic )*((struct|union|enum|unsigned|signed|int|char|float|double|long|short|void|bool|FILE|DIR)\b|\w+_t\b|__m\d+|f32x4\b)/;

function closing(code, open) {
  let depth = 0, i = open;
  do depth += code[i] === "(" ? 1 : code[i] === ")" ? -1 : 0; while (depth && ++i < code.length);
  return i;
}

function dialect(code, file) {
  const say = (at, text) => problems.push(`${file}:${code.slice(0, at).split("\n").length}: ${text}`);
  const macro = new Set();
  for (const m of code.matchAll(/^[ \t]*#define(?:[^\n]*\\\n)*[^\n]*/gm)) for (let i = 0; i < m[0].length; i++) macro.add(m.index + i);
  for (const m of code.matchAll(/\bsizeof\(/g)) {
    const inside = code.slice(m.index + 7, closing(code, m.index + 6)).trim();
    if (!macro.has(m.index) && !type.test(inside)) say(m.index, `sizeof(${inside}): of an expression without parentheses`);
  }
  if (!file.startsWith("src/")) return;
  for (const m of code.matchAll(/^static\s[^;={}()]*?\b([A-Za-z_]\w*)\((?!\*)/gm))
    if (!m[1].includes("_")) say(m.index, `static ${m[1]}(): two words that say what it does`);
  for (const m of code.matchAll(/\b([a-z_]\w*)\(([^()]*\bbool\s+\w[^()]*)\)/g))
    if (m[2].match(/\bbool\s+\w/g).length > 1) say(m.index, `${m[1]}(): two boolean parameters; an enum, flags or two functions`);
  for (const m of code.matchAll(/\b(?:str(?:n?cmp|n?casecmp|str|chr)|memmem)\([^;{}]*?(?:->|\.)msg\b/g)) say(m.index, "a branch on the words of an error");
}

for (const file of tracked) {
  const c = /\.(c|h)$/.test(file) && /^(src|tests|bench)\//.test(file);
  if (!c) continue;
  const text = fs.readFileSync(path.join(root, file), "utf8");
  const code = blank(text);
  const lines = code.split("\n");
  if (!text.startsWith("/* SPDX-License-Identifier: Apache-2.0 */")) problems.push(`${file}: first line is not the SPDX line`);
  if (!generated.test(file)) {
    if (lines.length > MAX_FILE) problems.push(`${file}: ${lines.length} lines, at most ${MAX_FILE}`);
    functions(code, file);
  }
  dialect(code, file);
  lines.forEach((line, i) => {
    const b = banned.exec(line);
    if (b) problems.push(`${file}:${i + 1}: ${b[1]} is banned`);
    const m = bareMemory.exec(line);
    if (m && file.startsWith("src/") && !file.startsWith("src/base/")) problems.push(`${file}:${i + 1}: ${m[1]} outside base`);
  });
}
for (const file of tracked) {
  if (/package-lock\.json$|^models\/|^tests\/data\/|^tests\/fuzz\/corpus\//.test(file)) continue;
  const bytes = fs.readFileSync(path.join(root, file));
  if (bytes.includes(0)) continue;
  bytes.toString("utf8").split("\n").forEach((line, i) => {
    if (/https?:\/\/(registry|deb|pypi|files)\./.test(line) || /(^|[\s"'=])\/(work|root|home)\//.test(line)) problems.push(`${file}:${i + 1}: a machine's path or a registry's host`);
  });
}
for (const p of problems) console.error(p);
console.log(`source: ${tracked.length} files, ${problems.length} problems`);
process.exit(problems.length ? 1 : 0);
