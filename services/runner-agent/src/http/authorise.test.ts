import { newId } from "@banyan/kernel";
import { expect, it } from "vitest";
import { authoriser } from "./authorise.ts";

const orgId = newId("org");
const headers = { "x-banyan-cluster": "Bearer secret", "x-banyan-org": orgId, "x-banyan-epoch": "3", "x-request-id": "req_1" };
const authorise = authoriser("secret");

it("believes a request with the cluster's token", () => {
  expect(authorise(headers)).toEqual({ orgId, epoch: 3, requestId: "req_1" });
});

it("refuses every other", () => {
  const { "x-banyan-cluster": _, ...without } = headers;
  expect(() => authorise(without)).toThrow(/gateway/);
  for (const token of ["", "secret", "Bearer secreu", "Bearer secret ", "bearer secret"]) {
    expect(() => authorise({ ...headers, "x-banyan-cluster": token })).toThrow(/token/);
  }
});

it("refuses malformed claims and makes up a request id for a strange one", () => {
  for (const bad of [{ "x-banyan-epoch": "-1" }, { "x-banyan-epoch": "1e3" }, { "x-banyan-org": "../x" }]) {
    expect(() => authorise({ ...headers, ...bad })).toThrow(/well-formed/);
  }
  expect(authorise({ ...headers, "x-request-id": "a\nb" }).requestId).toMatch(/^req_/);
});
