/* background.c - see background.h. */
#include "background.h"
#include "body.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TISSUE, DARK, SEEN, AIR, PADDING }; /* what a voxel is taken for */

#define LEAST_PADDING 0.005    /* share of the volume */
#define MOST_CLIPPED 0.05      /* share of the volume below a percentile */
#define LEAST_AIR 0.05         /* share of what is no padding */
#define LEAST_SMOOTHED 0.2     /* the same, in means of voxels */
#define MOST_AIR 0.25          /* of percentile 98 */
#define LEAST_BORDER (1.0 / 3) /* of a pocket's surface on tissue */
#define LEAST_PART (1.0 / 50)  /* of the largest part's voxels */
#define LEAST_TOLD 0.005       /* share of the volume */
#define REACH_MM 5.0
#define LUNG_HU (-950.0)
#define AIR_HU (-995.0)     /* at most this is air, with any noise */
#define MOST_SPREAD_HU 18.0 /* of means of air; lung with emphysema has more */
#define LEAST_INNER 50      /* voxels */
#define MOST_NEGATIVE 0.05  /* share of what is no padding, where 0 is no signal */
#define NOISE_LEVEL 2.2     /* of the spread: 1.78 if Rayleigh distributed */
#define NOISE_SKEW 0.4      /* 0.63 if Rayleigh distributed, 0 if normally */
#define END_LEVEL 1.5       /* as above, where values end at no signal, whatever their skew */
#define COILS_LEVEL 5.0     /* as above, where a sum over coils has left less spread */
#define COILS_SHARE 0.025   /* of percentile 98 */
#define ZERO_LEVEL 0.1      /* of the spread: noise about 0 in scans with negative values */
#define FLOOR_LEVEL 3.5     /* as above, where many voxels hold no signal at all */
#define FLOOR_SHARE 0.02    /* voxels without signal */
#define VALLEY_DEPTH 1.7
#define SAME 1e-6
enum { LEVELS = 64, LEAST_LEVELS = 8, ABOUT = 2, SAMPLE = 1 << 16 };
enum { DARK_WEIGHT = 1, BRIGHT_WEIGHT = -19 }; /* sums are at least 0 where 95% are dark */

typedef struct search {
    const float *v;    /* [z,y,x], the scan, or means of it */
    const float *scan; /* [z,y,x] */
    int64_t shape[3], voxels;
    double area[3]; /* mm2 of a voxel's face across z, y, x */
    int64_t reach[3];
    uint8_t *is;     /* [z,y,x] */
    int32_t *number; /* [z,y,x]: a queue, or sums of boxes */
    float *some;     /* [z,y,x]: voxels of which percentiles are taken, others NaN */
    int64_t padded;
} search;

/* ---- pockets --------------------------------------------------------------------------------- */

/* mm2 of voxel `at`'s surface on the border or padding, and on tissue. */
static void surfaces(const search *s, int64_t at, double *border, double *tissue)
{
    const int64_t step[3] = {s->shape[1] * s->shape[2], s->shape[2], 1};
    for (int a = 0; a < 3; a++) {
        const int64_t i = at / step[a] % s->shape[a];
        for (int side = -1; side <= 1; side += 2) {
            const bool out = side < 0 ? i == 0 : i + 1 == s->shape[a];
            const uint8_t next = out ? PADDING : s->is[at + side * step[a]];
            if (next == PADDING)
                *border += s->area[a];
            else if (next == TISSUE)
                *tissue += s->area[a];
        }
    }
}

/* The mean over 3 x 3 x 3 voxels without padding about voxel `at`. */
static float mean_about(const search *s, int64_t at)
{
    const int64_t *n = s->shape, x = at % n[2], y = at / n[2] % n[1], z = at / (n[1] * n[2]);
    double sum = 0;
    int count = 0;
    for (int64_t k = z > 0 ? z - 1 : 0; k <= z + 1 && k < n[0]; k++)
        for (int64_t j = y > 0 ? y - 1 : 0; j <= y + 1 && j < n[1]; j++)
            for (int64_t i = x > 0 ? x - 1 : 0; i <= x + 1 && i < n[2]; i++) {
                const int64_t from = (k * n[1] + j) * n[2] + i;
                if (s->is[from] == PADDING)
                    continue;
                sum += (double)s->v[from];
                count++;
            }
    return count ? (float)(sum / count) : NAN;
}

/* Whether a pocket of `size` voxels, which s->number lists, is air of a CT: half of its voxels
 * are at most -950 HU, and means inside of it (`some` holds where) differ by no more than noise; in
 * doubt if they differ by more. */
static mf_status is_ct_air(const search *s, int64_t size, bool *air, bool *doubt)
{
    double q[2];
    int64_t low = 0, inner = 0;
    *air = *doubt = false;
    for (int64_t k = 0; k < size; k++)
        low += (double)s->v[s->number[k]] <= LUNG_HU;
    if (2 * low < size)
        return MF_OK;
    float *values = malloc((size_t)size * sizeof *values);
    if (!values)
        return mf_no_memory((size_t)size * sizeof *values, "a region of air");
    for (int64_t k = 0; k < size; k++)
        if (!isnan(s->some[s->number[k]]))
            values[inner++] = mean_about(s, s->number[k]);
    for (int64_t k = 0; k < size && inner < LEAST_INNER; k++)
        values[k] = mean_about(s, s->number[k]);
    mf_status status =
        mf_percentiles(values, inner < LEAST_INNER ? size : inner, (const double[]){16, 50}, 2, q);
    free(values);
    *air = q[1] <= AIR_HU || q[1] - q[0] <= MOST_SPREAD_HU;
    *doubt = !*air;
    return status;
}

/* Dark regions that are pockets become `as`, others tissue, and how many voxels became `as`. In a
 * CT air must look like it; *doubtful: voxels of pockets that do not. */
static mf_status keep_pockets(search *s, bool ct_air, uint8_t as, int64_t *kept, int64_t *doubtful)
{
    *kept = *doubtful = 0;
    for (int64_t i = 0; i < s->voxels; i++) {
        if (s->is[i] != DARK)
            continue;
        const int64_t size = mf_flood(s->is, s->shape, i, DARK, SEEN, s->number);
        double border = 0, tissue = 0;
        for (int64_t k = 0; k < size; k++)
            surfaces(s, s->number[k], &border, &tissue);
        bool pocket = border > 0 && border >= LEAST_BORDER * tissue;
        if (pocket && ct_air) {
            bool doubt;
            MF_TRY(is_ct_air(s, size, &pocket, &doubt));
            *doubtful += doubt ? size : 0;
        }
        /* A region that is no pocket touches no other dark one, so that it may become tissue at
         * once. */
        for (int64_t k = 0; k < size; k++)
            s->is[s->number[k]] = pocket ? as : TISSUE;
        *kept += pocket ? size : 0;
    }
    return MF_OK;
}

/* ---- padding --------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The commonest finite value on the six faces, the lowest of several; false where there is none. */
static mf_status commonest(const search *s, float *value, bool *any)
{
    const int64_t *n = s->shape;
    int64_t count = 0, most = 0;
    float *face = malloc((size_t)(2 * (n[0] * n[1] + n[0] * n[2] + n[1] * n[2])) * sizeof *face);
    if (!face)
        return mf_no_memory((size_t)(2 * (n[0] * n[1] + n[0] * n[2] + n[1] * n[2])) * sizeof *face,
                            "the faces of a volume");
    for (int64_t i = 0; i < s->voxels; i++) {
        const int64_t x = i % n[2], y = i / n[2] % n[1], z = i / (n[1] * n[2]);
        const int faces =
            (x == 0) + (x + 1 == n[2]) + (y == 0) + (y + 1 == n[1]) + (z == 0) + (z + 1 == n[0]);
        for (int k = 0; k < faces && isfinite(s->v[i]); k++)
            face[count++] = s->v[i];
    }
    qsort(face, (size_t)count, sizeof *face, ascending);
    for (int64_t i = 0, start = 0; i < count; i++) {
        if (face[i] > face[start])
            start = i;
        if (i - start + 1 > most) {
            most = i - start + 1;
            *value = face[start];
        }
    }
    *any = count > 0;
    free(face);
    return MF_OK;
}

static int corners(const search *s)
{
    const int64_t *n = s->shape;
    int held = 0;
    for (int c = 0; c < 8; c++) {
        const int64_t z = c & 4 ? n[0] - 1 : 0, y = c & 2 ? n[1] - 1 : 0, x = c & 1 ? n[2] - 1 : 0;
        held += s->is[(z * n[1] + y) * n[2] + x] == SEEN;
    }
    return held;
}

/* Whether the found regions hold the four edges of the volume along some axis: they surround what
 * is between. */
static bool surrounds(const search *s)
{
    const int64_t step[3] = {s->shape[1] * s->shape[2], s->shape[2], 1};
    for (int a = 0; a < 3; a++) {
        const int b = (a + 1) % 3, c = (a + 2) % 3;
        bool all = true;
        for (int edge = 0; edge < 4 && all; edge++) {
            const int64_t from = (edge & 1 ? (s->shape[b] - 1) * step[b] : 0) +
                                 (edge & 2 ? (s->shape[c] - 1) * step[c] : 0);
            for (int64_t k = 0; k < s->shape[a] && all; k++)
                all = s->is[from + k * step[a]] != TISSUE;
        }
        if (all)
            return true;
    }
    return false;
}

/* Whether the lowest value, of which `size` voxels lie at the border, may be tissue that was
 * clipped. A window for CT makes one value of air, lungs and fat. Percentiles leave about as many
 * voxels at the highest value. */
static bool is_clipped(const search *s, mf_modality modality, float lowest, float highest,
                       int64_t size)
{
    int64_t high = 0;
    for (int64_t i = 0; i < s->voxels; i++)
        high += s->v[i] == highest;
    return ((double)size <= MOST_CLIPPED * (double)s->voxels && 2 * high >= size) ||
           (modality == MF_MODALITY_CT && (double)lowest > LUNG_HU && !surrounds(s));
}

static mf_status find_padding(search *s, mf_background *found)
{
    float value = 0, lowest = INFINITY, highest = -INFINITY;
    bool any = false;
    MF_TRY(commonest(s, &value, &any));
    for (int64_t i = 0; i < s->voxels; i++) {
        const bool finite = isfinite(s->v[i]);
        lowest = finite && s->v[i] < lowest ? s->v[i] : lowest;
        highest = finite && s->v[i] > highest ? s->v[i] : highest;
        s->is[i] = !finite ? PADDING : any && s->v[i] == value ? DARK : TISSUE;
        s->padded += !finite;
    }
    int64_t size, none;
    MF_TRY(keep_pockets(s, false, SEEN, &size, &none));
    found->constant = size >= 8 && (double)size >= LEAST_PADDING * (double)s->voxels &&
                      (value == lowest || corners(s) >= 4);
    found->value = (double)value;
    if (found->constant && value == lowest && lowest < highest &&
        is_clipped(s, found->modality, lowest, highest, size)) {
        found->constant = false;
        found->clipped = (double)size / (double)s->voxels;
    }
    s->padded += found->constant ? size : 0;
    for (int64_t i = 0; i < s->voxels; i++)
        if (s->is[i] == SEEN)
            s->is[i] = found->constant ? PADDING : TISSUE;
    return MF_OK;
}

/* ---- air ------------------------------------------------------------------------------------- */

/* Voxels at most `threshold` are dark, others tissue. */
static void mark_dark(search *s, double threshold)
{
    for (int64_t i = 0; i < s->voxels; i++)
        if (s->is[i] != PADDING)
            s->is[i] = (double)s->v[i] <= threshold ? DARK : TISSUE;
}

/* number[i] becomes the sum over the box within reach of voxel i. line: [longest + 1] */
static void sum_boxes(search *s, int32_t *line)
{
    const int64_t step[3] = {s->shape[1] * s->shape[2], s->shape[2], 1};
    for (int a = 0; a < 3; a++) {
        const int64_t n = s->shape[a], r = s->reach[a], b = a == 0 ? 1 : 0, c = a == 2 ? 1 : 2;
        for (int64_t i = 0; i < s->shape[b]; i++)
            for (int64_t j = 0; j < s->shape[c]; j++) {
                int32_t *at = s->number + i * step[b] + j * step[c];
                line[0] = 0;
                for (int64_t k = 0; k < n; k++)
                    line[k + 1] = line[k] + at[k * step[a]];
                for (int64_t k = 0; k < n; k++)
                    at[k * step[a]] = line[k + r + 1 < n ? k + r + 1 : n] - line[k > r ? k - r : 0];
            }
    }
}

/* Leaves as dark what is within reach of a voxel that is surely air. Of those `some` holds the
 * values, and NaN elsewhere; how many. */
static int64_t open_dark(search *s, int32_t *line)
{
    int64_t sure = 0;
    for (int64_t i = 0; i < s->voxels; i++)
        s->number[i] = s->is[i] == PADDING ? 0 : s->is[i] == DARK ? DARK_WEIGHT : BRIGHT_WEIGHT;
    sum_boxes(s, line);
    for (int64_t i = 0; i < s->voxels; i++) {
        s->number[i] = s->is[i] != PADDING && s->number[i] >= 0;
        s->some[i] = s->number[i] ? s->v[i] : NAN;
        sure += s->number[i];
    }
    sum_boxes(s, line);
    for (int64_t i = 0; i < s->voxels; i++)
        if (s->is[i] == DARK && !s->number[i])
            s->is[i] = TISSUE;
    return sure;
}

/* How wide the bins of a histogram from `from` to `to` must be: the step between whole numbers, or
 * several of the steps between the values that a sample shows, if these are few. Overwrites `some`.
 */
static double bin_width(search *s, double from, double to)
{
    const int64_t stride = s->voxels / SAMPLE + 1;
    int64_t count = 0, steps = 0;
    double least = to - from, all = 0;
    for (int64_t i = 0; i < s->voxels; i += stride)
        if (s->is[i] != PADDING && (double)s->v[i] >= from && (double)s->v[i] <= to)
            s->some[count++] = s->v[i];
    qsort(s->some, (size_t)count, sizeof *s->some, ascending);
    for (int64_t i = 1; i < count; i++) {
        const double step = (double)s->some[i] - (double)s->some[i - 1];
        if (step <= SAME * (to - from))
            continue;
        least = step < least ? step : least;
        all += step;
        steps++;
    }
    const bool whole = 2 * least * (double)steps > all;
    return fmax((to - from) / LEVELS, steps == 0 ? to - from
                                      : whole    ? least
                                                 : 8 * all / (double)steps);
}

/* Lowers *threshold to where fewer voxels lie than below and above it, if there is such a level:
 * what is above is dark tissue beside darker air. At least `least` of what is no padding stays
 * below. from: what is lower does not count. Whether there is. */
static bool find_valley(search *s, double from, double least, double *threshold)
{
    int64_t bins[LEVELS] = {0}, near[LEVELS] = {0}, right[LEVELS + 1] = {0}, below = 0, left = 0;
    const double to = *threshold, width = bin_width(s, from, to);
    const int levels = (int)((to - from) / width + 0.5);
    if (levels < LEAST_LEVELS)
        return false;
    for (int64_t i = 0; i < s->voxels; i++) {
        const double v = (double)s->v[i];
        if (s->is[i] == PADDING || !(v <= to))
            continue;
        const int bin = (int)((v - from) / width);
        if (v < from)
            below++;
        else
            bins[bin < levels ? bin : levels - 1]++;
    }
    for (int i = ABOUT; i + ABOUT < levels; i++)
        for (int k = i - ABOUT; k <= i + ABOUT; k++)
            near[i] += bins[k];
    for (int i = levels - 1; i >= 0; i--)
        right[i] = near[i] > right[i + 1] ? near[i] : right[i + 1];
    double deepest = VALLEY_DEPTH;
    for (int i = ABOUT; i + ABOUT < levels; i++) {
        left = near[i] > left ? near[i] : left;
        const int64_t most = left < right[i] ? left : right[i];
        const double depth = (double)most / (double)(near[i] > 0 ? near[i] : 1);
        int64_t held = below;
        for (int k = 0; k <= i; k++)
            held += bins[k];
        if (depth > deepest && (double)(most - near[i]) > 5 * sqrt((double)most) &&
            (double)held >= least * (double)(s->voxels - s->padded)) {
            deepest = depth;
            *threshold = from + width * (i + 0.5);
        }
    }
    return *threshold < to;
}

/* Whether the voxels of the scan that are surely air look like it: noise about no signal, which is
 * 0, or the lowest value where more than a few voxels are negative. Either
 * - the level is of the size of the spread, as noise of a magnitude image is, and the values are
 *   skewed as such noise is, or end there of themselves. Tissue that was clipped to percentiles has
 *   such a level too, but no skew, and about as many voxels at the highest value as at the lowest;
 * - or a sum over coils has raised the level: it is far below the tissue's, and skewed;
 * - or many voxels hold exactly 0, more than a normal distribution that is clipped at 0 would have;
 * - or the noise is signed, and lies about 0. */
static mf_status is_noise(search *s, mf_background *found, bool *noise)
{
    double q[3], high, lowest = INFINITY, highest = -INFINITY, mean = 0, square = 0, cube = 0;
    int64_t negative = 0, count = 0, floor = 0, at_lowest = 0, at_highest = 0;
    for (int64_t i = 0; i < s->voxels; i++) {
        const double v = (double)s->scan[i];
        const bool sure = s->is[i] == AIR && !isnan(s->some[i]);
        negative += s->is[i] != PADDING && v < 0;
        lowest = s->is[i] != PADDING && v < lowest ? v : lowest;
        highest = s->is[i] != PADDING && v > highest ? v : highest;
        mean += sure ? v : 0;
        count += sure;
        s->some[i] = s->is[i] == PADDING ? NAN : s->scan[i];
        s->number[i] = sure;
    }
    MF_TRY(mf_percentiles(s->some, s->voxels, (const double[]){98}, 1, &high));
    const bool shifted = (double)negative > MOST_NEGATIVE * (double)(s->voxels - s->padded);
    const double zero = shifted ? lowest : 0;
    mean /= (double)count;
    for (int64_t i = 0; i < s->voxels; i++) {
        const double v = (double)s->scan[i];
        at_lowest += s->is[i] != PADDING && v == lowest;
        at_highest += s->is[i] != PADDING && v == highest;
        s->some[i] = s->number[i] ? s->scan[i] : NAN;
        if (!s->number[i])
            continue;
        square += (v - mean) * (v - mean);
        cube += (v - mean) * (v - mean) * (v - mean);
        floor += v == lowest;
    }
    MF_TRY(mf_percentiles(s->some, s->voxels, (const double[]){16, 50, 84}, 3, q));
    const double level = q[1] - zero, spread = (q[2] - q[0]) / 2, n = (double)count;
    const double deviation = sqrt(square / n), skew = cube / n / pow(deviation, 3);
    const double clipped = 0.5 * erfc(level / spread / sqrt(2)); /* if normally distributed */
    const bool ends = level <= END_LEVEL * spread &&
                      ((double)floor < 0.5 * clipped * n || 2 * at_highest < at_lowest);
    const bool skewed = !(deviation > 0) || skew >= NOISE_SKEW || ends;
    const bool coils =
        found->modality == MF_MODALITY_MR && !shifted && level <= COILS_SHARE * (high - zero);
    const bool about_zero = shifted && fabs(q[1]) <= ZERO_LEVEL * spread;
    const bool at_floor = !shifted && !(lowest > 0) && (double)floor >= FLOOR_SHARE * n &&
                          (double)floor >= 4 * clipped * n;
    *noise = (skewed && level <= (coils ? COILS_LEVEL : NOISE_LEVEL) * spread) ||
             (at_floor && level <= FLOOR_LEVEL * spread) || about_zero;
    found->level = q[1];
    found->spread = spread;
    return MF_OK;
}

/* Marks the air of an MR or PET, if at least `least` of what is no padding surely is. */
static mf_status find_dark_air(search *s, double least, int32_t *line, mf_background *found)
{
    double range[2], sure[3], zero = 0;
    for (int64_t i = 0; i < s->voxels; i++) {
        s->some[i] = s->is[i] == PADDING ? NAN : s->v[i];
        zero = (double)s->some[i] < zero ? (double)s->some[i] : zero;
    }
    MF_TRY(mf_percentiles(s->some, s->voxels, (const double[]){2, 98}, 2, range));
    found->threshold = range[0] + 0.1 * (range[1] - range[0]);
    found->sure = found->air = found->doubtful = 0;
    found->bright = found->threshold - zero > MOST_AIR * (range[1] - zero);
    if (!(range[1] > range[0]) || found->bright)
        return MF_OK;
    while (find_valley(s, range[0], least, &found->threshold))
        ; /* the lowest one: several tissues may be darker than a tenth of the range */
    mark_dark(s, found->threshold);
    const int64_t first = open_dark(s, line);
    if (first > 0) {
        MF_TRY(mf_percentiles(s->some, s->voxels, (const double[]){16, 50, 84}, 3, sure));
        const double above = sure[1] + 5 * fmax(sure[1] - sure[0], sure[2] - sure[1]);
        if (above < found->threshold) {
            mark_dark(s, above);
            const bool enough = 2 * open_dark(s, line) >= first;
            if (!enough) { /* what was dark is not noise about one level */
                mark_dark(s, found->threshold);
                open_dark(s, line);
            }
            found->threshold = enough ? above : found->threshold;
        }
    }
    int64_t air, none, surely = 0;
    MF_TRY(keep_pockets(s, false, AIR, &air, &none));
    for (int64_t i = 0; i < s->voxels; i++)
        surely += s->is[i] == AIR && !isnan(s->some[i]);
    found->sure = (double)surely / (double)(s->voxels - s->padded);
    bool noise = false;
    if (found->sure >= least)
        MF_TRY(is_noise(s, found, &noise));
    found->doubtful = found->sure >= least && !noise ? (double)air / (double)s->voxels : 0;
    found->air = noise ? (double)air / (double)s->voxels : 0;
    for (int64_t i = 0; i < s->voxels && !noise; i++)
        s->is[i] = s->is[i] == AIR ? TISSUE : s->is[i];
    return MF_OK;
}

/* Means over 3 x 3 x 3 voxels without padding: f32 [voxels] for free(). */
static mf_status smooth(const search *s, float **means)
{
    *means = malloc((size_t)s->voxels * sizeof **means);
    if (!*means)
        return mf_no_memory(0, "a smoothed volume");
    for (int64_t i = 0; i < s->voxels; i++)
        (*means)[i] = mean_about(s, i);
    return MF_OK;
}

static mf_status find_mr_air(search *s, int32_t *line, mf_background *found)
{
    float *means = NULL;
    mf_background again = *found;
    mf_status status = find_dark_air(s, LEAST_AIR, line, found);
    if (!status && !(found->air > 0)) {
        const float *scan = s->v;
        status = smooth(s, &means);
        s->v = means;
        if (!status)
            status = find_dark_air(s, LEAST_SMOOTHED, line, &again);
        s->v = scan;
        if (!status && (again.air > 0 || (again.doubtful > 0 && !(found->doubtful > 0)))) {
            *found = again;
            found->smoothed = true;
        }
    }
    free(means);
    return status;
}

/* Air of a CT. `some` holds the voxels around which all is dark within reach. */
static mf_status find_ct_air(search *s, double threshold, int32_t *line, mf_background *found)
{
    int64_t air, doubtful;
    found->threshold = threshold;
    mark_dark(s, threshold);
    for (int64_t i = 0; i < s->voxels; i++)
        s->number[i] = s->is[i] == TISSUE;
    sum_boxes(s, line);
    for (int64_t i = 0; i < s->voxels; i++)
        s->some[i] = s->is[i] == DARK && !s->number[i] ? s->v[i] : NAN;
    MF_TRY(keep_pockets(s, true, AIR, &air, &doubtful));
    found->air = (double)air / (double)s->voxels;
    found->doubtful = (double)doubtful / (double)s->voxels;
    return MF_OK;
}

/* ---- the body -------------------------------------------------------------------------------- */

static mf_status find_air(search *s, double threshold, mf_background *found)
{
    const int64_t *n = s->shape;
    int64_t longest = n[0] > n[1] ? n[0] : n[1];
    longest = longest > n[2] ? longest : n[2];
    int32_t *line = malloc((size_t)(longest + 1) * sizeof *line);
    s->some = malloc((size_t)s->voxels * sizeof *s->some);
    mf_status status = line && s->some ? MF_OK : mf_no_memory(0, "the search for air");
    if (!status)
        status = found->modality == MF_MODALITY_CT ? find_ct_air(s, threshold, line, found)
                                                   : find_mr_air(s, line, found);
    free(line);
    free(s->some);
    return status;
}

static int64_t count_inside(uint8_t *body, int64_t voxels)
{
    int64_t inside = 0;
    for (int64_t i = 0; i < voxels; i++)
        inside += body[i] = body[i] != 0;
    return inside;
}

static mf_status find(search *s, double threshold, uint8_t *body, mf_background *found)
{
    MF_TRY(find_padding(s, found));
    found->padding = (double)s->padded / (double)s->voxels;
    if (s->padded < s->voxels)
        MF_TRY(find_air(s, threshold, found));
    for (int64_t i = 0; i < s->voxels; i++)
        body[i] = s->is[i] != AIR && s->is[i] != PADDING;
    found->inside = count_inside(body, s->voxels);
    found->kind = s->padded == s->voxels       ? MF_BACKGROUND_CONSTANT
                  : found->inside == 0         ? MF_BACKGROUND_ALL
                  : found->inside == s->voxels ? MF_BACKGROUND_NONE
                                               : MF_BACKGROUND_SOME;
    if (found->kind == MF_BACKGROUND_SOME)
        MF_TRY(mf_body_clean(body, s->shape, found->air > 0 ? LEAST_PART : 0));
    for (int64_t i = 0; i < s->voxels && found->kind != MF_BACKGROUND_SOME; i++)
        body[i] = 1;
    found->inside = count_inside(body, s->voxels);
    found->body = (double)found->inside / (double)s->voxels;
    return MF_OK;
}

mf_status mf_background_find(const float *voxels, const int64_t shape[3], const double spacing[3],
                             mf_modality modality, double threshold, uint8_t *body,
                             mf_background *found)
{
    search s = {.v = voxels, .scan = voxels, .voxels = shape[0] * shape[1] * shape[2]};
    *found = (mf_background){.modality = modality};
    if (s.voxels > INT32_MAX)
        return mf_fail(MF_UNSUPPORTED, "a body mask of over 2^31 voxels");
    if (s.voxels == 0)
        return MF_OK;
    for (int a = 0; a < 3; a++) {
        const int64_t most = shape[a] / 10,
                      reach = (int64_t)fmin(floor(REACH_MM / spacing[a] + 0.5), 1e6);
        s.shape[a] = shape[a];
        s.area[a] = spacing[(a + 1) % 3] * spacing[(a + 2) % 3];
        s.reach[a] = reach > most ? most : reach;
        s.reach[a] = s.reach[a] < 1 ? 1 : s.reach[a];
    }
    s.is = malloc((size_t)s.voxels);
    s.number = malloc((size_t)s.voxels * sizeof *s.number);
    mf_status status =
        s.is && s.number ? find(&s, threshold, body, found) : mf_no_memory(0, "a body mask");
    free(s.is);
    free(s.number);
    return status;
}

static void words_of_some(const mf_background *f, const char *unit, char *words, size_t size)
{
    char padding[96] = "", air[160] = "", value[32] = "not finite";
    if (f->constant)
        snprintf(value, sizeof value, "%.6g", f->value);
    if (f->padding > 0)
        snprintf(padding, sizeof padding, "padding (%s) %.1f%%%s", value, 100 * f->padding,
                 f->air > 0 ? " and " : "");
    if (f->air > 0)
        snprintf(air, sizeof air, "air at the border (at most %.6g%s%s) %.1f%%", f->threshold, unit,
                 f->smoothed ? " in means of 3 x 3 x 3 voxels" : "", 100 * f->air);
    snprintf(words, size, "background: %s%s of the volume; the body is the rest, %.1f%%%s", padding,
             air, 100 * f->body, f->body < 0.1 ? ", little for a body: look at it" : "");
}

/* What was kept though it may be background; "" where there is none. */
static void words_of_doubt(const mf_background *f, char *words, size_t size)
{
    const char *remedy = "it counts as body; if it is background, set a threshold";
    words[0] = 0;
    if (f->doubtful >= LEAST_TOLD && f->modality == MF_MODALITY_CT)
        snprintf(words, size,
                 "in doubt: %.1f%% of the volume, dark and at the border, varies more than air, as "
                 "lung does: %s",
                 100 * f->doubtful, remedy);
    else if (f->doubtful >= LEAST_TOLD)
        snprintf(words, size,
                 "in doubt: %.1f%% of the volume, dark and at the border (median %.6g, spread "
                 "%.6g), is not like noise about no signal: %s",
                 100 * f->doubtful, f->level, f->spread, remedy);
    else if (f->clipped > 0)
        snprintf(words, size,
                 "in doubt: %.1f%% of the volume, at the border, holds the lowest value (%.6g), "
                 "which may be clipped tissue: %s",
                 100 * f->clipped, f->value, remedy);
}

static void words_of_none(const mf_background *f, char *words, size_t size)
{
    if (f->doubtful >= LEAST_TOLD)
        snprintf(words, size, "no background: the body is the whole volume");
    else if (f->modality == MF_MODALITY_CT)
        snprintf(words, size,
                 "no background: no padding and no air (at most %.6g HU) at the border; the body "
                 "is the whole volume",
                 f->threshold);
    else if (f->bright)
        snprintf(words, size,
                 "no background: no padding and nothing as dark as air (a tenth of the way from "
                 "percentile 2 to 98 is %.6g, above a quarter of percentile 98); the body is the "
                 "whole volume",
                 f->threshold);
    else
        snprintf(words, size,
                 "no background: no padding, and dark regions at the border (at most %.6g) hold "
                 "%.1f%% of the volume (%.0f%% would be air); the body is the whole volume",
                 f->threshold, 100 * f->sure, 100 * LEAST_AIR);
}

void mf_background_words(const mf_background *f, char *words, size_t size)
{
    char doubt[256];
    switch (f->kind) {
    case MF_BACKGROUND_SOME:
        words_of_some(f, f->modality == MF_MODALITY_CT ? " HU" : "", words, size);
        break;
    case MF_BACKGROUND_NONE:
        words_of_none(f, words, size);
        break;
    case MF_BACKGROUND_CONSTANT:
        snprintf(words, size,
                 "no background: the volume is constant; the body is the whole volume");
        return;
    case MF_BACKGROUND_ALL:
        snprintf(words, size,
                 "the volume holds nothing but air (at most %.6g%s); the body is the whole volume",
                 f->threshold, f->modality == MF_MODALITY_CT ? " HU" : "");
        return;
    }
    words_of_doubt(f, doubt, sizeof doubt);
    const size_t said = strlen(words);
    if (doubt[0] && said < size)
        snprintf(words + said, size - said, "; %s", doubt);
}
