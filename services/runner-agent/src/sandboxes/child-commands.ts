import { isFault } from "@banyan/contracts";
import { type ChildRun, runChildCommand } from "./child-command.ts";
import { deleteSandbox } from "./delete.ts";
import type { OutcomeRecord } from "./outcomes.ts";
import type { NodeParts } from "./parts.ts";
import { stopSandbox } from "./stop.ts";

const END_MS = 5_000;
const PING_DEADLINE_MS = 5_000;

/** Lets a child's command begin: there are never more than the node has slots. Its outcome is written down, and said, when it has ended. */
export function beginCommand(parts: NodeParts, run: ChildRun): void {
  track(parts, run.sandboxId, async () => {
    const outcome = await runChildCommand(parts, run);
    // This process ends: the next one says so.
    if (outcome === null && parts.ending.signal.aborted) return;
    const { forkId, index, sandboxId, epoch, command } = run;
    const at = parts.clock.now();
    await settle(parts, { format: 1, forkId, index, sandboxId, epoch, outcome, after: command.after, sandbox: null, at });
  });
}

/** After a restart: what had ended is brought to its end, and what was under way is interrupted. */
export function resumeCommands(parts: NodeParts): void {
  for (const record of parts.outcomes.open(parts.logger)) {
    noteEnded(parts, record);
    if (record.sandbox === null) track(parts, record.sandboxId, () => finish(parts, record));
  }
  for (const { sandboxId, epoch, fork } of parts.registry.entries()) {
    if (fork?.phase !== "command") continue;
    const { forkId, index } = fork;
    const at = parts.clock.now();
    const interrupted: OutcomeRecord = { format: 1, forkId, index, sandboxId, epoch, outcome: null, after: "keep", sandbox: null, at };
    track(parts, sandboxId, () => settle(parts, interrupted));
  }
}

/** What runs is cut short and left to the next process to tell; what has ended is brought to its end. */
export async function endCommands({ ending, commands, clock }: NodeParts): Promise<void> {
  ending.abort();
  const waited = new AbortController();
  await Promise.race([Promise.all(commands), clock.sleep(END_MS, waited.signal).catch(() => {})]);
  waited.abort();
}

function track({ commands, logger }: NodeParts, sandboxId: string, work: () => Promise<void>): void {
  const working = work()
    .catch((err) => logger.error({ err, sandboxId }, "the outcome of a child's command is lost until the next start of the node"))
    .finally(() => commands.delete(working));
  commands.add(working);
}

/** Written down before anything is done about the sandbox: a process that dies in between leaves the rest to the next one. */
async function settle(parts: NodeParts, record: OutcomeRecord): Promise<void> {
  // Whoever deleted it while its command ran does not ask how it ended.
  if (parts.registry.get(record.sandboxId) === undefined || isDeleted(parts, record)) return;
  parts.outcomes.write(record);
  noteEnded(parts, record);
  await finish(parts, record);
}

function isDeleted({ tombstones }: NodeParts, { sandboxId, epoch }: OutcomeRecord): boolean {
  return (tombstones.epochOf(sandboxId) ?? Number.NEGATIVE_INFINITY) >= epoch;
}

function noteEnded({ registry, journal }: NodeParts, { sandboxId, epoch }: OutcomeRecord): void {
  const entry = registry.get(sandboxId)?.entry;
  if (entry?.epoch !== epoch || entry.fork === null || entry.fork.phase === "ended") return;
  const noted = { ...entry, fork: { ...entry.fork, phase: "ended" as const } };
  journal.write(noted);
  registry.setNoted(noted);
}

async function finish(parts: NodeParts, record: OutcomeRecord): Promise<void> {
  await carryOutAfter(parts, record);
  // A stop that cut the command short may be under way still.
  const sandbox = await parts.turns.take(record.sandboxId, () => stateOf(parts, record.sandboxId));
  // Deleted before it was told how its command was cut short: nobody asks any more.
  if (record.outcome === null && sandbox === "deleted") parts.outcomes.remove(record);
  else parts.outcomes.write({ ...record, sandbox });
}

/** A run whose slot has just ended by itself, or is about to, is not known as stopped yet: its init tells. */
async function stateOf({ registry }: NodeParts, sandboxId: string): Promise<"running" | "stopped" | "deleted"> {
  const known = registry.get(sandboxId);
  if (known === undefined) return "deleted";
  if (known.run === null) return "stopped";
  const answers = await known.run.view.init.ping({ deadlineMs: PING_DEADLINE_MS }).catch(() => null);
  return answers === null ? "stopped" : "running";
}

/** Of one that was interrupted nobody knows enough: what becomes of it is decided elsewhere. */
async function carryOutAfter(parts: NodeParts, { sandboxId, epoch, after, outcome }: OutcomeRecord): Promise<void> {
  if (outcome === null || after === "keep") return;
  try {
    if (after === "delete") await deleteSandbox(parts, { sandboxId, epoch });
    else await stopSandbox(parts, { sandboxId, epoch, graceMs: 0, idleSince: null });
  } catch (err) {
    // It runs again under a later epoch: whoever started it wants it so.
    if (isFault(err, "sandbox.stale_epoch")) return;
    parts.logger.error({ err, sandboxId, after }, "a child could not be ended after its command");
  }
}
