import { isFault, type LayerRef } from "@banyan/contracts";
import { type Logger, messageOf } from "@banyan/kernel";
import type Docker from "dockerode";
import { type Recipe, recipeKey } from "../domain/recipe.ts";
import { buildFromPackages } from "./from-packages.ts";
import { buildFromRegistry } from "./from-registry.ts";
import type { CachedLayer, LayerCache } from "./layer-cache.ts";

export interface MakeLayerOptions {
  cache: LayerCache;
  docker: Docker;
  /** Whether a registry is asked before the packages are taken from the archive here. */
  registry: boolean;
  logger: Logger;
  signal: AbortSignal;
}

/** The layer of a recipe: from the cache, else by way of a registry where one answers, else built here. */
export async function makeLayer(recipe: Recipe, options: MakeLayerOptions): Promise<CachedLayer> {
  const key = recipeKey(recipe, process.arch);
  const cached = options.cache.find(key);
  if (cached !== null) return cached;
  return options.cache.add(key, async (path) => {
    const fromRegistry = options.registry ? await tryRegistry(recipe, path, options) : null;
    if (fromRegistry !== null) return { ...fromRegistry, origin: "registry" };
    options.logger.info({ image: recipe.name }, "image: building it here from packages; this happens once");
    return { ...(await buildFromPackages(recipe, path, options)), origin: "local" };
  });
}

/** Null: there is no registry to be had, which is nothing unusual. */
async function tryRegistry(recipe: Recipe, path: string, options: MakeLayerOptions): Promise<LayerRef | null> {
  try {
    return await buildFromRegistry(options.docker, recipe, path, options);
  } catch (error) {
    options.signal.throwIfAborted();
    if (isFault(error, "image.build_failed") && error.details.step === "packages") throw error;
    options.logger.info({ image: recipe.name, reason: messageOf(error) }, "image: no registry answers");
    return null;
  }
}
