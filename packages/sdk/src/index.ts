export type { ApiKey, CreatedKey, CreateKeyOptions, Organisation, Quota, Usage } from "./access.ts";
export { Banyan } from "./banyan.ts";
export type { Build, BuildEventsOptions, Builds, ListBuildsOptions } from "./builds.ts";
export type { ClientOptions } from "./client.ts";
export {
  Cluster,
  type CreatedNodeToken,
  type CreateNodeTokenOptions,
  type DrainedNode,
  type Node,
  type NodeToken,
  type RemovedNode,
} from "./cluster.ts";
export type { CopyChange, CopyOptions as VolumeCopyOptions, CopyProblem, CopyProgress, CopyResult, UploadNotes } from "./copy/options.ts";
export type { Diff, DiffEntry, DiffOptions, DiffRange } from "./diff.ts";
export { BanyanError, isBanyanError } from "./error.ts";
export type { Command, CommandOptions, Exec, ExecEnd, ExecEvent, ExecOptions, ExecResult } from "./exec.ts";
export type { FileContent, FileInfo, Files, FindOptions, GrepOptions, WriteOptions } from "./files.ts";
export type { FollowOptions } from "./followed-events.ts";
export type { Fork, ForkEvent, ForkInfo, ForkWinner, ListChildrenOptions } from "./fork.ts";
export type { ForkChild, ForkChildInfo } from "./fork-child.ts";
export type { ForkEach, ForkOptions, ForkPolicy, ForkRun } from "./fork-options.ts";
export type { CreateForkOptions, ForkOrigin, Forks, ListForksOptions } from "./forks.ts";
export {
  type CopyOptions,
  type DockerfileOptions,
  type FileOptions,
  Image,
  type ImageSpec,
  type ReadyCheck,
  type RunOptions,
} from "./image.ts";
export type { BuildPlan, BuiltImage, ImageDetails, ImageInfo, Images, ListImagesOptions, RequestBuildOptions } from "./images.ts";
export type { BuildEvent, WorkOptions } from "./long-work.ts";
export type { OutputOptions, Process, Processes, ProcessInfo, StartProcessOptions } from "./processes.ts";
export type { Registries, Registry } from "./registries.ts";
export type {
  Lineage,
  Link,
  MountOptions,
  Promotion,
  Sandbox,
  SandboxHandle,
  SandboxInfo,
  Snapshot,
  StartedInfo,
  StartedSandbox,
  StartOptions,
  StopOptions,
  UpdateSandboxOptions,
} from "./sandbox.ts";
export type { CreateSandboxOptions, ListSandboxesOptions, Sandboxes } from "./sandboxes.ts";
export type { Terminal, TerminalEnd, TerminalOptions } from "./terminal.ts";
export type { UploadOptions } from "./upload.ts";
export type { SeekableSource, UploadSource } from "./upload-source.ts";
export type { ForkVolumeOptions, UpdateVolumeOptions, Volume, VolumeHandle, VolumeInfo, VolumeUsers, VolumeVersion } from "./volume.ts";
export type { CreateVolumeOptions, ListVolumesOptions, Volumes } from "./volumes.ts";
