import type { Bus, Request, Served } from "@banyan/bus";
import type { InputOf, OutputOf, Rpc } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import type { Clock, Logger } from "@banyan/kernel";
import type { Backends } from "./backends/backends.ts";
import type { VolumesConfig } from "./config.ts";
import type { Works } from "./execution/works.ts";

/** What the work on volumes needs. */
export interface WorkContext {
  bus: Bus;
  db: Database;
  clock: Clock;
  logger: Logger;
  backends: Backends;
  /** Seals the secrets of remotes. */
  secretKey: string;
  /** Of this process, for leases. */
  holder: string;
  config: VolumesConfig;
  /** Something is in the outbox. */
  said(): void;
}

/** What handlers and loops work with. */
export interface Context extends WorkContext {
  works: Works;
  /** Of the data plane. */
  url: string;
}

/** More than all who ask at one time. */
const CONCURRENCY_MAX = 1_024;

/** One contract verb and what is done for it. */
export function handle<R extends Rpc>(verb: R, run: (ctx: Context, input: InputOf<R>, request: Request) => Promise<OutputOf<R>>) {
  return (ctx: Context): Served => ctx.bus.serve(verb, (input, request) => run(ctx, input, request), { concurrencyMax: CONCURRENCY_MAX });
}
