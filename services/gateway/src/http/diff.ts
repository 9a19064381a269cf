import { api } from "@banyan/contracts";
import type { RouteDescription } from "./route.ts";

/** Answered by the sandbox's node; described here for the document. */
export const diffRoutes: RouteDescription[] = [
  {
    method: "GET",
    path: "/v1/sandboxes/{id}/diff",
    operationId: "diffSandbox",
    tag: "sandboxes",
    summary:
      "Paths added, changed and deleted since its fork or creation, or against another sandbox of its tree; of a stopped one too. With `Accept: text/x-diff` as a patch, with `application/x-tar` as a tar with whiteouts",
    access: "member",
    query: api.DiffQuery,
    replies: { 200: { description: "A page of the changes.", schema: api.Diff } },
    errors: [
      "sandbox.not_found",
      "sandbox.not_running",
      "node.unreachable",
      "request.invalid",
      "diff.elsewhere",
      "diff.unrelated",
      "diff.failed",
      "exec.too_many",
    ],
  },
];
