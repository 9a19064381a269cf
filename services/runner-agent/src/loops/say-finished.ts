import { createHash } from "node:crypto";
import type { Bus } from "@banyan/bus";
import { ForkChildrenFinished } from "@banyan/contracts";
import { type Clock, type Logger, messageOf } from "@banyan/kernel";
import { type Loop, startLoop } from "@banyan/service";
import { type OutcomeBatch, outcomeBatches } from "../domain/outcome-batches.ts";
import type { Outcomes } from "../sandboxes/outcomes.ts";

const RETRY_MS = 1_000;
/** Commands of one fork tend to end together. */
const GATHER_MS = 20;
const OUTCOMES_PER_ROUND_MAX = 500;

/** Says how commands of children ended, each again and again until the bus has taken it; also what an earlier process could not say. */
export function sayFinished(bus: Bus, nodeId: string, outcomes: Outcomes, parts: { clock: Clock; logger: Logger }): Pick<Loop, "stop"> {
  const { logger } = parts;
  let isHeard = true;
  const round = async (): Promise<boolean> => {
    const records = outcomes.ready(OUTCOMES_PER_ROUND_MAX, logger);
    try {
      for (const batch of outcomeBatches(nodeId, records)) {
        await bus.emit(ForkChildrenFinished, batch.event.forkId, batch.event, { dedupeId: dedupeIdOf(nodeId, batch) });
        for (const record of batch.records) outcomes.remove(record);
      }
      isHeard = true;
      return records.length === OUTCOMES_PER_ROUND_MAX;
    } catch (error) {
      if (isHeard) logger.warn({ reason: messageOf(error) }, "could not say how commands of a fork ended; tried again until it is heard");
      isHeard = false;
      return false;
    }
  };
  const loop = startLoop({ name: "say-finished", everyMs: RETRY_MS, gatherMs: GATHER_MS, ...parts, round });
  outcomes.onReady = loop.poke;
  return loop;
}

/** Of exactly these children: with another one among them it is another message. */
function dedupeIdOf(nodeId: string, { records }: OutcomeBatch): string {
  const hash = createHash("sha256");
  for (const { sandboxId, epoch } of records) hash.update(`${sandboxId}.${epoch}\n`);
  return `${nodeId}.finished.${hash.digest("hex")}`;
}
