import { idPattern } from "@banyan/kernel";
import { z } from "zod";
import { LIMITS } from "./limits.ts";

export const VolumeId = z.string().regex(idPattern("vol"), "not a volume id");
export const VersionId = z.string().regex(idPattern("ver"), "not the id of a version");

/**
 * A place where volumes lie, the same for everyone who reaches it: of a directory, the id in its marker file; `object` for whatever rclone reaches.
 */
export const StoreId = z.string().regex(/^[a-z0-9-]{1,64}$/, "lower-case letters, digits and hyphens");
export const OBJECT_STORE = "object";

/** rw: shared, changes seen by all. ro: nobody writes here. cow: a private writable view over the shared content. */
export const MountMode = z.enum(["rw", "ro", "cow"]);
export type MountMode = z.infer<typeof MountMode>;

const plain = (path: string): boolean => path.split("/").every((part) => part !== "." && part !== "..");
const isPathText = (path: string): boolean => !/\p{Cc}/u.test(path) && Buffer.byteLength(path) <= LIMITS.mountPathBytes;

/** The kernel's own places, and Banyan's. */
const RESERVED = ["/proc", "/dev", "/sys", "/.banyan"] as const;
const isWithin = (path: string, directory: string): boolean => path === directory || path.startsWith(`${directory}/`);

/** Where a volume appears inside a sandbox. Written in one way only, so that two that are the same look the same. */
export const MountPath = z
  .string()
  .refine(isPathText, `at most ${LIMITS.mountPathBytes} bytes, no control characters`)
  .refine((path) => path.startsWith("/"), "must be absolute")
  .overwrite((path) => path.replace(/\/+/g, "/").replace(/(?<=.)\/$/, ""))
  .refine(plain, "without `.` and `..`")
  .refine((path) => path !== "/", "a volume cannot be the root; choose a directory below it")
  .refine((path) => !RESERVED.some((reserved) => isWithin(path, reserved)), `not ${RESERVED.join(", ")}, nor below`);

/** A directory or file of the volume; empty: all of it. A symlink on the way leads only to what is in the volume. */
export const SubPath = z
  .string()
  .refine(isPathText, `at most ${LIMITS.mountPathBytes} bytes, no control characters`)
  .overwrite((path) => path.replace(/\/+/g, "/").replace(/^\/|\/$/g, ""))
  .refine(plain, "without `.` and `..`");

/** One mount as a sandbox declares it. `volume` and `version` may be names where it is asked for; ids once it is written down. */
export const VolumeMount = z.strictObject({
  volume: z.string().min(1).max(255),
  /** Null: the content as it is. */
  version: z.string().min(1).max(255).nullable().default(null),
  path: MountPath,
  subpath: SubPath.default(""),
  mode: MountMode.default("rw"),
});
export type VolumeMount = z.infer<typeof VolumeMount>;

/** Why these mounts cannot stand beside each other, at the first that cannot: two at one place, one within another, a version to be written to. */
export function mountFault(mounts: readonly VolumeMount[]): { index: number; message: string } | null {
  for (const [index, mount] of mounts.entries()) {
    if (mount.version !== null && mount.mode === "rw") return { index, message: "a version never changes: mount it `ro` or `cow`" };
    const other = mounts.slice(0, index).find(({ path }) => isWithin(path, mount.path) || isWithin(mount.path, path));
    if (other !== undefined) {
      return { index, message: other.path === mount.path ? `another volume is at ${other.path}` : `overlaps the mount at ${other.path}` };
    }
  }
  return null;
}

export const VolumeMounts = z
  .array(VolumeMount)
  .max(LIMITS.volumesPerSandbox)
  .superRefine((mounts, context) => {
    const found = mountFault(mounts);
    if (found !== null) context.addIssue({ code: "custom", path: [found.index, "path"], message: found.message });
  });
