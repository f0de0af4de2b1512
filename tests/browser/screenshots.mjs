// The pictures of the documentation, from the pages of the example `html_report` and from snapshots of
// `growing_service`.

import path from "node:path";
import { Watched } from "./harness.mjs";

const PICTURES = [
  {
    file: "html-flame.png",
    page: "tracemalloc-heap.html",
    options: { height: 860 },
    prepare: (view) => view.clickFlame(2, 0.4),
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
