import { expect, it } from "vitest";
import { AppError, canonicalJson, idPattern, machine, newId, retry, seal, systemClock, unseal } from "./index.ts";

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

it("writes the same JSON whatever the order of its members", () => {
  expect(canonicalJson({ b: [1, { d: null, c: "x" }], a: undefined })).toBe('{"b":[1,{"c":"x","d":null}]}');
});

it("opens a sealed text with the same secret and context only", () => {
  const sealed = seal('{"key":"bny_x"}', "Bearer a", "org_1 k");
  expect(sealed).not.toContain("bny_x");
  expect(unseal(sealed, "Bearer a", "org_1 k")).toBe('{"key":"bny_x"}');
  expect(unseal(sealed, "Bearer b", "org_1 k")).toBeNull();
  expect(unseal(sealed, "Bearer a", "org_2 k")).toBeNull();
});
