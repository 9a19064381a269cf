import { expect, it } from "vitest";
import { eventually, fakeClock } from "./index.ts";

it("waits until the check no longer throws, and answers what it answered", async () => {
  let tries = 0;
  const result = await eventually(() => {
    if (++tries < 3) throw new Error("not yet");
    return "done";
  });
  expect([result, tries]).toEqual(["done", 3]);
});

it("throws the last error when the time is up", async () => {
  const never = eventually(() => expect(1).toBe(2), { timeoutMs: 30 });
  await expect(never).rejects.toThrow(/not within 30 ms: expected 1 to be 2/);
  await expect(eventually(() => false, { timeoutMs: 30 })).rejects.toThrow("stayed false");
});

it("moves time on, waking sleepers in the order of their time", async () => {
  const clock = fakeClock(0);
  const woken: string[] = [];
  const sleepThen = (ms: number) => clock.sleep(ms).then(() => woken.push(`${ms} at ${clock.monotonicMs()}`));
  const sleeping = [sleepThen(30), sleepThen(10), clock.sleep(20).then(() => sleepThen(5))];
  await clock.advance(25);
  expect(woken).toEqual(["10 at 10", "5 at 25"]);
  await clock.advance(5);
  expect(woken.at(-1)).toBe("30 at 30");
  expect([clock.now(), clock.sleepers]).toEqual([30, 0]);
  await Promise.all(sleeping);
});

it("ends a sleep by its signal", async () => {
  const clock = fakeClock();
  const aborted = new AbortController();
  const sleeping = clock.sleep(1_000, aborted.signal);
  aborted.abort(new Error("enough"));
  await expect(sleeping).rejects.toThrow("enough");
  expect(clock.sleepers).toBe(0);
});
