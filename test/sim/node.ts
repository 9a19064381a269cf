import type {
  ForkChildrenFinished,
  ForkOutcome,
  InputOf,
  NodeDeleteMany,
  NodeHeartbeat,
  NodeStartMany,
  OutputOf,
  StartManyOrder,
} from "@banyan/contracts";
import { check } from "./invariants.ts";
import type { Random } from "./random.ts";
import type { Runs } from "./runs.ts";
import type { Timeline } from "./timeline.ts";

type StartAnswer = OutputOf<typeof NodeStartMany>["children"][number];
type Report = InputOf<typeof ForkChildrenFinished>;
type ReportChild = Report["children"][number];
type After = NonNullable<StartManyOrder["command"]>["after"];

interface Held {
  forkId: string;
  index: number;
  epoch: number;
  state: "running" | "stopped";
  /** Null: none, or it has ended. */
  command: { after: After } | null;
}

export interface NodeHabits {
  sandboxesMax: number;
  /** Share of the orders that are refused as a whole, child by child, for want of a slot. */
  refuses: number;
  /** Share of the children that cannot be started. */
  failsToStart: number;
  /** Share of commands that end with another code than 0. */
  failsToRun: number;
  commandMsMax: number;
  /** Whether it has the volumes' store at all. */
  reachesStore: boolean;
  /** A fault, for proof that it is found: an order that comes again is carried out again. */
  startsTwice: boolean;
  /** A fault: what it has refused it starts all the same, when the message comes again. */
  forgetsRefused: boolean;
  /** A fault: it says that it has deleted, and has not. */
  keepsDeleted: boolean;
  /** A fault: it starts what has volumes without their store. */
  mountsBlindly: boolean;
}

/** The one in which all volumes lie. */
export const STORE = "home";
/** Of each child. */
export const SANDBOX_MB = 16;
const DISK_MB = 1_000_000;

/**
 * A node that keeps the contract of the node verbs under simulated time: starts are idempotent by sandbox and epoch, a delete leaves a tombstone,
 * outcomes are kept until the stream has them. It survives the restart of its agent with its slots, that of its machine with its disks, and the
 * loss of both with nothing.
 */
export class SimNode {
  readonly id: string;
  readonly held = new Map<string, Held>();
  /** Neither hears nor says anything. */
  down = false;
  /** The store is away: a network filesystem whose server is gone. */
  storeLost = false;
  /** Said to whoever listens to the stream, until that answers true. */
  onReport: (report: Report) => boolean = () => false;
  onDied: (sandboxId: string, epoch: number) => void = () => {};
  readonly #tombstones = new Map<string, number>();
  /** Of those, what was deleted because its command had ended. */
  readonly #finished = new Set<string>();
  /** Not started, and never to be. Kept like the tombstones. */
  readonly #refused = new Set<string>();
  readonly #unsaid: { forkId: string; child: ReportChild }[] = [];
  readonly #timeline: Timeline;
  readonly #random: Random;
  readonly #runs: Runs;
  readonly #habits: NodeHabits;
  /** Goes up with every loss of what runs, so that no command ends after its slot. */
  #incarnation = 0;
  #startedAt: number;

  constructor(id: string, parts: { timeline: Timeline; random: Random; runs: Runs; habits: NodeHabits }) {
    this.id = id;
    this.#timeline = parts.timeline;
    this.#random = parts.random;
    this.#runs = parts.runs;
    this.#habits = parts.habits;
    this.#startedAt = parts.timeline.now;
  }

  get heartbeat(): NodeHeartbeat {
    const { sandboxesMax } = this.#habits;
    const running = this.#running;
    const amounts = (count: number) => ({ cpu: count, memoryMb: count * SANDBOX_MB, sandboxes: count });
    return {
      nodeId: this.id,
      url: `http://${this.id}.test`,
      version: "sim",
      labels: {},
      startedAt: this.#startedAt,
      state: "ready",
      capacity: { ...amounts(sandboxesMax), diskMb: DISK_MB },
      used: { ...amounts(running), diskMb: this.held.size * SANDBOX_MB },
      pool: { target: sandboxesMax, free: sandboxesMax - running, starting: 0, waiting: 0 },
      layers: [],
      activity: [],
      stores: this.#habits.reachesStore ? [{ store: STORE, kind: "directory", state: this.storeLost ? "lost" : "ok", reason: null }] : [],
      at: this.#timeline.now,
    };
  }

  get hasStore(): boolean {
    return this.#habits.reachesStore && !this.storeLost;
  }

  get #running(): number {
    let running = 0;
    for (const { state } of this.held.values()) if (state === "running") running++;
    return running;
  }

  startMany(order: StartManyOrder): StartAnswer[] {
    const refusesAll = this.#random.chance(this.#habits.refuses);
    return order.children.map((child) => {
      const answer = this.#start(order, child, refusesAll);
      if (answer.kind !== "started" && !this.#habits.forgetsRefused) this.#refused.add(child.sandboxId);
      return answer;
    });
  }

  #start(order: StartManyOrder, child: StartManyOrder["children"][number], refuses: boolean): StartAnswer {
    const { sandboxId, epoch, index } = child;
    const there = this.held.get(sandboxId);
    const started: StartAnswer = { kind: "started", path: "warm", totalMs: 1 };
    if (this.#finished.has(sandboxId)) return started;
    if ((this.#tombstones.get(sandboxId) ?? 0) >= epoch) return { kind: "refused", reason: "deleted", retryAfterMs: 0 };
    if (this.#refused.has(sandboxId)) return { kind: "refused", reason: "stale_epoch", retryAfterMs: 0 };
    if (there !== undefined && !this.#habits.startsTwice) {
      if (there.epoch > epoch) return { kind: "refused", reason: "stale_epoch", retryAfterMs: 0 };
      // What ran and has stopped since, with its command or with its slot, has been started all the same.
      return started;
    }
    if (refuses) return { kind: "refused", reason: "no_slot", retryAfterMs: 200 };
    if (this.#running >= this.#habits.sandboxesMax) return { kind: "refused", reason: "capacity", retryAfterMs: 500 };
    if (this.#random.chance(this.#habits.failsToStart)) return { kind: "failed", code: "sandbox.start_failed", message: "simulated" };
    const mountable = order.mounts.length === 0 || this.hasStore;
    if (!mountable && !this.#habits.mountsBlindly) return { kind: "failed", code: "volume.unreachable", message: "simulated" };
    check(mountable, `child ${index} of ${order.forkId} starts on ${this.id}, which is without its store`);
    const command = order.command === null ? null : { after: order.command.after };
    this.held.set(sandboxId, { forkId: order.forkId, index, epoch, state: "running", command });
    this.#runs.began({ forkId: order.forkId, index, sandboxId, nodeId: this.id, at: this.#timeline.now });
    if (order.command !== null) this.#runCommand(sandboxId, order.command.timeoutMs);
    return started;
  }

  #runCommand(sandboxId: string, timeoutMs: number): void {
    const incarnation = this.#incarnation;
    const durationMs = this.#random.int(1, this.#habits.commandMsMax);
    const timedOut = durationMs > timeoutMs;
    const exitCode = this.#random.chance(this.#habits.failsToRun) ? 1 : 0;
    const score = this.#random.int(0, 1_000);
    this.#timeline.after(Math.min(durationMs, timeoutMs), () => {
      const held = this.held.get(sandboxId);
      if (incarnation !== this.#incarnation || held === undefined || held.command === null) return;
      this.#ended(sandboxId, held, { exitCode: timedOut ? null : exitCode, timedOut, score, durationMs });
    });
  }

  #ended(sandboxId: string, held: Held, how: { exitCode: number | null; timedOut: boolean; score: number; durationMs: number }): void {
    const { after } = held.command ?? { after: "keep" };
    const outcome: ForkOutcome = {
      exitCode: how.exitCode,
      signal: how.timedOut ? "KILL" : null,
      timedOut: how.timedOut,
      durationMs: how.durationMs,
      stdout: `${how.score}\n`,
      stderr: "",
      stdoutBytes: 0,
      stderrBytes: 0,
      changes: null,
    };
    held.command = null;
    this.#runs.commandEnded(sandboxId, how.exitCode, this.#timeline.now);
    if (after !== "keep") this.#runs.ended(sandboxId, this.id, this.#timeline.now);
    if (after === "stop") held.state = "stopped";
    if (after === "delete") {
      this.#finished.add(sandboxId);
      this.#forget(sandboxId, held.epoch);
    }
    const sandbox = after === "keep" ? "running" : after === "stop" ? "stopped" : "deleted";
    this.#say(sandboxId, held, outcome, sandbox);
  }

  #say(sandboxId: string, { forkId, index, epoch }: Held, outcome: ForkOutcome | null, sandbox: ReportChild["sandbox"]): void {
    this.#unsaid.push({ forkId, child: { index, sandboxId, epoch, outcome, sandbox, at: this.#timeline.now } });
  }

  /** Says what the stream does not have yet; called again and again. */
  flush(): void {
    if (this.down) return;
    for (const one of [...this.#unsaid]) {
      const { forkId, child } = one;
      if (this.onReport({ forkId, nodeId: this.id, children: [child] })) this.#unsaid.splice(this.#unsaid.indexOf(one), 1);
    }
  }

  deleteMany({ sandboxes }: InputOf<typeof NodeDeleteMany>): string[] {
    const stale: string[] = [];
    if (this.#habits.keepsDeleted) return stale;
    for (const { sandboxId, epoch } of sandboxes) {
      if ((this.held.get(sandboxId)?.epoch ?? 0) > epoch) {
        stale.push(sandboxId);
        continue;
      }
      this.#runs.ended(sandboxId, this.id, this.#timeline.now);
      this.#forget(sandboxId, epoch);
    }
    return stale;
  }

  #forget(sandboxId: string, epoch: number): void {
    this.held.delete(sandboxId);
    this.#tombstones.set(sandboxId, Math.max(epoch, this.#tombstones.get(sandboxId) ?? 0));
    // Of what is deleted before it was said, nothing is said; of what the command's own end deletes, it is said after this.
    const at = this.#unsaid.findIndex(({ child }) => child.sandboxId === sandboxId);
    if (at >= 0) this.#unsaid.splice(at, 1);
  }

  /** One of its sandboxes ends by itself: its PID 1 died. */
  dieOne(): void {
    const running = [...this.held].filter(([, { state }]) => state === "running");
    if (this.down || running.length === 0) return;
    const [sandboxId, held] = this.#random.pick(running);
    this.#interrupt(sandboxId, held);
    this.onDied(sandboxId, held.epoch);
  }

  #interrupt(sandboxId: string, held: Held): void {
    this.#runs.ended(sandboxId, this.id, this.#timeline.now);
    held.state = "stopped";
    if (held.command === null) return;
    held.command = null;
    this.#say(sandboxId, held, null, "stopped");
  }

  /** agent: its process only, and what ran runs on, its commands apart; machine: every slot; all: the disks and the journal too, for ever. */
  crash(what: "agent" | "machine" | "all"): void {
    this.down = true;
    this.#incarnation++;
    for (const [sandboxId, held] of [...this.held]) {
      if (what === "all") {
        this.#runs.ended(sandboxId, this.id, this.#timeline.now);
      } else if (what === "machine") {
        if (held.state === "running") this.#interrupt(sandboxId, held);
      } else if (held.command !== null) {
        held.command = null;
        this.#say(sandboxId, held, null, "running");
      }
    }
    if (what !== "all") return;
    this.held.clear();
    this.#tombstones.clear();
    this.#refused.clear();
    this.#finished.clear();
    this.#unsaid.splice(0);
  }

  comeBack(): void {
    this.down = false;
    this.#startedAt = this.#timeline.now;
  }
}
