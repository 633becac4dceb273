/* voxels.c - see voxels.h. */
#include "voxels.h"

mf_status voxels_read(const mf_artifact *a, mf_array **wide)
{
    mf_array *voxels;
    *wide = NULL;
    MF_TRY(mf_artifact_array(a, "voxels", &voxels));
    mf_status status = mf_array_convert(voxels, MF_I32, wide);
    mf_array_unref(voxels);
    return status;
}

mf_status voxels_check_grids(const char *name, const char *a, const mf_grid *grid_a, const char *b,
                             const mf_grid *grid_b)
{
    const int64_t *m = grid_a->size, *n = grid_b->size;
    if (mf_grid_equal(grid_a, grid_b, 0.01))
        return MF_OK;
    return mf_fail(MF_INVALID,
                   "case %s: %s (%lld x %lld x %lld) and %s (%lld x %lld x %lld) lie on different "
                   "grids",
                   name, a, (long long)m[0], (long long)m[1], (long long)m[2], b, (long long)n[0],
                   (long long)n[1], (long long)n[2]);
}
