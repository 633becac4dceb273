/* normalize.c - see normalize.h. */
#include "normalize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *mf_modality_text(mf_modality modality)
{
    static const char *const texts[] = {[MF_MODALITY_CT] = "CT",
                                        [MF_MODALITY_MR] = "MR",
                                        [MF_MODALITY_PET] = "PET",
                                        [MF_MODALITY_NORMALIZED] = "normalized"};
    return texts[modality];
}

bool mf_volume_normalized(const mf_artifact *volume)
{
    const char *text = mf_artifact_text(volume, "intensities");
    return text && !strcmp(text, MF_INTENSITIES_NORMALIZED);
}

mf_status mf_volume_check_raw(const mf_artifact *volume, const char *what)
{
    const char *text = mf_artifact_text(volume, "intensities");
    if (!text)
        return MF_OK;
    return mf_hint(mf_fail(MF_INVALID,
                           "%s needs the scan's own intensities, and the volume is %s already",
                           what, text),
                   "connect the scan itself");
}

mf_status mf_volume_check_not_windowed(const mf_artifact *volume)
{
    return mf_volume_normalized(volume) ? MF_OK : mf_volume_check_raw(volume, "normalization");
}

/* The bounds that `modality` chose, of how the volume says it was clipped. False: it does not. */
static bool said_bounds(const mf_artifact *volume, mf_modality *modality, const double **bounds)
{
    size_t count = 0;
    if (!mf_modality_parse(mf_artifact_text(volume, "normalized_as"), modality))
        return false;
    *bounds =
        mf_artifact_reals(volume, *modality == MF_MODALITY_CT ? "window" : "percentiles", &count);
    return *bounds && count == 2;
}

mf_status mf_volume_mark_normalized(mf_artifact *volume, mf_modality modality,
                                    const mf_normalize *settings)
{
    MF_TRY(mf_artifact_set_text(volume, "intensities", MF_INTENSITIES_NORMALIZED));
    MF_TRY(mf_artifact_set_text(volume, "normalized_as", mf_modality_text(modality)));
    MF_TRY(mf_artifact_set_reals(volume, "window", settings->window, 2));
    return mf_artifact_set_reals(volume, "percentiles", settings->percentiles, 2);
}

mf_status mf_volume_inherit_normalized(mf_artifact *to, const mf_artifact *from)
{
    static const char *const reals[] = {"window", "percentiles"};
    const char *intensities = mf_artifact_text(from, "intensities");
    if (!intensities)
        return MF_OK;
    MF_TRY(mf_artifact_set_text(to, "intensities", intensities));
    const char *as = mf_artifact_text(from, "normalized_as");
    if (as)
        MF_TRY(mf_artifact_set_text(to, "normalized_as", as));
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        size_t count = 0;
        const double *v = mf_artifact_reals(from, reals[i], &count);
        if (v)
            MF_TRY(mf_artifact_set_reals(to, reals[i], v, count));
    }
    return MF_OK;
}

mf_status mf_volume_check_normalized(const mf_artifact *volume, const mf_normalize *settings)
{
    const double *was;
    mf_modality modality;
    if (!mf_volume_normalized(volume) || !said_bounds(volume, &modality, &was))
        return MF_OK;
    const bool ct = modality == MF_MODALITY_CT;
    const double *now = ct ? settings->window : settings->percentiles;
    if (was[0] == now[0] && was[1] == now[1])
        return MF_OK;
    return mf_hint(mf_fail(MF_INVALID,
                           "the volume is normalized already, clipped to the %s %g to %g and not "
                           "to %g to %g",
                           ct ? "window" : "percentiles", was[0], was[1], now[0], now[1]),
                   "connect the scan itself, or set the same %s as where it was normalized",
                   ct ? "window_low and window_high" : "percentile_low and percentile_high");
}

bool mf_modality_parse(const char *text, mf_modality *modality)
{
    static const struct {
        const char *text;
        mf_modality modality;
    } names[] = {{"CT", MF_MODALITY_CT},
                 {"MR", MF_MODALITY_MR},
                 {"MRI", MF_MODALITY_MR},
                 {"PET", MF_MODALITY_PET},
                 {"PT", MF_MODALITY_PET}};
    for (size_t i = 0; text && i < sizeof names / sizeof *names; i++)
        if (!strcasecmp(text, names[i].text)) {
            *modality = names[i].modality;
            return true;
        }
    return false;
}

/* Unsigned numbers in the order of the floats. */
static uint32_t rank_key(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static float rank_value(uint32_t key)
{
    uint32_t bits = key & 0x80000000u ? key & 0x7fffffffu : ~key;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

/* The bin that holds rank `rank` of a histogram, which is then the rank inside that bin. */
static uint32_t bin_of(const int64_t *bins, int64_t *rank)
{
    uint32_t bin = 0;
    while (*rank >= bins[bin])
        *rank -= bins[bin++];
    return bin;
}

/* The value of one rank (0 = least) among the finite voxels: by the upper halves of their keys,
 * whose histogram is `upper`, then by the lower ones. */
static float ranked(const float *voxels, int64_t count, const int64_t *upper, int64_t *lower,
                    int64_t rank)
{
    uint32_t high = bin_of(upper, &rank);
    memset(lower, 0, 65536 * sizeof *lower);
    for (int64_t i = 0; i < count; i++) {
        uint32_t key = rank_key(voxels[i]);
        if (key >> 16 == high && isfinite(voxels[i]))
            lower[key & 0xffff]++;
    }
    return rank_value(high << 16 | bin_of(lower, &rank));
}

mf_status mf_percentiles(const float *voxels, int64_t count, const double *percents, int n,
                         double *values)
{
    int64_t *upper = calloc(2 * 65536, sizeof *upper), finite = 0;
    if (!upper)
        return mf_no_memory(0, "percentiles");
    for (int64_t i = 0; i < count; i++)
        if (isfinite(voxels[i])) {
            upper[rank_key(voxels[i]) >> 16]++;
            finite++;
        }
    for (int i = 0; i < n; i++) {
        values[i] = 0;
        if (!finite)
            continue;
        double at = (double)(finite - 1) * percents[i] / 100;
        int64_t rank = (int64_t)floor(at);
        double below = ranked(voxels, count, upper, upper + 65536, rank), share = at - (double)rank;
        double above = share > 0 ? ranked(voxels, count, upper, upper + 65536, rank + 1) : below;
        values[i] = below + share * (above - below);
    }
    free(upper);
    return MF_OK;
}

mf_status mf_modality_guess(const float *voxels, int64_t count, mf_modality *modality)
{
    double ends[2];
    MF_TRY(mf_percentiles(voxels, count, (const double[]){0.5, 99.5}, 2, ends));
    *modality = ends[0] < -200 && ends[1] > 300 ? MF_MODALITY_CT : MF_MODALITY_MR;
    return MF_OK;
}

mf_status mf_normalize_check(const mf_normalize *s)
{
    if (s->window[0] >= s->window[1])
        return mf_fail(MF_INVALID, "window_low %g is not below window_high %g", s->window[0],
                       s->window[1]);
    if (s->percentiles[0] >= s->percentiles[1])
        return mf_fail(MF_INVALID, "percentile_low %g is not below percentile_high %g",
                       s->percentiles[0], s->percentiles[1]);
    return MF_OK;
}

mf_status mf_normalize_voxels(float *voxels, int64_t count, mf_modality modality,
                              const mf_normalize *settings, mf_normalized *report)
{
    double bounds[2] = {settings->window[0], settings->window[1]};
    double sum = 0, squares = 0;
    mf_normalized done = {0};
    if (modality == MF_MODALITY_NORMALIZED) {
        if (report)
            *report = done;
        return MF_OK;
    }
    if (modality != MF_MODALITY_CT)
        MF_TRY(mf_percentiles(voxels, count, settings->percentiles, 2, bounds));
    if (bounds[0] >= bounds[1]) /* all but a few voxels are one value: nothing to clip */
        MF_TRY(mf_percentiles(voxels, count, (const double[]){0, 100}, 2, bounds));
    float low = (float)bounds[0], high = (float)bounds[1], least = high, most = low;
    for (int64_t i = 0; i < count; i++) {
        done.not_finite += !isfinite(voxels[i]);
        voxels[i] = voxels[i] > low ? (voxels[i] < high ? voxels[i] : high) : low; /* NaN: low */
        least = voxels[i] < least ? voxels[i] : least;
        most = voxels[i] > most ? voxels[i] : most;
        sum += voxels[i];
    }
    done.low = low;
    done.high = high;
    done.mean = count > 0 ? sum / (double)count : 0;
    for (int64_t i = 0; i < count; i++) {
        double away = voxels[i] - done.mean;
        squares += away * away;
    }
    done.deviation = count > 0 ? sqrt(squares / (double)count) : 0;
    /* Whether an image is constant is seen from its values and not from the deviation, whose size
     * is a matter of the unit: 1e-40 to 1e-39 is as good a scan as 100 to 1000. */
    double scale = least < most && done.deviation > 0 ? 1 / done.deviation : 0;
    for (int64_t i = 0; i < count; i++)
        voxels[i] = (float)((voxels[i] - done.mean) * scale);
    if (report)
        *report = done;
    return MF_OK;
}
