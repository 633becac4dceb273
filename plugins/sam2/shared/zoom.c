/* zoom.c - see zoom.h. */
#include "zoom.h"
#include <stdlib.h>
#include <string.h>

static mf_status no_memory(void)
{
    return mf_no_memory(0, "stretching masks");
}

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
    *zoom = NULL;
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

/* Whether any of a row's logits is above a threshold. Eight at a time: loops of a known length
 * become vectors. */
static bool any_above(const float *row, int64_t n, float threshold)
{
    int32_t any[8] = {0}, rest = 0;
    int64_t x = 0;
    for (; x + 8 <= n; x += 8)
        for (int k = 0; k < 8; k++)
            any[k] |= row[x + k] > threshold;
    for (; x < n; x++)
        rest |= row[x] > threshold;
    for (int k = 0; k < 8; k++)
        rest |= any[k];
    return rest != 0;
}

/* Rows (into z->hot) and columns [*first, *end) of logits above a threshold; false: none is. */
static bool warm(sam2_zoom *z, const float *logits, float threshold, int64_t *first, int64_t *end)
{
    *first = z->in;
    *end = 0;
    for (int64_t y = 0; y < z->in; y++) {
        const float *row = logits + y * z->in;
        int64_t a = 0, b = z->in;
        z->hot[y] = any_above(row, z->in, threshold);
        if (!z->hot[y])
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

/* Counts of pixels between two rows above three thresholds; hit: those above the second. */
static void count_row(const float *restrict above, const float *restrict below, float part,
                      int64_t n, const float t[3], int64_t sum[3], uint8_t *restrict hit)
{
    const float t0 = t[0], t1 = t[1], t2 = t[2], rest = 1 - part;
    int32_t a[8] = {0}, b[8] = {0}, c[8] = {0};
    int64_t x = 0;
    for (; x + 8 <= n; x += 8)
        for (int k = 0; k < 8; k++) {
            const float v = rest * above[x + k] + part * below[x + k];
            a[k] += v > t0;
            b[k] += v > t1;
            c[k] += v > t2;
        }
    for (; x < n; x++) {
        const float v = rest * above[x] + part * below[x];
        a[0] += v > t0;
        b[0] += v > t1;
        c[0] += v > t2;
    }
    sum[0] = sum[1] = sum[2] = 0;
    for (int k = 0; k < 8; k++) {
        sum[0] += a[k];
        sum[1] += b[k];
        sum[2] += c[k];
    }
    for (x = 0; x < n && sum[1]; x++)
        hit[x] |= rest * above[x] + part * below[x] > t1;
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
        int64_t sum[3];
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
