// Own code, and groups by what blocks are labelled with.

import assert from "node:assert/strict";
import { signed, size } from "./numbers.mjs";

export function ownCode({ service }) {
  const named = (groups) => groups.map(([name, bytes]) => [name, size(bytes)]);
  // Names and own bytes of the rows, as far as they have some.
  const shown = async (view) =>
    (await view.rows()).filter((row) => row[0] !== "0 B").map((row) => [row.at(-1), row[0]]);
  const sum = (groups) => groups.reduce((sum, [, bytes]) => sum + bytes, 0);
  const own = sum(service.own.filter(([name]) => name !== "<no own code>")) / sum(service.own);
  const share = `${(100 * own).toFixed(1)}%`;
  return [
    {
      name: "where dependencies allocate most, own code is shown first, and the header has its share",
      page: "service",
      async run(view) {
        assert.equal(await view.page.$eval("#own", (box) => box.checked), true);
        assert.equal(await view.page.$eval("#standard", (box) => box.disabled), true);
        assert.ok((await view.text(".figures")).includes(`Own code${share}`));
        assert.ok((await view.text("#status")).includes(`in the stacks of ${share}`));
        await view.press("view", "table");
        assert.deepEqual(await shown(view), named(service.own));
        // The row without own code says whose memory it is, and opens to whole stacks.
        await view.search("no own code");
        assert.equal(await view.text("#table .sub"), "hyper 4800 B, tower 2000 B");
        await view.page.click("#table .place");
        assert.deepEqual(await view.texts("#table .stacks li:first-child"), [
          "hyper-1.6.0/src/io.rs:538hyper::f538", "tower-0.5.3/src/lib.rs:7tower::f7",
        ]);
        await view.search("");
        await view.press("view", "flame");
        await view.clickFlame(1, 0.1);
        assert.equal((await view.texts("#path button"))[1], "service::f30");
        assert.deepEqual(await view.texts("#legend li"), ["service", "no own code"]);
      },
    },
    {
      name: "a key switches own code off, and the address keeps that",
      page: "service",
      async run(view) {
        const { page } = view;
        await view.press("view", "table");
        await page.focus("#own");
        await page.keyboard.press("Space");
        assert.deepEqual(await shown(view), named(service.all));
        assert.equal(await page.evaluate(() => location.hash), "#view=table&ownCode=false");
        assert.equal(await view.text("#status"), "");
        await page.reload();
        assert.equal(await page.$eval("#own", (box) => box.checked), false);
        assert.deepEqual(await shown(view), named(service.all));
        await view.press("view", "flame");
        await view.clickFlame(1, 0.1);
        assert.equal((await view.texts("#path button"))[1], "hyper::f538");
      },
    },
    {
      name: "own code works in a diff, with the largest change first",
      page: "service-diff",
      async run(view) {
        await view.press("view", "table");
        const rows = (await view.rows()).map((row) => [row.at(-1), row[0]]);
        assert.deepEqual(rows, service.change.map(([name, bytes]) => [name, signed(bytes, size)]));
        await view.press("view", "flame");
        await view.clickFlame(1, 0.1);
        assert.match(await view.text("#details"), /service::f30.*Change/);
      },
    },
    ...["type", "tag", "thread"].map((by) => ({
      name: `the table by ${by} has the library's numbers, and opens to its stacks`,
      page: "service",
      async run(view) {
        await view.press("view", "table");
        await view.press("by", by);
        const rows = async () => (await shown(view)).toSorted();
        assert.deepEqual(await rows(), named(service[by]).toSorted());
        await view.page.click("#table .place");
        const [name, bytes] = service[by][0];
        assert.equal((await view.rows())[0].at(-1), name);
        const stacks = (await view.texts("#table .stacks h3")).map((text) => text.trim());
        assert.equal(stacks[0], size(bytes));
        await view.page.click("#own");
        assert.deepEqual(await rows(), named(service[by]).toSorted());
        // A filter keeps the blocks of one.
        const option = await view.page.$$eval(`#${by} option`, (all, name) =>
          all.find((one) => one.textContent === name).value, name);
        await view.page.select(`#${by}`, option);
        assert.deepEqual(await shown(view), [[name, size(bytes)]]);
      },
    })),
    {
      name: "where nobody knows whose code is whose, there is no choice, and no labels are groups",
      page: "heap",
      async run(view) {
        assert.equal(await view.page.$eval("#own", (box) => box.parentElement.hidden), true);
        await view.press("view", "table");
        const hidden = await view.page.$$eval("#by button", (all) =>
          all.filter((button) => button.hidden).map((button) => button.value));
        assert.deepEqual(hidden, ["type", "tag", "thread"]);
        await view.page.evaluate(() => {
          location.hash = "#view=table&by=tag&ownCode=true";
        });
        await new Promise((done) => setTimeout(done, 100));
        assert.equal(await view.page.evaluate(() => location.hash), "#view=table");
      },
    },
  ];
}
