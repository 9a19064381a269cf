import { type BaseConfig, runService } from "@banyan/service";
import { type Config, readConfig } from "./config.ts";
import { gatewayService } from "./service.ts";

await runService<Config & BaseConfig>(gatewayService, readConfig());
