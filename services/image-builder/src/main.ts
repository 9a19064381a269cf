import { runService } from "@banyan/service";
import { readConfig } from "./config.ts";
import { imageBuilder } from "./service.ts";

await runService(imageBuilder, readConfig());
