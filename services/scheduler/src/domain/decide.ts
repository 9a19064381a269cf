import { type InputOf, type SandboxChanged, type SandboxState, sandboxMachine } from "@banyan/contracts";
import { assert, unreachable } from "@banyan/kernel";
import type { Launch, Sandbox } from "./sandbox.ts";

/** What may happen to a sandbox. What comes from a node carries the epoch it is about. */
export type Command =
  | { kind: "start"; deadlineAt: number }
  | { kind: "started"; epoch: number; launch: Launch | null }
  | { kind: "gave_up" | "failed" | "died" | "lost"; epoch: number; reason: string }
  | { kind: "recovered"; epoch: number }
  | { kind: "stop"; deadlineAt: number; reason: string | null }
  | { kind: "stopped"; epoch: number }
  | { kind: "delete"; deadlineAt: number; reason: string | null }
  | { kind: "deleted" };

export type Changed = InputOf<typeof SandboxChanged>;
export type Decision =
  | { kind: "changed"; next: Sandbox; event: Changed }
  | { kind: "refused"; code: "sandbox.illegal_transition" | "sandbox.stale_epoch" };

/** The states that something must still finish: each has a deadline. */
export const UNFINISHED: readonly SandboxState[] = ["starting", "stopping", "deleting"];

export function decide(sandbox: Sandbox, command: Command, now: number): Decision {
  if ("epoch" in command && command.epoch !== sandbox.epoch) return { kind: "refused", code: "sandbox.stale_epoch" };
  const to = sandboxMachine.next(sandbox.state, command.kind);
  if (to === null) return { kind: "refused", code: "sandbox.illegal_transition" };
  const next: Sandbox = {
    ...sandbox,
    deadlineAt: null,
    ...change(sandbox, command, now),
    state: to,
    version: sandbox.version + 1,
    updatedAt: now,
  };
  assert(UNFINISHED.includes(to) === (next.deadlineAt !== null), `${to} with deadline ${next.deadlineAt}`);
  return { kind: "changed", next, event: changedEvent(next, sandbox.state) };
}

/** A start that is tried on another node. Not a change of state: nobody outside is told. */
export function move(sandbox: Sandbox, nodeId: string, now: number): Sandbox {
  assert(sandbox.state === "starting", `move of a sandbox that is ${sandbox.state}`);
  return { ...sandbox, nodeId, version: sandbox.version + 1, updatedAt: now };
}

export function changedEvent(next: Sandbox, from: SandboxState | null): Changed {
  const { id: sandboxId, orgId, nodeId, epoch, state: to, stateReason: reason, updatedAt: at } = next;
  return { sandboxId, orgId, nodeId, epoch, from, to, reason, at };
}

function change(sandbox: Sandbox, command: Command, now: number): Partial<Sandbox> {
  switch (command.kind) {
    case "start":
      return { epoch: sandbox.epoch + 1, deadlineAt: command.deadlineAt, launch: null, stateReason: null };
    case "started":
      return { hasDisk: true, launch: command.launch, startedAt: now, stoppedAt: null, lastActiveAt: now, stateReason: null };
    case "recovered":
      return { hasDisk: true, startedAt: sandbox.startedAt ?? now, stoppedAt: null, lastActiveAt: now, stateReason: null };
    case "stop":
    case "delete":
      return { deadlineAt: command.deadlineAt, stateReason: command.reason };
    case "stopped":
      return { stoppedAt: now };
    case "died":
      return { stoppedAt: now, stateReason: command.reason };
    case "gave_up":
    case "failed":
    case "lost":
      return { stateReason: command.reason };
    case "deleted":
      return {};
    default:
      return unreachable(command);
  }
}
