import { fault, isFault } from "@banyan/contracts";
import type { Clock } from "@banyan/kernel";
import { hashKey, SECRET_LENGTH_MAX } from "../domain/api-key.ts";
import type { Authenticator, Caller } from "../ports.ts";

/** How long a gateway may believe in a key without looking again. A revocation is told at once; this bounds it when the telling fails. */
const REMEMBER_MS = 5_000;
const REMEMBERED_MAX = 10_000;
/** While the database is away no key can be revoked in it, so those that were right are believed on: what runs stays usable. */
const REMEMBER_WITHOUT_DATABASE_MS = 10 * 60_000;
/** How often an absent database is asked for the same key. */
const LOOK_AGAIN_MS = 1_000;
/** Unknown keys are remembered apart, so that guesses cannot push real keys out. */
const UNKNOWN_MAX = 1_000;
const BEARER = /^Bearer +([\x21-\x7e]+)$/i;

export interface KeyRing extends Authenticator {
  /** Drops what is remembered of a key, or of all keys of an organisation. */
  forget(keyOrOrganisationId: string): void;
  /** Takes the ids of the keys that were used since the last call. */
  takeUsed(): string[];
}

export interface KeyRingOptions {
  find(hash: string): Promise<Caller | null>;
  clock: Clock;
}

/** Keys are found by the hash of what was sent: a request does the same work whether its key is right, wrong or nearly right. */
export function createKeyRing({ find, clock }: KeyRingOptions): KeyRing {
  const known = new Map<string, { caller: Caller; until: number; lookedAt: number }>();
  const unknown = new Map<string, { until: number }>();
  const underWay = new Map<string, Promise<Caller | null>>();
  let used = new Set<string>();

  async function lookUp(hash: string): Promise<Caller | null> {
    const now = clock.monotonicMs();
    const memory = known.get(hash);
    if (memory && memory.until > now) return memory.caller;
    if ((unknown.get(hash)?.until ?? 0) > now) return null;
    return underWay.get(hash) ?? ask(hash);
  }

  function ask(hash: string): Promise<Caller | null> {
    const asked: Promise<Caller | null> = find(hash).then(
      (caller) => {
        // A `forget` meanwhile has removed this question: its answer may be from before the change.
        if (underWay.get(hash) === asked) settle(hash, caller);
        return caller;
      },
      (error) => {
        if (underWay.get(hash) !== asked) throw error;
        underWay.delete(hash);
        return believeOn(hash, error);
      },
    );
    underWay.set(hash, asked);
    return asked;
  }

  function believeOn(hash: string, error: unknown): Caller {
    const now = clock.monotonicMs();
    const memory = known.get(hash);
    if (!isFault(error, "database.unavailable") || !memory || now - memory.lookedAt > REMEMBER_WITHOUT_DATABASE_MS) throw error;
    memory.until = now + LOOK_AGAIN_MS;
    return memory.caller;
  }

  function settle(hash: string, caller: Caller | null): void {
    underWay.delete(hash);
    known.delete(hash);
    const lookedAt = clock.monotonicMs();
    const until = lookedAt + REMEMBER_MS;
    if (caller) remember(known, REMEMBERED_MAX, hash, { caller, until, lookedAt });
    else remember(unknown, UNKNOWN_MAX, hash, { until });
  }

  return {
    async authenticate({ authorization, apiKey }) {
      if (authorization === undefined && apiKey === undefined) throw fault("auth.missing");
      const secret = authorization === undefined ? apiKey : BEARER.exec(authorization)?.[1];
      if (secret === undefined || secret.length > SECRET_LENGTH_MAX) throw fault("auth.invalid");
      const caller = await lookUp(hashKey(secret));
      if (!caller) throw fault("auth.invalid");
      used.add(caller.keyId);
      return caller;
    },
    forget(id) {
      underWay.clear();
      for (const [hash, { caller }] of known) if (caller.keyId === id || caller.orgId === id) known.delete(hash);
    },
    takeUsed() {
      const taken = [...used];
      used = new Set();
      return taken;
    },
  };
}

/** The oldest goes first when it is full. */
function remember<T>(memories: Map<string, T>, max: number, hash: string, memory: T): void {
  memories.delete(hash);
  const oldest = memories.size >= max ? memories.keys().next().value : undefined;
  if (oldest !== undefined) memories.delete(oldest);
  memories.set(hash, memory);
}
