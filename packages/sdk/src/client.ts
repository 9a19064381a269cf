import { type Camel, camelize, snakeize } from "./case.ts";
import { BanyanError, fromFailure, fromResponse } from "./error.ts";

export interface ClientOptions {
  /** The gateway's address. Default: the environment's BANYAN_URL, else http://127.0.0.1:7070. */
  url?: string;
  /** Default: the environment's BANYAN_API_KEY. */
  apiKey?: string;
  /** How often a call that may be repeated is tried in all. */
  attemptsMax?: number;
  fetch?: typeof fetch;
}

export interface RequestOptions {
  query?: Record<string, string | number | boolean | readonly string[] | undefined>;
  /** An object is sent as snake_case JSON. */
  json?: object;
  body?: NonNullable<RequestInit["body"]>;
  headers?: Record<string, string>;
  /** Whether a second run does no harm. Default: true for GET and for what carries an Idempotency-Key. */
  repeatable?: boolean;
  /** Null: as long as it takes. */
  timeoutMs?: number | null;
  signal?: AbortSignal | undefined;
}

const URL_DEFAULT = "http://127.0.0.1:7070";
const ATTEMPTS_MAX_DEFAULT = 4;
const TIMEOUT_MS_DEFAULT = 60_000;
const RETRY_BASE_MS = 100;
const RETRY_DELAY_MAX_MS = 10_000;
/** Refused before anything was done, whatever the call. */
const REFUSED = new Set(["exec.too_many", "request.idempotency_in_progress"]);

/** One request and its repeats; knows nothing of what is asked for. */
export class Client {
  readonly url: string;
  readonly apiKey: string;
  readonly #attemptsMax: number;
  readonly #fetch: typeof fetch;

  constructor(options: ClientOptions = {}) {
    const env = globalThis.process?.env ?? {};
    this.url = (options.url ?? env.BANYAN_URL ?? URL_DEFAULT).replace(/\/+$/, "");
    const apiKey = options.apiKey ?? env.BANYAN_API_KEY;
    if (!apiKey) throw new TypeError("No API key: give `apiKey` or set BANYAN_API_KEY.");
    this.apiKey = apiKey;
    this.#attemptsMax = options.attemptsMax ?? ATTEMPTS_MAX_DEFAULT;
    this.#fetch = options.fetch ?? fetch;
  }

  /** The reply's JSON in camelCase. */
  async json<T>(method: string, path: string, options: RequestOptions = {}): Promise<Camel<T>> {
    const response = await this.request(method, path, options);
    return camelize((await response.json()) as T);
  }

  /** A mutation of the control side: keyed, so that its repeats are one. */
  keyed<T>(method: string, path: string, options: RequestOptions = {}): Promise<Camel<T>> {
    return this.json<T>(method, path, keyed(options));
  }

  /** The same where the reply has nothing to say. */
  async keyedNoReply(method: string, path: string, options: RequestOptions = {}): Promise<void> {
    const response = await this.request(method, path, keyed(options));
    await response.body?.cancel();
  }

  async request(method: string, path: string, options: RequestOptions = {}): Promise<Response> {
    const repeatable = options.repeatable ?? method === "GET";
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#once(method, path, options);
      } catch (error) {
        if (!(error instanceof BanyanError) || attempt >= this.#attemptsMax || !worthRepeating(error, repeatable)) throw error;
        await pause(error, attempt, options.signal);
      }
    }
  }

  async #once(method: string, path: string, options: RequestOptions): Promise<Response> {
    const url = this.#urlOf(path, options.query);
    const timeoutMs = options.timeoutMs === undefined ? TIMEOUT_MS_DEFAULT : options.timeoutMs;
    const signals = [options.signal, timeoutMs === null ? undefined : AbortSignal.timeout(timeoutMs)].filter(
      (signal) => signal !== undefined,
    );
    const body = options.json === undefined ? options.body : JSON.stringify(snakeize(options.json));
    const init: RequestInit & { duplex?: "half" } = {
      method,
      headers: {
        authorization: `Bearer ${this.apiKey}`,
        ...(options.json !== undefined && { "content-type": "application/json" }),
        ...options.headers,
      },
      ...(body !== undefined && { body }),
      ...(body instanceof ReadableStream && { duplex: "half" }),
      ...(signals.length > 0 && { signal: AbortSignal.any(signals) }),
    };
    const response = await this.#fetch(url, init).catch((cause: unknown) => {
      if (options.signal?.aborted) throw options.signal.reason;
      throw fromFailure(cause, url);
    });
    if (!response.ok) throw await fromResponse(response);
    return response;
  }

  #urlOf(path: string, query: RequestOptions["query"] = {}): string {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      if (value === undefined) continue;
      for (const item of Array.isArray(value) ? value : [value]) parameters.append(name, String(item));
    }
    const text = parameters.toString();
    return `${this.url}${path}${text === "" ? "" : `?${text}`}`;
  }
}

function keyed(options: RequestOptions): RequestOptions {
  return { ...options, repeatable: true, headers: { "idempotency-key": crypto.randomUUID(), ...options.headers } };
}

/** A quota or a full disk does not mend itself in a second, so of what is retryable only absence and lateness are tried again. */
function worthRepeating(error: BanyanError, repeatable: boolean): boolean {
  if (REFUSED.has(error.code)) return true;
  return repeatable && error.retryable && (error.status === null || error.status >= 500);
}

/** As long as the server asks for, or with exponential back-off and jitter. */
export async function pause(error: BanyanError, attempt: number, signal: AbortSignal | undefined): Promise<void> {
  const backoffMs = Math.random() * RETRY_BASE_MS * 2 ** attempt;
  const delayMs = Math.min(RETRY_DELAY_MAX_MS, Math.max(error.retryAfterMs ?? 0, backoffMs));
  await new Promise<void>((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, delayMs);
    if (signal?.aborted) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
