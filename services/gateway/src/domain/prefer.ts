/** RFC 7240: how many seconds a caller is willing to wait, at most `maxS`; null where it does not say. */
export function preferredWaitS(prefer: string | undefined, maxS: number): number | null {
  const match = /(?:^|[,;\s])wait\s*=\s*"?(\d{1,9})"?/i.exec(prefer ?? "");
  return match ? Math.min(Number(match[1]), maxS) : null;
}
