import { type LayerRef, sandboxMachine } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import fc from "fast-check";
import { expect, it } from "vitest";
import { type Command, decide, lostWithNode, move, UNFINISHED } from "./decide.ts";
import { sandboxOf } from "./sandbox.fixture.ts";

const epoch = fc.integer({ min: 1, max: 4 });
const reason = fc.constantFrom("a", "b");
const maybeReason = fc.option(reason);
const deadlineAt = fc.integer({ min: 1, max: 1_000 });
const shipped = { digest: `sha256:${"ab".repeat(32)}`, sizeBytes: 1 };
const childStack = { ...sandboxOf().stack, layers: [shipped, shipped] };
const promotion = { childId: newId("sbx"), forced: false };
const command: fc.Arbitrary<Command> = fc.oneof(
  fc.record({ kind: fc.constant("start" as const), deadlineAt }),
  fc.record({ kind: fc.constant("started" as const), epoch, launch: fc.constant(null) }),
  fc.record({ kind: fc.constantFrom("gave_up" as const, "failed" as const, "died" as const, "lost" as const), epoch, reason }),
  fc.record({ kind: fc.constantFrom("recovered" as const, "stopped" as const), epoch }),
  fc.record({ kind: fc.constantFrom("stop" as const, "delete" as const), deadlineAt, reason: maybeReason }),
  fc.record({ kind: fc.constant("deleted" as const) }),
  fc.record({ kind: fc.constant("archived" as const), epoch, layers: fc.constant<LayerRef[]>([shipped]) }),
  fc.record({ kind: fc.constant("promoted" as const), epoch, stack: fc.constant(childStack), promotion: fc.constant(promotion), reason }),
);

it("keeps the invariants under any sequence of commands", () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 40 }), (commands) => {
      let sandbox = sandboxOf({ id: newId("sbx") });
      let now = 1_000;
      for (const drawn of commands) {
        const one = drawn.kind === "start" && !sandbox.hasDisk ? { ...drawn, nodeId: "b" } : drawn;
        const decision = decide(sandbox, one, ++now);
        if (decision.kind === "refused") continue;
        const { next, event } = decision;
        expect(next.state).toBe(sandboxMachine.next(sandbox.state, one.kind));
        expect(next.version).toBe(sandbox.version + 1);
        expect(next.epoch).toBe(sandbox.epoch + (one.kind === "start" ? 1 : 0));
        expect(next.deadlineAt !== null).toBe(UNFINISHED.includes(next.state));
        expect(next.lastActiveAt).toBeGreaterThanOrEqual(sandbox.lastActiveAt);
        expect(event).toMatchObject({ from: sandbox.state, to: next.state, epoch: next.epoch, reason: next.stateReason });
        if (next.state === "stopped") expect(next.nodeId !== null, "without a disk it is nowhere").toBe(next.hasDisk);
        expect(["running", "stopping"].includes(next.state) && !next.hasDisk, "what runs has a disk").toBe(false);
        expect(decision.promotion).toBe(one.kind === "promoted" ? promotion : null);
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
  const stopping = decide(
    sandboxOf({ state: "running", hasDisk: true, deadlineAt: null }),
    { kind: "stop", deadlineAt: 9, reason: "expired" },
    1,
  );
  if (stopping.kind === "refused") throw new Error(stopping.code);
  expect(decide(stopping.next, { kind: "stopped", epoch: 1 }, 2)).toMatchObject({
    next: { state: "stopped", stateReason: "expired", stoppedAt: 2 },
  });
});

it("puts a start that came to nothing back to where its files are", () => {
  const atNode = sandboxOf({ hasDisk: true });
  const anywhere = sandboxOf({ hasDisk: false });
  const gaveUp = { kind: "gave_up", epoch: 1, reason: "node.no_slot" } as const;
  expect(decide(atNode, gaveUp, 1)).toMatchObject({ next: { state: "stopped", nodeId: "node-a" } });
  expect(decide(anywhere, gaveUp, 1)).toMatchObject({ next: { state: "stopped", nodeId: null } });
});

it("keeps why it was to go on where a start comes to nothing, whoever finds that out", () => {
  const stopped = sandboxOf({ state: "stopped", hasDisk: true, deadlineAt: null, stateReason: "moving" });
  const starting = decide(stopped, { kind: "start", deadlineAt: 9, reason: "moving" }, 1);
  if (starting.kind === "refused") throw new Error(starting.code);
  expect(decide(starting.next, { kind: "gave_up", epoch: 2, reason: "start_interrupted" }, 2)).toMatchObject({
    next: { stateReason: "moving" },
  });
  expect(decide(starting.next, { kind: "started", epoch: 2, launch: null }, 2)).toMatchObject({ next: { stateReason: null } });
  const plain = decide(stopped, { kind: "start", deadlineAt: 9 }, 1);
  if (plain.kind === "refused") throw new Error(plain.code);
  expect(decide(plain.next, { kind: "gave_up", epoch: 2, reason: "node.no_slot" }, 2)).toMatchObject({
    next: { stateReason: "node.no_slot" },
  });
});

it("archives a stopped one into the stack that it is given, and starts it where it is placed", () => {
  const stopped = sandboxOf({ state: "stopped", hasDisk: true, deadlineAt: null, stateReason: "moving", epoch: 3 });
  const archived = decide(stopped, { kind: "archived", epoch: 3, layers: [shipped] }, 1);
  if (archived.kind === "refused") throw new Error(archived.code);
  expect(archived.next).toMatchObject({
    state: "stopped",
    nodeId: null,
    hasDisk: false,
    stateReason: "moving",
    stack: { layers: [shipped] },
  });
  expect(decide(archived.next, { kind: "lost", epoch: 3, reason: "node_lost" }, 1)).toMatchObject({ code: "sandbox.illegal_transition" });
  const starting = decide(archived.next, { kind: "start", deadlineAt: 9, nodeId: "node-b" }, 1);
  expect(starting).toMatchObject({ next: { state: "starting", nodeId: "node-b", epoch: 4, hasDisk: false } });
  expect(() => decide(archived.next, { kind: "start", deadlineAt: 9 }, 1)).toThrow(/has a disk/);
});

it("loses with its node what was there, and only that", () => {
  expect(lostWithNode(sandboxOf({ state: "running", hasDisk: true })).kind).toBe("lost");
  expect(lostWithNode(sandboxOf({ epoch: 1, hasDisk: false })).kind).toBe("failed");
  expect(lostWithNode(sandboxOf({ epoch: 2, hasDisk: true })).kind).toBe("failed");
  expect(lostWithNode(sandboxOf({ epoch: 2, hasDisk: false })).kind).toBe("gave_up");
});

it("moves only what is starting", () => {
  expect(move(sandboxOf({ nodeId: "a" }), "b", 5)).toMatchObject({ nodeId: "b", version: 2, state: "starting" });
  expect(() => move(sandboxOf({ state: "running", deadlineAt: null }), "b", 5)).toThrow(/move of a sandbox that is running/);
});
