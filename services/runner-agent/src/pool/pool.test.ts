import { silentLogger } from "@banyan/kernel";
import { FakeSlotMaker, FakeSlots, type Slot, slotMakerConformance } from "@banyan/runtime";
import { eventually, fakeClock } from "@banyan/testkit";
import { expect, it } from "vitest";
import { SlotPool } from "./pool.ts";

const BOUNDS = { target: 4, parallel: 2, perS: 1_000, slotsMax: 1_000, quietMs: 0, waitersMax: 500 };

function poolOf(changes: Partial<typeof BOUNDS> = {}) {
  const fake = new FakeSlots();
  const clock = fakeClock();
  const dead = new Set<string>();
  const isAlive = (slot: Slot) => !dead.has(slot.id);
  const pool = new SlotPool(new FakeSlotMaker(fake), { ...BOUNDS, ...changes, clock, logger: silentLogger, isAlive });
  return { pool, fake, clock, dead };
}

/** Lets time go on in small steps until the condition holds. */
async function until(clock: { advance(ms: number): Promise<void> }, condition: () => boolean): Promise<void> {
  for (let steps = 0; !condition(); steps++) {
    if (steps > 10_000) throw new Error("the condition never held");
    await clock.advance(1);
  }
}

const shared = new FakeSlots();
const harness = { maker: async () => new FakeSlotMaker(shared), end: async (slot: Slot) => shared.end(slot.id), real: false };
for (const { name, run } of slotMakerConformance(harness)) it(`has a fake maker that ${name}`, run);

it("fills up to its target and hands out without waiting", async () => {
  const { pool, clock } = poolOf();
  pool.start();
  await until(clock, () => pool.status.free === 4);
  expect(await pool.claim(1_000)).toMatchObject({ path: "warm" });
  await until(clock, () => pool.status.free === 4);
  expect(pool.slots()).toHaveLength(5);
});

it("never hands a slot out twice, with hundreds of claims at once", async () => {
  const { pool, clock } = poolOf({ parallel: 8 });
  pool.start();
  await until(clock, () => pool.status.free === 4);
  const claims = Array.from({ length: 400 }, () => pool.claim(60_000));
  await until(clock, () => pool.status.waiting === 0);
  const slots = (await Promise.all(claims)).map(({ slot }) => slot.id);
  expect(new Set(slots).size).toBe(400);
});

it("serves those who wait in the order they came", async () => {
  const { pool, clock } = poolOf({ target: 0, parallel: 1 });
  pool.start();
  const order: number[] = [];
  const claims = Array.from({ length: 20 }, (_, i) => pool.claim(60_000).then(() => order.push(i)));
  await until(clock, () => pool.status.waiting === 0);
  await Promise.all(claims);
  expect(order).toEqual(Array.from({ length: 20 }, (_, i) => i));
});

it("refuses at the deadline, saying when to try again", async () => {
  const { pool, fake, clock } = poolOf({ target: 0 });
  fake.failing = true;
  pool.start();
  const claim = pool.claim(500).catch((error: unknown) => error);
  await clock.advance(499);
  expect(pool.status.waiting).toBe(1);
  await clock.advance(2);
  expect(await claim).toMatchObject({ code: "node.no_slot", details: { retryAfterMs: expect.any(Number) } });
  expect(pool.status.waiting).toBe(0);
});

it("refuses at once what is beyond the queue's bound", async () => {
  const { pool, fake } = poolOf({ target: 0, waitersMax: 2 });
  fake.failing = true;
  const waiting = [pool.claim(60_000), pool.claim(60_000)];
  await expect(pool.claim(60_000)).rejects.toMatchObject({ code: "node.no_slot" });
  pool.refuseWaiters();
  await Promise.all(waiting.map((claim) => expect(claim).rejects.toMatchObject({ code: "node.no_slot" })));
});

it("lets a claim be called off without losing a slot", async () => {
  const { pool, fake, clock } = poolOf({ target: 0 });
  let letGo = (): void => {};
  fake.gate = new Promise((resolve) => {
    letGo = resolve;
  });
  pool.start();
  const calledOff = new AbortController();
  const claim = pool.claim(60_000, calledOff.signal);
  calledOff.abort(new Error("called off"));
  await expect(claim).rejects.toThrow("called off");
  letGo();
  await until(clock, () => pool.status.free === 1);
});

it("throws a dead slot away and takes the next", async () => {
  const { pool, fake, clock, dead } = poolOf();
  pool.start();
  await until(clock, () => pool.status.free === 4);
  for (const slot of pool.freeSlots().slice(1)) dead.add(slot.id);
  const { slot } = await pool.claim(1_000);
  expect(dead.has(slot.id)).toBe(false);
  await eventually(() => expect([...dead].some((id) => fake.slots.has(id))).toBe(false));
});

it("backs off while the engine fails and recovers by itself", async () => {
  const { pool, fake, clock } = poolOf({ parallel: 1 });
  fake.failing = true;
  pool.start();
  await clock.advance(10_000);
  const sleeping = clock.sleepers;
  expect(sleeping).toBe(1);
  expect(pool.status).toMatchObject({ free: 0, starting: 0 });
  fake.failing = false;
  await clock.advance(30_000);
  await until(clock, () => pool.status.free === 4);
});

it("begins no more slots per second than allowed", async () => {
  const { pool, fake, clock } = poolOf({ target: 100, parallel: 100, perS: 10 });
  pool.start();
  await clock.advance(950);
  expect(fake.made).toBe(10);
  await clock.advance(1_000);
  expect(fake.made).toBe(20);
});

it("makes no more when it is stopped, and keeps what is free", async () => {
  const { pool, fake, clock } = poolOf({ target: 2 });
  pool.start();
  await until(clock, () => pool.status.free === 2);
  await pool.stop();
  expect(pool.take()).not.toBeNull();
  await clock.advance(1_000);
  expect(fake.made).toBe(2);
});

it("leaves the machine to a burst it can serve, then makes and destroys what is due", async () => {
  const { pool, fake, clock } = poolOf({ target: 8, quietMs: 200 });
  pool.start();
  await until(clock, () => pool.status.free === 8);
  const first = await pool.claim(1_000);
  await pool.claim(1_000);
  pool.release(first.slot);
  await clock.advance(150);
  expect(pool.status).toMatchObject({ free: 6, starting: 0 });
  expect(fake.slots.has(first.slot.id)).toBe(true);
  await until(clock, () => pool.status.free === 8 && !fake.slots.has(first.slot.id));
});
