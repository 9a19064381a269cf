export * from "./access.ts";
export * as api from "./api/index.ts";
export * from "./errors.ts";
export * from "./image.ts";
export * from "./limits.ts";
export * from "./node.ts";
export * from "./sandbox.ts";
export * from "./scheduler.ts";
export * from "./verbs.ts";
