import { Env, fault, type ImageConfig, type ImageSpec, type ImageStep, LIMITS } from "@banyan/contracts";
import { chainKey, sha256 } from "./key.ts";
import type { ConfigChanges, PlannedDockerfile, PlannedFile, PlannedStep, ResolvedBase } from "./plan.ts";
import { aptScript, npmItselfScript, npmScript, pipScript, workdirScript } from "./scripts.ts";

const TITLE_LENGTH_MAX = 200;
const FILE_MODE_DEFAULT = 0o644;

export interface Plan {
  /** Of the whole: equal for equal work of one organisation on one architecture. */
  key: string;
  base: ResolvedBase | null;
  steps: PlannedStep[];
  dockerfile: PlannedDockerfile | null;
  config: ConfigChanges;
  warnings: string[];
}

export interface PlanInput {
  orgId: string;
  spec: ImageSpec;
  base: ResolvedBase | null;
  /** What a Dockerfile's FROM lines refer to. */
  from: ResolvedBase[];
  architecture: string;
}

/**
 * A spec as steps in order, each with the key of all that leads to it. A base is resolved before, to files that exist, and its key is made of
 * what it is and not of its name: so nothing can stand on itself.
 */
export function normalise(input: PlanInput): Plan {
  const { spec, base, orgId, architecture } = input;
  const ground = chainKey("", { orgId, architecture, base: base && identityOf(base) });
  const { steps, env } = spec.dockerfile === undefined ? planSteps(spec, ground) : { steps: [], env: spec.env };
  const dockerfile = spec.dockerfile === undefined ? null : planDockerfile(input, spec.dockerfile, ground);
  const config = configOf(spec, env);
  const last = dockerfile?.key ?? steps.at(-1)?.key ?? ground;
  return { key: chainKey(last, { config, over: base?.config ?? null }), base, steps, dockerfile, config, warnings: warningsOf(spec) };
}

/** The files and the config that steps see, whatever the name that led there. */
function identityOf({ config, source }: ResolvedBase): unknown {
  if (source.kind === "registry") return source.reference.slice(source.reference.indexOf("@") + 1);
  if (source.kind === "rootfs") return source.digest;
  return { layers: source.layers.map(({ digest }) => digest), env: config?.env, workdir: config?.workdir };
}

interface InForce {
  env: Record<string, string>;
  workdir: string | null;
  user: string | null;
}

type Draft = Pick<PlannedStep, "title" | "kind"> & Partial<PlannedStep>;

function planSteps(spec: ImageSpec, ground: string): { steps: PlannedStep[]; env: Record<string, string> } {
  const inForce: InForce = { env: { ...spec.env }, workdir: null, user: null };
  const steps: PlannedStep[] = [];
  let key = ground;
  for (const step of allSteps(spec)) {
    for (const draft of drafts(step, inForce, steps)) {
      const planned = complete(draft, inForce, spec, steps.length, key);
      key = planned.key;
      steps.push(planned);
    }
  }
  if (steps.length > LIMITS.stepsPerImage)
    throw invalid(`The spec comes to ${steps.length} steps; ${LIMITS.stepsPerImage} is the most. Join commands or packages.`);
  if (!Env.safeParse(inForce.env).success) throw invalid("The variables of all steps together are more than an image may have.");
  return { steps, env: inForce.env };
}

/** The short form as steps, before `steps`. Packages come before the workdir, on which they do not depend. */
function allSteps(spec: ImageSpec): (ImageStep | { files: ImageSpec["files"] })[] {
  return [
    ...(spec.apt.length > 0 ? [{ apt: spec.apt }] : []),
    ...(spec.pip.length > 0 ? [{ pip: spec.pip }] : []),
    ...(spec.npm.length > 0 ? [{ npm: spec.npm }] : []),
    ...(spec.workdir === undefined ? [] : [{ workdir: spec.workdir }]),
    ...(spec.files.length > 0 ? [{ files: spec.files }] : []),
    ...spec.commands.map((run) => ({ run })),
    ...spec.steps,
  ];
}

/** Changes what is in force, and says what is to be done for it. Packages are installed by root, whoever the user is. */
function drafts(step: ReturnType<typeof allSteps>[number], inForce: InForce, before: readonly PlannedStep[]): Draft[] {
  if ("apt" in step) return [{ kind: "run", title: `apt ${step.apt.join(" ")}`, script: aptScript(step.apt), user: null }];
  if ("pip" in step) return [{ kind: "run", title: `pip ${step.pip.join(" ")}`, script: pipScript(step.pip), user: null }];
  if ("npm" in step) {
    const itself: Draft = { kind: "run", title: "npm itself, where the base has none", script: npmItselfScript, user: null };
    const isThere = before.some(({ script }) => script === npmItselfScript);
    return [...(isThere ? [] : [itself]), { kind: "run", title: `npm ${step.npm.join(" ")}`, script: npmScript(step.npm), user: null }];
  }
  if ("run" in step)
    return [
      {
        kind: "run",
        title: `run ${step.run}`,
        script: step.run,
        secretNames: [...new Set(step.secrets)].toSorted(),
        timeoutS: step.timeout_s ?? null,
        ...(step.network !== undefined && { network: step.network }),
      },
    ];
  if ("file" in step) return [{ kind: "files", title: `file ${step.file.path}`, files: [plannedFile(step.file)] }];
  if ("files" in step)
    return [{ kind: "files", title: `files ${step.files.map(({ path }) => path).join(" ")}`, files: step.files.map(plannedFile) }];
  if ("copy" in step) {
    const { context, from, to, owner = null } = step.copy;
    return [{ kind: "copy", title: `copy ${from} ${to}`, copy: { context, from, to, owner } }];
  }
  if ("env" in step) {
    inForce.env = { ...inForce.env, ...step.env };
    return [{ kind: "config", title: `env ${Object.keys(step.env).join(" ")}` }];
  }
  if ("user" in step) {
    inForce.user = step.user;
    return [{ kind: "config", title: `user ${step.user}` }];
  }
  const script = workdirScript(step.workdir, inForce.user);
  const draft: Draft = { kind: "run", title: `workdir ${step.workdir}`, script, user: null, workdir: "/", network: "closed" };
  inForce.workdir = step.workdir;
  return [draft];
}

function complete(draft: Draft, inForce: InForce, spec: ImageSpec, index: number, parent: string): PlannedStep {
  const step = {
    script: null,
    files: [],
    copy: null,
    ...inForce,
    network: spec.network,
    timeoutS: null,
    secretNames: [],
    ...draft,
    index,
    title: titleOf(draft.title),
  };
  return { ...step, key: step.kind === "config" ? parent : chainKey(parent, meaningOf(step)) };
}

/** What of a step decides its result. Secrets count by their names: their values are nowhere kept. */
function meaningOf(step: Omit<PlannedStep, "key">): unknown {
  const { kind, copy } = step;
  if (kind === "copy") return { kind, copy };
  if (kind === "files") return { kind, files: step.files.map(({ bytes, ...file }) => ({ ...file, content: sha256(bytes) })) };
  const { script, env, workdir, user, network, secretNames } = step;
  return { kind, script, env, workdir, user, network, secretNames };
}

function planDockerfile({ spec, from }: PlanInput, text: string, ground: string): PlannedDockerfile {
  const { context = null, build_args: buildArgs = {}, network } = spec;
  const key = chainKey(ground, { text, context, buildArgs, network, from: from.map((base) => [base.reference, identityOf(base)]) });
  return { key, text, context, buildArgs, bases: from, network };
}

function configOf(spec: ImageSpec, env: Record<string, string>): ConfigChanges {
  const { cpu, memory_mb: memoryMb, disk_mb: diskMb } = spec.resources ?? {};
  const last = <T>(of: (step: ImageStep) => T | undefined): T | undefined => spec.steps.map(of).findLast((value) => value !== undefined);
  return {
    env,
    workdir: last((step) => ("workdir" in step ? step.workdir : undefined)) ?? spec.workdir ?? null,
    user: last((step) => ("user" in step ? step.user : undefined)) ?? spec.user ?? null,
    entrypoint: spec.entrypoint ?? null,
    ready: spec.ready ?? null,
    resources: { ...(cpu !== undefined && { cpu }), ...(memoryMb !== undefined && { memoryMb }), ...(diskMb !== undefined && { diskMb }) },
  };
}

/** What the spec says over what its base or Dockerfile says. */
export function mergeConfig(base: ImageConfig, changes: ConfigChanges): ImageConfig {
  return {
    env: { ...base.env, ...changes.env },
    workdir: changes.workdir ?? base.workdir,
    user: changes.user ?? base.user,
    entrypoint: changes.entrypoint ?? base.entrypoint,
    ready: changes.ready ?? base.ready,
    resources: { ...base.resources, ...changes.resources },
  };
}

function plannedFile(file: ImageSpec["files"][number]): PlannedFile {
  const bytes = file.content === undefined ? Buffer.from(file.content_base64 ?? "", "base64") : Buffer.from(file.content, "utf8");
  const mode = file.mode === undefined ? FILE_MODE_DEFAULT : Number.parseInt(file.mode, 8);
  return { path: file.path, bytes, mode, owner: file.owner ?? null };
}

function titleOf(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > TITLE_LENGTH_MAX ? `${line.slice(0, TITLE_LENGTH_MAX - 1)}…` : line;
}

function warningsOf(spec: ImageSpec): string[] {
  const packs = (of: "apt" | "pip" | "npm") => [
    ...spec[of],
    ...spec.steps.flatMap((step) => (of in step ? Object.values(step).flat() : [])),
  ];
  const unpinned = packs("pip").filter((name) => !String(name).includes("=="));
  return [
    ...(spec.dockerfile !== undefined && spec.base !== "default"
      ? ["`base` has no effect beside `dockerfile`: its FROM lines name the base."]
      : []),
    ...(packs("npm").length > 0 ? ["Where the base has no npm it is installed with apt first, which takes a while the first time."] : []),
    ...(unpinned.length > 0
      ? [`Without a version, what is newest when it is built is taken and kept: ${unpinned.slice(0, 10).join(", ")}.`]
      : []),
  ];
}

const invalid = (message: string) => fault("request.invalid", { issues: [message] }, { message });
