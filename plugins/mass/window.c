/* window.c - sliding windows over a volume. It knows no model, only what fills a window. */
#include "window.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <massflow/array.h>

mf_status mf_window_starts(int64_t size, int64_t window, double overlap, int64_t **starts,
                           int64_t *count)
{
    int64_t step = (int64_t)rint((double)window * (1 - overlap));
    if (step < 1)
        step = 1;
    int64_t n = size <= window ? 1 : (size - window + step - 1) / step + 1;
    *starts = malloc((size_t)n * sizeof **starts);
    if (!*starts)
        return mf_no_memory(0, "%lld windows", (long long)n);
    for (int64_t i = 0; i < n; i++)
        (*starts)[i] = i < n - 1 ? i * step : size > window ? size - window : 0;
    *count = n;
    return MF_OK;
}

mf_status mf_window_starts_repeated(int64_t size, int64_t window, double overlap, int64_t **starts,
                                    int64_t **times, int64_t *count)
{
    int64_t step = (int64_t)((double)window * (1 - overlap));
    int64_t most = size > window ? size - window : 0, padded = most + window;
    if (step < 1)
        step = 1;
    int64_t n = padded / step > 1 ? padded / step : 1;
    *count = 0;
    *starts = malloc((size_t)n * sizeof **starts);
    *times = calloc((size_t)n, sizeof **times);
    if (!*starts || !*times) {
        free(*starts);
        free(*times);
        *starts = *times = NULL;
        return mf_no_memory(0, "%lld windows", (long long)n);
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t start = i * step < most ? i * step : most;
        if (*count == 0 || (*starts)[*count - 1] != start)
            (*starts)[(*count)++] = start;
        (*times)[*count - 1]++;
    }
    return MF_OK;
}

void mf_window_gaussian(int64_t window, double *weights)
{
    double sigma = (double)window / 8, center = (double)(window - 1) / 2, most = 0;
    for (int64_t i = 0; i < window; i++) {
        double d = (double)i - center;
        weights[i] = exp(-d * d / (2 * sigma * sigma));
        most = weights[i] > most ? weights[i] : most;
    }
    for (int64_t i = 0; i < window; i++)
        weights[i] /= most;
}

typedef struct work {
    int64_t padded[3]; /* at least a window */
    float *image, *patch, *fresh, *total, *weight;
    double *axis[3];
    int64_t *starts[3], *times[3], counts[3]; /* times: NULL for once */
} work;

static void work_free(work *k)
{
    free(k->image);
    free(k->patch);
    free(k->fresh);
    free(k->total);
    free(k->weight);
    for (int i = 0; i < 3; i++) {
        free(k->axis[i]);
        free(k->starts[i]);
        free(k->times[i]);
    }
}

static int64_t volume(const int64_t size[3])
{
    return size[0] * size[1] * size[2];
}

static mf_status prepare(const mf_window *w, const float *image, work *k)
{
    for (int i = 0; i < 3; i++) {
        k->padded[i] = w->size[i] > w->window[i] ? w->size[i] : w->window[i];
        MF_TRY(w->repeat_last
                   ? mf_window_starts_repeated(w->size[i], w->window[i], w->overlap, &k->starts[i],
                                               &k->times[i], &k->counts[i])
                   : mf_window_starts(w->size[i], w->window[i], w->overlap, &k->starts[i],
                                      &k->counts[i]));
        k->axis[i] = calloc((size_t)w->window[i], sizeof(double));
        if (!k->axis[i])
            return mf_no_memory((size_t)w->window[i] * sizeof(double), "a window");
        mf_window_gaussian(w->window[i], k->axis[i]);
        for (int64_t v = 0; v < w->window[i] && w->uniform; v++)
            k->axis[i][v] = 1;
    }
    size_t voxels = (size_t)volume(k->padded), window = (size_t)volume(w->window), all, some;
    if (!mf_size_mul(voxels, (size_t)w->k, &all) || !mf_size_mul(window, (size_t)w->k, &some))
        return mf_fail(MF_NO_MEMORY, "sizes overflow");
    k->image = calloc(voxels, sizeof(float));
    k->weight = calloc(voxels, sizeof(float));
    k->total = calloc(all, sizeof(float));
    k->patch = calloc(window, sizeof(float));
    k->fresh = calloc(some, sizeof(float));
    if (!k->image || !k->weight || !k->total || !k->patch || !k->fresh)
        return mf_no_memory(0, "%lld probability maps of %zu voxels", (long long)w->k, voxels);
    for (int64_t z = 0; z < w->size[0]; z++)
        for (int64_t y = 0; y < w->size[1]; y++)
            memcpy(k->image + (z * k->padded[1] + y) * k->padded[2],
                   image + (z * w->size[1] + y) * w->size[2], sizeof(float) * (size_t)w->size[2]);
    return MF_OK;
}

/* One window whose first voxel is at z y x: runs the model and adds what it says, `times` over. */
static mf_status visit(const mf_window *w, work *k, const int64_t at[3], double times)
{
    int64_t d = w->window[0], h = w->window[1], n = w->window[2], window = d * h * n;
    int64_t voxels = volume(k->padded);
    for (int64_t z = 0; z < d; z++)
        for (int64_t y = 0; y < h; y++)
            memcpy(k->patch + (z * h + y) * n,
                   k->image + ((at[0] + z) * k->padded[1] + at[1] + y) * k->padded[2] + at[2],
                   sizeof(float) * (size_t)n);
    MF_TRY(w->model(w->self, k->patch, k->fresh));
    for (int64_t z = 0; z < d; z++)
        for (int64_t y = 0; y < h; y++) {
            int64_t to = ((at[0] + z) * k->padded[1] + at[1] + y) * k->padded[2] + at[2];
            const float *from = k->fresh + (z * h + y) * n;
            double plane = times * k->axis[0][z] * k->axis[1][y];
            for (int64_t x = 0; x < n; x++) {
                float g = (float)(plane * k->axis[2][x]);
                k->weight[to + x] += g;
                for (int64_t i = 0; i < w->k; i++)
                    k->total[i * voxels + to + x] += g * from[i * window + x];
            }
        }
    return MF_OK;
}

/* How often the window at these starts counts. */
static double times_of(const work *k, int64_t z, int64_t y, int64_t x)
{
    if (!k->times[0])
        return 1;
    return (double)(k->times[0][z] * k->times[1][y] * k->times[2][x]);
}

static mf_status visit_all(const mf_window *w, work *k)
{
    int64_t done = 0, total = volume(k->counts);
    for (int64_t z = 0; z < k->counts[0]; z++)
        for (int64_t y = 0; y < k->counts[1]; y++)
            for (int64_t x = 0; x < k->counts[2]; x++) {
                int64_t at[3] = {k->starts[0][z], k->starts[1][y], k->starts[2][x]};
                if (w->step)
                    MF_TRY(w->step(w->user, done++, total));
                MF_TRY(visit(w, k, at, times_of(k, z, y, x)));
            }
    return MF_OK;
}

mf_status mf_window_run(const mf_window *w, const float *image, float *probability)
{
    work k = {0};
    mf_status status = prepare(w, image, &k);
    if (!status)
        status = visit_all(w, &k);
    if (!status) {
        int64_t voxels = volume(k.padded);
        for (int64_t i = 0; i < w->k; i++)
            for (int64_t z = 0; z < w->size[0]; z++)
                for (int64_t y = 0; y < w->size[1]; y++)
                    for (int64_t x = 0; x < w->size[2]; x++) {
                        int64_t from = (z * k.padded[1] + y) * k.padded[2] + x;
                        float weight = k.weight[from] > 1e-8f ? k.weight[from] : 1e-8f;
                        *probability++ = k.total[i * voxels + from] / weight;
                    }
    }
    work_free(&k);
    return status;
}

void mf_window_claim(const float *probability, int64_t voxels, double threshold,
                     const uint8_t *mask, int64_t value, float *best, uint16_t *label)
{
    for (int64_t v = 0; v < voxels; v++) {
        float p = probability[v];
        if ((double)p >= threshold && p > best[v] && (!mask || mask[v])) {
            best[v] = p;
            label[v] = (uint16_t)value;
        }
    }
}
