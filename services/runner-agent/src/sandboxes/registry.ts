import {
  fault,
  NODE_ACTIVITY_MAX,
  NODE_PAGE_MAX,
  type NodeHeartbeat,
  type NodeSandbox,
  type NodeStart,
  type OutputOf,
  type Resources,
} from "@banyan/contracts";
import { assert, type Clock } from "@banyan/kernel";
import { InitClient, readOomKills, type Slot } from "@banyan/runtime";
import type { z } from "zod";
import { type Amounts, usedBy } from "../domain/capacity.ts";
import type { RunningSandbox, SandboxDirectory } from "../ports.ts";
import type { JournalEntry } from "./journal.ts";

export type StartAnswer = Extract<OutputOf<typeof NodeStart>, { kind: "started" }>;

/** A sandbox of this node: what the journal says of it, and, while it runs, what only this process knows. */
export interface Known {
  entry: JournalEntry;
  run: Run | null;
  lastActiveAt: number;
}

export interface Run {
  slot: Slot;
  view: RunningSandbox;
  /** What its start answered, for one that is repeated; unknown of an adopted one. */
  answer: StartAnswer | null;
  /** Operations under way: while there are some it is not idle. */
  uses: number;
}

/** Which sandboxes are here, running or stopped, and what they hold. */
export class SandboxRegistry implements SandboxDirectory {
  readonly #clock: Clock;
  readonly #known = new Map<string, Known>();
  readonly #bySlot = new Map<string, string>();
  /** What starts under way will hold. */
  readonly #reserved = new Map<string, Resources>();
  #active = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get(sandboxId: string): Known | undefined {
    return this.#known.get(sandboxId);
  }

  entries(): JournalEntry[] {
    return [...this.#known.values()].map(({ entry }) => entry);
  }

  bySlot(slotId: string): Known | undefined {
    const sandboxId = this.#bySlot.get(slotId);
    return sandboxId === undefined ? undefined : this.#known.get(sandboxId);
  }

  find({ sandboxId, orgId, epoch }: { sandboxId: string; orgId: string; epoch: number }): RunningSandbox {
    const known = this.#known.get(sandboxId);
    // Another organisation's sandbox is as unknown as one that never was.
    if (known === undefined || known.entry.orgId !== orgId) throw fault("sandbox.not_found", { sandboxId });
    if (known.entry.epoch !== epoch) throw fault("sandbox.stale_epoch", { sandboxId, epoch: known.entry.epoch });
    if (known.run === null) throw fault("sandbox.not_running", { sandboxId });
    return known.run.view;
  }

  /** It runs in this slot from now on. */
  setRunning(entry: JournalEntry, slot: Slot, answer: StartAnswer | null): void {
    assert(entry.state === "running" && !this.#bySlot.has(slot.id), `slot ${slot.id} runs a sandbox already`);
    const known: Known = { entry, run: null, lastActiveAt: this.#clock.now() };
    known.run = { slot, view: this.#view(known, slot), answer, uses: 0 };
    this.#known.set(entry.sandboxId, known);
    this.#bySlot.set(slot.id, entry.sandboxId);
  }

  /** Something about it has changed, but not whether it runs. */
  setNoted(entry: JournalEntry): void {
    const known = this.#known.get(entry.sandboxId);
    assert(known?.entry.state === entry.state && known.entry.epoch === entry.epoch, "a note changes neither state nor epoch");
    known.entry = entry;
  }

  setStopped(entry: JournalEntry): void {
    assert(entry.state === "stopped", "only a stopped entry can be set as stopped");
    const before = this.#known.get(entry.sandboxId);
    this.#leave(before);
    this.#known.set(entry.sandboxId, { entry, run: null, lastActiveAt: before?.lastActiveAt ?? this.#clock.now() });
  }

  remove(sandboxId: string): void {
    const before = this.#known.get(sandboxId);
    this.#leave(before);
    this.#known.delete(sandboxId);
    this.#active.delete(sandboxId);
  }

  reserve(sandboxId: string, resources: Resources): void {
    this.#reserved.set(sandboxId, resources);
  }

  unreserve(sandboxId: string): void {
    this.#reserved.delete(sandboxId);
  }

  /** What is held, starts under way included. */
  used(): Amounts {
    return usedBy(this.#held());
  }

  running(): (Known & { run: Run })[] {
    return [...this.#known.values()].filter((known): known is Known & { run: Run } => known.run !== null);
  }

  /** One page in the order of ids. */
  list(cursor: string | null): { sandboxes: z.infer<typeof NodeSandbox>[]; nextCursor: string | null } {
    const ids = [...this.#known.keys()].filter((id) => cursor === null || id > cursor).sort();
    const page = ids.slice(0, NODE_PAGE_MAX);
    const sandboxes = page.flatMap((id) => {
      const known = this.#known.get(id);
      if (known === undefined) return [];
      const { sandboxId, orgId, epoch, state } = known.entry;
      return [{ sandboxId, orgId, epoch, state, lastActiveAt: this.#lastActiveAt(known) }];
    });
    return { sandboxes, nextCursor: ids.length > page.length ? (page.at(-1) ?? null) : null };
  }

  /** True when something happened in it after `at`, or happens now. */
  isActiveSince(known: Known, at: number): boolean {
    return this.#lastActiveAt(known) > at;
  }

  /** Activity since the last call, bounded; what does not fit comes with the next one. */
  takeActivity(): NodeHeartbeat["activity"] {
    for (const known of this.#known.values()) {
      if (known.run !== null && known.run.uses > 0) this.#touch(known);
    }
    const taken = [...this.#active].slice(0, NODE_ACTIVITY_MAX);
    for (const [sandboxId] of taken) this.#active.delete(sandboxId);
    return taken.map(([sandboxId, at]) => ({ sandboxId, at }));
  }

  #leave(before: Known | undefined): void {
    if (!before?.run) return;
    before.run.view.init.close();
    this.#bySlot.delete(before.run.slot.id);
  }

  *#held(): Generator<Pick<JournalEntry, "state" | "resources">> {
    for (const { entry } of this.#known.values()) if (!this.#reserved.has(entry.sandboxId)) yield entry;
    for (const resources of this.#reserved.values()) yield { state: "running", resources };
  }

  #lastActiveAt(known: Known): number {
    return known.run !== null && known.run.uses > 0 ? this.#clock.now() : known.lastActiveAt;
  }

  #touch(known: Known): void {
    known.lastActiveAt = this.#clock.now();
    this.#active.set(known.entry.sandboxId, known.lastActiveAt);
  }

  #view(known: Known, slot: Slot): RunningSandbox {
    const { sandboxId, orgId, epoch, env, workdir, user } = known.entry;
    const touch = () => this.#touch(known);
    return {
      sandboxId,
      orgId,
      epoch,
      env,
      workdir,
      user,
      init: new InitClient(slot.socketPath),
      use() {
        touch();
        const { run } = known;
        if (run === null) return () => {};
        run.uses++;
        let isOver = false;
        return () => {
          if (isOver) return;
          isOver = true;
          run.uses--;
          touch();
        };
      },
      oomKills: async () => readOomKills(slot.cgroups),
    };
  }
}
