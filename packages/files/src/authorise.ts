import { timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { api, fault } from "@banyan/contracts";
import { newId } from "@banyan/kernel";

/** For whom the gateway calls. */
export interface Caller {
  orgId: string;
  requestId: string;
}

const REQUEST_ID = /^[A-Za-z0-9_.:-]{1,128}$/;
const ORG_ID = /^[A-Za-z0-9_]{1,64}$/;

/** Only the gateway may call, and it says for whom. Compared in the same time for every guess of the right length; the length is no secret. */
export function authoriser(clusterToken: string): (headers: IncomingHttpHeaders) => Caller {
  const wanted = Buffer.from(`Bearer ${clusterToken}`);
  const isGenuine = (given: Buffer) => given.length === wanted.length && timingSafeEqual(given, wanted);
  return (headers) => {
    const { authorization, orgId, requestId } = api.FORWARD_HEADERS;
    const given = headers[authorization];
    if (typeof given !== "string") throw fault("auth.missing", {}, { message: "This address is for the cluster's gateway." });
    if (!isGenuine(Buffer.from(given))) throw fault("auth.invalid", {}, { message: "This is not the cluster's token." });
    const org = String(headers[orgId]);
    if (!ORG_ID.test(org)) throw malformedClaims();
    return { orgId: org, requestId: requestIdOf(headers[requestId]) };
  };
}

export function malformedClaims(): Error {
  return fault("request.invalid", {}, { message: "The gateway's headers are not well-formed." });
}

export function requestIdOf(header: string | string[] | undefined): string {
  return typeof header === "string" && REQUEST_ID.test(header) ? header : newId("req");
}
