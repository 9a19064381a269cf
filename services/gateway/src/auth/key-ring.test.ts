import { fault, isFault } from "@banyan/contracts";
import type { Clock } from "@banyan/kernel";
import { expect, it } from "vitest";
import { hashKey } from "../domain/api-key.ts";
import type { Caller } from "../ports.ts";
import { createKeyRing } from "./key-ring.ts";

const ada: Caller = { keyId: "key_1", orgId: "org_1", orgName: "one", role: "member", quota: { sandboxes: 1, cpu: 1, memoryMb: 1 } };

/** A table of keys that counts how often it is asked. */
function keys(rows: Record<string, Caller>) {
  let nowMs = 0;
  const clock: Clock = { now: () => nowMs, monotonicMs: () => nowMs, sleep: async () => {} };
  const table = new Map(Object.entries(rows).map(([secret, caller]) => [hashKey(secret), caller]));
  const asked: string[] = [];
  const database = { isAway: false };
  const ring = createKeyRing({
    clock,
    find: async (hash) => {
      asked.push(hash);
      if (database.isAway) throw fault("database.unavailable");
      return table.get(hash) ?? null;
    },
  });
  const authenticate = (secret: string) => ring.authenticate({ authorization: `Bearer ${secret}`, apiKey: undefined });
  const pass = (ms: number) => {
    nowMs += ms;
  };
  return { ring, table, asked, authenticate, pass, database };
}

it("asks once for many requests at once, and not again for five seconds", async () => {
  const { authenticate, asked, pass } = keys({ good: ada });
  const callers = await Promise.all([authenticate("good"), authenticate("good"), authenticate("good")]);
  expect(callers).toEqual([ada, ada, ada]);
  await authenticate("good");
  expect(asked).toHaveLength(1);
  pass(5_001);
  await authenticate("good");
  expect(asked).toHaveLength(2);
});

it("does not know a forgotten key any more, even when the answer was under way", async () => {
  const { ring, table, authenticate } = keys({ good: ada });
  const underWay = authenticate("good");
  table.clear();
  ring.forget("key_1");
  await underWay;
  await expect(authenticate("good")).rejects.toMatchObject({ code: "auth.invalid" });
});

it("believes a key that was right while the database is away, for ten minutes, and no other", async () => {
  const { ring, authenticate, pass, database, asked } = keys({ good: ada, gone: { ...ada, keyId: "key_2" } });
  await Promise.all([authenticate("good"), authenticate("gone")]);
  database.isAway = true;
  pass(5_001);
  expect(await authenticate("good")).toEqual(ada);
  expect(await authenticate("good")).toEqual(ada);
  expect(asked).toHaveLength(3);
  ring.forget("key_2");
  for (const secret of ["gone", "unseen"]) await expect(authenticate(secret)).rejects.toMatchObject({ code: "database.unavailable" });
  pass(600_000);
  await expect(authenticate("good")).rejects.toMatchObject({ code: "database.unavailable" });
});

it("forgets every key of an organisation", async () => {
  const { ring, asked, authenticate } = keys({ a: ada, b: { ...ada, keyId: "key_2" } });
  await Promise.all([authenticate("a"), authenticate("b")]);
  ring.forget("org_1");
  await Promise.all([authenticate("a"), authenticate("b")]);
  expect(asked).toHaveLength(4);
});

it("tells a missing key from a wrong one, and asks for a wrong one once", async () => {
  const { ring, asked, authenticate } = keys({});
  await expect(ring.authenticate({ authorization: undefined, apiKey: undefined })).rejects.toMatchObject({ code: "auth.missing" });
  for (const authorization of ["Basic YTpi", "Bearer", "Bearer two words", `Bearer ${"x".repeat(300)}`]) {
    await expect(ring.authenticate({ authorization, apiKey: undefined })).rejects.toMatchObject({ code: "auth.invalid" });
  }
  expect(asked).toHaveLength(0);
  await expect(authenticate("wrong")).rejects.toSatisfy((error) => isFault(error, "auth.invalid"));
  await expect(authenticate("wrong")).rejects.toMatchObject({ code: "auth.invalid" });
  expect(asked).toHaveLength(1);
});

it("takes the key from the query where no header can be set", async () => {
  const { ring } = keys({ good: ada });
  expect(await ring.authenticate({ authorization: undefined, apiKey: "good" })).toEqual(ada);
});

it("says which keys were used since it was asked", async () => {
  const { ring, authenticate } = keys({ good: ada });
  await authenticate("good");
  expect(ring.takeUsed()).toEqual(["key_1"]);
  expect(ring.takeUsed()).toEqual([]);
});
