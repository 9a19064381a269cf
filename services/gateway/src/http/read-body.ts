import { fault, LIMITS } from "@banyan/contracts";
import type { Clock } from "@banyan/kernel";

const BODY_DEADLINE_MS = 30_000;
/** A reason of our own spares every request the making of a DOMException. */
const ARRIVED = "the body has arrived";

/** The body as JSON; an empty one is `{}`. Read only as far as its limit, and not for ever. */
export async function readJson(request: Request, clock: Clock): Promise<unknown> {
  const text = await readText(request, clock);
  if (text === "") return {};
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw fault("request.malformed_json", {}, { cause });
  }
}

async function readText(request: Request, clock: Clock): Promise<string> {
  const length = request.headers.get("content-length");
  if (length === null && request.headers.get("transfer-encoding") === null) return "";
  if (length !== null && Number(length) > LIMITS.jsonBodyBytes) throw tooLarge();
  // The server's parser never hands over more than the announced length, so only a chunked body has to be counted.
  return within(length === null ? readCounted(request) : request.text(), clock);
}

async function readCounted(request: Request): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of request.body ?? []) {
    bytes += chunk.length;
    if (bytes > LIMITS.jsonBodyBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

async function within(text: Promise<string>, clock: Clock): Promise<string> {
  const done = new AbortController();
  const late = clock.sleep(BODY_DEADLINE_MS, done.signal).then(
    () => {
      throw fault("request.timeout", { deadlineMs: BODY_DEADLINE_MS }, { message: "The body did not arrive in time." });
    },
    () => "",
  );
  try {
    return await Promise.race([text, late]);
  } finally {
    done.abort(ARRIVED);
  }
}

const tooLarge = () => fault("request.too_large", { limitBytes: LIMITS.jsonBodyBytes });
