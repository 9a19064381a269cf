export { type Config, NODE_DEFAULTS, type NodeConfig, readConfig } from "./config.ts";
export { createDataPlane } from "./http/server.ts";
export { type Node, openNode } from "./node.ts";
export type { RunningSandbox, SandboxDirectory } from "./ports.ts";
export { deleteSandbox } from "./sandboxes/delete.ts";
export type { NodeParts } from "./sandboxes/parts.ts";
export { startSandbox } from "./sandboxes/start.ts";
export { stopSandbox } from "./sandboxes/stop.ts";
export { runnerAgentService } from "./service.ts";
