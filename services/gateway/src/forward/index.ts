export type { ForwardDeps } from "./forward.ts";
export { type AskInside, createAskInside } from "./inside.ts";
export { createNodePools, type NodePools } from "./nodes.ts";
export { previewMiddleware } from "./preview.ts";
export { createRouteMemory } from "./route-memory.ts";
export { type ForwardEnv, forwardRoutes } from "./routes.ts";
export { attachUpgrades } from "./upgrades.ts";
export { createVolumeRoutes } from "./volume-routes.ts";
export { type VolumeForwardDeps, volumeForwardRoutes } from "./volumes.ts";
