import type { Bus, Request, Served } from "@banyan/bus";
import type { InputOf, OutputOf, Rpc } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import type { Clock, Logger } from "@banyan/kernel";
import type { BuildEngine } from "./build/build-engine.ts";
import type { BuildConfig } from "./config.ts";
import type { Bases } from "./memory/bases.ts";
import type { Bell } from "./memory/bell.ts";
import type { Uses } from "./memory/uses.ts";

/** What handlers, loops and executions work with. */
export interface Context {
  bus: Bus;
  db: Database;
  clock: Clock;
  logger: Logger;
  engine: BuildEngine;
  bases: Bases;
  bell: Bell;
  uses: Uses;
  /** Seals passwords and secrets in the database. */
  secretKey: string;
  /** Of this process, for leases. */
  holder: string;
  config: BuildConfig;
  /** Aborted when the service stops: executions are given up and taken up again by whoever comes next. */
  stopping: AbortSignal;
}

/** More than all who may read along with builds at one time. */
const CONCURRENCY_MAX = 2_048;

/** One contract verb and what is done for it. */
export function handle<R extends Rpc>(verb: R, run: (ctx: Context, input: InputOf<R>, request: Request) => Promise<OutputOf<R>>) {
  return (ctx: Context): Served => ctx.bus.serve(verb, (input, request) => run(ctx, input, request), { concurrencyMax: CONCURRENCY_MAX });
}
