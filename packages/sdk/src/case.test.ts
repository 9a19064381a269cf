import { expect, it } from "vitest";
import { camelize, snakeize } from "./case.ts";

it("turns names but not the user's own keys", () => {
  const sent = { waitMs: 1, limits: { memoryMb: 2 }, env: { MY_VAR: "x", camelVar: "y" }, labels: { someKey: "z" } };
  expect(snakeize(sent)).toEqual({ wait_ms: 1, limits: { memory_mb: 2 }, env: { MY_VAR: "x", camelVar: "y" }, labels: { someKey: "z" } });
  const got = { created_at: "t", limits: { memory_mb: 2 }, labels: { snake_key: "v" }, layers: [{ size_bytes: 1 }], node_id: null };
  expect(camelize(got)).toEqual({
    createdAt: "t",
    limits: { memoryMb: 2 },
    labels: { snake_key: "v" },
    layers: [{ sizeBytes: 1 }],
    nodeId: null,
  });
});

it("finds its way back", () => {
  const value = { idleTimeoutS: 1, stdinBase64: "", oomKilled: true, nested: [{ onExpiry: "stop" }] };
  expect(camelize(snakeize(value))).toEqual(value);
});

it("leaves paths and variables of a fork's children as they are, and turns files that are a list", () => {
  const sent = { envCycle: { camelVar: ["a"] }, each: [{ files: { "/tmp/aB": "x" } }], files: [{ contentBase64: "" }] };
  expect(snakeize(sent)).toEqual({
    env_cycle: { camelVar: ["a"] },
    each: [{ files: { "/tmp/aB": "x" } }],
    files: [{ content_base64: "" }],
  });
});
