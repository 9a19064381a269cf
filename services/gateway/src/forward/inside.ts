import { api, type SandboxRoute } from "@banyan/contracts";
import { messageOf } from "@banyan/kernel";
import { type ForwardDeps, internalHeaders } from "./forward.ts";

/** What a sandbox's data plane answered to the gateway itself. */
export interface InsideAnswer {
  status: number;
  /** JSON, where it was that; else null. */
  body: unknown;
  /** The node's own, on what it answered as a problem; a server inside cannot set it. */
  code: string | null;
}

export interface NoAnswer {
  error: string;
  timedOut: boolean;
}

export interface InsideRequest {
  method: "GET" | "HEAD" | "POST";
  /** Below `/sandboxes/{id}`, query included. */
  path: string;
  json?: object;
  timeoutMs: number;
  signal: AbortSignal;
}

/** Asks the data plane of a sandbox as a caller would, for what the gateway does of itself. Never rejects: no answer is one to be shown, too. */
export type AskInside = (route: SandboxRoute, request: InsideRequest) => Promise<InsideAnswer | NoAnswer>;

export function createAskInside(deps: Pick<ForwardDeps, "nodes" | "clusterToken">): AskInside {
  return async (route, { method, path, json, timeoutMs, signal }) => {
    const late = AbortSignal.timeout(Math.ceil(timeoutMs));
    try {
      const { statusCode, headers, body } = await deps.nodes.to(route.url).request({
        method,
        path: `/sandboxes/${route.sandboxId}${path}`,
        headers: [...internalHeaders(deps, route, "gateway"), ...(json ? ["content-type", "application/json"] : [])],
        body: json ? JSON.stringify(json) : null,
        signal: AbortSignal.any([signal, late]),
      });
      const code = headers[api.ERROR_CODE_HEADER];
      const answer = { status: statusCode, code: typeof code === "string" ? code : null };
      const isJson = String(headers["content-type"] ?? "").includes("json");
      if (isJson && method !== "HEAD") return { ...answer, body: await body.json() };
      await body.dump();
      return { ...answer, body: null };
    } catch (error) {
      return { error: messageOf(error), timedOut: late.aborted };
    }
  };
}
