/* no_itk.c - in place of itk_volume.cc: the readers of others are not what is fuzzed here. */
#include "itk_volume.h"

static mf_status without(const char *path)
{
    return mf_fail(MF_UNSUPPORTED, "%s: needs ITK", path);
}

mf_status itk_write(const char *path, const mf_grid *grid, const mf_array *voxels,
                    const mf_names *names)
{
    (void)grid, (void)voxels, (void)names;
    return without(path);
}
