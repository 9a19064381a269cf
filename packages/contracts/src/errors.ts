import { AppError, type ErrorKind } from "@banyan/kernel";

interface ErrorEntry {
  kind: ErrorKind;
  /** What happened, for a reader. */
  message: string;
  /** The next call or change that would help. */
  fix: string;
}

const entry = (kind: ErrorKind, message: string, fix: string): ErrorEntry => ({ kind, message, fix });

/** The only registry of error codes. A code says what happened; its kind says what the caller may do. */
export const ERRORS = {
  "request.invalid": entry(
    "invalid",
    "The request does not fit its schema.",
    "Correct the fields named in `details.issues`; see /openapi.json.",
  ),
  "request.malformed_json": entry("invalid", "The body is not valid JSON.", "Send valid JSON with content-type application/json."),
  "request.too_large": entry(
    "invalid",
    "The request is larger than its limit.",
    "Send less; large content goes through the files API as a stream.",
  ),
  "request.not_found": entry("not_found", "There is no such route.", "See /openapi.json for the routes."),
  "request.method_not_allowed": entry("invalid", "This route does not take this method.", "Use one of `details.allow`; see /openapi.json."),
  "request.timeout": entry(
    "timeout",
    "The request did not finish before its deadline.",
    "Try again; use the same Idempotency-Key for a mutation.",
  ),
  "request.idempotency_mismatch": entry(
    "conflict",
    "This Idempotency-Key was used with another request.",
    "Use a new key for a new request.",
  ),
  "request.idempotency_in_progress": entry(
    "conflict",
    "The first request with this Idempotency-Key is still under way.",
    "Repeat the same request after retry_after_ms.",
  ),
  "auth.missing": entry("unauthenticated", "No API key was given.", "Send `Authorization: Bearer <key>`; `banyan key create` makes one."),
  "auth.invalid": entry("unauthenticated", "The API key is unknown or revoked.", "Use a valid key; `banyan key create` makes one."),
  "auth.link_invalid": entry(
    "unauthenticated",
    "The signed link is wrong or has expired.",
    "Ask for a new one: POST /v1/sandboxes/{id}/ports/{port}/links.",
  ),
  "auth.not_admin": entry("forbidden", "This needs a key with the role `admin`.", "Use an admin's key."),
  "key.not_found": entry("not_found", "There is no such API key in this organisation.", "List them: GET /v1/keys."),
  "organisation.not_found": entry("not_found", "There is no such organisation.", "List them: GET /v1/organisations."),
  "organisation.exists": entry("conflict", "An organisation of this name exists.", "Choose another name, or use the one that exists."),
  "sandbox.not_found": entry("not_found", "There is no such sandbox.", "List yours: GET /v1/sandboxes."),
  "sandbox.not_running": entry("conflict", "The sandbox is not running.", "Start it: POST /v1/sandboxes/{id}/start."),
  "sandbox.illegal_transition": entry(
    "conflict",
    "This is not possible in the sandbox's present state.",
    "Look at its state: GET /v1/sandboxes/{id}.",
  ),
  "sandbox.stale_epoch": entry(
    "conflict",
    "The command was meant for an earlier run of this sandbox.",
    "Read the sandbox again and repeat the command.",
  ),
  "sandbox.version_conflict": entry(
    "conflict",
    "The sandbox was changed by another request at the same time.",
    "Read the sandbox again and repeat the command.",
  ),
  "sandbox.ready_failed": entry(
    "invalid",
    "The sandbox ran, but its image's ready check did not pass in time.",
    "See `details.seen`; mend the image, raise `ready.timeout_ms`, or look inside with `on_unready: keep`.",
  ),
  "sandbox.start_failed": entry("unavailable", "The sandbox could not be started.", "Try again; `details` says where it failed."),
  "sandbox.quota_exceeded": entry(
    "exhausted",
    "The organisation's quota is used up.",
    "Delete or stop sandboxes, or ask an admin for a larger quota.",
  ),
  "node.none_available": entry(
    "unavailable",
    "No node has room for this sandbox now.",
    "Try again after retry_after_ms, ask for less, or add a node.",
  ),
  "node.none_fits": entry(
    "invalid",
    "No node of this cluster is large enough for these limits.",
    "Ask for less cpu, memory or disk; GET /v1/nodes shows the capacities.",
  ),
  "node.no_slot": entry(
    "unavailable",
    "The warm pool is empty and no slot came free before the deadline.",
    "Try again after retry_after_ms.",
  ),
  "node.unreachable": entry("unavailable", "The sandbox's node does not answer.", "Try again; the sandbox is kept on its node."),
  "image.not_found": entry("invalid", "There is no image of this name.", "Use `default`, or list the images: GET /v1/images."),
  "image.not_ready": entry("unavailable", "The image is still being made.", "Try again after retry_after_ms."),
  "image.build_failed": entry("internal", "The image could not be made.", "See `details` for the step and its output."),
  "image.in_use": entry("conflict", "The image is in use.", "Delete what `details.used_by` names first."),
  "image.protected": entry("forbidden", "This image belongs to Banyan itself.", "Delete only images of your organisation."),
  "build.not_found": entry("not_found", "There is no such build.", "List them: GET /v1/builds."),
  "build.too_many": entry("exhausted", "Too many builds of this organisation wait already.", "Wait for some to end, or cancel them."),
  "build.step_failed": entry("invalid", "A step of the build failed.", "Read `details.last_lines` and change the step `details.step`."),
  "build.package_not_found": entry(
    "invalid",
    "A package of the build does not exist under this name and version.",
    "Check the name and version named in `details.last_lines`.",
  ),
  "build.disk_full": entry("exhausted", "The builder's disk is full.", "Write less in the steps, or have the operator make room."),
  "build.network": entry(
    "unavailable",
    "A step of the build could not reach the network.",
    "Try again; if the step needs no closed network, set `network` to `open`.",
  ),
  "build.out_of_memory": entry("exhausted", "A step of the build ran out of memory.", "Split the step, or do less at once in it."),
  "build.syntax": entry(
    "invalid",
    "The Dockerfile or a command of the build has a syntax error.",
    "Correct the line named in `details.last_lines`.",
  ),
  "build.timeout": entry("timeout", "The build did not end before its deadline.", "Raise `timeout_s`, or do less in the build."),
  "build.engine_unavailable": entry(
    "unavailable",
    "The builder's Docker Engine does not answer, or refuses.",
    "Try again; if it persists, the operator finds the reason in `details` and in the builder's log.",
  ),
  "build.interrupted": entry(
    "unavailable",
    "The builder was lost too often while it worked on this build.",
    "Request it again; if it persists, the operator finds the reason in the builder's log.",
  ),
  "build.cancelled": entry("conflict", "The build was cancelled.", "Request it again."),
  "context.not_found": entry("invalid", "There is no context of this digest.", "Upload it first: PUT /v1/contexts/{digest}."),
  "context.refused": entry(
    "invalid",
    "The uploaded tar holds what a context may not.",
    "See `details`: leave the entry out and upload again.",
  ),
  "registry.not_found": entry("not_found", "No credentials are kept for this registry.", "List them: GET /v1/registries."),
  "registry.denied": entry(
    "invalid",
    "The registry refused the pull.",
    "Check the reference, and save credentials: PUT /v1/registries/{host}.",
  ),
  "registry.unavailable": entry("unavailable", "The registry does not answer.", "Try again, or use a base that is here: GET /v1/images."),
  "fork.not_found": entry("not_found", "There is no such fork.", "List yours: GET /v1/forks."),
  "fork.too_many": entry(
    "exhausted",
    "Too many forks of this organisation are under way.",
    "Wait for one to end, or cancel one: GET /v1/forks.",
  ),
  "fork.no_parent": entry(
    "invalid",
    "This sandbox was not made by a fork of a sandbox that still exists.",
    "Only a child can be promoted; see GET /v1/sandboxes/{id}/lineage.",
  ),
  "fork.parent_changed": entry(
    "conflict",
    "The parent's files have changed since the fork.",
    "Look at `details.changed`; promote with `force: true` to give them up.",
  ),
  "diff.elsewhere": entry(
    "conflict",
    "The two sandboxes are not on the same node, and their files are compared only there.",
    "Fork both from one sandbox with `spread: pack`, or take the diff of each without `against`.",
  ),
  "diff.unrelated": entry(
    "invalid",
    "The two sandboxes do not stand on a common image.",
    "Compare sandboxes of one tree: see GET /v1/sandboxes/{id}/lineage.",
  ),
  "diff.failed": entry("unavailable", "The sandbox's changes could not be read.", "Try again; `details.reason` says what was in the way."),
  "node.not_found": entry("not_found", "There is no such node.", "List them: GET /v1/nodes."),
  "node.in_use": entry("conflict", "The node still holds sandboxes.", "Drain it first: POST /v1/nodes/{id}/drain."),
  "node.join_refused": entry("unauthenticated", "The join token is unknown, used up or expired.", "Make a new one: `banyan node token`."),
  "node.token_not_found": entry("not_found", "There is no such join token.", "List them: GET /v1/nodes/tokens."),
  "snapshot.failed": entry("unavailable", "The snapshot could not be made.", "Try again; the sandbox is as it was."),
  "layer.unavailable": entry(
    "unavailable",
    "A layer of the image could not be fetched to the node.",
    "Try again; the node's log names the layer.",
  ),
  "exec.not_found": entry("invalid", "There is no such command in the sandbox.", "Check the name and PATH, or install it first."),
  "exec.not_executable": entry("invalid", "The command exists but cannot be executed.", "Check its permissions and its interpreter line."),
  "exec.bad_cwd": entry("invalid", "The working directory does not exist or cannot be entered.", "Create it first, or give another cwd."),
  "exec.no_such_user": entry("invalid", "There is no such user in the sandbox.", "Give a user of the sandbox's /etc/passwd or uid:gid."),
  "exec.resources": entry(
    "exhausted",
    "The sandbox has no processes or memory left to run this.",
    "Kill processes in it, or create it with higher limits.",
  ),
  "exec.too_many": entry("exhausted", "Too many operations run at once in this sandbox.", "Wait for some to end."),
  "process.not_found": entry("not_found", "There is no such background process.", "List them: GET /v1/sandboxes/{id}/processes."),
  "process.exists": entry("conflict", "A process of this id exists.", "Choose another id."),
  "process.stdin_unavailable": entry(
    "conflict",
    "The process takes no more input.",
    "Start it with `stdin: true`, and write before it is closed.",
  ),
  "process.wait_timeout": entry("timeout", "The process is still running.", "Wait again."),
  "file.not_found": entry("not_found", "There is no such file or directory.", "List the parent directory."),
  "file.exists": entry("conflict", "The path exists already.", "Remove it first, or allow overwriting."),
  "file.permission_denied": entry("forbidden", "The user may not do this to the path.", "Use another `user`, or change the mode."),
  "file.not_a_directory": entry("invalid", "A part of the path is not a directory.", "Check the path."),
  "file.is_a_directory": entry("invalid", "The path is a directory.", "Use the list or tar call for directories."),
  "file.not_empty": entry("conflict", "The directory is not empty.", "Pass `recursive=true`."),
  "file.not_regular": entry("invalid", "The path is not a regular file.", "Only regular files can be read and written here."),
  "file.no_space": entry("exhausted", "The sandbox's disk is full.", "Remove files, or create it with a larger `disk_mb`."),
  "file.too_large": entry("invalid", "The file is larger than this call handles.", "Use a streamed read or write."),
  "file.bad_pattern": entry("invalid", "The pattern is not a valid regular expression.", "Use POSIX extended syntax, or `fixed=true`."),
  "file.failed": entry("invalid", "The file operation failed.", "See `details.errno`."),
  "port.refused": entry(
    "unavailable",
    "Nothing listens on this port inside the sandbox.",
    "Start the server first, on 127.0.0.1 or 0.0.0.0.",
  ),
  "port.no_answer": entry("unavailable", "The server on this port gave no proper answer.", "Check that it speaks HTTP, and its output."),
  "sandbox.protocol": entry(
    "unavailable",
    "The sandbox's init broke the protocol or went away.",
    "Try again; if it persists, stop and start the sandbox.",
  ),
  "volume.not_found": entry("not_found", "There is no such volume.", "List yours: GET /v1/volumes."),
  "volume.version_not_found": entry("not_found", "The volume has no such version.", "List them: GET /v1/volumes/{id}/versions."),
  "volume.not_ready": entry("conflict", "The volume cannot be used in its present state.", "Look at its state: GET /v1/volumes/{id}."),
  "volume.name_taken": entry("conflict", "Another one has this name.", "Choose another name, or rename the other one."),
  "volume.too_many": entry(
    "exhausted",
    "There are too many of these already.",
    "Delete some first; `details.max` says how many there may be.",
  ),
  "volume.in_use": entry(
    "conflict",
    "Sandboxes have the volume among their mounts.",
    "Unmount it from those that `details.used_by` names.",
  ),
  "volume.unsupported": entry("invalid", "This kind of volume cannot do that.", "See /docs/volumes for what each backend can do."),
  "volume.no_space": entry("exhausted", "The volume is full.", "Remove files, or raise its `quota_mb`: PATCH /v1/volumes/{id}."),
  "volume.unreachable": entry(
    "unavailable",
    "The volume's store does not answer.",
    "Try again after retry_after_ms; the operator finds the reason in GET /v1/nodes.",
  ),
  "volume.mount_failed": entry("unavailable", "The volume could not be mounted.", "Try again; `details` says where it failed."),
  "volume.subpath_not_found": entry(
    "invalid",
    "The volume has nothing at this `subpath`.",
    "Make it first: POST /v1/volumes/{id}/files/mkdir.",
  ),
  "mount.refused": entry("invalid", "No volume can be mounted at this path.", "See `details.reason`, and choose another `path`."),
  "mount.exists": entry("conflict", "The sandbox has a mount there already.", "Choose another path, or unmount that one first."),
  "mount.not_found": entry("not_found", "The sandbox has no mount at this path.", "See its `volumes`: GET /v1/sandboxes/{id}."),
  "mount.busy": entry("conflict", "Processes of the sandbox use the mount.", "End them, or unmount with `force=true`."),
  "upload.not_found": entry("not_found", "There is no such upload.", "Begin one: POST /v1/volumes/{id}/uploads."),
  "upload.out_of_order": entry("conflict", "The part does not begin where the upload stands.", "Go on at `details.offset`."),
  "upload.checksum_mismatch": entry("invalid", "What arrived is not what the checksum says.", "Send the part again."),
  "upload.busy": entry(
    "unavailable",
    "Too many parts of the organisation arrive at once.",
    "Try again after retry_after_ms, with fewer at once.",
  ),
  "upload.incomplete": entry("conflict", "Parts of the upload are missing.", "Send the rest from `details.offset` on, then complete it."),
  "database.unavailable": entry("unavailable", "The database does not answer.", "Try again after retry_after_ms."),
  "bus.unavailable": entry("unavailable", "The service that handles this does not answer.", "Try again after retry_after_ms."),
  "bus.timeout": entry("timeout", "The service that handles this did not answer in time.", "Try again with the same Idempotency-Key."),
  internal: entry("internal", "Something went wrong inside Banyan.", "Try again; if it persists, report the `request_id`."),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

export interface FaultOptions {
  cause?: unknown;
  /** Replaces the registry's message where the case has something more exact to say. */
  message?: string;
}

/** The one way to make an AppError: from its code. `details` may hold `retryAfterMs`. */
export function fault(code: ErrorCode, details: Record<string, unknown> = {}, options: FaultOptions = {}): AppError {
  const { kind, message } = ERRORS[code];
  return new AppError({ kind, code, message: options.message ?? message, details, cause: options.cause });
}

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}

export function isFault(thrown: unknown, ...codes: ErrorCode[]): thrown is AppError {
  return thrown instanceof AppError && (codes.length === 0 || (codes as string[]).includes(thrown.code));
}

/** What crosses the bus in place of an answer. The cause stays in the log of the service that threw. */
export interface WireError {
  code: ErrorCode;
  message: string;
  details: Record<string, unknown>;
}

export function toWireError(thrown: unknown): WireError {
  if (thrown instanceof AppError && isErrorCode(thrown.code))
    return { code: thrown.code, message: thrown.message, details: thrown.details };
  return { code: "internal", message: ERRORS.internal.message, details: {} };
}

export function fromWireError(wire: { code: string; message: string; details?: Record<string, unknown> | undefined }): AppError {
  if (!isErrorCode(wire.code)) return fault("internal", { code: wire.code });
  return fault(wire.code, wire.details ?? {}, { message: wire.message });
}
