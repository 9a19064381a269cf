import { assert } from "./assert.ts";

/** A state machine as a table: state -> event -> next state. The table is the documentation. */
export type Table<S extends string, E extends string> = Record<S, Partial<Record<E, NoInfer<S>>>>;

export interface Machine<S extends string, E extends string> {
  readonly table: Table<S, E>;
  readonly states: readonly S[];
  /** The next state, or null where the event is not legal in this state. */
  next(state: S, event: E): S | null;
  /** The events that are legal in this state. */
  events(state: S): E[];
  /** True where no event leads out. */
  isFinal(state: S): boolean;
}

export function machine<S extends string, E extends string>(table: Table<S, E>): Machine<S, E> {
  const states = Object.keys(table) as S[];
  for (const state of states) {
    for (const target of Object.values(table[state]) as S[]) assert(target in table, `transition from ${state} to unknown state ${target}`);
  }
  return {
    table,
    states,
    next: (state, event) => table[state][event] ?? null,
    events: (state) => Object.keys(table[state]) as E[],
    isFinal: (state) => Object.keys(table[state]).length === 0,
  };
}
