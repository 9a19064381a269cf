import type { Event, InputOf, Job, OutputOf, Rpc } from "@banyan/contracts";
import { systemClock } from "@banyan/kernel";
import { type BlobStore, jetstreamBlobs, s3Blobs } from "./blobs/index.ts";
import { type CallOptions, call } from "./call.ts";
import { type ConnectBusOptions, dial, inboxPrefixOf, parseServers } from "./connect.ts";
import { type ConsumeJobsOptions, consumeJobs, type JobHandler } from "./consume-jobs.ts";
import type { Consuming } from "./deliveries.ts";
import { emit } from "./emit.ts";
import { type Bucket, type KvOptions, openBucket } from "./kv.ts";
import { type BusStatus, createLink } from "./link.ts";
import { type EventHandler, type OnEventsOptions, onEvents } from "./on-events.ts";
import type { PublishOptions } from "./publish.ts";
import { publishJob } from "./publish-job.ts";
import { Replies } from "./replies.ts";
import { type Handler, type Served, type ServeOptions, serve } from "./serve.ts";

const CLOSE_MS = 5_000;

export interface Bus {
  /** Someone waits. Throws an AppError: what the handler threw, bus.unavailable, bus.timeout or request.too_large. */
  call<R extends Rpc>(rpc: R, input: InputOf<R>, options?: CallOptions): Promise<OutputOf<R>>;
  serve<R extends Rpc>(rpc: R, handler: Handler<R>, options?: ServeOptions): Served;
  /** Nobody waits and it must happen. Resolves when it is stored. */
  publishJob<J extends Job>(job: J, input: InputOf<J>, options?: PublishOptions): Promise<void>;
  consumeJobs<J extends Job>(job: J, handler: JobHandler<J>, options: ConsumeJobsOptions): Consuming;
  /** It happened. Resolves when it is stored. */
  emit<E extends Event>(event: E, id: string, input: InputOf<E>, options?: PublishOptions): Promise<void>;
  onEvents<E extends Event>(event: E, options: OnEventsOptions, handler: EventHandler<E>): Consuming;
  kv<T = unknown>(bucket: string, options?: KvOptions<T>): Bucket<T>;
  readonly blobs: BlobStore;
  readonly connected: boolean;
  /** Told of every change; answers the way to end that. */
  onStatus(listener: (status: BusStatus) => void): () => void;
  /** Resolves when the server has taken everything said so far, subscriptions included. */
  flush(): Promise<void>;
  /** Sends what is left and ends the connection. Stop what was served and consumed before. */
  close(): Promise<void>;
}

export async function connectBus(options: ConnectBusOptions): Promise<Bus> {
  const nc = await dial(options);
  const link = createLink(nc, options.logger, options.clock ?? systemClock);
  const user = options.user ?? parseServers(options.servers).user;
  const replies = new Replies(link, user === undefined ? undefined : inboxPrefixOf(user));
  return {
    call: (rpc, input, callOptions = {}) => call(link, replies, rpc, input, callOptions),
    serve: (rpc, handler, serveOptions = {}) => serve(link, rpc, handler, serveOptions),
    publishJob: (job, input, publishOptions = {}) => publishJob(link, job, input, publishOptions),
    consumeJobs: (job, handler, consumeOptions) => consumeJobs(link, job, handler, consumeOptions),
    emit: (event, id, input, publishOptions = {}) => emit(link, event, id, input, publishOptions),
    onEvents: (event, eventOptions, handler) => onEvents(link, event, eventOptions, handler),
    kv: (bucket, kvOptions = {}) => openBucket(link, bucket, kvOptions),
    blobs: options.blobs ? s3Blobs(options.blobs, link.clock) : jetstreamBlobs(link),
    get connected() {
      return link.connected;
    },
    onStatus: link.onStatus,
    flush: () => nc.flush(),
    async close() {
      if (nc.isClosed()) return;
      // A drain needs the server; without one there is nothing left to wait for.
      if (link.connected) await Promise.race([nc.drain(), link.clock.sleep(CLOSE_MS)]);
      await nc.close();
    },
  };
}
