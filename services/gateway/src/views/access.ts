import type { api, Quota } from "@banyan/contracts";
import type { z } from "zod";
import type { ApiKeyRow, OrganisationRow } from "../store/schema.ts";

export function quotaView(quota: Quota): api.QuotaBody {
  return { sandboxes: quota.sandboxes, cpu: quota.cpu, memory_mb: quota.memoryMb };
}

export function quotaOf(body: api.QuotaBody): Quota {
  return { sandboxes: body.sandboxes, cpu: body.cpu, memoryMb: body.memory_mb };
}

/** Only what was given: an absent amount stays as it is. */
export function quotaChangesOf(body: z.output<typeof api.UpdateOrganisationBody>["quota"]): Partial<Quota> {
  return {
    ...(body.sandboxes !== undefined && { sandboxes: body.sandboxes }),
    ...(body.cpu !== undefined && { cpu: body.cpu }),
    ...(body.memory_mb !== undefined && { memoryMb: body.memory_mb }),
  };
}

export function organisationView(row: OrganisationRow): api.Organisation {
  return { id: row.id, name: row.name, quota: quotaView(row.quota), created_at: row.createdAt.toISOString() };
}

export function keyView(row: ApiKeyRow): api.ApiKey {
  return {
    id: row.id,
    name: row.name,
    role: row.role,
    organisation_id: row.organisationId,
    hint: row.hint,
    created_at: row.createdAt.toISOString(),
    last_used_at: row.lastUsedAt?.toISOString() ?? null,
    revoked_at: row.revokedAt?.toISOString() ?? null,
  };
}
