import { runService } from "@banyan/service";
import { readConfig } from "./config.ts";
import { imageBuilderService } from "./service.ts";

await runService(imageBuilderService, readConfig());
