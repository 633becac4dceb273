/* examples.c - see examples.h. */
#include "examples.h"
#include "crop.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

mf_example_place mf_example_place_of(const char *word)
{
    return !strcmp(word, "box")      ? MF_EXAMPLE_BOX
           : !strcmp(word, "middle") ? MF_EXAMPLE_MIDDLE
                                     : MF_EXAMPLE_MEAN;
}

/* ---- where ----------------------------------------------------------------------------------- */

/* Of the voxels of a label: bounds, sums of indices, how many. */
typedef struct extent {
    int64_t lo[3], hi[3], sum[3], count;
} extent;

static void add_row(extent *e, const uint16_t *row, int64_t n, int64_t label, int64_t z, int64_t y)
{
    for (int64_t x = 0; x < n; x++) {
        const int64_t at[3] = {z, y, x};
        if (row[x] != label)
            continue;
        for (int i = 0; i < 3; i++) {
            e->lo[i] = at[i] < e->lo[i] ? at[i] : e->lo[i];
            e->hi[i] = at[i] > e->hi[i] ? at[i] : e->hi[i];
            e->sum[i] += at[i];
        }
        e->count++;
    }
}

static extent measure(const uint16_t *labels, const int64_t size[3], int64_t label)
{
    extent e = {.lo = {INT64_MAX, INT64_MAX, INT64_MAX}, .hi = {-1, -1, -1}};
    for (int64_t z = 0; z < size[0]; z++)
        for (int64_t y = 0; y < size[1]; y++)
            add_row(&e, labels + (z * size[1] + y) * size[2], size[2], label, z, y);
    return e;
}

/* The voxel of the label that has `before` others of it before it. */
static void find_voxel(const uint16_t *labels, const int64_t size[3], int64_t label, int64_t before,
                       int64_t at[3])
{
    int64_t v = 0;
    for (;; v++)
        if (labels[v] == label && before-- == 0)
            break;
    at[0] = v / (size[1] * size[2]);
    at[1] = v / size[2] % size[1];
    at[2] = v % size[2];
}

bool mf_example_start(const uint16_t *labels, const int64_t size[3], int64_t label,
                      mf_example_place place, const int64_t crop[3], int64_t start[3])
{
    const extent e = measure(labels, size, label);
    int64_t center[3];
    if (e.count == 0)
        return false;
    for (int i = 0; i < 3; i++)
        center[i] = place == MF_EXAMPLE_BOX ? (int64_t)rint((double)(e.lo[i] + e.hi[i]) / 2)
                                            : e.sum[i] / e.count;
    if (place == MF_EXAMPLE_MIDDLE)
        find_voxel(labels, size, label, e.count / 2, center);
    for (int i = 0; i < 3; i++) {
        start[i] = center[i] - crop[i] / 2;
        if (place == MF_EXAMPLE_BOX)
            continue;
        int64_t most = size[i] - crop[i];
        start[i] = start[i] > most ? most : start[i];
        start[i] = start[i] > 0 ? start[i] : 0;
        if (most < 0) /* half of what lacks goes before */
            start[i] = -(-most / 2);
    }
    return true;
}

/* ---- embeddings ------------------------------------------------------------------------------ */

mf_status mf_examples_begin(mf_examples *e)
{
    e->examples = calloc((size_t)e->k, sizeof *e->examples);
    if (!e->examples)
        return mf_no_memory((size_t)e->k * sizeof *e->examples, "examples");
    return mf_priors_make(mf_predictor_iris(e->predictor), e->k, &e->sums);
}

void mf_examples_clear(mf_examples *e)
{
    mf_priors_clear(&e->sums);
    free(e->examples);
    e->examples = NULL;
}

/* cut: room for a crop as u16; mask: for one as u8. */
static mf_status add_label(mf_examples *e, int64_t i, const float *voxels, const uint16_t *labels,
                           const int64_t size[3], mf_modality modality, float *image, uint16_t *cut,
                           uint8_t *mask)
{
    int64_t start[3], count = e->crop[0] * e->crop[1] * e->crop[2];
    mf_priors priors;
    if (!mf_example_start(labels, size, e->labels[i], e->place, e->crop, start))
        return MF_OK;
    if (e->step)
        MF_TRY(e->step(e->user));
    mf_scan_crop(voxels, size, start, e->crop, sizeof(float), image);
    mf_scan_crop(labels, size, start, e->crop, sizeof(uint16_t), cut);
    bool some = false;
    for (int64_t v = 0; v < count; v++) {
        mask[v] = cut[v] == e->labels[i];
        some |= mask[v];
    }
    if (!some) /* a label of parts far from each other, with nothing of it between them */
        return MF_OK;
    if (e->normalize_crop)
        MF_TRY(mf_normalize_voxels(image, count, modality, &e->clip, NULL));
    MF_TRY(mf_predictor_embed(e->predictor, image, mask, 1, &priors));
    mf_priors_add(mf_predictor_iris(e->predictor), &e->sums, i, &priors, 1);
    mf_priors_clear(&priors);
    e->examples[i]++;
    return MF_OK;
}

mf_status mf_examples_add(mf_examples *e, const float *voxels, const uint16_t *labels,
                          const int64_t size[3], mf_modality modality)
{
    size_t count = (size_t)(e->crop[0] * e->crop[1] * e->crop[2]);
    float *image = malloc(count * sizeof *image);
    uint16_t *cut = malloc(count * sizeof *cut);
    uint8_t *mask = malloc(count);
    mf_status status =
        image && cut && mask ? MF_OK : mf_no_memory(count * 7, "a crop of %zu voxels", count);
    for (int64_t i = 0; i < e->k && !status; i++)
        status = add_label(e, i, voxels, labels, size, modality, image, cut, mask);
    free(image);
    free(cut);
    free(mask);
    return status;
}

void mf_examples_mean(mf_examples *e)
{
    const mf_iris *iris = mf_predictor_iris(e->predictor);
    for (int64_t i = 0; i < e->k; i++)
        for (int level = 0; level < MF_IRIS_LEVELS && e->examples[i]; level++) {
            int64_t n = MF_IRIS_TOKENS * iris->channels[4 - level];
            for (int64_t v = 0; v < n; v++)
                e->sums.level[level][i * n + v] /= (float)e->examples[i];
        }
}

void mf_examples_draw(mf_examples *e, int64_t i, mf_random *random)
{
    const mf_iris *iris = mf_predictor_iris(e->predictor);
    for (int level = 0; level < MF_IRIS_LEVELS; level++) {
        int64_t n = MF_IRIS_TOKENS * iris->channels[4 - level];
        for (int64_t v = 0; v < n; v++)
            e->sums.level[level][i * n + v] = (float)(0.02 * mf_random_normal(random));
    }
}
