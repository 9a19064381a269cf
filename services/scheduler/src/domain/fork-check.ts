import { Env, type ForkSpec, LIMITS } from "@banyan/contracts";

/** Something wrong with what a fork was asked to be; `path` names the field. */
export interface Issue {
  path: (string | number)[];
  message: string;
}

/** Ours: a child tells by them where it comes from. */
const OWN_PREFIX = "BANYAN_";
const ISSUES_MAX = 20;

/** What the schema cannot say. Empty: it can be made. `shared`: what children have of their source and image. */
export function checkFork(spec: ForkSpec, shared: Record<string, string> = {}): Issue[] {
  const issues = [...checkText(spec), ...checkEach(spec), ...checkKeys(spec), ...checkSizes(spec, shared)];
  return issues.slice(0, ISSUES_MAX);
}

/** As JSON writes them: a NUL and half a character, which the database cannot hold. An even number of backslashes before is text of its own. */
const UNSTORABLE = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f][0-9a-f]{2})/;

function checkText(spec: ForkSpec): Issue[] {
  return Object.entries(spec).flatMap(([field, value]) =>
    UNSTORABLE.test(JSON.stringify(value)) ? [{ path: [field], message: "holds a NUL or half a character: put it in base64" }] : [],
  );
}

function checkEach({ each, count }: ForkSpec): Issue[] {
  if (each.length === 0) return [];
  const issues: Issue[] = [];
  if (each.length !== count)
    issues.push({ path: ["each"], message: `has ${each.length} items for ${count} children: leave it out, or give one for each` });
  const bytes = Buffer.byteLength(JSON.stringify(each));
  if (bytes > LIMITS.forkEachBytes)
    issues.push({ path: ["each"], message: `takes ${bytes} bytes as JSON, of ${LIMITS.forkEachBytes} that may be` });
  return issues;
}

/** A variable that is given in two ways would be one of them by accident. */
function checkKeys({ env, envCycle, each, command }: ForkSpec): Issue[] {
  const issues: Issue[] = [];
  const own = (path: (string | number)[], key: string): void => {
    if (key.startsWith(OWN_PREFIX)) issues.push({ path: [...path, key], message: `names that begin with ${OWN_PREFIX} are Banyan's own` });
  };
  for (const key of Object.keys(env)) own(["env"], key);
  for (const key of Object.keys(command?.env ?? {})) own(["command", "env"], key);
  for (const [key, values] of Object.entries(envCycle)) {
    own(["envCycle"], key);
    if (key in env) issues.push({ path: ["envCycle", key], message: "is given in env too" });
    values.forEach((value, at) => {
      const checked = Env.safeParse({ [key]: value });
      if (!checked.success) issues.push({ path: ["envCycle", key, at], message: checked.error.issues[0]?.message ?? "not a variable" });
    });
  }
  each.forEach(({ env: itsOwn = {} }, index) => {
    for (const key of Object.keys(itsOwn)) {
      own(["each", index, "env"], key);
      if (key in env || key in envCycle)
        issues.push({ path: ["each", index, "env", key], message: `is given in ${key in env ? "env" : "envCycle"} too` });
    }
  });
  return issues;
}

/** Of one message, for what all of its children share and for what one has of its own. */
const MESSAGE_PART_BYTES_MAX = 384 * 1024;

function checkSizes(spec: ForkSpec, shared: Record<string, string>): Issue[] {
  const issues: Issue[] = [];
  const all = Env.safeParse({ ...shared, ...spec.env });
  if (!all.success)
    issues.push({ path: ["env"], message: `with the source's own variables: ${all.error.issues[0]?.message ?? "too large"}` });
  const common = Buffer.byteLength(JSON.stringify([shared, spec.env, spec.command]));
  if (common > MESSAGE_PART_BYTES_MAX)
    issues.push({ path: ["command"], message: `with the variables it takes ${common} bytes, of ${MESSAGE_PART_BYTES_MAX} that may be` });
  const cycled = Object.values(spec.envCycle).reduce(
    (sum, values) => sum + Math.max(...values.map((value) => Buffer.byteLength(value))),
    0,
  );
  if (cycled > LIMITS.envTotalBytes)
    issues.push({ path: ["envCycle"], message: `a child would get ${cycled} bytes of it, of ${LIMITS.envTotalBytes} that may be` });
  return issues;
}
