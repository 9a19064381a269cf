import type { ForkChildrenFinished, InputOf, MountOrder, NodeHeartbeat, SandboxState, StackLayer, VolumeMount } from "@banyan/contracts";
import type { ForkRow } from "../../services/scheduler/src/domain/fork.ts";
import { type Answer, type Batch, ForkBook } from "../../services/scheduler/src/domain/fork-book.ts";
import type { ForkAction, ForkWrite } from "../../services/scheduler/src/domain/fork-steps.ts";
import { mountsOf } from "../../services/scheduler/src/domain/mounts.ts";
import type { Candidate } from "../../services/scheduler/src/domain/place.ts";
import { isActive } from "../../services/scheduler/src/domain/quota.ts";
import { Ledger } from "../../services/scheduler/src/memory/ledger.ts";
import { Nodes } from "../../services/scheduler/src/memory/nodes.ts";
import { check } from "./invariants.ts";
import type { Network } from "./network.ts";
import { type SimNode, STORE } from "./node.ts";
import type { Random } from "./random.ts";
import type { Runs } from "./runs.ts";
import type { SandboxRow, SimStore } from "./store.ts";
import type { Timeline } from "./timeline.ts";

export interface SimParts {
  timeline: Timeline;
  random: Random;
  network: Network;
  store: SimStore;
  runs: Runs;
  nodes: ReadonlyMap<string, SimNode>;
  /** The heartbeats that the bucket keeps, its lease apart. */
  beats: ReadonlyMap<string, NodeHeartbeat>;
  trace(line: string): void;
  writeMsMax: number;
  acksEarly: boolean;
}

const TICK_MS = 500;
const DELETES_EVERY_MS = 1_000;
const RECONCILE_EVERY_MS = 5_000;
const ORPHAN_GRACE_MS = 20_000;
const CALL_TIMEOUT_MS = 8_000;
const SLOT_WAIT_MS = 5_000;
export const NODE_LOST_AFTER_MS = 40_000;
const LAYERS = [{ digest: `sha256:${"ab".repeat(32)}`, sizeBytes: 1_000 }];

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
  /** Goes up with every crash: what was under way before it comes to nothing. */
  #life = 0;
  readonly #writing = new Set<string>();
  readonly #written = new Map<string, number>();
  #acks: { forkId: string; through: number; ack(): void }[] = [];
  readonly #removing = new Set<string>();
  #orphanSince = new Map<string, number>();

  constructor(parts: SimParts) {
    this.#parts = parts;
    this.book = this.#newBook();
    this.#nodes = this.#newNodes();
  }

  get alive(): boolean {
    return this.#alive;
  }

  start(): void {
    const { store, timeline } = this.#parts;
    this.#alive = true;
    this.#life++;
    this.book = this.#newBook();
    this.#ledger = new Ledger();
    this.#nodes = this.#newNodes();
    this.#writing.clear();
    this.#written.clear();
    this.#acks = [];
    this.#removing.clear();
    this.#orphanSince = new Map();
    for (const beat of this.#parts.beats.values()) this.#nodes.beat(beat);
    for (const row of store.sandboxes.values()) this.#follow(row);
    for (const row of store.unfinished()) this.book.add(row, store.load(row.id), timeline.now);
    for (const batch of this.book.batches()) this.#reserve(batch);
    this.#every(TICK_MS, () => this.#tick());
    this.#every(DELETES_EVERY_MS, () => this.#finishDeletes());
    this.#every(RECONCILE_EVERY_MS, () => this.#reconcile());
    this.#pump();
  }

  crash(): void {
    this.#alive = false;
    this.#life++;
  }

  beat(beat: NodeHeartbeat): void {
    if (this.#alive) this.#nodes.beat(beat);
  }

  /** Null: nobody is there to take it. */
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

  #tick(): void {
    const { timeline, trace } = this.#parts;
    const now = timeline.now;
    for (const nodeId of this.#nodes.expire()) trace(`${nodeId} is not reachable`);
    this.#loseSilent();
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
      this.#later(this.#parts.random.int(0, this.#parts.writeMsMax), () => {
        this.#parts.store.apply(write);
        this.#keepBooks(write);
        // A crash may come between the write and its acknowledgement.
        this.#later(this.#parts.random.int(0, this.#parts.writeMsMax), () => this.#acknowledged(write));
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
    for (const action of write.actions) this.#carryOut(forkId, action);
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

  #carryOut(forkId: string, action: ForkAction): void {
    switch (action.kind) {
      case "prepare":
        this.#prepare(forkId);
        break;
      case "resolve":
        this.#resolve(forkId);
        break;
      case "ship":
        this.#ship(forkId, action.nodeId, action.layers);
        break;
      case "send":
        this.#send(action.batchId);
        break;
      case "delete":
        this.#delete(forkId, action.nodeId, action.sandboxIds);
        break;
      case "release":
        break;
      case "ended":
        this.#parts.trace(`${forkId} has ended as ${this.#parts.store.forks.get(forkId)?.state}`);
    }
  }

  /** The source's node freezes it; an image needs none. */
  #prepare(forkId: string): void {
    const { timeline, store } = this.#parts;
    const config = { env: {}, workdir: "/", user: "root", entrypoint: [], ready: null, resources: {} };
    const base = { layers: LAYERS, imageId: "img", config };
    const isImage = store.forks.get(forkId)?.source.kind === "image";
    const [nodeId = ""] = isImage ? [] : this.#parts.nodes.keys();
    if (isImage) {
      const made = { base: { ...base, shipped: LAYERS, nodeId: null }, freeze: { way: "none" as const, pausedMs: 0, skipped: [] } };
      this.#later(1, () => {
        this.book.prepared(forkId, made, timeline.now);
        this.#pump();
      });
      return;
    }
    const made = { base: { ...base, shipped: null, nodeId }, freeze: { way: "copy" as const, pausedMs: 1, skipped: [] } };
    this.#call(
      nodeId,
      () => true,
      (answer) => {
        if (answer === null) this.book.unprepared(forkId, { reason: "node.unreachable", final: false }, timeline.now);
        else this.book.prepared(forkId, made, timeline.now);
      },
    );
  }

  /** The volume-manager answers, or is away for a moment. */
  #resolve(forkId: string): void {
    const { random, store, timeline } = this.#parts;
    this.#later(random.int(1, 200), () => {
      const volumes = store.forks.get(forkId)?.template.volumes ?? [];
      if (random.chance(0.3)) this.book.unresolved(forkId, { reason: "bus.unavailable", final: false }, timeline.now);
      else this.book.resolved(forkId, mountsOf(volumes, volumes.map(orderOf)));
      this.#pump();
    });
  }

  #ship(forkId: string, nodeId: string, layers: StackLayer[]): void {
    const { timeline } = this.#parts;
    this.#call(
      nodeId,
      () => true,
      (answer) => {
        if (answer === null) this.book.unshipped(forkId, timeline.now);
        else this.book.shipped(forkId, layers, [], timeline.now);
      },
    );
  }

  #delete(forkId: string, nodeId: string, sandboxIds: string[]): void {
    const sandboxes = sandboxIds.map((sandboxId) => ({ sandboxId, epoch: 1 }));
    this.#call(
      nodeId,
      (node) => node.deleteMany({ sandboxes }),
      (answer) => this.book.removed(forkId, sandboxIds, answer !== null, this.#parts.timeline.now),
    );
  }

  #send(batchId: number): void {
    const { timeline, trace } = this.#parts;
    const batch = this.book.batch(batchId);
    const fork = batch === undefined ? undefined : this.book.get(batch.forkId);
    if (batch === undefined || fork === undefined) return;
    const order = fork.children.order(batch.nodeId, batch.children, { mounts: fork.mounts?.orders ?? [], slotWaitMs: SLOT_WAIT_MS });
    this.#call<Answer[]>(
      batch.nodeId,
      (node) => node.startMany(order),
      (answers) => {
        trace(`batch ${batchId} of ${batch.children.length} on ${batch.nodeId}: ${answers === null ? "no answer" : summaryOf(answers)}`);
        if (answers === null) this.book.uncertain(batchId, timeline.now);
        else this.book.settled(batchId, answers, timeline.now);
      },
    );
  }

  // ---- the loops around it

  /** As watch-nodes does. */
  #loseSilent(): void {
    for (const row of this.#parts.store.sandboxes.values()) {
      if (row.state !== "running" || this.#nodes.isReachable(row.nodeId) || this.#nodes.silentMs(row.nodeId) < NODE_LOST_AFTER_MS) continue;
      row.state = "failed";
      this.#changed(row.id, "failed");
    }
  }

  /** As finish-deletes does. */
  #finishDeletes(): void {
    for (const row of this.#parts.store.sandboxes.values()) {
      if (row.state !== "deleting" || this.#removing.has(row.id) || !this.#nodes.isReachable(row.nodeId)) continue;
      this.#removing.add(row.id);
      this.#call(
        row.nodeId,
        (node) => node.deleteMany({ sandboxes: [{ sandboxId: row.id, epoch: 1 }] }),
        (answer) => {
          this.#removing.delete(row.id);
          if (answer !== null && this.#parts.store.endSandbox(row.id, "deleted")) this.#changed(row.id, "deleted");
        },
      );
    }
  }

  /** As reconcile-nodes does. */
  #reconcile(): void {
    const { store, timeline } = this.#parts;
    for (const nodeId of this.#nodes.ids()) {
      if (!this.#nodes.isListable(nodeId)) continue;
      const before = new Set([...store.sandboxes.values()].filter((row) => row.nodeId === nodeId).map(({ id }) => id));
      this.#call(
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
    this.#changed(row.id, state);
  }

  #lookAtOrphan(nodeId: string, id: string, now: number): void {
    const row = this.#parts.store.sandboxes.get(id);
    if (this.book.owns(id) || (row !== undefined && row.state !== "deleted")) return void this.#orphanSince.delete(id);
    const since = this.#orphanSince.get(id) ?? now;
    this.#orphanSince.set(id, since);
    if (now - since < ORPHAN_GRACE_MS) return;
    this.#parts.trace(`${id} on ${nodeId} is an orphan`);
    this.#call(
      nodeId,
      (node) => node.deleteMany({ sandboxes: [{ sandboxId: id, epoch: 1 }] }),
      () => {},
    );
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

  // ---- time

  #later(ms: number, run: () => void): void {
    const life = this.#life;
    this.#parts.timeline.after(ms, () => {
      if (life === this.#life) run();
    });
  }

  #every(ms: number, run: () => void): void {
    this.#later(ms, () => {
      run();
      this.#every(ms, run);
    });
  }

  /** Null: no answer came, and nobody knows whether it was done. */
  #call<T>(nodeId: string, ask: (node: SimNode) => T, done: (answer: T | null) => void): void {
    const { network, nodes } = this.#parts;
    let settled = false;
    const settle = (answer: T | null): void => {
      if (settled) return;
      settled = true;
      done(answer);
      this.#pump();
    };
    const life = this.#life;
    network.carry(nodeId, () => {
      const node = nodes.get(nodeId);
      if (node === undefined || node.down) return;
      const answer = ask(node);
      network.carry(nodeId, () => {
        if (life === this.#life) settle(answer);
      });
    });
    this.#later(CALL_TIMEOUT_MS, () => settle(null));
  }
}

const orderOf = ({ volume: volumeId, path, subpath, mode }: VolumeMount): MountOrder => ({
  path,
  subpath,
  mode,
  source: { kind: "directory", store: STORE, volumeId, versionId: null },
});

function summaryOf(answers: readonly Answer[]): string {
  const kinds = new Map<string, number>();
  for (const { kind } of answers) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  return Array.from(kinds, ([kind, count]) => `${count} ${kind}`).join(", ");
}
