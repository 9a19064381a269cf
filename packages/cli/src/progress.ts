import type { BuildEvent } from "@banyan/sdk";
import { colours } from "./colours.ts";

export interface Progress {
  tell(event: BuildEvent): void;
  /** Leaves nothing half-written behind. */
  end(): void;
}

export interface Terminal {
  isTTY?: boolean;
  columns?: number;
  write(text: string): unknown;
}

export const CLEAR_LINE = "\r\u001b[K";
export const COLUMNS_DEFAULT = 80;

/** How a build goes on, told on standard error. For a person one line a step, the last output below it; else every line there is. */
export function showProgress({ silent = false, to = process.stderr as Terminal } = {}): Progress {
  if (silent) return { tell: () => {}, end: () => {} };
  return to.isTTY === true ? lively(to) : plain(to);
}

function plain(to: Terminal): Progress {
  return { tell: (event) => to.write(lineOf(event)), end: () => {} };
}

function lively(to: Terminal): Progress {
  let passing = false;
  const clear = (): void => {
    if (passing) to.write(CLEAR_LINE);
    passing = false;
  };
  return {
    tell(event) {
      if (event.event === "step" && event.step.state !== "waiting" && event.step.state !== "running") {
        clear();
        to.write(lineOf(event));
      } else if (event.event !== "state") {
        clear();
        const text = event.event === "step" ? event.step.title : (event.text.trimEnd().split("\n").at(-1) ?? "");
        to.write(colours.dim(`  ${printable(text)}`.slice(0, (to.columns ?? COLUMNS_DEFAULT) - 1)));
        passing = true;
      }
    },
    end: clear,
  };
}

/** One event as lines that a log can hold. */
export function lineOf(event: BuildEvent): string {
  switch (event.event) {
    case "state":
      return `${event.state}\n`;
    case "log":
      return event.text
        .trimEnd()
        .split("\n")
        .map((line) => `  ${printable(line)}\n`)
        .join("");
    case "step": {
      const { index, title, state, durationMs, exitCode } = event.step;
      const took = durationMs === null ? "" : `  ${(durationMs / 1_000).toFixed(1)} s`;
      const end = exitCode === null || exitCode === 0 ? "" : `  exit code ${exitCode}`;
      return `${index < 0 ? "base" : `step ${index}`}  ${state}  ${printable(title)}${took}${end}\n`;
    }
  }
}

/** Output from inside a sandbox may hold what moves a terminal's cursor. */
export const printable = (text: string): string => text.replaceAll(/\p{Cc}/gu, " ");
