// The flame graph, its keys, the search and the filter of the standard library.

import assert from "node:assert/strict";

export const flame = [
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
      assert.equal(await page.evaluate(() => document.activeElement.id), "query");
      await page.keyboard.type("parse/");
      assert.equal(await page.$eval("#query", (field) => field.value), "parse/");
      await page.keyboard.press("Escape");
      assert.equal(await page.$eval("#query", (field) => field.value), "");
    },
  },
  {
    name: "every control is reached by the tabulator, in the order of the page",
    page: "heap",
    async run(view) {
      const reached = [];
      for (let press = 0; press < 24; press += 1) {
        await view.page.keyboard.press("Tab");
        reached.push(await view.page.evaluate(() => document.activeElement.id || document.activeElement.value));
      }
      const wanted = ["theme", "flame", "bytes", "query", "pattern", "focus", "ignore", "crate", "domain", "standard", "callers"];
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
