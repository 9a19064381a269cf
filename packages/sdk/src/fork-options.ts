import type { api } from "@banyan/contracts";
import type { Camel } from "./case.ts";
import type { Command } from "./exec.ts";

type Asked = Camel<api.ForkSandboxInput>;
type AskedCommand = Exclude<NonNullable<Asked["command"]>, string>;

/** What each child runs, with what goes with it. */
export interface ForkRun extends Omit<AskedCommand, "argv" | "shell"> {
  command: Command;
}

/** What a child has of its own. */
export type ForkEach = NonNullable<Asked["each"]>[number];
export type ForkPolicy = NonNullable<Asked["policy"]>;

export interface ForkOptions extends Omit<Asked, "count" | "command"> {
  /** What each child runs: a string goes to /bin/sh, a list runs as it is. Without it children only start, and stay. */
  run?: Command | ForkRun;
}

/** As the API takes it. */
export function forkBody({ run, ...options }: ForkOptions, count: number | undefined): object {
  return { ...options, ...(count !== undefined && { count }), ...(run !== undefined && { command: commandOf(run) }) };
}

function commandOf(run: Command | ForkRun): string | object {
  if (typeof run === "string") return run;
  if (isList(run)) return { argv: run };
  const { command, ...rest } = run;
  return { ...(typeof command === "string" ? { shell: command } : { argv: command }), ...rest };
}

const isList = (run: readonly string[] | ForkRun): run is readonly string[] => Array.isArray(run);
