/* geometry.c - see geometry.h. */
#include "geometry.h"
#include <math.h>

mf_status geometry_split(const char *path, const double a[12], mf_grid *g)
{
    for (int j = 0; j < 3; j++) {
        double n = sqrt(a[j] * a[j] + a[4 + j] * a[4 + j] + a[8 + j] * a[8 + j]);
        if (!(n > 1e-6) || !(n < 1e6))
            return mf_fail(MF_CORRUPT, "%s: its header claims a voxel of %g mm along axis %d", path,
                           n, j + 1);
        g->spacing[j] = n;
        g->origin[j] = a[4 * j + 3];
        if (!isfinite(g->origin[j]))
            return mf_fail(MF_CORRUPT, "%s: its header claims no finite origin", path);
        for (int i = 0; i < 3; i++)
            g->direction[3 * i + j] = a[4 * i + j] / n;
    }
    const double *d = g->direction;
    for (int j = 0; j < 3; j++) {
        int k = (j + 1) % 3;
        double dot = d[j] * d[k] + d[3 + j] * d[3 + k] + d[6 + j] * d[6 + k];
        if (fabs(dot) > 0.01)
            return mf_hint(mf_fail(MF_UNSUPPORTED,
                                   "%s: its axes %d and %d stand at %.1f degrees, not at right "
                                   "angles (a sheared scan)",
                                   path, j + 1, k + 1, acos(dot) * 180 / M_PI),
                           "resample it to a rectangular grid first");
    }
    return MF_OK;
}
