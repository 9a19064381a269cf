import { fault, isFault } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import { AppError, type Clock, type Logger, seal, unseal } from "@banyan/kernel";
import { claimIdempotencyKey, type NewClaim } from "../store/claim-idempotency-key.ts";
import type { IdempotencyRow } from "../store/schema.ts";
import { type Settlement, settleIdempotencyKey } from "../store/settle-idempotency-key.ts";
import type { Reply } from "./route.ts";

const KEY_PATTERN = /^[\x21-\x7e]{1,255}$/;
const RETRY_AFTER_MS = 500;
/** Beyond the call's own deadline, before it counts as left behind by a crash. */
const CLAIM_MARGIN_MS = 2_000;
/** Claiming is tried again only where the row was removed between the two looks at it. */
const CLAIM_ATTEMPTS_MAX = 3;
/** After these nobody knows whether the call had an effect. */
const UNKNOWN_OUTCOME = ["bus.timeout", "bus.unavailable", "request.timeout", "internal"] as const;

export interface Idempotent {
  key: string;
  organisationId: string;
  fingerprint: string;
  resourceId: string;
  deadlineMs: number;
  /** The caller's own key, where the reply shows a secret. */
  sealWith: string | null;
}

export interface Once {
  reply: Reply;
  /** Whether it is a repeat of an earlier request's reply. */
  replayed: boolean;
}

/**
 * Runs a call at most once for its key: repeats get the first one's reply, those that come meanwhile are told to wait, and one that died is taken
 * over with the id of what it was making. A failure that had no effect, or that another try could mend, is not kept.
 */
export async function once(
  { db, clock, logger }: { db: Database; clock: Clock; logger: Logger },
  request: Idempotent,
  run: (resourceId: string) => Promise<Reply>,
): Promise<Once> {
  if (!KEY_PATTERN.test(request.key)) {
    throw fault("request.invalid", { issues: [{ path: "Idempotency-Key", message: "1 to 255 printable characters without spaces" }] });
  }
  const row = await claim(db, clock, request);
  if (row.status !== null) return { reply: replay(row, request), replayed: true };
  let reply: Reply;
  try {
    reply = await run(row.resourceId ?? request.resourceId);
  } catch (error) {
    await settleIdempotencyKey(db, row, outcomeOf(error, clock)).catch((err) =>
      logger.warn({ err }, "an Idempotency-Key stays claimed until its deadline"),
    );
    throw error;
  }
  // A reply that could not be kept is not given either: the repeat takes over and finds what was made.
  await settleIdempotencyKey(db, row, kept(reply, request));
  return { reply, replayed: false };
}

/** The claimed row, or a finished one of the same request. */
async function claim(db: Database, clock: Clock, request: Idempotent): Promise<IdempotencyRow> {
  for (let attempt = 0; attempt < CLAIM_ATTEMPTS_MAX; attempt++) {
    const now = clock.now();
    const wanted: NewClaim = {
      organisationId: request.organisationId,
      key: request.key,
      fingerprint: request.fingerprint,
      resourceId: request.resourceId === "" ? null : request.resourceId,
      createdAt: new Date(now),
      deadlineAt: new Date(now + request.deadlineMs + CLAIM_MARGIN_MS),
    };
    const claimed = await claimIdempotencyKey(db, wanted);
    if (claimed === null) continue;
    if (claimed.kind === "claimed") return claimed.row;
    if (claimed.row.fingerprint !== request.fingerprint) throw fault("request.idempotency_mismatch");
    if (claimed.row.status !== null) return claimed.row;
    break;
  }
  throw fault("request.idempotency_in_progress", { retryAfterMs: RETRY_AFTER_MS });
}

const contextOf = (request: Idempotent): string => `reply ${request.organisationId} ${request.key}`;

function kept(reply: Reply, request: Idempotent): Settlement {
  const body = reply.body === undefined ? null : JSON.stringify(reply.body);
  if (body === null || request.sealWith === null) return { kind: "replied", status: reply.status, body, sealed: false };
  return { kind: "replied", status: reply.status, body: seal(body, request.sealWith, contextOf(request)), sealed: true };
}

function replay(row: IdempotencyRow, request: Idempotent): Reply {
  const status = row.status as Reply["status"];
  if (row.body === null) return { status };
  const body = row.sealed ? unseal(row.body, request.sealWith ?? "", contextOf(request)) : row.body;
  if (body === null) throw fault("request.idempotency_mismatch", {}, { message: "This Idempotency-Key was used with another API key." });
  return { status, body: JSON.parse(body) };
}

function outcomeOf(error: unknown, clock: Clock): Settlement {
  const known = error instanceof AppError && !isFault(error, ...UNKNOWN_OUTCOME);
  return known ? { kind: "undone" } : { kind: "unknown", now: clock.now() };
}
