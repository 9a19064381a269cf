import type { ForkEvent, ForkInfo } from "@banyan/sdk";
import { CLEAR_LINE, COLUMNS_DEFAULT, type Terminal } from "./progress.ts";

type Counts = ForkInfo["counts"];

export interface ForkProgress {
  tell(event: ForkEvent): void;
  /** Leaves nothing half-written behind. */
  end(): void;
}

const BAR_CELLS = 24;
/** As lines of a log: one more for every tenth that is finished. */
const LINES = 10;
const UNFINISHED = ["waiting", "starting", "running", "lost"] as const;
const FINISHED = ["succeeded", "failed", "cancelled"] as const;

/** How a fork goes on, told on standard error: a bar for a person, a line now and then for a log. */
export function showForkProgress({ silent = false, to = process.stderr as Terminal } = {}): ForkProgress {
  if (silent) return { tell: () => {}, end: () => {} };
  return to.isTTY === true ? lively(to) : plain(to);
}

function lively(to: Terminal): ForkProgress {
  let state = "preparing";
  let counts: Counts | null = null;
  return {
    tell(event) {
      if (event.event === "state") state = stateText(event);
      else counts = event.counts;
      const text = counts === null ? state : `${bar(counts)} ${countsText(counts)}`;
      to.write(`${CLEAR_LINE}${text.slice(0, (to.columns ?? COLUMNS_DEFAULT) - 1)}`);
    },
    end: () => void to.write(CLEAR_LINE),
  };
}

function plain(to: Terminal): ForkProgress {
  let told = 0;
  return {
    tell(event) {
      if (event.event === "state") {
        to.write(`${stateText(event)}\n`);
        return;
      }
      const tenth = Math.floor((finishedOf(event.counts) / event.counts.total) * LINES);
      if (tenth <= told) return;
      told = tenth;
      to.write(`${finishedOf(event.counts)}/${event.counts.total}  ${countsText(event.counts)}\n`);
    },
    end: () => {},
  };
}

const stateText = ({ state, reason }: { state: string; reason: string | null }): string =>
  reason === null ? state : `${state} (${reason})`;
const finishedOf = (counts: Counts): number => FINISHED.reduce((sum, state) => sum + counts[state], 0);

/** `[######..........] 25/100`: finished, and under way. */
function bar(counts: Counts): string {
  const cells = (count: number): number => Math.floor((count / counts.total) * BAR_CELLS);
  const finished = cells(finishedOf(counts));
  const begun = cells(finishedOf(counts) + counts.starting + counts.running) - finished;
  return `[${"#".repeat(finished)}${"-".repeat(begun)}${".".repeat(BAR_CELLS - finished - begun)}] ${finishedOf(counts)}/${counts.total} `;
}

/** `3 succeeded, 1 failed`: those that are any. */
export function countsText(counts: Counts): string {
  const states = [...FINISHED, ...UNFINISHED].filter((state) => counts[state] > 0);
  return states.map((state) => `${counts[state]} ${state}`).join(", ");
}
