import { fault } from "@banyan/contracts";
import { expect, it } from "vitest";
import { Retries } from "./retries.ts";

it("waits twice as long after each failure, up to a minute, and not at all after a success", () => {
  const retries = new Retries();
  let nowMs = 0;
  const waits: number[] = [];
  for (let i = 0; i < 8; i++) {
    retries.failed("a", "node", new Error("x"), nowMs);
    const failedMs = nowMs;
    while (!retries.isDue("a", nowMs)) nowMs += 1_000;
    waits.push(nowMs - failedMs);
  }
  expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
  retries.failed("a", "node", new Error("x"), nowMs);
  retries.done("a");
  expect(retries.isDue("a", nowMs)).toBe(true);
});

it("tells of a node's failures under the code they have, also when a later try knows of no node", () => {
  const retries = new Retries();
  retries.failed("a", "one", fault("snapshot.failed"), 0);
  retries.failed("b", "one", new Error("broke"), 0);
  retries.failed("c", "other", new Error("broke"), 0);
  retries.failed("a", null, fault("node.none_available"), 0);
  expect(retries.reasonsOf("one", 10)).toEqual([
    { id: "b", reason: "broke" },
    { id: "a", reason: "node.none_available" },
  ]);
  expect(retries.reasonsOf("one", 1)).toHaveLength(1);
  retries.forget("one");
  expect(retries.reasonsOf("one", 10)).toEqual([]);
  expect(retries.reasonsOf("other", 10)).toHaveLength(1);
});
