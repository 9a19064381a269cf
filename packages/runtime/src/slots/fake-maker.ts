import { fault } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import type { ListedSlot, Slot, SlotMaker } from "./slot.ts";

/** What slots a fake node has: outlives a maker, as containers outlive the agent. */
export class FakeSlots {
  readonly slots = new Map<string, { slot: Slot; alive: boolean }>();
  made = 0;
  /** The next `make` calls fail, as when the container engine does not answer. */
  failing = false;
  /** Holds every `make` until it resolves. */
  gate: Promise<void> = Promise.resolve();
  readonly reports = new Set<(slotId: string) => void>();

  end(slotId: string): void {
    const entry = this.slots.get(slotId);
    if (entry === undefined) return;
    entry.alive = false;
    for (const report of this.reports) report(slotId);
  }
}

/** Slots that are only records: for the pool's own tests and the simulation. Passes the conformance suite but for its real part. */
export class FakeSlotMaker implements SlotMaker {
  readonly #fake: FakeSlots;

  constructor(fake: FakeSlots = new FakeSlots()) {
    this.#fake = fake;
  }

  async prepare(): Promise<void> {}

  async make(): Promise<Slot> {
    await this.#fake.gate;
    if (this.#fake.failing) throw fault("node.no_slot", {}, { message: "the fake engine is away" });
    const number = ++this.#fake.made;
    const id = newId("slot");
    const directory = `/fake/${id}`;
    const cgroups = { version: 2 as const, cpu: directory, memory: directory, pids: directory, countsSwap: false };
    const slot: Slot = {
      id,
      handle: `fake-${number}`,
      pid: number,
      startTime: number,
      socketPath: `${directory}/init.sock`,
      address: `fake:${number}`,
      link: id,
      cgroups,
    };
    this.#fake.slots.set(id, { slot, alive: true });
    return slot;
  }

  async list(): Promise<ListedSlot[]> {
    return [...this.#fake.slots.values()].map(({ slot, alive }) =>
      alive ? { id: slot.id, handle: slot.handle, alive, finished: true, slot } : { id: slot.id, handle: slot.handle, alive },
    );
  }

  async destroy({ id }: { id: string }): Promise<void> {
    this.#fake.slots.delete(id);
  }

  onDeath(report: (slotId: string) => void): () => void {
    this.#fake.reports.add(report);
    return () => this.#fake.reports.delete(report);
  }
}
