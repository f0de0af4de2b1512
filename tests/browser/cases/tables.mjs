// The tables, which must have the library's own numbers.

import assert from "node:assert/strict";
import { count, signed, size } from "./numbers.mjs";

export function tables(expected) {
  const byGroup = ["line", "function", "file", "crate"].map((by) => ({
    name: `the table by ${by} has the library's numbers`,
    page: "heap",
    async run(view) {
      await view.press("view", "table");
      await view.press("by", by);
      await view.page.click("#standard");
      const bytes = await view.rows();
      const groups = expected.statistics[by];
      assert.equal(bytes.length, Object.keys(groups).length);
      for (const [own, , all, blocks, , name] of bytes) {
        const [ownBytes, ownBlocks, allBytes] = groups[name];
        assert.deepEqual([own, all, blocks], [size(ownBytes), size(allBytes), count(ownBlocks)], name);
      }
      await view.press("metric", "blocks");
      for (const [own, , all, , , name] of await view.rows()) {
        assert.deepEqual([own, all], [count(groups[name][1]), count(groups[name][3])], name);
      }
    },
  }));
  return [
    ...byGroup,
    ...["live", "at_peak", "allocated", "temporary"].map((memory) => ({
      name: `of ${memory} memory the table has the library's numbers, and the address keeps the choice`,
      page: "history",
      async run(view) {
        const { lines } = expected.history[memory];
        const bytesOf = async () => {
          await view.press("view", "table");
          if (await view.page.$eval("#standard", (box) => box.checked)) {
            await view.page.click("#standard");
          }
          const rows = await view.rows();
          return Object.fromEntries(rows.filter((row) => row[0] !== "0 B").map((row) => [row.at(-1), row[0]]));
        };
        if (memory !== "live") {
          await view.showMemory(memory);
        }
        const expectedBytes = Object.fromEntries(Object.entries(lines).map(([name, bytes]) => [name, size(bytes)]));
        assert.deepEqual(await bytesOf(), expectedBytes);
        const hidden = await view.page.$eval("#view button[value=sizes]", (button) => button.hidden);
        assert.equal(hidden, memory !== "live");
        await view.page.reload();
        assert.deepEqual(await bytesOf(), expectedBytes);
        assert.equal(await view.page.$eval("#memory", (list) => list.value), memory === "live" ? "" : memory);
      },
    })),
    {
      name: "without history there is no choice of memory",
      page: "heap",
      async run(view) {
        assert.equal(await view.page.$eval("#memory", (list) => list.parentElement.hidden), true);
      },
    },
    {
      name: "columns sort both ways",
      page: "heap",
      async run(view) {
        await view.press("view", "table");
        await view.press("metric", "blocks");
        const own = async () => (await view.rows()).map((row) => Number(row[0].replaceAll(",", "")));
        const down = await own();
        assert.ok(new Set(down).size > 3);
        assert.deepEqual(down, down.toSorted((a, b) => b - a));
        assert.equal(await view.page.$eval("#table [aria-sort]", (th) => th.ariaSort), "descending");
        await view.page.click("#table [aria-sort] button");
        assert.deepEqual(await own(), down.toReversed());
        await view.page.click("#table th.wide button");
        const names = (await view.rows()).map((row) => row.at(-1));
        assert.deepEqual(names, names.toSorted((a, b) => a.localeCompare(b, "en")));
      },
    },
    {
      name: "a search leaves the rows that it finds",
      page: "heap",
      async run(view) {
        await view.press("view", "table");
        await view.search("orders.rs");
        assert.deepEqual((await view.rows()).map((row) => row.at(-1)), ["src/orders.rs:1"]);
        assert.deepEqual(await view.texts("#table mark"), ["orders.rs"]);
        const source = "//! A snapshot that has everything: several crates, the standard library between them, recursion,";
        assert.equal(await view.text("#table .source"), source);
        await view.search("no such name");
        assert.match(await view.text("#table tbody"), /Nothing matches/);
      },
    },
    {
      name: "a row opens to its stacks and leads to the flame graph",
      page: "heap",
      async run(view) {
        await view.press("view", "table");
        await view.press("by", "traceback");
        await view.search("parser-1.2.0/src/lib.rs:41");
        await view.page.focus("#table .place");
        await view.page.keyboard.press("Enter");
        const frames = await view.texts("#table .stacks li");
        assert.deepEqual(frames.map((frame) => frame.replace(/:.*/, "")), [
          "parser-1.2.0/src/lib.rs", "parser-1.2.0/src/lib.rs", "parser-1.2.0/src/lib.rs",
          "src/main.rs", "… older frames, not kept",
        ]);
        await view.page.click("#table .stacks button");
        assert.equal(await view.page.$eval("#flame-view", (found) => found.hidden), false);
      },
    },
    {
      name: "an opened stack shows the allocation in view",
      page: "many",
      async run(view) {
        await view.press("view", "table");
        await view.page.click("#table .place");
        const inView = await view.page.$eval("#table .stacks li", (line) => {
          const { top, bottom } = line.getBoundingClientRect();
          return top >= 0 && bottom <= innerHeight;
        });
        assert.ok(inView);
        const first = (await view.texts("#table .stacks li"))[0];
        assert.ok(first.startsWith((await view.rows())[0].at(-1)), first);
      },
    },
    {
      name: "a search may be a regular expression, and says if it is none",
      page: "heap",
      async run(view) {
        await view.press("view", "table");
        await view.search("orders\\.rs:[0-9]$");
        assert.equal((await view.rows()).length, 0);
        await view.page.click("#pattern");
        assert.deepEqual((await view.rows()).map((row) => row.at(-1)), ["src/orders.rs:1"]);
        assert.deepEqual(await view.texts("#table mark"), ["orders.rs:1"]);
        await view.search("(orders");
        assert.match(await view.text("#status"), /Invalid regular expression/);
        assert.equal(await view.page.$eval("#query", (field) => field.ariaInvalid), "true");
      },
    },
    {
      name: "focus and ignore part the memory between them",
      page: "heap",
      async run(view) {
        const shown = async () => Number((await view.text("#status")).match(/Filtered: ([\d,]+) blocks? of/)[1].replaceAll(",", ""));
        await view.press("metric", "blocks");
        await view.fill("focus", "parser");
        const focused = await shown();
        await view.fill("focus", "");
        await view.fill("ignore", "parser");
        const ignored = await shown();
        const blocks = await view.text(".figures");
        assert.equal(focused + ignored, Number(blocks.match(/Blocks([\d,]+)/)[1].replaceAll(",", "")));
        assert.ok(focused > 0 && ignored > 0);
        await view.press("view", "table");
        assert.ok((await view.rows()).every((row) => !row.at(-1).startsWith("parser")));
      },
    },
    {
      name: "a selected call can be focused on",
      page: "heap",
      async run(view) {
        await view.clickFlame(1, 0.1);
        const name = await view.text("#details h2");
        await view.page.click("#details .actions button");
        assert.equal(await view.page.$eval("#focus", (field) => field.value), name);
        assert.match(await view.text("#status"), /^Filtered: /);
      },
    },
    {
      name: "the address has what is chosen, and a page that is opened with it shows the same",
      page: "heap",
      async run(view) {
        const { page } = view;
        assert.equal(await page.evaluate(() => location.hash), "");
        await view.press("view", "table");
        await view.press("by", "crate");
        await view.page.click("#standard");
        await view.search("pars");
        const before = [await view.rows(), await page.evaluate(() => location.hash)];
        assert.equal(before[1], "#view=table&by=crate&query=pars&hideStandard=false");
        await page.reload();
        assert.deepEqual([await view.rows(), await page.evaluate(() => location.hash)], before);
        await page.evaluate(() => {
          location.hash = "#view=nonsense&by=line&domain=77&crate=x&metric=blocks&unknown=1";
        });
        await new Promise((done) => setTimeout(done, 100));
        assert.equal(await page.$eval("#flame-view", (found) => found.hidden), false);
        assert.equal(await page.evaluate(() => location.hash), "#metric=blocks");
      },
    },
    {
      name: "filters by crate and by domain keep their part",
      page: "heap",
      async run(view) {
        await view.press("view", "table");
        await view.press("by", "crate");
        const names = async () => (await view.rows()).filter((row) => row[0] !== "0 B").map((row) => row.at(-1));
        const option = await view.page.$$eval("#crate option", (all) =>
          all.find((one) => one.textContent === "parser").value);
        await view.page.select("#crate", option);
        assert.deepEqual(await names(), ["parser"]);
        assert.match(await view.text("#status"), /^Filtered: 197 KiB of /);
        await view.page.select("#crate", "");
        await view.page.select("#domain", "1");
        assert.deepEqual(await names(), ["gpu"]);
        await view.page.select("#domain", "");
        assert.equal(await view.text("#status"), "");
      },
    },
    {
      name: "block sizes are counted by class",
      page: "heap",
      async run(view) {
        await view.press("view", "sizes");
        const rows = await view.page.$$eval("#sizes tbody tr", (all) =>
          all.map((row) => [...row.children].slice(0, 3).map((cell) => cell.textContent)));
        assert.deepEqual(rows[0], ["0 B", "2", "0 B"]);
        assert.deepEqual(rows.find((row) => row[0] === "512–1023 B"), ["512–1023 B", "100", "97.7 KiB"]);
        assert.deepEqual(rows.at(-1), ["256–512 KiB", "1", "256 KiB"]);
      },
    },
    {
      name: "a diff shows signed changes, the largest first",
      page: "diff",
      async run(view) {
        await view.press("view", "table");
        await view.page.click("#standard");
        const rows = await view.rows();
        const changed = expected.changes.filter(([, bytes]) => bytes !== 0);
        assert.ok(changed.length >= 2);
        changed.forEach(([name, bytes, blocks], index) => {
          const row = rows[index];
          assert.deepEqual([row.at(-1), row[0], row[4]], [name, signed(bytes, size), signed(blocks, count)]);
        });
        const classes = await view.page.$$eval("#table td.strong", (cells) =>
          cells.map((cell) => [cell.textContent[0], cell.className.match(/grow|shrink/)?.[0]]));
        assert.ok(classes.some(([sign, color]) => sign === "+" && color === "grow"));
        assert.ok(classes.some(([sign, color]) => sign === "−" && color === "shrink"));
        await view.press("view", "flame");
        assert.deepEqual(await view.texts("#legend li"), ["− gone", "− shrinks", "no change", "+ grows", "+ new"]);
        await view.clickFlame(1, 0.05);
        assert.match(await view.text("#details"), /Change.*Now.*Before/);
      },
    },
  ];
}
