const MB = 1024 * 1024;

/** How much an upload may still bring. Null: nobody but the filesystem says. A volume that was never measured counts as empty. */
export function quotaLeftBytes(
  { quotaMb, usageBytes }: { quotaMb: number | null; usageBytes: number | null },
  enforcedBy: "kernel" | "upload" | "none",
): number | null {
  if (quotaMb === null || enforcedBy !== "upload") return null;
  return Math.max(quotaMb * MB - (usageBytes ?? 0), 0);
}
