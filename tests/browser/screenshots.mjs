// The pictures of the documentation, from the pages of the examples `html_report` and `batch` and from
// snapshots of `growing_service`.

import path from "node:path";
import { Watched } from "./harness.mjs";

// What a batch program's memory was: each view of its history.
const views = [["live", ""], ["at-peak", "at_peak"], ["allocated", "allocated"], ["temporary", "temporary"]];

const PICTURES = [
  ...views.map(([name, memory]) => ({
    file: `view-${name}.png`,
    page: "batch.html",
    options: { width: 900, height: 560 },
    prepare: async (view) => {
      if (memory !== "") {
        await view.showMemory(memory);
      }
    },
  })),
  {
    file: "html-flame.png",
    page: "tracemalloc-heap.html",
    options: { height: 860 },
    // The parser's frames too.
    prepare: async (view) => {
      await view.page.click("#own");
      await view.clickFlame(2, 0.4);
    },
  },
  {
    file: "html-table.png",
    page: "tracemalloc-heap.html",
    options: { height: 760, dark: true },
    prepare: (view) => view.press("view", "table"),
  },
  {
    file: "html-diff.png",
    page: "tracemalloc-diff.html",
    options: { height: 860 },
    prepare: async () => {},
  },
  {
    file: "guide-growth.png",
    page: "growth.html",
    options: { height: 740 },
    prepare: async () => {},
  },
  {
    file: "guide-table.png",
    page: "growth.html",
    options: { height: 642 },
    prepare: (view) => view.press("view", "table"),
  },
];

export async function screenshots(browser, pages, folder) {
  for (const { file, page, options, prepare } of PICTURES) {
    const view = await Watched.open(browser, path.join(pages, page), options);
    await prepare(view);
    await view.page.screenshot({ path: path.join(folder, file) });
    await view.close();
    console.log(`written: ${path.join(folder, file)}`);
  }
}
