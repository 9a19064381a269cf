import type { InputOf, NodeStartMany, OutputOf, StartOrder } from "@banyan/contracts";
import { AppError, messageOf } from "@banyan/kernel";
import { forEachAtMost } from "@banyan/service";
import type { ChildRun } from "./child-command.ts";
import { beginCommand } from "./child-commands.ts";
import { finishDelete } from "./delete.ts";
import type { ForkOf } from "./journal.ts";
import type { NodeParts } from "./parts.ts";
import { type Start, startInTurn } from "./start.ts";
import { writeChildFiles } from "./write-child-files.ts";

type Order = InputOf<typeof NodeStartMany>;
type Child = Order["children"][number];
/** What the children of one message have in common. */
type Batch = Omit<Start, "fork">;
type Answer = OutputOf<typeof NodeStartMany>["children"][number];

/** More than this do not get done sooner, and would keep the helper from everybody else. */
const STARTS_AT_ONCE_MAX = 64;
const MESSAGE_CHARS_MAX = 500;

/** Starts children of a fork, each like any sandbox and none to the harm of another, and lets their commands begin. */
export async function startMany(parts: NodeParts, order: Order): Promise<OutputOf<typeof NodeStartMany>> {
  const calledAt = parts.clock.monotonicMs();
  const release = parts.layers.hold(order.layers);
  try {
    // All stand on the same layers: one that cannot be had is the whole message's failure, not each child's.
    if (parts.state === "ready") {
      try {
        await parts.layers.ensure(order.layers);
      } catch (error) {
        return { children: await refuseAll(parts, order, error) };
      }
    }
    const children: Answer[] = [];
    const batch = { calledAt, openVolumes: sharedOpening(parts, order) };
    await forEachAtMost([...order.children.entries()], STARTS_AT_ONCE_MAX, async ([at, child]) => {
      children[at] = await startChild(parts, order, child, batch);
    });
    return { children };
  } finally {
    release();
  }
}

/** Each child holds the volumes for itself. A store that does not answer the first is not asked by the others, one after another. */
function sharedOpening({ stores }: NodeParts, { mounts }: Order): Start["openVolumes"] {
  let failure: { error: unknown } | null = null;
  const fail = (error: unknown): never => {
    failure = { error };
    throw error;
  };
  return () => {
    if (failure !== null) throw failure.error;
    const opening = stores.open(mounts);
    return opening instanceof Promise ? opening.catch(fail) : opening;
  };
}

/** None of them starts for want of a layer; but one may have been started by a copy of this message. */
async function refuseAll(parts: NodeParts, order: Order, error: unknown): Promise<Answer[]> {
  const runs: Answer[] = [];
  const children: Answer[] = [];
  for (const { sandboxId, epoch } of order.children) {
    const answer = await parts.turns.take(sandboxId, async (): Promise<Answer> => {
      if (parts.registry.get(sandboxId)?.entry.epoch === epoch || parts.tombstones.hasFinished(sandboxId, epoch)) return REPEATED;
      parts.refusals.add(sandboxId, epoch);
      return failed(error);
    });
    children.push(answer);
    if (answer.kind === "started") runs.push(answer);
  }
  if (runs.length === 0) throw error;
  return children;
}

async function startChild(parts: NodeParts, order: Order, child: Child, batch: Batch): Promise<Answer> {
  try {
    const { answer, begins } = await parts.turns.take(child.sandboxId, () => startOrRefuse(parts, order, child, batch));
    if (begins !== null) beginCommand(parts, begins);
    return answer;
  } catch (error) {
    parts.logger.warn({ err: error, sandboxId: child.sandboxId }, "a child could not be started");
    return failed(error);
  }
}

/** It has been started, by this message or by a copy of it. */
const REPEATED: Answer = { kind: "started", path: "warm", totalMs: 0 };
/** It was refused, by a copy of this message, and is nobody's any more. */
const OVER: Answer = { kind: "refused", reason: "stale_epoch", retryAfterMs: 0 };

function failed(error: unknown): Answer {
  const code = error instanceof AppError ? error.code : "sandbox.start_failed";
  return { kind: "failed", code, message: messageOf(error).slice(0, MESSAGE_CHARS_MAX) };
}

interface Begun {
  answer: Answer;
  /** The command that begins now: with this message, not with one that repeats it. */
  begins: ChildRun | null;
}

/** Remembered before anybody else has the sandbox's turn. */
async function startOrRefuse(parts: NodeParts, order: Order, child: Child, batch: Batch): Promise<Begun> {
  const { sandboxId, epoch } = child;
  if ((parts.refusals.epochOf(sandboxId) ?? Number.NEGATIVE_INFINITY) >= epoch) return { answer: OVER, begins: null };
  try {
    const begun = await startChildInTurn(parts, order, child, batch);
    if (begun.answer.kind === "refused") parts.refusals.add(sandboxId, epoch);
    return begun;
  } catch (error) {
    parts.refusals.add(sandboxId, epoch);
    throw error;
  }
}

async function startChildInTurn(parts: NodeParts, order: Order, child: Child, batch: Batch): Promise<Begun> {
  const { sandboxId, epoch, index, files = {} } = child;
  const hasFiles = Object.keys(files).length > 0;
  const after = order.command === null ? "none" : "command";
  const fork: ForkOf = { forkId: order.forkId, index, phase: hasFiles ? "files" : after };
  const { answer, isNew } = await startInTurn(parts, orderOf(order, child), { ...batch, fork });
  if (answer.kind === "refused") {
    // It has run already, and been stopped or deleted as the fork wanted it.
    return { answer: hasRun(parts, order, child) ? REPEATED : answer, begins: null };
  }
  const isDue = parts.registry.get(sandboxId)?.entry.fork?.phase === "files";
  if (isDue) await putFiles(parts, child, files, after);
  const { command, forkId, orgId } = order;
  const stdin = child.stdin ?? command?.stdin ?? null;
  const begins = command !== null && (isNew || isDue) ? { forkId, orgId, index, sandboxId, epoch, command, env: child.env, stdin } : null;
  return { answer: { kind: "started", path: answer.path, totalMs: answer.timing.totalMs }, begins };
}

/** A child whose files cannot be written is none: nothing of it stays. */
async function putFiles(
  parts: NodeParts,
  { sandboxId, epoch }: Child,
  files: Record<string, string>,
  phase: ForkOf["phase"],
): Promise<void> {
  const known = parts.registry.get(sandboxId);
  if (!known?.run || known.entry.fork === null) return;
  try {
    const { init } = known.run.view;
    await parts.interrupts.waitFor(sandboxId, epoch, (signal) => writeChildFiles(init, files, signal));
    const noted = { ...known.entry, fork: { ...known.entry.fork, phase } };
    parts.journal.write(noted);
    parts.registry.setNoted(noted);
  } catch (error) {
    await finishDelete(parts, sandboxId);
    throw error;
  }
}

function hasRun({ registry, tombstones }: NodeParts, { forkId }: Order, { sandboxId, epoch, index }: Child): boolean {
  if (tombstones.hasFinished(sandboxId, epoch)) return true;
  const entry = registry.get(sandboxId)?.entry;
  if (entry?.epoch !== epoch || entry.fork?.forkId !== forkId || entry.fork.index !== index) return false;
  return entry.fork.phase === "command" || entry.fork.phase === "ended";
}

function orderOf(order: Order, { sandboxId, epoch, hostname, env }: Child): StartOrder {
  const { orgId, layers, workdir, user, resources, network, mounts, deadlineMs } = order;
  const shared = { orgId, layers, workdir, user, resources, network, mounts, deadlineMs };
  return { ...shared, sandboxId, epoch, hostname, fresh: true, env: { ...order.env, ...env } };
}
