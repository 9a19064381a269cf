import type { Event, InputOf } from "@banyan/contracts";
import type { Link } from "./link.ts";
import { type PublishOptions, publish } from "./publish.ts";

/** It happened. */
export function emit<E extends Event>(link: Link, event: E, id: string, input: InputOf<E>, options: PublishOptions): Promise<void> {
  return publish(link, "events", event.subjectOf(id), input, options);
}
