/* prepared.c - see prepared.h. */
#include "prepared.h"

#include <math.h>
#include <string.h>

typedef enum kind { CT, OTHER, UNKNOWN, KINDS } kind; /* of modality */

/* A sample that others are compared with. */
typedef struct clipped {
    const char *port; /* NULL: none yet */
    size_t index;
    mf_normalize clip;
} clipped;

/* Whether the sample says how it was clipped. */
static bool read_clip(const mf_artifact *sample, kind *which, mf_normalize *clip)
{
    size_t windows = 0, percents = 0;
    const double *window = mf_artifact_reals(sample, "window", &windows);
    const double *percentiles = mf_artifact_reals(sample, "percentiles", &percents);
    mf_modality modality;
    if (!window || windows != 2 || !percentiles || percents != 2)
        return false;
    memcpy(clip->window, window, sizeof clip->window);
    memcpy(clip->percentiles, percentiles, sizeof clip->percentiles);
    *which = UNKNOWN;
    const char *as = mf_artifact_text(sample, "normalized_as");
    if (mf_modality_parse(as ? as : mf_artifact_text(sample, "modality"), &modality))
        *which = modality == MF_MODALITY_CT ? CT : OTHER;
    return true;
}

static mf_status differ(mf_task *t, const char *what, const double *here, const char *port,
                        size_t i, const double *there, const clipped *first)
{
    return mf_hint(
        mf_fail(MF_INVALID, "%s of `%s` was clipped to the %s %g to %g, %s of `%s` to %g to %g",
                mf_in_name(t, port, i), port, what, here[0], here[1],
                mf_in_name(t, first->port, first->index), first->port, there[0], there[1]),
        "prepare all samples of one modality with the same window_low, window_high, percentile_low "
        "and percentile_high");
}

static mf_status compare(mf_task *t, const char *port, size_t i, clipped first[KINDS])
{
    const mf_artifact *sample;
    mf_normalize clip;
    kind which;
    MF_TRY(mf_in_item(t, port, i, &sample));
    if (!read_clip(sample, &which, &clip))
        return MF_OK;
    clipped *f = &first[which];
    if (!f->port)
        *f = (clipped){port, i, clip};
    if (which != OTHER && memcmp(clip.window, f->clip.window, sizeof clip.window) != 0)
        return differ(t, "window", clip.window, port, i, f->clip.window, f);
    if (which != CT && memcmp(clip.percentiles, f->clip.percentiles, sizeof clip.percentiles) != 0)
        return differ(t, "percentiles", clip.percentiles, port, i, f->clip.percentiles, f);
    return MF_OK;
}

static mf_status walk(mf_task *t, const char *const *ports, int count, clipped first[KINDS])
{
    for (int p = 0; p < count; p++)
        for (size_t i = 0; i < mf_in_count(t, ports[p]); i++)
            MF_TRY(compare(t, ports[p], i, first));
    return MF_OK;
}

mf_status mf_prepared_alike(mf_task *t, const char *const *ports, int count)
{
    clipped first[KINDS] = {{0}};
    return walk(t, ports, count, first);
}

mf_status mf_prepared_spacing(mf_task *t, const char *const *ports, int count)
{
    const char *first = NULL;
    mf_grid grid = {{0}};
    for (int p = 0; p < count; p++)
        for (size_t i = 0; i < mf_in_count(t, ports[p]); i++) {
            const mf_artifact *sample;
            mf_grid own;
            MF_TRY(mf_in_item(t, ports[p], i, &sample));
            MF_TRY(mf_artifact_grid(sample, &own));
            if (!first)
                grid = own;
            for (int k = 0; first && k < 3; k++)
                if (fabs(own.spacing[k] - grid.spacing[k]) > 1e-5 * grid.spacing[k])
                    return mf_hint(
                        mf_fail(MF_INVALID,
                                "the voxels of %s of `%s` have %g x %g x %g mm, those of %s of "
                                "`%s` %g x %g x %g mm",
                                mf_in_name(t, ports[p], i), ports[p], own.spacing[0],
                                own.spacing[1], own.spacing[2], mf_in_name(t, first, 0), first,
                                grid.spacing[0], grid.spacing[1], grid.spacing[2]),
                        "prepare all cases with one `spacing`");
            if (!first)
                first = ports[p];
        }
    return MF_OK;
}

mf_status mf_prepared_clip(mf_task *t, const char *port, mf_normalize *clip)
{
    clipped first[KINDS] = {{0}};
    const clipped *any = NULL;
    MF_TRY(walk(t, &port, 1, first));
    for (int k = 0; k < KINDS; k++)
        if (first[k].port && (!any || first[k].index < any->index))
            any = &first[k];
    if (!any)
        return MF_OK;
    *clip = any->clip;
    for (int k = UNKNOWN; k >= CT; k--) { /* what is known counts more */
        if (first[k].port && k != OTHER)
            memcpy(clip->window, first[k].clip.window, sizeof clip->window);
        if (first[k].port && k != CT)
            memcpy(clip->percentiles, first[k].clip.percentiles, sizeof clip->percentiles);
    }
    return MF_OK;
}
