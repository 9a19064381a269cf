import type { SandboxState } from "@banyan/contracts";
import { lookForEnd, winFork } from "./fork-end.ts";
import { DISK_LOST, SANDBOX_DELETED, SANDBOX_STOPPED } from "./fork-errors.ts";
import type { Child, LiveFork } from "./fork-live.ts";
import type { ForkMemory, Owner } from "./fork-memory.ts";
import type { Report } from "./fork-outcomes.ts";

/** How long a node has to tell how a command ended whose sandbox is seen to have ended. */
const REPORT_GRACE_MS = 30_000;

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
export function sandboxChanged(memory: ForkMemory, owner: Owner, state: SandboxState, now: number): void {
  const { fork, child } = owner;
  if (child.state !== "running") return;
  if (state === "deleting" || state === "deleted") {
    child.live = false;
    if (fork.hasCommand) memory.change(fork, now, (_draft, outcomes) => outcomes.close(child, "cancelled", SANDBOX_DELETED));
    else memory.disown(child);
  } else if (fork.hasCommand && (state === "stopped" || state === "stopping")) awaitReport(owner, "failed", now);
  else if (state === "failed") awaitReport(owner, "lost", now);
  lookForEnd(memory, fork, now);
}

/** The sandbox was seen to have ended on its node: it has a while to say how. */
export function awaitReport({ fork, child }: Owner, as: "failed" | "lost", now: number): void {
  if (child.state !== "running" || child.grace !== null) return;
  const error = as === "failed" ? SANDBOX_STOPPED : DISK_LOST;
  fork.wait(child, { until: now + REPORT_GRACE_MS, as, error });
}

/** Their nodes have not told in time how their commands ended. */
export function endGraces(memory: ForkMemory, fork: LiveFork, now: number): void {
  const due = [...fork.graces].filter(({ grace }) => grace !== null && grace.until <= now);
  if (due.length === 0) return;
  memory.change(fork, now, (_draft, outcomes) => {
    for (const child of due) {
      if (child.grace === null) continue;
      const { as, error } = child.grace;
      if (as === "failed") outcomes.close(child, "failed", error);
      else outcomes.lose(child, error, { hasNode: true });
    }
  });
}
