import { createHash } from "node:crypto";
import { assert } from "@banyan/kernel";
import type { Sql } from "./connection.ts";

export interface Migration {
  /** Sorts and tells: `0001-sandboxes`. Never changed once applied anywhere. */
  name: string;
  sql: string;
}

const SCHEMA_NAME = /^[a-z_][a-z0-9_]{0,62}$/;
const LOCK_TIMEOUT = "60s";

/** Applies what is missing, each migration in its own transaction. Several processes may start at once: one works, the others wait. */
export async function migrate(sql: Sql, schema: string, migrations: readonly Migration[]): Promise<void> {
  assert(SCHEMA_NAME.test(schema), `not a schema name: ${schema}`);
  const connection = await sql.reserve();
  try {
    await connection`select set_config('statement_timeout', ${LOCK_TIMEOUT}, false)`;
    await connection`select pg_advisory_lock(hashtextextended(${`banyan-migrate-${schema}`}, 0))`;
    await connection`create schema if not exists ${connection(schema)}`;
    await connection`create table if not exists migrations (name text primary key, digest text not null, applied_at timestamptz not null default now())`;
    const applied = await connection<{ name: string; digest: string }[]>`select name, digest from migrations`;
    const digests = new Map(applied.map((row) => [row.name, row.digest]));
    for (const migration of migrations) await apply(connection, schema, migration, digests.get(migration.name));
  } finally {
    await connection`select pg_advisory_unlock_all()`.catch(() => {});
    await connection`reset statement_timeout`.catch(() => {});
    connection.release();
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
