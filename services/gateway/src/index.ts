export { CONFIG_DEFAULTS, type Config, readConfig } from "./config.ts";
export { gatewayService, type RunningGateway, startGateway } from "./service.ts";
