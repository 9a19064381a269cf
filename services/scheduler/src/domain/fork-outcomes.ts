import type { ErrorCode, ForkOutcome, StartRefusal } from "@banyan/contracts";
import { unreachable } from "@banyan/kernel";
import type { z } from "zod";
import type { ChildError } from "./fork.ts";
import { coolOff } from "./fork-cool-off.ts";
import { INTERRUPTED, NO_SCORE, SANDBOX_DIED } from "./fork-errors.ts";
import type { Child, Draft, Grace, LiveFork } from "./fork-live.ts";
import { scoreOf } from "./fork-score.ts";
import { isMountRefusal } from "./mounts.ts";

export type Answer =
  | { kind: "started"; totalMs: number }
  | { kind: "refused"; reason: z.infer<typeof StartRefusal>; retryAfterMs: number }
  | { kind: "failed"; code: string; message: string };

export interface Report {
  index: number;
  sandboxId: string;
  /** Null: the command was interrupted. */
  outcome: ForkOutcome | null;
  sandbox: "running" | "stopped" | "deleted";
}

interface Owners {
  /** The child's sandbox is not the fork's to look after any more. */
  disown(child: Child): void;
}

/** Starts that may fail on their nodes before the child has failed. */
const FAILURES_MAX = 3;
const STORE_LOST: ErrorCode = "volume.unreachable";

/** What children come to, in one step of their fork. */
export class ChildOutcomes {
  readonly #fork: LiveFork;
  readonly #draft: Draft;
  readonly #owners: Owners;

  constructor(fork: LiveFork, draft: Draft, owners: Owners) {
    this.#fork = fork;
    this.#draft = draft;
    this.#owners = owners;
  }

  /** Its node has answered to its start. */
  answered(child: Child, answer: Answer): void {
    const fork = this.#fork;
    const draft = this.#draft;
    const { nodeId, sandboxId } = child;
    if (nodeId === null || sandboxId === null) return;
    switch (answer.kind) {
      case "started":
        fork.coolOff.delete(nodeId);
        Object.assign(child, { startMs: answer.totalMs, startedAt: draft.at, batchId: null, live: true });
        draft.made.push({ sandboxId, index: child.index, nodeId, state: "running", reason: null, startedAt: draft.at });
        fork.move(draft, child, "running");
        break;
      case "refused":
        coolOff(fork, nodeId, answer.retryAfterMs, draft.at);
        this.#takeBack(child);
        break;
      case "failed":
        coolOff(fork, nodeId, 0, draft.at);
        // The node has lost the store, and its next heartbeat says so: nothing is wrong with the child.
        if (answer.code === STORE_LOST) {
          this.#takeBack(child);
          break;
        }
        child.failures++;
        child.error = { code: answer.code, message: answer.message };
        if (child.failures < FAILURES_MAX && !isMountRefusal(answer.code)) this.#takeBack(child);
        else {
          draft.freed.push(sandboxId);
          this.close(child, "failed", child.error);
        }
        break;
      default:
        unreachable(answer);
    }
  }

  /** Its command has ended. True where it succeeded. */
  reported(child: Child, { outcome, sandbox }: Report): boolean {
    const draft = this.#draft;
    const { sandboxId, nodeId } = child;
    if (sandboxId === null || nodeId === null) return false;
    // Its command has ended before its start was answered.
    if (child.state === "starting" && sandbox !== "deleted") {
      Object.assign(child, { startedAt: draft.at, batchId: null, live: true });
      draft.made.push({ sandboxId, index: child.index, nodeId, state: sandbox, reason: null, startedAt: draft.at });
    } else if (child.state === "starting") draft.freed.push(sandboxId);
    else if (sandbox !== "running") draft.end(child, sandbox, outcome === null ? "slot_died" : "fork_finished");
    if (sandbox === "deleted") child.live = false;
    if (outcome === null) {
      this.interrupted(child, child.grace ?? { as: "lost", error: sandbox === "stopped" ? SANDBOX_DIED : INTERRUPTED });
      return false;
    }
    const { policy } = this.#fork.row.spec;
    child.score = policy.kind === "best" ? scoreOf(outcome) : null;
    const unscored = policy.kind === "best" && outcome.exitCode === 0 && child.score === null;
    const succeeded = outcome.exitCode === 0 && !unscored;
    this.close(child, succeeded ? "succeeded" : "failed", unscored ? NO_SCORE : null, outcome);
    return succeeded;
  }

  /** Its command was cut short, and nobody knows how it would have ended. */
  interrupted(child: Child, { as, error }: Pick<Grace, "as" | "error">): void {
    if (as === "failed") this.close(child, "failed", error);
    else this.lose(child, error, { hasNode: true });
  }

  /** What it did does not count. Where it may be made again, nothing of it is to be left. */
  lose(child: Child, { code, message }: ChildError, { hasNode }: { hasNode: boolean }): void {
    const fork = this.#fork;
    const draft = this.#draft;
    const { sandboxId, nodeId, live } = child;
    if (sandboxId === null || nodeId === null) return;
    const error = { code, message };
    const again = child.losses < fork.row.spec.retries && fork.head.state === "running";
    if (!live) draft.freed.push(sandboxId);
    else if (again) draft.end(child, "deleting", code);
    else if (!hasNode) draft.end(child, "failed", code);
    child.losses++;
    if (!again) {
      this.close(child, "lost", error);
      return;
    }
    if (hasNode) this.delete(nodeId, [sandboxId]);
    this.#owners.disown(child);
    child.error = error;
    fork.sendBack(draft, child);
  }

  /** It has come to its end. */
  close(child: Child, state: "succeeded" | "failed" | "cancelled" | "lost", error: ChildError | null, outcome?: ForkOutcome): void {
    this.#owners.disown(child);
    Object.assign(child, { error, endedAt: this.#draft.at, batchId: null });
    this.#fork.move(this.#draft, child, state, outcome);
  }

  delete(nodeId: string, sandboxIds: string[]): void {
    this.#fork.removing++;
    this.#draft.actions.push({ kind: "delete", nodeId, sandboxIds });
  }

  /** No node has it: it waits again, as itself. */
  #takeBack(child: Child): void {
    if (child.sandboxId !== null) this.#draft.freed.push(child.sandboxId);
    this.#owners.disown(child);
    this.#fork.sendBack(this.#draft, child);
  }
}
