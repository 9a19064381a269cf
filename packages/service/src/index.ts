export { type Backing, type BackingOptions, onBacking } from "./backing.ts";
export { type BaseConfig, readBaseConfig, readEnvironment } from "./config.ts";
export * from "./embedded/index.ts";
export { type Checks, type HealthOptions, type HealthServer, startHealthServer } from "./health.ts";
export { forEachAtMost, type Loop, type LoopOptions, startLoop } from "./loop.ts";
export { runService } from "./run-service.ts";
export { keptSecretKey } from "./secret-key.ts";
export { defineService, type Host, type RunningService, type Service } from "./service.ts";
export { type Entry, type StartServicesOptions, startServices, withConfig } from "./start-services.ts";
