import { type Bus, connectBus } from "@banyan/bus";
import { fault, isFault, nodeRpc, rpc } from "@banyan/contracts";
import { type Logger, silentLogger } from "@banyan/kernel";
import { eventually, startNats, type TestNats } from "@banyan/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";

const Input = z.object({ text: z.string() });
const shape = { input: Input, output: z.object({ text: z.string() }), deadlineMs: 2_000, errors: [] };
const Echo = rpc("scheduler", "test.echo", shape);
const NodeEcho = nodeRpc("test.echo", shape);

let nats: TestNats;
let caller: Bus;
let server: Bus;
const logged: { level: string; message: string }[] = [];
const note = (level: string) => (_: object, message: string) => void logged.push({ level, message });
const logger: Logger = { debug: note("debug"), info: note("info"), warn: note("warn"), error: note("error"), child: () => logger };

beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats.stop());
beforeEach(async () => {
  logged.length = 0;
  caller = await connectBus({ servers: nats.url, name: "caller", logger: silentLogger });
  server = await connectBus({ servers: nats.url, name: "server", logger });
});
afterEach(async () => {
  await Promise.all([caller.close(), server.close()]);
});

describe("a call", () => {
  it("carries the input there and the output back", async () => {
    server.serve(Echo, async ({ text }) => ({ text: `${text}!` }));
    await server.flush();
    expect(await caller.call(Echo, { text: "hello" })).toEqual({ text: "hello!" });
  });

  it("throws what the handler threw: code, message and details", async () => {
    server.serve(Echo, async () => {
      throw fault("sandbox.not_found", { id: "x" }, { message: "gone" });
    });
    await server.flush();
    await expect(caller.call(Echo, { text: "" })).rejects.toMatchObject({
      code: "sandbox.not_found",
      kind: "not_found",
      message: "gone",
      details: { id: "x" },
    });
  });

  it("answers internal for any other error, says nothing of it, and logs it", async () => {
    server.serve(Echo, async () => {
      throw new Error("password=hunter2");
    });
    await server.flush();
    const error = await caller.call(Echo, { text: "" }).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: "internal", details: {} });
    expect(JSON.stringify(error)).not.toContain("hunter2");
    expect(logged).toContainEqual({ level: "error", message: "a request failed" });
  });

  it("is bus.unavailable at once when nobody serves the verb", async () => {
    const startedMs = performance.now();
    await expect(caller.call(Echo, { text: "" })).rejects.toMatchObject({ code: "bus.unavailable" });
    expect(performance.now() - startedMs).toBeLessThan(1_000);
  });

  it("with retry finds a server that comes a little later", async () => {
    const called = caller.call(Echo, { text: "late" }, { retry: true });
    server.serve(Echo, async (input) => input);
    expect(await called).toEqual({ text: "late" });
  });

  it("with retry does not repeat what failed for another reason", async () => {
    let calls = 0;
    server.serve(Echo, async () => {
      calls++;
      throw fault("database.unavailable");
    });
    await server.flush();
    await expect(caller.call(Echo, { text: "" }, { retry: true })).rejects.toMatchObject({ code: "database.unavailable" });
    expect(calls).toBe(1);
  });

  it("refuses an input that the schema does not know, at the server", async () => {
    server.serve(Echo, async (input) => input);
    await server.flush();
    const Loose = rpc("scheduler", "test.echo", { ...shape, input: z.object({ text: z.int() }) });
    await expect(caller.call(Loose, { text: 1 })).rejects.toMatchObject({ code: "request.invalid", details: { issues: [/^text: /] } });
  });

  it("is internal when the answer does not fit its schema", async () => {
    const Loose = rpc("scheduler", "test.echo", { ...shape, output: z.object({ text: z.int() }) });
    server.serve(Loose, async () => ({ text: 1 }));
    await server.flush();
    await expect(caller.call(Echo, { text: "" })).rejects.toMatchObject({ code: "internal" });
  });

  it("refuses a payload above the server's limit without sending it", async () => {
    await expect(caller.call(Echo, { text: "x".repeat(1024 * 1024) })).rejects.toMatchObject({
      code: "request.too_large",
      details: { bytesMax: 1024 * 1024 },
    });
  });

  it("answers request.too_large for an answer above the limit", async () => {
    server.serve(Echo, async () => ({ text: "x".repeat(1024 * 1024) }));
    await server.flush();
    await expect(caller.call(Echo, { text: "" })).rejects.toMatchObject({ code: "request.too_large" });
  });
});

describe("a deadline", () => {
  it("ends the call, and the handler learns of it by its signal", async () => {
    const seen: { deadlineMs: number; reason?: unknown } = { deadlineMs: 0 };
    server.serve(Echo, async (input, { deadlineMs, signal }) => {
      seen.deadlineMs = deadlineMs;
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      seen.reason = signal.reason;
      return input;
    });
    await server.flush();
    await expect(caller.call(Echo, { text: "" }, { deadlineMs: 100 })).rejects.toMatchObject({ code: "bus.timeout", kind: "timeout" });
    await eventually(() => expect(isFault(seen.reason, "bus.timeout")).toBe(true));
    expect(seen.deadlineMs).toBeGreaterThan(50);
    expect(seen.deadlineMs).toBeLessThanOrEqual(100);
  });

  it("is the verb's own where the caller names none", async () => {
    let deadlineMs = 0;
    server.serve(Echo, async (input, request) => {
      deadlineMs = request.deadlineMs;
      return input;
    });
    await server.flush();
    await caller.call(Echo, { text: "" });
    expect(deadlineMs).toBeGreaterThan(1_900);
  });

  it("can be cut short by the caller's signal", async () => {
    server.serve(Echo, () => new Promise(() => {}));
    await server.flush();
    const aborted = new AbortController();
    const called = caller.call(Echo, { text: "" }, { signal: aborted.signal });
    aborted.abort(new Error("the client went away"));
    await expect(called).rejects.toThrow("the client went away");
  });
});

describe("a served verb", () => {
  it("answers bus.unavailable above its concurrency, and goes on with the rest", async () => {
    const release: (() => void)[] = [];
    server.serve(Echo, (input) => new Promise((resolve) => release.push(() => resolve(input))), { concurrencyMax: 2 });
    await server.flush();
    const calls = ["a", "b", "c"].map((text) => caller.call(Echo, { text }).catch((error) => error.code));
    expect(await calls[2]).toBe("bus.unavailable");
    for (const resolve of release) resolve();
    expect(await Promise.all(calls)).toEqual([{ text: "a" }, { text: "b" }, "bus.unavailable"]);
  });

  it("is shared among the processes of its owner", async () => {
    const seen = new Set<string>();
    server.serve(Echo, async ({ text }) => ({ text: `one ${text}` }));
    caller.serve(Echo, async ({ text }) => ({ text: `two ${text}` }));
    await Promise.all([server.flush(), caller.flush()]);
    await eventually(async () => {
      seen.add((await caller.call(Echo, { text: "" })).text);
      expect(seen.size).toBe(2);
    });
  });

  it("of a node is answered by that node alone", async () => {
    server.serve(NodeEcho.on("a"), async () => ({ text: "a" }));
    server.serve(NodeEcho.on("b"), async () => ({ text: "b" }));
    await server.flush();
    expect(await caller.call(NodeEcho.on("b"), { text: "" })).toEqual({ text: "b" });
    await expect(caller.call(NodeEcho.on("c"), { text: "" })).rejects.toMatchObject({ code: "bus.unavailable" });
  });

  it("when stopped answers what it has begun and takes no more", async () => {
    const begun = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    const served = server.serve(Echo, async (input) => {
      begun.resolve();
      await release.promise;
      return input;
    });
    await server.flush();
    const called = caller.call(Echo, { text: "begun" });
    await begun.promise;
    const stopped = served.stop();
    await eventually(() => expect(caller.call(Echo, { text: "" }, { deadlineMs: 200 })).rejects.toMatchObject({ code: "bus.unavailable" }));
    release.resolve();
    await stopped;
    expect(await called).toEqual({ text: "begun" });
  });
});

describe("when NATS is killed", () => {
  it("fails calls under way and new ones at once, and works again after its restart", async () => {
    const begun = Promise.withResolvers<void>();
    let isHanging = true;
    server.serve(Echo, async (input) => {
      begun.resolve();
      return isHanging ? new Promise(() => {}) : input;
    });
    await server.flush();
    const statuses: string[] = [];
    caller.onStatus((status) => void statuses.push(status));
    const underWay = caller.call(Echo, { text: "" }, { deadlineMs: 60_000 }).catch((error) => error);
    await begun.promise;
    await nats.kill();
    expect(await underWay).toMatchObject({ code: "bus.unavailable", details: { retryAfterMs: expect.any(Number) } });
    await expect(caller.call(Echo, { text: "" })).rejects.toMatchObject({ code: "bus.unavailable" });
    expect(caller.connected).toBe(false);
    isHanging = false;
    await nats.restart();
    await eventually(async () => expect(await caller.call(Echo, { text: "again" })).toEqual({ text: "again" }));
    expect(caller.connected).toBe(true);
    expect(statuses).toEqual(["disconnected", "connected"]);
  });
});
