// tools/check-layers.mjs on small trees: each kind of violation is found, and a tree without one passes.
import assert from "node:assert/strict";
import test from "node:test";
import { plant, run } from "./tree.mjs";

const sound = {
  "tools/layers.txt": "# who sees whom\nbase:\nstore: base\nwork: base store\n\n<sqlite3.h> src/store/sqlite/ src/work/db\n<vips/ src/work/\n",
  "src/base/base.h": "int base;\n",
  "src/base/base.c": '#include "base/base.h"\n',
  "src/store/store.h": '#include "base/base.h"\n#include "store/types.h"\n',
  "src/store/types.h": "int types;\n", // public, for store.h shows it to work
  "src/store/store.c": '#include "store/store.h"\n#include "store_priv.h"\n',
  "src/store/store_priv.h": "int priv;\n",
  "src/store/sqlite/lite.c": '#include <sqlite3.h>\n#include "lite_priv.h"\n#include "store/store_priv.h"\n',
  "src/store/sqlite/lite_priv.h": "int lite;\n",
  "src/work/work.c": '#include "store/store.h"\n#include <vips/vips.h>\n',
  "src/work/db.c": "#include <sqlite3.h>\n",
  "src/work/tested.h": "int tested;\n", // only a test includes it
  "tests/unit/test_work.c": '#include "work/tested.h"\n#include "store/store_priv.h"\n',
};
const check = (t, changes = {}) => run("check-layers.mjs", plant(t, { ...sound, ...changes }));

test("a tree that keeps the rules passes", (t) => {
  const { status, out } = check(t);
  assert.equal(out, "layers: 11 files, 3 rooms, 0 problems\n");
  assert.equal(status, 0);
});

// What each change of the sound tree has to be answered with; nothing else is said.
const faults = {
  "an include without a grant": [{ "src/base/base.c": '#include "base/base.h"\n#include "store/types.h"\n' },
    ["src/base/base.c: base may not include store, and does: src/base/base.c -> src/store/types.h"]],
  "an include without a grant, three headers away": [{
    "tools/layers.txt": `${sound["tools/layers.txt"]}top: base work\n`,
    "src/work/work.h": '#include "work/deep.h"\n', "src/work/deep.h": '#include "work/deeper.h"\n', "src/work/deeper.h": '#include "store/store.h"\n',
    "src/top/top.c": '#include "base/base.h"\n#include "work/work.h"\n', "src/top/more.c": '#include "work/work.h"\n' },
    ["src/top/more.c: top may not include store, and does: src/top/more.c -> src/work/work.h -> src/work/deep.h -> src/work/deeper.h -> " +
     "src/store/store.h (and 1 more of its files)"]],
  "an include from a sub-folder": [{ "src/base/deep/down.c": '#include "work/tested.h"\n' },
    ["src/base/deep/down.c: base may not include work, and does: src/base/deep/down.c -> src/work/tested.h"]],
  "another room's private header": [{ "src/work/work.c": `${sound["src/work/work.c"]}#include "store/store_priv.h"\n` },
    ["src/work/work.c:3: store/store_priv.h is private to store"]],
  "a public header that shows a private one": [{ "src/store/store.h": `${sound["src/store/store.h"]}#include "store_priv.h"\n` },
    ["src/store/store.h shows src/store/store_priv.h to src/work/work.c, and it is private to store"]],
  "a private header that does not say so": [{ "src/base/inner.h": "int inner;\n", "src/base/base.c": '#include "base/base.h"\n#include "inner.h"\n' },
    ["src/base/inner.h: no other room sees it and no test includes it: call it *_priv.h"]],
  "a header that is not there": [{ "src/base/base.c": '#include "base/base.h"\n#include "base/none.h"\n' }, ["src/base/base.c:2: no such file: base/none.h"]],
  "a header from outside of src/": [{ "tests/help.h": "int help;\n", "src/base/base.c": '#include "base/base.h"\n#include "help.h"\n' },
    ["src/base/base.c:2: help.h is not in src/"]],
  "a vendor header in the wrong place": [{ "src/store/store.c": `${sound["src/store/store.c"]}#include <sqlite3.h>\n` },
    ["src/store/store.c:3: <sqlite3.h> belongs in src/store/sqlite/* or src/work/db*"]],
  "a vendor header that a header shows to the wrong place": [{
    "src/store/store.h": `${sound["src/store/store.h"]}#include "store/sqlite/open.h"\n`, "src/store/sqlite/open.h": "#include <sqlite3.h>\n" },
    ["src/store/store.c sees <sqlite3.h> through src/store/sqlite/open.h, and it belongs in src/store/sqlite/* or src/work/db*",
     "src/work/work.c sees <sqlite3.h> through src/store/sqlite/open.h, and it belongs in src/store/sqlite/* or src/work/db*"]],
  "a vendor header that nobody includes": [{ "src/work/work.c": '#include "store/store.h"\n' }, ["tools/layers.txt: nothing in src/work/* includes <vips/"]],
  "a grant that nobody uses": [{ "tools/layers.txt": sound["tools/layers.txt"].replace("base:", "spare:\nbase: spare"), "src/spare/spare.c": "\n" },
    ["tools/layers.txt: base does not use its grant of spare"]],
  "a row without a room": [{ "tools/layers.txt": `${sound["tools/layers.txt"]}ghost:\n` }, ["tools/layers.txt: ghost has a row and no folder in src/"]],
  "a room without a row": [{ "src/attic/attic.c": "\n" }, ["src/attic: not in tools/layers.txt"]],
  "a file that is in no room": [{ "src/stray.c": "\n" }, ["src/stray.c: not in a room"]],
  "a grant of a room without a row": [{ "tools/layers.txt": sound["tools/layers.txt"].replace("base:", "base: nobody") },
    ["tools/layers.txt: base is granted nobody, which has no row"]],
  "two rows of one room": [{ "tools/layers.txt": `${sound["tools/layers.txt"]}base:\n` }, ["tools/layers.txt:8: base has two rows"]],
  "a cycle of rooms": [{ "tools/layers.txt": sound["tools/layers.txt"].replace("store: base", "store: base work"), "src/store/up.c": '#include "work/tested.h"\n' },
    ["tools/layers.txt: a cycle of store, work"]],
  "a room that is granted itself": [{ "tools/layers.txt": sound["tools/layers.txt"].replace("base:", "base: base") }, ["tools/layers.txt: base is granted itself"]],
  "a line that says nothing": [{ "tools/layers.txt": `${sound["tools/layers.txt"]}base store\n` }, ["tools/layers.txt:8: cannot read 'base store'"]],
};
for (const [what, [changes, says]] of Object.entries(faults))
  test(what, (t) => {
    const { status, out } = check(t, changes);
    assert.deepEqual(out.trim().split("\n").filter((l) => !l.startsWith("layers: ")), says);
    assert.equal(status, 1);
  });
