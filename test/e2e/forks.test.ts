import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Banyan, type Fork, type ForkChild, isBanyanError, type Sandbox } from "@banyan/sdk";
import { eventually } from "@banyan/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { endBanyan } from "./clear-away.ts";
import { IMAGE_MS, makeDataDir, PATIENCE_MS, ROOT, startBanyan, type TestBanyan } from "./start-banyan.ts";
import { untilReady } from "./until-ready.ts";

const CLI = join(ROOT, "packages/cli/src/main.ts");
const FORK_MS = 120_000;
let running: TestBanyan;
let banyan: Banyan;
let files: string;
const made: Sandbox[] = [];
const forked: Fork[] = [];

beforeAll(async () => {
  running = await startBanyan(await makeDataDir(), { BANYAN_POOL_SIZE: "6" });
  banyan = running.banyan;
  await untilReady(banyan);
  files = await mkdtemp(join(tmpdir(), "banyan-forks-"));
}, IMAGE_MS + PATIENCE_MS);
afterEach(async () => {
  for (const fork of forked.splice(0)) await fork.cancel({ deleteChildren: true });
  for (const sandbox of made.splice(0)) await sandbox.delete();
  await eventually(async () => (await banyan.usage()).usage.sandboxes === 0, { timeoutMs: PATIENCE_MS });
}, PATIENCE_MS);
afterAll(async () => {
  await rm(files, { recursive: true, force: true });
  await endBanyan(running);
}, PATIENCE_MS);

async function prepared(command = "echo prepared > /workspace/base"): Promise<Sandbox> {
  const sandbox = await banyan.sandboxes.create({ waitMs: 60_000, env: { GREETING: "hello" }, labels: { of: "parent" } });
  made.push(sandbox);
  expect((await sandbox.exec(command)).exitCode).toBe(0);
  return sandbox;
}

/** Deleted with its children after the test. */
async function tidied(fork: Promise<Fork>): Promise<Fork> {
  const started = await fork;
  forked.push(started);
  return started;
}

async function all(fork: Fork): Promise<ForkChild[]> {
  const children: ForkChild[] = [];
  for await (const child of fork) children.push(child);
  return children.toSorted((a, b) => a.index - b.index);
}
const outputs = (children: ForkChild[]): (string | undefined)[] => children.map(({ outcome }) => outcome?.stdout);

async function outputOf(sandbox: { exec: Sandbox["exec"] }, command: string): Promise<string> {
  const { stdout, stderr, exitCode } = await sandbox.exec(command);
  expect(exitCode, stderr).toBe(0);
  return stdout.trim();
}

const count = (fork: Fork, counts: Partial<Fork["info"]["counts"]>): void => {
  const { total, ...states } = fork.info.counts;
  expect(Object.values(states).reduce((sum, one) => sum + one, 0)).toBe(total);
  expect(fork.info.counts).toMatchObject(counts);
};

describe("a fork of a running sandbox", () => {
  it(
    "runs a command in each child, which sees its index and the parent's files and changes nothing but its own",
    async () => {
      const parent = await prepared("echo prepared > /workspace/base; (sleep 1000 >/dev/null 2>&1 &)");
      const fork = await tidied(
        parent.fork(5, {
          name: "try",
          labels: { of: "child" },
          run: "cat /workspace/base; echo $GREETING $BANYAN_FORK_INDEX $BANYAN_FORK_COUNT $BANYAN_PARENT_ID $BANYAN_FORK_ID; ls /workspace; echo mine > /workspace/own-$BANYAN_FORK_INDEX; rm /workspace/base; pgrep sleep",
        }),
      );
      const children = await all(fork);
      expect(outputs(children)).toEqual([0, 1, 2, 3, 4].map((index) => `prepared\nhello ${index} 5 ${parent.id} ${fork.id}\nbase\n`));
      expect(
        children.map(({ outcome }) => outcome?.exitCode),
        "pgrep: no process came along",
      ).toEqual([1, 1, 1, 1, 1]);
      expect(children.map(({ state }) => state)).toEqual(Array(5).fill("failed"));
      expect(children[0]?.outcome?.changes).toMatchObject({ added: 1, deleted: 1 });
      const info = await fork.wait();
      expect(info).toMatchObject({ state: "done", includes: ["files"], winner: null, source: { sandbox: parent.id }, after: "stop" });
      expect(info.freeze?.way).toMatch(/restack|copy/);
      count(fork, { total: 5, failed: 5 });
      expect(await outputOf(parent, "ls /workspace; pgrep -c sleep")).toBe("base\n1");
      const child = await banyan.sandboxes.get(children[3]?.sandbox().id ?? "");
      expect(child.info).toMatchObject({
        state: "stopped",
        name: "try-3",
        labels: { of: "child" },
        origin: { forkId: fork.id, index: 3, parentId: parent.id },
      });
    },
    FORK_MS,
  );

  it(
    "keeps children that live side by side without a command, each a machine of its own",
    async () => {
      const parent = await prepared();
      const fork = await tidied(parent.fork(3, { env: { ME: "{index} of {count}" } }));
      const children = await all(fork);
      expect(children.map(({ state }) => state)).toEqual(["running", "running", "running"]);
      const sandboxes = children.map((child) => child.sandbox());
      await Promise.all(sandboxes.map((sandbox, index) => sandbox.files.write("/workspace/me", `child ${index}`)));
      const seen = await Promise.all(
        sandboxes.map((sandbox) => outputOf(sandbox, "cat /workspace/me; echo; echo $ME; cat /workspace/base")),
      );
      expect(seen).toEqual([0, 1, 2].map((index) => `child ${index}\n${index} of 3\nprepared`));
      expect(new Set(await Promise.all(sandboxes.map((sandbox) => outputOf(sandbox, "hostname")))).size).toBe(3);
      expect(await outputOf(parent, "ls /workspace")).toBe("base");
      await fork.wait();
      count(fork, { total: 3, running: 3 });
    },
    FORK_MS,
  );

  it(
    "gives every child input, files and variables of its own, and keeps long output in the child",
    async () => {
      const parent = await prepared();
      const fork = await tidied(
        parent.fork({
          each: [
            { env: { WHO: "a" }, stdin: "in a", files: { "/srv/deep/given": "file a" } },
            { env: { WHO: "b" }, stdin: "in b", files: { "/srv/deep/given": "file b" } },
          ],
          envCycle: { TURN: ["x"] },
          run: {
            command: 'echo "$WHO $TURN $(cat) $(cat /srv/deep/given)"; seq 1 2000',
            outputMaxBytes: 20,
            outputToFiles: true,
            cwd: "/",
          },
          after: "keep",
        }),
      );
      const [first, second] = await all(fork);
      expect(first?.outcome).toMatchObject({ exitCode: 0, stdoutTruncated: true });
      expect(first?.outcome?.stdout).toMatch(/^a x in a file a\n/);
      expect(second?.outcome?.stdout).toMatch(/^b x in b file b\n/);
      const kept = second?.sandbox() ?? expect.fail("no second child");
      expect(await outputOf(kept, "tail -1 /var/tmp/banyan-fork/stdout; wc -l < /var/tmp/banyan-fork/stdout")).toBe("2000\n2001");
    },
    FORK_MS,
  );

  it(
    "runs in waves where few may run at once",
    async () => {
      const parent = await prepared();
      const fork = await tidied(parent.fork(6, { run: "sleep 0.3", maxParallel: 2, after: "delete" }));
      let atOnce = 0;
      for await (const event of fork.events()) {
        if (event.event === "children") atOnce = Math.max(atOnce, event.counts.starting + event.counts.running);
      }
      expect(await fork.look()).toMatchObject({ state: "done", inWaves: true });
      expect(atOnce).toBeLessThanOrEqual(2);
      count(fork, { total: 6, succeeded: 6 });
    },
    FORK_MS,
  );
});

describe("a policy", () => {
  it(
    "takes the first that succeeds, and ends and deletes the rest",
    async () => {
      const parent = await prepared();
      const fork = await tidied(
        parent.fork(4, { run: "[ $BANYAN_FORK_INDEX = 2 ] && echo won > /workspace/won || sleep 100", policy: "first_success" }),
      );
      const winner = await fork.winner();
      expect([winner.index, winner.state]).toEqual([2, "succeeded"]);
      expect(fork.info).toMatchObject({ state: "done", winner: { index: 2, sandboxId: winner.sandbox().id } });
      expect(fork.info.fix).toContain(`/v1/sandboxes/${winner.sandbox().id}/promote`);
      count(fork, { total: 4, succeeded: 1, cancelled: 3 });
      expect(await outputOf(winner.sandbox(), "cat /workspace/won")).toBe("won");
      const left: string[] = [];
      await eventually(async () => {
        left.length = 0;
        for await (const { id, info } of banyan.sandboxes.list({ states: ["running", "starting", "stopped", "stopping"] })) {
          if (info.origin?.forkId === fork.id) left.push(id);
        }
        return left.length === 1;
      });
      expect(left).toEqual([winner.sandbox().id]);
    },
    FORK_MS,
  );

  it(
    "takes the best number, and the parent goes on from its files under its own id",
    async () => {
      const parent = await prepared();
      const forks = await tidied(
        parent.fork(3, {
          run: "echo $RATE > /workspace/rate; echo trained; echo $RATE",
          envCycle: { RATE: ["0.5", "2.5", "1"] },
          policy: { best: "max" },
        }),
      );
      const scores = new Map<number, number | null>();
      for await (const child of forks) scores.set(child.index, child.score);
      const promotion = await forks.winner().promote();
      expect(promotion).toMatchObject({ parentId: parent.id, state: "running" });
      expect(scores.get(1)).toBe(2.5);
      expect(await outputOf(parent, "cat /workspace/rate /workspace/base")).toBe("2.5\nprepared");
      expect(await parent.look()).toMatchObject({ state: "running", id: parent.id });
      const { sandboxes, rootId } = await parent.lineage();
      expect(rootId).toBe(parent.id);
      expect(sandboxes[0]?.promotions).toMatchObject([{ childId: promotion.childId, forced: false }]);
    },
    FORK_MS,
  );

  it(
    "promotes over what the parent has changed since only by force, and names it",
    async () => {
      const parent = await prepared();
      const forks = await tidied(parent.fork(1, { run: "echo child > /workspace/who" }));
      await forks.wait();
      await outputOf(parent, "echo parent > /workspace/who");
      const refused = await forks
        .winner()
        .promote()
        .catch((error: unknown) => error);
      expect(isBanyanError(refused, "fork.parent_changed") && refused.details).toMatchObject({ changed: ["/workspace/who"] });
      expect(await outputOf(parent, "cat /workspace/who")).toBe("parent");
      await forks.winner().promote({ force: true });
      expect(await outputOf(parent, "cat /workspace/who")).toBe("child");
    },
    FORK_MS,
  );
});

describe("what is forked", () => {
  it(
    "may be an image",
    async () => {
      const fork = await tidied(
        banyan.forks.create({ image: "default", count: 2, run: ["python3", "-c", "print(6 * 7)"], after: "delete" }),
      );
      expect(outputs(await all(fork))).toEqual(["42\n", "42\n"]);
      expect(await fork.wait()).toMatchObject({ source: { image: "default" }, freeze: { way: "none" } });
      const promote = fork.child(0).then((child) => child.promote());
      await expect(promote).rejects.toMatchObject({
        code: expect.stringMatching(/fork\.no_parent|sandbox\.(not_found|illegal_transition)/),
      });
    },
    FORK_MS,
  );

  it(
    "may be a snapshot",
    async () => {
      const parent = await prepared();
      const snapshot = await parent.snapshot();
      const fork = await tidied(banyan.forks.create({ snapshot: snapshot.id, count: 2, run: "cat /workspace/base" }));
      expect(outputs(await all(fork))).toEqual(["prepared\n", "prepared\n"]);
    },
    FORK_MS,
  );

  it(
    "may be stopped, and may be the child of another fork",
    async () => {
      const parent = await prepared();
      await parent.stop();
      const first = await tidied(parent.fork(2, { run: "echo first-$BANYAN_FORK_INDEX > /workspace/first", name: "first" }));
      const [, child] = await all(first);
      expect(first.info).toMatchObject({ freeze: { way: "stopped" } });
      const between = child?.sandbox() ?? expect.fail("no child");
      const second = await tidied(between.fork(2, { run: "cat /workspace/base /workspace/first; echo $BANYAN_PARENT_ID" }));
      expect(outputs(await all(second))).toEqual(Array(2).fill(`prepared\nfirst-1\n${between.id}\n`));
      const { sandboxes, rootId, forks } = await between.lineage();
      expect([rootId, sandboxes.length, forks.length]).toEqual([parent.id, 5, 2]);
      const tree = await cli("tree", between.id);
      expect(tree.stdout.split("\n")).toEqual([
        `${parent.id}  stopped`,
        `└─ ${first.id}  done  2 succeeded`,
        expect.stringMatching(/^ {3}├─ #0 {2}sbx_\w+ {2}first-0 {2}stopped$/),
        `   └─ #1  ${between.id}  first-1  stopped  ← here`,
        `      └─ ${second.id}  done  2 succeeded`,
        expect.stringMatching(/^ {9}├─ #0 {2}sbx_\w+ {2}stopped$/),
        expect.stringMatching(/^ {9}└─ #1 {2}sbx_\w+ {2}stopped$/),
        "",
      ]);
    },
    FORK_MS,
  );
});

describe("an end before the end", () => {
  it(
    "by cancel leaves nothing that runs, and counts that add up",
    async () => {
      const parent = await prepared();
      const fork = await tidied(parent.fork(4, { run: "sleep 1000", maxParallel: 3 }));
      for await (const event of fork.events()) {
        if (event.event === "children" && event.counts.running === 3) break;
      }
      await fork.cancel();
      expect(await fork.wait()).toMatchObject({ state: "cancelled" });
      count(fork, { total: 4, cancelled: 4 });
      await eventually(async () => {
        for await (const { info } of banyan.sandboxes.list({ states: ["running", "starting", "stopped"] })) {
          if (info.origin?.forkId === fork.id) return false;
        }
        return true;
      });
      expect((await parent.look()).state).toBe("running");
    },
    FORK_MS,
  );

  it(
    "by the deadline says so",
    async () => {
      const parent = await prepared();
      const fork = await tidied(parent.fork(2, { run: "sleep 1000", deadlineS: 2 }));
      expect(await fork.wait()).toMatchObject({ state: "cancelled", stateReason: "deadline" });
    },
    FORK_MS,
  );

  it(
    "of the parent does no harm to its children",
    async () => {
      const parent = await prepared();
      const fork = await tidied(parent.fork(2, { run: "sleep 2; cat /workspace/base" }));
      for await (const event of fork.events()) if (event.event === "children" && event.counts.running === 2) break;
      await parent.delete();
      expect(outputs(await all(fork))).toEqual(["prepared\n", "prepared\n"]);
    },
    FORK_MS,
  );
});

describe("what cannot be", () => {
  it("is refused with the field that is wrong", async () => {
    const parent = await prepared();
    const cases: [Parameters<Sandbox["fork"]>[0], string][] = [
      [0 as never, "count"],
      [-1 as never, "count"],
      [1e9 as never, "count"],
    ];
    for (const [number, path] of cases) {
      const error = await parent.fork(number as never).catch((thrown: unknown) => thrown);
      expect(isBanyanError(error, "request.invalid") && JSON.stringify(error.details)).toContain(`"path":"${path}"`);
    }
    const collision = parent.fork(2, { env: { A: "1" }, envCycle: { A: ["2"] } });
    await expect(collision).rejects.toMatchObject({ code: "request.invalid", message: expect.stringContaining("env_cycle.A") });
  });

  it("is refused of a sandbox that is gone, and of an image that never was", async () => {
    const gone = await prepared();
    await gone.delete();
    await expect(gone.fork(1)).rejects.toMatchObject({
      code: expect.stringMatching(/sandbox\.(not_found|illegal_transition)/),
    });
    await expect(banyan.forks.create({ image: "no-such-image", count: 1 })).rejects.toMatchObject({ code: "image.not_found" });
  });

  it("fails in the child alone where only that is wrong", { timeout: FORK_MS }, async () => {
    const parent = await prepared();
    const fork = await tidied(parent.fork(2, { run: ["/no/such/program"] }));
    for (const child of await all(fork)) expect(child.state).toBe("failed");
    expect((await fork.wait()).state).toBe("done");
    count(fork, { total: 2, failed: 2 });
  });
});

interface Run {
  code: number;
  stdout: string;
  stderr: string;
}

function cli(...args: string[]): Promise<Run> {
  const env = { ...process.env, NO_COLOR: "1", BANYAN_URL: running.url, BANYAN_API_KEY: running.apiKey };
  return new Promise((resolve) => {
    execFile(process.execPath, [CLI, ...args], { env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr }),
    );
  });
}

describe("a person at the command line", () => {
  it(
    "forks, reads the table, and promotes the winner",
    async () => {
      const parent = await prepared();
      const ran = await cli(
        "fork",
        parent.id,
        "-n",
        "3",
        "--cmd",
        "echo $BANYAN_FORK_INDEX > /workspace/i; echo out; echo $((BANYAN_FORK_INDEX * 10))",
        "--best",
        "max",
      );
      expect(ran.code, ran.stderr).toBe(0);
      expect(ran.stderr).toMatch(/running\n(.*\n)*3\/3 {2}3 succeeded\n/);
      expect(ran.stdout).toMatch(/INDEX +SANDBOX +STATE +EXIT +SECONDS +SCORE +CHANGES +OUTPUT/);
      expect(ran.stdout).toMatch(/^2\* +sbx_\w+ +succeeded +0 +\d\.\d\d +20 +\+1 ~0 -0 +out$/m);
      const [, winner = ""] = /^banyan promote (sbx_\w+)/m.exec(ran.stdout) ?? [];
      expect((await cli("promote", winner)).stdout).toContain(`${parent.id}  goes on from ${winner}  running`);
      expect(await outputOf(parent, "cat /workspace/i")).toBe("2");
      const [id = ""] = /frk_\w+/.exec(ran.stdout) ?? [];
      forked.push(await banyan.forks.get(id));
      expect((await cli("forks", "ls", "--sandbox", parent.id)).stdout).toMatch(new RegExp(`${id} +done +${parent.id} +3 `));
      expect((await cli("tree", parent.id)).stdout).toContain(`took over ${winner}`);
    },
    FORK_MS,
  );

  it(
    "hears of failures by the exit code, starts what goes on alone, and ends it",
    async () => {
      const parent = await prepared();
      const each = join(files, "each.json");
      await writeFile(each, JSON.stringify([{ env: { CODE: "0" } }, { env: { CODE: "3" } }]));
      const failed = await cli("fork", parent.id, "--each", each, "--cmd", "exit $CODE", "--json", "--after", "delete");
      expect(failed.code).toBe(1);
      const shown = JSON.parse(failed.stdout) as { counts: object; children: { outcome: { exitCode: number } }[] };
      expect(shown.counts).toMatchObject({ succeeded: 1, failed: 1 });
      expect(shown.children.map(({ outcome }) => outcome.exitCode)).toEqual([0, 3]);
      const id = (await cli("fork", parent.id, "-n", "2", "--cmd", "sleep 1000", "--detach")).stdout.trim();
      expect(id).toMatch(/^frk_\w+$/);
      forked.push(await banyan.forks.get(id));
      expect((await cli("forks", "get", id)).stdout).toContain(`source    ${parent.id}`);
      expect((await cli("forks", "cancel", id, "--delete-children")).code).toBe(0);
      await (await banyan.forks.get(id)).wait();
      expect((await cli("fork", parent.id, "-n", "0")).stderr).toContain("count");
    },
    FORK_MS,
  );

  it(
    "archives what is stopped, and starts it again",
    async () => {
      const sandbox = await prepared();
      await sandbox.stop();
      expect((await cli("archive", sandbox.id)).stdout).toContain(`${sandbox.id}  stopped  archived`);
      await sandbox.start({ waitMs: 60_000 });
      expect(await outputOf(sandbox, "cat /workspace/base")).toBe("prepared");
    },
    FORK_MS,
  );
});

describe("an agent over HTTP", () => {
  const post = (path: string, body: object, headers: Record<string, string> = {}) =>
    fetch(`${running.url}${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${running.apiKey}`, ...headers },
      body: JSON.stringify(body),
    });

  it(
    "waits for the end in one call, and gets the same fork for the same key",
    async () => {
      const parent = await prepared();
      const headers = { prefer: "wait=60", "idempotency-key": `fork-${Date.now()}` };
      const ask = () => post(`/v1/sandboxes/${parent.id}/forks`, { count: 2, command: "true" }, headers);
      const first = await ask();
      expect([first.status, first.headers.get("preference-applied")]).toEqual([200, "wait=60"]);
      const fork = (await first.json()) as { id: string };
      expect(fork).toMatchObject({ state: "done", counts: { succeeded: 2 } });
      expect(first.headers.get("location")).toBe(`/v1/forks/${fork.id}`);
      const second = await ask();
      expect([second.status, second.headers.get("idempotency-replayed")]).toEqual([200, "true"]);
      expect(await second.json()).toMatchObject({ id: fork.id, state: "done" });
      forked.push(await banyan.forks.get(fork.id));
    },
    FORK_MS,
  );

  it(
    "hears the way of it as events, the last of which is the fork",
    async () => {
      const answer = await post(
        "/v1/forks",
        { source: { image: "default" }, count: 2, command: "true", after: "delete" },
        { accept: "text/event-stream" },
      );
      expect(answer.headers.get("content-type")).toContain("text/event-stream");
      const text = await answer.text();
      const names = [...text.matchAll(/^event: (\w+)$/gm)].map(([, name]) => name);
      expect(names.at(-1)).toBe("fork");
      expect(new Set(names)).toEqual(new Set(["state", "children", "fork"]));
      const ids = [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));
      expect(ids).toEqual(ids.map((_, index) => index + 1));
    },
    FORK_MS,
  );
});
