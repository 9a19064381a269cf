export * from "./assert.ts";
export * from "./clock.ts";
export * from "./error.ts";
export * from "./id.ts";
export * from "./logger.ts";
export * from "./machine.ts";
export * from "./retry.ts";
