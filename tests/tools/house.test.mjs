// tools/house.mjs on small houses: each kind of fault is found, and a house without one passes.
import assert from "node:assert/strict";
import test from "node:test";
import { compile, plant, run } from "./tree.mjs";

const filler = "int filler;\n".repeat(40);
const sound = {
  "tools/layers.txt": "base:\ntop: base\n",
  "tools/house.txt": "limit room 60\nlimit circle 2\ngenerated big_table\nunused used_by_test a test sets the clock with it\n",
  "src/base/base.h": `int base_one(void);\nint used_by_test(void);\nextern int base_number;\n`,
  "src/base/base.c": `#include "base/base.h"\nint base_number;\nint base_one(void) { return 1; }\nint used_by_test(void) { return 2; }\n/*\n${filler}*/\n`,
  "src/base/big_table_priv.h": filler.repeat(20),
  "src/top/deep/side.c": `#include "base/base.h"\nint side(void);\nint side(void) { return base_number; }\n`,
  "src/top/main.c": `#include "base/base.h"\nint side(void);\nint main(void) { return base_one() + side(); }\n/*\n${filler}*/\n`,
  "tests/test_base.c": `#include "base/base.h"\nint main(void) { return used_by_test(); }\n`,
};
const house = (t, changes, ...flags) => {
  const root = plant(t, { ...sound, ...changes });
  const build = compile(root);
  return run("house.mjs", ...flags, root, build);
};

test("a house within its limits passes, and is drawn", (t) => {
  const checked = house(t, {}, "--check");
  assert.equal(checked.status, 0, checked.out);
  const { out, status } = house(t, {});
  assert.equal(status, 0);
  assert.match(out, /^2 rooms, /);
  assert.match(out, /^ +1 top +\d+ +\d+\.\d% +base$/m);
  assert.match(out, /^ +deep\/ +3 /m, "a sub-folder is shown within its room");
  assert.match(out, /^ +0 base /m);
  assert.match(out, /used_by_test \(function; tests: test_base\.c\): a test sets the clock with it/);
  assert.match(out, /Circles of files: none/);
});

test("a room that is too large", (t) => {
  const { out, status } = house(t, { "src/base/base_more.c": filler.replaceAll(/^/gm, "//") }, "--check");
  assert.equal(status, 1);
  assert.match(out, /src\/base: \d+ lines, \d+\.\d % of src; a room has at most 60 %/);
});

test("a circle of files, by functions and by data", (t) => {
  const circle = {
    "src/base/a.c": "extern int c_data;\nint a_do(void);\nint a_do(void) { return c_data; }\n",
    "src/base/b.c": "int a_do(void);\nint b_do(void);\nint b_do(void) { return a_do(); }\n",
    "src/base/c.c": "int b_do(void);\nint (*c_table[])(void) = {b_do};\nint c_data;\n",
  };
  const open = house(t, circle, "--check");
  assert.match(open.out, /c_table is used by no other file/);
  assert.match(open.out, /a circle of 3 files that call each other, at most 2: src\/base\/a\.c, src\/base\/b\.c, src\/base\/c\.c/);
  const { out } = house(t, circle);
  assert.match(out, /src\/base\/a\.c -> src\/base\/c\.c: c_data$/m);
  assert.match(out, /src\/base\/c\.c -> src\/base\/b\.c: b_do$/m);
});

test("an arrow against the table, although nothing is included", (t) => {
  const { out, status } = house(t, { "src/base/up.c": "int side(void);\nint up(void);\nint up(void) { return side(); }\n" }, "--check");
  assert.equal(status, 1);
  assert.match(out, /base -> top is against tools\/layers\.txt/);
});

test("what no other file uses, and an exception that is none any more", (t) => {
  const { out, status } = house(t, {
    "src/top/idle.c": "int idle(void);\nint idle(void) { return 0; }\nint tried(void);\nint tried(void) { return 0; }\n",
    "tests/test_idle.c": "int tried(void);\nint main(void) { return tried(); }\n",
    "tools/house.txt": `${sound["tools/house.txt"]}unused base_one was unused once\n`,
  }, "--check");
  assert.equal(status, 1);
  assert.match(out, /src\/top\/idle\.c: idle is used by no other file/);
  assert.match(out, /src\/top\/idle\.c: tried is used by tests only/);
  assert.match(out, /tools\/house\.txt: base_one is not unused/);
});

test("objects that are not built, and a line that cannot be read", (t) => {
  const root = plant(t, { ...sound, "tools/house.txt": "limit size 3\n" }), build = compile(root);
  assert.match(run("house.mjs", "--check", root, build).out, /tools\/house\.txt:1: cannot read 'limit size 3'/);
  const bare = run("house.mjs", "--check", root, `${build}/none`);
  assert.notEqual(bare.status, 0);
});
