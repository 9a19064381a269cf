import { readFileSync } from "node:fs";
import { fault } from "@banyan/contracts";
import { hostCommand } from "./host-command.ts";
import type { Work } from "./port.ts";
import type { Substrate } from "./substrate.ts";

const COPY_MS_MAX = 24 * 3_600_000;
const REMOVE_MS_MAX = 3_600_000;
const LOOK_EVERY_MS = 500;
const SHARE_MAX = 0.99;
/** Longer than one call for 2 GB takes the slowest of filesystems. A copy that waits for a fifo, put there while it looked, would wait for ever. */
const STANDSTILL_MS = 900_000;
/**
 * Sandboxes may change what is copied meanwhile. On a mount that follows no symlink a directory that becomes one is an error, and does not lead the copy,
 * which has all rights of this host, out of the volume.
 */
const COPY_WITHIN = `
mount --bind --options nosymfollow -- "$1" "$1"
findmnt --mountpoint "$1" --noheadings --output VFS-OPTIONS | grep --quiet --word-regexp nosymfollow
exec nice -n 10 cp --archive --reflink=auto --sparse=auto --no-target-directory -- "$1" "$2"`;

/** Directories of any filesystem. A copy shares blocks where the filesystem can do that for single files; else it moves every byte. */
export class PlainSubstrate implements Substrate {
  readonly sharesBlocks = false;
  readonly quota = "upload";
  readonly #standstillMs: number;

  constructor({ standstillMs = STANDSTILL_MS } = {}) {
    this.#standstillMs = standstillMs;
  }

  async make(path: string): Promise<void> {
    await hostCommand(["mkdir", "--mode=0777", "--", path]);
  }

  async copy(from: string, to: string, { bytes }: { bytes: number | null }, work: Work): Promise<void> {
    let watch: NodeJS.Timeout | undefined;
    const stuck = new AbortController();
    const onStart = (pid: number): void => {
      let seen = { life: lifeOf(pid), atMs: performance.now() };
      watch = setInterval(() => {
        work.progress(shareDone(pid, bytes));
        const life = lifeOf(pid);
        if (life !== seen.life) seen = { life, atMs: performance.now() };
        if (performance.now() - seen.atMs >= this.#standstillMs) stuck.abort(standsStill());
      }, LOOK_EVERY_MS);
    };
    const argv = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-euc", COPY_WITHIN, "copy", from, to];
    try {
      await hostCommand(argv, { signal: AbortSignal.any([work.signal, stuck.signal]), timeoutMs: COPY_MS_MAX, onStart });
    } finally {
      clearInterval(watch);
    }
    await hostCommand(["sync", "--file-system", "--", to], { signal: work.signal, timeoutMs: REMOVE_MS_MAX });
  }

  async seal(): Promise<void> {}

  async remove(path: string, signal?: AbortSignal): Promise<void> {
    await hostCommand(["rm", "--recursive", "--force", "--", path], { timeoutMs: REMOVE_MS_MAX, ...(signal && { signal }) });
  }

  async limit(): Promise<void> {}
  async forget(): Promise<void> {}
}

/** What the copying process has written, of what there is; 0 where that is not known. */
function shareDone(pid: number, bytes: number | null): number {
  if (bytes === null || bytes === 0) return 0;
  try {
    const written = Number(/^wchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"))?.[1] ?? 0);
    return Math.min(written / bytes, SHARE_MAX);
  } catch {
    // It has just ended.
    return SHARE_MAX;
  }
}

/** Changes with whatever the process does: the time it has run, and the bytes that went through it. */
function lifeOf(pid: number): string {
  try {
    const [, user, system] = /^.*\) (?:\S+ ){11}(\d+) (\d+) /s.exec(readFileSync(`/proc/${pid}/stat`, "utf8")) ?? [];
    return `${user} ${system} ${readFileSync(`/proc/${pid}/io`, "utf8")}`;
  } catch {
    return "";
  }
}

const standsStill = (): Error => fault("internal", {}, { message: "The copy stands still: something in the volume cannot be read." });
