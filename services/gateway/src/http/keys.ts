import { api, fault } from "@banyan/contracts";
import { z } from "zod";
import { hashKey, keyHint, newKeySecret } from "../domain/api-key.ts";
import type { Caller } from "../ports.ts";
import { findKey } from "../store/find-key.ts";
import { findOrganisation } from "../store/find-organisation.ts";
import { insertKey } from "../store/insert-key.ts";
import { listKeys } from "../store/list-keys.ts";
import { revokeKey } from "../store/revoke-key.ts";
import { keyView } from "../views/access.ts";
import type { Gateway } from "./gateway.ts";
import { route } from "./route.ts";

/** The caller's own organisation, or another one for an admin. To anyone else another one does not exist. */
async function organisationIdOf(caller: Caller, wanted: string | undefined, { db }: Gateway): Promise<string> {
  if (wanted === undefined || wanted === caller.orgId || wanted === caller.orgName) return caller.orgId;
  if (caller.role !== "admin") throw fault("auth.not_admin", { organisation: wanted });
  const organisation = await findOrganisation(db, wanted);
  if (!organisation) throw fault("organisation.not_found", { organisation: wanted });
  return organisation.id;
}

const createKey = route({
  method: "POST",
  path: "/v1/keys",
  operationId: "createKey",
  tag: "keys",
  summary: "Make an API key; its secret is shown this once",
  access: "member",
  makes: "key",
  secret: true,
  body: api.CreateKeyBody,
  replies: { 201: { description: "The key, with its secret.", schema: api.CreatedKey } },
  errors: ["auth.not_admin", "organisation.not_found", "database.unavailable"],
  async handle({ caller, body, resourceId }, gateway) {
    if (body.role === "admin" && caller.role !== "admin") throw fault("auth.not_admin");
    const organisationId = await organisationIdOf(caller, body.organisation, gateway);
    const secret = newKeySecret();
    const row = await insertKey(gateway.db, {
      id: resourceId,
      organisationId,
      name: body.name,
      role: body.role,
      hint: keyHint(secret),
      hash: hashKey(secret),
      createdAt: new Date(gateway.clock.now()),
    });
    return { status: 201, body: { ...keyView(row), key: secret } };
  },
});

const ListKeysQuery = z.strictObject({
  organisation: z.string().max(63).optional().describe("Id or name; default: the caller's own. Another one needs an admin's key."),
});

const listAllKeys = route({
  method: "GET",
  path: "/v1/keys",
  operationId: "listKeys",
  tag: "keys",
  summary: "List the API keys of an organisation",
  access: "member",
  query: ListKeysQuery,
  replies: { 200: { description: "All of them, oldest first, the revoked ones too.", schema: api.KeyList } },
  errors: ["auth.not_admin", "organisation.not_found", "database.unavailable"],
  async handle({ caller, query }, gateway) {
    const rows = await listKeys(gateway.db, await organisationIdOf(caller, query.organisation, gateway));
    return { status: 200, body: { keys: rows.map(keyView) } };
  },
});

const revokeOneKey = route({
  method: "DELETE",
  path: "/v1/keys/{id}",
  operationId: "revokeKey",
  tag: "keys",
  summary: "Revoke an API key, at once",
  access: "member",
  replies: { 204: { description: "It is revoked." } },
  errors: ["key.not_found", "auth.not_admin", "database.unavailable"],
  async handle({ caller, params }, { db, clock, access }) {
    const id = params.id ?? "";
    const key = await findKey(db, id);
    if (!key || (key.organisationId !== caller.orgId && caller.role !== "admin")) throw fault("key.not_found", { id });
    if (key.role === "admin" && caller.role !== "admin") throw fault("auth.not_admin");
    await revokeKey(db, id, clock.now());
    await access.changed(id);
    return { status: 204 };
  },
});

export const keyRoutes = [createKey, listAllKeys, revokeOneKey];
