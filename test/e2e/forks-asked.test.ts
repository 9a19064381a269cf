import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isBanyanError, type Sandbox } from "@banyan/sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { childrenOf, expectCounts, FORK_MS, forkingBanyan, outputOf } from "./forking-banyan.ts";

const here = forkingBanyan();
const { prepared, tidied, cli } = here;
let files: string;
beforeAll(async () => {
  files = await mkdtemp(join(tmpdir(), "banyan-forks-"));
});
afterAll(() => rm(files, { recursive: true, force: true }));

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
    await expect(here.banyan.forks.create({ image: "no-such-image", count: 1 })).rejects.toMatchObject({ code: "image.not_found" });
  });

  it("fails in the child alone where only that is wrong", { timeout: FORK_MS }, async () => {
    const parent = await prepared();
    const fork = await tidied(parent.fork(2, { run: ["/no/such/program"] }));
    for (const child of await childrenOf(fork)) expect(child.state).toBe("failed");
    expect((await fork.wait()).state).toBe("done");
    expectCounts(fork, { total: 2, failed: 2 });
  });
});

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
      await tidied(here.banyan.forks.get(id));
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
      await tidied(here.banyan.forks.get(id));
      expect((await cli("forks", "get", id)).stdout).toContain(`source    ${parent.id}`);
      expect((await cli("forks", "cancel", id, "--delete-children")).code).toBe(0);
      await (await here.banyan.forks.get(id)).wait();
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
    fetch(`${here.url}${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${here.apiKey}`, ...headers },
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
      await tidied(here.banyan.forks.get(fork.id));
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
