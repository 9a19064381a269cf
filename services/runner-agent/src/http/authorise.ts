import type { IncomingHttpHeaders } from "node:http";
import { api } from "@banyan/contracts";
import { type Caller, authoriser as callerOf, malformedClaims } from "@banyan/files";

export interface Claims extends Caller {
  epoch: number;
}

const EPOCH = /^\d{1,15}$/;

/** Like that of files, and the gateway says which incarnation of the sandbox it believes in. */
export function authoriser(clusterToken: string): (headers: IncomingHttpHeaders) => Claims {
  const authorise = callerOf(clusterToken);
  return (headers) => {
    const caller = authorise(headers);
    const epoch = String(headers[api.FORWARD_HEADERS.epoch]);
    if (!EPOCH.test(epoch)) throw malformedClaims();
    return { ...caller, epoch: Number(epoch) };
  };
}
