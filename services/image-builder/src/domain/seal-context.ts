/** What a sealed password is and whose. */
export const registryContext = (orgId: string, host: string): string => `registry ${orgId} ${host}`;
/** The same of a build's secrets. */
export const secretsContext = (buildId: string): string => `secrets of ${buildId}`;
