import type { Remote } from "@banyan/contracts";
import { assert, seal, unseal } from "@banyan/kernel";

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
  assert(secrets !== null, `the secrets of ${id} were sealed with another key`);
  return { ...remote, secrets: JSON.parse(secrets) };
}
