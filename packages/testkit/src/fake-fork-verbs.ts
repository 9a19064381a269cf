import type { Bus, Served } from "@banyan/bus";
import {
  ForkChildrenFinished,
  type ForkOutcome,
  fault,
  type InputOf,
  isFault,
  LIMITS,
  NodeDeleteMany,
  NodeFreeze,
  NodeRelease,
  NodeShip,
  NodeStartMany,
  type OutputOf,
  type StartManyOrder,
  type StartOrder,
} from "@banyan/contracts";
import type { Clock } from "@banyan/kernel";
import { checkMounts } from "./fake-mount-verbs.ts";
import type { FakeNode } from "./fake-node.ts";

type Child = StartManyOrder["children"][number];
type ManyAnswer = OutputOf<typeof NodeStartMany>;
type ChildAnswer = ManyAnswer["children"][number];

/** What a test has the children of forks do on this node. */
export interface FakeForks {
  /** Batches as they came. */
  readonly batches: StartManyOrder[];
  /** Children whose command was run, by sandbox. */
  readonly ran: string[];
  readonly frozen: Map<string, OutputOf<typeof NodeFreeze>>;
  readonly released: string[];
  /** How often a stack was shipped. */
  shipped: number;
  /** Answers a whole batch instead of the node's own rules; null: as usual. May take its time, or throw. */
  onBatch: ((order: StartManyOrder) => Promise<ManyAnswer | null>) | null;
  /** After a batch was carried out, before it is answered. May take its time, or throw: the answer is lost. */
  onBatchDone: ((order: StartManyOrder) => Promise<void>) | null;
  /** Answers for one child; null: as usual. */
  onChild: ((child: Child) => ChildAnswer | null) | null;
  /** How a child's command ends. Null: interrupted. "never": it does not. Default: 0, at once. */
  outcomeOf: (child: Child) => ForkOutcome | null | "never" | Promise<ForkOutcome | null>;
  /** False: it does not tell of commands that were cut short with their sandbox. */
  saysInterrupted: boolean;
  /** The sandbox has ended under its command, if it has one. */
  interrupt(sandboxId: string): void;
  onFreeze: (() => Promise<void>) | null;
  onShip: (() => Promise<void>) | null;
  /** Before sandboxes are deleted. May take its time, or throw. */
  onDelete: (() => Promise<void>) | null;
}

interface Parts {
  bus: Bus;
  clock: Clock;
  node: FakeNode;
  /** Room for one more such sandbox. */
  roomFor(resources: StartOrder["resources"]): number;
  slotsLeft(): number;
}

const GATHER_MS = 5;
const RETRY_AFTER_MS = 50;

export const outcome = (exitCode: number, stdout = ""): ForkOutcome => ({
  exitCode,
  signal: null,
  timedOut: false,
  durationMs: 1,
  stdout,
  stderr: "",
  stdoutBytes: Buffer.byteLength(stdout),
  stderrBytes: 0,
  changes: { added: 1, changed: 0, deleted: 0, bytes: 2 },
});

export const fakeForks = (): FakeForks => ({
  batches: [],
  ran: [],
  frozen: new Map(),
  released: [],
  shipped: 0,
  onBatch: null,
  onBatchDone: null,
  onChild: null,
  outcomeOf: () => outcome(0),
  saysInterrupted: true,
  interrupt: () => {},
  onFreeze: null,
  onShip: null,
  onDelete: null,
});

/** The node verbs of forks, kept by the rules of their contracts. */
export function serveForks({ bus, clock, node, roomFor, slotsLeft }: Parts): Served[] {
  const { nodeId, forks, sandboxes, deleted } = node;
  const underWay = new Map<string, { forkId: string; index: number; epoch: number }>();
  let unsaid: (InputOf<typeof ForkChildrenFinished>["children"][number] & { forkId: string })[] = [];

  function say(): void {
    const saying = unsaid;
    unsaid = [];
    const byFork = Map.groupBy(saying, ({ forkId }) => forkId);
    for (const [forkId, all] of byFork) {
      for (const children of inMessages(all.map(({ forkId: _forkId, ...child }) => child)))
        bus.emit(ForkChildrenFinished, forkId, { forkId, nodeId, children }).catch(() => {});
    }
  }

  async function runCommand(order: StartManyOrder, child: Child): Promise<void> {
    const { index, sandboxId, epoch } = child;
    forks.ran.push(sandboxId);
    underWay.set(sandboxId, { forkId: order.forkId, index, epoch });
    const ended = await forks.outcomeOf(child);
    const there = sandboxes.get(sandboxId);
    // Of one that was deleted or stopped meanwhile nothing is said.
    if (ended === "never" || there?.state !== "running" || there.epoch !== epoch) return;
    underWay.delete(sandboxId);
    const after = ended === null ? "keep" : (order.command?.after ?? "keep");
    if (after === "stop") there.state = "stopped";
    if (after === "delete") sandboxes.delete(sandboxId);
    const sandbox = after === "keep" ? "running" : after === "stop" ? "stopped" : "deleted";
    tell({ forkId: order.forkId, index, sandboxId, epoch, outcome: ended, sandbox, at: clock.now() });
  }

  function tell(one: (typeof unsaid)[number]): void {
    if (unsaid.length === 0) setTimeout(say, GATHER_MS);
    unsaid.push(one);
  }

  forks.interrupt = (sandboxId) => {
    const cut = underWay.get(sandboxId);
    if (cut === undefined || !forks.saysInterrupted) return;
    underWay.delete(sandboxId);
    tell({ ...cut, sandboxId, outcome: null, sandbox: "stopped", at: clock.now() });
  };

  async function startMany(order: StartManyOrder): Promise<ManyAnswer> {
    forks.batches.push(order);
    const special = await forks.onBatch?.(order);
    if (special) return special;
    let room = Math.min(roomFor(order.resources), slotsLeft());
    const answers = order.children.map((child): ChildAnswer => {
      const chosen = forks.onChild?.(child);
      if (chosen) return chosen;
      if ((deleted.get(child.sandboxId) ?? 0) >= child.epoch) return refused("deleted");
      if (sandboxes.has(child.sandboxId)) return STARTED;
      const unmountable = mountFailure(order);
      if (unmountable !== null) return unmountable;
      if (room <= 0) return refused(slotsLeft() <= 0 ? "no_slot" : "capacity");
      room--;
      sandboxes.set(child.sandboxId, { order: singleOf(order, child), epoch: child.epoch, state: "running", lastActiveAt: clock.now() });
      if (order.command !== null) void runCommand(order, child);
      return STARTED;
    });
    await forks.onBatchDone?.(order);
    return { children: answers };
  }

  function mountFailure({ mounts }: StartManyOrder): ChildAnswer | null {
    try {
      checkMounts(node, mounts);
      return null;
    } catch (error) {
      if (!isFault(error)) throw error;
      return { kind: "failed", code: error.code, message: error.message };
    }
  }

  async function deleteMany(input: InputOf<typeof NodeDeleteMany>): Promise<OutputOf<typeof NodeDeleteMany>> {
    await forks.onDelete?.();
    const stale: string[] = [];
    for (const { sandboxId, epoch } of input.sandboxes) {
      if ((sandboxes.get(sandboxId)?.epoch ?? 0) > epoch) stale.push(sandboxId);
      else {
        sandboxes.delete(sandboxId);
        deleted.set(sandboxId, Math.max(epoch, deleted.get(sandboxId) ?? 0));
      }
    }
    return { stale };
  }

  async function freeze({ sandboxId, epoch, frozenId }: InputOf<typeof NodeFreeze>): Promise<OutputOf<typeof NodeFreeze>> {
    await forks.onFreeze?.();
    const before = forks.frozen.get(frozenId);
    if (before !== undefined) return before;
    const there = sandboxes.get(sandboxId);
    if (there === undefined) throw fault("sandbox.not_found", { sandboxId });
    if (there.epoch !== epoch) throw fault("sandbox.stale_epoch", { epoch: there.epoch });
    const isRunning = there.state === "running";
    const made: OutputOf<typeof NodeFreeze> = {
      layer: { digest: `frozen:${frozenId}`, sizeBytes: 10 },
      way: isRunning ? "copy" : "stopped",
      pausedMs: isRunning ? 1.5 : 0,
    };
    forks.frozen.set(frozenId, made);
    return made;
  }

  async function ship({ layers }: InputOf<typeof NodeShip>): Promise<OutputOf<typeof NodeShip>> {
    await forks.onShip?.();
    forks.shipped++;
    const shipped = layers.map(({ digest, sizeBytes }) => ({
      digest: digest.startsWith("frozen:") ? `sha256:${"f0".repeat(32)}` : digest,
      sizeBytes,
    }));
    return { layers: shipped, skipped: ["/run/socket"] };
  }

  return [
    bus.serve(NodeStartMany.on(nodeId), startMany, { concurrencyMax: 2_048 }),
    bus.serve(NodeDeleteMany.on(nodeId), deleteMany),
    bus.serve(NodeFreeze.on(nodeId), freeze),
    bus.serve(NodeShip.on(nodeId), ship),
    bus.serve(NodeRelease.on(nodeId), async ({ frozenIds }) => {
      forks.released.push(...frozenIds);
      return {};
    }),
  ];
}

/** As many as a message may hold, of children and of bytes. */
function inMessages<T>(children: readonly T[]): T[][] {
  const messages: T[][] = [];
  let bytes = MESSAGE_BYTES;
  for (const child of children) {
    const last = messages.at(-1);
    bytes += Buffer.byteLength(JSON.stringify(child));
    if (last !== undefined && last.length < LIMITS.forkFinishedBatchMax && bytes <= MESSAGE_BYTES) last.push(child);
    else {
      messages.push([child]);
      bytes = Buffer.byteLength(JSON.stringify(child));
    }
  }
  return messages;
}
const MESSAGE_BYTES = 400 * 1024;

const STARTED: ChildAnswer = { kind: "started", path: "warm", totalMs: 1 };
const refused = (reason: "no_slot" | "capacity" | "deleted"): ChildAnswer => ({ kind: "refused", reason, retryAfterMs: RETRY_AFTER_MS });

function singleOf(order: StartManyOrder, child: Child): StartOrder {
  const { orgId, layers, workdir, user, resources, network, mounts, deadlineMs } = order;
  const { sandboxId, epoch, hostname, env } = child;
  return {
    sandboxId,
    orgId,
    epoch,
    fresh: true,
    layers,
    env: { ...order.env, ...env },
    workdir,
    user,
    hostname,
    resources,
    network,
    mounts,
    deadlineMs,
  };
}
