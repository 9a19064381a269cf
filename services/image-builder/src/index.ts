export { buildFromPackages } from "./build/from-packages.ts";
export { LayerCache } from "./build/layer-cache.ts";
export { makeLayer } from "./build/make-layer.ts";
export { type Config, readConfig } from "./config.ts";
export { defaultRecipe, recipeKey } from "./domain/recipe.ts";
export { imageBuilderService } from "./service.ts";
