import { fault, isFault, NodeFreeze } from "@banyan/contracts";
import type { Freeze } from "../domain/fork.ts";
import type { LiveFork } from "../domain/fork-live.ts";
import type { Sandbox } from "../domain/sandbox.ts";
import { asUnreachable } from "../node-calls.ts";
import type { ForkParts, Forks } from "./forks.ts";

/** The node keeps the frozen layer beyond the fork's deadline, until its last children have been started or deleted. */
const KEPT_MARGIN_MS = 600_000;

/** Freezes the source's files. What was frozen under this name before is answered like the first time, though its sandbox be gone by now. */
export async function prepare({ book, parts }: Forks, fork: LiveFork): Promise<void> {
  const { id, source } = fork.row;
  if (source.kind !== "sandbox") throw fault("internal", { forkId: id }, { message: "a fork of an image was to be frozen" });
  try {
    const made = await parts.lanes.run(source.sandboxId, () => freeze(parts, fork, source.sandboxId));
    book.prepared(id, made, parts.clock.now());
  } catch (error) {
    const final = isFault(error, "sandbox.not_found");
    parts.logger.warn({ err: error, forkId: id, final }, "the source of a fork was not frozen");
    book.unprepared(id, { reason: final ? "source_gone" : isFault(error) ? error.code : "internal", final }, parts.clock.now());
  }
}

async function freeze(
  parts: ForkParts,
  fork: LiveFork,
  sandboxId: string,
): Promise<{ base: NonNullable<LiveFork["row"]["base"]>; freeze: Freeze }> {
  const { frozenId, deadlineAt } = fork.row;
  const sandbox = await parts.sandboxes.peek(sandboxId);
  if (sandbox === null || sandbox.state === "failed") throw fault("sandbox.not_found", { sandboxId });
  const { imageId, config, layers } = sandbox.stack;
  if (!sandbox.hasDisk) return { base: { layers, shipped: layers, nodeId: null, imageId, config }, freeze: NOTHING };
  const { nodeId, epoch } = placeOf(sandbox);
  if (frozenId === null) throw fault("internal", { sandboxId }, { message: "there is no name for the frozen layer" });
  const frozen = await parts.bus
    .call(NodeFreeze.on(nodeId), { sandboxId, epoch, frozenId, keepUntil: deadlineAt + KEPT_MARGIN_MS })
    .catch((error) => {
      throw asUnreachable(error, nodeId);
    });
  const base = { layers: [...layers, frozen.layer], shipped: null, nodeId, imageId, config };
  return { base, freeze: { way: frozen.way, pausedMs: frozen.pausedMs, skipped: [] } };
}

const NOTHING: Freeze = { way: "none", pausedMs: 0, skipped: [] };

function placeOf({ id, nodeId, epoch, state }: Sandbox): { nodeId: string; epoch: number } {
  if (nodeId === null) throw fault("sandbox.not_found", { id });
  if (state === "starting" || state === "stopping") throw fault("sandbox.version_conflict", { id, state });
  return { nodeId, epoch };
}
