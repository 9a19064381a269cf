import { api, fault, GetUsage } from "@banyan/contracts";
import { findOrganisation } from "../store/find-organisation.ts";
import { organisationView, quotaView } from "../views/access.ts";
import { route } from "./route.ts";

const getUsage = route({
  method: "GET",
  path: "/v1/usage",
  operationId: "getUsage",
  tag: "organisations",
  summary: "What your organisation holds now, and what it may hold",
  access: "member",
  replies: { 200: { description: "Usage beside quota.", schema: api.Usage } },
  errors: GetUsage.errors,
  async handle({ caller }, { bus, db }) {
    const [organisation, { usage }] = await Promise.all([findOrganisation(db, caller.orgId), bus.call(GetUsage, { orgId: caller.orgId })]);
    if (!organisation) throw fault("organisation.not_found", { id: caller.orgId });
    return { status: 200, body: { organisation: organisationView(organisation), usage: quotaView(usage) } };
  },
});

export const usageRoutes = [getUsage];
