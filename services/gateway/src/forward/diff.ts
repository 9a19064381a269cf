import { api, fault, isFault, SandboxId } from "@banyan/contracts";
import type { Context } from "hono";
import { alreadySent, type ForwardDeps, forward } from "./forward.ts";
import { operationHeaders, replyHeaders } from "./headers.ts";
import type { ForwardEnv } from "./routes.ts";
import { isSandboxId, parameter, withoutParameters } from "./target.ts";

const BLOCK_BYTES = 512;
/** How a tar of nothing looks. */
const EMPTY_TAR = new Uint8Array(2 * BLOCK_BYTES);

/** `GET /v1/sandboxes/{id}/diff`: answered by the node that has the sandbox's disk, whether it runs or not. */
export async function forwardDiff(deps: ForwardDeps, c: Context<ForwardEnv>): Promise<Response> {
  const { incoming, outgoing } = c.env;
  const sandboxId = c.req.param("id") ?? "";
  if (!isSandboxId(sandboxId)) throw fault("sandbox.not_found", { sandboxId: sandboxId.slice(0, 64) });
  const { orgId } = c.get("caller");
  const requestId = c.get("requestId");
  const url = incoming.url ?? "";
  const query = url.includes("?") ? url.slice(url.indexOf("?")) : "";
  const against = parameter(query, "against");
  try {
    if (against !== undefined) await mustBeTogether(deps, orgId, sandboxId, against);
    const status = await forward(deps, {
      ...{ incoming, outgoing, orgId, sandboxId, requestId, stored: true },
      path: `/diff${withoutParameters(query, "api_key")}`,
      headers: operationHeaders(incoming.rawHeaders),
      reply: (raw) => replyHeaders(raw, requestId),
    });
    return alreadySent(status);
  } catch (error) {
    if (!hasNoDisk(error)) throw error;
    // All that it changed has become part of what it stands on.
    if (against !== undefined) throw fault("diff.elsewhere", { sandboxId, against });
    return nothing(sandboxId, parameter(query, "format") ?? c.req.header("accept"));
  }
}

async function mustBeTogether({ routes }: ForwardDeps, orgId: string, sandboxId: string, against: string): Promise<void> {
  const id = SandboxId.safeParse(against);
  if (!id.success) throw fault("request.invalid", { issues: [{ path: "against", message: "not a sandbox id" }] });
  const [one, other] = await Promise.all([routes.findStored(orgId, sandboxId), routes.findStored(orgId, against)]);
  if (one.nodeId !== other.nodeId) throw fault("diff.elsewhere", { sandboxId, nodeId: one.nodeId, against, againstNodeId: other.nodeId });
}

/** A stopped one whose files are all in its stack lies on no node. */
const hasNoDisk = (error: unknown): boolean => isFault(error, "sandbox.not_running") && error.details.state === "stopped";

function nothing(sandboxId: string, form: string | undefined): Response {
  if (form === "patch" || form?.includes(api.PATCH_CONTENT_TYPE))
    return new Response("", { headers: { "content-type": api.PATCH_CONTENT_TYPE } });
  if (form === "tar" || form?.includes(api.TAR_CONTENT_TYPE))
    return new Response(EMPTY_TAR, { headers: { "content-type": api.TAR_CONTENT_TYPE } });
  const summary = { added: 0, changed: 0, deleted: 0, bytes: 0, complete: true };
  const page: api.Diff = { sandbox_id: sandboxId, against: null, running: false, entries: [], next_cursor: null, summary, skipped: 0 };
  return Response.json(page);
}
