import type { Bus, Request, Served } from "@banyan/bus";
import type { CreateSandbox, InputOf, OutputOf, PromoteSandbox, Rpc, SnapshotSandbox } from "@banyan/contracts";
import type { Clock, Logger } from "@banyan/kernel";
import type { Scheduling } from "./config.ts";
import type { Sandbox } from "./domain/sandbox.ts";
import type { Forks } from "./forks/forks.ts";
import type { Measures } from "./measures.ts";
import type { Images } from "./memory/images.ts";
import type { Lanes } from "./memory/lanes.ts";
import type { LateWrites } from "./memory/late-writes.ts";
import type { Ledger } from "./memory/ledger.ts";
import type { Mounting } from "./memory/mounting.ts";
import type { Nodes } from "./memory/nodes.ts";
import type { Retries } from "./memory/retries.ts";
import type { Sandboxes } from "./sandboxes.ts";
import type { Store } from "./store/index.ts";

/** What handlers and loops work with. */
export interface Context {
  bus: Bus;
  store: Store;
  sandboxes: Sandboxes;
  ledger: Ledger;
  nodes: Nodes;
  images: Images;
  lanes: Lanes;
  forks: Forks;
  late: LateWrites;
  /** Creates under way, by sandbox id: a repeated one waits for the first. */
  creates: Map<string, { orgId: string; answer: Promise<OutputOf<typeof CreateSandbox>> }>;
  /** Snapshots under way, by the id of the image to be. */
  snapshots: Map<string, { orgId: string; answer: Promise<OutputOf<typeof SnapshotSandbox>> }>;
  /** What starts, mounts and forks that are under way will mount. */
  mounting: Mounting;
  /** Archives under way, by sandbox id. */
  archives: Map<string, Promise<Sandbox>>;
  /** Promotions under way, by the child's id. */
  promotions: Map<string, { orgId: string; answer: Promise<OutputOf<typeof PromoteSandbox>> }>;
  /** What could not be moved from its node, or started elsewhere, by sandbox id. */
  moves: Retries;
  measures: Measures;
  clock: Clock;
  logger: Logger;
  random: () => number;
  config: Scheduling;
}

/** More at once than any node's queue of waiting starts holds. */
const CONCURRENCY_MAX = 2_048;

/** One contract verb and what is done for it. */
export function handle<R extends Rpc>(verb: R, run: (ctx: Context, input: InputOf<R>, request: Request) => Promise<OutputOf<R>>) {
  return (ctx: Context): Served => ctx.bus.serve(verb, (input, request) => run(ctx, input, request), { concurrencyMax: CONCURRENCY_MAX });
}
