import { setImmediate } from "node:timers/promises";
import { silentLogger, systemClock } from "@banyan/kernel";
import { expect, it, vi } from "vitest";
import { forEachAtMost, startLoop } from "./loop.ts";

const base = { name: "test", clock: systemClock, logger: silentLogger };

it("turns at once when poked, also when that happens during a turn", async () => {
  let rounds = 0;
  const loop = startLoop({ ...base, everyMs: 60_000, round: async () => void rounds++ });
  await vi.waitFor(() => expect(rounds).toBe(1));
  loop.poke();
  await vi.waitFor(() => expect(rounds).toBe(2));
  loop.poke();
  loop.poke();
  await vi.waitFor(() => expect(rounds).toBe(3));
  await loop.stop();
});

it("gathers what comes right after a poke into one turn", async () => {
  let rounds = 0;
  const gate = Promise.withResolvers<void>();
  const clock = { ...systemClock, sleep: (ms: number, signal?: AbortSignal) => (ms === 25 ? gate.promise : systemClock.sleep(ms, signal)) };
  const loop = startLoop({ ...base, clock, everyMs: 60_000, gatherMs: 25, round: async () => void rounds++ });
  await vi.waitFor(() => expect(rounds).toBe(1));
  for (let i = 0; i < 10; i++) {
    loop.poke();
    await setImmediate();
  }
  expect(rounds).toBe(1);
  gate.resolve();
  await vi.waitFor(() => expect(rounds).toBe(2));
  await loop.stop();
});

it("goes on at once while there is more to do", async () => {
  let left = 5;
  const loop = startLoop({ ...base, everyMs: 60_000, round: async () => --left > 0 });
  await vi.waitFor(() => expect(left).toBe(0));
  await loop.stop();
});

it("backs off while it fails, does not hear pokes then, and goes on after it", async () => {
  const slept: number[] = [];
  let failing = true;
  let rounds = 0;
  const sleep = async (ms: number) => {
    slept.push(ms);
    await setImmediate();
  };
  const loop = startLoop({
    ...base,
    clock: { ...systemClock, sleep },
    everyMs: 1_000,
    round: async () => {
      if (++rounds === 8) failing = false;
      if (failing && rounds > 1) loop.poke();
      if (failing) throw new Error("away");
    },
  });
  await vi.waitFor(() => expect(rounds).toBeGreaterThan(8));
  await loop.stop();
  expect(slept.slice(0, 7)).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
});

it("waits for the turn under way when it is stopped", async () => {
  const gate = Promise.withResolvers<void>();
  let ended = false;
  const loop = startLoop({
    ...base,
    everyMs: 1,
    round: async () => {
      await gate.promise;
      ended = true;
    },
  });
  const stopped = loop.stop();
  gate.resolve();
  await stopped;
  expect(ended).toBe(true);
});

it("gives everyone a turn, so many at once, and tells of a failure at the end", async () => {
  let at = 0;
  let most = 0;
  const seen: number[] = [];
  const all = forEachAtMost([1, 2, 3, 4, 5, 6], 2, async (item) => {
    most = Math.max(most, ++at);
    await Promise.resolve();
    at--;
    seen.push(item);
    if (item === 2) throw new Error("two");
  });
  await expect(all).rejects.toThrow("two");
  expect([seen.toSorted(), most]).toEqual([[1, 2, 3, 4, 5, 6], 2]);
});
