import { expect, it } from "vitest";
import { AppError, idPattern, machine, newId, retry, systemClock } from "./index.ts";

it("makes ids that match their pattern and sort by time of making", async () => {
  const first = newId("sbx");
  await systemClock.sleep(2);
  const second = newId("sbx");
  expect(first).toMatch(idPattern("sbx"));
  expect(second > first).toBe(true);
});

it("refuses a table that leads to an unknown state", () => {
  expect(() => machine({ a: { go: "nowhere" as "a" } })).toThrow(/unknown state nowhere/);
});

it("answers null for an event that is not legal", () => {
  const door = machine({ open: { close: "closed" }, closed: { open: "open", lock: "locked" }, locked: {} });
  expect(door.next("open", "lock")).toBeNull();
  expect(door.next("closed", "lock")).toBe("locked");
  expect(door.isFinal("locked")).toBe(true);
});

it("stops retrying at the bound and throws the last error", async () => {
  let tries = 0;
  const failing = retry(
    async () => {
      tries++;
      throw new AppError({ kind: "unavailable", code: "x", message: `try ${tries}` });
    },
    { attemptsMax: 3, baseDelayMs: 1, delayMaxMs: 2, retryable: () => true, clock: systemClock },
  );
  await expect(failing).rejects.toThrow("try 3");
});

it("does not retry what is not retryable", async () => {
  let tries = 0;
  const failing = retry(
    async () => {
      tries++;
      throw new Error("final");
    },
    { attemptsMax: 3, baseDelayMs: 1, delayMaxMs: 2, retryable: () => false, clock: systemClock },
  );
  await expect(failing).rejects.toThrow("final");
  expect(tries).toBe(1);
});
