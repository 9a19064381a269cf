import type { IncomingMessage, ServerResponse } from "node:http";
import type { Content } from "../content/content.ts";
import type { Uploads } from "../uploads/uploads.ts";

/** One request of the gateway for the content of a volume. It is authorised; whether there is such a volume is not yet known. */
export interface Operation {
  readonly content: Content;
  readonly uploads: Uploads;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly orgId: string;
  readonly volumeId: string;
  /** Empty, or starts with `?`. */
  readonly query: string;
  /** Aborted when the caller goes away before the answer is complete. */
  readonly signal: AbortSignal;
}
