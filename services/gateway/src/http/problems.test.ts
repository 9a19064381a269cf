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

it.each<[object, { path: string; message?: unknown }[]]>([
  [{ steps: [{ apt: ["jq; rm -rf /"] }] }, [{ path: "image.steps.0.apt.0" }]],
  [{ steps: [{ run: "x", sekrets: [] }] }, [{ path: "image.steps.0.sekrets", message: "unknown field" }]],
  [{ steps: [{ file: { path: "relative", content: "" } }] }, [{ path: "image.steps.0.file.path" }]],
  [{ base: { rootfs: "sha256:no" } }, [{ path: "image.base.rootfs" }]],
  [{ apt: ["-o=x"], colour: 1 }, [{ path: "image.apt.0" }, { path: "image.colour", message: "unknown field" }]],
])("says of %j what is wrong with the alternative that was meant", (image, issues) => {
  const error = invalid(api.CreateSandboxBody.safeParse({ image }).error ?? expect.fail(), "body");
  expect(error.details.issues).toEqual(issues.map((issue) => expect.objectContaining(issue)));
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
