import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { folders, ROOT, sources } from "./sources.ts";

/** Imports point down only. What stands in a row may be imported by the rows after it. */
const ROWS = [["kernel"], ["contracts"], ["bus", "db", "telemetry", "runtime"], ["files", "service"]];
const EDGE = ["sdk", "cli", "testkit"];
const BANNED_NAMES = /(^|\/)(utils?|common|shared|helpers?|misc)(\/|\.ts$)/;

const rowOf = (name: string): number => ROWS.findIndex((row) => row.includes(name));
const importsOf = (text: string): string[] => [...text.matchAll(/from "@banyan\/([a-z-]+)"/g)].flatMap((match) => match[1] ?? []);

it("knows every package of the workspace", () => {
  expect(folders("packages").toSorted()).toEqual([...ROWS.flat(), ...EDGE].toSorted());
});

it("lets packages import only from rows below their own", () => {
  const wrong = sources("packages").flatMap(({ path, text }) => {
    const own = path.split("/")[1] ?? "";
    if (EDGE.includes(own) || path.endsWith(".test.ts")) return [];
    return importsOf(text)
      .filter((imported) => rowOf(imported) === -1 || rowOf(imported) >= rowOf(own))
      .map((imported) => `${path} imports ${imported}`);
  });
  expect(wrong).toEqual([]);
});

it("keeps services from importing each other, standalone excepted", () => {
  const services = folders("services");
  const wrong = sources("services").flatMap(({ path, text }) => {
    const own = path.split("/")[1] ?? "";
    if (own === "standalone") return [];
    return importsOf(text)
      .filter((imported) => services.includes(imported) && imported !== own)
      .map((imported) => `${path} imports ${imported}`);
  });
  expect(wrong).toEqual([]);
});

it("declares every package it imports", () => {
  const wrong = [...sources("packages"), ...sources("services")].flatMap(({ path, text }) => {
    const [parent = "", own = ""] = path.split("/");
    const manifest = JSON.parse(readFileSync(join(ROOT, parent, own, "package.json"), "utf8"));
    const declared = { ...manifest.dependencies, ...manifest.devDependencies };
    return importsOf(text)
      .filter((imported) => imported !== own && !(`@banyan/${imported}` in declared))
      .map((imported) => `${path} imports @banyan/${imported} without declaring it`);
  });
  expect(wrong).toEqual([]);
});

it("has no file or folder for things without a name", () => {
  const named = [...sources("packages"), ...sources("services"), ...sources("test")].map(({ path }) => path);
  expect(named.filter((path) => BANNED_NAMES.test(path))).toEqual([]);
});
