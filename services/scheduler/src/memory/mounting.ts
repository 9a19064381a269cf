import { type InputOf, type ListVolumeUsers, VolumeId, type VolumeMount, type VolumeUser } from "@banyan/contracts";
import type { Clock } from "@banyan/kernel";

/** Longer than it takes to say what names stand for, and shorter than whoever asks for users waits. */
const RESOLVE_WAIT_MS = 2_000;

type Asked = InputOf<typeof ListVolumeUsers>;

/** One start, mount or fork that is under way. */
export interface Flight {
  /** What its names stand for is known. */
  resolved(declared: readonly VolumeMount[]): void;
  /** Rows tell of it, or it came to nothing. */
  end(): void;
}

interface Entry {
  /** Null: of a fork, whose children have no ids yet. */
  sandboxId: string | null;
  mounts: readonly VolumeMount[];
  isResolved: boolean;
  settled: PromiseWithResolvers<void>;
}

/**
 * Who is about to mount what, and is in no row yet. A volume is closed before anybody is asked who has it: whoever asked to mount it earlier is here or
 * in a row, and whoever asks later is refused.
 */
export class Mounting {
  readonly #flights = new Set<Entry>();

  /** Called before the volume-manager is asked what the names stand for. */
  begin(sandboxId: string | null, mounts: readonly VolumeMount[]): Flight {
    const entry: Entry = { sandboxId, mounts, isResolved: false, settled: Promise.withResolvers() };
    if (mounts.length > 0) this.#flights.add(entry);
    return {
      resolved: (declared) => {
        Object.assign(entry, { mounts: declared, isResolved: true });
        entry.settled.resolve();
      },
      end: () => {
        this.#flights.delete(entry);
        entry.settled.resolve();
      },
    };
  }

  /** Those under way now. Until somebody says what a name stands for, it may be this volume's. */
  async users(asked: Asked, clock: Clock): Promise<{ users: VolumeUser[]; forks: number }> {
    const now = [...this.#flights].filter((entry) => meant(entry, asked).length > 0);
    await this.#settled(now, clock);
    // One that has ended meanwhile is in a row, or nowhere.
    const left = now.filter((entry) => this.#flights.has(entry) && meant(entry, asked).length > 0);
    const users = left.flatMap((entry) => {
      const { sandboxId, isResolved } = entry;
      if (sandboxId === null) return [];
      return meant(entry, asked).map(({ path, mode, version }) => {
        return { sandboxId, state: "starting" as const, path, mode, versionId: isResolved ? version : null };
      });
    });
    return { users, forks: left.filter(({ sandboxId }) => sandboxId === null).length };
  }

  async #settled(entries: readonly Entry[], clock: Clock): Promise<void> {
    const unsettled = entries.filter(({ isResolved }) => !isResolved);
    if (unsettled.length === 0) return;
    const enough = new AbortController();
    const late = clock.sleep(RESOLVE_WAIT_MS, enough.signal).catch(() => {});
    await Promise.race([Promise.all(unsettled.map(({ settled }) => settled.promise)), late]);
    enough.abort();
  }
}

function meant({ mounts, isResolved }: Entry, { volumeId, versionId }: Asked): readonly VolumeMount[] {
  return mounts.filter(({ volume, version }) => {
    if (isResolved) return volume === volumeId && (versionId === null || version === versionId);
    return volume === volumeId || !VolumeId.safeParse(volume).success;
  });
}
