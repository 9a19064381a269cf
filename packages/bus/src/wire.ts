import { type ErrorCode, fault, fromWireError, toWireError } from "@banyan/contracts";
import type { AppError } from "@banyan/kernel";
import type { Msg, MsgHdrs } from "@nats-io/transport-node";
import { z } from "zod";

/** What is left of the caller's time, relative, since the clocks of two machines differ. */
export const DEADLINE_HEADER = "Banyan-Deadline-Ms";
/** Present when the body is a WireError. A success carries no header, which is the cheaper message. */
export const ERROR_HEADER = "Banyan-Error";

const ISSUES_MAX = 20;
/** What a timer of the runtime can count. */
const DEADLINE_MAX_MS = 24 * 3600 * 1000;
const encoder = new TextEncoder();

export function encode(value: unknown, payloadMaxBytes: number, subject: string): Uint8Array {
  const payload = encoder.encode(JSON.stringify(value));
  if (payload.byteLength > payloadMaxBytes) throw tooLarge(subject, payload.byteLength, payloadMaxBytes);
  return payload;
}

const tooLarge = (subject: string, bytes: number, bytesMax: number): AppError => fault("request.too_large", { subject, bytes, bytesMax });

/** Parses and validates; anything that does not fit the schema is a fault of this code. */
export function decode<S extends z.ZodType>(schema: S, msg: { json(): unknown }, code: ErrorCode): z.infer<S> {
  let value: unknown;
  try {
    value = msg.json();
  } catch (cause) {
    throw fault(code, { issues: ["not JSON"] }, { cause });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.slice(0, ISSUES_MAX).map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw fault(code, { issues }, { cause: parsed.error });
}

const WireErrorSchema = z.object({ code: z.string(), message: z.string(), details: z.record(z.string(), z.unknown()).optional() });

export function decodeError(msg: Msg): AppError {
  const parsed = WireErrorSchema.safeParse(msg.json());
  return parsed.success ? fromWireError(parsed.data) : fault("internal", { reason: "malformed error on the bus" });
}

/** Never larger than a payload may be: details that do not fit are left out. */
export function encodeError(thrown: unknown, payloadMaxBytes: number): Uint8Array {
  const wire = toWireError(thrown);
  const payload = encoder.encode(JSON.stringify(wire));
  return payload.byteLength <= payloadMaxBytes ? payload : encoder.encode(JSON.stringify({ ...wire, details: {} }));
}

export function deadlineOf(headers: MsgHdrs | undefined, defaultMs: number): number {
  const given = Number(headers?.get(DEADLINE_HEADER));
  return given > 0 ? Math.min(given, DEADLINE_MAX_MS) : defaultMs;
}
