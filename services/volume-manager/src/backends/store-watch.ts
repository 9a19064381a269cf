import { fault } from "@banyan/contracts";
import { type Clock, type Logger, messageOf } from "@banyan/kernel";
import { type DirectoryStore, StoreProbe } from "@banyan/runtime";
import { type Loop, startLoop } from "@banyan/service";
import type { DirectoryConfig } from "../config.ts";
import { openStore } from "./open-store.ts";
import type { BackendState } from "./port.ts";
import type { Substrate } from "./substrate.ts";

export interface OpenStore extends DirectoryStore {
  substrate: Substrate;
}

export interface StoreWatchDeps {
  clock: Clock;
  logger: Logger;
  /** The stores that hold volumes already: where there are any, an empty directory is no store of ours but one that is not mounted. */
  knownStores(): Promise<string[]>;
  closeStore(): Promise<void>;
}

const RETRY_AFTER_MS = 5_000;

/** Knows whether the store is there, from looks that cannot hang us; opens it when it comes, at the start or later. */
export class StoreWatch {
  readonly #config: DirectoryConfig;
  readonly #deps: StoreWatchDeps;
  readonly #probe: StoreProbe;
  #opened: OpenStore | null = null;
  #state: BackendState = { state: "lost", reason: "it was not looked at yet" };
  #loop: Loop | null = null;

  constructor(config: DirectoryConfig, deps: StoreWatchDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#probe = new StoreProbe(config.root, { timeoutMs: config.probeTimeoutMs });
  }

  /** Has looked once when it resolves; a store that is not there is no failure. */
  async start(): Promise<void> {
    await this.look();
    const { clock, logger } = this.#deps;
    this.#loop = startLoop({ name: "watch-store", everyMs: this.#config.probeEveryMs, round: () => this.look(), clock, logger });
  }

  async stop(): Promise<void> {
    await this.#loop?.stop();
    if (this.#config.onStop === "purge") await this.#deps.closeStore();
  }

  state(): BackendState {
    return this.#state;
  }

  traits(): Pick<Substrate, "sharesBlocks" | "quota"> {
    const { sharesBlocks, quota } = this.#opened?.substrate ?? { sharesBlocks: false, quota: "upload" };
    return { sharesBlocks, quota };
  }

  /** Throws volume.unreachable. */
  store(): OpenStore {
    if (this.#state.state === "ok" && this.#opened !== null) return this.#opened;
    const reason = this.#state.state === "lost" ? this.#state.reason : "it is not open";
    throw fault("volume.unreachable", { reason, retryAfterMs: RETRY_AFTER_MS });
  }

  async look(): Promise<void> {
    const seen = await this.#look().catch((error: unknown): BackendState => ({ state: "lost", reason: messageOf(error) }));
    const before = this.#state;
    this.#state = seen;
    const { logger } = this.#deps;
    if (seen.state === "lost" && before.state === "ok") logger.error({ reason: seen.reason }, "the store of volumes is lost");
    if (seen.state === "ok" && before.state === "lost") logger.info({ root: this.#config.root }, "the store of volumes is there");
  }

  async #look(): Promise<BackendState> {
    this.#opened ??= await openStore(this.#config, this.#probe, this.#deps);
    const seen = await this.#probe.look();
    if (seen.state === "lost") return seen;
    if (seen.storeId === this.#opened.id) return { state: "ok" };
    return { state: "lost", reason: `another store is at ${this.#config.root}: ${seen.storeId} instead of ${this.#opened.id}` };
  }
}
