// Whole pages: narrow, hostile, large, empty, dark, without scripts.

import assert from "node:assert/strict";
import { count } from "./numbers.mjs";

export function pages(expected) {
  const views = ["flame", "table", "sizes"];
  const narrow = ["heap", "diff", "service", "hostile", "empty"].map((page) => ({
    name: `${page}: nothing is wider than 390 pixels`,
    page,
    options: { width: 390, height: 844 },
    async run(view) {
      for (const name of views) {
        await view.press("view", name);
        await view.check();
      }
      await view.press("view", "table");
      for (const by of await view.groupings()) {
        await view.press("by", by);
        await (await view.page.$("#table .place"))?.click();
        await view.check();
      }
    },
  }));
  return [
    ...narrow,
    {
      name: "hostile names are text",
      page: "hostile",
      async run(view) {
        const elements = () => view.page.evaluate(() => ({
          hit: window.hit ?? null,
          scripts: document.scripts.length,
          foreign: document.querySelectorAll("img, iframe, svg, a:not(.skip)").length,
        }));
        const inert = { hit: null, scripts: 2, foreign: 0 };
        for (const name of views) {
          await view.press("view", name);
          assert.deepEqual(await elements(), inert, name);
        }
        await view.press("view", "table");
        for (const by of ["line", "function", "file", "crate", "traceback"]) {
          await view.press("by", by);
          assert.equal((await view.rows()).length >= expected.hostile, true, by);
          await view.page.click("#table .place");
        }
        const text = await view.text("#table tbody");
        assert.ok(text.includes("<img src=x onerror=window.hit=2>"));
        assert.ok(text.includes("\\u{202e}") && !text.includes("\u202e"));
        await view.press("view", "flame");
        await view.clickFlame(1, 0.2);
        await view.clickFlame(2, 0.2);
        assert.deepEqual(await elements(), inert);
      },
    },
    {
      name: "markup cannot be made of text, nor anything be loaded",
      page: "heap",
      async run(view) {
        const thrown = await view.page.evaluate(() => {
          try {
            document.body.innerHTML = "<img src=x>";
            return "nothing";
          } catch (error) {
            return error.name;
          }
        });
        assert.equal(thrown, "TypeError");
        const reached = await view.page.evaluate(() =>
          fetch("https://example.invalid/").then(() => "reached", () => "refused"));
        assert.equal(reached, "refused");
        // Both are told on the console, as they should be, and nothing was asked of the network.
        assert.ok(view.problems.some((problem) => problem.includes("Content Security Policy")));
        assert.ok(!view.problems.some((problem) => problem.startsWith("request:")));
        view.problems.length = 0;
      },
    },
    {
      name: "50,000 stacks load, zoom, turn round, sort and search",
      page: "many",
      async run(view) {
        const { page } = view;
        const begin = Date.now();
        await view.clickFlame(1, 0.1);
        await view.clickFlame(2, 0.1);
        assert.equal((await view.texts("#path button")).length, 3);
        await view.press("direction", "inverted");
        await view.clickFlame(1, 0.1);
        assert.equal((await view.texts("#path button")).length, 2);
        await view.search("function_1");
        assert.match(await view.text("#status"), /^Found in stacks/);
        await view.search("");
        await view.press("view", "table");
        for (const by of ["line", "function", "file", "crate", "traceback"]) {
          await view.press("by", by);
          assert.ok((await view.rows()).length > 0);
        }
        assert.match(await view.text("#rows"), /^100 of [\d,]+ rows$/);
        await page.click("#more");
        assert.match(await view.text("#rows"), /^600 of [\d,]+ rows$/);
        assert.equal(await page.evaluate(() => document.activeElement.className), "place");
        assert.match(await view.text(".figures"), new RegExp(`Blocks${count(expected.many)}`));
        console.log(`     all of it in ${((Date.now() - begin) / 1000).toFixed(1)} s`);
      },
    },
    {
      name: "the theme follows the system until it is chosen",
      page: "heap",
      options: { dark: true },
      async run(view) {
        const paper = () => view.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        const dark = await paper();
        await view.page.click("#theme");
        const light = await paper();
        assert.notEqual(light, dark);
        assert.equal(light, "rgb(255, 255, 255)");
        await view.page.click("#theme");
        assert.equal(await paper(), dark);
        assert.equal(await view.text("#theme"), "Theme: dark");
      },
    },
    {
      name: "nothing is shown as nothing",
      page: "empty",
      async run(view) {
        await view.press("view", "table");
        assert.match(await view.text("#table tbody"), /No live blocks/);
        await view.press("view", "sizes");
        assert.match(await view.text("#sizes tbody"), /No live blocks/);
      },
    },
    {
      name: "without scripts there is a table",
      page: "heap",
      options: { scripts: false },
      async run(view) {
        const { page } = view;
        assert.equal((await page.$$(".fallback tbody tr")).length, expected.changes.length);
        assert.equal(await page.$eval("#report", (main) => main.hidden), true);
        assert.match(await view.text("header"), /Not recorded: 3 blocks.*replaced later: 2 blocks/s);
      },
    },
  ];
}
