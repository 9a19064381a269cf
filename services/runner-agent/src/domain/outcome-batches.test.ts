import { ForkChildrenFinished, LIMITS } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { expect, it } from "vitest";
import type { OutcomeRecord } from "../sandboxes/outcomes.ts";
import { outcomeBatches } from "./outcome-batches.ts";

const [fork, other] = [newId("frk"), newId("frk")];

function record(changes: Partial<OutcomeRecord> = {}, stdout = ""): OutcomeRecord {
  const ended = { exitCode: 0, signal: null, timedOut: false, durationMs: 1, stderr: "", stdoutBytes: 0, stderrBytes: 0, changes: null };
  const ids = { forkId: fork, index: 0, sandboxId: newId("sbx"), epoch: 1 };
  return { format: 1, ...ids, outcome: { ...ended, stdout }, after: "keep", sandbox: "running", at: 1, ...changes };
}

it("says the outcomes of one fork together, and those of another apart", () => {
  const records = [record({ index: 0 }), record({ forkId: other, index: 7 }), record({ index: 1, outcome: null })];
  const batches = outcomeBatches("node-1", records);
  expect(batches.map(({ event }) => [event.forkId, event.children.map(({ index }) => index)])).toEqual([
    [fork, [0, 1]],
    [other, [7]],
  ]);
  for (const { event } of batches) expect(ForkChildrenFinished.input.parse(event)).toEqual(event);
});

it("keeps each message within its bounds, and leaves none out", () => {
  const many = Array.from({ length: 250 }, (_, index) => record({ index }));
  expect(outcomeBatches("n", many).map(({ records }) => records.length)).toEqual([100, 100, 50]);
  // As JSON each of these takes six bytes a character.
  const large = Array.from({ length: 3 }, (_, index) => record({ index }, "\0".repeat(LIMITS.forkOutputBytesMax)));
  const batches = outcomeBatches("n", large);
  expect(batches.map(({ records }) => records.length)).toEqual([1, 1, 1]);
});

it("says nothing of a child whose sandbox is still being dealt with", () => {
  expect(outcomeBatches("n", [record({ sandbox: null })])).toEqual([]);
});
