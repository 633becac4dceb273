/* picture.c - see picture.h. Weights of a resize are those of Pillow's src/libImaging/Resample.c,
 * which PyTorch's antialiased interpolation took over: a filter as wide as the ratio when a picture
 * shrinks, cut at its edges and normalized. */
#include "picture.h"
#include <math.h>
#include <stdlib.h>

static const float mean[3] = {0.485f, 0.456f, 0.406f}, deviation[3] = {0.229f, 0.224f, 0.225f};

static mf_status no_memory(void)
{
    return mf_no_memory(0, "a picture");
}

/* ---- resizing -------------------------------------------------------------------------------- */

static double triangle(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static double cubic(double x) /* Keys 1981 with a = -0.5 */
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/* What each of `out` pixels is made of along one axis. */
typedef struct taps {
    int64_t out, most; /* most: room for weights of a pixel */
    int64_t *from;     /* [out] first pixel */
    int64_t *count;    /* [out] */
    double *weight;    /* [out, most] */
    int32_t *fixed;    /* [out, most] the same as Pillow has them, where bytes are mixed */
} taps;

static void taps_clear(taps *t)
{
    free(t->from);
    free(t->count);
    free(t->weight);
    free(t->fixed);
}

static mf_status taps_make(int64_t in, int64_t out, double (*filter)(double), double reach, taps *t)
{
    const double ratio = (double)in / (double)out, stretch = ratio > 1 ? ratio : 1;
    const double support = reach * stretch;
    *t = (taps){.out = out, .most = (int64_t)ceil(support) * 2 + 1};
    t->from = malloc((size_t)out * sizeof *t->from);
    t->count = malloc((size_t)out * sizeof *t->count);
    t->weight = calloc((size_t)(out * t->most), sizeof *t->weight);
    if (!t->from || !t->count || !t->weight) {
        taps_clear(t);
        return no_memory();
    }
    for (int64_t i = 0; i < out; i++) {
        const double center = ((double)i + 0.5) * ratio;
        int64_t first = (int64_t)(center - support + 0.5), end = (int64_t)(center + support + 0.5);
        first = first < 0 ? 0 : first;
        end = end > in ? in : end;
        double *w = t->weight + i * t->most, sum = 0;
        for (int64_t k = 0; k < end - first; k++)
            sum += w[k] = filter(((double)(k + first) - center + 0.5) / stretch);
        for (int64_t k = 0; k < end - first && sum != 0; k++)
            w[k] /= sum;
        t->from[i] = first;
        t->count[i] = end - first;
    }
    return MF_OK;
}

/* One weighted sum over values `step` apart. */
static double mix(const float *values, int64_t step, const double *weight, int64_t count)
{
    double sum = 0;
    for (int64_t k = 0; k < count; k++)
        sum += weight[k] * (double)values[k * step];
    return sum;
}

/* rows f32 [h, width] -> out f32 [out, width], along the columns. */
static void resize_columns(const taps *t, const float *rows, int64_t width, float *out)
{
    for (int64_t y = 0; y < t->out; y++)
        for (int64_t i = 0; i < width; i++)
            out[y * width + i] = (float)mix(rows + t->from[y] * width + i, width,
                                            t->weight + y * t->most, t->count[y]);
}

mf_status sam2_picture_still(const sam2_picture *p, int64_t image, float *input)
{
    taps across, down;
    const int64_t width = 3 * image;
    float *rows = malloc((size_t)(p->h * width) * sizeof *rows);
    float *line = malloc((size_t)(3 * p->w) * sizeof *line);
    mf_status status = rows && line ? taps_make(p->w, image, triangle, 1, &across) : no_memory();
    if (status) {
        free(rows);
        free(line);
        return status;
    }
    for (int64_t y = 0; y < p->h; y++) {
        for (int64_t i = 0; i < 3 * p->w; i++)
            line[i] = p->rgb[3 * y * p->pitch + i];
        for (int64_t x = 0; x < image; x++)
            for (int c = 0; c < 3; c++)
                rows[y * width + 3 * x + c] =
                    (float)mix(line + 3 * across.from[x] + c, 3, across.weight + x * across.most,
                               across.count[x]);
    }
    free(line);
    taps_clear(&across);
    status = taps_make(p->h, image, triangle, 1, &down);
    if (!status) {
        resize_columns(&down, rows, width, input);
        taps_clear(&down);
        for (int64_t i = 0; i < image * width; i++)
            input[i] = (input[i] / 255 - mean[i % 3]) / deviation[i % 3];
    }
    free(rows);
    return status;
}

/* ---- frames: Pillow's arithmetic on bytes ---------------------------------------------------- */

enum { PRECISION = 32 - 8 - 2 }; /* bits of a weight behind the point */

static mf_status taps_make_fixed(int64_t in, int64_t out, taps *t)
{
    MF_TRY(taps_make(in, out, cubic, 2, t));
    t->fixed = malloc((size_t)(out * t->most) * sizeof *t->fixed);
    if (!t->fixed) {
        taps_clear(t);
        return no_memory();
    }
    for (int64_t i = 0; i < out * t->most; i++) {
        const double w = t->weight[i];
        t->fixed[i] = (int32_t)(w * (1 << PRECISION) + (w < 0 ? -0.5 : 0.5));
    }
    return MF_OK;
}

static uint8_t clip(int32_t sum)
{
    sum >>= PRECISION;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* The sum of bytes `step` apart, rounded. */
static uint8_t mix_bytes(const uint8_t *bytes, int64_t step, const int32_t *weight, int64_t count)
{
    int32_t sum = 1 << (PRECISION - 1);
    for (int64_t k = 0; k < count; k++)
        sum += bytes[k * step] * weight[k];
    return clip(sum);
}

mf_status sam2_picture_frame(const sam2_picture *p, int64_t image, float *input)
{
    taps across, down;
    const int64_t width = 3 * image;
    uint8_t *rows = malloc((size_t)(p->h * width));
    mf_status status = rows ? taps_make_fixed(p->w, image, &across) : no_memory();
    if (status) {
        free(rows);
        return status;
    }
    for (int64_t y = 0; y < p->h; y++)
        for (int64_t x = 0; x < image; x++)
            for (int c = 0; c < 3; c++)
                rows[y * width + 3 * x + c] =
                    mix_bytes(p->rgb + 3 * (y * p->pitch + across.from[x]) + c, 3,
                              across.fixed + x * across.most, across.count[x]);
    taps_clear(&across);
    status = taps_make_fixed(p->h, image, &down);
    if (!status) {
        for (int64_t i = 0; i < image * width; i++) {
            const int64_t y = i / width, x = i % width;
            const uint8_t v = mix_bytes(rows + down.from[y] * width + x, width,
                                        down.fixed + y * down.most, down.count[y]);
            input[i] = ((float)(v / 255.0) - mean[i % 3]) / deviation[i % 3];
        }
        taps_clear(&down);
    }
    free(rows);
    return status;
}

mf_status sam2_picture_share(const uint8_t *mask, int64_t h, int64_t w, int64_t edge, float *share)
{
    taps across, down;
    float *rows = malloc((size_t)(h * edge) * sizeof *rows);
    float *line = malloc((size_t)w * sizeof *line);
    mf_status status = rows && line ? taps_make(w, edge, triangle, 1, &across) : no_memory();
    if (status) {
        free(rows);
        free(line);
        return status;
    }
    for (int64_t y = 0; y < h; y++) {
        for (int64_t x = 0; x < w; x++)
            line[x] = mask[y * w + x] != 0;
        for (int64_t x = 0; x < edge; x++)
            rows[y * edge + x] = (float)mix(line + across.from[x], 1,
                                            across.weight + x * across.most, across.count[x]);
    }
    free(line);
    taps_clear(&across);
    status = taps_make(h, edge, triangle, 1, &down);
    if (!status) {
        resize_columns(&down, rows, edge, share);
        taps_clear(&down);
    }
    free(rows);
    return status;
}

mf_status sam2_picture_mask(const uint8_t *mask, int64_t h, int64_t w, int64_t image, uint8_t *out)
{
    float *share = malloc((size_t)(image * image) * sizeof *share);
    mf_status status = share ? sam2_picture_share(mask, h, w, image, share) : no_memory();
    for (int64_t i = 0; i < image * image && !status; i++)
        out[i] = share[i] >= 0.5f;
    free(share);
    return status;
}
