import { z } from "zod";
import { Name } from "../sandbox.ts";

export const Role = z.enum(["admin", "member"]);
export const CreateKeyBody = z.strictObject({
  name: z.string().min(1).max(63),
  role: Role.default("member").describe("admin: may also manage organisations, quotas and everyone's keys."),
  organisation: z.string().optional().describe("Id or name; default: the caller's own. Another one needs an admin's key."),
});
export const ApiKey = z.object({
  id: z.string(),
  name: z.string(),
  role: Role,
  organisation_id: z.string(),
  hint: z.string().describe("The key's first characters."),
  created_at: z.iso.datetime(),
  last_used_at: z.iso.datetime().nullable(),
  revoked_at: z.iso.datetime().nullable(),
});
export type ApiKey = z.infer<typeof ApiKey>;
/** Shown once, at creation. */
export const CreatedKey = ApiKey.extend({ key: z.string() });
export type CreatedKey = z.infer<typeof CreatedKey>;
export const KeyList = z.object({ keys: z.array(ApiKey) });

export const QuotaBody = z.strictObject({ sandboxes: z.int().min(0), cpu: z.number().min(0), memory_mb: z.int().min(0) });
export type QuotaBody = z.infer<typeof QuotaBody>;
export const CreateOrganisationBody = z.strictObject({ name: Name, quota: QuotaBody.optional() });
export const UpdateOrganisationBody = z.strictObject({ quota: QuotaBody.partial() });
export const Organisation = z.object({ id: z.string(), name: z.string(), quota: QuotaBody, created_at: z.iso.datetime() });
export type Organisation = z.infer<typeof Organisation>;
export const OrganisationList = z.object({ organisations: z.array(Organisation) });
/** `GET /v1/usage`: the caller's own organisation. */
export const Usage = z.object({ organisation: Organisation, usage: QuotaBody });
export type Usage = z.infer<typeof Usage>;

/** `POST /v1/sandboxes/{id}/ports/{port}/links` */
export const CreateLinkBody = z.strictObject({
  ttl_s: z
    .int()
    .min(1)
    .max(7 * 24 * 3600)
    .default(3600),
});
export const Link = z.object({ url: z.url(), host_url: z.url(), token: z.string(), expires_at: z.iso.datetime() });
export type Link = z.infer<typeof Link>;
