import type { api } from "@banyan/contracts";
import type { Camel } from "./case.ts";
import type { Client } from "./client.ts";
import { BanyanError } from "./error.ts";
import { type FollowOptions, followEvents } from "./followed-events.ts";
import { ForkChild, type ForkChildInfo } from "./fork-child.ts";
import type { Promotion } from "./sandbox.ts";

export type ForkInfo = Camel<api.Fork>;
export type ForkEvent = Camel<api.ForkEvent>;

export interface ListChildrenOptions {
  /** Any of them. Default: all. */
  states?: ForkChildInfo["state"][];
  pageSize?: number;
  signal?: AbortSignal;
}

/** A child that is awaited, or promoted as soon as it is known. */
export type ForkWinner = Promise<ForkChild> & { promote(options?: { force?: boolean }): Promise<Promotion> };

const ENDED: readonly ForkInfo["state"][] = ["done", "cancelled", "failed"];
const FINISHED: readonly ForkChildInfo["state"][] = ["succeeded", "failed", "cancelled"];
const PAGE_MAX = 1_000;
/** Asks for no event that there is: only for the end. */
const AFTER_ALL = 2 ** 31 - 1;
/** Children further apart than this are asked for apart. */
const GAP_MAX = 50;

/** A fork with what was last seen of it. A loop over it has each child once, as they finish. */
export class Fork implements AsyncIterable<ForkChild> {
  readonly id: string;
  info: ForkInfo;
  readonly #client: Client;
  readonly #path: string;

  constructor(client: Client, info: ForkInfo) {
    this.#client = client;
    this.info = info;
    this.id = info.id;
    this.#path = `/v1/forks/${encodeURIComponent(info.id)}`;
  }

  get state(): ForkInfo["state"] {
    return this.info.state;
  }

  async look(): Promise<ForkInfo> {
    this.info = await this.#client.json<api.Fork>("GET", this.#path);
    return this.info;
  }

  /** Until it has ended, however that was: see `state` and `counts`. */
  async wait(options: { signal?: AbortSignal } = {}): Promise<ForkInfo> {
    if (ENDED.includes(this.info.state)) return this.info;
    for await (const _ of this.events({ ...options, after: AFTER_ALL }));
    return this.look();
  }

  /** What happened in it and what happens, in order and each once, across lost connections. */
  events(options: FollowOptions = {}): AsyncGenerator<ForkEvent, void, undefined> {
    const hasEnded = async (): Promise<boolean> => ENDED.includes((await this.look()).state);
    return followEvents<api.ForkEvent>(this.#client, { path: `${this.#path}/events`, hasEnded }, options);
  }

  /** By index, those that wait too, page by page as they are asked for. */
  async *children({ states = [], pageSize = PAGE_MAX, signal }: ListChildrenOptions = {}): AsyncGenerator<ForkChild, void, undefined> {
    for (let after: number | null = -1; after !== null; ) {
      const page: Camel<ChildPage> = await this.#page({ state: states, after, limit: pageSize }, signal);
      for (const info of page.children) yield new ForkChild(this.#client, info);
      after = page.nextAfter;
    }
  }

  async child(index: number): Promise<ForkChild> {
    const page = await this.#page({ after: index - 1, limit: 1 });
    const [info] = page.children;
    if (info?.index === index) return new ForkChild(this.#client, info);
    throw clientError("client.no_such_child", `${this.id} has no child ${index}.`, `It has ${this.info.counts.total}, from 0.`);
  }

  /**
   * Waits for the end. With a policy that has a winner that child; with `all` the one that succeeded first. Both
   * `(await fork.winner()).outcome` and `await fork.winner().promote()` are right.
   */
  winner(): ForkWinner {
    const found = this.#findWinner();
    return Object.assign(found, { promote: async (options: { force?: boolean } = {}) => (await found).promote(options) });
  }

  /** Ends what is unfinished; with `deleteChildren` all are deleted, of a fork that has ended too. */
  async cancel(options: { deleteChildren?: boolean } = {}): Promise<ForkInfo> {
    this.info = await this.#client.keyed<api.Fork>("POST", `${this.#path}/cancel`, { json: options });
    return this.info;
  }

  /** Each child once, as they finish; where there is no command, as they run. Those that never came to it are last. */
  async *[Symbol.asyncIterator](): AsyncGenerator<ForkChild, void, undefined> {
    const told = new Set<number>();
    const finished = this.info.hasCommand ? FINISHED : [...FINISHED, "running"];
    for await (const event of this.events()) {
      if (event.event !== "children") continue;
      const indices = event.children.filter(({ state, index }) => finished.includes(state) && !told.has(index)).map(({ index }) => index);
      for (const index of indices) told.add(index);
      yield* this.#at(indices);
    }
    if (told.size === this.info.counts.total) return;
    for await (const child of this.children()) if (!told.has(child.index)) yield child;
  }

  /** Those of a few runs of indices, in few calls. */
  async *#at(indices: readonly number[]): AsyncGenerator<ForkChild, void, undefined> {
    const wanted = new Set(indices);
    for (const { first, last } of runsOf(indices)) {
      for (let after: number | null = first - 1; after !== null && after < last; ) {
        const page: Camel<ChildPage> = await this.#page({ after, limit: last - after });
        for (const info of page.children) if (wanted.has(info.index)) yield new ForkChild(this.#client, info);
        after = page.nextAfter;
      }
    }
  }

  #page(query: { state?: readonly string[]; after: number; limit: number }, signal?: AbortSignal | undefined): Promise<Camel<ChildPage>> {
    return this.#client.json<ChildPage>("GET", `${this.#path}/children`, { query, signal });
  }

  async #findWinner(): Promise<ForkChild> {
    const { winner, policy, state } = await this.wait();
    if (winner !== null) return this.child(winner.index);
    let first: ForkChild | null = null;
    if (policy === "all") {
      for await (const child of this.children({ states: ["succeeded"] })) {
        if (first === null || (child.info.endedAt ?? "") < (first.info.endedAt ?? "")) first = child;
      }
    }
    if (first !== null) return first;
    throw clientError("client.no_winner", `No child of ${this.id} has won: it is ${state}.`, "See how they ended: `fork.children()`.");
  }
}

interface ChildPage {
  children: api.ForkChild[];
  next_after: number | null;
}

/** `[1, 2, 4, 900]` as 1 to 4, and 900. */
export function runsOf(indices: readonly number[]): { first: number; last: number }[] {
  const runs: { first: number; last: number }[] = [];
  for (const index of indices.toSorted((a, b) => a - b)) {
    const run = runs.at(-1);
    if (run !== undefined && index - run.last <= GAP_MAX && index - run.first < PAGE_MAX) run.last = index;
    else runs.push({ first: index, last: index });
  }
  return runs;
}

function clientError(code: string, message: string, fix: string): BanyanError {
  return new BanyanError({ code, message, status: null, retryable: false, retryAfterMs: null, fix, requestId: null, details: {} });
}
