import { ArchiveSandbox } from "@banyan/contracts";
import { archive } from "../archive.ts";
import { handle } from "../context.ts";
import { recordOf } from "../domain/sandbox.ts";

export const archiveSandbox = handle(ArchiveSandbox, async (ctx, { orgId, id }, { deadlineMs }) => {
  const sandbox = await archive(ctx, { orgId, id }, { deadlineMs });
  return { sandbox: recordOf(sandbox) };
});
