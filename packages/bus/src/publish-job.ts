import type { InputOf, Job } from "@banyan/contracts";
import type { Link } from "./link.ts";
import { type PublishOptions, publish } from "./publish.ts";

/** Nobody waits and it must happen. */
export function publishJob<J extends Job>(link: Link, job: J, input: InputOf<J>, options: PublishOptions): Promise<void> {
  return publish(link, "jobs", job.subject, input, options);
}
