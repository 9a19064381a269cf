import { runService } from "@banyan/service";
import { readConfig } from "./config.ts";
import { schedulerService } from "./service.ts";

await runService(schedulerService, readConfig());
