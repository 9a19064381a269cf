import { rcloneLack } from "./rclone.ts";
import { RcloneMounts, type RcloneMountsOptions } from "./rclone-mounts.ts";

export interface ObjectsConfig {
  /** auto: where rclone is installed. on: a host without it says what it lacks. */
  mode: "auto" | "on" | "off";
  /** Of each volume's cache on this host. */
  cacheMb: number;
}

export const OBJECTS_DEFAULTS: ObjectsConfig = { mode: "auto", cacheMb: 1_024 };

/** The object volumes of this host; null where it is not to mount any. */
export function openObjects({ mode, cacheMb }: ObjectsConfig, options: Omit<RcloneMountsOptions, "cacheMb">): RcloneMounts | null {
  if (mode === "off" || (mode === "auto" && rcloneLack() !== null)) return null;
  return new RcloneMounts({ ...options, cacheMb });
}
