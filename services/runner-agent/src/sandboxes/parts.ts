import type { Readable } from "node:stream";
import type { Clock, Logger } from "@banyan/kernel";
import type { AttachHelper, DiskRoot, Gate, LayerSource, LayerStore, NodeNetwork, NodeStores, SlotMaker } from "@banyan/runtime";
import type { Amounts } from "../domain/capacity.ts";
import type { NodeMetrics } from "../metrics.ts";
import type { SlotPool } from "../pool/pool.ts";
import type { FrozenLayers, Packed } from "./frozen-layers.ts";
import type { Interrupts } from "./interrupts.ts";
import type { Journal } from "./journal.ts";
import type { Outcomes } from "./outcomes.ts";
import type { SandboxRegistry } from "./registry.ts";
import type { Tombstones } from "./tombstones.ts";
import type { Turns } from "./turns.ts";

/** The part of the bus's BlobStore that a node needs. */
export interface LayerBlobs extends LayerSource {
  has(name: string): Promise<boolean>;
  put(name: string, content: Readable): Promise<unknown>;
}

export type NodeState = "joining" | "ready" | "leaving";

/** What the operations on sandboxes work with. Put together once, in service.ts. */
export interface NodeParts {
  readonly nodeId: string;
  readonly maker: SlotMaker;
  readonly pool: SlotPool;
  readonly attach: AttachHelper;
  readonly disk: DiskRoot;
  readonly layers: LayerStore;
  readonly frozenLayers: FrozenLayers;
  /** What is being packed for the blob store, by what it is made of: however many ask, it is done once. */
  readonly packing: Map<string, Promise<Packed>>;
  /** Where a snapshot's layer goes for the other nodes. */
  readonly blobs: LayerBlobs;
  /** Snapshots at once: each reads a whole disk and takes a core. */
  readonly snapshots: Gate;
  /** Files of snapshots under way. */
  readonly spoolDirectory: string;
  readonly network: NodeNetwork;
  readonly stores: NodeStores;
  readonly journal: Journal;
  readonly tombstones: Tombstones;
  /**
   * Children whose start was refused or failed. Their fork makes them anew under another id, so nothing may come of a copy of the message that
   * arrives later.
   */
  readonly refusals: Tombstones;
  /** How commands of children ended, until that is said. */
  readonly outcomes: Outcomes;
  /** Children whose changes are counted at once: each reads a disk. */
  readonly counts: Gate;
  /** Commands of children that are under way. */
  readonly commands: Set<Promise<void>>;
  /** Aborted when this process gives the node up. */
  readonly ending: AbortController;
  readonly registry: SandboxRegistry;
  readonly turns: Turns;
  readonly capacity: Amounts;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: NodeMetrics;
  readonly interrupts: Interrupts;
  state: NodeState;
}
