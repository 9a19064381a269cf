import { setImmediate } from "node:timers/promises";
import { type CgroupLimits, limitWrites, readLimits } from "@banyan/runtime";
import type { NodeParts } from "../sandboxes/parts.ts";
import { checkSlot, type OnDied } from "./watch-deaths.ts";

/** What a round found and put right. */
export interface Repairs {
  /** Containers, directories and links that belonged to nothing. */
  orphans: number;
  /** Slots that had died unseen. */
  deaths: number;
  /** Rules of the network that were missing or changed. */
  network: number;
  /** Sandboxes whose limits were not in force any more. */
  limits: number;
}

const CPU_TOLERANCE = 0.01;

/** Compares what there is with what there should be, for this node alone, and repairs. Everything fast is repeated here slowly. */
export async function reconcile(parts: NodeParts, onDied: OnDied): Promise<Repairs> {
  const repairs: Repairs = { orphans: 0, deaths: 0, network: 0, limits: 0 };
  const listed = await parts.maker.list();
  const known = new Set(parts.pool.slots().map((slot) => slot.id));
  for (const slot of listed) {
    if (!known.has(slot.id)) {
      parts.logger.warn({ slotId: slot.id, alive: slot.alive }, "a slot that belongs to nothing is removed");
      await parts.maker.destroy(slot);
      repairs.orphans++;
    } else if (!slot.alive) {
      await checkSlot(parts, slot.id, onDied);
      repairs.deaths++;
    }
  }
  repairs.network = await parts.network.reconcile(parts.pool.slots().map((slot) => slot.link));
  for (const { entry, run } of parts.registry.running()) {
    // Five files of the kernel each: between two sandboxes whoever waits is served.
    await setImmediate();
    if (areInForce(readLimitsOrNull(run.slot.cgroups), entry.resources)) continue;
    await parts.attach.cgroup(limitWrites(run.slot.cgroups, entry.resources));
    repairs.limits++;
  }
  return repairs;
}

function areInForce(actual: CgroupLimits | null, wanted: CgroupLimits): boolean {
  // No cgroup: the slot has just ended, which is another loop's affair.
  if (actual === null) return true;
  return Math.abs(actual.cpu - wanted.cpu) <= CPU_TOLERANCE && actual.memoryMb === wanted.memoryMb && actual.pids === wanted.pids;
}

function readLimitsOrNull(cgroups: Parameters<typeof readLimits>[0]): CgroupLimits | null {
  try {
    return readLimits(cgroups);
  } catch {
    return null;
  }
}
