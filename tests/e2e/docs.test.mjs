// The documentation page in a real browser: it renders under its policy, with no console error and nothing from outside.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { chromium } from "playwright-core";
import { Server, build, slow } from "./harness.mjs";

test("/api/docs shows every tag and keeps to its own origin", { timeout: 60000 * slow }, async () => {
  const s = await new Server().start();
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"] });
  try {
    const page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
    const problems = [], foreign = [];
    page.on("console", (m) => { if (m.type() === "error") problems.push(m.text()); });
    page.on("pageerror", (e) => problems.push(String(e)));
    page.on("request", (r) => { if (!r.url().startsWith(s.url) && !r.url().startsWith("data:")) foreign.push(r.url()); });
    await page.goto(`${s.url}/`);
    await page.waitForSelector(".opblock-tag", { timeout: 20000 * slow });
    const tags = await page.$$eval(".opblock-tag", (els) => els.map((e) => e.getAttribute("data-tag")));
    assert.deepEqual(tags.sort(), ["Admin", "Assets", "Clusters", "Ingest", "Keys", "Search", "Service"]);
    assert.deepEqual(problems, []);
    assert.deepEqual(foreign, []);
    fs.mkdirSync(path.join(build, "screens"), { recursive: true });
    await page.screenshot({ path: path.join(build, "screens/docs.png") });
  } finally {
    await browser.close();
    await s.stop();
  }
});
