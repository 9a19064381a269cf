import { join } from "node:path";
import { newId } from "@banyan/kernel";
import { RcloneMounts } from "@banyan/runtime";
import { type Backing, defineService, type Host, keptSecretKey, onBacking, type RunningService } from "@banyan/service";
import { Backends } from "./backends/backends.ts";
import { DirectoryBackend } from "./backends/directory.ts";
import { ObjectBackend } from "./backends/object.ts";
import { closeOwn } from "./backends/open-store.ts";
import { StoreWatch } from "./backends/store-watch.ts";
import { checkStores } from "./check-stores.ts";
import type { Config } from "./config.ts";
import type { Context, WorkContext } from "./context.ts";
import { lockDataDir } from "./data-dir-lock.ts";
import { openDataPlane } from "./data-plane.ts";
import { Works } from "./execution/works.ts";
import * as handlers from "./handlers/index.ts";
import { startLoops } from "./loops/index.ts";
import { checkSecretKey } from "./store/check-secret-key.ts";
import { knownStores } from "./store/known-stores.ts";
import { migrations } from "./store/migrations.ts";

export const volumeManagerService = defineService<Config>({
  name: "volume-manager",
  start(config, host) {
    const database = { url: config.databaseUrl, schema: config.databaseSchema, migrations };
    return onBacking({ name: "volume-manager", natsUrl: config.natsUrl, blobs: config.blobs ?? null, database }, host, (backing) =>
      run(config, host, backing),
    );
  },
});

async function run(config: Config, host: Host, backing: Backing): Promise<RunningService> {
  const { clock, logger } = host;
  const { bus, db } = backing;
  const lock = lockDataDir(config.dataDir);
  const secretKey = config.secretKey ?? keptSecretKey(config.secretKeyPath);
  await checkSecretKey(db, secretKey);
  const watch = new StoreWatch(config.directory, {
    clock,
    logger,
    knownStores: () => knownStores(db),
    closeStore: () => closeOwn(config.directory).catch((err) => logger.warn({ err }, "the volumes' own disk stays mounted")),
  });
  await watch.start();
  const backends = new Backends([new DirectoryBackend(watch), await openObjectBackend(config, logger)]);
  let onSaid = (): void => {};
  const parts: WorkContext = {
    bus,
    db,
    clock,
    logger,
    backends,
    secretKey,
    holder: newId("node"),
    config: config.volumes,
    said: () => onSaid(),
  };
  const works = new Works(parts);
  const dataPlane = await openDataPlane(config, { ...parts, works });
  const ctx: Context = { ...parts, works, url: dataPlane.url };
  const loops = startLoops(ctx);
  onSaid = loops.said;
  const served = Object.values(handlers).map((serve) => serve(ctx));
  await bus.flush();
  logger.info({ url: ctx.url }, "the volume-manager serves");
  return {
    checks: { ...backing.checks, store: () => checkStores(backends), secretKey: () => checkSecretKey(db, secretKey) },
    async stop() {
      await Promise.all(served.map((serving) => serving.stop()));
      await dataPlane.close();
      // Deeds under way are given up: they are begun anew at the next start.
      await Promise.all([loops.stop(), works.stop()]);
      await backends.close();
      await backing.close();
      lock.release();
    },
  };
}

/** Mounts here are for what is read and written without a sandbox. Those of an earlier process go when they were unused for a while. */
async function openObjectBackend({ dataDir, objects }: Config, logger: Host["logger"]): Promise<ObjectBackend> {
  if (objects.mode === "off") return new ObjectBackend(null);
  const warn = (message: string, volumeId: string, err: unknown): void => logger.warn({ err, volumeId }, message);
  const mounts = new RcloneMounts({ directory: join(dataDir, "volume-manager-objects"), cacheMb: objects.cacheMb, warn });
  await mounts.adopt(new Map());
  return new ObjectBackend(mounts);
}
