import { type InputOf, type LayerRef, type SandboxChanged, type SandboxState, sandboxMachine } from "@banyan/contracts";
import { assert, unreachable } from "@banyan/kernel";
import { FIRST_EPOCH, type Launch, type Sandbox, type Stack } from "./sandbox.ts";

/** What may happen to a sandbox. What comes from a node carries the epoch it is about. */
export type Command =
  /** `nodeId`: of one without a disk, which starts wherever it is placed. `reason`: goes back with it where the start comes to nothing. */
  | { kind: "start"; deadlineAt: number; nodeId?: string; reason?: string }
  | { kind: "started"; epoch: number; launch: Launch | null }
  | { kind: "gave_up" | "failed" | "died" | "lost"; epoch: number; reason: string }
  | { kind: "recovered"; epoch: number }
  | { kind: "stop"; deadlineAt: number; reason: string | null }
  | { kind: "stopped"; epoch: number }
  /** All its files are in this stack now, in the blob store. */
  | { kind: "archived"; epoch: number; layers: LayerRef[] }
  /** It goes on from a child's files. Those that it had are given up. */
  | { kind: "promoted"; epoch: number; stack: Stack; promotion: Promotion; reason: string | null }
  | { kind: "delete"; deadlineAt: number; reason: string | null }
  | { kind: "deleted" };

/** Whose files a sandbox took over; `forced`: its own had changed since the fork, or nobody could tell. */
export interface Promotion {
  childId: string;
  forced: boolean;
}

export type Changed = InputOf<typeof SandboxChanged>;
export type Decision =
  | { kind: "changed"; next: Sandbox; event: Changed; promotion: Promotion | null }
  | { kind: "refused"; code: "sandbox.illegal_transition" | "sandbox.stale_epoch" };

/** The states that something must still finish: each has a deadline. */
export const UNFINISHED: readonly SandboxState[] = ["starting", "stopping", "deleting"];

export function decide(sandbox: Sandbox, command: Command, now: number): Decision {
  if ("epoch" in command && command.epoch !== sandbox.epoch) return { kind: "refused", code: "sandbox.stale_epoch" };
  const to = sandboxMachine.next(sandbox.state, command.kind);
  if (to === null || (command.kind === "lost" && !isOnNode(sandbox))) return { kind: "refused", code: "sandbox.illegal_transition" };
  const next: Sandbox = {
    ...sandbox,
    deadlineAt: null,
    ...change(sandbox, command, now),
    state: to,
    version: sandbox.version + 1,
    updatedAt: now,
  };
  assert(UNFINISHED.includes(to) === (next.deadlineAt !== null), `${to} with deadline ${next.deadlineAt}`);
  assert(to !== "stopped" || next.hasDisk === (next.nodeId !== null), `stopped, disk: ${next.hasDisk}, node: ${next.nodeId}`);
  const promotion = command.kind === "promoted" ? command.promotion : null;
  return { kind: "changed", next, event: changedEvent(next, sandbox.state), promotion };
}

/** A stopped one whose files are all in its stack can be lost with no node. */
const isOnNode = ({ state, hasDisk }: Sandbox): boolean => state !== "stopped" || hasDisk;

/** What becomes of a sandbox whose node is gone for good. One whose files are all in its stack has lost nothing by a start. */
export function lostWithNode({ state, epoch, hasDisk }: Pick<Sandbox, "state" | "epoch" | "hasDisk">): Command {
  if (state !== "starting") return { kind: "lost", epoch, reason: "node_lost" };
  return { kind: hasDisk || epoch === FIRST_EPOCH ? "failed" : "gave_up", epoch, reason: "node_lost" };
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

const WITHOUT_DISK = { hasDisk: false, nodeId: null };

function change(sandbox: Sandbox, command: Command, now: number): Partial<Sandbox> {
  switch (command.kind) {
    case "start":
      assert(sandbox.hasDisk === (command.nodeId === undefined), "what has a disk starts there, and nothing else does");
      return {
        epoch: sandbox.epoch + 1,
        nodeId: command.nodeId ?? sandbox.nodeId,
        deadlineAt: command.deadlineAt,
        launch: null,
        stateReason: command.reason ?? null,
      };
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
      // Nothing of it came to be on the node: its files are where they were.
      return { stateReason: sandbox.stateReason ?? command.reason, nodeId: sandbox.hasDisk ? sandbox.nodeId : null };
    case "archived":
      return { ...WITHOUT_DISK, stack: { ...sandbox.stack, layers: command.layers } };
    case "promoted":
      return { ...WITHOUT_DISK, stack: command.stack, stateReason: command.reason };
    case "failed":
    case "lost":
      return { stateReason: command.reason };
    case "deleted":
      return {};
    default:
      return unreachable(command);
  }
}
