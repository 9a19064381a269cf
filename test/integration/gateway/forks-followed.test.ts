import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { connectBus } from "@banyan/bus";
import { api } from "@banyan/contracts";
import { CONFIG_DEFAULTS, startGateway } from "@banyan/gateway";
import { newId, silentLogger, systemClock } from "@banyan/kernel";
import { Banyan, type ForkChild } from "@banyan/sdk";
import type { RunningService } from "@banyan/service";
import { createTelemetry } from "@banyan/telemetry";
import { eventually, startNats, startPostgres } from "@banyan/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { BOOTSTRAP_KEY, CLUSTER_TOKEN, caller } from "./cluster.ts";
import { type FakeForks, serveForks } from "./fake-forks.ts";

let forks: FakeForks;
let url: string;
let call: ReturnType<typeof caller>;
let banyan: Banyan;
const stops: (() => Promise<void>)[] = [];
beforeAll(async () => {
  const [nats, postgres] = await Promise.all([startNats(), startPostgres()]);
  const telemetry = await createTelemetry({ serviceName: "test" });
  const bus = await connectBus({ servers: nats.url, name: "test", logger: silentLogger });
  forks = serveForks(bus);
  const config = { ...CONFIG_DEFAULTS, natsUrl: nats.url, databaseUrl: await postgres.freshDatabase(), clusterToken: CLUSTER_TOKEN };
  const host = { logger: silentLogger, clock: systemClock, metrics: telemetry.metricsOf("test"), telemetry };
  const gateway: RunningService & { url: string } = await startGateway({ ...config, httpPort: 0, bootstrapKey: BOOTSTRAP_KEY }, host);
  url = gateway.url;
  call = caller(url);
  banyan = new Banyan({ url, apiKey: BOOTSTRAP_KEY });
  stops.push(
    gateway.stop,
    () => bus.close(),
    () => telemetry.stop(),
    nats.stop,
    postgres.stop,
  );
});
afterEach(() => {
  forks.away = false;
});
afterAll(async () => {
  for (const stop of stops) await stop();
});

const parent = newId("sbx");
const path = `/v1/sandboxes/${parent}/forks`;
const idsOf = (text: string): number[] => [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));
const namesOf = (text: string): string[] => [...text.matchAll(/^event: (\w+)$/gm)].map(([, name]) => name ?? "");
const stream = (headers: Record<string, string> = {}) => ({ headers: { accept: "text/event-stream", ...headers } });

/** Asks for a fork, and has it in hand as soon as it is there. */
async function asked<T>(
  request: Promise<T>,
  count = forks.forks.length + 1,
): Promise<{ answer: Promise<T>; fake: ReturnType<FakeForks["last"]> }> {
  await eventually(async () => forks.forks.length >= count);
  return { answer: request, fake: forks.last() };
}

describe("asking for a fork", () => {
  it("answers 202 at once, with what was asked passed on whole and every default filled in", async () => {
    const body = {
      count: 3,
      command: "true",
      labels: { a: "b" },
      limits: { cpu: 0.5 },
      network: { egress: "closed" },
      policy: { best: "min" },
    };
    const { status, headers, body: fork } = await call("POST", path, { json: body });
    expect(status).toBe(202);
    expect(api.Fork.strict().parse(fork)).toEqual(fork);
    expect(headers.get("location")).toBe(`/v1/forks/${fork.id}`);
    expect(forks.orders.at(-1)).toMatchObject({
      forkId: fork.id,
      source: { kind: "sandbox", sandboxId: parent },
      spec: { count: 3, resources: { cpu: 0.5 }, network: { egress: "closed", allow: [] }, policy: { kind: "best", goal: "min" } },
      quota: CONFIG_DEFAULTS.defaultQuota,
    });
  });

  it("waits for the end as long as it is asked to, and says how far it is when the time is up", async () => {
    const late = await call("POST", path, { json: { count: 1 }, headers: { prefer: "wait=1" } });
    expect(late).toMatchObject({ status: 202, body: { state: "running" } });
    expect(late.headers.get("preference-applied")).toBe("wait=1");
    const { answer, fake } = await asked(call("POST", path, { json: { count: 2 }, headers: { prefer: "wait=30" } }));
    forks.move(fake, [0, 1], "running");
    forks.end(fake, "done");
    expect(await answer).toMatchObject({ status: 200, body: { state: "done", counts: { total: 2, running: 2 } } });
  });

  it("is one fork for one Idempotency-Key, and a repeat waits for it too", async () => {
    const headers = { "idempotency-key": `key-${Date.now()}` };
    const first = await call("POST", path, { json: { count: 1 }, headers });
    const before = forks.forks.length;
    const waiting = call("POST", path, { json: { count: 1 }, headers: { ...headers, prefer: "wait=30" } });
    await eventually(async () => forks.eventReads > 0);
    forks.end(forks.last(), "done");
    const second = await waiting;
    expect(second).toMatchObject({ status: 200, body: { id: first.body.id, state: "done" } });
    expect(second.headers.get("location")).toBe(`/v1/forks/${first.body.id}`);
    expect(forks.forks.length).toBe(before);
  });

  it("streams its events to the last, `fork`; cut and sent again with its key it goes on where it was", async () => {
    const key = { "idempotency-key": `stream-${Date.now()}` };
    const { answer, fake } = await asked(call("POST", path, { json: { count: 2, command: "true" }, ...stream(key) }));
    forks.move(fake, [1], "succeeded");
    forks.move(fake, [0], "succeeded");
    forks.end(fake, "done", 1);
    const { body: text } = await answer;
    expect(namesOf(text)).toEqual(["state", "children", "children", "state", "fork"]);
    expect(idsOf(text)).toEqual([1, 2, 3, 4]);
    expect(text).toContain(`"winner":{"index":1,"sandbox_id":"${fake.children[1]?.sandboxId}"}`);
    const again = await call("POST", path, { json: { count: 2, command: "true" }, ...stream({ ...key, "last-event-id": "3" }) });
    expect([namesOf(again.body), idsOf(again.body)]).toEqual([["state", "fork"], [4]]);
  });
});

describe("following a fork", () => {
  it("goes on across an absence of the scheduler, without an event lost or told twice", async () => {
    const { body } = await call("POST", path, { json: { count: 3 } });
    const fake = forks.last();
    const answer = call("GET", `/v1/forks/${body.id}/events`, stream());
    forks.move(fake, [0], "running");
    const reads = forks.eventReads;
    await eventually(async () => forks.eventReads > reads);
    forks.away = true;
    forks.move(fake, [1], "running");
    await eventually(async () => forks.eventReads > reads + 1);
    forks.move(fake, [2], "running");
    forks.away = false;
    forks.end(fake, "done");
    expect(idsOf((await answer).body)).toEqual([1, 2, 3, 4, 5]);
  });

  it("is possible afterwards, from any event, and as pages", async () => {
    const { body } = await call("POST", path, { json: { count: 2 } });
    forks.move(forks.last(), [0, 1], "running");
    forks.end(forks.last(), "done");
    const events = `/v1/forks/${body.id}/events`;
    expect(idsOf((await call("GET", events, stream({ "last-event-id": "1" }))).body)).toEqual([2, 3]);
    const accept = { headers: { accept: "application/json" } };
    const page = await call("GET", `${events}?limit=2`, accept);
    expect(api.ForkEventPage.parse(page.body)).toEqual(page.body);
    expect(page.body).toMatchObject({ ended: false, next_after: 2, events: [{ event: "state" }, { event: "children" }] });
    expect((await call("GET", `${events}?after=2&wait_ms=10`, accept)).body).toMatchObject({ ended: true, events: [{ seq: 3 }] });
  });

  it("lists children by state, page by page, and forks newest first", async () => {
    const { body } = await call("POST", path, { json: { count: 5 } });
    forks.move(forks.last(), [1, 3, 4], "succeeded");
    const children = `/v1/forks/${body.id}/children`;
    const page = await call("GET", `${children}?state=succeeded&limit=2`);
    expect(api.ForkChildPage.parse(page.body)).toEqual(page.body);
    expect(page.body).toMatchObject({ children: [{ index: 1, outcome: { stdout: "out 1\n" } }, { index: 3 }], next_after: 3 });
    expect((await call("GET", `${children}?state=succeeded&state=waiting&after=3`)).body).toMatchObject({
      children: [{ index: 4 }],
      next_after: null,
    });
    const mine = await call("GET", `/v1/forks?sandbox=${parent}&limit=1`);
    expect(api.ForkPage.parse(mine.body)).toEqual(mine.body);
    expect(mine.body.forks).toMatchObject([{ id: body.id }]);
    expect((await call("GET", `/v1/forks?cursor=${mine.body.next_cursor}`)).body.forks.length).toBeGreaterThan(0);
    expect((await call("GET", `/v1/forks?sandbox=${newId("sbx")}`)).body).toEqual({ forks: [], next_cursor: null });
  });

  it("is cancelled, and the answer says what became of it", async () => {
    const { body } = await call("POST", path, { json: { count: 2 } });
    expect(await call("POST", `/v1/forks/${body.id}/cancel`, { json: { delete_children: true } })).toMatchObject({
      status: 200,
      body: { state: "cancelled", counts: { cancelled: 2 } },
    });
  });
});

describe("a program with the SDK", () => {
  const handle = () => banyan.sandboxes.at(parent);

  it("has each child once, as they finish, with how it ended", async () => {
    const fork = await handle().fork(120, { run: "x", policy: "all" });
    const fake = forks.last();
    const seen: ForkChild[] = [];
    const loop = (async () => {
      for await (const child of fork) seen.push(child);
    })();
    forks.move(fake, [100, 3, 4], "succeeded");
    await eventually(async () => seen.length === 3);
    expect(seen.map(({ index, outcome }) => `${index} ${outcome?.stdout}`).toSorted()).toEqual(["100 out 100\n", "3 out 3\n", "4 out 4\n"]);
    const rest = fake.children.map(({ index }) => index).filter((index) => ![100, 3, 4, 7].includes(index));
    forks.move(fake, rest, "running");
    forks.move(fake, rest, "succeeded");
    forks.move(fake, [7], "lost");
    forks.end(fake, "done");
    await loop;
    expect(seen.map(({ index }) => index).toSorted((a, b) => a - b)).toEqual(fake.children.map(({ index }) => index));
    expect(seen.at(-1)).toMatchObject({ index: 7, state: "lost" });
    expect((await fork.winner()).info.endedAt, "with `all` it is the one that ended first").toBe(
      seen.flatMap(({ info }) => info.endedAt ?? []).toSorted()[0],
    );
  });

  it("has children that only start as soon as they run", async () => {
    const fork = await handle().fork(2);
    const fake = forks.last();
    forks.move(fake, [0, 1], "starting");
    forks.move(fake, [0], "running");
    forks.move(fake, [1], "running");
    forks.end(fake, "done");
    const states: string[] = [];
    for await (const { index, state } of fork) states.push(`${index} ${state}`);
    expect(states).toEqual(["0 running", "1 running"]);
    expect((await fork.wait()).state).toBe("done");
  });

  it("awaits the winner, or hears that there is none", async () => {
    const fork = await handle().fork(2, { run: "x", policy: "first_success" });
    const fake = forks.last();
    const winner = fork.winner();
    forks.move(fake, [1], "succeeded");
    forks.end(fake, "done", 1);
    expect((await winner).sandbox().id).toBe(fake.children[1]?.sandboxId);
    const without = await handle().fork(1, { run: "x", policy: "first_success" });
    forks.end(forks.last(), "done");
    await expect(without.winner().promote()).rejects.toMatchObject({ code: "client.no_winner" });
  });

  it("takes up a loop again whose connection is cut", async () => {
    let cuts = 0;
    const cutting: typeof fetch = async (input, init) => {
      const response = await fetch(input, init);
      if (!String(input).includes("/events") || cuts >= 2 || response.body === null) return response;
      cuts++;
      // After its first event the connection is gone.
      const reader = response.body.getReader();
      const first = await reader.read();
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          if (first.value) controller.enqueue(first.value);
        },
        async pull(controller) {
          await reader.cancel();
          controller.error(new Error("cut"));
        },
      });
      return new Response(body, { status: response.status, headers: response.headers });
    };
    const cut = new Banyan({ url, apiKey: BOOTSTRAP_KEY, fetch: cutting });
    const fork = await cut.forks.create({ image: "default", count: 3 });
    const fake = forks.last();
    for (const index of [0, 1, 2]) forks.move(fake, [index], "running");
    forks.end(fake, "done");
    const indices: number[] = [];
    for await (const { index } of fork) indices.push(index);
    expect([indices, cuts]).toEqual([[0, 1, 2], 2]);
  });
});

describe("a person at the command line", () => {
  const main = fileURLToPath(new URL("../../../packages/cli/src/main.ts", import.meta.url));
  interface Run {
    code: number;
    stdout: string;
    stderr: string;
  }
  const cli = (...args: string[]): Promise<Run> =>
    new Promise((resolve) => {
      const env = { PATH: process.env.PATH, BANYAN_URL: url, BANYAN_API_KEY: BOOTSTRAP_KEY };
      execFile(process.execPath, [main, ...args], { env }, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr }),
      );
    });

  it("says all that a fork can be asked", async () => {
    const flags = ["-n", "4", "--cmd", "run me", "--best", "max", "-e", "A=1", "--env-cycle", "B=x,y", "--name", "try", "-l", "task=7"];
    const more = [
      "--cwd",
      "/srv",
      "--timeout",
      "500",
      "--output-bytes",
      "10",
      "--output-to-files",
      "--cpu",
      "0.5",
      "--idle-timeout",
      "never",
    ];
    const last = ["--max-parallel", "2", "--spread", "pack", "--retries", "0", "--deadline", "60", "--after", "delete", "--losers", "keep"];
    const { code, stdout, stderr } = await cli("fork", parent, ...flags, ...more, ...last, "--detach");
    expect(code, stderr).toBe(0);
    expect(stdout.trim()).toBe(forks.last().fork.id);
    const command = { argv: ["/bin/sh", "-c", "run me"], env: {}, cwd: "/srv", user: null, stdin: null };
    expect(forks.orders.at(-1)?.spec).toEqual({
      ...{ count: 4, name: "try", env: { A: "1" }, envCycle: { B: ["x", "y"] }, each: [], labels: { task: "7" } },
      ...{ resources: { cpu: 0.5 }, network: null, policy: { kind: "best", goal: "max" }, after: "delete", losers: "keep", spread: "pack" },
      ...{ maxParallel: 2, retries: 0, deadlineS: 60, volumes: [] },
      lifetime: { idleTimeoutS: null, maxLifetimeS: null, onIdle: "delete", onExpiry: "delete" },
      command: { ...command, timeoutMs: 500, outputMaxBytes: 10, outputToFiles: true },
    });
  }, 60_000);

  it("hears how a fork goes on, then sees a line a child, and ends as the fork did", async () => {
    const { answer, fake } = await asked(cli("fork", "team/app:1", "-n", "3", "-c", "x", "--max", "2"));
    forks.move(fake, [0, 1], "succeeded");
    forks.move(fake, [2], "failed");
    forks.end(fake, "done");
    const { code, stdout, stderr } = await answer;
    expect(code).toBe(1);
    expect(stderr).toBe(`${fake.fork.id}\nrunning\n2/3  2 succeeded, 1 waiting\n3/3  2 succeeded, 1 failed\ndone\n`);
    expect(stdout).toMatch(
      /^INDEX .*OUTPUT\n0 +sbx_\w+ +succeeded +0 +0\.00 +- +out 0\n1 .*\n… 1 more: banyan forks get frk_\w+ --max 3\n/,
    );
    expect(stdout).toMatch(/source +team\/app:1\nstate +done\nchildren +3: 2 succeeded, 1 failed/);
    expect((await cli("forks", "ls", "-m", "1")).stdout).toMatch(/frk_\w+ +done +team\/app:1 +3 +2 succeeded, 1 failed +- /);
    expect((await cli("forks", "get", fake.fork.id)).stdout).toMatch(/2 +sbx_\w+ +failed/);
  }, 60_000);

  it("ends well with a winner, and is told how to keep it", async () => {
    const { answer, fake } = await asked(cli("fork", parent, "-n", "2", "-c", "x", "--policy", "first_success"));
    forks.move(fake, [1], "succeeded");
    forks.end(fake, "done", 1);
    const { code, stdout } = await answer;
    expect(code).toBe(0);
    expect(stdout).toContain(`banyan promote ${fake.children[1]?.sandboxId}`);
  }, 60_000);

  it("cancels, and is told what is wrong", async () => {
    const id = (await cli("fork", parent, "-n", "1", "--keep", "--detach")).stdout.trim();
    expect((await cli("forks", "cancel", id)).stdout).toBe(`${id}  cancelled  1 cancelled\n`);
    expect(await cli("fork", parent)).toMatchObject({ code: 1, stderr: expect.stringContaining("give `count`") });
    expect(await cli("fork", parent, "--best", "most")).toMatchObject({ code: 1, stderr: expect.stringContaining("Allowed choices") });
    expect(await cli("forks", "get", "frk_nope")).toMatchObject({ code: 1, stderr: expect.stringContaining("GET /v1/forks") });
  }, 60_000);
});
