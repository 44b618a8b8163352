// What tools/check-source.mjs says of a tree that breaks one rule of style, and that it is silent where none is broken.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import path from "node:path";
import { test } from "node:test";
import { plant } from "./tree.mjs";

const tool = path.resolve(path.dirname(new URL(import.meta.url).pathname), "../../tools/check-source.mjs");
const head = "/* SPDX-License-Identifier: Apache-2.0 */\n";

function check(t, code, file = "src/room/room.c") {
  const root = plant(t, { [file]: head + code });
  execFileSync("git", ["init", "-q"], { cwd: root });
  const { status, stderr } = spawnSync("node", [tool, root], { encoding: "utf8" });
  return { status, said: stderr.trim() };
}

const good = `
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int report_progress(struct err *e, bool whole)
{
        return memcmp(e->msg, "two_words", sizeof e->code) + sizeof(struct err) + sizeof(uint64_t) + sizeof *e;
}
`;

test("a file that keeps the rules passes", (t) => {
  const { status, said } = check(t, good);
  assert.equal(said, "");
  assert.equal(status, 0);
});

for (const [rule, code, says] of [
  ["a static helper of one word", "static int tell(int x)\n{\n        return x;\n}\n", /room\.c:2: static tell\(\)/],
  ["its declaration alone", "static void run(void);\n", /static run\(\)/],
  ["sizeof an expression in parentheses", "int a = sizeof(b->c[1]);\n", /room\.c:2: sizeof\(b->c\[1\]\)/],
  ["two booleans", "int look_at(int n, bool whole,\n            bool of_one);\n", /look_at\(\): two boolean parameters/],
  ["a branch on an error's words", 'bool is_late = !strncmp(e->msg, "late", 4);\n', /a branch on the words/],
  ["a branch on a copy of an error's words", 'bool is_late = strstr(k->why.msg, "late") != NULL;\n', /a branch on the words/],
])
  test(`${rule}: told with its place`, (t) => {
    const { status, said } = check(t, code);
    assert.match(said, says);
    assert.equal(status, 1);
  });

test("words in comments and strings break no rule", (t) => {
  assert.equal(check(t, '/*\nstatic int tell(int x) */\nconst char *s = "sizeof(x) strstr(e->msg, 1)";\n').said, "");
});

test("tests may call a helper what they like, but size as everybody does", (t) => {
  assert.equal(check(t, "static int put(int x)\n{\n        return x;\n}\n", "tests/unit/test_x.c").said, "");
  assert.match(check(t, "int a = sizeof(b);\n", "tests/unit/test_x.c").said, /test_x\.c:2: sizeof\(b\)/);
});
