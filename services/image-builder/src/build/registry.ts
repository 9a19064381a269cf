import { fault } from "@banyan/contracts";
import { z } from "zod";
import type { RegistryAuth } from "../domain/plan.ts";
import type { Engine } from "./engine.ts";
import { asking, engineFault, orNull, saidByEngine, statusOf } from "./engine-fault.ts";
import { type Progress, readProgress } from "./progress.ts";

/** A registry that has said nothing by then counts as unreachable. */
const REGISTRY_ANSWER_MS = 15_000;
const UNREACHABLE =
  /dial tcp|no such host|i\/o timeout|connection (refused|reset)|Client\.Timeout|TLS handshake|network is unreachable|: EOF/i;
const DENIED = /unauthorized|denied|not found|manifest unknown|authentication required|no basic auth|invalid reference|repository name/i;
/** What is said once for a layer, not once for every few kilobytes of it. */
const WORTH_SAYING = /^(Pulling from|Pull complete|Already exists|Digest:|Status:)/;

const Distribution = z.object({ Descriptor: z.object({ digest: z.string().regex(/^sha256:[0-9a-f]{64}$/) }) });

/** What a registry has under this name now, as `name@sha256:…`. Nothing is pulled. */
export async function resolveReference(engine: Engine, reference: string, auth: RegistryAuth | null): Promise<string> {
  const signal = AbortSignal.timeout(REGISTRY_ANSWER_MS);
  try {
    const answer = await askDistribution(engine, reference, auth, signal);
    return `${nameOf(reference)}@${Distribution.parse(answer).Descriptor.digest}`;
  } catch (cause) {
    if (signal.aborted) throw fault("registry.unavailable", { reference }, { cause });
    throw registryFault(reference, cause);
  }
}

/** By the client's own means: its call for this can be given up neither by a signal nor after a time. */
function askDistribution({ docker }: Engine, reference: string, auth: RegistryAuth | null, abortSignal: AbortSignal): Promise<unknown> {
  const request = {
    path: `/distribution/${reference}/json`,
    method: "GET",
    statusCodes: { 200: true, 401: "denied", 403: "denied", 404: "no such image", 500: "server error" },
    ...(auth && { authconfig: authConfig(reference, auth) }),
    abortSignal,
  };
  return new Promise((resolve, reject) => {
    docker.modem.dial(request, (error: unknown, answer: unknown) => (error ? reject(error) : resolve(answer)));
  });
}

/** The image of a pinned reference in the engine. What is there is not asked for again: who resolved it was allowed to. */
export async function pullPinned(
  engine: Engine,
  reference: string,
  auth: RegistryAuth | null,
  { signal, onLine }: { signal: AbortSignal; onLine: (text: string) => void },
): Promise<string> {
  if ((await asking("look for an image", () => orNull(engine.docker.getImage(reference).inspect()))) !== null) return reference;
  try {
    const progress = await engine.docker.createImage(auth ? authConfig(reference, auth) : {}, {
      fromImage: reference,
      abortSignal: signal,
    });
    await readProgress(progress, (line) => sayProgress(line, onLine));
    return reference;
  } catch (cause) {
    signal.throwIfAborted();
    throw registryFault(reference, cause);
  }
}

function sayProgress({ id, status }: Progress, onLine: (text: string) => void): void {
  if (status !== undefined && WORTH_SAYING.test(status)) onLine(id === undefined ? status : `${id}: ${status}`);
}

function registryFault(reference: string, cause: unknown): Error {
  const said = saidByEngine(cause);
  const status = statusOf(cause);
  const details = { reference, said };
  if (UNREACHABLE.test(said)) return fault("registry.unavailable", details, { cause });
  if (status === 401 || status === 403 || status === 404 || DENIED.test(said))
    return fault("registry.denied", details, { cause, message: `${reference} cannot be pulled: ${said}` });
  return engineFault(`pull ${reference}`, cause);
}

/** Without its tag and digest. A colon before a slash belongs to the registry's port. */
export function nameOf(reference: string): string {
  const name = reference.split("@")[0] ?? reference;
  const colon = name.lastIndexOf(":");
  return colon > name.lastIndexOf("/") ? name.slice(0, colon) : name;
}

const HUB = "docker.io";

/** The registry's host, as credentials are kept for it: the first part where it looks like a host. */
export function registryOf(reference: string): string {
  const [first = "", ...rest] = reference.split("/");
  return rest.length > 0 && (first.includes(".") || first.includes(":") || first === "localhost") ? first : HUB;
}

const authConfig = (reference: string, { username, password }: RegistryAuth) => ({
  username,
  password,
  serveraddress: registryOf(reference),
});
