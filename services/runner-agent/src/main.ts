import { runService } from "@banyan/service";
import { readConfig } from "./config.ts";
import { runnerAgentService } from "./service.ts";

await runService(runnerAgentService, readConfig());
