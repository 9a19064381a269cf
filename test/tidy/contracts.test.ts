import * as contracts from "@banyan/contracts";
import { expect, it } from "vitest";
import { sources } from "./sources.ts";

type Verb = contracts.Rpc | contracts.NodeRpc | contracts.Job | contracts.Event;
const isVerb = (value: unknown): value is Verb =>
  typeof value === "object" && value !== null && "kind" in value && ["rpc", "node-rpc", "job", "event"].includes(String(value.kind));
const verbs = Object.entries(contracts).flatMap(([name, value]) => (isVerb(value) ? [{ name, verb: value as Verb }] : []));
const serviceSources = sources("services").filter(({ path }) => !path.endsWith(".test.ts"));

it("declares each subject once", () => {
  const subjects = verbs.map(({ verb }) =>
    verb.kind === "rpc" || verb.kind === "job" ? verb.subject : verb.kind === "event" ? verb.pattern : verb.verb,
  );
  expect(new Set(subjects).size).toBe(subjects.length);
});

it("serves every rpc in exactly one place", () => {
  const wrong = verbs.flatMap(({ name, verb }) => {
    if (verb.kind !== "rpc" && verb.kind !== "node-rpc") return [];
    const serving = serviceSources.filter(({ text }) => new RegExp(`(serve|handle)\\(\\s*(\\n\\s*)?${name}\\b`).test(text));
    return serving.length === 1 ? [] : [`${name} is served in ${serving.length} places: ${serving.map(({ path }) => path).join(", ")}`];
  });
  expect(wrong).toEqual([]);
});

it("writes no subject outside contracts", () => {
  const wrong = [...sources("packages"), ...sources("services")].filter(
    ({ path, text }) => !path.startsWith("packages/contracts/") && !path.endsWith(".test.ts") && /["'`](rpc|job|evt)\.[a-z*$]/.test(text),
  );
  expect(wrong.map(({ path }) => path)).toEqual([]);
});

it("tests every error code", () => {
  const tests = [...sources("test"), ...sources("packages"), ...sources("services")].filter(({ path }) => path.endsWith(".test.ts"));
  const all = tests.map(({ text }) => text).join("\n");
  expect(Object.keys(contracts.ERRORS).filter((code) => !all.includes(`"${code}"`))).toEqual([]);
});
