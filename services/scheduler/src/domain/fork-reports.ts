import type { SandboxState } from "@banyan/contracts";
import { lookForEnd, winFork } from "./fork-end.ts";
import { DISK_LOST, NODE_DRAINED, SANDBOX_DELETED, SANDBOX_DIED, SANDBOX_STOPPED } from "./fork-errors.ts";
import type { Child, Grace, LiveFork } from "./fork-live.ts";
import type { ForkMemory, Owner } from "./fork-memory.ts";
import type { Report } from "./fork-outcomes.ts";
import { DRAINED } from "./moving.ts";

/** What ended a sandbox under its command, as far as others than its node can see. */
export type Interruption = keyof typeof INTERRUPTIONS;
export interface SandboxChange {
  state: SandboxState;
  reason: string | null;
}

/** How long a node has to tell how the command ended; it may have ended before its sandbox did. */
const REPORT_GRACE_MS = 30_000;
/** Its node has told of the death, and tells of the command with it: then both are here, or something is wrong. */
const DEATH_GRACE_MS = 5_000;

/** What the child counts as if its node does not know better. Who stops a sandbox does not want it made again; who loses one may. */
const INTERRUPTIONS = {
  stopped: { as: "failed", error: SANDBOX_STOPPED, graceMs: REPORT_GRACE_MS },
  drained: { as: "lost", error: NODE_DRAINED, graceMs: REPORT_GRACE_MS },
  died: { as: "lost", error: SANDBOX_DIED, graceMs: DEATH_GRACE_MS },
  seen_stopped: { as: "lost", error: SANDBOX_DIED, graceMs: REPORT_GRACE_MS },
  disk_lost: { as: "lost", error: DISK_LOST, graceMs: REPORT_GRACE_MS },
} as const satisfies Record<string, Omit<Grace, "until"> & { graceMs: number }>;
/** Why a row is stopped, where it was not its owner who stopped it. */
const BY_REASON: Readonly<Record<string, Interruption>> = { [DRAINED]: "drained", slot_died: "died", slot_lost: "seen_stopped" };

/** How commands ended, by their node. Said twice it is heard once. */
export function hearReports(memory: ForkMemory, fork: LiveFork, reports: readonly Report[], now: number): void {
  let winner: Child | null = null;
  memory.change(fork, now, (_draft, outcomes) => {
    for (const report of reports) {
      const child = fork.planned[report.index];
      if (child === undefined || child.sandboxId !== report.sandboxId) continue;
      if (child.state !== "starting" && child.state !== "running") continue;
      if (outcomes.reported(child, report)) winner ??= child;
    }
  });
  if (winner !== null && fork.row.spec.policy.kind === "first_success") winFork(memory, fork, winner, now);
  lookForEnd(memory, fork, now);
}

/** The row of a child's sandbox changed otherwise than by the fork. */
export function sandboxChanged(memory: ForkMemory, owner: Owner, { state, reason }: SandboxChange, now: number): void {
  const { fork, child } = owner;
  if (child.state !== "running") return;
  if (state === "deleting" || state === "deleted") {
    child.live = false;
    if (fork.hasCommand) memory.change(fork, now, (_draft, outcomes) => outcomes.close(child, "cancelled", SANDBOX_DELETED));
    else memory.disown(child);
  } else if (fork.hasCommand && (state === "stopped" || state === "stopping"))
    awaitReport(owner, BY_REASON[reason ?? ""] ?? "stopped", now);
  else if (state === "failed") awaitReport(owner, "disk_lost", now);
  lookForEnd(memory, fork, now);
}

/** What its node may have made of it goes; a start that comes later is refused there. */
export function removeStarting(memory: ForkMemory, { fork, child }: Owner, now: number): void {
  const { nodeId, sandboxId } = child;
  if (nodeId === null || sandboxId === null) return;
  memory.change(fork, now, (_draft, outcomes) => {
    outcomes.delete(nodeId, [sandboxId]);
    outcomes.close(child, "cancelled", SANDBOX_DELETED);
  });
  lookForEnd(memory, fork, now);
}

/** The sandbox was seen to have ended on its node: it has a while to say how. */
export function awaitReport({ fork, child }: Owner, how: Interruption, now: number): void {
  if (child.state !== "running" || child.grace !== null) return;
  const { as, error, graceMs } = INTERRUPTIONS[how];
  fork.wait(child, { until: now + graceMs, as, error });
}

/** Their nodes have not told in time how their commands ended. */
export function endGraces(memory: ForkMemory, fork: LiveFork, now: number): void {
  const due = [...fork.graces].filter(({ grace }) => grace !== null && grace.until <= now);
  if (due.length === 0) return;
  memory.change(fork, now, (_draft, outcomes) => {
    for (const child of due) if (child.grace !== null) outcomes.interrupted(child, child.grace);
  });
}
