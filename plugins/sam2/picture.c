/* picture.c - see picture.h. Weights of a resize are those of Pillow's src/libImaging/Resample.c,
 * which PyTorch's antialiased interpolation took over: a filter as wide as the ratio when a picture
 * shrinks, cut at its edges and normalized. */
#include "picture.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const float mean[3] = {0.485f, 0.456f, 0.406f}, deviation[3] = {0.229f, 0.224f, 0.225f};

static mf_status no_memory(void)
{
    return mf_fail(MF_NO_MEMORY, "no memory for a picture");
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
} taps;

static void taps_clear(taps *t)
{
    free(t->from);
    free(t->count);
    free(t->weight);
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

/* rows f32 [h, out, channels] -> out f32 [out, out, channels], along the columns. */
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
    mf_status failed = rows && line ? taps_make(p->w, image, triangle, 1, &across) : no_memory();
    if (failed) {
        free(rows);
        free(line);
        return failed;
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
    failed = taps_make(p->h, image, triangle, 1, &down);
    if (!failed) {
        resize_columns(&down, rows, width, input);
        taps_clear(&down);
        for (int64_t i = 0; i < image * width; i++)
            input[i] = (input[i] / 255 - mean[i % 3]) / deviation[i % 3];
    }
    free(rows);
    return failed;
}

/* ---- frames: Pillow's arithmetic on bytes ---------------------------------------------------- */

enum { PRECISION = 32 - 8 - 2 }; /* bits of a weight behind the point */

static int32_t fixed(double weight)
{
    return (int32_t)(weight * (1 << PRECISION) + (weight < 0 ? -0.5 : 0.5));
}

static uint8_t clip(int32_t sum)
{
    sum >>= PRECISION;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* The sum of bytes `step` apart, rounded. */
static uint8_t mix_bytes(const uint8_t *bytes, int64_t step, const double *weight, int64_t count)
{
    int32_t sum = 1 << (PRECISION - 1);
    for (int64_t k = 0; k < count; k++)
        sum += bytes[k * step] * fixed(weight[k]);
    return clip(sum);
}

mf_status sam2_picture_frame(const sam2_picture *p, int64_t image, float *input)
{
    taps across, down;
    const int64_t width = 3 * image;
    uint8_t *rows = malloc((size_t)(p->h * width));
    mf_status failed = rows ? taps_make(p->w, image, cubic, 2, &across) : no_memory();
    if (failed) {
        free(rows);
        return failed;
    }
    for (int64_t y = 0; y < p->h; y++)
        for (int64_t x = 0; x < image; x++)
            for (int c = 0; c < 3; c++)
                rows[y * width + 3 * x + c] =
                    mix_bytes(p->rgb + 3 * (y * p->pitch + across.from[x]) + c, 3,
                              across.weight + x * across.most, across.count[x]);
    taps_clear(&across);
    failed = taps_make(p->h, image, cubic, 2, &down);
    if (!failed) {
        for (int64_t i = 0; i < image * width; i++) {
            const int64_t y = i / width, x = i % width;
            const uint8_t v = mix_bytes(rows + down.from[y] * width + x, width,
                                        down.weight + y * down.most, down.count[y]);
            input[i] = ((float)(v / 255.0) - mean[i % 3]) / deviation[i % 3];
        }
        taps_clear(&down);
    }
    free(rows);
    return failed;
}

mf_status sam2_picture_mask(const uint8_t *mask, int64_t h, int64_t w, int64_t image, uint8_t *out)
{
    taps across, down;
    float *rows = malloc((size_t)(h * image) * sizeof *rows);
    float *line = malloc((size_t)w * sizeof *line);
    mf_status failed = rows && line ? taps_make(w, image, triangle, 1, &across) : no_memory();
    if (failed) {
        free(rows);
        free(line);
        return failed;
    }
    for (int64_t y = 0; y < h; y++) {
        for (int64_t x = 0; x < w; x++)
            line[x] = mask[y * w + x] != 0;
        for (int64_t x = 0; x < image; x++)
            rows[y * image + x] = (float)mix(line + across.from[x], 1,
                                             across.weight + x * across.most, across.count[x]);
    }
    free(line);
    taps_clear(&across);
    failed = taps_make(h, image, triangle, 1, &down);
    if (!failed) {
        for (int64_t y = 0; y < image; y++)
            for (int64_t x = 0; x < image; x++)
                out[y * image + x] = (float)mix(rows + down.from[y] * image + x, image,
                                                down.weight + y * down.most, down.count[y]) >= 0.5f;
        taps_clear(&down);
    }
    free(rows);
    return failed;
}

/* ---- patches --------------------------------------------------------------------------------- */

void sam2_patch_clear(sam2_patch *p)
{
    free(p->bits);
    *p = (sam2_patch){0};
}

/* Shrinks lo..hi to what is inside dense u8 [hi - lo]; false where nothing is. */
static bool shrink(int64_t lo[2], int64_t hi[2], const uint8_t *dense)
{
    const int64_t w = hi[1] - lo[1], x0 = lo[1];
    int64_t top = -1, bottom = 0, left = w, right = 0;
    for (int64_t y = lo[0]; y < hi[0]; y++, dense += w) {
        int64_t first = 0, last = w;
        while (first < w && !dense[first])
            first++;
        if (first == w)
            continue;
        while (!dense[last - 1])
            last--;
        top = top < 0 ? y : top;
        bottom = y + 1;
        left = first < left ? first : left;
        right = last > right ? last : right;
    }
    lo[0] = top;
    hi[0] = bottom;
    lo[1] = x0 + left;
    hi[1] = x0 + right;
    return top >= 0;
}

mf_status sam2_patch_pack(const int64_t lo[2], const int64_t hi[2], const uint8_t *dense,
                          sam2_patch *p)
{
    int64_t low[2] = {lo[0], lo[1]}, high[2] = {hi[0], hi[1]}, bit = 0;
    *p = (sam2_patch){0};
    if (!shrink(low, high, dense))
        return MF_OK;
    p->bits = calloc((size_t)((high[0] - low[0]) * (high[1] - low[1]) + 7) / 8, 1);
    if (!p->bits)
        return mf_fail(MF_NO_MEMORY, "no memory for a mask");
    for (int k = 0; k < 2; k++) {
        p->lo[k] = (int32_t)low[k];
        p->hi[k] = (int32_t)high[k];
    }
    for (int64_t y = low[0]; y < high[0]; y++) {
        const uint8_t *row = dense + (y - lo[0]) * (hi[1] - lo[1]) - lo[1];
        for (int64_t x = low[1]; x < high[1]; x++, bit++)
            if (row[x])
                p->bits[bit >> 3] |= (uint8_t)(1u << (bit & 7));
    }
    return MF_OK;
}

void sam2_patch_crop(const sam2_patch *p, const int64_t lo[2], const int64_t hi[2], int64_t pitch,
                     uint8_t *dense)
{
    const int64_t width = p->hi[1] - p->lo[1];
    for (int64_t y = lo[0]; y < hi[0]; y++) {
        uint8_t *row = dense + (y - lo[0]) * pitch;
        memset(row, 0, (size_t)(hi[1] - lo[1]));
        if (y < p->lo[0] || y >= p->hi[0])
            continue;
        const int64_t first = lo[1] > p->lo[1] ? lo[1] : p->lo[1];
        const int64_t end = hi[1] < p->hi[1] ? hi[1] : p->hi[1];
        int64_t bit = (y - p->lo[0]) * width + first - p->lo[1];
        for (int64_t x = first; x < end; x++, bit++)
            row[x - lo[1]] = p->bits[bit >> 3] >> (bit & 7) & 1;
    }
}

int64_t sam2_patch_area(const sam2_patch *p)
{
    const int64_t bytes = ((int64_t)(p->hi[0] - p->lo[0]) * (p->hi[1] - p->lo[1]) + 7) / 8;
    int64_t area = 0;
    for (int64_t i = 0; i < bytes; i++)
        area += __builtin_popcount(p->bits[i]);
    return area;
}

/* ---- zoom ------------------------------------------------------------------------------------ */

struct sam2_zoom {
    int64_t in, out[2]; /* out: h w */
    int32_t *low[2];    /* [h], [w]: the logit before; the one behind is the next, or the last */
    float *part[2];     /* [h], [w]: share of the one behind */
    float *row[2];      /* [w]: two rows of logits, stretched along x */
    int64_t held[2];    /* which; -1: none */
    uint8_t *hit;       /* [w] columns with pixels above the threshold */
    uint8_t *hot;       /* [in] rows with logits above it */
    uint8_t *line;      /* [h * w] pixels of a patch */
};

void sam2_zoom_free(sam2_zoom *z)
{
    if (!z)
        return;
    for (int k = 0; k < 2; k++) {
        free(z->low[k]);
        free(z->part[k]);
        free(z->row[k]);
    }
    free(z->hit);
    free(z->hot);
    free(z->line);
    free(z);
}

/* PyTorch's places of a linear resize, in its own precision. */
static void places(int64_t in, int64_t out, int32_t *low, float *part)
{
    const float ratio = (float)in / (float)out;
    for (int64_t i = 0; i < out; i++) {
        float at = ratio * ((float)i + 0.5f) - 0.5f;
        at = at < 0 ? 0 : at;
        low[i] = (int32_t)at < in ? (int32_t)at : (int32_t)in - 1;
        part[i] = at - (float)low[i];
    }
}

mf_status sam2_zoom_new(int64_t in, int64_t h, int64_t w, sam2_zoom **zoom)
{
    sam2_zoom *z = calloc(1, sizeof *z);
    size_t pixels;
    if (!z)
        return no_memory();
    z->in = in;
    z->out[0] = h;
    z->out[1] = w;
    bool good = true;
    for (int k = 0; k < 2; k++) {
        z->low[k] = malloc((size_t)z->out[k] * sizeof *z->low[k]);
        z->part[k] = malloc((size_t)z->out[k] * sizeof *z->part[k]);
        z->row[k] = malloc((size_t)w * sizeof *z->row[k]);
        good = good && z->low[k] && z->part[k] && z->row[k];
        if (good)
            places(in, z->out[k], z->low[k], z->part[k]);
    }
    z->hit = malloc((size_t)w);
    z->hot = malloc((size_t)in);
    z->line = mf_size_mul((size_t)h, (size_t)w, &pixels) ? malloc(pixels) : NULL;
    if (!good || !z->hit || !z->hot || !z->line) {
        sam2_zoom_free(z);
        return no_memory();
    }
    *zoom = z;
    return MF_OK;
}

/* Rows (into z->hot) and columns [*first, *end) of logits above a threshold; false: none is. */
static bool warm(sam2_zoom *z, const float *logits, float threshold, int64_t *first, int64_t *end)
{
    *first = z->in;
    *end = 0;
    for (int64_t y = 0; y < z->in; y++) {
        const float *row = logits + y * z->in;
        int64_t a = 0, b = z->in;
        int32_t any = 0;
        for (int64_t x = 0; x < z->in; x++)
            any |= row[x] > threshold;
        z->hot[y] = any != 0;
        if (!any)
            continue;
        while (!(row[a] > threshold))
            a++;
        while (!(row[b - 1] > threshold))
            b--;
        *first = a < *first ? a : *first;
        *end = b > *end ? b : *end;
    }
    return *end > 0;
}

/* Pixels of columns [x0, x1) that logits of columns [first, end) reach. */
static void reach(const sam2_zoom *z, int64_t first, int64_t end, int64_t *x0, int64_t *x1)
{
    const int32_t *low = z->low[1];
    *x0 = 0;
    *x1 = z->out[1];
    while (*x0 < *x1 && low[*x0] + 1 < first)
        (*x0)++;
    while (*x1 > *x0 && low[*x1 - 1] >= end)
        (*x1)--;
}

/* Row r of the logits, stretched along x over columns [x0, x1). */
static const float *stretched(sam2_zoom *z, const float *logits, int64_t r, int64_t x0, int64_t x1)
{
    float *row = z->row[r & 1];
    if (z->held[r & 1] == r)
        return row;
    const float *from = logits + r * z->in, *part = z->part[1];
    const int32_t *low = z->low[1];
    for (int64_t x = x0; x < x1; x++) {
        const int32_t next = low[x] + 1 < z->in ? low[x] + 1 : low[x];
        row[x] = (1 - part[x]) * from[low[x]] + part[x] * from[next];
    }
    z->held[r & 1] = r;
    return row;
}

/* The two rows that pixel row y lies between; false where both are cold. */
static bool between(sam2_zoom *z, const float *logits, int64_t y, int64_t x0, int64_t x1,
                    const float **above, const float **below)
{
    const int64_t a = z->low[0][y], b = a + 1 < z->in ? a + 1 : a;
    if (!z->hot[a] && !z->hot[b])
        return false;
    *above = stretched(z, logits, a, x0, x1);
    *below = stretched(z, logits, b, x0, x1);
    return true;
}

/* A function of its own so that the compiler sees what does not alias. */
static void count_row(const float *restrict above, const float *restrict below, float part,
                      int64_t n, const float t[3], int32_t sum[3], uint8_t *restrict hit)
{
    const float t0 = t[0], t1 = t[1], t2 = t[2], rest = 1 - part;
    int32_t a = 0, b = 0, c = 0;
    for (int64_t x = 0; x < n; x++) {
        const float v = rest * above[x] + part * below[x];
        a += v > t0;
        b += v > t1;
        c += v > t2;
    }
    for (int64_t x = 0; x < n && b; x++)
        hit[x] |= rest * above[x] + part * below[x] > t1;
    sum[0] = a;
    sum[1] = b;
    sum[2] = c;
}

void sam2_zoom_measure(sam2_zoom *z, const float *logits, const float thresholds[3],
                       sam2_extent *extent)
{
    float lowest = thresholds[0];
    int64_t first, end, x0, x1;
    for (int k = 1; k < 3; k++)
        lowest = thresholds[k] < lowest ? thresholds[k] : lowest;
    *extent = (sam2_extent){0};
    if (!warm(z, logits, lowest, &first, &end))
        return;
    reach(z, first, end, &x0, &x1);
    memset(z->hit, 0, (size_t)z->out[1]);
    z->held[0] = z->held[1] = -1;
    for (int64_t y = 0; y < z->out[0]; y++) {
        const float *above, *below;
        int32_t sum[3];
        if (!between(z, logits, y, x0, x1, &above, &below))
            continue;
        count_row(above + x0, below + x0, z->part[0][y], x1 - x0, thresholds, sum, z->hit + x0);
        if (sum[1]) {
            extent->lo[0] = extent->above[1] ? extent->lo[0] : y;
            extent->hi[0] = y + 1;
        }
        for (int k = 0; k < 3; k++)
            extent->above[k] += sum[k];
    }
    if (!extent->above[1])
        return;
    while (!z->hit[x0])
        x0++;
    while (!z->hit[x1 - 1])
        x1--;
    extent->lo[1] = x0;
    extent->hi[1] = x1;
}

static void paint_row(const float *restrict above, const float *restrict below, float part,
                      int64_t n, float threshold, uint8_t *restrict out)
{
    for (int64_t x = 0; x < n; x++)
        out[x] = (1 - part) * above[x] + part * below[x] > threshold;
}

mf_status sam2_zoom_patch(sam2_zoom *z, const float *logits, float threshold, sam2_patch *p)
{
    int64_t first, end, x0, x1, y0 = 0, y1 = z->out[0];
    *p = (sam2_patch){0};
    if (!warm(z, logits, threshold, &first, &end))
        return MF_OK;
    reach(z, first, end, &x0, &x1);
    z->held[0] = z->held[1] = -1;
    for (int64_t y = y0; y < y1; y++) {
        const float *above, *below;
        uint8_t *out = z->line + (y - y0) * (x1 - x0);
        if (between(z, logits, y, x0, x1, &above, &below))
            paint_row(above + x0, below + x0, z->part[0][y], x1 - x0, threshold, out);
        else
            memset(out, 0, (size_t)(x1 - x0));
    }
    return sam2_patch_pack((int64_t[]){y0, x0}, (int64_t[]){y1, x1}, z->line, p);
}
