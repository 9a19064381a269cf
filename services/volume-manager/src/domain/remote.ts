import { fault, type Remote } from "@banyan/contracts";
import { seal, unseal } from "@banyan/kernel";

const contextOf = (volumeId: string): string => `remote of ${volumeId}`;

export function sealSecrets({ secrets }: Remote, volumeId: string, secretKey: string): string {
  return seal(JSON.stringify(secrets), secretKey, contextOf(volumeId));
}

/** The whole remote, with its secrets. */
export function openRemote(
  { id, remote, secretsSealed }: { id: string; remote: Omit<Remote, "secrets">; secretsSealed: string },
  secretKey: string,
): Remote {
  const secrets = unseal(secretsSealed, secretKey, contextOf(id));
  if (secrets === null) throw fault("internal", { volumeId: id }, { message: `the secrets of ${id} were sealed with another key` });
  return { ...remote, secrets: JSON.parse(secrets) };
}
