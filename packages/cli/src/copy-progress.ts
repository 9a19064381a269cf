import type { CopyProgress } from "@banyan/sdk";
import { CLEAR_LINE, COLUMNS_DEFAULT, type Terminal } from "./progress.ts";
import { bytesText } from "./volume-text.ts";

/** The rate is that of the last while, so that a pause shows and is forgotten. */
const WINDOW_MS = 10_000;
const SAMPLE_EVERY_MS = 500;
const REDRAW_EVERY_MS = 100;
const LINE_EVERY_MS = 10_000;

export interface CopyDisplay {
  tell(progress: CopyProgress): void;
  /** A line that stays, above what changes. */
  line(text: string): void;
  /** Leaves nothing half-written behind. */
  end(): void;
}

export interface CopyDisplayOptions {
  silent?: boolean;
  to?: Terminal;
  now?: () => number;
}

/** How a copy goes on, told on standard error: one line that changes for a person, a line now and then for a log. */
export function showCopyProgress({
  silent = false,
  to = process.stderr as Terminal,
  now = () => performance.now(),
}: CopyDisplayOptions = {}): CopyDisplay {
  const isLively = !silent && to.isTTY === true;
  const rate = rateMeter(now);
  let shown = false;
  let next = now() + (isLively ? 0 : LINE_EVERY_MS);
  const clear = (): void => {
    if (shown) to.write(CLEAR_LINE);
    shown = false;
  };
  return {
    tell(progress) {
      rate.sample(progress.bytes - progress.resumed);
      if (silent || now() < next) return;
      next = now() + (isLively ? REDRAW_EVERY_MS : LINE_EVERY_MS);
      const text = copyText(progress, rate.perSecond());
      if (!isLively) return void to.write(`${text}\n`);
      to.write(`${CLEAR_LINE}${text.slice(0, (to.columns ?? COLUMNS_DEFAULT) - 1)}`);
      shown = true;
    },
    line(text) {
      clear();
      to.write(`${text}\n`);
    },
    end: clear,
  };
}

interface RateMeter {
  sample(bytes: number): void;
  /** Null: nothing can be said yet. */
  perSecond(): number | null;
}

export function rateMeter(now: () => number): RateMeter {
  const samples: { at: number; bytes: number }[] = [];
  let last = { at: now(), bytes: 0 };
  return {
    sample(bytes) {
      last = { at: now(), bytes };
      const before = samples.at(-1);
      if (before === undefined || last.at - before.at >= SAMPLE_EVERY_MS) samples.push(last);
      while (samples.length > 2 && last.at - (samples[1]?.at ?? 0) > WINDOW_MS) samples.shift();
    },
    perSecond() {
      const [first] = samples;
      if (first === undefined || last.at - first.at < SAMPLE_EVERY_MS) return null;
      return ((last.bytes - first.bytes) / (last.at - first.at)) * 1_000;
    },
  };
}

/** `1.20 GB of 10.0 GB, 12 %, 85.0 MB/s, 1 min 46 s left, 12 of 340 files` */
export function copyText({ files, bytes, filesTotal, bytesTotal, compared }: CopyProgress, perSecond: number | null): string {
  const parts = [`${bytesText(bytes)} of ${bytesText(bytesTotal)}${compared ? "" : " so far"}`];
  if (compared && bytesTotal > 0) parts.push(`${Math.floor((bytes / bytesTotal) * 100)} %`);
  if (perSecond !== null && perSecond >= 0) parts.push(`${bytesText(Math.round(perSecond))}/s`);
  if (compared && perSecond !== null && perSecond >= 1 && bytes < bytesTotal)
    parts.push(`${restText((bytesTotal - bytes) / perSecond)} left`);
  parts.push(`${files} of ${filesTotal} files`);
  return parts.join(", ");
}

export function restText(seconds: number): string {
  const s = Math.ceil(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3_600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3_600)} h ${Math.floor((s % 3_600) / 60)} min`;
}
