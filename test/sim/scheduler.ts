import type { ForkChildrenFinished, InputOf, NodeHeartbeat, SandboxState } from "@banyan/contracts";
import type { ForkRow } from "../../services/scheduler/src/domain/fork.ts";
import { type Batch, ForkBook } from "../../services/scheduler/src/domain/fork-book.ts";
import type { ForkWrite } from "../../services/scheduler/src/domain/fork-steps.ts";
import type { Candidate } from "../../services/scheduler/src/domain/place.ts";
import { isActive } from "../../services/scheduler/src/domain/quota.ts";
import { Ledger } from "../../services/scheduler/src/memory/ledger.ts";
import { Nodes } from "../../services/scheduler/src/memory/nodes.ts";
import { Actions } from "./actions.ts";
import { check } from "./invariants.ts";
import { Life } from "./life.ts";
import type { Network } from "./network.ts";
import { type SimNode, STORE } from "./node.ts";
import type { Random } from "./random.ts";
import { NODE_LOST_AFTER_MS, Repairs } from "./repairs.ts";
import type { SandboxRow, SimStore } from "./store.ts";
import type { Timeline } from "./timeline.ts";

export interface SimParts {
  timeline: Timeline;
  random: Random;
  network: Network;
  store: SimStore;
  nodes: ReadonlyMap<string, SimNode>;
  /** The heartbeats that the bucket keeps, its lease apart. */
  beats: ReadonlyMap<string, NodeHeartbeat>;
  trace(line: string): void;
  writeMsMax: number;
  acksEarly: boolean;
}

const TICK_MS = 500;

/**
 * What surrounds the book in the service, under simulated time: it writes what the book gives out, carries out its actions once that is written,
 * tells it what nodes answer, and repairs rows as the loops do. The book, the ledger and the view of the nodes are the real ones. A crash takes all
 * memory; what a write had not reached is lost.
 */
export class SimScheduler {
  book: ForkBook;
  #ledger = new Ledger();
  #nodes: Nodes;
  readonly #parts: SimParts;
  #alive = false;
  #life: Life;
  #actions: Actions;
  #repairs: Repairs;
  readonly #writing = new Set<string>();
  readonly #written = new Map<string, number>();
  #acks: { forkId: string; through: number; ack(): void }[] = [];

  constructor(parts: SimParts) {
    this.#parts = parts;
    this.book = this.#newBook();
    this.#nodes = this.#newNodes();
    this.#life = this.#newLife();
    this.#actions = this.#newActions();
    this.#repairs = this.#newRepairs();
  }

  get alive(): boolean {
    return this.#alive;
  }

  start(): void {
    const { store, timeline } = this.#parts;
    this.#alive = true;
    this.#life.end();
    this.#life = this.#newLife();
    this.book = this.#newBook();
    this.#ledger = new Ledger();
    this.#nodes = this.#newNodes();
    this.#actions = this.#newActions();
    this.#repairs = this.#newRepairs();
    this.#writing.clear();
    this.#written.clear();
    this.#acks = [];
    for (const beat of this.#parts.beats.values()) this.#nodes.beat(beat);
    for (const row of store.sandboxes.values()) this.#follow(row);
    for (const row of store.unfinished()) this.book.add(row, store.load(row.id), timeline.now);
    for (const batch of this.book.batches()) this.#reserve(batch);
    this.#life.every(TICK_MS, () => this.#tick());
    this.#repairs.start();
    this.#pump();
  }

  crash(): void {
    this.#alive = false;
    this.#life.end();
  }

  beat(beat: NodeHeartbeat): void {
    if (this.#alive) this.#nodes.beat(beat);
  }

  /** False: nobody is there to take it. */
  create(row: ForkRow): boolean {
    if (!this.#alive) return false;
    this.#parts.store.insertFork(row);
    this.book.add(structuredClone(row), [], this.#parts.timeline.now);
    this.#pump();
    return true;
  }

  cancel(forkId: string, deletesAll: boolean): void {
    if (!this.#alive) return;
    this.book.cancel(forkId, { reason: "cancelled", deletesAll }, this.#parts.timeline.now);
    this.#pump();
  }

  /** Its owner deletes a child. */
  deleteSandbox(sandboxId: string): void {
    if (this.#alive && this.#parts.store.endSandbox(sandboxId, "deleting")) this.#changed(sandboxId, "deleting");
  }

  died(sandboxId: string): void {
    if (!this.#alive || this.#parts.store.sandboxes.get(sandboxId)?.state !== "running") return;
    if (this.#parts.store.endSandbox(sandboxId, "stopped")) this.#changed(sandboxId, "stopped", "slot_died");
  }

  /** A message of the stream. It is acknowledged when what it says is written. */
  heard({ forkId, children }: InputOf<typeof ForkChildrenFinished>, ack: () => void): void {
    if (!this.#alive) return;
    this.book.finished(forkId, children, this.#parts.timeline.now);
    const fork = this.book.get(forkId);
    if (this.#parts.acksEarly || fork === undefined || (this.#written.get(forkId) ?? 0) >= fork.queued) ack();
    else this.#acks.push({ forkId, through: fork.queued, ack });
    this.#pump();
  }

  // ---- the book

  #newBook(): ForkBook {
    const { random } = this.#parts;
    return new ForkBook({ newSandboxId: () => `sbx_${random.text(26)}` });
  }

  #newNodes(): Nodes {
    const { timeline } = this.#parts;
    return new Nodes(this.#ledger, { now: () => timeline.now, monotonicMs: () => timeline.now, sleep: () => Promise.resolve() });
  }

  #newLife(): Life {
    return new Life({ ...this.#parts, onAnswer: () => this.#pump() });
  }

  #newActions(): Actions {
    return new Actions({ ...this.#parts, life: this.#life, book: this.book, pump: () => this.#pump() });
  }

  #newRepairs(): Repairs {
    const changed = (sandboxId: string, state: SandboxState): void => this.#changed(sandboxId, state);
    return new Repairs({ ...this.#parts, life: this.#life, book: this.book, nodes: this.#nodes, changed });
  }

  #tick(): void {
    const { timeline, trace } = this.#parts;
    const now = timeline.now;
    for (const nodeId of this.#nodes.expire()) trace(`${nodeId} is not reachable`);
    this.#repairs.loseSilent();
    this.book.tick({
      now,
      isReachable: (nodeId) => this.#nodes.isReachable(nodeId),
      isLost: (nodeId) => this.#nodes.silentMs(nodeId) >= NODE_LOST_AFTER_MS,
    });
    const view = { now, nodes: this.#nodes.candidates(), usage: (orgId: string) => this.#ledger.usage(orgId) };
    for (const batch of this.book.plan(view)) {
      this.#checkStores(batch, view.nodes);
      this.#reserve(batch);
    }
    for (const { nodeId, capacity } of view.nodes) this.#checkCapacity(nodeId, capacity.sandboxes);
    this.#pump();
  }

  #checkCapacity(nodeId: string, sandboxesMax: number): void {
    let planned = 0;
    for (const { id, nodeId: on, state } of this.#ledger.entries()) {
      if (on === nodeId && isActive(state) && this.#parts.store.sandboxes.get(id)?.recovered !== true) planned++;
    }
    check(planned <= sandboxesMax, `${planned} sandboxes are planned on ${nodeId}, which takes ${sandboxesMax}`);
  }

  /** Nothing is sent where, by all that is known, its volumes are not. */
  #checkStores({ forkId, nodeId }: Batch, nodes: readonly Candidate[]): void {
    if ((this.#parts.store.forks.get(forkId)?.template.volumes ?? []).length === 0) return;
    const reached = nodes.find((node) => node.nodeId === nodeId)?.stores.has(STORE) === true;
    check(reached, `children of ${forkId} are sent to ${nodeId}, which does not reach their store`);
  }

  /** One write of each fork at a time; its actions follow it. */
  #pump(): void {
    for (const forkId of this.book.dirty()) {
      if (this.#writing.has(forkId)) continue;
      const write = this.book.take(forkId);
      if (write === null) continue;
      this.#writing.add(forkId);
      this.#life.later(this.#parts.random.int(0, this.#parts.writeMsMax), () => {
        this.#parts.store.apply(write);
        this.#keepBooks(write);
        // A crash may come between the write and its acknowledgement.
        this.#life.later(this.#parts.random.int(0, this.#parts.writeMsMax), () => this.#acknowledged(write));
      });
    }
  }

  #acknowledged(write: ForkWrite & { through: number }): void {
    const { forkId } = write;
    this.#writing.delete(forkId);
    this.#written.set(forkId, write.through);
    const isDone = (one: { forkId: string; through: number }): boolean => one.forkId === forkId && one.through <= write.through;
    for (const one of this.#acks.filter(isDone)) one.ack();
    this.#acks = this.#acks.filter((one) => !isDone(one));
    for (const action of write.actions) this.#actions.carryOut(forkId, action);
    this.#pump();
  }

  /** Reservations follow the rows. */
  #keepBooks(write: ForkWrite): void {
    const { store } = this.#parts;
    for (const sandboxId of write.freed) if (!store.sandboxes.has(sandboxId)) this.#ledger.remove(sandboxId);
    for (const { sandboxId } of [...write.made, ...write.ended]) {
      const row = store.sandboxes.get(sandboxId);
      if (row !== undefined) this.#follow(row);
    }
  }

  #changed(sandboxId: string, state: SandboxState, reason: string | null = null): void {
    const row = this.#parts.store.sandboxes.get(sandboxId);
    if (row !== undefined) this.#follow(row);
    this.book.sandboxChanged(sandboxId, { state, reason }, this.#parts.timeline.now);
    this.#pump();
  }

  // ---- reservations

  #reserve(batch: Batch): void {
    for (const { sandboxId } of batch.children)
      this.#follow({ id: sandboxId, forkId: batch.forkId, index: 0, nodeId: batch.nodeId, state: "starting" });
  }

  #follow({ id, forkId, nodeId, state }: SandboxRow): void {
    const fork = this.#parts.store.forks.get(forkId);
    if (fork === undefined || state === "deleted") {
      this.#ledger.remove(id);
      return;
    }
    const { lifetime } = fork.spec;
    const { resources } = fork.template;
    const times = { startedAt: null, expiresAt: null, lastActiveAt: 0 };
    this.#ledger.put({ id, orgId: fork.orgId, nodeId, state, epoch: 1, resources, lifetime, ...times });
  }
}
