/* derive.h - volumes and label maps that are made of others: what they keep of them. */
#ifndef VOLUME_DERIVE_H
#define VOLUME_DERIVE_H

#include <massflow/names.h>

/* A new artifact of the type of `from` (volume or labels) on `grid` with `voxels` (of which it
 * takes a reference): it keeps the modality, unit, SUV factor, and whether intensities are the
 * scan's own, and has the names of labels (NULL: none). Files are written on its own grid
 * (`own_grid`), or on the grid of the file of `scan`; NULL: of `from`. */
MF_MUST_USE mf_status derive_artifact(const mf_artifact *from, const mf_grid *grid,
                                      mf_array *voxels, const mf_names *names, bool own_grid,
                                      const mf_artifact *scan, mf_artifact **made);

#endif
