import type { S3Location } from "@banyan/bus";
import type { Quota, SandboxRoute } from "@banyan/contracts";

/** Who is asking. */
export interface Caller {
  keyId: string;
  orgId: string;
  orgName: string;
  role: "admin" | "member";
  quota: Quota;
}

export interface Authenticator {
  /** From `Authorization: Bearer` or, for WebSocket clients that cannot set headers, the query parameter `api_key`. Throws auth.missing or auth.invalid. */
  authenticate(credentials: { authorization: string | undefined; apiKey: string | undefined }): Promise<Caller>;
}

/** Sandbox -> node, remembered in memory and asked of the scheduler when missing. */
export interface RouteMemory {
  /** Throws sandbox.not_found, sandbox.not_running, node.unreachable. An organisation finds only its own. */
  find(orgId: string, sandboxId: string): Promise<SandboxRoute>;
  /** Also of a stopped one, where it lies; sandbox.not_running of one that lies nowhere says its `state`. */
  findStored(orgId: string, sandboxId: string): Promise<SandboxRoute>;
  remember(route: SandboxRoute): void;
  /** After a stop, a delete, a stale epoch or a node that does not answer. */
  forget(sandboxId: string): void;
}

/** Volume -> the process that serves its content. */
export interface VolumeRoutes {
  /** By name or id; throws volume.not_found, volume.not_ready. A name is asked for each time: it may be another volume's tomorrow. */
  find(orgId: string, volume: string): Promise<{ volumeId: string; url: string }>;
  /** After a process that does not answer. */
  forget(volumeId: string): void;
}

/** How a node reaches the rest of the cluster. Secrets, all of it. */
export interface JoinSettings {
  natsUrl: string;
  clusterToken: string;
  /** Null: blobs are kept in NATS. */
  blobs: S3Location | null;
}
