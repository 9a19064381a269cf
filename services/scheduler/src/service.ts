import { type Backing, defineService, type Host, onBacking, type RunningService } from "@banyan/service";
import type { Config } from "./config.ts";
import type { Context } from "./context.ts";
import { type ForkParts, Forks } from "./forks/forks.ts";
import * as handlers from "./handlers/index.ts";
import { startLoops } from "./loops/index.ts";
import { createMeasures } from "./measures.ts";
import { Images } from "./memory/images.ts";
import { Lanes } from "./memory/lanes.ts";
import { LateWrites } from "./memory/late-writes.ts";
import { Ledger } from "./memory/ledger.ts";
import { Mounting } from "./memory/mounting.ts";
import { Nodes } from "./memory/nodes.ts";
import { Retries } from "./memory/retries.ts";
import { Sandboxes } from "./sandboxes.ts";
import { createStore, type Store } from "./store/index.ts";
import { LIVE_PAGE } from "./store/list-live.ts";
import { migrations } from "./store/migrations.ts";

export const schedulerService = defineService<Config>({ name: "scheduler", start });

function start(config: Config, host: Host): Promise<RunningService> {
  const database = { url: config.databaseUrl, schema: config.databaseSchema, migrations };
  return onBacking({ name: "scheduler", natsUrl: config.natsUrl, blobs: config.blobs ?? null, database }, host, (backing) =>
    run(config, host, backing),
  );
}

async function run(config: Config, { logger, clock, metrics }: Host, backing: Backing): Promise<RunningService> {
  const { db, bus } = backing;
  const store = createStore(db);
  const ledger = new Ledger();
  const nodes = new Nodes(ledger, clock);
  let onSaid = (): void => {};
  const late = new LateWrites((sandboxId, err) => logger.warn({ err, sandboxId }, "a write waits for the database"));
  const parts: ForkParts = {
    bus,
    store,
    sandboxes: new Sandboxes({
      store,
      ledger,
      late,
      clock,
      onSaid: () => onSaid(),
      startingChild: (id) => forks.book.starting(id),
      forksWritten: (orgId) => forks.allWritten(orgId),
      onChildChanged: (sandbox) => forks.sandboxChanged(sandbox),
    }),
    ledger,
    nodes,
    images: new Images(bus, clock),
    lanes: new Lanes(),
    clock,
    logger,
    random: Math.random,
    config: config.scheduling,
  };
  const forks = new Forks(parts);
  const ctx: Context = {
    ...parts,
    forks,
    late,
    creates: new Map(),
    snapshots: new Map(),
    mounting: new Mounting(),
    archives: new Map(),
    promotions: new Map(),
    moves: new Retries(),
    measures: createMeasures(metrics, { ledger, nodes, late }),
  };
  await remember(store, ledger, nodes);
  await forks.load();
  const loops = await startLoops(ctx);
  onSaid = loops.said;
  const served = Object.values(handlers).map((serve) => serve(ctx));
  await bus.flush();
  logger.info({ sandboxes: ledger.size, nodes: ctx.nodes.ids().length }, "the scheduler serves");
  return {
    checks: backing.checks,
    async stop() {
      await Promise.all(served.map((one) => one.stop()));
      await ctx.lanes.idle();
      await late.idle();
      await loops.stop();
      await backing.close();
    },
  };
}

/** Quotas, promises to nodes and what their operator wants of them count from the first request on. */
async function remember(store: Store, ledger: Ledger, nodes: Nodes): Promise<void> {
  for (const { nodeId, ...wish } of await store.listNodeWishes()) nodes.wish(nodeId, wish);
  let after = "";
  for (;;) {
    const page = await store.listLive(after);
    for (const sandbox of page) ledger.follow(sandbox);
    const last = page.at(-1);
    if (page.length < LIVE_PAGE || last === undefined) return;
    after = last.id;
  }
}
