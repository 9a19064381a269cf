import { expect, it } from "vitest";
import { ignoreOf } from "./ignore.ts";

it.each<[string[], string, boolean]>([
  [["node_modules"], "node_modules", true],
  [["node_modules/"], "node_modules/a/b.js", true],
  [["node_modules"], "src/node_modules", false],
  [["**/node_modules"], "src/deep/node_modules/x", true],
  [["**/node_modules"], "node_modules", true],
  [["*.log"], "a.log", true],
  [["*.log"], "src/a.log", false],
  [["src/*.ts"], "src/a.ts", true],
  [["a?c"], "abc", true],
  [["a?c"], "a/c", false],
  [["[a-c].txt"], "b.txt", true],
  [["[!a-c].txt"], "b.txt", false],
  [["/dist", "./build"], "dist/x", true],
  [["/dist", "./build"], "build", true],
  [["a.b"], "axb", false],
  [["# a comment", "", "  "], "# a comment", false],
  [["docs", "!docs/README.md"], "docs/README.md", false],
  [["docs", "!docs/README.md"], "docs/other.md", true],
  [["!keep", "keep"], "keep", true],
])("%j leaves out %s: %s", (lines, path, ignored) => {
  expect(ignoreOf(lines)(path)).toBe(ignored);
});
