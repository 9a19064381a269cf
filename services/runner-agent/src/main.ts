import { runService } from "@banyan/service";
import { readConfig, readJoinConfig } from "./config.ts";
import { joinedEnvironment } from "./join.ts";
import { runnerAgentService } from "./service.ts";

await runService(runnerAgentService, readConfig(await joinedEnvironment(readJoinConfig())));
