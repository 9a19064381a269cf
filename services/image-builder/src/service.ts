import { newId } from "@banyan/kernel";
import { openDocker } from "@banyan/runtime";
import { type Backing, defineService, type Host, keptSecretKey, onBacking, type RunningService } from "@banyan/service";
import { BuildEngine } from "./build/build-engine.ts";
import { removeLeftovers } from "./build/from-registry.ts";
import { readHostAccess } from "./build/host-access.ts";
import { LayerCache } from "./build/layer-cache.ts";
import type { Config } from "./config.ts";
import type { Context } from "./context.ts";
import { defaultRecipe } from "./domain/recipe.ts";
import { buildImages } from "./handlers/build-image.ts";
import { checkLayers } from "./handlers/check-layer.ts";
import * as handlers from "./handlers/index.ts";
import { startLoops } from "./loops/index.ts";
import { Bases } from "./memory/bases.ts";
import { Bell } from "./memory/bell.ts";
import { Uses } from "./memory/uses.ts";
import { notedBlobs } from "./noted-blobs.ts";

import { migrations } from "./store/migrations.ts";

export const imageBuilderService = defineService<Config>({
  name: "image-builder",
  start(config, host) {
    const database = { url: config.databaseUrl, schema: config.databaseSchema, migrations };
    return onBacking({ name: "image-builder", natsUrl: config.natsUrl, blobs: config.blobs ?? null, database }, host, (backing) =>
      run(config, host, backing),
    );
  },
});

async function run(config: Config, host: Host, backing: Backing): Promise<RunningService> {
  const docker = openDocker(config.dockerHost);
  const stopping = new AbortController();
  const ctx = contextOf(config, host, backing, stopping.signal);
  await Promise.all([removeLeftovers(docker), ctx.engine.removeLeftovers()]).catch((err) =>
    host.logger.warn({ err }, "the Docker Engine does not answer; only the default image can be made without it"),
  );
  const recipes = [defaultRecipe];
  const served = Object.values(handlers).map((serve) => serve(ctx));
  const building = buildImages(ctx, { recipes, cache: new LayerCache(config.cacheDir), docker, registry: config.registry === "auto" });
  const checking = checkLayers(ctx);
  const loops = startLoops(ctx, recipes, config.housekeeping);
  return {
    checks: backing.checks,
    async stop() {
      await loops.stop();
      // A build under way is given up: its job comes again at the next start.
      stopping.abort(new Error("the image-builder is stopping"));
      await Promise.all([building.stop(), checking.stop()]);
      await ctx.engine.close();
      await Promise.all(served.map((serving) => serving.stop()));
      await backing.close();
    },
  };
}

function contextOf(config: Config, { logger, clock }: Host, { bus, db }: Backing, stopping: AbortSignal): Context {
  const secretKey = config.secretKey ?? keptSecretKey(config.secretKeyPath);
  const engine = new BuildEngine({
    dockerHost: config.dockerHost,
    blobs: notedBlobs(bus.blobs, db, clock),
    directory: config.buildDir,
    access: readHostAccess(config.proxies),
    logger,
    clock,
  });
  const uses = new Uses(db, clock, logger);
  const bases = new Bases({ bus, db, clock, engine, uses, secretKey, registry: config.registry === "auto", pinMs: config.pinMs });
  return {
    bus,
    db,
    clock,
    logger,
    engine,
    bases,
    bell: new Bell(),
    uses,
    secretKey,
    holder: newId("node"),
    config: config.builds,
    stopping,
  };
}
