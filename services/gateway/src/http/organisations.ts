import { api, fault } from "@banyan/contracts";
import { findOrganisation } from "../store/find-organisation.ts";
import { insertOrganisation } from "../store/insert-organisation.ts";
import { listOrganisations } from "../store/list-organisations.ts";
import type { OrganisationRow } from "../store/schema.ts";
import { updateQuota } from "../store/update-quota.ts";
import { organisationView, quotaChangesOf, quotaOf } from "../views/access.ts";
import type { Gateway } from "./gateway.ts";
import { route } from "./route.ts";

async function organisationOf(params: Record<string, string>, { db }: Gateway): Promise<OrganisationRow> {
  const id = params.id ?? "";
  const organisation = await findOrganisation(db, id);
  if (!organisation) throw fault("organisation.not_found", { id });
  return organisation;
}

const createOrganisation = route({
  method: "POST",
  path: "/v1/organisations",
  operationId: "createOrganisation",
  tag: "organisations",
  summary: "Make an organisation",
  access: "admin",
  makes: "org",
  body: api.CreateOrganisationBody,
  replies: { 201: { description: "It exists.", schema: api.Organisation } },
  errors: ["organisation.exists", "database.unavailable"],
  async handle({ body, resourceId }, { db, clock, defaultQuota }) {
    const quota = body.quota ? quotaOf(body.quota) : defaultQuota;
    const row = await insertOrganisation(db, { id: resourceId, name: body.name, quota, createdAt: new Date(clock.now()) });
    if (!row) throw fault("organisation.exists", { name: body.name });
    return { status: 201, body: organisationView(row) };
  },
});

const listAllOrganisations = route({
  method: "GET",
  path: "/v1/organisations",
  operationId: "listOrganisations",
  tag: "organisations",
  summary: "List the organisations",
  access: "admin",
  replies: { 200: { description: "All of them, oldest first.", schema: api.OrganisationList } },
  errors: ["database.unavailable"],
  async handle(_call, { db }) {
    const rows = await listOrganisations(db);
    return { status: 200, body: { organisations: rows.map(organisationView) } };
  },
});

const getOrganisation = route({
  method: "GET",
  path: "/v1/organisations/{id}",
  operationId: "getOrganisation",
  tag: "organisations",
  summary: "Look at an organisation, by id or name",
  access: "admin",
  replies: { 200: { description: "As it is.", schema: api.Organisation } },
  errors: ["organisation.not_found", "database.unavailable"],
  async handle({ params }, gateway) {
    return { status: 200, body: organisationView(await organisationOf(params, gateway)) };
  },
});

const updateOrganisation = route({
  method: "PATCH",
  path: "/v1/organisations/{id}",
  operationId: "updateOrganisation",
  tag: "organisations",
  summary: "Change an organisation's quota",
  access: "admin",
  body: api.UpdateOrganisationBody,
  replies: { 200: { description: "As it is now.", schema: api.Organisation } },
  errors: ["organisation.not_found", "database.unavailable"],
  async handle({ params, body }, gateway) {
    const { id } = await organisationOf(params, gateway);
    const row = await updateQuota(gateway.db, id, quotaChangesOf(body.quota));
    if (!row) throw fault("organisation.not_found", { id });
    await gateway.access.changed(id);
    return { status: 200, body: organisationView(row) };
  },
});

export const organisationRoutes = [createOrganisation, listAllOrganisations, getOrganisation, updateOrganisation];
