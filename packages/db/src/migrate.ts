import { createHash } from "node:crypto";
import { assert } from "@banyan/kernel";
import { type ConnectOptions, openSession, type Sql } from "./connection.ts";

export interface Migration {
  /** Sorts and tells: `0001-sandboxes`. Never changed once applied anywhere. */
  name: string;
  sql: string;
}

const SCHEMA_NAME = /^[a-z_][a-z0-9_]{0,62}$/;
const LOCK_TIMEOUT = "60s";
const CLOSE_TIMEOUT_S = 5;

/** Applies what is missing, each migration in its own transaction. Several processes may start at once: one works, the others wait. */
export async function migrate(options: ConnectOptions, migrations: readonly Migration[]): Promise<void> {
  const { schema } = options;
  assert(SCHEMA_NAME.test(schema), `not a schema name: ${schema}`);
  const connection = openSession(options);
  try {
    await connection`select set_config('statement_timeout', ${LOCK_TIMEOUT}, false)`;
    await connection`select pg_advisory_lock(hashtextextended(${`banyan-migrate-${schema}`}, 0))`;
    await connection`create schema if not exists ${connection(schema)}`;
    await connection`create table if not exists migrations (name text primary key, digest text not null, applied_at timestamptz not null default now())`;
    const applied = await connection<{ name: string; digest: string }[]>`select name, digest from migrations`;
    const digests = new Map(applied.map((row) => [row.name, row.digest]));
    for (const migration of migrations) await apply(connection, schema, migration, digests.get(migration.name));
  } finally {
    // The lock ends with its session.
    await connection.end({ timeout: CLOSE_TIMEOUT_S });
  }
}

async function apply(connection: Sql, schema: string, migration: Migration, applied: string | undefined): Promise<void> {
  const digest = createHash("sha256").update(migration.sql).digest("hex");
  if (applied === digest) return;
  if (applied !== undefined)
    throw new Error(`migration ${schema}/${migration.name} was changed after it was applied; add a new one instead`);
  await connection`begin`;
  try {
    await connection.unsafe(migration.sql);
    await connection`insert into migrations (name, digest) values (${migration.name}, ${digest})`;
    await connection`commit`;
  } catch (cause) {
    await connection`rollback`;
    throw new Error(`migration ${schema}/${migration.name} failed`, { cause });
  }
}
