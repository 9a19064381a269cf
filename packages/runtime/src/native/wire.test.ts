import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import * as wire from "./wire.ts";

const HEADER = readFileSync(new URL("../../native/wire.h", import.meta.url), "utf8");
const MIRRORED = {
  wire_limit: [wire.Limit, ""],
  wire_type: [wire.Type, "TYPE_"],
  wire_tag: [wire.Tag, "TAG_"],
  wire_flag: [wire.Flag, "FLAG_"],
  attach_type: [wire.AttachType, "ATTACH_"],
  attach_flag: [wire.AttachFlag, "ATTACH_FLAG_"],
  proc_state: [wire.ProcState, "STATE_"],
} as const;

function enumOf(name: string): [string, number][] {
  const body = new RegExp(`enum ${name} \\{([^}]*)\\}`).exec(HEADER)?.[1] ?? "";
  return [...body.matchAll(/(\w+) = (\d+)/g)].map(([, key = "", value]) => [key, Number(value)]);
}

const pascalCase = (name: string) => name.toLowerCase().replace(/(^|_)([a-z])/g, (_, __, letter: string) => letter.toUpperCase());

it.each(Object.entries(MIRRORED))("mirrors %s of wire.h", (name, [mirror, prefix]) => {
  const declared = enumOf(name).map(([key, value]) => [pascalCase(key.slice(prefix.length)), value]);
  expect(declared.length).toBeGreaterThan(0);
  expect(mirror).toEqual(Object.fromEntries(declared));
});

it("mirrors every enum of wire.h", () => {
  expect([...HEADER.matchAll(/enum (\w+) \{/g)].map(([, name]) => name)).toEqual(Object.keys(MIRRORED));
});
