import { systemClock } from "@banyan/kernel";
import { expect, it } from "vitest";
import { Places } from "./places.ts";

const places = (options = {}) => new Places({ max: 3, perHolderMax: 2, waitingMax: 2, waitMs: 60_000, clock: systemClock, ...options });

/** Holds a place until it is let go; tells when it has one. */
function hold(of: Places, holder: string) {
  let leave = (): void => {};
  const done = new Promise<void>((resolve) => {
    leave = resolve;
  });
  const state = { has: false, leave, ended: Promise.resolve() };
  state.ended = of.use(holder, async () => {
    state.has = true;
    await done;
  });
  return state;
}
/** All that can go on without us has gone on. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

it("gives nobody more than a share, and what is left to others at once", async () => {
  const all = places();
  const [first, second, third] = [hold(all, "a"), hold(all, "a"), hold(all, "a")];
  const other = hold(all, "b");
  await settled();
  expect([first.has, second.has, third.has, other.has]).toEqual([true, true, false, true]);
  other.leave();
  await settled();
  expect(third.has).toBe(false);
  first.leave();
  await settled();
  expect(third.has).toBe(true);
});

it("lets those in who wait, the first of those who may first", async () => {
  const all = places({ waitingMax: 8 });
  const held = [hold(all, "a"), hold(all, "a"), hold(all, "b")];
  const waiting = [hold(all, "a"), hold(all, "c"), hold(all, "b")];
  held[2]?.leave();
  await settled();
  expect(waiting.map(({ has }) => has)).toEqual([false, true, false]);
  held[0]?.leave();
  await settled();
  expect(waiting.map(({ has }) => has)).toEqual([true, true, false]);
});

it("is busy where too many wait, of one or of all, and where one has waited too long", async () => {
  const all = places({ waitingMax: 3 });
  const [one] = [hold(all, "a"), hold(all, "a"), hold(all, "a"), hold(all, "a")];
  await expect(all.use("a", async () => {})).rejects.toMatchObject({ code: "upload.busy", details: { retryAfterMs: 500 } });
  hold(all, "b");
  hold(all, "b");
  await expect(all.use("c", async () => {})).rejects.toMatchObject({ code: "upload.busy" });
  one?.leave();
  const short = places({ max: 1, waitMs: 1 });
  const holder = hold(short, "a");
  await expect(short.use("b", async () => {})).rejects.toMatchObject({ code: "upload.busy" });
  holder.leave();
  await holder.ended;
  expect(await short.use("b", async () => "in")).toBe("in");
});

it("frees the place of work that fails", async () => {
  const all = places({ max: 1 });
  await expect(all.use("a", () => Promise.reject(new Error("failed")))).rejects.toThrow("failed");
  expect(await all.use("b", async () => "in")).toBe("in");
});
