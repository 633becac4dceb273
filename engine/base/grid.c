/* grid.c - where voxels lie: index <-> world, and grids as attributes of artifacts. */
#include <massflow/artifact.h>

#include <math.h>
#include <stdio.h>

int64_t mf_grid_voxels(const mf_grid *grid)
{
    return grid->size[0] * grid->size[1] * grid->size[2];
}

void mf_grid_to_world(const mf_grid *grid, const double ijk[3], double xyz[3])
{
    for (int row = 0; row < 3; row++) {
        xyz[row] = grid->origin[row];
        for (int axis = 0; axis < 3; axis++)
            xyz[row] += grid->direction[3 * row + axis] * grid->spacing[axis] * ijk[axis];
    }
}

/* Solves direction * (spacing . ijk) = xyz - origin by Cramer's rule: headers of real files hold
 * directions that are orthonormal only to a few digits, so the transpose would not do. */
void mf_grid_to_index(const mf_grid *grid, const double xyz[3], double ijk[3])
{
    const double *m = grid->direction;
    double d[3] = {xyz[0] - grid->origin[0], xyz[1] - grid->origin[1], xyz[2] - grid->origin[2]};
    double c00 = m[4] * m[8] - m[5] * m[7], c01 = m[5] * m[6] - m[3] * m[8],
           c02 = m[3] * m[7] - m[4] * m[6];
    double det = m[0] * c00 + m[1] * c01 + m[2] * c02;
    double inverse[9] = {c00, m[2] * m[7] - m[1] * m[8], m[1] * m[5] - m[2] * m[4],
                         c01, m[0] * m[8] - m[2] * m[6], m[2] * m[3] - m[0] * m[5],
                         c02, m[1] * m[6] - m[0] * m[7], m[0] * m[4] - m[1] * m[3]};
    for (int axis = 0; axis < 3; axis++)
        ijk[axis] = (inverse[3 * axis] * d[0] + inverse[3 * axis + 1] * d[1] +
                     inverse[3 * axis + 2] * d[2]) /
                    det / grid->spacing[axis];
}

bool mf_grid_equal(const mf_grid *a, const mf_grid *b, double tolerance_mm)
{
    for (int i = 0; i < 3; i++)
        if (a->size[i] != b->size[i])
            return false;
    /* Equal where all eight corners are: that weighs spacing, origin and direction in mm. */
    for (int corner = 0; corner < 8; corner++) {
        double ijk[3], p[3], q[3];
        for (int i = 0; i < 3; i++)
            ijk[i] = corner >> i & 1 ? (double)(a->size[i] - 1) : 0;
        mf_grid_to_world(a, ijk, p);
        mf_grid_to_world(b, ijk, q);
        for (int i = 0; i < 3; i++)
            if (!(fabs(p[i] - q[i]) <= tolerance_mm))
                return false;
    }
    return true;
}

void mf_grid_identity(mf_grid *grid, const int64_t size_xyz[3], const double spacing[3])
{
    *grid = (mf_grid){.direction = {1, 0, 0, 0, 1, 0, 0, 0, 1}};
    for (int i = 0; i < 3; i++) {
        grid->size[i] = size_xyz[i];
        grid->spacing[i] = spacing[i];
    }
}

static mf_status set_grid(mf_artifact *a, const char *prefix, const mf_grid *grid)
{
    char name[32];
    double size[3];
    for (int i = 0; i < 3; i++)
        size[i] = (double)grid->size[i];
    const struct {
        const char *name;
        const double *values;
        size_t count;
    } parts[] = {{"size", size, 3},
                 {"spacing", grid->spacing, 3},
                 {"origin", grid->origin, 3},
                 {"direction", grid->direction, 9}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(name, sizeof name, "%s%s", prefix, parts[i].name);
        MF_TRY(mf_artifact_set_reals(a, name, parts[i].values, parts[i].count));
    }
    return MF_OK;
}

static bool get_grid(const mf_artifact *a, const char *prefix, mf_grid *grid)
{
    char name[32];
    double size[3];
    const struct {
        const char *name;
        double *values;
        size_t count;
    } parts[] = {{"size", size, 3},
                 {"spacing", grid->spacing, 3},
                 {"origin", grid->origin, 3},
                 {"direction", grid->direction, 9}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t count;
        snprintf(name, sizeof name, "%s%s", prefix, parts[i].name);
        const double *values = mf_artifact_reals(a, name, &count);
        if (!values || count != parts[i].count)
            return false;
        for (size_t k = 0; k < count; k++)
            parts[i].values[k] = values[k];
    }
    for (int i = 0; i < 3; i++)
        grid->size[i] = (int64_t)size[i];
    return true;
}

mf_status mf_artifact_set_grid(mf_artifact *a, const mf_grid *grid)
{
    return set_grid(a, "", grid);
}

mf_status mf_artifact_grid(const mf_artifact *a, mf_grid *grid)
{
    if (get_grid(a, "", grid))
        return MF_OK;
    return mf_fail(MF_INVALID, "artifact of type %s has no grid (size, spacing, origin, direction)",
                   mf_artifact_type(a));
}

mf_status mf_artifact_set_scan_grid(mf_artifact *a, const mf_grid *grid)
{
    return set_grid(a, "scan.", grid);
}

bool mf_artifact_scan_grid(const mf_artifact *a, mf_grid *grid)
{
    return get_grid(a, "scan.", grid);
}

mf_status mf_artifact_inherit(mf_artifact *result, const mf_artifact *scan)
{
    mf_grid grid;
    if (mf_artifact_scan_grid(scan, &grid))
        MF_TRY(mf_artifact_set_scan_grid(result, &grid));
    const char *modality = mf_artifact_text(scan, "modality");
    if (modality)
        MF_TRY(mf_artifact_set_text(result, "modality", modality));
    const char *sides = mf_artifact_text(scan, "sides");
    if (sides)
        MF_TRY(mf_artifact_set_text(result, "sides", sides));
    int64_t lesion;
    if (mf_artifact_int(scan, "lesion", &lesion))
        MF_TRY(mf_artifact_set_int(result, "lesion", lesion));
    return MF_OK;
}
