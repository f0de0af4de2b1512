// Opens pages in a real browser and notes whatever a page must not do.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import path from "node:path";

// Where the packages were installed: they are no part of this folder.
const require = createRequire(path.resolve(process.env.BROWSER_MODULES, "package.json"));
const { default: puppeteer } = await import(pathToFileURL(require.resolve("puppeteer-core")));

export async function launch() {
  return puppeteer.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    // The user of a container may have no other; what is opened is the test's own.
    args: ["--no-sandbox", "--disable-gpu"],
  });
}

// A page and what went wrong on it.
export class Watched {
  problems = [];

  static async open(browser, file, { width = 1280, height = 900, dark = false, scripts = true } = {}) {
    const watched = new Watched();
    const page = await browser.newPage();
    watched.page = page;
    const url = pathToFileURL(file).href;
    const note = (problem) => watched.problems.push(problem);
    page.on("console", (message) => {
      if (["error", "warn", "warning"].includes(message.type())) {
        note(`console: ${message.text()}`);
      }
    });
    page.on("pageerror", (error) => note(`error: ${error.message}`));
    page.on("dialog", async (dialog) => {
      note(`dialog: ${dialog.message()}`);
      await dialog.dismiss();
    });
    page.on("request", (request) => {
      if (request.url().split("#")[0] !== url && !request.url().startsWith("data:")) {
        note(`request: ${request.url()}`);
      }
    });
    page.on("popup", () => note("popup"));
    page.on("framenavigated", (frame) => {
      if (frame.url() !== url && !frame.url().startsWith(`${url}#`)) {
        note(`navigation: ${frame.url()}`);
      }
    });
    await page.setJavaScriptEnabled(scripts);
    await page.setViewport({ width, height });
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }]);
    await page.goto(url);
    if (scripts) {
      await watched.check();
    }
    return watched;
  }

  // What can be seen from the page itself.
  async check() {
    const { rendered, overflow } = await this.page.evaluate(() => ({
      rendered: document.getElementById("report")?.hidden === false,
      overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    }));
    if (!rendered) {
      this.problems.push("not rendered");
    }
    if (overflow > 0) {
      this.problems.push(`overflow: ${overflow} pixels`);
    }
  }

  text(selector) {
    return this.page.$eval(selector, (found) => found.textContent);
  }

  texts(selector) {
    return this.page.$$eval(selector, (found) => found.map((one) => one.textContent));
  }

  // Presses the button of a group that has a value.
  press(group, value) {
    return this.page.click(`#${group} button[value="${value}"]`);
  }

  // Chooses what the sums are about; the page is loaded again.
  async showMemory(name) {
    await this.page.evaluate(() => { window.before = true; });
    await this.page.select("#memory", name);
    await this.page.waitForFunction(
      () => window.before === undefined && document.getElementById("report")?.hidden === false,
    );
  }

  // What the table can be grouped by.
  groupings() {
    return this.page.$$eval("#by button", (all) =>
      all.filter((button) => !button.hidden).map((button) => button.value));
  }

  search(text) {
    return this.fill("query", text);
  }

  // Types into a field.
  async fill(name, text) {
    await this.page.$eval(`#${name}`, (field) => {
      field.value = "";
    });
    await this.page.type(`#${name}`, text || " ");
    // The page waits for the end of typing.
    await new Promise((done) => setTimeout(done, 250));
  }

  // Clicks into the flame graph: `row` from the top, `part` of the width.
  async clickFlame(row, part) {
    const box = await (await this.page.$("#flame")).boundingBox();
    await this.page.mouse.click(box.x + box.width * part, box.y + 22 * row + 11);
  }

  // The texts of the table's cells, row by row.
  rows() {
    return this.page.$$eval("#table tbody tr.row", (rows) =>
      rows.map((row) => [
        ...[...row.querySelectorAll("td")].map((cell) => cell.textContent),
        row.querySelector(".place").textContent,
      ]),
    );
  }

  async close() {
    await this.page.close();
  }
}
