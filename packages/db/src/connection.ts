import { drizzle, type PostgresJsDatabase } from "drizzle-orm/postgres-js";
import postgres from "postgres";

const CONNECT_TIMEOUT_S = 5;
const RECONNECT_DELAY_S = 0.25;
const STATEMENT_TIMEOUT_MS = 10_000;
const IDLE_IN_TRANSACTION_MS = 30_000;
const CONNECTIONS_MAX_DEFAULT = 10;

export type Sql = postgres.Sql;
export type Orm = PostgresJsDatabase;
export type Transaction = Parameters<Parameters<Orm["transaction"]>[0]>[0];

export interface ConnectOptions {
  url: string;
  schema: string;
  max?: number;
}

/** A pool that reconnects by itself. Every connection looks only into this schema, and no statement runs for ever. */
export function connect({ url, schema, max }: ConnectOptions): { sql: Sql; orm: Orm } {
  const sql = postgres(url, {
    max: max ?? CONNECTIONS_MAX_DEFAULT,
    connect_timeout: CONNECT_TIMEOUT_S,
    backoff: () => RECONNECT_DELAY_S,
    onnotice: () => {},
    connection: {
      application_name: `banyan-${schema}`,
      search_path: schema,
      statement_timeout: STATEMENT_TIMEOUT_MS,
      idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
    },
  });
  return { sql, orm: drizzle(sql) };
}
