// tools/check-prose.mjs on small trees: long prose and dead links are found, and what may be long passes.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import test from "node:test";
import { plant, run } from "./tree.mjs";

const long = "word ".repeat(25).trim(); // 124 columns
const sound = {
  "README.md": `# House\n\nSee [the page](docs/page.md#a-room-of-its-own) and [home](https://example.org/), [here](#house).\n`,
  "docs/page.md": [
    "# Page", "", "## A room, of `its` own", "", `| table | ${long} |`, "", `    code ${long}`, "", "```", long, "[x](nowhere)", "```", "",
    `https://example.org/${"x".repeat(120)}`, "", `- [${"link ".repeat(30)}](../README.md)`, "", `## [${long}](../README.md) in a heading`,
    "", "- an item", "", "  that goes on after a blank line", "", "Words in `code](nowhere)` are no link.", "",
  ].join("\n"),
};
function check(t, changes = {}) {
  const root = plant(t, { ...sound, ...changes });
  execFileSync("git", ["init", "-q", root]);
  return run("check-prose.mjs", root);
}

test("tables, code, URLs and links may be long", (t) => {
  const { status, out } = check(t);
  assert.equal(out, "prose: 2 pages, 0 problems\n");
  assert.equal(status, 0);
});

const faults = {
  "a long line": [long, /other\.md:1: 124 columns of prose, at most 120/],
  "a long line of a list": [`- item\n\n    ${long}`, /other\.md:3: 128 columns/],
  "a link to no file": ["[x](docs/none.md)", /other\.md:1: the link to docs\/none\.md leads nowhere/],
  "a link from a table": ["| [x](none.md) |", /other\.md:1: the link to none\.md leads nowhere/],
  "a picture that is not there": ["![x](none.svg)", /other\.md:1: the link to none\.svg leads nowhere/],
  "a link to no heading": ["[x](docs/page.md#none)", /other\.md:1: docs\/page\.md has no heading #none/],
};
for (const [name, [text, expected]] of Object.entries(faults))
  test(`${name} is found`, (t) => {
    const { status, out } = check(t, { "other.md": `${text}\n` });
    assert.match(out, expected);
    assert.match(out, /, 1 problems\n/);
    assert.equal(status, 1);
  });
