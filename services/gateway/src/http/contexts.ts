import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { api, contextBlob, Digest, fault, isFault, LIMITS } from "@banyan/contracts";
import type { Clock } from "@banyan/kernel";
import type { Context, Hono } from "hono";
import type { HttpEnv } from "./context.ts";
import type { Gateway } from "./gateway.ts";
import { honoPath } from "./mount.ts";
import type { RouteDescription } from "./route.ts";

/** Without a byte for this long its sender counts as gone. */
const SILENCE_MS = 60_000;
const PATH = "/v1/contexts/{digest}";
const SHARED = { path: PATH, tag: "images", access: "member" } as const;

export const contextRoutes: RouteDescription[] = [
  {
    ...SHARED,
    method: "PUT",
    operationId: "putContext",
    summary: "Upload files for a build: a tar, plain, gzip or zstd, named by the sha256 of what is sent (`sha256:…`)",
    bodyType: "application/x-tar",
    replies: {
      200: { description: "It was here already.", schema: api.Context },
      201: { description: "It is here.", schema: api.Context },
    },
    errors: ["context.refused", "request.too_large", "request.timeout"],
  },
  {
    ...SHARED,
    method: "HEAD",
    operationId: "hasContext",
    summary: "Whether it is here; what is need not be sent again",
    replies: { 200: { description: "It is here." }, 404: { description: "It is not." } },
    errors: [],
  },
];

/** Bytes that stream into the blob store without being held; therefore not mounted as the routes of JSON are. */
export function mountContexts(app: Hono<HttpEnv>, gateway: Gateway): void {
  // Hono asks a GET for what a HEAD would answer.
  app.get(honoPath(PATH), async (c) => c.body(null, (await gateway.bus.blobs.has(placeOf(c).name)) ? 200 : 404));
  app.put(honoPath(PATH), async (c) => {
    const { digest, name } = placeOf(c);
    const sent = checked(c.req.raw.body, digest, gateway.clock);
    if (await gateway.bus.blobs.has(name)) {
      // Read all the same: bytes that are not what they are called are refused here as anywhere.
      let sizeBytes = 0;
      for await (const chunk of sent) sizeBytes += chunk.length;
      return c.json({ digest, size_bytes: sizeBytes }, 200);
    }
    const { sizeBytes } = await put(gateway, name, sent);
    return c.json({ digest, size_bytes: sizeBytes }, 201);
  });
}

function placeOf(c: Context<HttpEnv>): { digest: string; name: string } {
  const digest = Digest.safeParse(c.req.param("digest"));
  if (!digest.success) throw fault("request.invalid", { issues: [{ path: "digest", message: "sha256: and 64 hexadecimal digits" }] });
  return { digest: digest.data, name: contextBlob(c.get("caller").orgId, digest.data) };
}

/** Whole or not at all is the store's own promise: where the source fails, nothing is kept. What failed is the source's to say. */
async function put({ bus }: Gateway, name: string, sent: AsyncGenerator<Uint8Array>): Promise<{ sizeBytes: number }> {
  let broken: unknown;
  async function* source() {
    try {
      yield* sent;
    } catch (error) {
      broken = error;
      throw error;
    }
  }
  try {
    return await bus.blobs.put(name, Readable.from(source(), { objectMode: false }));
  } catch (error) {
    throw broken ?? error;
  }
}

/** The bytes as they come; fails at their end where they are not those of the digest. */
async function* checked(body: ReadableStream<Uint8Array> | null, digest: string, clock: Clock): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  const reader = body?.getReader();
  for (;;) {
    const chunk = reader ? await within(reader.read(), clock) : undefined;
    if (chunk?.value === undefined) break;
    sizeBytes += chunk.value.length;
    if (sizeBytes > LIMITS.contextBytes) throw fault("request.too_large", { limitBytes: LIMITS.contextBytes });
    hash.update(chunk.value);
    yield chunk.value;
  }
  const seen = `sha256:${hash.digest("hex")}`;
  if (seen !== digest) throw fault("context.refused", { seen, sizeBytes }, { message: `The bytes are not those of ${digest}.` });
}

async function within<T>(reading: Promise<T>, clock: Clock): Promise<T> {
  const done = new AbortController();
  const late = clock.sleep(SILENCE_MS, done.signal).then(
    () => {
      throw fault("request.timeout", { silenceMs: SILENCE_MS }, { message: "The upload stood still." });
    },
    () => reading,
  );
  try {
    return await Promise.race([reading, late]);
  } catch (cause) {
    throw isFault(cause) ? cause : fault("request.invalid", {}, { message: "The upload broke off.", cause });
  } finally {
    done.abort("it came");
  }
}
