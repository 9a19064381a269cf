import { messageOf } from "@banyan/kernel";
import { headers } from "@nats-io/transport-node";
import { type Link, unavailable } from "./link.ts";
import { isStreamMissing } from "./missing.ts";
import { ensureStream, type StreamName } from "./streams.ts";
import { injectTrace, isTracing, withSendSpan } from "./trace.ts";
import { encode } from "./wire.ts";

export interface PublishOptions {
  /** The same id again within ten minutes is dropped by the server. */
  dedupeId?: string;
}

/** Resolves when the stream has stored the message. */
export function publish(link: Link, stream: StreamName, subject: string, value: unknown, options: PublishOptions): Promise<void> {
  return withSendSpan(`publish ${subject}`, async () => {
    link.assertConnected();
    const payload = encode(value, link.payloadMaxBytes, subject);
    const sent = headers();
    if (isTracing()) injectTrace(sent);
    const store = () =>
      link.js.publish(subject, payload, { headers: sent, ...(options.dedupeId !== undefined && { msgID: options.dedupeId }) });
    try {
      await store().catch(async (error) => {
        if (!isStreamMissing(error)) throw error;
        await ensureStream(link, stream);
        await store();
      });
    } catch (error) {
      throw unavailable(`JetStream did not take the message: ${messageOf(error)}`, error);
    }
  });
}
