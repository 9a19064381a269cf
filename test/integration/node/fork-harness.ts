import type { InputOf, NodeStartMany, OutputOf, StartOrder } from "@banyan/contracts";
import { newId, silentLogger } from "@banyan/kernel";
import { freezeSandbox, startMany } from "@banyan/runner-agent";
import { start, type TestNode } from "./test-node.ts";

export type ManyOrder = InputOf<typeof NodeStartMany>;
export type ChildAnswer = OutputOf<typeof NodeStartMany>["children"][number];
type Command = NonNullable<ManyOrder["command"]>;

const HOUR_MS = 3_600_000;

export function command(shell: string, changes: Partial<Command> = {}): Command {
  const bounds = { timeoutMs: 20_000, outputMaxBytes: 4_096, outputToFiles: false };
  return { argv: ["/bin/sh", "-c", shell], env: {}, cwd: null, user: null, stdin: null, ...bounds, after: "keep", ...changes };
}

/** Children of a fork, each knowing its index, as the scheduler orders them. */
export function manyOrder(node: TestNode, count: number, changes: Partial<ManyOrder> = {}): ManyOrder {
  const { orgId, layers, env, workdir, user, resources, network, mounts, deadlineMs } = node.order();
  const forkId = newId("frk");
  const children = Array.from({ length: count }, (_, index) => ({
    index,
    sandboxId: newId("sbx"),
    epoch: 1,
    hostname: `child-${index}`,
    env: { BANYAN_FORK_ID: forkId, BANYAN_FORK_INDEX: String(index) },
  }));
  return { forkId, orgId, layers, env, workdir, user, resources, network, mounts, command: null, deadlineMs, children, ...changes };
}

export async function startChildren(node: TestNode, order: ManyOrder): Promise<ChildAnswer[]> {
  return (await startMany(node.parts, order)).children;
}

/** A running sandbox that has run this, and the stack that it was at this moment. */
export async function forkPoint(node: TestNode, shell: string, running?: StartOrder) {
  const source = running ?? node.order();
  if (running === undefined) await start(node, source);
  await node.sh(source, shell);
  const { sandboxId, epoch } = source;
  const frozenId = newId("frz");
  const frozen = await freezeSandbox(node.parts, { sandboxId, epoch, frozenId, keepUntil: Date.now() + HOUR_MS });
  return { source, frozenId, frozen, layers: [...source.layers, frozen.layer] };
}

/** How commands ended, by index, as they would be said. */
export function outcomesOf(node: TestNode, { forkId }: { forkId: string }) {
  const said = node.parts.outcomes.ready(10_000, silentLogger).filter((record) => record.forkId === forkId);
  return said.toSorted((one, other) => one.index - other.index);
}
