import { newId } from "@banyan/kernel";
import { compareSandbox, deleteMany, deleteSandbox, shipLayers, startSandbox, stopSandbox } from "@banyan/runner-agent";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { command, forkPoint, manyOrder, outcomesOf, startChildren } from "./fork-harness.ts";
import { start, stopOf, type TestNode, testNode } from "./test-node.ts";

const STARTED = { kind: "started" };
let node: TestNode;
beforeAll(async () => {
  node = await testNode({ pool: { target: 8, parallel: 2, perS: 50, slotsMax: 100, quietMs: 0 } });
});
afterAll(() => node.end());

const refOf = ({ sandboxId, epoch }: { sandboxId: string; epoch: number }) => ({ sandboxId, epoch });
const states = () => new Map(node.parts.registry.entries().map(({ sandboxId, state }) => [sandboxId, state]));

async function ended(order: { forkId: string }, count: number) {
  await eventually(() => expect(outcomesOf(node, order)).toHaveLength(count), { timeoutMs: 20_000 });
  return outcomesOf(node, order);
}

describe("children of a fork", () => {
  it("start from the parent's files, each with its own name, variables and disk", async () => {
    const { layers } = await forkPoint(node, "echo parent > /mine");
    const order = manyOrder(node, 3, { layers });
    expect(await startChildren(node, order)).toMatchObject([STARTED, STARTED, STARTED]);
    for (const child of order.children) {
      const look = "cat /mine /etc/hostname; echo $BANYAN_FORK_INDEX; echo child >> /mine";
      const own = { ...node.order(), ...refOf(child), orgId: order.orgId };
      expect((await node.sh(own, look)).out).toBe(`parent\nchild-${child.index}\n${child.index}\n`);
    }
    expect(await deleteMany(node.parts, { sandboxes: order.children.map(refOf) })).toEqual({ stale: [] });
    for (const { sandboxId } of order.children) expect(states().has(sandboxId)).toBe(false);
  });

  it("run a command each and say how it ended, with what it changed", async () => {
    const { layers } = await forkPoint(node, "echo parent > /mine; echo gone > /gone");
    const shell =
      "cat; cat /own; echo err $SHARED $BANYAN_FORK_INDEX >&2; echo more >> /mine; rm /gone; mkdir /new; head -c 1000 /dev/zero > /new/file; exit $BANYAN_FORK_INDEX";
    const order = manyOrder(node, 3, { layers, command: command(shell, { stdin: "in ", env: { SHARED: "shared" } }) });
    const children = order.children.map((child) => ({ ...child, files: { "/own": `own ${child.index}\n` } }));
    children[2] = { ...children[2], stdin: "mine " } as (typeof children)[number];
    expect(await startChildren(node, { ...order, children })).toMatchObject([STARTED, STARTED, STARTED]);
    const outcomes = await ended(order, 3);
    expect(outcomes.map(({ index, sandbox, outcome }) => [index, sandbox, outcome?.exitCode, outcome?.stdout, outcome?.stderr])).toEqual([
      [0, "running", 0, "in own 0\n", "err shared 0\n"],
      [1, "running", 1, "in own 1\n", "err shared 1\n"],
      [2, "running", 2, "mine own 2\n", "err shared 2\n"],
    ]);
    // The file that it was given, /mine, /gone, /new and /new/file.
    for (const { outcome } of outcomes)
      expect(outcome).toMatchObject({ signal: null, timedOut: false, changes: { added: 3, changed: 1, deleted: 1 } });
    expect(outcomes[0]?.outcome?.durationMs).toBeGreaterThan(0);
  });

  it("are stopped or deleted after it as the fork wants, and nothing of those deleted stays", async () => {
    const { layers } = await forkPoint(node, "true");
    const stops = manyOrder(node, 2, { layers, command: command("echo kept > /kept", { after: "stop" }) });
    const deletes = manyOrder(node, 2, { layers, command: command("true", { after: "delete" }) });
    await startChildren(node, stops);
    await startChildren(node, deletes);
    expect((await ended(stops, 2)).map(({ sandbox }) => sandbox)).toEqual(["stopped", "stopped"]);
    expect((await ended(deletes, 2)).map(({ sandbox }) => sandbox)).toEqual(["deleted", "deleted"]);
    for (const { sandboxId } of stops.children) expect(states().get(sandboxId)).toBe("stopped");
    for (const { sandboxId } of deletes.children) {
      expect(states().has(sandboxId)).toBe(false);
      expect(node.parts.disk.driver.has(sandboxId)).toBe(false);
    }
    const [child] = stops.children;
    const again = { ...node.order({ layers }), sandboxId: child?.sandboxId ?? "", orgId: stops.orgId, epoch: 2, fresh: false };
    await start(node, again);
    expect((await node.sh(again, "cat /kept")).out).toBe("kept\n");
  });

  it("are answered like the first time when the message comes again, and no command runs twice", async () => {
    const { layers } = await forkPoint(node, "true");
    for (const after of ["keep", "stop", "delete"] as const) {
      const order = manyOrder(node, 2, { layers, command: command("echo run >> /var/tmp/runs; wc -l < /var/tmp/runs", { after }) });
      const answers = await Promise.all([startChildren(node, order), startChildren(node, order)]);
      await ended(order, 2);
      answers.push(await startChildren(node, order));
      for (const answer of answers) expect(answer).toMatchObject([STARTED, STARTED]);
      const outcomes = await ended(order, 2);
      expect(outcomes.map(({ outcome }) => outcome?.stdout)).toEqual(["1\n", "1\n"]);
    }
  });

  it("fail alone: one that cannot start harms no other", async () => {
    const order = manyOrder(node, 3, { command: command("true") });
    const [good, bad, deleted] = order.children;
    if (good === undefined || bad === undefined || deleted === undefined) throw new Error("there are three");
    await deleteSandbox(node.parts, refOf(deleted));
    const children = [good, { ...bad, files: { "/proc/none/file": "x" } }, deleted];
    expect(await startChildren(node, { ...order, children })).toMatchObject([
      STARTED,
      { kind: "failed", code: "sandbox.start_failed" },
      { kind: "refused", reason: "deleted" },
    ]);
    expect(states().has(bad.sandboxId)).toBe(false);
    expect(node.parts.disk.driver.has(bad.sandboxId)).toBe(false);
    expect((await ended(order, 1)).map(({ index }) => index)).toEqual([0]);
    const lost = manyOrder(node, 1, { layers: [...order.layers, { digest: `frozen:${newId("frz")}`, sizeBytes: 0 }] });
    await expect(startChildren(node, lost)).rejects.toMatchObject({ code: "layer.unavailable" });
  });

  it("are refused beyond the node's capacity, counted over the whole message", async () => {
    const before = node.parts.registry.used().memoryMb;
    const memoryMb = Math.ceil((node.parts.capacity.memoryMb - before) / 3) + 1;
    const order = manyOrder(node, 3, {});
    const answers = await startChildren(node, { ...order, resources: { ...order.resources, memoryMb } });
    expect(answers.map((answer) => (answer.kind === "refused" ? answer.reason : answer.kind))).toEqual(["started", "started", "capacity"]);
    await deleteMany(node.parts, { sandboxes: order.children.map(refOf) });
  });
});

describe("what was refused", () => {
  it("is not started by a copy of its message that comes later, also after a restart", async () => {
    const small = manyOrder(node, 1, { command: command("true") });
    const memoryMb = node.parts.capacity.memoryMb - node.parts.registry.used().memoryMb + 1;
    const tooLarge = { ...small, resources: { ...small.resources, memoryMb } };
    expect(await startChildren(node, tooLarge)).toMatchObject([{ kind: "refused", reason: "capacity" }]);
    const unfit = manyOrder(node, 2, { command: command("true") });
    const [bad, good] = unfit.children;
    if (bad === undefined || good === undefined) throw new Error("there are two");
    const failing = { ...unfit, children: [{ ...bad, files: { "/proc/none/file": "x" } }, good] };
    expect(await startChildren(node, failing)).toMatchObject([{ kind: "failed" }, STARTED]);
    const lost = manyOrder(node, 1, { layers: [...small.layers, { digest: `frozen:${newId("frz")}`, sizeBytes: 0 }] });
    await expect(startChildren(node, lost)).rejects.toMatchObject({ code: "layer.unavailable" });
    await ended(unfit, 1);
    for (const restarts of [false, true]) {
      if (restarts) {
        await node.stop("keep");
        node = await testNode(node.config);
      }
      const over = { kind: "refused", reason: "stale_epoch" };
      // There is room now, and nothing wrong with them.
      expect(await startChildren(node, small)).toMatchObject([over]);
      expect(await startChildren(node, unfit)).toMatchObject([over, STARTED]);
      expect(await startChildren(node, { ...lost, layers: small.layers })).toMatchObject([over]);
      for (const { sandboxId } of [small.children[0], bad, lost.children[0]].flatMap((child) => child ?? []))
        expect(states().has(sandboxId)).toBe(false);
    }
    expect(await startChildren(node, manyOrder(node, 1))).toMatchObject([STARTED]);
  });
});

describe("a child's command", () => {
  it("has its output cut at the bound, and in whole in files", async () => {
    const order = manyOrder(node, 1, {
      command: command("head -c 300000 /dev/zero | tr '\\0' a; echo b >&2", { outputMaxBytes: 10, outputToFiles: true }),
    });
    await startChildren(node, order);
    const [said] = await ended(order, 1);
    expect(said?.outcome).toMatchObject({ stdout: "a".repeat(10), stdoutBytes: 300_000, stderr: "b\n", stderrBytes: 2 });
    expect(said?.outcome?.changes).toEqual({ added: 0, changed: 0, deleted: 0, bytes: 0 });
    const own = { ...node.order(), sandboxId: said?.sandboxId ?? "", orgId: order.orgId };
    expect((await node.sh(own, "wc -c < /var/tmp/banyan-fork/stdout; cat /var/tmp/banyan-fork/stderr")).out).toBe("300000\nb\n");
  });

  it("says that memory killed it, and not so of another kill", async () => {
    const eats = "head -c 200000000 /dev/zero | tail";
    for (const [run, oomKilled] of [
      [eats, true],
      ["kill -9 $$", false],
    ] as const) {
      const order = manyOrder(node, 1, { command: command(run) });
      await startChildren(node, { ...order, resources: { ...order.resources, memoryMb: 64 } });
      const [said] = await ended(order, 1);
      expect(said?.outcome?.exitCode, run).not.toBe(0);
      expect(said?.outcome?.oomKilled, run).toBe(oomKilled);
    }
  });

  it("says that it ran out of time, was killed, or could not be run", async () => {
    const order = manyOrder(node, 1);
    const cases: [ReturnType<typeof command>, object][] = [
      [command("sleep 60", { timeoutMs: 100 }), { timedOut: true }],
      [command("kill -9 $$"), { exitCode: null, signal: "SIGKILL" }],
      [
        { ...command(""), argv: ["/no/such/command"] },
        { exitCode: 127, stderr: expect.stringContaining("not_found") },
      ],
      [command("true", { user: "nobody-of-that-name" }), { exitCode: 126 }],
      [command("pwd; id -un", { user: "nobody", cwd: "/tmp" }), { exitCode: 0, stdout: "/tmp\nnobody\n" }],
    ];
    for (const [run, expected] of cases) {
      const one = { ...manyOrder(node, 1, { command: run }), layers: order.layers };
      await startChildren(node, one);
      const [said] = await ended(one, 1);
      expect(said?.outcome).toMatchObject(expected);
    }
  });

  it("is not told of where its sandbox was deleted meanwhile, and told as interrupted where it was stopped", async () => {
    const order = manyOrder(node, 2, { command: command("sleep 300") });
    await startChildren(node, order);
    const [deleted, stopped] = order.children;
    if (deleted === undefined || stopped === undefined) throw new Error("there are two");
    await deleteSandbox(node.parts, refOf(deleted));
    await stopSandbox(node.parts, stopOf({ ...node.order(), ...refOf(stopped) }));
    await eventually(() => expect(node.parts.commands.size).toBe(0));
    expect(outcomesOf(node, order)).toMatchObject([{ index: 1, outcome: null, sandbox: "stopped" }]);
  });

  it("is told as interrupted at once where its slot is killed", async () => {
    const order = manyOrder(node, 2, { command: command("sleep 300") });
    await startChildren(node, order);
    for (const { sandboxId } of order.children) process.kill(node.parts.registry.get(sandboxId)?.run?.slot.pid ?? 0, "SIGKILL");
    expect((await ended(order, 2)).map(({ outcome, sandbox }) => [outcome, sandbox])).toEqual([
      [null, "stopped"],
      [null, "stopped"],
    ]);
  });
});

it("names what a parent has changed since it was frozen, and nothing where it is as it was", async () => {
  const { source, frozen } = await forkPoint(node, "mkdir /d; echo a > /d/a; echo b > /d/b; ln -s a /d/link; echo c > /d/c");
  const compare = (digest = frozen.layer.digest) => compareSandbox(node.parts, { ...refOf(source), frozen: digest });
  expect(await compare()).toEqual({ changed: [], count: 0 });
  const { layers } = await shipLayers(node.parts, { layers: [frozen.layer] });
  expect(await compare(layers[0]?.digest)).toEqual({ changed: [], count: 0 });
  await node.sh(source, "cat /d/a > /dev/null; touch /d/x; rm /d/x");
  expect(await compare()).toEqual({ changed: [], count: 0 });
  await node.sh(source, "echo new > /d/a; chmod 700 /d/b; ln -sfn b /d/link; rm /d/c; echo d > /d/d; rm /etc/issue; echo own > /etc/hosts");
  const { changed, count } = await compare();
  expect(changed.toSorted()).toEqual(["/d/a", "/d/b", "/d/c", "/d/d", "/d/link", "/etc/hosts", "/etc/issue"]);
  expect(count).toBe(7);
  await expect(compareSandbox(node.parts, { ...refOf(source), frozen: `frozen:${newId("frz")}` })).rejects.toMatchObject({
    code: "layer.unavailable",
  });
});

it("interrupts at a restart what was under way, and tells what had ended and was not said, once more", async () => {
  const { layers } = await forkPoint(node, "true");
  const long = manyOrder(node, 2, { layers, command: command("sleep 300", { after: "delete" }) });
  const short = manyOrder(node, 1, { layers, command: command("echo done") });
  await startChildren(node, long);
  await startChildren(node, short);
  const [said] = await ended(short, 1);
  await node.stop("keep");
  node = await testNode(node.config);
  expect(outcomesOf(node, short)).toEqual([said]);
  expect((await ended(long, 2)).map(({ outcome, sandbox }) => [outcome, sandbox])).toEqual([
    [null, "running"],
    [null, "running"],
  ]);
  expect(await startChildren(node, long)).toMatchObject([STARTED, STARTED]);
  expect(node.parts.commands.size).toBe(0);
  const [first] = long.children;
  if (first === undefined) throw new Error("there are two");
  expect(await startSandbox(node.parts, { ...node.order({ layers }), ...refOf(first), orgId: long.orgId })).toMatchObject(STARTED);
});
