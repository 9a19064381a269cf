import { fault } from "@banyan/contracts";
import { expect, it } from "vitest";
import { StepFailed } from "../domain/step-failed.ts";
import { EXECUTIONS_MAX, outcomeOf } from "./ending.ts";

const outcome = (error: unknown, attempts = 1) => outcomeOf({ error, attempts, tail: ["said last"], networkOf: () => "open" });

it("tries again what may succeed another time, so many times", () => {
  for (const code of ["build.engine_unavailable", "database.unavailable", "bus.timeout", "layer.unavailable"] as const) {
    expect(outcome(fault(code)).kind).toBe("again");
    expect(outcome(fault(code), EXECUTIONS_MAX)).toMatchObject({ kind: "fail", failure: { code, lastLines: ["said last"] } });
  }
});

it("ends with what would be the same another time", () => {
  const failed = new StepFailed({ step: 1, exitCode: 100, oomKilled: false, lastLines: ["E: Unable to locate package x"] });
  expect(outcome(failed)).toMatchObject({ kind: "fail", failure: { code: "build.package_not_found", step: 1, exitCode: 100 } });
  expect(outcome(fault("context.refused"))).toMatchObject({ kind: "fail", failure: { code: "context.refused" } });
  expect(outcome(fault("build.disk_full"))).toMatchObject({ kind: "fail", failure: { code: "build.disk_full" } });
  expect(outcome(fault("registry.denied"))).toMatchObject({ kind: "fail", failure: { code: "registry.denied" } });
});

it("tells a cancelled build from one that took too long", () => {
  expect(outcome(fault("build.cancelled"))).toEqual({ kind: "cancel" });
  expect(outcome(fault("build.timeout"))).toMatchObject({ kind: "fail", failure: { code: "build.timeout", lastLines: ["said last"] } });
});

it("says nothing of the inside of a bug", () => {
  const failure = outcome(new TypeError("password is undefined"));
  expect(failure).toMatchObject({ kind: "fail", failure: { code: "internal" } });
  expect(JSON.stringify(failure)).not.toContain("password");
});
