export * from "./attach-client.ts";
export * from "./build.ts";
export * from "./exec.ts";
export * from "./file-entry.ts";
export * from "./file-server.ts";
export * from "./init-client.ts";
export * from "./init-files.ts";
export { NativeError, type NativeErrorCode } from "./native-error.ts";
export type { Bytes, CallOptions } from "./request.ts";
