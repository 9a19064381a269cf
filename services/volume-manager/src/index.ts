export { Backends } from "./backends/backends.ts";
export { type BackendHarness, volumeBackendConformance } from "./backends/conformance.ts";
export { DirectoryBackend } from "./backends/directory.ts";
export { ObjectBackend } from "./backends/object.ts";
export type * from "./backends/port.ts";
export { StoreWatch } from "./backends/store-watch.ts";
export { type Config, readConfig, VOLUMES_DEFAULTS, type VolumesConfig } from "./config.ts";
export { volumeManagerService } from "./service.ts";
