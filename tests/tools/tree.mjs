// A small tree of sources in a temporary folder, for tests of the tools that read src/.
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

const project = path.resolve(path.dirname(new URL(import.meta.url).pathname), "../..");

// files: { path: text }. The folder is removed when the test is over.
export function plant(t, files) {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), "fa-tree-"));
  t.after(() => fs.rmSync(root, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
    fs.writeFileSync(path.join(root, name), text);
  }
  return root;
}

// Compiles the tree's .c files as CMake would, with compile_commands.json beside the objects.
export function compile(root) {
  const build = path.join(root, "build"), commands = [];
  fs.mkdirSync(build);
  for (const file of fs.readdirSync(root, { recursive: true }).map(String).filter((f) => f.endsWith(".c"))) {
    const output = `${/^src\//.test(file) ? "" : "tests/"}${file.replaceAll("/", "_")}.o`;
    fs.mkdirSync(path.dirname(path.join(build, output)), { recursive: true });
    execFileSync("cc", ["-O2", "-I", path.join(root, "src"), "-o", path.join(build, output), "-c", path.join(root, file)]);
    commands.push({ directory: build, command: `cc -O2 -o ${output} -c ${path.join(root, file)}`, file: path.join(root, file) });
  }
  fs.writeFileSync(path.join(build, "compile_commands.json"), JSON.stringify(commands));
  return build;
}

// { status, out }: what a tool says of it, errors too.
export function run(tool, ...args) {
  const r = spawnSync(process.execPath, [path.join(project, "tools", tool), ...args], { encoding: "utf8" });
  return { status: r.status, out: r.stdout + r.stderr };
}
