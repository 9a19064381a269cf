import type { InputOf, Job } from "@banyan/contracts";
import type { JsMsg } from "@nats-io/jetstream";
import { type Consuming, consume, type Delivery } from "./deliveries.ts";
import type { Link } from "./link.ts";
import { decode } from "./wire.ts";

export type JobHandler<J extends Job> = (input: InputOf<J>, delivery: Delivery) => Promise<void>;

export interface ConsumeJobsOptions {
  /** Jobs of this verb handled at once by this process. */
  concurrencyMax: number;
}

export function consumeJobs<J extends Job>(link: Link, job: J, handler: JobHandler<J>, options: ConsumeJobsOptions): Consuming {
  const { durable, ackWaitMs, deliveriesMax } = job;
  const shape = { stream: "jobs", durable, filter: job.subject, ackWaitMs, deliveriesMax, concurrencyMax: options.concurrencyMax } as const;
  const read = (msg: JsMsg): InputOf<J> => decode(job.input, msg, "request.invalid") as InputOf<J>;
  return consume(link, shape, read, handler);
}
