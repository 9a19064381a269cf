import assert from "node:assert/strict";
import { connect } from "node:net";
import { readLimits } from "../cgroup/cgroup.ts";
import { isAlive } from "../host/proc.ts";
import { IDLE_SLOT, type ListedSlot, type Slot, type SlotMaker } from "./slot.ts";

export interface SlotMakerHarness {
  /** A maker for a node of its own; called again, another maker for that same node, as after a restart. */
  maker(): Promise<SlotMaker>;
  /** Ends the slot's PID 1 behind the maker's back. */
  end(slot: Slot): Promise<void>;
  /** False for a maker of slots that are no processes: what only a real one can show is left out. */
  real: boolean;
}

const DEATH_WAIT_MS = 10_000;
const SLOTS = 3;

/** What every SlotMaker promises, as cases that any test runner can run. Each leaves nothing behind. */
export function slotMakerConformance(harness: SlotMakerHarness): { name: string; run: () => Promise<void> }[] {
  const withSlots = (name: string, count: number, run: (maker: SlotMaker, slots: Slot[]) => Promise<void>) => ({
    name,
    run: async () => {
      const maker = await harness.maker();
      await maker.prepare();
      const slots = await Promise.all(Array.from({ length: count }, () => maker.make()));
      try {
        await run(maker, slots);
      } finally {
        for (const slot of slots) await maker.destroy(slot);
      }
      assert.deepEqual(await maker.list(), [], "something was left behind");
    },
  });
  const cases = [
    withSlots("makes slots that share nothing", SLOTS, async (_maker, slots) => {
      for (const key of ["id", "handle", "pid", "socketPath", "address", "link"] as const) {
        assert.equal(new Set(slots.map((slot) => slot[key])).size, SLOTS, `two slots have the same ${key}`);
      }
    }),
    withSlots("lists what it made as alive, also to the next maker of this node", 1, async (maker, [slot]) => {
      assert.deepEqual(aliveOf(await maker.list()), [slot]);
      const next = await harness.maker();
      assert.deepEqual(aliveOf(await next.list()), [slot]);
    }),
    withSlots("destroys a slot, and again without complaint", 1, async (maker, [slot]) => {
      assert.ok(slot);
      await maker.destroy(slot);
      assert.deepEqual(await maker.list(), []);
      await maker.destroy(slot);
    }),
    withSlots("gives a destroyed slot's place to others for ever", 1, async (maker) => {
      for (let i = 0; i < SLOTS; i++) await maker.destroy(await maker.make());
    }),
    withSlots("says when a slot ends by itself, and lists it as dead", 1, async (maker, [slot]) => {
      assert.ok(slot);
      const died = nextDeath(maker);
      await harness.end(slot);
      assert.equal(await died, slot.id);
      assert.deepEqual(aliveOf(await maker.list()), []);
    }),
  ];
  const realCases = [
    withSlots("hands out a slot whose init listens, within the bounds of an idle slot", 1, async (_maker, [slot]) => {
      assert.ok(slot);
      assert.equal(isAlive(slot), true);
      assert.deepEqual(readLimits(slot.cgroups), IDLE_SLOT);
      await new Promise<void>((resolve, reject) => {
        const socket = connect(slot.socketPath, () => {
          socket.destroy();
          resolve();
        }).on("error", reject);
      });
    }),
  ];
  return harness.real ? [...cases, ...realCases] : cases;
}

function aliveOf(listed: readonly ListedSlot[]): Slot[] {
  return listed.flatMap((each) => (each.alive ? [each.slot] : []));
}

function nextDeath(maker: SlotMaker): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("no death was reported")), DEATH_WAIT_MS);
    const stop = maker.onDeath((slotId) => {
      clearTimeout(timer);
      stop();
      resolve(slotId);
    });
  });
}
