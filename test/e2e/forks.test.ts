import { isBanyanError } from "@banyan/sdk";
import { eventually } from "@banyan/testkit";
import { describe, expect, it } from "vitest";
import { childrenOf, expectCounts, FORK_MS, forkingBanyan, outputOf, outputs } from "./forking-banyan.ts";

const here = forkingBanyan();
const { prepared, tidied, cli } = here;

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
      const children = await childrenOf(fork);
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
      expectCounts(fork, { total: 5, failed: 5 });
      expect(await outputOf(parent, "ls /workspace; pgrep -c sleep")).toBe("base\n1");
      const child = await here.banyan.sandboxes.get(children[3]?.sandbox().id ?? "");
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
      const children = await childrenOf(fork);
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
      expectCounts(fork, { total: 3, running: 3 });
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
      const [first, second] = await childrenOf(fork);
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
      expectCounts(fork, { total: 6, succeeded: 6 });
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
      expectCounts(fork, { total: 4, succeeded: 1, cancelled: 3 });
      expect(await outputOf(winner.sandbox(), "cat /workspace/won")).toBe("won");
      const left: string[] = [];
      await eventually(async () => {
        left.length = 0;
        for await (const { id, info } of here.banyan.sandboxes.list({ states: ["running", "starting", "stopped", "stopping"] })) {
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
        here.banyan.forks.create({ image: "default", count: 2, run: ["python3", "-c", "print(6 * 7)"], after: "delete" }),
      );
      expect(outputs(await childrenOf(fork))).toEqual(["42\n", "42\n"]);
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
      const fork = await tidied(here.banyan.forks.create({ snapshot: snapshot.id, count: 2, run: "cat /workspace/base" }));
      expect(outputs(await childrenOf(fork))).toEqual(["prepared\n", "prepared\n"]);
    },
    FORK_MS,
  );

  it(
    "may be stopped, and may be the child of another fork",
    async () => {
      const parent = await prepared();
      await parent.stop();
      const first = await tidied(parent.fork(2, { run: "echo first-$BANYAN_FORK_INDEX > /workspace/first", name: "first" }));
      const [, child] = await childrenOf(first);
      expect(first.info).toMatchObject({ freeze: { way: "stopped" } });
      const between = child?.sandbox() ?? expect.fail("no child");
      const second = await tidied(between.fork(2, { run: "cat /workspace/base /workspace/first; echo $BANYAN_PARENT_ID" }));
      expect(outputs(await childrenOf(second))).toEqual(Array(2).fill(`prepared\nfirst-1\n${between.id}\n`));
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
      expectCounts(fork, { total: 4, cancelled: 4 });
      await eventually(async () => {
        for await (const { info } of here.banyan.sandboxes.list({ states: ["running", "starting", "stopped"] })) {
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
      expect(outputs(await childrenOf(fork))).toEqual(["prepared\n", "prepared\n"]);
    },
    FORK_MS,
  );
});
