/* derive.c - see derive.h. */
#include "derive.h"
#include "../common/normalize.h"

static mf_status keep(const mf_artifact *from, mf_artifact *made)
{
    size_t count = 0;
    const char *unit = mf_artifact_text(from, "unit");
    const double *suv = mf_artifact_reals(from, "suv_factor", &count);
    MF_TRY(mf_artifact_inherit(made, from));
    MF_TRY(mf_volume_inherit_normalized(made, from));
    if (unit)
        MF_TRY(mf_artifact_set_text(made, "unit", unit));
    return suv && count == 1 ? mf_artifact_set_reals(made, "suv_factor", suv, 1) : MF_OK;
}

static mf_status place(const mf_artifact *scan, const mf_grid *grid, bool own_grid,
                       mf_artifact *made)
{
    mf_grid file;
    if (own_grid)
        return mf_artifact_set_scan_grid(made, grid);
    if (!mf_artifact_scan_grid(scan, &file))
        MF_TRY(mf_artifact_grid(scan, &file));
    return mf_artifact_set_scan_grid(made, &file);
}

mf_status derive_artifact(const mf_artifact *from, const mf_grid *grid, mf_array *voxels,
                          const mf_names *names, bool own_grid, const mf_artifact *scan,
                          mf_artifact **made)
{
    MF_TRY(mf_artifact_new(mf_artifact_type(from), made));
    mf_status status = mf_artifact_set_grid(*made, grid);
    if (!status)
        status = keep(from, *made);
    if (!status && names)
        status = mf_artifact_set_names(*made, names);
    if (!status)
        status = place(scan ? scan : from, grid, own_grid, *made);
    if (!status)
        status = mf_artifact_add(*made, "voxels", voxels);
    if (status) {
        mf_artifact_unref(*made);
        *made = NULL;
    }
    return status;
}
