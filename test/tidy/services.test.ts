import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { folders, ROOT, sources } from "./sources.ts";

const FACE = ["README.md", "package.json", "src/main.ts", "src/service.ts", "src/config.ts"];

it.each(folders("services").filter((name) => name !== "standalone"))("%s has the face of a service", (name) => {
  expect(FACE.filter((file) => !existsSync(join(ROOT, "services", name, file)))).toEqual([]);
});

it("reads the environment only in config.ts", () => {
  const wrong = sources("services").filter(
    ({ path, text }) => /\bprocess\.env\b/.test(text) && !path.endsWith("/config.ts") && !path.endsWith(".test.ts"),
  );
  expect(wrong.map(({ path }) => path)).toEqual([]);
});

it("keeps domain code free of I/O and clocks", () => {
  const wrong = sources("services").filter(
    ({ path, text }) =>
      path.includes("/domain/") &&
      !path.endsWith(".test.ts") &&
      /from "node:(fs|net|http|child_process)|Date\.now\(\)|performance\.now\(\)|@banyan\/(bus|db)"/.test(text),
  );
  expect(wrong.map(({ path }) => path)).toEqual([]);
});
