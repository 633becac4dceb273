/* resampling.c - see resampling.h. */
#include "resampling.h"
#include "../common/resample.h"

mf_status resampling_grid(mf_task *t, const mf_grid *from, const mf_real3 *spacing, mf_grid *to,
                          const mf_artifact **like)
{
    static const char hint[] = "connect the input `like`, or set `spacing`";
    bool given = false, all = true;
    size_t bytes = sizeof(float);
    for (int i = 0; i < 3; i++) {
        given = given || spacing->v[i] > 0;
        all = all && spacing->v[i] > 0;
    }
    MF_TRY(mf_in(t, "like", like));
    if (*like && given)
        return mf_hint(mf_fail(MF_INVALID, "both `like` and `spacing` say what to resample to"),
                       "leave out one of them");
    if (!*like && !all)
        return mf_hint(mf_fail(MF_INVALID, "nothing says what to resample to"), hint);
    MF_TRY(*like ? mf_artifact_grid(*like, to) : mf_resample_grid(from, spacing->v, to));
    for (int i = 0; i < 3; i++)
        if (!mf_size_mul(bytes, (size_t)to->size[i], &bytes) || bytes / sizeof(float) > INT32_MAX)
            return mf_fail(MF_UNSUPPORTED,
                           "the result would have %lld x %lld x %lld voxels; 2147483647 are the "
                           "most",
                           (long long)to->size[0], (long long)to->size[1], (long long)to->size[2]);
    return MF_OK;
}
