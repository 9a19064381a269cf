export { type Config, readConfig, SCHEDULING_DEFAULTS } from "./config.ts";
export { schedulerService } from "./service.ts";
