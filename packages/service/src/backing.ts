import { type Bus, connectBus, type S3Location } from "@banyan/bus";
import { fault } from "@banyan/contracts";
import { type Database, type Migration, openDatabase } from "@banyan/db";
import type { Checks } from "./health.ts";
import type { Host } from "./service.ts";

export interface BackingOptions {
  /** The service's name on the bus. */
  name: string;
  natsUrl: string;
  blobs?: S3Location | null;
  database: { url: string; schema: string; migrations: readonly Migration[] };
}

/** What a service with state stands on. */
export interface Backing {
  db: Database;
  bus: Bus;
  checks: Checks;
  /** The bus first: what comes over it needs the database. */
  close(): Promise<void>;
}

/** Opens database and bus and runs on them; closes both again when that fails. */
export async function onBacking<T>(options: BackingOptions, { logger, clock }: Host, run: (backing: Backing) => Promise<T>): Promise<T> {
  const db = await openDatabase({ ...options.database, clock });
  try {
    const bus = await connectBus({ servers: options.natsUrl, name: options.name, logger, clock, blobs: options.blobs ?? null });
    try {
      return await run(backingOf(db, bus));
    } catch (error) {
      await bus.close();
      throw error;
    }
  } catch (error) {
    await db.close();
    throw error;
  }
}

function backingOf(db: Database, bus: Bus): Backing {
  return {
    db,
    bus,
    checks: {
      database: () => db.ping(),
      bus: async () => {
        if (!bus.connected) throw fault("bus.unavailable", {}, { message: "The connection to NATS is lost." });
      },
    },
    async close() {
      await bus.close();
      await db.close();
    },
  };
}
