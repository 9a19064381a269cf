import type { NodeView, Resources } from "@banyan/contracts";

export type Amounts = NodeView["capacity"];

/** A node as placement sees it. */
export interface Candidate {
  nodeId: string;
  reachable: boolean;
  state: NodeView["state"];
  /** Its operator wants no new sandboxes there. */
  cordoned: boolean;
  capacity: Amounts;
  /** With everything promised so far, the starts under way included. */
  used: Amounts;
  slotsFree: number;
  /** Starts that wait for a slot there. */
  waiting: number;
  /** What it need not fetch, by `layerKey`. As a node says it: those used last. */
  layers: ReadonlySet<string>;
  /** Of volumes: those that it reaches now. */
  stores: ReadonlySet<string>;
}

export type Placement =
  | { kind: "placed"; nodeId: string /** Another node has a free slot: better to ask there than to wait here. */; elsewhere: boolean }
  /** No node of the cluster could ever hold it. */
  | { kind: "none_fits" }
  | { kind: "none_available"; retryAfterMs: number }
  /** There are nodes, and none of them reaches these; or each is reached, and no node reaches all. */
  | { kind: "out_of_reach"; stores: string[] };

/** A heartbeat later the view is another one. */
const RETRY_AFTER_MS = 1_000;
const RETRY_AFTER_WITHOUT_NODES_MS = 5_000;

export const amountsOf = (resources: Resources): Amounts => ({
  cpu: resources.cpu,
  memoryMb: resources.memoryMb,
  diskMb: resources.diskMb,
  sandboxes: 1,
});

/** What is asked of a node. */
export interface Asked {
  amounts: Amounts;
  /** By `layerKey`; whoever has them all comes first among those that have a free slot. */
  layers?: readonly string[];
  /** Each has to be reached: its volumes lie there. */
  stores?: readonly string[];
  excluded?: ReadonlySet<string>;
}

/**
 * Two random nodes and the better of them, not the emptiest of all: the emptiest is the same for everyone who looks at the same moment,
 * and a view that is a second old then sends them all to one node.
 */
export function place(nodes: readonly Candidate[], asked: Asked, random: () => number): Placement {
  const { amounts, layers = [], stores = NO_STORES, excluded = NOBODY } = asked;
  const able: Candidate[] = [];
  const free: Candidate[] = [];
  const near: Candidate[] = [];
  for (const node of nodes) {
    if (!isAvailable(node) || excluded.has(node.nodeId) || !fits(node.capacity, node.used, amounts)) continue;
    if (stores.length > 0 && !reaches(node, stores)) continue;
    able.push(node);
    if (node.slotsFree <= 0) continue;
    free.push(node);
    if (layers.every((layer) => node.layers.has(layer))) near.push(node);
  }
  if (able.length === 0) return refusal(nodes, amounts, stores);
  const chosen = better(near.length > 0 ? near : free.length > 0 ? free : able, random);
  return { kind: "placed", nodeId: chosen.nodeId, elsewhere: free.length > 1 };
}

const NOBODY: ReadonlySet<string> = new Set();
const NO_STORES: readonly string[] = [];

/** Everything that its volumes lie in can be mounted there. */
export const reaches = ({ stores }: Pick<Candidate, "stores">, wanted: readonly string[]): boolean =>
  wanted.every((store) => stores.has(store));

/**
 * Those that none of the nodes that answer reaches; all of them where each is reached and no node reaches all. Empty: a node does, or none answers.
 */
function unreachedStores(nodes: readonly Pick<Candidate, "stores" | "reachable">[], wanted: readonly string[]): string[] {
  const there = nodes.filter(({ reachable }) => reachable);
  if (wanted.length === 0 || there.length === 0 || there.some((node) => reaches(node, wanted))) return [];
  const nowhere = wanted.filter((store) => !there.some(({ stores }) => stores.has(store)));
  return nowhere.length > 0 ? nowhere : [...wanted];
}

/** Takes what is new. */
export const isAvailable = (node: Candidate): boolean => node.reachable && node.state === "ready" && !node.cordoned;

const KEY_LENGTH = 16;

/** As a node names its layers in heartbeats; of a frozen layer, which no heartbeat names, something that none has. */
export const layerKey = ({ digest }: { digest: string }): string =>
  digest.startsWith(DIGEST_PREFIX) ? digest.slice(DIGEST_PREFIX.length, DIGEST_PREFIX.length + KEY_LENGTH) : digest;
const DIGEST_PREFIX = "sha256:";

export function fits(capacity: Amounts, used: Amounts, asked: Amounts): boolean {
  return (
    used.cpu + asked.cpu <= capacity.cpu &&
    used.memoryMb + asked.memoryMb <= capacity.memoryMb &&
    used.diskMb + asked.diskMb <= capacity.diskMb &&
    used.sandboxes + asked.sandboxes <= capacity.sandboxes
  );
}

const NOTHING: Amounts = { cpu: 0, memoryMb: 0, diskMb: 0, sandboxes: 0 };

function refusal(nodes: readonly Candidate[], asked: Amounts, stores: readonly string[]): Placement {
  if (nodes.length === 0) return { kind: "none_available", retryAfterMs: RETRY_AFTER_WITHOUT_NODES_MS };
  const unreached = unreachedStores(nodes, stores);
  if (unreached.length > 0) return { kind: "out_of_reach", stores: unreached };
  if (!nodes.some((node) => fits(node.capacity, NOTHING, asked))) return { kind: "none_fits" };
  return { kind: "none_available", retryAfterMs: nodes.some(isAvailable) ? RETRY_AFTER_MS : RETRY_AFTER_WITHOUT_NODES_MS };
}

function better(nodes: readonly Candidate[], random: () => number): Candidate {
  const first = Math.floor(random() * nodes.length);
  // The second is drawn from the others, so that two nodes are always two.
  const second = nodes.length === 1 ? first : (first + 1 + Math.floor(random() * (nodes.length - 1))) % nodes.length;
  const [a, b] = [nodes[first], nodes[second]];
  if (a === undefined || b === undefined) throw new RangeError("random() must be below 1");
  return room(a) >= room(b) ? a : b;
}

/** Free slots count first; where there are none, the shorter queue; then the emptier memory. */
function room(node: Candidate): number {
  return node.slotsFree - node.waiting + (1 - node.used.memoryMb / Math.max(1, node.capacity.memoryMb));
}
