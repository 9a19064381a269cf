const TAG = /:[^/:]+$/;

/** The whole name: without a tag, `latest` is meant. */
export const withTag = (name: string): string => (TAG.test(name) ? name : `${name}:latest`);
