import type { Bus } from "@banyan/bus";
import {
  CancelFork,
  CreateFork,
  type Fork,
  type ForkChild,
  type ForkEvent,
  fault,
  GetFork,
  type InputOf,
  ListForkChildren,
  ListForks,
  ReadForkEvents,
} from "@banyan/contracts";
import { newId } from "@banyan/kernel";

type Order = InputOf<typeof CreateFork>;
type State = ForkChild["state"];

const LOOK_EVERY_MS = 10;
const STATES = ["waiting", "starting", "running", "succeeded", "failed", "cancelled", "lost"] as const;

export interface FakeFork {
  fork: Fork;
  order: Order;
  children: ForkChild[];
  events: ForkEvent[];
}

export interface FakeForks {
  readonly orders: Order[];
  readonly forks: FakeFork[];
  /** While it is away, no verb of a fork is answered. */
  away: boolean;
  /** How often events were asked for. */
  eventReads: number;
  last(): FakeFork;
  /** Moves children, told in one event. */
  move(fork: FakeFork, indices: readonly number[], state: State): void;
  end(fork: FakeFork, state: "done" | "cancelled" | "failed", winner?: number): void;
}

/** Keeps the contract of the fork verbs in memory and starts nothing: for tests of what stands before it, where no scheduler runs. */
export function serveForks(bus: Bus): FakeForks {
  const find = ({ orgId, forkId }: { orgId: string; forkId: string }): FakeFork => {
    if (all.away) throw fault("bus.unavailable");
    const found = all.forks.find(({ fork }) => fork.id === forkId && fork.orgId === orgId);
    if (!found) throw fault("fork.not_found", { id: forkId });
    return found;
  };
  const say = ({ events }: FakeFork, event: ForkEvent["event"]): void =>
    void events.push({ seq: events.length + 1, at: Date.now(), event });

  const all: FakeForks = {
    orders: [],
    forks: [],
    away: false,
    eventReads: 0,
    last: () => all.forks.at(-1) ?? raise("no fork was asked for"),
    move(fake, indices, state) {
      for (const index of indices) {
        const child = fake.children[index] ?? raise(`no child ${index}`);
        child.state = state;
        child.sandboxId ??= newId("sbx");
        if (state === "succeeded") Object.assign(child, { outcome: outcomeOf(index), endedAt: Date.now() });
      }
      fake.fork.counts = countsOf(fake.children);
      const children = indices.map((index) => {
        const { sandboxId, outcome, score } = fake.children[index] ?? raise(`no child ${index}`);
        return { index, sandboxId, state, exitCode: outcome?.exitCode ?? null, score };
      });
      say(fake, { kind: "children", counts: fake.fork.counts, children });
    },
    end(fake, state, winner) {
      Object.assign(fake.fork, { state, winner: winner ?? null, endedAt: Date.now() });
      say(fake, { kind: "state", state, reason: null });
    },
  };

  bus.serve(CreateFork, async (order) => {
    if (all.away) throw fault("bus.unavailable");
    all.orders.push(order);
    const there = all.forks.find(({ fork }) => fork.id === order.forkId);
    if (there) return { fork: there.fork };
    const children = Array.from({ length: order.spec.count }, (_, index) => childOf(index));
    const fake: FakeFork = { fork: forkOf(order, children), order, children, events: [] };
    all.forks.push(fake);
    say(fake, { kind: "state", state: "running", reason: null });
    return { fork: fake.fork };
  });
  bus.serve(GetFork, async (ref) => ({ fork: find(ref).fork }));
  bus.serve(ListForks, async ({ orgId, sandboxId, cursor, limit }) => {
    const seen = all.forks
      .map(({ fork }) => fork)
      .filter(
        ({ orgId: of, source }) => of === orgId && (sandboxId === null || (source.kind === "sandbox" && source.sandboxId === sandboxId)),
      )
      .toSorted((a, b) => (a.id < b.id ? 1 : -1))
      .filter(({ id }) => cursor === null || id < cursor);
    return { forks: seen.slice(0, limit), nextCursor: seen.length > limit ? (seen[limit - 1]?.id ?? null) : null };
  });
  bus.serve(ListForkChildren, async ({ after, limit, states, ...ref }) => {
    const seen = find(ref).children.filter(({ index, state }) => index > after && (states.length === 0 || states.includes(state)));
    return { children: seen.slice(0, limit), nextAfter: seen.length > limit ? (seen[limit - 1]?.index ?? null) : null };
  });
  bus.serve(CancelFork, async ({ deleteChildren: _, ...ref }) => {
    const fake = find(ref);
    const unfinished = fake.children.filter(({ state }) => !["succeeded", "failed", "cancelled"].includes(state));
    all.move(
      fake,
      unfinished.map(({ index }) => index),
      "cancelled",
    );
    all.end(fake, "cancelled");
    return { fork: fake.fork };
  });
  bus.serve(ReadForkEvents, async ({ after, limit, waitMs, ...ref }) => {
    all.eventReads++;
    const fake = find(ref);
    const { fork, events } = fake;
    for (let leftMs = waitMs; leftMs > 0 && events.length <= after && fork.endedAt === null; leftMs -= LOOK_EVERY_MS) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
      find(ref);
    }
    const page = events.filter(({ seq }) => seq > after).slice(0, limit);
    return { events: page, ended: fork.endedAt !== null && after + page.length >= events.length };
  });
  return all;
}

function raise(message: string): never {
  throw new Error(message);
}

function countsOf(children: readonly ForkChild[]): Fork["counts"] {
  const count = (state: State): number => children.filter((child) => child.state === state).length;
  const counts = Object.fromEntries(STATES.map((state) => [state, count(state)])) as Record<State, number>;
  return { total: children.length, ...counts };
}

function forkOf({ orgId, forkId: id, source, spec: { each: _, ...spec } }: Order, children: readonly ForkChild[]): Fork {
  const nothing = { stateReason: null, freeze: null, winner: null, endedAt: null };
  const times = { createdAt: Date.now(), startedAt: Date.now(), deadlineAt: Date.now() + spec.deadlineS * 1_000 };
  const counts = countsOf(children);
  return { id, orgId, source, spec, state: "running", includes: ["files"], counts, inWaves: false, version: 1, ...nothing, ...times };
}

function childOf(index: number): ForkChild {
  const nothing = { sandboxId: null, nodeId: null, outcome: null, score: null, error: null, startMs: null, startedAt: null, endedAt: null };
  return { index, state: "waiting", attempts: 0, ...nothing };
}

function outcomeOf(index: number): ForkChild["outcome"] {
  const stdout = `out ${index}\n`;
  const bytes = { stdoutBytes: stdout.length, stderrBytes: 0 };
  return { exitCode: 0, signal: null, timedOut: false, durationMs: 1, stdout, stderr: "", ...bytes, changes: null };
}
