import { openDocker } from "@banyan/runtime";
import { type Backing, defineService, type Host, onBacking, type RunningService } from "@banyan/service";
import { removeLeftovers } from "./build/from-registry.ts";
import { LayerCache } from "./build/layer-cache.ts";
import type { Config } from "./config.ts";
import { defaultRecipe } from "./domain/recipe.ts";
import { buildImages } from "./handlers/build-image.ts";
import { listImages } from "./handlers/list-images.ts";
import { resolveImage } from "./handlers/resolve-image.ts";
import { ensureImages } from "./loops/ensure-images.ts";
import { migrations } from "./store/migrations.ts";

export const imageBuilderService = defineService<Config>({
  name: "image-builder",
  start(config, host) {
    const database = { url: config.databaseUrl, schema: config.databaseSchema, migrations };
    return onBacking({ name: "image-builder", natsUrl: config.natsUrl, database }, host, (backing) => run(config, host, backing));
  },
});

async function run(config: Config, { logger, clock }: Host, backing: Backing): Promise<RunningService> {
  const { db, bus } = backing;
  const docker = openDocker(config.dockerHost);
  await removeLeftovers(docker).catch((err) => logger.warn({ err }, "the Docker Engine does not answer; images are built without it"));

  const stopping = new AbortController();
  const deps = { bus, db, clock, logger, recipes: [defaultRecipe] };
  const make = { cache: new LayerCache(config.cacheDir), docker, registry: config.registry === "auto", signal: stopping.signal };
  const served = [resolveImage(bus, db), listImages(bus, db)];
  const building = buildImages({ ...deps, make });
  const ensuring = ensureImages(deps);
  return {
    checks: backing.checks,
    async stop() {
      await ensuring.stop();
      // A build under way is given up: its job comes again at the next start.
      stopping.abort(new Error("the image-builder is stopping"));
      await building.stop();
      await Promise.all(served.map((serving) => serving.stop()));
      await backing.close();
    },
  };
}
