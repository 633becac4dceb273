/* predict.c - compiles the model's programs for one crop and replays them. */
#include "predict.h"
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A compiled program and the number of masks that it was made for. */
typedef struct compiled {
    mf_executable *executable;
    int64_t k;
} compiled;

struct mf_predictor {
    mf_iris iris;
    int64_t crop[3];
    mf_weights *weights;
    compiled reference, query, features;
};

static mf_status of_shapes(const mf_tensors *t, mf_iris *iris)
{
    return mf_model_is_encoder(t) ? mf_iris_encoder_from_shapes(mf_tensors_shape, t, iris)
                                  : mf_iris_from_shapes(mf_tensors_shape, t, iris);
}

/* Voxels along an axis. Task embeddings have fewer: as many as the model has positions for. */
enum { MOST_CROP = 1024 };

mf_status mf_predictor_new(mf_device *device, const mf_tensors *t, const int64_t crop[3],
                           mf_predictor **predictor)
{
    mf_iris iris;
    *predictor = NULL;
    MF_TRY(of_shapes(t, &iris));
    MF_TRY(mf_predictor_new_empty(device, &iris, crop, predictor));
    mf_status status = mf_model_load((*predictor)->weights, t);
    if (status) {
        mf_predictor_free(*predictor);
        *predictor = NULL;
    }
    return status;
}

mf_status mf_predictor_new_empty(mf_device *device, const mf_iris *iris, const int64_t crop[3],
                                 mf_predictor **predictor)
{
    *predictor = NULL;
    MF_TRY(mf_iris_check_crop(crop, MOST_CROP));
    mf_predictor *p = calloc(1, sizeof *p);
    if (!p)
        return mf_no_memory(sizeof *p, "a model");
    p->iris = *iris;
    memcpy(p->crop, crop, sizeof p->crop);
    mf_status status = mf_weights_new(device, &p->weights);
    if (!status)
        status = mf_model_declare(p->weights, iris);
    if (status) {
        mf_predictor_free(p);
        return status;
    }
    *predictor = p;
    return MF_OK;
}

mf_status mf_predictor_load(mf_predictor *p, const mf_tensors *t)
{
    return mf_model_load(p->weights, t);
}

void mf_predictor_free(mf_predictor *p)
{
    if (!p)
        return;
    mf_executable_free(p->reference.executable);
    mf_executable_free(p->query.executable);
    mf_executable_free(p->features.executable);
    mf_weights_free(p->weights);
    free(p);
}

const mf_iris *mf_predictor_iris(const mf_predictor *p)
{
    return &p->iris;
}

mf_weights *mf_predictor_weights(mf_predictor *p)
{
    return p->weights;
}

/* ---- priors ---------------------------------------------------------------------------------- */

static int64_t prior_size(const mf_iris *iris, int level)
{
    return MF_IRIS_TOKENS * iris->channels[4 - level];
}

void mf_priors_clear(mf_priors *priors)
{
    for (int i = 0; i < MF_IRIS_LEVELS; i++)
        free(priors->level[i]);
    *priors = (mf_priors){0};
}

mf_status mf_priors_make(const mf_iris *iris, int64_t k, mf_priors *priors)
{
    *priors = (mf_priors){.k = k};
    for (int i = 0; i < MF_IRIS_LEVELS; i++) {
        priors->level[i] = calloc((size_t)(k * prior_size(iris, i)), sizeof(float));
        if (!priors->level[i]) {
            mf_priors_clear(priors);
            return mf_no_memory((size_t)(k * prior_size(iris, i)) * sizeof(float),
                                "task embeddings");
        }
    }
    return MF_OK;
}

void mf_priors_add(const mf_iris *iris, mf_priors *to, int64_t at, const mf_priors *from,
                   float factor)
{
    for (int i = 0; i < MF_IRIS_LEVELS; i++) {
        int64_t n = prior_size(iris, i);
        for (int64_t v = 0; v < n; v++)
            to->level[i][at * n + v] += factor * from->level[i][v];
    }
}

/* ---- programs -------------------------------------------------------------------------------- */

typedef void (*declare)(mf_program *p, const mf_iris *iris, const int64_t crop[3], int64_t k);

static void declare_features(mf_program *p, const mf_iris *iris, const int64_t crop[3], int64_t k)
{
    (void)k;
    mf_iris_declare_features(p, iris, crop);
}

/* Makes c's program for k masks, unless it is there. */
static mf_status want(mf_predictor *p, compiled *c, declare what, int64_t k)
{
    mf_program *program;
    if (c->executable && c->k == k)
        return MF_OK;
    if (!p->iris.positions && what != declare_features)
        return mf_hint(mf_fail(MF_INVALID, "the model is an encoder alone"),
                       "only features can be computed with it");
    if (what != declare_features)
        MF_TRY(mf_iris_check_crop(p->crop, p->iris.positions));
    mf_executable_free(c->executable);
    *c = (compiled){.k = k};
    MF_TRY(mf_program_new(&program));
    what(program, &p->iris, p->crop, k);
    mf_status status = mf_program_compile(program, p->weights, &c->executable);
    mf_program_free(program);
    return status;
}

mf_status mf_predictor_make_embed(mf_predictor *p)
{
    return want(p, &p->reference, mf_iris_declare_reference, 1);
}

mf_status mf_predictor_make_segment(mf_predictor *p, int64_t k)
{
    return want(p, &p->query, mf_iris_declare_query, k);
}

mf_status mf_predictor_make_features(mf_predictor *p)
{
    return want(p, &p->features, declare_features, 0);
}

mf_status mf_predictor_embed(mf_predictor *p, const float *image, const uint8_t *masks, int64_t k,
                             mf_priors *priors)
{
    MF_TRY(want(p, &p->reference, mf_iris_declare_reference, k));
    mf_executable *e = p->reference.executable;
    MF_TRY(mf_executable_set(e, "reference", image));
    MF_TRY(mf_executable_set(e, "reference_masks", masks));
    MF_TRY(mf_executable_run(e));
    MF_TRY(mf_priors_make(&p->iris, k, priors));
    for (int i = 0; i < MF_IRIS_LEVELS; i++) {
        char name[16];
        snprintf(name, sizeof name, "prior%d", i);
        mf_status status = mf_executable_get(e, name, priors->level[i]);
        if (status) {
            mf_priors_clear(priors);
            return status;
        }
    }
    return MF_OK;
}

/* A model that fills windows: also sees them flipped. */
typedef struct seer {
    mf_predictor *predictor;
    int64_t k;
    unsigned flips;
    float *patch, *probability; /* [crop] and [k, crop], where there are flips */
} seer;

static mf_status see(mf_predictor *p, const float *patch, float *probability)
{
    mf_executable *e = p->query.executable;
    MF_TRY(mf_executable_set(e, "target", patch));
    MF_TRY(mf_executable_run(e));
    return mf_executable_get(e, "probability", probability);
}

/* to [k, crop] = from, reversed along the axes of `flip`; added where `add` is set. */
static void flip_maps(const float *from, int64_t k, const int64_t crop[3], unsigned flip, bool add,
                      float *to)
{
    for (int64_t i = 0; i < k * crop[0]; i++)
        for (int64_t y = 0; y < crop[1]; y++) {
            int64_t z = i % crop[0], source_z = flip & 1 ? crop[0] - 1 - z : z;
            int64_t source_y = flip & 2 ? crop[1] - 1 - y : y;
            const float *row = from + ((i - z + source_z) * crop[1] + source_y) * crop[2];
            for (int64_t x = 0; x < crop[2]; x++, to++) {
                float value = row[flip & 4 ? crop[2] - 1 - x : x];
                *to = add ? *to + value : value;
            }
        }
}

static mf_status see_flipped(void *self, const float *patch, float *probability)
{
    const seer *s = self;
    const int64_t *crop = s->predictor->crop, count = s->k * crop[0] * crop[1] * crop[2];
    float views = 1;
    MF_TRY(see(s->predictor, patch, probability));
    for (unsigned flip = 1; flip < 8; flip++) {
        if (flip & ~s->flips)
            continue;
        flip_maps(patch, 1, crop, flip, false, s->patch);
        MF_TRY(see(s->predictor, s->patch, s->probability));
        flip_maps(s->probability, s->k, crop, flip, true, probability);
        views++;
    }
    for (int64_t i = 0; i < count && views > 1; i++)
        probability[i] /= views;
    return MF_OK;
}

mf_status mf_predictor_segment(mf_predictor *p, const float *image, const int64_t size[3],
                               const mf_priors *priors, int64_t first, int64_t count,
                               const mf_segmenting *how, float *probability)
{
    size_t voxels = (size_t)(p->crop[0] * p->crop[1] * p->crop[2]);
    seer s = {.predictor = p, .k = count, .flips = how->flips & 7};
    MF_TRY(want(p, &p->query, mf_iris_declare_query, count));
    for (int i = 0; i < MF_IRIS_LEVELS; i++) {
        char name[16];
        snprintf(name, sizeof name, "prior%d", i);
        MF_TRY(mf_executable_set(p->query.executable, name,
                                 priors->level[i] + first * prior_size(&p->iris, i)));
    }
    mf_window w = {.overlap = how->overlap,
                   .uniform = how->uniform,
                   .repeat_last = how->repeat_last,
                   .k = count,
                   .model = see_flipped,
                   .self = &s,
                   .step = how->step,
                   .user = how->user};
    memcpy(w.size, size, sizeof w.size);
    memcpy(w.window, p->crop, sizeof w.window);
    if (s.flips) {
        s.patch = malloc(voxels * sizeof *s.patch);
        s.probability = malloc(voxels * (size_t)count * sizeof *s.probability);
    }
    mf_status status = s.flips && (!s.patch || !s.probability)
                           ? mf_no_memory(0, "a flipped window")
                           : mf_window_run(&w, image, probability);
    free(s.patch);
    free(s.probability);
    return status;
}

mf_status mf_predictor_features(mf_predictor *p, const float *image, float *features)
{
    MF_TRY(mf_predictor_make_features(p));
    MF_TRY(mf_executable_set(p->features.executable, "image", image));
    MF_TRY(mf_executable_run(p->features.executable));
    return mf_executable_get(p->features.executable, "features", features);
}
