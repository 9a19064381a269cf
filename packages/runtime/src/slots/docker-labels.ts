/** Which node a container belongs to: all clean-up is limited to a node's own. */
export const LABEL_NODE = "banyan.node";
export const LABEL_SLOT = "banyan.slot";
export const LABEL_ADDRESS = "banyan.address";
