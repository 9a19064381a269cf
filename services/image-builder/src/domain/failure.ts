import { type BuildFailure, ERRORS, type ErrorCode, isErrorCode } from "@banyan/contracts";
import type { StepFailure } from "./step-failed.ts";

const LINES_MAX = 50;
const LINE_LENGTH_MAX = 1_000;
/** Of a process that was ended by SIGKILL, as a shell says it. */
const KILLED = 137;

interface Sign {
  code: ErrorCode;
  /** Of one line. A group, where there is one, is what the fix names. */
  pattern: RegExp;
  fix?: (what: string) => string;
}

const NO_SPACE = /no space left on device|\bENOSPC\b|not enough free disk space|don't have enough free space/i;
const NO_MEMORY =
  /JavaScript heap out of memory|cannot allocate memory|^MemoryError\b|Killed signal terminated program|out of memory: kill|\bENOMEM\b/i;
/** A line about the machine itself tells of a server of the step's own, not of the network. */
const LOCAL = /\blocalhost\b|\b127\.0\.0\.1\b/;
const NO_NETWORK =
  /Temporary failure (in name resolution|resolving)|Could not resolve( host)?\b|Name or service not known|Network is unreachable|No route to host|Could not connect to|getaddrinfo (ENOTFOUND|EAI_AGAIN)|\b(ECONNREFUSED|ECONNRESET|ETIMEDOUT)\b|Failed to establish a new connection|Connection timed out|E: Failed to fetch|W: Failed to fetch|npm (error|ERR!) network/i;

/**
 * In order: what is said of the network comes before what is said of a package, since apt and pip report a package as missing when they have
 * seen no index at all.
 */
const SIGNS: readonly Sign[] = [
  { code: "build.disk_full", pattern: NO_SPACE },
  { code: "build.out_of_memory", pattern: NO_MEMORY },
  {
    code: "build.syntax",
    pattern: /^(?:[\w./-]*sh: (?:line )?\d+: )?Syntax error[: ]|\bsyntax error near unexpected token|unexpected EOF while looking/i,
  },
  {
    code: "build.syntax",
    pattern:
      /dockerfile parse error|failed to parse \S+:|unknown instruction|the Dockerfile \(.*\) cannot be empty|no build stage in current context|file with no instructions|must have (two|at least one) arguments?|requires (exactly|at least) (one|two) arguments?/i,
  },
  { code: "build.network", pattern: NO_NETWORK },
  {
    code: "build.package_not_found",
    pattern: /^E: Unable to locate package (\S+)|^E: Package '([^']+)' has no installation candidate/,
    fix: (name) => `There is no apt package \`${name}\` in the base's sources: check its name, or add its source in a step before.`,
  },
  {
    code: "build.package_not_found",
    pattern: /^E: (Version '[^']+' for '[^']+') was not found/,
    fix: (which) => `${which} is not in the base's sources: name one that is, or leave the version out.`,
  },
  {
    code: "build.package_not_found",
    pattern: /^ERROR: No matching distribution found for (\S+)/,
    fix: (name) => `PyPI has no \`${name}\` for this Python: check name and version.`,
  },
  {
    code: "build.package_not_found",
    pattern:
      /^npm (?:error|ERR!) 404 +'?([^' ]+@\S+?)'? is not in (?:the npm|this) registry|^npm (?:error|ERR!) 404 .*resource '([^']+)' could not be found/,
    fix: (name) => `The npm registry has no \`${name}\`: check its name, and give credentials by a secret where it is private.`,
  },
  {
    code: "build.package_not_found",
    pattern: /^npm (?:error|ERR!) notarget No matching version found for (\S+?)\.?$/,
    fix: (name) => `There is no such version as \`${name}\`: name one that was published.`,
  },
];

export interface FailedIn {
  /** Of the step that failed. */
  network: "open" | "closed";
}

/** Why a step failed, as far as its end and its last lines tell. */
export function explain(failed: StepFailure, { network }: FailedIn): BuildFailure {
  const { code, fix } = recognise(failed);
  const closed = code === "build.network" && network === "closed";
  return failureOf(code, {
    step: failed.step,
    exitCode: failed.exitCode,
    lastLines: failed.lastLines,
    fix: closed ? "The step's network is closed: set `network` to `open`, or bring what it needs as a context." : fix,
  });
}

function recognise(failed: StepFailure): { code: ErrorCode; fix?: string | undefined } {
  if (failed.timedOut === true) return { code: "build.timeout" };
  if (failed.oomKilled) return { code: "build.out_of_memory" };
  const lines = failed.lastLines.map((line) => line.trim());
  for (const { code, pattern, fix } of SIGNS) {
    for (const line of lines) {
      const match = pattern.exec(line);
      if (match === null || (code === "build.network" && LOCAL.test(line))) continue;
      const what = match.slice(1).find((group) => group !== undefined);
      return { code, fix: what === undefined ? undefined : fix?.(what) };
    }
  }
  return { code: failed.exitCode === KILLED ? "build.out_of_memory" : "build.step_failed" };
}

export interface FailureDetails {
  step?: number | null;
  exitCode?: number | null;
  lastLines?: readonly string[];
  fix?: string | undefined;
  message?: string | undefined;
}

/** A failure of this code, with the registry's words where there are none more exact. */
export function failureOf(code: ErrorCode, { step = null, exitCode = null, lastLines = [], fix, message }: FailureDetails): BuildFailure {
  return {
    code,
    message: message ?? ERRORS[code].message,
    fix: fix ?? ERRORS[code].fix,
    step,
    exitCode,
    lastLines: lastLines.slice(-LINES_MAX).map((line) => line.slice(0, LINE_LENGTH_MAX)),
  };
}

/** The same for a fault that ended a build before or beside its steps. */
export function failureOfFault(fault: { code: string; message: string }): BuildFailure {
  return isErrorCode(fault.code) ? failureOf(fault.code, { message: fault.message }) : failureOf("internal", {});
}
