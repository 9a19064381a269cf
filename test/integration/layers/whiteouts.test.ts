import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { translateWhiteouts } from "../../../packages/runtime/src/layers/whiteouts.ts";

/** With such long paths more than a tool's output is read for elsewhere. */
const COUNT = 2_500;
const DIRECTORY = Array.from({ length: 10 }, () => "long".repeat(60)).join("/");

let layer: string;
beforeEach(() => {
  layer = mkdtempSync("/var/tmp/bny-whiteouts-");
});
afterEach(() => rmSync(layer, { recursive: true, force: true }));

it("leaves out none of very many", async () => {
  mkdirSync(join(layer, DIRECTORY), { recursive: true });
  for (let index = 0; index < COUNT; index++) writeFileSync(join(layer, DIRECTORY, `.wh.${index}`), "");
  await translateWhiteouts(layer);
  const found = readdirSync(join(layer, DIRECTORY));
  expect(found).toHaveLength(COUNT);
  expect(found.filter((path) => path.startsWith(".wh."))).toEqual([]);
  expect(statSync(join(layer, DIRECTORY, `${COUNT - 1}`)).isCharacterDevice()).toBe(true);
});
