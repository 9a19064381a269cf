import { api, DeleteRegistry, fault, ListRegistries, type Registry, RegistryHost, SaveRegistry } from "@banyan/contracts";
import { type Call, route } from "./route.ts";

function hostOf({ params }: Pick<Call<unknown, unknown>, "params">): string {
  const host = RegistryHost.safeParse(params.host);
  if (!host.success) throw fault("request.invalid", { issues: [{ path: "host", message: "a host name with an optional port" }] });
  return host.data;
}

const registryView = ({ host, username, createdAt }: Registry): api.Registry => ({
  host,
  username,
  created_at: new Date(createdAt).toISOString(),
});

const saveRegistry = route({
  method: "PUT",
  path: "/v1/registries/{host}",
  operationId: "saveRegistry",
  tag: "registries",
  summary: "Keep credentials for a registry that images are pulled from",
  access: "member",
  body: api.SaveRegistryBody,
  replies: { 200: { description: "They are kept, sealed; the password is never shown again.", schema: api.Registry } },
  errors: SaveRegistry.errors,
  // To save the same again changes nothing; and no fingerprint is made of a password.
  harmless: true,
  async handle(call, { bus }) {
    const { registry } = await bus.call(SaveRegistry, { orgId: call.caller.orgId, host: hostOf(call), ...call.body });
    return { status: 200, body: registryView(registry) };
  },
});

const listRegistries = route({
  method: "GET",
  path: "/v1/registries",
  operationId: "listRegistries",
  tag: "registries",
  summary: "List the registries that credentials are kept for",
  access: "member",
  replies: { 200: { description: "All of them, without passwords.", schema: api.RegistryList } },
  errors: ListRegistries.errors,
  async handle({ caller }, { bus }) {
    const { registries } = await bus.call(ListRegistries, { orgId: caller.orgId });
    return { status: 200, body: { registries: registries.map(registryView) } };
  },
});

const deleteRegistry = route({
  method: "DELETE",
  path: "/v1/registries/{host}",
  operationId: "deleteRegistry",
  tag: "registries",
  summary: "Forget the credentials for a registry",
  access: "member",
  replies: { 204: { description: "They are gone." } },
  errors: DeleteRegistry.errors,
  async handle(call, { bus }) {
    await bus.call(DeleteRegistry, { orgId: call.caller.orgId, host: hostOf(call) });
    return { status: 204 };
  },
});

export const registryRoutes = [saveRegistry, listRegistries, deleteRegistry];
