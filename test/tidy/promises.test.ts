import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { ROOT } from "./sources.ts";

const spec = readFileSync(join(ROOT, "infra/docs/SPEC.md"), "utf8");
/** Number and proof of every row. */
const rows = spec.split("\n").flatMap((line) => {
  const [, id = "", , proof = ""] = line.split("|").map((cell) => cell.trim());
  return /^[A-Z]\d+$/.test(id) ? [{ id, proof }] : [];
});

const isThere = (proof: string): boolean => {
  const [, bench] = /^bench ([\w-]+)$/.exec(proof) ?? [];
  const path = bench === undefined ? proof : `test/bench/${bench}.ts`;
  return ["", "test/"].some((root) => ["", ".test.ts"].some((ending) => existsSync(join(ROOT, `${root}${path}${ending}`))));
};

it("names for every promise only proofs that are there; one without a folder is in that of the one before it", () => {
  expect(rows.length).toBeGreaterThan(50);
  const missing = rows.flatMap(({ id, proof }) => {
    let folder = "";
    return proof.split(/,\s*/).flatMap((name) => {
      const path = name.includes("/") || name.startsWith("bench ") ? name : `${folder}/${name}`;
      if (name.includes("/")) folder = name.slice(0, name.lastIndexOf("/"));
      return isThere(path) ? [] : [`${id}: ${name}`];
    });
  });
  expect(missing).toEqual([]);
});
