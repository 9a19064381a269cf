import type { ImageConfig } from "@banyan/contracts";

/** Of a base that says nothing of itself. */
export const EMPTY_CONFIG: ImageConfig = {
  env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
  workdir: "/",
  user: "root",
  entrypoint: [],
  ready: null,
  resources: {},
};
