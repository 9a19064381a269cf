import { afterAll, beforeAll, expect, it } from "vitest";
import { run, TestNode, type TestSlot } from "./test-slot.ts";

let node: TestNode;
let slot: TestSlot;

beforeAll(async () => {
  node = await TestNode.start();
  slot = await node.slot();
});

afterAll(() => node.stop());

it("keeps stdout, stderr and the exit code apart", async () => {
  const result = await run(slot.init, "echo out; echo err >&2; exit 7");
  expect(result).toMatchObject({ stdout: "out\n", stderr: "err\n", code: 7, signal: null, timedOut: false, stdoutBytes: 4, stderrBytes: 4 });
});
