import type { NodeSandbox, SandboxState } from "@banyan/contracts";
import type { z } from "zod";
import type { Command } from "./decide.ts";

/** What a row says should be; of rows that name this node and of rows whose sandbox this node lists. */
export interface Wanted {
  id: string;
  nodeId: string | null;
  state: SandboxState;
  epoch: number;
  /** False while its next start is to make it one. */
  hasDisk: boolean;
  deadlineAt: number | null;
  updatedAt: number;
}
export type Listed = z.infer<typeof NodeSandbox>;

export type Action =
  | { kind: "apply"; id: string; commands: Command[] }
  /** The node holds what nobody owns. */
  | { kind: "delete_orphan"; id: string; epoch: number }
  /** The node runs what should be stopped. */
  | { kind: "stop_stale"; id: string; epoch: number };

export interface Seen {
  nodeId: string;
  wanted: readonly Wanted[];
  listed: readonly Listed[];
  /** When the node was asked. A row that has changed since is younger than the list and is left for the next round. */
  listedAt: number;
  now: number;
  /** Since when each of these has been without an owner. */
  orphanSince: ReadonlyMap<string, number>;
  /** A create that is under way shows on the node before its row does: only what stays ownerless this long is deleted. */
  orphanGraceMs: number;
}

export interface Found {
  actions: Action[];
  /** Everything without an owner now, for the next round. */
  orphanSince: Map<string, number>;
}

/** Compares what the rows want of a node with what it has. Level-triggered: it needs no memory of what went before. */
export function reconcile(seen: Seen): Found {
  const rows = new Map(seen.wanted.map((row) => [row.id, row]));
  const here = new Map(seen.listed.map((listed) => [listed.sandboxId, listed]));
  const found: Found = { actions: [], orphanSince: new Map() };
  for (const listed of seen.listed) {
    const row = rows.get(listed.sandboxId);
    if (row === undefined || row.nodeId !== seen.nodeId || row.state === "deleted") orphan(seen, listed, row, found);
  }
  for (const row of seen.wanted) {
    if (row.nodeId !== seen.nodeId || row.updatedAt >= seen.listedAt) continue;
    found.actions.push(...compare(row, here.get(row.id), seen.now));
  }
  return found;
}

function orphan(seen: Seen, listed: Listed, row: Wanted | undefined, found: Found): void {
  const since = seen.orphanSince.get(listed.sandboxId) ?? seen.now;
  found.orphanSince.set(listed.sandboxId, since);
  // A deleted row is never started again, so nothing can be under way.
  const certain = row?.state === "deleted" && row.nodeId === seen.nodeId;
  if (certain || seen.now - since >= seen.orphanGraceMs)
    found.actions.push({ kind: "delete_orphan", id: listed.sandboxId, epoch: listed.epoch });
}

function compare(row: Wanted, listed: Listed | undefined, now: number): Action[] {
  const { id, epoch } = row;
  const runs = listed?.state === "running";
  const current = runs && listed.epoch === epoch;
  const apply = (...commands: Command[]): Action[] => [{ kind: "apply", id, commands }];
  const stale: Action[] = runs && !current ? [{ kind: "stop_stale", id, epoch: listed.epoch }] : [];
  const overdue = row.deadlineAt !== null && row.deadlineAt <= now;
  switch (row.state) {
    case "running":
      if (current) return [];
      if (listed === undefined) return apply({ kind: "lost", epoch, reason: "disk_lost" });
      return [...apply({ kind: "died", epoch, reason: "slot_lost" }), ...stale];
    case "starting":
      if (!overdue) return [];
      if (current) return apply({ kind: "started", epoch, launch: null });
      // It ran, and ended since: what it has now is on its new disk.
      if (!row.hasDisk && listed?.epoch === epoch)
        return apply({ kind: "started", epoch, launch: null }, { kind: "died", epoch, reason: "slot_lost" });
      if (listed !== undefined) return [...apply({ kind: "gave_up", epoch, reason: "start_interrupted" }), ...stale];
      // A create that nobody got an answer to leaves nothing; a stopped sandbox whose disk is gone is lost.
      if (epoch === 1) return apply({ kind: "delete", deadlineAt: now, reason: "create_interrupted" });
      if (!row.hasDisk) return apply({ kind: "gave_up", epoch, reason: "start_interrupted" });
      return apply({ kind: "failed", epoch, reason: "disk_lost" });
    case "stopping":
      if (!overdue) return [];
      if (runs) return [{ kind: "stop_stale", id, epoch: listed.epoch }];
      return apply(listed === undefined ? { kind: "lost", epoch, reason: "disk_lost" } : { kind: "stopped", epoch });
    case "stopped":
      if (runs) return [{ kind: "stop_stale", id, epoch: listed.epoch }];
      return listed === undefined ? apply({ kind: "lost", epoch, reason: "disk_lost" }) : [];
    case "failed":
      if (current) return apply({ kind: "recovered", epoch });
      if (listed === undefined) return [];
      // The node came back without its slots: the disk is there, so it is a stopped sandbox, by the two legal steps.
      return [...apply({ kind: "recovered", epoch }, { kind: "died", epoch, reason: "slot_lost" }), ...stale];
    case "deleting":
    case "deleted":
      return [];
  }
}
