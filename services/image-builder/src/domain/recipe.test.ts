import { ImageConfig } from "@banyan/contracts";
import { expect, it } from "vitest";
import { defaultRecipe, dpkgOptions, recipeKey } from "./recipe.ts";

it("gives every change of the recipe and every architecture a key of its own", () => {
  const keys = [
    recipeKey(defaultRecipe, "x64"),
    recipeKey(defaultRecipe, "arm64"),
    recipeKey({ ...defaultRecipe, packages: [...defaultRecipe.packages, "jq"] }, "x64"),
    recipeKey({ ...defaultRecipe, config: { ...defaultRecipe.config, user: "nobody" } }, "x64"),
  ];
  expect(new Set(keys).size).toBe(keys.length);
  expect(recipeKey(defaultRecipe, "x64")).toBe(keys[0]);
});

it("has a legal config, and holds what agents need", () => {
  expect(ImageConfig.safeParse(defaultRecipe.config).success).toBe(true);
  expect(defaultRecipe.packages).toEqual(expect.arrayContaining(["python3", "nodejs", "git", "curl", "ca-certificates"]));
});

it("keeps licences where it leaves out documentation", () => {
  const options = dpkgOptions(defaultRecipe);
  expect(options.indexOf("path-include=/usr/share/doc/*/copyright")).toBeGreaterThan(options.indexOf("path-exclude=/usr/share/doc/*"));
});
