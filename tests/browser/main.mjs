// Checks the pages in a folder, or takes pictures of them: see `.ci/browser`.

import path from "node:path";
import { cases } from "./cases.mjs";
import { control } from "./control.mjs";
import { Watched, launch } from "./harness.mjs";
import { screenshots } from "./screenshots.mjs";

// A case that takes longer hangs.
const LONGEST = 120_000;

async function check(browser, folder, { name, page, options, run }) {
  const view = await Watched.open(browser, path.join(folder, `${page}.html`), options);
  let watchdog;
  const late = new Promise((_, refuse) => {
    watchdog = setTimeout(() => refuse(new Error(`no end after ${LONGEST} ms`)), LONGEST);
  });
  try {
    await Promise.race([run(view), late]);
    if (view.problems.length > 0) {
      throw new Error(view.problems.join("\n"));
    }
    console.log(`ok   ${name}`);
    return true;
  } catch (error) {
    console.log(`FAIL ${name}\n${error.stack}`);
    return false;
  } finally {
    clearTimeout(watchdog);
    await view.close();
  }
}

const [task, folder, target] = process.argv.slice(2);
const browser = await launch();
try {
  if (task === "screenshots") {
    await screenshots(browser, folder, target);
  } else {
    await control(browser, folder);
    const results = [];
    for (const one of cases(folder)) {
      results.push(await check(browser, folder, one));
    }
    const failed = results.filter((passed) => !passed).length;
    console.log(`${results.length} cases, ${failed} failed`);
    process.exitCode = failed === 0 ? 0 : 1;
  }
} finally {
  await browser.close();
}
