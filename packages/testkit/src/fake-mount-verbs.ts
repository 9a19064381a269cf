import type { Bus, Served } from "@banyan/bus";
import { fault, type InputOf, type MountOrder, NodeMount, NodeUnmount, type OutputOf } from "@banyan/contracts";
import type { FakeNode, FakeSandbox } from "./fake-node.ts";

/** What a test has this node do with volumes. */
export interface FakeMounts {
  /** What heartbeats say, and what can be mounted. */
  stores: Map<string, "ok" | "lost">;
  /** Before each mount of a running sandbox. May take its time, or throw. */
  onMount: ((order: InputOf<typeof NodeMount>) => Promise<void>) | null;
  /** After one, before it is answered. May take its time, or throw: the answer is lost. */
  onMounted: ((order: InputOf<typeof NodeMount>) => Promise<void>) | null;
  /** Before each unmount. May take its time, or throw. */
  onUnmount: ((order: InputOf<typeof NodeUnmount>) => Promise<void>) | null;
  /** Throws what the node would say to these mounts. */
  check: (mounts: readonly MountOrder[]) => void;
}

export const fakeMounts = (stores: readonly string[] = []): FakeMounts => ({
  stores: new Map(stores.map((store) => [store, "ok"])),
  onMount: null,
  onMounted: null,
  onUnmount: null,
  check: () => {},
});

/** A node mounts only what it reaches. */
export function checkMounts({ nodeId, mounts }: Pick<FakeNode, "nodeId" | "mounts">, orders: readonly MountOrder[]): void {
  for (const { source } of orders) {
    if (mounts.stores.get(source.store) !== "ok") throw fault("volume.unreachable", { nodeId, store: source.store });
  }
  mounts.check(orders);
}

/** The node verbs of volumes, kept by the rules of their contracts. */
export function serveMounts({ bus, node }: { bus: Bus; node: FakeNode }): Served[] {
  function runningOf({ sandboxId, epoch }: { sandboxId: string; epoch: number }): FakeSandbox {
    const there = node.sandboxes.get(sandboxId);
    if (there === undefined || there.state !== "running") throw fault("sandbox.not_found", { sandboxId });
    if (there.epoch !== epoch) throw fault("sandbox.stale_epoch", { epoch: there.epoch });
    return there;
  }

  async function mount(input: InputOf<typeof NodeMount>): Promise<OutputOf<typeof NodeMount>> {
    await node.mounts.onMount?.(input);
    const there = runningOf(input);
    const { mounts } = there.order;
    const same = mounts.find(({ path }) => path === input.mount.path);
    if (same !== undefined && JSON.stringify(same) !== JSON.stringify(input.mount)) throw fault("mount.exists", { path: same.path });
    checkMounts(node, [input.mount]);
    if (same === undefined) there.order = { ...there.order, mounts: [...mounts, input.mount] };
    await node.mounts.onMounted?.(input);
    return {};
  }

  async function unmount(input: InputOf<typeof NodeUnmount>): Promise<OutputOf<typeof NodeUnmount>> {
    await node.mounts.onUnmount?.(input);
    const there = runningOf(input);
    there.order = { ...there.order, mounts: there.order.mounts.filter(({ path }) => path !== input.path) };
    return {};
  }

  return [bus.serve(NodeMount.on(node.nodeId), mount), bus.serve(NodeUnmount.on(node.nodeId), unmount)];
}
