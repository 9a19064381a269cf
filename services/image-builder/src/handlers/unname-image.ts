import { fault, UnnameImage } from "@banyan/contracts";
import { handle } from "../context.ts";
import { withTag } from "../domain/image-name.ts";
import { removeName } from "../store/remove-name.ts";

export const unnameImage = handle(UnnameImage, async ({ db }, { orgId, name }) => {
  if (!(await removeName(db, orgId, withTag(name)))) throw fault("image.not_found", { image: name });
  return {};
});
