// What a page does, each case on a page of its own.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";

// A size as the page writes it.
function size(bytes) {
  let number = bytes;
  let unit = 0;
  while (number >= 10240 && unit < 4) {
    number /= 1024;
    unit += 1;
  }
  const digits = unit > 0 && number < 100 ? 1 : 0;
  return `${number.toFixed(digits)} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
}

const count = (number) => number.toLocaleString("en-US");
const signed = (number, text) => (number < 0 ? "−" : "+") + text(Math.abs(number));

export function cases(folder) {
  const expected = JSON.parse(readFileSync(path.join(folder, "expected.json"), "utf8"));
  return [...flame, ...tables(expected), ...pages(expected)];
}

const flame = [
  {
    name: "a click zooms and the path leads back",
    page: "heap",
    async run(view) {
      assert.deepEqual(await view.texts("#path button"), ["all"]);
      await view.clickFlame(1, 0.05);
      const [, first] = await view.texts("#path button");
      assert.ok(first, "a call stands below the root");
      assert.match(await view.text("#details"), /With callees/);
      await view.clickFlame(2, 0.05);
      assert.equal((await view.texts("#path button")).length, 3);
      await view.page.click("#path button");
      assert.deepEqual(await view.texts("#path button"), ["all"]);
      assert.equal(await view.text("#details"), "");
    },
  },
  {
    name: "inverted, what allocates stands first",
    page: "heap",
    async run(view) {
      await view.press("direction", "inverted");
      await view.clickFlame(1, 0.05);
      const path = await view.texts("#path button");
      assert.deepEqual(path, ["all allocations", "gpu::allocate"]);
    },
  },
  {
    name: "the metric changes what is wide",
    page: "heap",
    async run(view) {
      await view.press("direction", "inverted");
      await view.press("metric", "blocks");
      await view.clickFlame(1, 0.05);
      assert.equal((await view.texts("#path button"))[1], "parser::parse");
    },
  },
  {
    name: "keys move, zoom and search",
    page: "heap",
    async run(view) {
      const { page } = view;
      await page.focus("#flame");
      await page.keyboard.press("ArrowDown");
      const first = await view.text("#details h2");
      assert.ok((await view.text("#spoken")).startsWith(`${first}: `));
      await page.keyboard.press("ArrowRight");
      const second = await view.text("#details h2");
      assert.notEqual(second, first);
      await page.keyboard.press("ArrowLeft");
      assert.equal(await view.text("#details h2"), first);
      assert.equal((await view.texts("#path button")).length, 1, "moving does not zoom");
      await page.keyboard.press("Enter");
      assert.equal((await view.texts("#path button")).length, 2);
      await page.keyboard.press("ArrowDown");
      await page.keyboard.press("Enter");
      assert.equal((await view.texts("#path button")).length, 3);
      await page.keyboard.press("Escape");
      assert.equal((await view.texts("#path button")).length, 2);
      await page.keyboard.press("Home");
      assert.equal((await view.texts("#path button")).length, 1);
      await page.keyboard.press("/");
      assert.equal(await page.evaluate(() => document.activeElement.id), "search");
      await page.keyboard.type("parse/");
      assert.equal(await page.$eval("#search", (field) => field.value), "parse/");
      await page.keyboard.press("Escape");
      assert.equal(await page.$eval("#search", (field) => field.value), "");
    },
  },
  {
    name: "every control is reached by the tabulator, in the order of the page",
    page: "heap",
    async run(view) {
      const reached = [];
      for (let press = 0; press < 20; press += 1) {
        await view.page.keyboard.press("Tab");
        reached.push(await view.page.evaluate(() => document.activeElement.id || document.activeElement.value));
      }
      const wanted = ["theme", "flame", "bytes", "search", "crate", "domain", "standard", "callers"];
      const places = wanted.map((name) => reached.indexOf(name));
      assert.ok(!places.includes(-1), `${reached}`);
      assert.deepEqual(places, places.toSorted((a, b) => a - b));
      assert.equal(reached.at(reached.indexOf("inverted") + 2), "flame");
    },
  },
  {
    name: "a search is marked and its part told",
    page: "heap",
    async run(view) {
      const marked = () =>
        view.page.$eval("#flame", (canvas) => {
          const probe = document.createElement("i");
          probe.style.color = "var(--mark)";
          document.body.append(probe);
          const wanted = getComputedStyle(probe).color.match(/\d+/g).map(Number);
          probe.remove();
          const copy = new OffscreenCanvas(canvas.width, canvas.height);
          const context = copy.getContext("2d", { willReadFrequently: true });
          context.drawImage(canvas, 0, 0);
          const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
          let pixels = 0;
          for (let at = 0; at < data.length; at += 4) {
            pixels += wanted.every((channel, index) => data[at + index] === channel) ? 1 : 0;
          }
          return pixels;
        });
      assert.equal(await marked(), 0);
      await view.search("PARSER::parse");
      assert.match(await view.text("#status"), /^Found in stacks that hold 197 KiB, /);
      assert.ok((await marked()) > 1000);
      await view.search("no such name");
      assert.match(await view.text("#status"), /hold 0 B, 0.0%/);
      assert.equal(await marked(), 0);
    },
  },
  {
    name: "the standard library is hidden or shown",
    page: "heap",
    async run(view) {
      await view.search("core::iter::fold");
      assert.match(await view.text("#status"), /hold 0 B/);
      await view.page.click("#standard");
      assert.doesNotMatch(await view.text("#status"), /hold 0 B/);
    },
  },
];

function tables(expected) {
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
          "… older frames, not kept", "src/main.rs", "parser-1.2.0/src/lib.rs",
          "parser-1.2.0/src/lib.rs", "parser-1.2.0/src/lib.rs",
        ]);
        await view.page.click("#table .stacks button");
        assert.equal(await view.page.$eval("#flame-view", (found) => found.hidden), false);
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
        assert.ok(classes.some(([sign, colour]) => sign === "+" && colour === "grow"));
        assert.ok(classes.some(([sign, colour]) => sign === "−" && colour === "shrink"));
        await view.press("view", "flame");
        assert.deepEqual(await view.texts("#legend li"), ["− gone", "− shrinks", "no change", "+ grows", "+ new"]);
        await view.clickFlame(1, 0.05);
        assert.match(await view.text("#details"), /Change.*Now.*Before/);
      },
    },
  ];
}

function pages(expected) {
  const views = ["flame", "table", "sizes"];
  const narrow = ["heap", "diff", "hostile", "empty"].map((page) => ({
    name: `${page}: nothing is wider than 390 pixels`,
    page,
    options: { width: 390, height: 844 },
    async run(view) {
      for (const name of views) {
        await view.press("view", name);
        await view.check();
      }
      await view.press("view", "table");
      for (const by of ["line", "function", "file", "crate", "traceback"]) {
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
