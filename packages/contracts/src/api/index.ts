export * from "./access.ts";
export * from "./dataplane.ts";
export * from "./exec.ts";
export * from "./files.ts";
export * from "./node.ts";
export * from "./problem.ts";
export * from "./sandbox.ts";
