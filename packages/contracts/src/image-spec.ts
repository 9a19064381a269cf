import { z } from "zod";
import { LIMITS } from "./limits.ts";
import { Env, SandboxPath, UserSpec } from "./sandbox.ts";

/** sha256 of a layer's uncompressed tar, or of an uploaded context. */
export const Digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, "not a sha256 digest");

/** The words of a package list reach a shell: only what a package manager's own grammar has, and never an option. */
const packageName = (pattern: RegExp, what: string) => z.string().max(LIMITS.packageNameLength).regex(pattern, what);
const AptPackage = packageName(/^[a-z0-9][a-z0-9+.-]*(:[a-z0-9]+)?(=[A-Za-z0-9.+:~-]+)?$/, "a Debian package, as in `jq` or `jq=1.6-2`");
const PipPackage = packageName(
  /^[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9._,-]+\])?((==|>=|<=|~=|!=|<|>)[A-Za-z0-9.*+!_-]+(,(==|>=|<=|~=|!=|<|>)[A-Za-z0-9.*+!_-]+)*)?$/,
  "a Python package, as in `numpy` or `numpy==2.1.0`",
);
const NpmPackage = packageName(
  /^(@[a-z0-9][a-z0-9._-]*\/)?[a-z0-9][a-z0-9._-]*(@[A-Za-z0-9^~*<>=.+-][A-Za-z0-9^~*<>=.+-]*)?$/,
  "an npm package, as in `typescript` or `typescript@5`",
);
const packages = (name: z.ZodString) => z.array(name).max(LIMITS.packagesPerStep, `at most ${LIMITS.packagesPerStep} packages`);

const Mode = z.string().regex(/^0?[0-7]{3,4}$/, "an octal mode, as in `0755`");
const ShellText = z
  .string()
  .min(1)
  .refine((text) => !text.includes("\0"), "no NUL")
  .refine((text) => Buffer.byteLength(text) <= LIMITS.stepCommandBytes, `at most ${LIMITS.stepCommandBytes} bytes`);

/** A path below the context's root, never out of it. */
const ContextPath = z
  .string()
  .max(LIMITS.pathBytes)
  .refine((path) => !path.includes("\0") && !path.startsWith("/"), "relative to the context's root")
  .refine((path) => !path.split("/").includes(".."), "may not lead out of the context");

const SecretName = z.string().regex(/^[A-Z_][A-Z0-9_]{0,63}$/, "upper-case letters, digits and _");

const RunStep = z.strictObject({
  run: ShellText.describe("A shell command; the step fails when it ends with another code than 0."),
  secrets: z
    .array(SecretName)
    .max(LIMITS.secretsPerBuild)
    .optional()
    .describe("Secrets of the build that it sees, as files in /run/secrets and as variables."),
  network: z.enum(["open", "closed"]).optional(),
  timeout_s: z.int().min(1).max(LIMITS.buildTimeoutSMax).optional(),
});

export const FileContent = z
  .strictObject({
    path: SandboxPath,
    content: z.string().optional(),
    content_base64: z.base64().optional(),
    mode: Mode.optional(),
    owner: UserSpec.optional(),
  })
  .refine((file) => (file.content === undefined) !== (file.content_base64 === undefined), "exactly one of `content` and `content_base64`")
  .refine(
    (file) => (file.content ?? file.content_base64 ?? "").length <= LIMITS.inlineFileBytes,
    `at most ${LIMITS.inlineFileBytes} bytes; upload larger ones as a context`,
  );

const CopyStep = z.strictObject({
  context: Digest.describe("What `PUT /v1/contexts` answered."),
  from: ContextPath.default("."),
  to: SandboxPath,
  owner: UserSpec.optional(),
});

/** One step of a build, in order; each becomes a layer and is cached by what came before it and what it says. */
export const ImageStep = z.union([
  z.strictObject({ apt: packages(AptPackage).min(1) }),
  z.strictObject({ pip: packages(PipPackage).min(1) }),
  z.strictObject({ npm: packages(NpmPackage).min(1) }),
  RunStep,
  z.strictObject({ file: FileContent }),
  z.strictObject({ copy: CopyStep }),
  z.strictObject({ env: Env }),
  z.strictObject({ workdir: SandboxPath }),
  z.strictObject({ user: UserSpec }),
]);
export type ImageStep = z.infer<typeof ImageStep>;

const BaseSpec = z.union([
  z
    .string()
    .min(1)
    .max(255)
    .describe("`default`, the name or id of an image or snapshot, or a reference of a registry such as `docker.io/library/debian:trixie`."),
  z.strictObject({ rootfs: Digest.describe("A tar of a root filesystem, uploaded with PUT /v1/contexts.") }),
]);

/** How it is known that a sandbox of the image is ready for use. */
export const ReadyCheck = z
  .strictObject({
    command: ShellText.optional(),
    port: z.int().min(1).max(65_535).optional(),
    file: SandboxPath.optional(),
    timeout_ms: z.int().min(1).max(LIMITS.readyTimeoutMsMax).default(30_000),
  })
  .refine(
    ({ command, port, file }) => [command, port, file].filter((check) => check !== undefined).length === 1,
    "exactly one of `command`, `port`, `file`",
  );

/**
 * An environment, stated. `apt`, `pip`, `npm`, `files` and `commands` are a short form of `steps` and come before them, in this order.
 * With `dockerfile` there are no steps: the Docker Engine builds it, from `context` where it copies files.
 */
export const ImageSpec = z
  .strictObject({
    base: BaseSpec.default("default"),
    apt: packages(AptPackage).default([]),
    pip: packages(PipPackage).default([]),
    npm: packages(NpmPackage).default([]),
    files: z.array(FileContent).max(LIMITS.stepsPerImage).default([]),
    commands: z.array(ShellText).max(LIMITS.stepsPerImage).default([]),
    steps: z.array(ImageStep).max(LIMITS.stepsPerImage, `at most ${LIMITS.stepsPerImage} steps`).default([]),
    dockerfile: z.string().min(1).max(LIMITS.dockerfileBytes).optional(),
    context: Digest.optional().describe("For `dockerfile`: what it may COPY from."),
    build_args: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/), z.string().max(LIMITS.envValueBytes)).optional(),
    env: Env.default({}),
    workdir: SandboxPath.optional(),
    user: UserSpec.optional(),
    entrypoint: z.array(z.string().max(LIMITS.envValueBytes)).max(LIMITS.argvItems).optional(),
    ready: ReadyCheck.optional(),
    resources: z
      .strictObject({
        cpu: z.number().min(LIMITS.cpuMin).max(LIMITS.cpuMax).optional(),
        memory_mb: z.int().min(LIMITS.memoryMbMin).max(LIMITS.memoryMbMax).optional(),
        disk_mb: z.int().min(LIMITS.diskMbMin).max(LIMITS.diskMbMax).optional(),
      })
      .optional()
      .describe("What sandboxes of it get where their own `limits` do not say."),
    network: z.enum(["open", "closed"]).default("open").describe("Of the build's steps."),
    timeout_s: z.int().min(1).max(LIMITS.buildTimeoutSMax).default(LIMITS.buildTimeoutSDefault).describe("Of the whole build."),
  })
  .refine(
    (spec) =>
      spec.dockerfile === undefined ||
      [spec.apt, spec.pip, spec.npm, spec.files, spec.commands, spec.steps].every(({ length }) => length === 0),
    "with `dockerfile` there are no apt, pip, npm, files, commands or steps",
  )
  .refine(
    (spec) => spec.dockerfile !== undefined || (spec.context === undefined && spec.build_args === undefined),
    "`context` and `build_args` go with `dockerfile`; steps name their context in `copy`",
  );
export type ImageSpec = z.infer<typeof ImageSpec>;
export type ImageSpecInput = z.input<typeof ImageSpec>;

/** `team/app:1.2`; without a tag `latest` is meant. */
export const ImageName = z
  .string()
  .max(LIMITS.imageNameLength)
  .regex(/^[a-z0-9]+([._/-][a-z0-9]+)*(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$/, "lower-case words joined by . _ - /, with an optional :tag");

/** Values are never written to a layer, a log or the database; the key of a build holds their names only. */
export const BuildSecrets = z
  .record(SecretName, z.string().max(LIMITS.secretBytes))
  .refine((secrets) => Object.keys(secrets).length <= LIMITS.secretsPerBuild, `at most ${LIMITS.secretsPerBuild} secrets`);
