export type { ApiKey, CreatedKey, CreateKeyOptions, Organisation, Quota, Usage } from "./access.ts";
export { Banyan, type Image, type Node } from "./banyan.ts";
export type { ClientOptions } from "./client.ts";
export { BanyanError, isBanyanError } from "./error.ts";
export type { Command, CommandOptions, Exec, ExecEnd, ExecEvent, ExecOptions, ExecResult } from "./exec.ts";
export type { FileContent, FileInfo, Files, FindOptions, GrepOptions, WriteOptions } from "./files.ts";
export type { OutputOptions, Process, Processes, ProcessInfo, StartProcessOptions } from "./processes.ts";
export type {
  Link,
  Sandbox,
  SandboxHandle,
  SandboxInfo,
  StartedInfo,
  StartedSandbox,
  StartOptions,
  StopOptions,
  UpdateSandboxOptions,
} from "./sandbox.ts";
export type { CreateSandboxOptions, ListSandboxesOptions, Sandboxes } from "./sandboxes.ts";
export type { Terminal, TerminalEnd, TerminalOptions } from "./terminal.ts";
