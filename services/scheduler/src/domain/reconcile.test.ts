import { SANDBOX_STATES, type SandboxState } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import fc from "fast-check";
import { expect, it } from "vitest";
import { decide } from "./decide.ts";
import { type Listed, reconcile, type Seen, type Wanted } from "./reconcile.ts";
import { sandboxOf } from "./sandbox.fixture.ts";

const NOW = 100_000;
const ID = newId("sbx");
const ORG = newId("org");
const row = (state: SandboxState, changes: Partial<Wanted> = {}): Wanted => ({
  id: ID,
  nodeId: "a",
  state,
  epoch: 2,
  hasDisk: true,
  deadlineAt: null,
  updatedAt: 1,
  ...changes,
});
const listed = (state: Listed["state"], epoch = 2): Listed => ({ sandboxId: ID, orgId: ORG, epoch, state, lastActiveAt: 0 });
const found = (wanted: Wanted[], here: Listed[], changes: Partial<Seen> = {}) =>
  reconcile({ nodeId: "a", wanted, listed: here, listedAt: NOW - 10, now: NOW, orphanSince: new Map(), orphanGraceMs: 1_000, ...changes });
const actions = (wanted: Wanted[], here: Listed[], changes: Partial<Seen> = {}) => found(wanted, here, changes).actions;
const commands = (wanted: Wanted, here: Listed | undefined) =>
  actions([wanted], here ? [here] : []).flatMap((action) =>
    action.kind === "apply" ? action.commands.map(({ kind }) => kind) : [action.kind],
  );

it.each<[string, Wanted, Listed | undefined, string[]]>([
  ["what runs as wanted", row("running"), listed("running"), []],
  ["what rests as wanted", row("stopped"), listed("stopped"), []],
  ["a slot that is gone", row("running"), listed("stopped"), ["died"]],
  ["a disk that is gone", row("running"), undefined, ["lost"]],
  ["a disk that is gone at rest", row("stopped"), undefined, ["lost"]],
  ["an earlier run", row("running"), listed("running", 1), ["died", "stop_stale"]],
  ["a run that should have ended", row("stopped"), listed("running"), ["stop_stale"]],
  ["a start within its time", row("starting", { deadlineAt: NOW + 1 }), undefined, []],
  ["an overdue start that runs", row("starting", { deadlineAt: NOW }), listed("running"), ["started"]],
  ["an overdue start that does not run", row("starting", { deadlineAt: NOW }), listed("stopped", 1), ["gave_up"]],
  ["an overdue start whose disk is gone", row("starting", { deadlineAt: NOW }), undefined, ["failed"]],
  ["an overdue start without a disk that came to nothing", row("starting", { deadlineAt: NOW, hasDisk: false }), undefined, ["gave_up"]],
  ["one that found what an earlier life left", row("starting", { deadlineAt: NOW, hasDisk: false }), listed("stopped", 1), ["gave_up"]],
  ["one that ran and ended", row("starting", { deadlineAt: NOW, hasDisk: false }), listed("stopped"), ["started", "died"]],
  ["what an archived one left", row("stopped", { nodeId: null, hasDisk: false }), listed("stopped"), []],
  ["an overdue create of nothing", row("starting", { deadlineAt: NOW, epoch: 1 }), undefined, ["delete"]],
  ["an overdue stop that is done", row("stopping", { deadlineAt: NOW }), listed("stopped"), ["stopped"]],
  ["an overdue stop that is not", row("stopping", { deadlineAt: NOW }), listed("running"), ["stop_stale"]],
  ["a failed one that runs after all", row("failed"), listed("running"), ["recovered"]],
  ["a failed one that rests after all", row("failed"), listed("stopped"), ["recovered", "died"]],
  ["a failed one that is gone", row("failed"), undefined, []],
  ["a delete under way", row("deleting", { deadlineAt: NOW - 1 }), listed("running"), []],
  ["a deleted one", row("deleted"), listed("stopped"), ["delete_orphan"]],
])("sees %s", (_what, wanted, here, expected) => {
  expect(commands(wanted, here)).toEqual(expected);
});

it("leaves alone what has changed since the node was asked", () => {
  expect(actions([row("running", { updatedAt: NOW - 10 })], [])).toEqual([]);
});

it("gives what nobody owns time to find its owner", () => {
  const first = found([], [listed("running")]);
  expect(first.actions).toEqual([]);
  expect(actions([], [listed("running")], { now: NOW + 999, orphanSince: first.orphanSince })).toEqual([]);
  expect(actions([], [listed("running")], { now: NOW + 1_000, orphanSince: first.orphanSince })).toEqual([
    { kind: "delete_orphan", id: ID, epoch: 2 },
  ]);
});

it("forgets an orphan that has found its owner", () => {
  const first = found([], [listed("running")]);
  expect(found([row("running")], [listed("running")], { orphanSince: first.orphanSince }).orphanSince.size).toBe(0);
});

it("takes a copy on a node that the row does not name for an orphan", () => {
  const second = found([row("running", { nodeId: "b" })], [listed("running")], { orphanSince: new Map([[ID, 0]]) });
  expect(second.actions).toEqual([{ kind: "delete_orphan", id: ID, epoch: 2 }]);
});

it("asks only for what is legal, whatever it sees, and never deletes what is wanted here", () => {
  const state = fc.constantFrom(...SANDBOX_STATES);
  const here = fc.option(
    fc.record({ state: fc.constantFrom("running" as const, "stopped" as const), epoch: fc.integer({ min: 1, max: 3 }) }),
  );
  fc.assert(
    fc.property(
      state,
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: NOW - 5, max: NOW + 5 }),
      here,
      fc.boolean(),
      (state, epoch, deadline, there, again) => {
        const hasDisk = state !== "starting" || again;
        const deadlineAt = state === "starting" || state === "stopping" || state === "deleting" ? deadline : null;
        const seen = actions([row(state, { epoch, deadlineAt, hasDisk })], there ? [listed(there.state, there.epoch)] : [], {
          orphanSince: new Map([[ID, 0]]),
        });
        let sandbox = sandboxOf({ id: ID, state, epoch, deadlineAt, hasDisk });
        for (const action of seen) {
          if (action.kind === "delete_orphan") expect(state).toBe("deleted");
          if (action.kind !== "apply") continue;
          for (const command of action.commands) {
            const decision = decide(sandbox, command, NOW);
            if (decision.kind === "refused") throw new Error(`${command.kind} in ${sandbox.state}: ${decision.code}`);
            sandbox = decision.next;
          }
        }
      },
    ),
  );
});
