import { AppError, KINDS } from "@banyan/kernel";
import fc from "fast-check";
import { expect, it } from "vitest";
import type * as contracts from "./index.ts";
import { api, ERRORS, fault, fromWireError, isErrorCode, SandboxPath, sandboxMachine, toWireError } from "./index.ts";

it("accepts delete in every state but the final one", () => {
  const refusing = sandboxMachine.states.filter((state) => sandboxMachine.next(state, "delete") === null);
  expect(refusing).toEqual(["deleting", "deleted"]);
});

it("leads from every state to deleted", () => {
  const reaches = (state: contracts.SandboxState, seen = new Set<string>()): boolean =>
    state === "deleted" ||
    (!seen.has(state) &&
      sandboxMachine.events(state).some((event) => reaches(sandboxMachine.next(state, event) ?? state, seen.add(state))));
  expect(sandboxMachine.states.every((state) => reaches(state))).toBe(true);
});

it("carries every error code over the wire and back", () => {
  for (const code of Object.keys(ERRORS).filter(isErrorCode)) {
    const back = fromWireError(JSON.parse(JSON.stringify(toWireError(fault(code, { a: 1 })))));
    expect(back).toMatchObject({ code, kind: ERRORS[code].kind, details: { a: 1 } });
  }
});

it("says nothing of an unknown failure but that it is internal", () => {
  expect(toWireError(new Error("password=hunter2"))).toEqual({ code: "internal", message: ERRORS.internal.message, details: {} });
});

it("turns an error into a problem document with a way out", () => {
  const problem = api.toProblem(fault("node.no_slot", { retryAfterMs: 420.5, waiting: 3 }), "req_1");
  expect(problem).toMatchObject({ status: 503, code: "node.no_slot", retryable: true, retry_after_ms: 421, details: { waiting: 3 } });
  expect(problem.fix).not.toBe("");
});

it("speaks snake_case in details too, and prefers a fix that fits the case", () => {
  const problem = api.toProblem(fault("build.step_failed", { lastLines: ["x"], asked: { memoryMb: 1 }, fix: "Mend it." }), "req_1");
  expect(problem).toMatchObject({ fix: "Mend it.", details: { last_lines: ["x"], asked: { memory_mb: 1 } } });
  expect(problem.details).not.toHaveProperty("fix");
});

it("gives a problem of every kind its status", () => {
  for (const code of Object.keys(ERRORS).filter(isErrorCode)) {
    const problem = api.toProblem(fault(code), "req_1");
    expect(problem.status).toBeGreaterThanOrEqual(400);
    expect(problem.retryable).toBe(problem.retry_after_ms !== null);
    expect(new AppError({ kind: ERRORS[code].kind, code, message: "" }).kind in KINDS).toBe(true);
  }
});

it("fills in every default of a create from an empty body", () => {
  const body = api.CreateSandboxBody.parse({});
  expect(body).toMatchObject({ image: "default", network: { egress: "open" }, lifetime: { idle_timeout_s: 900, on_idle: "stop" } });
  expect(body.limits, "the others are left to the image").toEqual({ pids: 512 });
});

it.each([
  ["a negative limit", { limits: { cpu: -1 } }],
  ["a limit beyond all machines", { limits: { memory_mb: 1e9 } }],
  ["an unknown field", { colour: "red" }],
  ["an unknown field further in", { limits: { gpu: 1 } }],
  ["ten megabytes of environment", { env: { A: "x".repeat(10 * 2 ** 20) } }],
  ["a variable name with a space", { env: { "A B": "1" } }],
  ["a NUL in a variable", { env: { A: "a\0b" } }],
  ["a host name in an allow-list", { network: { egress: "allow", allow: ["example.org"] } }],
  ["a relative workdir", { workdir: "tmp" }],
])("refuses %s", (_what, body) => {
  expect(api.CreateSandboxBody.safeParse(body).success).toBe(false);
});

it("takes any absolute path without NUL and no other", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 300 }), (text) => {
      expect(SandboxPath.safeParse(`/${text}`).success).toBe(!text.includes("\0"));
      expect(SandboxPath.safeParse(`x${text}`).success).toBe(false);
    }),
  );
});

it("asks for exactly one of argv and shell", () => {
  expect(api.ExecBody.safeParse({}).success).toBe(false);
  expect(api.ExecBody.safeParse({ argv: ["a"], shell: "a" }).success).toBe(false);
  expect(api.ExecBody.safeParse({ shell: "a" }).success).toBe(true);
});
