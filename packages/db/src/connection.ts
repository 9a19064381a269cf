import { drizzle, type PostgresJsDatabase } from "drizzle-orm/postgres-js";
import postgres from "postgres";

const CONNECT_TIMEOUT_S = 5;
const RECONNECT_DELAY_S = 0.25;
const STATEMENT_TIMEOUT_MS = 10_000;
const IDLE_IN_TRANSACTION_MS = 30_000;
const CONNECTIONS_MAX_DEFAULT = 10;
const RAW_IDLE_S = 30;

export type Sql = postgres.Sql;
export type Orm = PostgresJsDatabase;
export type Transaction = Parameters<Parameters<Orm["transaction"]>[0]>[0];

export interface ConnectOptions {
  url: string;
  /** The Postgres schema that belongs to this service alone. */
  schema: string;
  /** Connections at most, of each of the two pools. */
  max?: number;
}

/**
 * Two pools, since drizzle changes how its pool reads and writes times and JSON. Connections are opened when they are needed, so the one
 * for raw SQL costs nothing where it is not used. They reconnect by themselves, look only into this schema, and run no statement for ever.
 */
export function connect(options: ConnectOptions): { sql: Sql; ormSql: Sql; orm: Orm } {
  const ormSql = openPool(options);
  return { sql: openPool(options, { idle_timeout: RAW_IDLE_S }), ormSql, orm: drizzle(ormSql) };
}

/** For statements that belong to one session. The driver's `reserve` never answers on a new connection without `fetch_types`. */
export const openSession = (options: ConnectOptions): Sql => openPool({ ...options, max: 1 });

function openPool({ url, schema, max }: ConnectOptions, more: { idle_timeout?: number } = {}): Sql {
  return postgres(url, {
    max: max ?? CONNECTIONS_MAX_DEFAULT,
    connect_timeout: CONNECT_TIMEOUT_S,
    backoff: () => RECONNECT_DELAY_S,
    onnotice: () => {},
    // The driver asks for the array types unwatched: a connection lost in that moment would end the process. So arrays travel as JSON.
    fetch_types: false,
    connection: {
      application_name: `banyan-${schema}`,
      search_path: schema,
      statement_timeout: STATEMENT_TIMEOUT_MS,
      idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
    },
    ...more,
  });
}
