import type { MountOrder, StackLayer, VolumeMount } from "@banyan/contracts";
import type { Answer, ForkBook } from "../../services/scheduler/src/domain/fork-book.ts";
import type { ForkAction } from "../../services/scheduler/src/domain/fork-steps.ts";
import { mountsOf } from "../../services/scheduler/src/domain/mounts.ts";
import type { Life } from "./life.ts";
import { type SimNode, STORE } from "./node.ts";
import type { Random } from "./random.ts";
import type { SimStore } from "./store.ts";
import type { Timeline } from "./timeline.ts";

const SLOT_WAIT_MS = 5_000;
const LAYERS = [{ digest: `sha256:${"ab".repeat(32)}`, sizeBytes: 1_000 }];

export interface ActionParts {
  timeline: Timeline;
  random: Random;
  store: SimStore;
  nodes: ReadonlyMap<string, SimNode>;
  life: Life;
  book: ForkBook;
  trace(line: string): void;
  /** Writes what the book now has to be written. */
  pump(): void;
}

/** What the book asks to be done once its write is there, for one life of the scheduler. What comes of it is told to the book. */
export class Actions {
  readonly #parts: ActionParts;

  constructor(parts: ActionParts) {
    this.#parts = parts;
  }

  carryOut(forkId: string, action: ForkAction): void {
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
      this.#parts.life.later(1, () => {
        this.#parts.book.prepared(forkId, made, timeline.now);
        this.#parts.pump();
      });
      return;
    }
    const made = { base: { ...base, shipped: null, nodeId }, freeze: { way: "copy" as const, pausedMs: 1, skipped: [] } };
    this.#parts.life.call(
      nodeId,
      () => true,
      (answer) => {
        if (answer === null) this.#parts.book.unprepared(forkId, { reason: "node.unreachable", final: false }, timeline.now);
        else this.#parts.book.prepared(forkId, made, timeline.now);
      },
    );
  }

  /** The volume-manager answers, or is away for a moment. */
  #resolve(forkId: string): void {
    const { random, store, timeline } = this.#parts;
    this.#parts.life.later(random.int(1, 200), () => {
      const volumes = store.forks.get(forkId)?.template.volumes ?? [];
      if (random.chance(0.3)) this.#parts.book.unresolved(forkId, { reason: "bus.unavailable", final: false }, timeline.now);
      else this.#parts.book.resolved(forkId, mountsOf(volumes, volumes.map(orderOf)));
      this.#parts.pump();
    });
  }

  #ship(forkId: string, nodeId: string, layers: StackLayer[]): void {
    const { timeline } = this.#parts;
    this.#parts.life.call(
      nodeId,
      () => true,
      (answer) => {
        if (answer === null) this.#parts.book.unshipped(forkId, timeline.now);
        else this.#parts.book.shipped(forkId, layers, [], timeline.now);
      },
    );
  }

  #delete(forkId: string, nodeId: string, sandboxIds: string[]): void {
    const sandboxes = sandboxIds.map((sandboxId) => ({ sandboxId, epoch: 1 }));
    this.#parts.life.call(
      nodeId,
      (node) => node.deleteMany({ sandboxes }),
      (answer) => this.#parts.book.removed(forkId, sandboxIds, answer !== null, this.#parts.timeline.now),
    );
  }

  #send(batchId: number): void {
    const { timeline, trace } = this.#parts;
    const batch = this.#parts.book.batch(batchId);
    const fork = batch === undefined ? undefined : this.#parts.book.get(batch.forkId);
    if (batch === undefined || fork === undefined) return;
    const order = fork.children.order(batch.nodeId, batch.children, { mounts: fork.mounts?.orders ?? [], slotWaitMs: SLOT_WAIT_MS });
    this.#parts.life.call<Answer[]>(
      batch.nodeId,
      (node) => node.startMany(order),
      (answers) => {
        trace(`batch ${batchId} of ${batch.children.length} on ${batch.nodeId}: ${answers === null ? "no answer" : summaryOf(answers)}`);
        if (answers === null) this.#parts.book.uncertain(batchId, timeline.now);
        else this.#parts.book.settled(batchId, answers, timeline.now);
      },
    );
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
