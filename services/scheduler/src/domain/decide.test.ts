import { sandboxMachine } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import fc from "fast-check";
import { expect, it } from "vitest";
import { type Command, decide, move, UNFINISHED } from "./decide.ts";
import { sandboxOf } from "./sandbox.fixture.ts";

const epoch = fc.integer({ min: 1, max: 4 });
const reason = fc.constantFrom("a", "b");
const deadlineAt = fc.integer({ min: 1, max: 1_000 });
const command: fc.Arbitrary<Command> = fc.oneof(
  fc.record({ kind: fc.constant("start" as const), deadlineAt }),
  fc.record({ kind: fc.constant("started" as const), epoch, launch: fc.constant(null) }),
  fc.record({ kind: fc.constantFrom("gave_up" as const, "failed" as const, "died" as const, "lost" as const), epoch, reason }),
  fc.record({ kind: fc.constantFrom("recovered" as const, "stopped" as const), epoch }),
  fc.record({ kind: fc.constantFrom("stop" as const, "delete" as const), deadlineAt, reason: fc.option(reason) }),
  fc.record({ kind: fc.constant("deleted" as const) }),
);

it("keeps the invariants under any sequence of commands", () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 40 }), (commands) => {
      let sandbox = sandboxOf({ id: newId("sbx") });
      let now = 1_000;
      for (const one of commands) {
        const decision = decide(sandbox, one, ++now);
        if (decision.kind === "refused") continue;
        const { next, event } = decision;
        expect(next.state).toBe(sandboxMachine.next(sandbox.state, one.kind));
        expect(next.version).toBe(sandbox.version + 1);
        expect(next.epoch).toBe(sandbox.epoch + (one.kind === "start" ? 1 : 0));
        expect(next.deadlineAt !== null).toBe(UNFINISHED.includes(next.state));
        expect(next.lastActiveAt).toBeGreaterThanOrEqual(sandbox.lastActiveAt);
        expect(event).toMatchObject({ from: sandbox.state, to: next.state, epoch: next.epoch, reason: next.stateReason });
        if (next.state === "running") expect(next).toMatchObject({ stoppedAt: null, startedAt: expect.any(Number) });
        expect([next.id, next.orgId, next.spec, next.createdAt]).toEqual([sandbox.id, sandbox.orgId, sandbox.spec, sandbox.createdAt]);
        sandbox = next;
      }
    }),
  );
});

it("refuses what is about another incarnation, legal or not", () => {
  const sandbox = sandboxOf({ state: "running", deadlineAt: null, epoch: 3 });
  expect(decide(sandbox, { kind: "died", epoch: 2, reason: "x" }, 1)).toEqual({ kind: "refused", code: "sandbox.stale_epoch" });
  expect(decide(sandbox, { kind: "died", epoch: 4, reason: "x" }, 1)).toEqual({ kind: "refused", code: "sandbox.stale_epoch" });
});

it("keeps why it is stopping as why it is stopped", () => {
  const stopping = decide(sandboxOf({ state: "running", deadlineAt: null }), { kind: "stop", deadlineAt: 9, reason: "expired" }, 1);
  if (stopping.kind === "refused") throw new Error(stopping.code);
  expect(decide(stopping.next, { kind: "stopped", epoch: 1 }, 2)).toMatchObject({
    next: { state: "stopped", stateReason: "expired", stoppedAt: 2 },
  });
});

it("moves only what is starting", () => {
  expect(move(sandboxOf({ nodeId: "a" }), "b", 5)).toMatchObject({ nodeId: "b", version: 2, state: "starting" });
  expect(() => move(sandboxOf({ state: "running", deadlineAt: null }), "b", 5)).toThrow(/move of a sandbox that is running/);
});
