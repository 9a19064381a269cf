import { runService } from "@banyan/service";
import { readConfig } from "./config.ts";
import { volumeManagerService } from "./service.ts";

await runService(volumeManagerService, readConfig());
