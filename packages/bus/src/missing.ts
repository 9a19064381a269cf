import { JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import { errors } from "@nats-io/transport-node";

const isApiError = (error: unknown, code: number): boolean => error instanceof JetStreamApiError && error.code === code;

export const isConsumerMissing = (error: unknown): boolean => isApiError(error, JetStreamApiCodes.ConsumerNotFound);

/** A publish or direct read that no stream takes is answered like a request that nobody serves. */
export function isStreamMissing(error: unknown): boolean {
  if (isApiError(error, JetStreamApiCodes.StreamNotFound)) return true;
  if (error instanceof errors.NoRespondersError) return true;
  return error instanceof Error && error.cause instanceof Error && isStreamMissing(error.cause);
}
