import type { ServerResponse } from "node:http";
import { drained } from "./drained.ts";

/**
 * Writes what comes, as fast as the client takes it; leaves when it is gone. A source that ends before the length that was announced
 * breaks the answer off, so that nobody waits for the rest or takes the part for the whole.
 */
export async function sendBytes(response: ServerResponse, source: AsyncIterable<Uint8Array>, announcedBytes?: number): Promise<void> {
  let sentBytes = 0;
  for await (const chunk of source) {
    if (response.destroyed) return;
    sentBytes += chunk.length;
    if (!response.write(chunk)) await drained(response);
  }
  if (announcedBytes === undefined || sentBytes === announcedBytes) response.end();
  else response.destroy();
}
