import { LIMITS } from "@banyan/contracts";
import { expect, it } from "vitest";
import { COMMAND, forkRow, forkSpecOf } from "./fork.fixture.ts";
import { checkFork } from "./fork-check.ts";
import { ForkChildren } from "./fork-children.ts";
import { scoreOf } from "./fork-score.ts";

const paths = (spec: Parameters<typeof forkSpecOf>[0], shared = {}) =>
  checkFork(forkSpecOf(spec), shared).map(({ path }) => path.join("."));

it("has nothing against a plain fork", () => {
  expect(paths({ env: { A: "{index}" }, envCycle: { B: ["1", "2"] }, count: 2, each: [{ env: { C: "1" } }, {}] })).toEqual([]);
});

it("names the field that is wrong", () => {
  expect(paths({ count: 3, each: [{}] })).toEqual(["each"]);
  expect(paths({ env: { A: "1" }, envCycle: { A: ["1"] } })).toEqual(["envCycle.A"]);
  expect(paths({ count: 1, envCycle: { A: ["1"] }, each: [{ env: { A: "1" } }] })).toEqual(["each.0.env.A"]);
  expect(paths({ env: { BANYAN_X: "1" } })).toEqual(["env.BANYAN_X"]);
  expect(paths({ command: { ...COMMAND, env: { BANYAN_X: "1" } } })).toEqual(["command.env.BANYAN_X"]);
  expect(paths({ envCycle: { "1A": ["1"] } })).toEqual(["envCycle.1A.0"]);
  const large = Array.from({ length: 20 }, () => ({ stdin: "x".repeat(LIMITS.forkEachBytes / 20) }));
  expect(paths({ count: 20, each: large })).toEqual(["each"]);
  const many = Object.fromEntries(Array.from({ length: LIMITS.envVariables }, (_, at) => [`V${at}`, "1"]));
  expect(paths({ env: { A: "1" } }, many)).toEqual(["env"]);
});

it("refuses text that cannot be kept, and takes text that only looks like it", () => {
  expect(paths({ command: { ...COMMAND, stdin: "a\0b" } })).toEqual(["command"]);
  expect(paths({ count: 1, each: [{ stdin: "\ud800" }] })).toEqual(["each"]);
  expect(paths({ command: { ...COMMAND, stdin: "\\u0000 \\\\ud800 \u{1f333}\\" } })).toEqual([]);
});

it("gives each child its own, and who it is", () => {
  const template = { ...forkRow().template, parentId: "sbx_parent", env: { KEPT: "1", BANYAN_FORK_ID: "frk_old", BANYAN_FORK_INDEX: "9" } };
  const children = new ForkChildren(
    forkRow({ count: 3, name: "n", env: { A: "{index}/{count}", B: "{fork}", C: "{other}" }, envCycle: { D: ["x", "y"] } }, { template }),
  );
  expect(children.sharedEnv).toEqual({
    KEPT: "1",
    B: "frk_1",
    C: "{other}",
    BANYAN_FORK_ID: "frk_1",
    BANYAN_FORK_COUNT: "3",
    BANYAN_PARENT_ID: "sbx_parent",
  });
  expect(children.own(2)).toEqual({ name: "n-2", env: { BANYAN_FORK_INDEX: "2", A: "2/3", D: "x" }, stdin: undefined, files: undefined });
});

it.each([
  ["1\n2.5\n\n", 2.5],
  ["-3e2", -300],
  ["", null],
  ["0x10", null],
  ["12 apples", null],
  ["NaN", null],
  ["1e999", null],
])("scores %j as %j", (stdout, score) => {
  expect(scoreOf({ stdout, stdoutBytes: stdout.length })).toBe(score);
});

it("scores no number that was cut off", () => {
  expect(scoreOf({ stdout: "12", stdoutBytes: 3 })).toBeNull();
});
