import { type Bus, connectBus, type KvChange } from "@banyan/bus";
import { event, job } from "@banyan/contracts";
import { type Logger, silentLogger } from "@banyan/kernel";
import { eventually, startNats, type TestNats } from "@banyan/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";

let nats: TestNats;
let bus: Bus;
let other: Bus;
const errors: string[] = [];
const logger: Logger = { ...silentLogger, error: (_, message) => void errors.push(message), child: () => logger };
let made = 0;

/** A verb of its own for each test: what one leaves in a stream is no other's concern. */
const newJob = (deliveriesMax = 5) =>
  job("scheduler", `test.job${++made}`, { input: z.object({ n: z.int() }), ackWaitMs: 1_000, deliveriesMax });
const newEvent = () => event(`noun${++made}`, "happened", z.object({ n: z.int() }));

beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats.stop());
beforeEach(async () => {
  errors.length = 0;
  bus = await connectBus({ servers: nats.url, name: "one", logger });
  other = await connectBus({ servers: nats.url, name: "two", logger: silentLogger });
});
afterEach(async () => {
  await Promise.all([bus.close(), other.close()]);
});

describe("a job", () => {
  it("is done once, though it was published before anyone consumed and by a repeated publish", async () => {
    const work = newJob();
    await bus.publishJob(work, { n: 1 }, { dedupeId: `${work.subject}-1` });
    await bus.publishJob(work, { n: 1 }, { dedupeId: `${work.subject}-1` });
    await bus.publishJob(work, { n: 2 });
    const seen: number[] = [];
    const consuming = other.consumeJobs(work, async ({ n }) => void seen.push(n), { concurrencyMax: 1 });
    await eventually(() => expect(seen).toEqual([1, 2]));
    await consuming.stop();
  });

  it("comes again after a failure, and says which attempt it is", async () => {
    const work = newJob();
    const attempts: number[] = [];
    const consuming = bus.consumeJobs(
      work,
      async (_, { attempt }) => {
        attempts.push(attempt);
        if (attempt === 1) throw new Error("not yet");
      },
      { concurrencyMax: 1 },
    );
    await bus.publishJob(work, { n: 1 });
    await eventually(() => expect(attempts).toEqual([1, 2]));
    await consuming.stop();
  });

  it("is given up with an error in the log after its last delivery", async () => {
    const work = newJob(2);
    let attempts = 0;
    const consuming = bus.consumeJobs(
      work,
      async () => {
        attempts++;
        throw new Error("never");
      },
      { concurrencyMax: 1 },
    );
    await bus.publishJob(work, { n: 1 });
    await eventually(() => expect(errors).toContain("gave up: the last attempt failed"));
    expect(attempts).toBe(2);
    await consuming.stop();
  });

  it("that does not fit its schema is given up at once, with an error in the log, and holds up none behind it", async () => {
    const work = newJob();
    const seen: number[] = [];
    const consuming = bus.consumeJobs(work, async ({ n }) => void seen.push(n), { concurrencyMax: 1 });
    await bus.publishJob({ ...work, input: z.object({ n: z.string() }) }, { n: "one" });
    await bus.publishJob(work, { n: 2 });
    await eventually(() => expect(seen).toEqual([2]));
    expect(errors).toEqual(["gave up: it does not fit its schema"]);
    await consuming.stop();
  });

  it("whose consumer died is delivered to another one", async () => {
    const work = newJob();
    const doomed = await connectBus({ servers: nats.url, name: "doomed", logger: silentLogger });
    const begun = Promise.withResolvers<void>();
    const hang = async (): Promise<void> => {
      begun.resolve();
      await new Promise(() => {});
    };
    doomed.consumeJobs(work, hang, { concurrencyMax: 1 });
    await bus.publishJob(work, { n: 7 });
    await begun.promise;
    await doomed.close();
    const seen: number[] = [];
    const consuming = other.consumeJobs(work, async ({ n }) => void seen.push(n), { concurrencyMax: 1 });
    await eventually(() => expect(seen).toEqual([7]));
    await consuming.stop();
  });

  it("that says it is working is not delivered to anyone else meanwhile", async () => {
    const work = newJob();
    let deliveries = 0;
    const handler = async (_: { n: number }, { working }: { working(): void }): Promise<void> => {
      deliveries++;
      const endsAt = performance.now() + 2_500;
      await eventually(
        () => {
          working();
          return performance.now() > endsAt;
        },
        { intervalMs: 200 },
      );
    };
    const consuming = [bus, other].map((one) => one.consumeJobs(work, handler, { concurrencyMax: 1 }));
    await bus.publishJob(work, { n: 1 });
    await eventually(() => expect(deliveries).toBe(1));
    await Promise.all(consuming.map((one) => one.stop()));
    expect(deliveries).toBe(1);
  });

  it("is handled at most so many at once", async () => {
    const work = newJob();
    let active = 0;
    let activeMax = 0;
    let done = 0;
    const consuming = bus.consumeJobs(
      work,
      async () => {
        activeMax = Math.max(activeMax, ++active);
        await new Promise((resolve) => setImmediate(resolve));
        active--;
        done++;
      },
      { concurrencyMax: 3 },
    );
    await Promise.all(Array.from({ length: 30 }, (_, n) => bus.publishJob(work, { n })));
    await eventually(() => expect(done).toBe(30));
    expect(activeMax).toBeLessThanOrEqual(3);
    await consuming.stop();
  });
});

describe("an event", () => {
  it("is heard by every durable, in order, also by one that comes later", async () => {
    const happened = newEvent();
    const first: string[] = [];
    const second: string[] = [];
    const one = bus.onEvents(happened, { durable: `first-${made}` }, async ({ n }, { id }) => void first.push(`${id}=${n}`));
    for (const n of [1, 2, 3]) await other.emit(happened, `id${n}`, { n });
    const two = other.onEvents(happened, { durable: `second-${made}` }, async ({ n }, { id }) => void second.push(`${id}=${n}`));
    await eventually(() =>
      expect([first, second]).toEqual([
        ["id1=1", "id2=2", "id3=3"],
        ["id1=1", "id2=2", "id3=3"],
      ]),
    );
    await Promise.all([one.stop(), two.stop()]);
  });
});

describe("a bucket", () => {
  const Value = z.object({ n: z.int() });

  it("puts, gets, lists and deletes", async () => {
    const bucket = bus.kv("basic", { schema: Value });
    expect(await bucket.get("a")).toBeNull();
    await bucket.put("a", { n: 1 });
    await bucket.put("b", { n: 2 });
    expect(await other.kv("basic").get("a")).toEqual({ n: 1 });
    expect((await bucket.keys()).sort()).toEqual(["a", "b"]);
    await bucket.delete("a");
    expect(await bucket.get("a")).toBeNull();
    expect(await bucket.keys()).toEqual(["b"]);
  });

  it("forgets what was not written again within its time to live", async () => {
    const bucket = bus.kv("leases", { ttlMs: 1_000 });
    await bucket.put("a", { n: 1 });
    expect(await bucket.get("a")).toEqual({ n: 1 });
    await eventually(async () => expect(await bucket.get("a")).toBeNull());
    expect(await bucket.keys()).toEqual([]);
  });

  it("takes a new time to live for a bucket that exists", async () => {
    await bus.kv("changing").put("a", 1);
    const bucket = other.kv("changing", { ttlMs: 1_000 });
    expect(await bucket.get("a")).toBe(1);
    await eventually(async () => expect(await bucket.get("a")).toBeNull());
  });

  it("says present values first, then changes and deletions", async () => {
    await other.kv("watched").put("a", { n: 1 });
    const changes: KvChange<{ n: number }>[] = [];
    const watch = await bus.kv("watched", { schema: Value }).watch((change) => void changes.push(change));
    expect(changes).toMatchObject([{ key: "a", value: { n: 1 } }]);
    await other.kv("watched").put("b", { n: 2 });
    await other.kv("watched").delete("a");
    await eventually(() =>
      expect(changes.slice(1)).toMatchObject([
        { key: "b", value: { n: 2 } },
        { key: "a", value: null },
      ]),
    );
    watch.stop();
  });

  it("goes on after a value that does not fit the schema", async () => {
    const seen: unknown[] = [];
    const watch = await bus.kv("mixed", { schema: Value }).watch(({ value }) => void seen.push(value));
    await other.kv("mixed").put("bad", "text");
    await other.kv("mixed").put("good", { n: 1 });
    await eventually(() => expect(seen).toEqual([{ n: 1 }]));
    expect(errors).toHaveLength(1);
    watch.stop();
  });
});

describe.each([
  { name: "killed and restarted", loseStore: false },
  { name: "replaced by one without its store", loseStore: true },
])("when NATS is $name", ({ loseStore }) => {
  it("jobs, events, buckets and watches go on", async () => {
    const work = newJob();
    const happened = newEvent();
    const done: number[] = [];
    const heard: number[] = [];
    const jobs = bus.consumeJobs(work, async ({ n }) => void done.push(n), { concurrencyMax: 2 });
    const events = bus.onEvents(happened, { durable: `chaos-${made}` }, async ({ n }) => void heard.push(n));
    const bucket = bus.kv<number>(`chaos${made}`, { ttlMs: 60_000 });
    await bucket.put("a", 1);
    const values = new Map<string, number | null>();
    const watch = await other.kv<number>(`chaos${made}`, { ttlMs: 60_000 }).watch(({ key, value }) => void values.set(key, value));
    for (let n = 0; n < 20; n++) await bucket.put("many", n);
    await bus.publishJob(work, { n: 1 });
    await bus.emit(happened, "x", { n: 1 });
    await eventually(() => expect([done, heard, values.get("many")]).toEqual([[1], [1], 19]));

    await nats.kill();
    await expect(bus.publishJob(work, { n: 0 })).rejects.toMatchObject({ code: "bus.unavailable" });
    await expect(bus.emit(happened, "x", { n: 0 })).rejects.toMatchObject({ code: "bus.unavailable" });
    await expect(bucket.put("a", 0)).rejects.toMatchObject({ code: "bus.unavailable" });
    await nats.restart({ loseStore });

    const untilDone = <T>(attempt: () => Promise<T>) => eventually(attempt, { timeoutMs: 30_000 });
    await untilDone(() => bus.publishJob(work, { n: 2 }));
    await untilDone(() => bus.emit(happened, "x", { n: 2 }));
    await untilDone(() => bucket.put("a", 2));
    await eventually(() => expect([done, heard, values.get("a")]).toEqual([[1, 2], [1, 2], 2]), { timeoutMs: 30_000 });
    if (!loseStore) expect(await bucket.get("many")).toBe(19);
    watch.stop();
    await Promise.all([jobs.stop(), events.stop()]);
  });
});
