// Pages that are broken on purpose: a harness that does not find what is wrong with them finds
// nothing at all.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Watched } from "./harness.mjs";

// What is done to a good page, and the problem that must be reported.
const BROKEN = [
  ["a changed script", (page) => page.replace("const state = {", "const state = { broken: true,"), /^not rendered/],
  ["a script that fails", (page) => withoutPolicy(page).replace("const state = {", "fail(); const state = {"), /^error: fail is not defined/],
  ["something to load", (page) => withoutPolicy(page).replace("</h1>", '</h1><img src="http://127.0.0.1:9/x">'), /^request: http:/],
  ["a dialog", (page) => withoutPolicy(page).replace("const state = {", "alert(1); const state = {"), /^dialog: 1/],
  ["a wide element", (page) => withoutPolicy(page).replace("</style>", "h1 { width: 3000px }</style>"), /^overflow: \d+ pixels/],
  ["a link that is followed", (page) => withoutPolicy(page).replace("const state = {", 'location.href = "about:blank"; const state = {'), /^navigation: about:blank/],
];

const withoutPolicy = (page) => page.replace(/<meta http-equiv="Content-Security-Policy"[^>]*>/, "");

export async function control(browser, folder) {
  const good = readFileSync(path.join(folder, "heap.html"), "utf8");
  for (const [what, breaks, problem] of BROKEN) {
    const broken = breaks(good);
    assert.notEqual(broken, good, `${what} was not planted`);
    const file = path.join(folder, "broken.html");
    writeFileSync(file, broken);
    const problems = await problemsOf(browser, file);
    assert.ok(problems.some((found) => problem.test(found)), `${what} was not reported: ${problems}`);
    console.log(`ok   control: ${what} is reported`);
  }
}

async function problemsOf(browser, file) {
  try {
    const view = await Watched.open(browser, file);
    await new Promise((done) => setTimeout(done, 300));
    await view.close();
    return view.problems;
  } catch (error) {
    // A page that goes away while it is looked at.
    return [`navigation: about:blank (${error.message})`];
  }
}
