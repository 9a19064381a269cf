import { SandboxDied } from "@banyan/contracts";
import { type Loop, type LoopOptions, startLoop } from "@banyan/service";
import type { Context } from "../context.ts";
import { Retries } from "../memory/retries.ts";
import { StoppedArchiver } from "./archive-stopped.ts";
import { drainNodes } from "./drain-nodes.ts";
import { endLifetimes } from "./end-lifetimes.ts";
import { finishDeletes } from "./finish-deletes.ts";
import { purge } from "./purge.ts";
import { Reconciler } from "./reconcile-nodes.ts";
import { Activity } from "./record-activity.ts";
import { runForks } from "./run-forks.ts";
import { sayChanges } from "./say-changes.ts";
import { settleMounts } from "./settle-mounts.ts";
import { startMoving } from "./start-moving.ts";
import { expireNodes, onDied, watchNodes } from "./watch-nodes.ts";
import { writeLate } from "./write-late.ts";

/** A burst of changes is said in a few batches; nobody who listens to events minds so short a wait. */
const SAY_GATHER_MS = 100;

export interface Loops {
  /** Something is in the outbox. */
  said(): void;
  /** Takes no more turns and waits for those under way. */
  stop(): Promise<void>;
}

/** Everything that repairs. Resolves when the nodes that are there now are known. */
export async function startLoops(ctx: Context): Promise<Loops> {
  const activity = new Activity();
  const archiver = new StoppedArchiver(ctx);
  const reconciler = new Reconciler(ctx, activity);
  const watching = await watchNodes(ctx, activity);
  const unsettled = new Retries();
  const forks = runForks(ctx);
  const died = ctx.bus.onEvents(SandboxDied, { durable: "scheduler-died" }, (event) => onDied(ctx, event));
  const loop = (name: string, everyMs: number, round: LoopOptions["round"], gatherMs = 0): Loop =>
    startLoop({ name, everyMs, round, gatherMs, clock: ctx.clock, logger: ctx.logger });

  const outbox = loop("say-changes", 1_000, () => sayChanges(ctx), SAY_GATHER_MS);
  const reconciling = loop("reconcile-nodes", ctx.config.reconcileEveryMs, () => reconciler.round());
  const loops = [
    outbox,
    reconciling,
    loop("expire-nodes", 1_000, () => expireNodes(ctx)),
    loop("finish-deletes", 1_000, () => finishDeletes(ctx)),
    loop("settle-mounts", 1_000, () => settleMounts(ctx, unsettled)),
    loop("end-lifetimes", 1_000, () => endLifetimes(ctx)),
    loop("drain-nodes", 1_000, (signal) => drainNodes(ctx, signal)),
    loop("start-moving", 1_000, (signal) => startMoving(ctx, signal)),
    ...(ctx.config.archiveOnStop ? [loop("archive-stopped", 2_000, (signal) => archiver.round(signal))] : []),
    loop("record-activity", 5_000, () => activity.write(ctx)),
    loop("write-late", 1_000, () => writeLate(ctx)),
    loop("purge", 60_000, () => purge(ctx)),
  ];
  ctx.nodes.onJoined((nodeId) => {
    ctx.logger.info({ nodeId }, "a node joined");
    reconciling.poke();
  });
  return {
    said: () => outbox.poke(),
    async stop() {
      watching.stop();
      await Promise.all([died.stop(), forks.stop(), ...loops.map((one) => one.stop())]);
    },
  };
}
