// What a page does, each case on a page of its own.

import { readFileSync } from "node:fs";
import path from "node:path";
import { flame } from "./cases/flame.mjs";
import { ownCode } from "./cases/own_code.mjs";
import { pages } from "./cases/pages.mjs";
import { tables } from "./cases/tables.mjs";

export function cases(folder) {
  const expected = JSON.parse(readFileSync(path.join(folder, "expected.json"), "utf8"));
  return [...flame, ...tables(expected), ...ownCode(expected), ...pages(expected)];
}
