import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { stackOver } from "./stack-over.ts";

let place: string;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), "bny-stack-"));
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

/** Files by their paths; one that ends with a slash is a directory. */
function layer(name: string, ...paths: string[]): string {
  const directory = join(place, name);
  mkdirSync(directory);
  for (const path of paths) {
    mkdirSync(path.endsWith("/") ? join(directory, path) : dirname(join(directory, path)), { recursive: true });
    if (!path.endsWith("/")) writeFileSync(join(directory, path), name);
  }
  return directory;
}

async function stacked(upper: string[], lower: string[]): Promise<string[]> {
  const below = layer("lower", ...lower);
  await stackOver(layer("upper", ...upper), below);
  return readdirSync(below, { recursive: true }).map(String).sort();
}

it("keeps what each has, and of what both have the upper one's", async () => {
  expect(await stacked(["both", "d/upper"], ["both", "d/lower", "only"])).toEqual(["both", "d", "d/lower", "d/upper", "only"]);
  expect(readFileSync(join(place, "lower/both"), "utf8")).toBe("upper");
});

it("keeps the marks of both, and removes what the upper one's hide", async () => {
  expect(await stacked([".wh.file", "d/.wh..wh..opq"], ["file", ".wh.other", "d/gone"])).toEqual([
    ".wh.file",
    ".wh.other",
    "d",
    "d/.wh..wh..opq",
  ]);
});

it("lets a directory hide what a mark or a file below it has hidden", async () => {
  expect(await stacked(["was-deleted/new", "was-file/new"], [".wh.was-deleted", "was-file"])).toEqual([
    ".wh.was-deleted",
    "was-deleted",
    "was-deleted/new",
    "was-file",
    "was-file/.wh..wh..opq",
    "was-file/new",
  ]);
});

it("lets a file take the place of a directory", async () => {
  expect(await stacked(["d"], ["d/e/f"])).toEqual(["d"]);
});

it("gives a directory that both have the upper one's rights", async () => {
  const [upper, lower] = [layer("upper", "d/"), layer("lower", "d/")];
  chmodSync(join(upper, "d"), 0o2710);
  await stackOver(upper, lower);
  expect(statSync(join(lower, "d")).mode & 0o7777).toBe(0o2710);
});
