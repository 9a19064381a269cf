import type { ForkChildInfo, ForkInfo } from "@banyan/sdk";
import { countsText } from "./fork-progress.ts";
import { type Cell, properties, table } from "./print.ts";
import { printable } from "./progress.ts";

const OUTPUT_CELLS = 48;

/** How each ended, a line a child. */
export function childrenTable(children: readonly ForkChildInfo[], fork: Pick<ForkInfo, "winner" | "policy">): string {
  const isScored = typeof fork.policy === "object";
  const columns = ["INDEX", "SANDBOX", "STATE", "EXIT", "SECONDS", ...(isScored ? ["SCORE"] : []), "CHANGES", "OUTPUT"];
  const rows = children.map((child): Cell[] => {
    const { index, sandboxId, state, outcome } = child;
    const won = fork.winner?.index === index ? "*" : "";
    const seconds = outcome && (outcome.durationMs / 1_000).toFixed(2);
    return [
      `${index}${won}`,
      sandboxId,
      state,
      exitOf(outcome),
      seconds,
      ...(isScored ? [child.score] : []),
      changesOf(outcome),
      saidBy(child),
    ];
  });
  return table(columns, rows);
}

type Outcome = ForkChildInfo["outcome"];

function exitOf(outcome: Outcome): Cell {
  if (outcome === null) return null;
  return outcome.timedOut ? "timeout" : (outcome.exitCode ?? outcome.signal);
}

/** `+3 ~1 -0`: paths added, changed and deleted since the fork. */
function changesOf(outcome: Outcome): Cell {
  const changes = outcome?.changes ?? null;
  return changes && `+${changes.added} ~${changes.changed} -${changes.deleted}`;
}

/** Why it failed, else the first line that it printed. */
function saidBy({ error, outcome }: ForkChildInfo): string {
  const text = error?.message ?? (outcome?.stdout.trim() || outcome?.stderr.trim() || "");
  const line = printable(text.split("\n")[0] ?? "");
  return line.length > OUTPUT_CELLS ? `${line.slice(0, OUTPUT_CELLS - 1)}…` : line;
}

export function forkText(fork: ForkInfo): string {
  const { freeze, winner, source } = fork;
  return properties([
    ["id", fork.id],
    ["source", source.sandbox ?? source.image],
    ["state", fork.stateReason === null ? fork.state : `${fork.state} (${fork.stateReason})`],
    ["children", `${fork.counts.total}: ${countsText(fork.counts)}`],
    ["policy", typeof fork.policy === "object" ? `best ${fork.policy.best}` : fork.policy],
    ["frozen", freeze && `${freeze.way}, paused ${freeze.pausedMs.toFixed(1)} ms${skippedText(freeze.skipped)}`],
    ["in waves", fork.inWaves ? "yes: not all at once" : "no"],
    ["winner", winner && `${winner.index} ${winner.sandboxId ?? ""}`.trimEnd()],
    ["created", fork.createdAt],
    ["ended", fork.endedAt],
    ["deadline", fork.deadlineAt],
  ]);
}

const skippedText = (skipped: readonly string[]): string => (skipped.length === 0 ? "" : `, left out: ${skipped.map(printable).join(" ")}`);

/** All succeeded, or there is a winner where the policy has one. */
export function hasSucceeded({ policy, winner, state, counts }: ForkInfo): boolean {
  if (policy !== "all") return winner !== null;
  return state === "done" && counts.failed + counts.cancelled + counts.lost === 0;
}
