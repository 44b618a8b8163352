// Markdown: lines of prose have at most 120 columns, and relative links lead to files and headings that exist.
// Tables, code, and lines that cannot be broken (a URL, a link, a heading with a link) may be longer.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

const root = process.argv[2] ?? path.resolve(path.dirname(new URL(import.meta.url).pathname), "..");
const MAX = 120;
const problems = [];
const git = (...args) => execFileSync("git", args, { cwd: root, encoding: "utf8" }).split("\n");
const pages = git("ls-files", "-co", "--exclude-standard", "*.md").filter((f) => f && fs.existsSync(path.join(root, f)));

// The lines of a page with `prose` false for tables and code. An indented block is code unless it goes on with a list item.
function read(page) {
  let fence = false, blank = true, list = false, code = false;
  return fs.readFileSync(path.join(root, page), "utf8").split("\n").map((text, i) => {
    const line = { text, n: i + 1, prose: false };
    if (/^\s*```/.test(text)) fence = !fence;
    else if (!fence && text.trim()) {
      code = /^( {4}|\t)/.test(text) && (code || (blank && !list));
      if (/^\s*([-*]|\d+\.) /.test(text)) list = true;
      else if (/^\S/.test(text)) list = false;
      line.prose = !code && !/^\s*\|/.test(text);
      line.code = code;
    } else line.code = fence;
    blank = !text.trim();
    return line;
  });
}

// What GitHub makes of a heading.
const anchor = (heading) => heading.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").trim().replace(/\s/g, "-");
const anchors = new Map();
function anchorsOf(page) {
  if (!anchors.has(page))
    anchors.set(page, new Set(read(page).filter((l) => l.prose && /^#+ /.test(l.text)).map((l) => anchor(l.text.replace(/^#+ /, "")))));
  return anchors.get(page);
}

function checkLink(page, n, target) {
  if (/^[a-z]+:/i.test(target)) return;
  const [file, id] = target.split("#");
  const to = file ? path.join(path.dirname(page), file) : page;
  if (!fs.existsSync(path.join(root, to))) problems.push(`${page}:${n}: the link to ${target} leads nowhere`);
  else if (id && to.endsWith(".md") && !anchorsOf(to).has(id)) problems.push(`${page}:${n}: ${to} has no heading #${id}`);
}

for (const page of pages)
  for (const { text, n, prose, code } of read(page)) {
    const breakable = /\S\s+\S/.test(text.replace(/^\s*(([-*]|\d+\.) )?/, "").replace(/!?\[[^\]]*\]\([^)]*\)/g, "L")) && !/^#+ .*\]\(/.test(text);
    if (prose && breakable && [...text].length > MAX) problems.push(`${page}:${n}: ${[...text].length} columns of prose, at most ${MAX}`);
    if (!code) for (const link of text.replace(/`[^`]*`/g, "").matchAll(/\]\(([^)\s]+)\)/g)) checkLink(page, n, link[1]);
  }
for (const p of problems) console.error(p);
console.log(`prose: ${pages.length} pages, ${problems.length} problems`);
process.exit(problems.length ? 1 : 0);
