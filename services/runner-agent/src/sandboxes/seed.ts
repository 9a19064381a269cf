/** Files that a sandbox finds in place of the image's. The seeds of its first start; what it does with them is its own affair. */
export function seedFiles(hostname: string, resolvers: readonly string[]): { path: string; content: string }[] {
  return [
    { path: "etc/hostname", content: `${hostname}\n` },
    { path: "etc/hosts", content: `127.0.0.1\tlocalhost\n127.0.1.1\t${hostname}\n` },
    { path: "etc/resolv.conf", content: resolvers.map((address) => `nameserver ${address}\n`).join("") },
  ];
}
