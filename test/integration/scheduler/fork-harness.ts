import {
  CancelFork,
  CreateFork,
  type Fork,
  type ForkChild,
  type ForkEvent,
  type ForkSource,
  type ForkSpec,
  GetFork,
  ListForkChildren,
  type Quota,
  ReadForkEvents,
} from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { COMMAND, forkSpecOf } from "../../../services/scheduler/src/domain/fork.fixture.ts";
import { eventually, LARGE_QUOTA, type World } from "./harness.ts";

export const IMAGE: ForkSource = { kind: "image", image: "default" };
const PAGE = 1_000;
const ENDS_MS = 40_000;

export const command = (more: Partial<NonNullable<ForkSpec["command"]>> = {}): NonNullable<ForkSpec["command"]> => ({
  ...COMMAND,
  timeoutMs: 60_000,
  outputMaxBytes: 1_024,
  ...more,
});

export interface ForkOptions {
  source?: ForkSource;
  forkId?: string;
  orgId?: string;
  quota?: Quota;
}

export function orderOf(world: World, spec: Partial<ForkSpec>, options: ForkOptions = {}) {
  const { source = IMAGE, forkId = newId("frk"), orgId = world.orgId, quota = LARGE_QUOTA } = options;
  return { orgId, forkId, source, quota, spec: forkSpecOf({ count: 3, deadlineS: 600, ...spec }) };
}

export const fork = async (world: World, spec: Partial<ForkSpec> = {}, options: ForkOptions = {}): Promise<Fork> =>
  (await world.bus.call(CreateFork, orderOf(world, spec, options))).fork;

export const getFork = async (world: World, forkId: string, orgId = world.orgId): Promise<Fork> =>
  (await world.bus.call(GetFork, { orgId, forkId })).fork;

export const cancelFork = async (world: World, forkId: string, deleteChildren = false): Promise<Fork> =>
  (await world.bus.call(CancelFork, { orgId: world.orgId, forkId, deleteChildren })).fork;

/** Waits until it has ended. */
export const ended = (world: World, forkId: string, timeoutMs = ENDS_MS, orgId = world.orgId): Promise<Fork> =>
  eventually(
    async () => {
      const now = await getFork(world, forkId, orgId);
      if (now.endedAt === null) throw new Error(`${now.state} ${now.stateReason ?? ""} ${JSON.stringify(now.counts)}`);
      return now;
    },
    { timeoutMs, intervalMs: 50 },
  );

export async function childrenOf(world: World, forkId: string, states: ForkChild["state"][] = []): Promise<ForkChild[]> {
  const children: ForkChild[] = [];
  for (let after = -1; ; ) {
    const page = await world.bus.call(ListForkChildren, { orgId: world.orgId, forkId, after, limit: PAGE, states });
    children.push(...page.children);
    if (page.nextAfter === null) return children;
    after = page.nextAfter;
  }
}

export async function eventsOf(world: World, forkId: string): Promise<ForkEvent[]> {
  const events: ForkEvent[] = [];
  for (;;) {
    const after = events.at(-1)?.seq ?? 0;
    const page = await world.bus.call(ReadForkEvents, { orgId: world.orgId, forkId, after, limit: 200, waitMs: 5_000 });
    events.push(...page.events);
    if (page.ended) return events;
  }
}

/** Sandboxes of a fork by state, as they are in the database. */
export async function sandboxStates(world: World, forkId: string): Promise<Record<string, number>> {
  const rows = await world.sql<{ state: string; count: number }[]>`
    select state, count(*)::int as count from sandboxes where origin->>'forkId' = ${forkId} group by state`;
  return Object.fromEntries(rows.map(({ state, count }) => [state, count]));
}

/** What the nodes hold of a fork: sandbox id by child, each as often as it is there. */
export function heldBy(world: World): Map<string, string> {
  const held = new Map<string, string>();
  for (const node of world.nodes)
    for (const id of node.sandboxes.keys()) {
      if (held.has(id)) throw new Error(`${id} is on two nodes`);
      held.set(id, node.nodeId);
    }
  return held;
}
