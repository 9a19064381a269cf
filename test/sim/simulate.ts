import {
  type ForkChildrenFinished,
  forkMachine,
  type InputOf,
  NODE_HEARTBEAT_MS,
  NODE_LEASE_MS,
  type NodeHeartbeat,
} from "@banyan/contracts";
import { checkEnd } from "./check-end.ts";
import { checkGoesOn } from "./check-goes-on.ts";
import { check, Violation } from "./invariants.ts";
import { Network } from "./network.ts";
import { type NodeHabits, SimNode } from "./node.ts";
import { seededRandom } from "./random.ts";
import { Runs } from "./runs.ts";
import { type Scenario, scenarioOf } from "./scenario.ts";
import { SimScheduler } from "./scheduler.ts";
import { SimStore } from "./store.ts";
import { Timeline } from "./timeline.ts";

type Report = InputOf<typeof ForkChildrenFinished>;

const START_MS = Date.UTC(2026, 0, 1);
/** So long things go wrong; then the network is whole, and all that can come back is back. */
const CHAOS_MS = 90_000;
/** A fork that is cancelled or whose deadline is over ends within this, whatever goes wrong, while there is a scheduler. */
const END_MS = 60_000;
/** After the last fork's end: what is left over is gone by then. */
const TIDY_MS = 150_000;
const FLUSH_EVERY_MS = 300;
const REDELIVERED_AFTER_MS = 30_000;
const LOOK_EVERY_MS = 1_000;
const TRACE_MAX = 60;
const STEPS_MAX = 2_000_000;

export interface Outcome {
  forks: number;
  children: number;
  steps: number;
  crashes: number;
  ends: Record<string, number>;
}

export interface SimulateOptions {
  /** Changes what the seed made. */
  bend?: (scenario: Scenario) => void;
  /** Says every line of the trace as it comes. */
  say?: (line: string) => void;
}

/** One run of a whole cluster under simulated time. Throws where a promise is broken, with the last things that happened. */
export function simulate(seed: number, options: SimulateOptions = {}): Outcome {
  const world = new World(seed, options);
  try {
    return world.run();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const kind = error instanceof Violation ? "a promise is broken" : "the simulation failed";
    const message = `seed ${seed}: ${kind}: ${error.message}\n  again: SIM_SEED=${seed} vitest run --project sim, or pnpm sim --seed ${seed}\n${world.lines.join("\n")}`;
    throw new Error(message, { cause: error });
  }
}

class World {
  readonly lines: string[] = [];
  readonly #say: ((line: string) => void) | undefined;
  readonly #timeline = new Timeline(START_MS);
  readonly #random;
  readonly #network: Network;
  readonly #scenario: Scenario;
  readonly #store = new SimStore();
  readonly #runs = new Runs();
  readonly #nodes = new Map<string, SimNode>();
  readonly #beats = new Map<string, NodeHeartbeat>();
  readonly #gone = new Set<string>();
  readonly #scheduler: SimScheduler;
  /** The stream: what was said and is not acknowledged. */
  readonly #stream = new Set<Report>();
  /** When each fork was first asked to end, or had to. */
  readonly #endsFrom = new Map<string, number>();
  #downMs = 0;
  #crashes = 0;
  #healedAt: number | null = null;

  constructor(seed: number, { bend, say }: SimulateOptions) {
    this.#say = say;
    this.#random = seededRandom(seed);
    this.#scenario = scenarioOf(this.#random, START_MS, CHAOS_MS);
    bend?.(this.#scenario);
    this.#network = new Network(this.#timeline, this.#random, this.#scenario.weather);
    for (const [i, habits] of this.#scenario.nodes.entries()) this.#addNode(`node-${i}`, habits);
    this.#scheduler = new SimScheduler({
      timeline: this.#timeline,
      random: this.#random,
      network: this.#network,
      store: this.#store,
      nodes: this.#nodes,
      beats: this.#beats,
      trace: (line) => this.#trace(line),
      writeMsMax: this.#scenario.writeMsMax,
      acksEarly: this.#scenario.acksEarly,
    });
  }

  run(): Outcome {
    this.#scheduler.start();
    for (const fork of this.#scenario.forks) this.#askFor(fork);
    this.#strikeLater();
    this.#timeline.after(CHAOS_MS, () => this.#heal());
    this.#every(LOOK_EVERY_MS, () => this.#look());
    let steps = 0;
    let endedAt: number | null = null;
    while (endedAt === null || this.#timeline.now < endedAt + TIDY_MS) {
      check(this.#timeline.step(), "nothing is left to happen");
      check(++steps < STEPS_MAX, "it does not come to an end");
      if (endedAt === null && this.#healedAt !== null && this.#allEnded()) endedAt = this.#timeline.now;
    }
    checkEnd({ store: this.#store, runs: this.#runs, nodes: this.#nodes, gone: this.#gone });
    const ends: Record<string, number> = {};
    for (const { state } of this.#store.forks.values()) ends[state] = (ends[state] ?? 0) + 1;
    const children = this.#scenario.forks.reduce((sum, { row }) => sum + row.spec.count, 0);
    return { forks: this.#store.forks.size, children, steps, crashes: this.#crashes, ends };
  }

  // ---- what is there

  #addNode(id: string, habits: NodeHabits): void {
    const node = new SimNode(id, { timeline: this.#timeline, random: this.#random, runs: this.#runs, habits });
    node.onReport = (report) => this.#publish(report);
    node.onDied = (sandboxId) => this.#network.deliver(() => this.#scheduler.died(sandboxId));
    this.#nodes.set(id, node);
    this.#every(NODE_HEARTBEAT_MS, () => this.#beat(node));
    this.#every(FLUSH_EVERY_MS, () => node.flush());
    this.#beats.set(id, node.heartbeat);
  }

  #beat(node: SimNode): void {
    if (!node.down) {
      const beat = node.heartbeat;
      this.#network.carry(node.id, () => {
        this.#beats.set(node.id, beat);
        this.#scheduler.beat(beat);
      });
    }
    const kept = this.#beats.get(node.id);
    if (kept !== undefined && this.#timeline.now - kept.at > NODE_LEASE_MS) this.#beats.delete(node.id);
  }

  /** Stored by the stream and acknowledged, or not. */
  #publish(report: Report): boolean {
    if (this.#network.isCut(report.nodeId) || this.#random.chance(this.#network.weather.dropped)) return false;
    this.#stream.add(report);
    this.#deliver(report);
    // The acknowledgement may be lost: then the node says it again.
    return !this.#random.chance(this.#network.weather.dropped);
  }

  #deliver(report: Report): void {
    if (!this.#stream.has(report)) return;
    this.#network.deliver(() => this.#scheduler.heard(report, () => this.#stream.delete(report)));
    this.#timeline.after(REDELIVERED_AFTER_MS, () => this.#deliver(report));
  }

  // ---- what is wanted

  #askFor({ at, row, cancelAt, deletesAll }: Scenario["forks"][number]): void {
    this.#timeline.after(at, () => this.#create(row));
    if (cancelAt !== null) this.#timeline.after(cancelAt, () => this.#cancel(row.id, deletesAll));
  }

  /** A job is delivered until somebody has written it down. */
  #create(row: Scenario["forks"][number]["row"]): void {
    if (!this.#scheduler.create(row)) this.#timeline.after(LOOK_EVERY_MS, () => this.#create(row));
  }

  /** Whoever cancels asks again until that is written down. */
  #cancel(forkId: string, deletesAll: boolean): void {
    const fork = this.#store.forks.get(forkId);
    if (fork !== undefined && (forkMachine.isFinal(fork.state) || (fork.state === "ending" && (!deletesAll || fork.deletesAll)))) return;
    if (fork !== undefined && this.#scheduler.alive) this.#mustEnd(forkId, this.#timeline.now);
    this.#scheduler.cancel(forkId, deletesAll);
    this.#timeline.after(LOOK_EVERY_MS, () => this.#cancel(forkId, deletesAll));
  }

  // ---- what goes wrong

  #strikeLater(): void {
    this.#timeline.after(this.#random.next() * 2 * this.#scenario.strikeEveryMs, () => {
      if (this.#healedAt !== null) return;
      this.#strike();
      this.#strikeLater();
    });
  }

  #strike(): void {
    const node = this.#random.pick([...this.#nodes.values()]);
    const what = this.#random.pick(["scheduler", "scheduler", "agent", "machine", "all", "cut", "cut", "die", "delete", "store"] as const);
    this.#trace(`strike: ${what} ${node.id}`);
    switch (what) {
      case "scheduler":
        this.#crashScheduler();
        break;
      case "agent":
      case "machine":
        if (node.down) break;
        node.crash(what);
        this.#timeline.after(this.#random.int(100, 60_000), () => this.#comeBack(node));
        break;
      case "all":
        // One is left, so that what can be done is done.
        if (node.down || this.#gone.size + 1 >= this.#nodes.size) break;
        this.#gone.add(node.id);
        node.crash("all");
        break;
      case "cut":
        this.#network.cut(node.id);
        this.#timeline.after(this.#random.int(100, 70_000), () => this.#network.heal(node.id));
        break;
      case "store":
        if (node.storeLost) break;
        node.storeLost = true;
        this.#timeline.after(this.#random.int(100, 60_000), () => this.#returnStore(node));
        break;
      case "die":
        node.dieOne();
        break;
      case "delete": {
        const running = [...this.#store.sandboxes.values()].filter(({ state }) => state === "running");
        if (running.length > 0) this.#scheduler.deleteSandbox(this.#random.pick(running).id);
      }
    }
  }

  #crashScheduler(): void {
    if (!this.#scheduler.alive) return;
    this.#crashes++;
    this.#scheduler.crash();
    const downMs = this.#random.int(1, 20_000);
    this.#downMs += downMs;
    this.#timeline.after(downMs, () => this.#startScheduler());
  }

  #startScheduler(): void {
    if (this.#scheduler.alive) return;
    this.#trace("the scheduler starts");
    this.#scheduler.start();
    for (const report of this.#stream) this.#network.deliver(() => this.#scheduler.heard(report, () => this.#stream.delete(report)));
  }

  #returnStore(node: SimNode): void {
    node.storeLost = false;
  }

  #comeBack(node: SimNode): void {
    if (!this.#gone.has(node.id)) node.comeBack();
  }

  #heal(): void {
    this.#trace("all is well from here on");
    this.#healedAt = this.#timeline.now;
    this.#network.weather = { dropped: 0, doubled: 0, delayMsMax: 5 };
    for (const node of this.#nodes.values()) {
      this.#network.heal(node.id);
      this.#comeBack(node);
      this.#returnStore(node);
    }
    this.#startScheduler();
  }

  // ---- what has to hold

  #allEnded(): boolean {
    if (this.#store.forks.size < this.#scenario.forks.length) return false;
    return [...this.#store.forks.values()].every(({ state }) => forkMachine.isFinal(state));
  }

  #look(): void {
    for (const { id, state, deadlineAt } of this.#store.forks.values()) {
      if (forkMachine.isFinal(state)) continue;
      if (this.#healedAt !== null) checkGoesOn({ store: this.#store, runs: this.#runs }, id, this.#timeline.now, this.#healedAt);
      if (this.#timeline.now > deadlineAt) this.#mustEnd(id, deadlineAt);
      const from = this.#endsFrom.get(id);
      if (from === undefined) continue;
      const allowedMs = END_MS + this.#downMs;
      check(this.#timeline.now <= from + allowedMs, `${id} is still ${state}, ${this.#timeline.now - from} ms after it had to end`);
    }
  }

  #mustEnd(forkId: string, from: number): void {
    this.#endsFrom.set(forkId, Math.min(from, this.#endsFrom.get(forkId) ?? from));
  }

  #every(ms: number, run: () => void): void {
    this.#timeline.after(ms, () => {
      run();
      this.#every(ms, run);
    });
  }

  #trace(line: string): void {
    const text = `  ${((this.#timeline.now - START_MS) / 1_000).toFixed(3)} ${line}`;
    this.#say?.(text);
    this.lines.push(text);
    if (this.lines.length > TRACE_MAX) this.lines.shift();
  }
}
