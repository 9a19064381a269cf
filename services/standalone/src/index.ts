export { type Config, readConfig } from "./config.ts";
export { type Standalone, startStandalone } from "./standalone.ts";
