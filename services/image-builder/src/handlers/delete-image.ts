import { DeleteImage, fault, ListLayerUsers } from "@banyan/contracts";
import { handle } from "../context.ts";
import { deleteImage as removeImage } from "../store/delete-image.ts";
import { findImage } from "../store/find-image.ts";
import { listUsers } from "../store/list-users.ts";

/** The row goes; the layers that nothing refers to any more are swept later, by age. */
export const deleteImage = handle(DeleteImage, async ({ bus, db }, { orgId, imageId }) => {
  const image = await findImage(db, orgId, imageId);
  if (image === null) throw fault("image.not_found", { image: imageId });
  if (image.orgId === null) throw fault("image.protected", { image: imageId });
  const [users, { sandboxIds, count }] = await Promise.all([
    listUsers(db, image.id),
    bus.call(ListLayerUsers, { imageId: image.id, digests: [] }),
  ]);
  const usedBy = [...users, ...sandboxIds];
  if (usedBy.length > 0) throw fault("image.in_use", { image: imageId, usedBy, count: users.length + count });
  if (!(await removeImage(db, image))) throw fault("image.in_use", { image: imageId, usedBy: [], retryAfterMs: 1_000 });
  return {};
});
