import { fault, isFault, NodeDelete, NodeStop } from "@banyan/contracts";
import { forEachAtMost } from "@banyan/service";
import type { Context } from "../context.ts";
import { type Action, reconcile } from "../domain/reconcile.ts";
import { listOn } from "../node-calls.ts";
import type { Activity } from "./record-activity.ts";

const NODES_PARALLEL = 4;
const ACTIONS_PARALLEL = 8;
const ACTIONS_MAX = 500;

/** Compares each node's list with the rows and repairs what differs: adopts, marks lost, stops, deletes. */
export class Reconciler {
  readonly #ctx: Context;
  readonly #activity: Activity;
  /** By node: since when each sandbox there has been without an owner. */
  readonly #orphans = new Map<string, Map<string, number>>();

  constructor(ctx: Context, activity: Activity) {
    this.#ctx = ctx;
    this.#activity = activity;
  }

  async round(): Promise<void> {
    const nodes = this.#ctx.nodes.ids().filter((nodeId) => this.#ctx.nodes.isListable(nodeId));
    await forEachAtMost(nodes, NODES_PARALLEL, (nodeId) => this.node(nodeId));
  }

  async node(nodeId: string): Promise<void> {
    const ctx = this.#ctx;
    const listedAt = ctx.clock.now();
    const listed = await listOn(ctx, nodeId);
    if (listed === null) throw fault("internal", { nodeId }, { message: "a node lists more sandboxes than can be compared" });
    // The node may have restarted while it was asked: what it said then is not the whole.
    if (!ctx.nodes.isListable(nodeId)) return;
    const ids = listed.map(({ sandboxId }) => sandboxId);
    const wanted = await ctx.store.listWanted(nodeId, ids);
    for (const { sandboxId, lastActiveAt } of listed) this.#activity.note(ctx, sandboxId, lastActiveAt);
    const found = reconcile({
      nodeId,
      wanted,
      listed,
      listedAt,
      now: ctx.clock.now(),
      orphanSince: this.#orphans.get(nodeId) ?? new Map(),
      orphanGraceMs: ctx.config.orphanGraceMs,
    });
    this.#orphans.set(nodeId, found.orphanSince);
    const free = found.actions.filter((action) => !ctx.lanes.isBusy(action.id) && !this.#isForks(action)).slice(0, ACTIONS_MAX);
    await forEachAtMost(free, ACTIONS_PARALLEL, (action) => this.#act(nodeId, action));
  }

  /** A child that starts has no row yet, and of one whose command has ended its node is about to tell: these are its fork's to settle. */
  #isForks(action: Action): boolean {
    const { book } = this.#ctx.forks;
    if (action.kind === "delete_orphan") return book.owns(action.id);
    if (action.kind !== "apply" || !book.awaitsReport(action.id)) return false;
    const isGone = action.commands.some(({ kind }) => kind === "lost");
    book.awaitReport(action.id, isGone ? "disk_lost" : "seen_stopped", this.#ctx.clock.now());
    return true;
  }

  async #act(nodeId: string, action: Action): Promise<void> {
    const ctx = this.#ctx;
    ctx.logger.warn({ nodeId, action }, "a node and the rows differ");
    ctx.measures.repairs.add(1, { kind: action.kind });
    switch (action.kind) {
      case "apply":
        return ctx.lanes.run(action.id, () => this.#apply(action));
      case "delete_orphan":
        return void (await ctx.bus.call(NodeDelete.on(nodeId), { sandboxId: action.id, epoch: action.epoch }));
      case "stop_stale":
        return void (await ctx.bus.call(NodeStop.on(nodeId), { sandboxId: action.id, epoch: action.epoch, graceMs: 0, idleSince: null }));
    }
  }

  async #apply({ id, commands }: Extract<Action, { kind: "apply" }>): Promise<void> {
    let sandbox = await this.#ctx.sandboxes.peek(id);
    try {
      for (const command of commands) if (sandbox !== null) sandbox = await this.#ctx.sandboxes.apply(sandbox, command);
    } catch (error) {
      // The sandbox has moved on since it was compared: the next round sees it as it is then.
      if (!isFault(error, "sandbox.illegal_transition", "sandbox.stale_epoch", "sandbox.version_conflict")) throw error;
    }
  }
}
