import type { RunningSandbox } from "../ports.ts";

export const SHELL = "/bin/sh";

interface CommandBody {
  argv?: string[] | undefined;
  shell?: string | undefined;
  env: Record<string, string>;
  cwd?: string | undefined;
  user?: string | undefined;
}

export interface Command {
  argv: string[];
  env: Record<string, string>;
  cwd: string;
  user: string;
}

/** What the request leaves open, the sandbox says. */
export function commandOf(sandbox: RunningSandbox, body: CommandBody): Command {
  return {
    argv: body.argv ?? [SHELL, "-c", body.shell ?? ""],
    env: { ...sandbox.env, ...body.env },
    cwd: body.cwd ?? sandbox.workdir,
    user: body.user ?? sandbox.user,
  };
}
