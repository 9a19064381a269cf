/**
 * The gateway forwards everything below these segments of `/v1/sandboxes/{id}/…` to the sandbox's node as it is:
 * `POST|GET <node url>/sandboxes/{id}/<segment>…`. The node validates, acts and answers in the public form, problems included.
 */
export const DATA_PLANE_SEGMENTS = ["exec", "processes", "pty", "files", "ports"] as const;

/** What the gateway adds to a forwarded request. The node refuses one without the cluster's token. */
export const FORWARD_HEADERS = {
  /** `Bearer <cluster token>`, in place of the caller's own key, which never reaches a node. */
  authorization: "x-banyan-cluster",
  orgId: "x-banyan-org",
  /** The incarnation the gateway believes in; another one is answered 409 sandbox.stale_epoch. */
  epoch: "x-banyan-epoch",
  requestId: "x-request-id",
} as const;

/** On a node's problem replies: its code, so that the gateway can tell a stale route without reading the body. */
export const ERROR_CODE_HEADER = "x-banyan-code";
/** Of every answer about the content of a volume: its id. What is answered without it comes from somebody else. */
export const VOLUME_HEADER = "x-banyan-volume";
