import { api, fault } from "@banyan/contracts";
import { HTTPException } from "hono/http-exception";
import { expect, it } from "vitest";
import { asAppError, invalid } from "./problems.ts";

it("names every wrong field by its path, unknown ones too", () => {
  const parsed = api.CreateSandboxBody.safeParse({ limits: { cpu: -1, zork: 1 }, foo: 1 });
  const error = invalid(parsed.error ?? expect.fail(), "body");
  expect(error.code).toBe("request.invalid");
  expect(error.details.issues).toEqual([
    expect.objectContaining({ path: "limits.cpu" }),
    { path: "limits.zork", message: "unknown field" },
    { path: "foo", message: "unknown field" },
  ]);
});

it("shows nothing of the inside of an unexpected error", () => {
  const error = asAppError(new Error("password=hunter2"));
  expect(JSON.stringify(api.toProblem(error, "req_1"))).not.toContain("hunter2");
  expect(api.toProblem(error, "req_1")).toMatchObject({ status: 500, code: "internal", request_id: "req_1" });
});

it("takes the framework's own refusals as invalid requests", () => {
  expect(asAppError(new HTTPException(400, { message: "bad" }))).toMatchObject({ code: "request.invalid", message: "bad" });
});

it("says that a conflict which passes is retryable", () => {
  const problem = api.toProblem(fault("request.idempotency_in_progress", { retryAfterMs: 500 }), "req_1");
  expect(problem).toMatchObject({ status: 409, retryable: true, retry_after_ms: 500 });
  expect(problem.details).toEqual({});
});
