import { isFault } from "@banyan/contracts";
import { type Clock, retry, systemClock } from "@banyan/kernel";
import { type ConnectOptions, connect, type Orm, type Sql, type Transaction } from "./connection.ts";
import { type Migration, migrate } from "./migrate.ts";
import { translate } from "./translate.ts";

const OPEN_ATTEMPTS_MAX = 60;
const OPEN_DELAY_MAX_MS = 500;
const CLOSE_TIMEOUT_S = 5;

export interface Database {
  /** postgres.js, looking into this schema only. */
  readonly sql: Sql;
  readonly orm: Orm;
  /** Commits when the function resolves, rolls back when it throws. */
  transaction<T>(run: (tx: Transaction) => Promise<T>): Promise<T>;
  /** Throws database.unavailable when it does not answer. */
  ping(): Promise<void>;
  /** Waits, bounded, for queries under way. */
  close(): Promise<void>;
}

export interface OpenDatabaseOptions extends ConnectOptions {
  migrations: readonly Migration[];
  clock?: Clock;
}

/** Waits for a database that is still starting, and brings its schema up to date. */
export async function openDatabase(options: OpenDatabaseOptions): Promise<Database> {
  const { sql, ormSql, orm } = connect(options);
  const close = async (): Promise<void> => {
    await Promise.all([sql, ormSql].map((pool) => pool.end({ timeout: CLOSE_TIMEOUT_S })));
  };
  try {
    await retry(() => translate(() => migrate(options, options.migrations)), {
      attemptsMax: OPEN_ATTEMPTS_MAX,
      baseDelayMs: 100,
      delayMaxMs: OPEN_DELAY_MAX_MS,
      retryable: (error) => isFault(error, "database.unavailable"),
      clock: options.clock ?? systemClock,
    });
  } catch (error) {
    await close();
    throw error;
  }
  return {
    sql,
    orm,
    transaction: (run) => translate(() => orm.transaction(run)),
    ping: () => translate(async () => void (await ormSql`select 1`)),
    close,
  };
}
