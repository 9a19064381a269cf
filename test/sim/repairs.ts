import type { SandboxState } from "@banyan/contracts";
import type { ForkBook } from "../../services/scheduler/src/domain/fork-book.ts";
import type { Nodes } from "../../services/scheduler/src/memory/nodes.ts";
import type { Life } from "./life.ts";
import type { SandboxRow, SimStore } from "./store.ts";
import type { Timeline } from "./timeline.ts";

const DELETES_EVERY_MS = 1_000;
const RECONCILE_EVERY_MS = 5_000;
const ORPHAN_GRACE_MS = 20_000;
export const NODE_LOST_AFTER_MS = 40_000;

export interface RepairParts {
  timeline: Timeline;
  store: SimStore;
  life: Life;
  book: ForkBook;
  nodes: Nodes;
  trace(line: string): void;
  /** A row is in another state. */
  changed(sandboxId: string, state: SandboxState): void;
}

/** The scheduler's loops that compare rows with what nodes hold and repair them, for one of its lives. */
export class Repairs {
  readonly #parts: RepairParts;
  readonly #removing = new Set<string>();
  readonly #orphanSince = new Map<string, number>();

  constructor(parts: RepairParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#parts.life.every(DELETES_EVERY_MS, () => this.#finishDeletes());
    this.#parts.life.every(RECONCILE_EVERY_MS, () => this.#reconcile());
  }

  /** As watch-nodes does. */
  loseSilent(): void {
    const { store, nodes, changed } = this.#parts;
    for (const row of store.sandboxes.values()) {
      if (row.state !== "running" || nodes.isReachable(row.nodeId) || nodes.silentMs(row.nodeId) < NODE_LOST_AFTER_MS) continue;
      row.state = "failed";
      changed(row.id, "failed");
    }
  }

  /** As finish-deletes does. */
  #finishDeletes(): void {
    const { store, life, nodes, changed } = this.#parts;
    for (const row of store.sandboxes.values()) {
      if (row.state !== "deleting" || this.#removing.has(row.id) || !nodes.isReachable(row.nodeId)) continue;
      this.#removing.add(row.id);
      life.call(
        row.nodeId,
        (node) => node.deleteMany({ sandboxes: [{ sandboxId: row.id, epoch: 1 }] }),
        (answer) => {
          this.#removing.delete(row.id);
          if (answer !== null && store.endSandbox(row.id, "deleted")) changed(row.id, "deleted");
        },
      );
    }
  }

  /** As reconcile-nodes does. */
  #reconcile(): void {
    const { store, timeline, life, nodes } = this.#parts;
    for (const nodeId of nodes.ids()) {
      if (!nodes.isListable(nodeId)) continue;
      const before = new Set([...store.sandboxes.values()].filter((row) => row.nodeId === nodeId).map(({ id }) => id));
      life.call(
        nodeId,
        (node) => Array.from(node.held, ([id, { state }]) => [id, state] as const),
        (listed) => {
          if (listed === null) return;
          const held = new Map(listed);
          for (const id of before) this.#compare(id, held.get(id) ?? null);
          for (const id of held.keys()) this.#lookAtOrphan(nodeId, id, timeline.now);
        },
      );
    }
  }

  #compare(id: string, seen: "running" | "stopped" | null): void {
    const row = this.#parts.store.sandboxes.get(id);
    if (row === undefined) return;
    if (row.state === "failed" && seen === "running") {
      row.recovered = true;
      this.#move(row, "running");
    } else if (row.state === "running" && seen === "stopped") this.#move(row, "stopped");
    else if ((row.state === "running" || row.state === "stopped") && seen === null) this.#move(row, "failed");
  }

  #move(row: SandboxRow, state: SandboxState): void {
    row.state = state;
    this.#parts.changed(row.id, state);
  }

  #lookAtOrphan(nodeId: string, id: string, now: number): void {
    const { book, store, life, trace } = this.#parts;
    const row = store.sandboxes.get(id);
    if (book.owns(id) || (row !== undefined && row.state !== "deleted")) return void this.#orphanSince.delete(id);
    const since = this.#orphanSince.get(id) ?? now;
    this.#orphanSince.set(id, since);
    if (now - since < ORPHAN_GRACE_MS) return;
    trace(`${id} on ${nodeId} is an orphan`);
    life.call(
      nodeId,
      (node) => node.deleteMany({ sandboxes: [{ sandboxId: id, epoch: 1 }] }),
      () => {},
    );
  }
}
