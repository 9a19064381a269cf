import type { IncomingMessage } from "node:http";
import { fault, LIMITS } from "@banyan/contracts";
import type { z } from "zod";

/** A JSON body that fits its schema. An empty one counts as `{}`. */
export async function readJson<S extends z.ZodType>(
  request: IncomingMessage,
  schema: S,
  maxBytes: number = LIMITS.jsonBodyBytes,
): Promise<z.infer<S>> {
  const bytes = await readBytes(request, maxBytes);
  let value: unknown = {};
  try {
    if (bytes.length > 0) value = JSON.parse(bytes.toString("utf8"));
  } catch (cause) {
    throw fault("request.malformed_json", {}, { cause });
  }
  return checked(schema, value);
}

/** The query's parameters; given twice, the last counts. */
export function readQuery<S extends z.ZodType>(query: string, schema: S): z.infer<S> {
  return checked(schema, Object.fromEntries(new URLSearchParams(query)));
}

export function checked<S extends z.ZodType>(schema: S, value: unknown): z.infer<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw fault("request.invalid", { issues: parsed.error.issues.map(({ path, message }) => ({ path: path.join("."), message })) });
}

export function readBytes(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const tooLarge = () => reject(fault("request.too_large", { maxBytes }));
    if (Number(request.headers["content-length"] ?? 0) > maxBytes) return tooLarge();
    const chunks: Buffer[] = [];
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size <= maxBytes) chunks.push(chunk);
      else tooLarge();
    });
    request.on("end", () => resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)));
    const endedEarly = (cause?: unknown) => reject(fault("request.invalid", {}, { message: "The body ended early.", cause }));
    request.on("error", endedEarly);
    // One that was broken off before anybody read it says nothing any more.
    if (request.destroyed) return endedEarly();
    request.on("close", () => endedEarly());
  });
}

/** The body as it comes. A reader that stops early leaves the connection as it is: the answer that says why goes out on it. */
export function bodyOf(request: IncomingMessage): AsyncIterable<Uint8Array> {
  return { [Symbol.asyncIterator]: () => request.iterator({ destroyOnReturn: false }) };
}

/** What comes, each part of it admitted first. */
export async function* admitted(
  source: AsyncIterable<Uint8Array>,
  admit: (bytes: number) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of source) {
    admit(chunk.length);
    yield chunk;
  }
}
