import type { Bus, Served } from "@banyan/bus";
import {
  fault,
  type InputOf,
  NODE_HEARTBEAT_MS,
  NODE_LEASE_MS,
  NODE_PAGE_MAX,
  NODES_BUCKET,
  NodeDelete,
  NodeHeartbeat,
  NodeListSandboxes,
  NodeSnapshot,
  NodeStart,
  NodeStop,
  type OutputOf,
  SandboxDied,
} from "@banyan/contracts";
import { type Clock, systemClock } from "@banyan/kernel";
import { type FakeForks, fakeForks, serveForks } from "./fake-fork-verbs.ts";
import { checkMounts, type FakeMounts, fakeMounts, serveMounts } from "./fake-mount-verbs.ts";

type Order = InputOf<typeof NodeStart>;
type StartAnswer = OutputOf<typeof NodeStart>;

export interface FakeSandbox {
  order: Order;
  epoch: number;
  state: "running" | "stopped";
  lastActiveAt: number;
}

export interface FakeNodeOptions {
  bus: Bus;
  nodeId?: string;
  capacity?: Partial<NodeHeartbeat["capacity"]>;
  /** Slots it has in all; each running sandbox takes one. */
  slots?: number;
  clock?: Clock;
  labels?: Record<string, string>;
  /** Stores of volumes that it reaches. */
  stores?: readonly string[];
}

export interface FakeNode {
  readonly nodeId: string;
  readonly sandboxes: Map<string, FakeSandbox>;
  /** Orders as they came, refused ones too. */
  readonly orders: Order[];
  readonly deleted: Map<string, number>;
  /** Of forks: what came, what was made of it, and what a test wants otherwise. */
  readonly forks: FakeForks;
  /** Of volumes: what it reaches, and what a test wants otherwise. */
  readonly mounts: FakeMounts;
  /** Snapshots made. */
  frozen: number;
  /** Answers the next starts instead of the node's own rules; null: as usual. May take its time. */
  onStart: ((order: Order) => Promise<StartAnswer | null>) | null;
  /** Runs before each snapshot is made, which fails where this throws. */
  onSnapshot: ((sandboxId: string) => Promise<void>) | null;
  /** What the heartbeat says of free slots, where that is not the truth. */
  slotsClaimed: number | null;
  /** Marks a sandbox as used now, as the next heartbeat will say. */
  use(sandboxId: string, at?: number): void;
  /** Ends a sandbox as if its PID 1 had died. */
  die(sandboxId: string, reason?: string): Promise<void>;
  beat(): Promise<void>;
  /** Neither answers nor says heartbeats; what it holds stays. */
  vanish(): Promise<void>;
  /** After `vanish`. With `restarted` its slots are gone and its disks are there. */
  comeBack(options?: { restarted?: boolean }): Promise<void>;
  stop(): Promise<void>;
}

const CAPACITY: NodeHeartbeat["capacity"] = { cpu: 1_000, memoryMb: 1_000_000, diskMb: 100_000_000, sandboxes: 1_000 };
const SLOT_POLL_MS = 5;
const RETRY_AFTER_MS = 200;
let made = 0;

/** A node that keeps the contract of the node verbs and starts nothing: for tests of everything above it. */
export async function fakeNode(options: FakeNodeOptions): Promise<FakeNode> {
  const { bus, clock = systemClock, slots = 1_000 } = options;
  const nodeId = options.nodeId ?? `fake-${process.pid}-${++made}`;
  const capacity = { ...CAPACITY, ...options.capacity };
  const bucket = bus.kv(NODES_BUCKET, { ttlMs: NODE_LEASE_MS, schema: NodeHeartbeat });
  const active = new Map<string, number>();
  let startedAt = clock.now();
  let waiting = 0;
  let beating: AbortController | null = null;
  let served: Served[] = [];

  const running = (): FakeSandbox[] => [...node.sandboxes.values()].filter(({ state }) => state === "running");
  const sum = (of: (order: Order) => number, among: FakeSandbox[]): number => among.reduce((total, { order }) => total + of(order), 0);
  const used = (): NodeHeartbeat["used"] => ({
    cpu: sum(({ resources }) => resources.cpu, running()),
    memoryMb: sum(({ resources }) => resources.memoryMb, running()),
    diskMb: sum(({ resources }) => resources.diskMb, [...node.sandboxes.values()]),
    sandboxes: running().length,
  });
  const roomFor = (resources: Order["resources"]): number => {
    const { cpu, memoryMb } = used();
    return Math.floor(Math.min((capacity.cpu - cpu) / resources.cpu, (capacity.memoryMb - memoryMb) / resources.memoryMb));
  };
  const refused = (reason: Extract<StartAnswer, { kind: "refused" }>["reason"]): StartAnswer => ({
    kind: "refused",
    reason,
    retryAfterMs: RETRY_AFTER_MS,
  });

  const wasDeleted = ({ sandboxId, epoch }: Order): boolean => (node.deleted.get(sandboxId) ?? 0) >= epoch;

  async function start(order: Order): Promise<StartAnswer> {
    node.orders.push(order);
    const special = await node.onStart?.(order);
    if (special) return special;
    const beganMs = clock.monotonicMs();
    const there = node.sandboxes.get(order.sandboxId);
    if (wasDeleted(order)) return refused("deleted");
    if (there?.state === "running" && there.epoch === order.epoch) return started(0);
    if (there !== undefined && there.epoch >= order.epoch) return refused("stale_epoch");
    if (!order.fresh && there === undefined) return refused("no_disk");
    checkMounts(node, order.mounts);
    const { cpu, memoryMb } = used();
    if (cpu + order.resources.cpu > capacity.cpu || memoryMb + order.resources.memoryMb > capacity.memoryMb) return refused("capacity");
    waiting++;
    const mayWait = (): boolean =>
      clock.monotonicMs() - beganMs < order.deadlineMs && !wasDeleted(order) && beating?.signal.aborted === false;
    while (running().length >= slots && mayWait()) await clock.sleep(SLOT_POLL_MS);
    waiting--;
    if (wasDeleted(order)) return refused("deleted");
    if (running().length >= slots) return refused("no_slot");
    node.sandboxes.set(order.sandboxId, { order, epoch: order.epoch, state: "running", lastActiveAt: clock.now() });
    return started(clock.monotonicMs() - beganMs);
  }
  const started = (queueMs: number): StartAnswer => ({
    kind: "started",
    path: queueMs > SLOT_POLL_MS ? "cold" : "warm",
    timing: { queueMs, claimMs: 0.1, attachMs: 0.5, readyMs: 0, totalMs: queueMs + 0.6 },
  });

  async function stop({ sandboxId, epoch, idleSince }: InputOf<typeof NodeStop>): Promise<OutputOf<typeof NodeStop>> {
    const there = node.sandboxes.get(sandboxId);
    if (there === undefined) return { outcome: "absent" };
    if (there.epoch > epoch) throw fault("sandbox.stale_epoch", { epoch: there.epoch });
    if (idleSince !== null && there.state === "running" && there.lastActiveAt > idleSince) return { outcome: "active" };
    if (there.state === "running") node.forks.interrupt(sandboxId);
    there.state = "stopped";
    // A stop of a later epoch overtakes a start that is still on its way.
    there.epoch = epoch;
    return { outcome: "stopped" };
  }

  async function remove({ sandboxId, epoch }: InputOf<typeof NodeDelete>): Promise<OutputOf<typeof NodeDelete>> {
    const there = node.sandboxes.get(sandboxId);
    if (there !== undefined && there.epoch > epoch) throw fault("sandbox.stale_epoch", { epoch: there.epoch });
    node.sandboxes.delete(sandboxId);
    node.deleted.set(sandboxId, Math.max(epoch, node.deleted.get(sandboxId) ?? 0));
    return {};
  }

  async function snapshot({ sandboxId, epoch, layers }: InputOf<typeof NodeSnapshot>): Promise<OutputOf<typeof NodeSnapshot>> {
    const there = node.sandboxes.get(sandboxId);
    if (there === undefined) throw fault("sandbox.not_found", { sandboxId });
    if (there.epoch !== epoch) throw fault("sandbox.stale_epoch", { epoch: there.epoch });
    await node.onSnapshot?.(sandboxId);
    const frozen = { digest: `sha256:${String(++node.frozen).padStart(64, "0")}`, sizeBytes: 10 };
    const isRunning = there.state === "running";
    return { layers: [...layers, frozen], way: isRunning ? "copy" : "stopped", pausedMs: isRunning ? 1.5 : 0, skipped: [] };
  }

  async function list({ cursor }: InputOf<typeof NodeListSandboxes>): Promise<OutputOf<typeof NodeListSandboxes>> {
    const after = [...node.sandboxes.keys()].toSorted().filter((id) => cursor === null || id > cursor);
    const page = after.slice(0, NODE_PAGE_MAX);
    const sandboxes = page.flatMap((sandboxId) => {
      const there = node.sandboxes.get(sandboxId);
      if (there === undefined) return [];
      return [{ sandboxId, orgId: there.order.orgId, epoch: there.epoch, state: there.state, lastActiveAt: there.lastActiveAt }];
    });
    return { sandboxes, nextCursor: after.length > page.length ? (page.at(-1) ?? null) : null };
  }

  async function serve(): Promise<void> {
    served = [
      bus.serve(NodeStart.on(nodeId), start, { concurrencyMax: 2_048 }),
      bus.serve(NodeStop.on(nodeId), stop),
      bus.serve(NodeDelete.on(nodeId), remove),
      bus.serve(NodeSnapshot.on(nodeId), snapshot),
      bus.serve(NodeListSandboxes.on(nodeId), list),
      ...serveMounts({ bus, node }),
      ...serveForks({ bus, clock, node, roomFor, slotsLeft: () => slots - running().length }),
    ];
    await bus.flush();
    const ending = new AbortController();
    beating = ending;
    await node.beat();
    const go = async (): Promise<void> => {
      while (!ending.signal.aborted) {
        await clock.sleep(NODE_HEARTBEAT_MS, ending.signal).catch(() => {});
        // A bus that is away for a moment costs a heartbeat, as it does a real node.
        if (!ending.signal.aborted) await node.beat().catch(() => {});
      }
    };
    go();
  }

  const node: FakeNode = {
    nodeId,
    sandboxes: new Map(),
    orders: [],
    deleted: new Map(),
    forks: fakeForks(),
    mounts: fakeMounts(options.stores),
    frozen: 0,
    onStart: null,
    onSnapshot: null,
    slotsClaimed: null,
    use(sandboxId, at = clock.now()) {
      const there = node.sandboxes.get(sandboxId);
      if (there !== undefined) there.lastActiveAt = at;
      active.set(sandboxId, at);
    },
    async die(sandboxId, reason = "slot_died") {
      const there = node.sandboxes.get(sandboxId);
      if (there === undefined) return;
      there.state = "stopped";
      node.forks.interrupt(sandboxId);
      await bus.emit(SandboxDied, sandboxId, { sandboxId, nodeId, epoch: there.epoch, reason, at: clock.now() });
    },
    async beat() {
      const activity = [...active].map(([sandboxId, at]) => ({ sandboxId, at }));
      active.clear();
      const free = node.slotsClaimed ?? Math.max(0, slots - running().length);
      await bucket.put(nodeId, {
        nodeId,
        url: `http://${nodeId}.test:7075`,
        version: "fake",
        labels: options.labels ?? {},
        startedAt,
        state: "ready",
        capacity,
        used: used(),
        pool: { target: slots, free, starting: 0, waiting },
        layers: [],
        activity,
        stores: Array.from(node.mounts.stores, ([store, state]) => ({
          store,
          kind: "directory" as const,
          state,
          reason: state === "ok" ? null : "a test took it away",
        })),
        at: clock.now(),
      });
    },
    async vanish() {
      beating?.abort();
      await Promise.all(served.map((one) => one.stop()));
    },
    async comeBack({ restarted = false } = {}) {
      if (restarted) {
        startedAt = clock.now();
        for (const sandbox of node.sandboxes.values()) sandbox.state = "stopped";
      }
      await serve();
    },
    async stop() {
      await node.vanish();
      await bucket.delete(nodeId);
    },
  };
  await serve();
  return node;
}
