/**
 * Nodes that start nothing, many in a process: `stub-nodes.ts <nats url> <journal> <first> <count> <sandboxes each>`. They keep the contract of
 * the verbs that a fork needs and write down, before they answer, what they were told to start.
 */
import { type Bus, connectBus } from "@banyan/bus";
import {
  ForkChildrenFinished,
  type ForkOutcome,
  fault,
  type InputOf,
  LIMITS,
  NODE_HEARTBEAT_MS,
  NODE_LEASE_MS,
  NODE_PAGE_MAX,
  NODES_BUCKET,
  NodeDelete,
  NodeDeleteMany,
  NodeHeartbeat,
  NodeListSandboxes,
  NodeRelease,
  NodeStartMany,
  NodeStop,
  type OutputOf,
} from "@banyan/contracts";
import { createLogger } from "@banyan/telemetry";
import { listOf, openStubJournal } from "./stub-journal.ts";

/** What a stub process says to the bench; `report` is answered to any message from it. */
export type StubMessage =
  | { kind: "ready" }
  | { kind: "started"; count: number }
  /** `repeated`: orders for what ran already, answered like the first. */
  | { kind: "report"; held: [nodeId: string, sandboxIds: string[]][]; repeated: number };

/** What a node has of everything but sandboxes. */
const PLENTY = { cpu: 1_000_000, memoryMb: 1_000_000_000, diskMb: 1_000_000_000 };
const ORG_UNKNOWN = "org_00000000000000000000000000";

const SUCCESS: ForkOutcome = {
  exitCode: 0,
  signal: null,
  timedOut: false,
  durationMs: 1,
  stdout: "done\n",
  stderr: "",
  stdoutBytes: 5,
  stderrBytes: 0,
  changes: { added: 1, changed: 0, deleted: 0, bytes: 5 },
};

const [natsUrl = "", journalPath = "", first = "0", count = "1", sandboxesMax = "500"] = process.argv.slice(2);
const logger = createLogger({ name: "stub-nodes", level: "warn" });
const bus = await connectBus({ servers: natsUrl, name: `stub-nodes-${first}`, logger });
const journal = openStubJournal(journalPath);
const bucket = bus.kv(NODES_BUCKET, { ttlMs: NODE_LEASE_MS, schema: NodeHeartbeat });
const nodeIds = Array.from({ length: Number(count) }, (_, i) => `stub-${Number(first) + i}`);
const startedAt = Date.now();
let repeated = 0;

const say = (message: StubMessage): void => void process.send?.(message);

for (const nodeId of nodeIds) serveNode(bus, nodeId);
await bus.flush();
await beatAll();
setInterval(() => beatAll().catch(() => {}), NODE_HEARTBEAT_MS);
process.on("message", () => say({ kind: "report", held: listOf(journal), repeated }));
// Without the bench there is nobody to count for.
process.on("disconnect", () => process.exit(0));
say({ kind: "ready" });

function serveNode(bus: Bus, nodeId: string): void {
  const held = journal.held.get(nodeId) ?? new Map<string, number>();
  journal.held.set(nodeId, held);

  bus.serve(NodeStartMany.on(nodeId), async ({ forkId, command, children }) => {
    const accepted: typeof children = [];
    const answers = children.map((child): OutputOf<typeof NodeStartMany>["children"][number] => {
      const { sandboxId, epoch } = child;
      const there = held.get(sandboxId);
      if (journal.wasDeleted(sandboxId, epoch)) return { kind: "refused", reason: "deleted", retryAfterMs: 0 };
      if (there === epoch) {
        repeated++;
      } else if (there !== undefined) {
        return { kind: "refused", reason: "stale_epoch", retryAfterMs: 0 };
      } else if (held.size + accepted.length >= Number(sandboxesMax)) {
        return { kind: "refused", reason: "capacity", retryAfterMs: 200 };
      } else {
        accepted.push(child);
      }
      return { kind: "started", path: "warm", totalMs: 1 };
    });
    journal.started(nodeId, accepted);
    say({ kind: "started", count: accepted.length });
    if (command !== null) sayFinished(bus, nodeId, forkId, accepted);
    return { children: answers };
  });

  const remove = (sandboxes: InputOf<typeof NodeDeleteMany>["sandboxes"]): string[] => {
    const stale = sandboxes.filter(({ sandboxId, epoch }) => (held.get(sandboxId) ?? -1) > epoch);
    journal.deleted(
      nodeId,
      sandboxes.filter((sandbox) => !stale.includes(sandbox)),
    );
    return stale.map(({ sandboxId }) => sandboxId);
  };
  bus.serve(NodeDeleteMany.on(nodeId), async ({ sandboxes }) => ({ stale: remove(sandboxes) }));
  bus.serve(NodeDelete.on(nodeId), async (sandbox) => {
    if (remove([sandbox]).length > 0) throw fault("sandbox.stale_epoch", { sandboxId: sandbox.sandboxId });
    return {};
  });
  bus.serve(NodeStop.on(nodeId), async ({ sandboxId }) => ({ outcome: held.has(sandboxId) ? ("stopped" as const) : ("absent" as const) }));
  bus.serve(NodeRelease.on(nodeId), async () => ({}));
  bus.serve(NodeListSandboxes.on(nodeId), async ({ cursor }) => {
    const after = [...held].filter(([id]) => cursor === null || id > cursor).toSorted(([a], [b]) => (a < b ? -1 : 1));
    const page = after.slice(0, NODE_PAGE_MAX);
    const sandboxes = page.map(([sandboxId, epoch]) => ({
      sandboxId,
      orgId: ORG_UNKNOWN,
      epoch,
      state: "running" as const,
      lastActiveAt: startedAt,
    }));
    return { sandboxes, nextCursor: after.length > page.length ? (page.at(-1)?.[0] ?? null) : null };
  });
}

/** Every command ends at once, and well. */
function sayFinished(bus: Bus, nodeId: string, forkId: string, started: InputOf<typeof NodeStartMany>["children"]): void {
  const at = Date.now();
  for (let from = 0; from < started.length; from += LIMITS.forkFinishedBatchMax) {
    const children = started.slice(from, from + LIMITS.forkFinishedBatchMax).map(({ index, sandboxId, epoch }) => ({
      index,
      sandboxId,
      epoch,
      outcome: SUCCESS,
      sandbox: "running" as const,
      at,
    }));
    bus.emit(ForkChildrenFinished, forkId, { forkId, nodeId, children }).catch((err) => logger.error({ err }, "an outcome was not said"));
  }
}

async function beatAll(): Promise<void> {
  await Promise.all(nodeIds.map((nodeId) => bucket.put(nodeId, heartbeat(nodeId))));
}

function heartbeat(nodeId: string): NodeHeartbeat {
  const sandboxes = journal.held.get(nodeId)?.size ?? 0;
  const free = Number(sandboxesMax) - sandboxes;
  return {
    nodeId,
    url: `http://${nodeId}.test:7075`,
    version: "stub",
    labels: {},
    startedAt,
    state: "ready",
    capacity: { ...PLENTY, sandboxes: Number(sandboxesMax) },
    used: { cpu: 0, memoryMb: 0, diskMb: 0, sandboxes },
    pool: { target: Number(sandboxesMax), free, starting: 0, waiting: 0 },
    layers: [],
    activity: [],
    stores: [],
    at: Date.now(),
  };
}
