import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { processStartTime, silentLogger, systemClock } from "@banyan/kernel";
import {
  defineService,
  type EmbeddedServer,
  startHealthServer,
  startNatsServer,
  startPostgresServer,
  startServices,
  withConfig,
} from "@banyan/service";
import { createTelemetry } from "@banyan/telemetry";
import { eventually } from "@banyan/testkit";
import { afterEach, describe, expect, it } from "vitest";

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});
const newDir = async (): Promise<string> => {
  const dir = await mkdtemp(join(tmpdir(), "banyan-service-"));
  cleanups.push(() => rm(dir, { recursive: true, force: true }));
  return dir;
};
const stopped = <S extends EmbeddedServer>(server: S): S => {
  cleanups.push(() => server.stop());
  return server;
};

interface Line {
  msg: string;
  reason?: string;
  healthPort?: number;
}

/** A service's process, and what it has logged so far. */
function run(env: Record<string, string>): { child: ChildProcess; lines: Line[]; exited: Promise<unknown[]> } {
  const path = new URL("./fixtures/run-slow-service.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [path], { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "inherit"] });
  cleanups.push(async () => child.kill("SIGKILL"));
  const lines: Line[] = [];
  let rest = "";
  child.stdout?.on("data", (chunk) => {
    const parts = `${rest}${chunk}`.split("\n");
    rest = parts.pop() ?? "";
    lines.push(...parts.map((line) => JSON.parse(line)));
  });
  return { child, lines, exited: once(child, "exit") };
}
const saying = (lines: Line[], msg: string): Promise<Line> =>
  eventually(() => {
    const line = lines.find((candidate) => candidate.msg === msg);
    if (!line) throw new Error(`not said: ${msg}`);
    return line;
  });

describe("a service's process", () => {
  it("is live, ready and measured, and ends in order on SIGTERM", async () => {
    const { child, lines, exited } = run({});
    const { healthPort } = await saying(lines, "ready");
    const get = (path: string) => fetch(`http://127.0.0.1:${healthPort}${path}`);
    expect((await get("/healthz")).status).toBe(200);
    expect(await (await get("/readyz")).json()).toEqual({ status: "ready", checks: { "slow.queue": "ok" } });
    expect(await (await get("/metrics")).text()).toContain('banyan_starts_total{kind="test",service="slow"} 1');
    expect((await get("/other")).status).toBe(404);
    child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
    expect(lines.map(({ msg }) => msg)).toEqual(["started", "ready", "stopping", "draining", "stopped"]);
  });

  it("is not ready any more while it stops, and ends at once on a second signal", async () => {
    const { child, lines, exited } = run({ SLOW: "1" });
    const { healthPort } = await saying(lines, "ready");
    child.kill("SIGINT");
    await saying(lines, "draining");
    expect((await fetch(`http://127.0.0.1:${healthPort}/readyz`)).status).toBe(503);
    child.kill("SIGINT");
    expect(await exited).toEqual([130, null]);
  });

  it("ends with 1 and says why when it cannot start", async () => {
    const { lines, exited } = run({ FAIL: "1" });
    expect(await exited).toEqual([1, null]);
    expect(lines.at(-1)).toMatchObject({ msg: "cannot start", reason: "no database" });
  });

  it("ends with 1 on an error that nobody caught", async () => {
    const { lines, exited } = run({ CRASH: "1" });
    expect(await exited).toEqual([1, null]);
    expect(lines.at(-1)).toMatchObject({ msg: "unhandled rejection", reason: "nobody caught this" });
  });
});

describe("several services in one process", () => {
  const said: string[] = [];
  const service = (name: string, more: { failStart?: boolean; failStop?: boolean } = {}) =>
    withConfig(
      defineService<object>({
        name,
        async start() {
          if (more.failStart) throw new Error(`${name} broke`);
          said.push(`start ${name}`);
          const stop = async (): Promise<void> => {
            said.push(`stop ${name}`);
            if (more.failStop) throw new Error("broke");
          };
          return { checks: { ok: async () => {} }, stop };
        },
      }),
      {},
    );
  const options = async () => ({ logger: silentLogger, clock: systemClock, telemetry: await createTelemetry({ serviceName: "test" }) });

  it("start in order and stop in the opposite order, whatever one of them throws", async () => {
    said.length = 0;
    const running = await startServices([service("a"), service("b", { failStop: true }), service("c")], await options());
    expect(Object.keys(running.checks)).toEqual(["a.ok", "b.ok", "c.ok"]);
    await running.stop();
    expect(said).toEqual(["start a", "start b", "start c", "stop c", "stop b", "stop a"]);
  });

  it("are stopped again when a later one does not start", async () => {
    said.length = 0;
    await expect(startServices([service("a"), service("b", { failStart: true })], await options())).rejects.toThrow("b broke");
    expect(said).toEqual(["start a", "stop a"]);
  });
});

it("names a check that fails, and one that hangs", async () => {
  const telemetry = await createTelemetry({ serviceName: "test" });
  const checks = {
    broken: async () => {
      throw new Error("bus.unavailable");
    },
    hanging: () => new Promise<void>(() => {}),
  };
  const health = await startHealthServer({
    host: "127.0.0.1",
    port: 0,
    checks: () => checks,
    handleMetrics: telemetry.handleMetrics,
    logger: silentLogger,
    clock: systemClock,
  });
  cleanups.push(health.stop);
  const response = await fetch(`http://127.0.0.1:${health.port}/readyz`);
  expect(response.status).toBe(503);
  expect(await response.json()).toEqual({
    status: "not ready",
    checks: { broken: "bus.unavailable", hanging: "no answer within 2000 ms" },
  });
});

describe.each([
  { name: "NATS", start: startNatsServer },
  { name: "Postgres", start: startPostgresServer },
])("an embedded $name", ({ start }) => {
  it("left running by an earlier run is found, not started twice; stopped, its data stays and it starts anew", async () => {
    const dataDir = await newDir();
    const first = stopped(await start({ dataDir, logger: silentLogger }));
    const second = stopped(await start({ dataDir, logger: silentLogger }));
    expect(second).toMatchObject({ pid: first.pid, url: first.url, adopted: true });
    await second.stop();
    expect(processStartTime(first.pid)).toBeNull();
    const third = stopped(await start({ dataDir, logger: silentLogger }));
    expect(third).toMatchObject({ adopted: false });
    expect(third.pid).not.toBe(first.pid);
  });

  it("says that the port is taken", async () => {
    const other = stopped(await startNatsServer({ dataDir: await newDir(), logger: silentLogger }));
    await expect(start({ dataDir: await newDir(), port: other.port, logger: silentLogger })).rejects.toThrow(/taken|in use/);
  });
});
