/* labels.h - a label map as masks. */
#ifndef MASKS_LABELS_H
#define MASKS_LABELS_H

#include <massflow/artifact.h>

/* One mask a label, in order of label; those below min_voxels are left out. The artifact also says
 * which label each was: array label i32 [K]. */
MF_MUST_USE mf_status masks_of_labels(const mf_array *voxels, const mf_grid *grid,
                                      int64_t min_voxels, mf_artifact **masks);

#endif
