/* parity.c - runs the model once on given tensors and collects everything it makes. */
#include "parity_tensors.h"

#include "head.h"
#include "iris.h"
#include "model.h"
#include "predict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- inputs ---------------------------------------------------------------------------------- */

static mf_status same_shape(const char *name, const int64_t *a, const char *other, const int64_t *b,
                            int rank)
{
    if (memcmp(a, b, sizeof(int64_t) * (size_t)rank))
        return mf_fail(MF_INVALID, "inputs %s and %s differ in size", name, other);
    return MF_OK;
}

/* ---- iris ------------------------------------------------------------------------------------ */

/* Names every value that is asked for and says what PyTorch's shape of it is. */
static int name_outputs(mf_program *p, const mf_iris *iris, const int64_t crop[3], int64_t k,
                        const mf_iris_training *t, mf_parity_wanted *all)
{
    int n = 0;
    for (int i = 0; i < MF_IRIS_DEPTHS; i++) {
        int64_t s = 16 >> i;
        all[n] = (mf_parity_wanted){
            "", 5, {1, iris->channels[4 - i], crop[0] / s, crop[1] / s, crop[2] / s}, true};
        snprintf(all[n].name, sizeof all[n].name, "feat%d", 5 - i);
        mf_output(p, all[n++].name, t->features[i]);
    }
    for (int i = 0; i < MF_IRIS_LEVELS; i++) {
        int64_t c = iris->channels[4 - i];
        all[n] = (mf_parity_wanted){"", 4, {1, k, MF_IRIS_TOKENS, c}, false};
        snprintf(all[n].name, sizeof all[n].name, "prior%d", i);
        mf_output(p, all[n++].name, t->priors[i]);
        all[n] = (mf_parity_wanted){"", 3, {1, k, c}, false};
        snprintf(all[n].name, sizeof all[n].name, "posterior%d", i);
        mf_output(p, all[n++].name, t->posteriors[i]);
    }
    all[n] = (mf_parity_wanted){
        "decoder_out", 5, {1, iris->channels[0], crop[0], crop[1], crop[2]}, true};
    mf_output(p, all[n++].name, t->decoded);
    all[n] = (mf_parity_wanted){"logits", 5, {1, k, crop[0], crop[1], crop[2]}, false};
    mf_output(p, all[n++].name, t->logits);
    all[n++] = (mf_parity_wanted){"dice", 0, {0}, false};
    all[n++] = (mf_parity_wanted){"bce", 0, {0}, false};
    all[n++] = (mf_parity_wanted){"loss", 0, {0}, false};
    return n;
}

typedef struct sample {
    mf_array *target, *reference, *target_masks, *reference_masks;
    int64_t crop[3], k;
} sample;

static void sample_clear(sample *s)
{
    mf_array_unref(s->target);
    mf_array_unref(s->reference);
    mf_array_unref(s->target_masks);
    mf_array_unref(s->reference_masks);
}

static mf_status sample_read(const mf_tensors *in, int64_t positions, sample *s)
{
    const int64_t *target, *reference, *target_masks, *reference_masks;
    MF_TRY(mf_parity_input(in, "target", MF_F32, 3, &s->target, &target));
    MF_TRY(mf_parity_input(in, "reference", MF_F32, 3, &s->reference, &reference));
    MF_TRY(mf_parity_input(in, "target_masks", MF_U8, 4, &s->target_masks, &target_masks));
    MF_TRY(mf_parity_input(in, "reference_masks", MF_U8, 4, &s->reference_masks, &reference_masks));
    MF_TRY(same_shape("reference", reference, "target", target, 3));
    MF_TRY(same_shape("target_masks", target_masks + 1, "target", target, 3));
    MF_TRY(same_shape("reference_masks", reference_masks, "target_masks", target_masks, 4));
    memcpy(s->crop, target, sizeof s->crop);
    s->k = target_masks[0];
    return mf_iris_check_crop(s->crop, positions);
}

static mf_status iris_run(mf_executable *e, const sample *s, const mf_parity_wanted *all, int n,
                          mf_tensors *out)
{
    MF_TRY(mf_executable_set(e, "target", s->target->data));
    MF_TRY(mf_executable_set(e, "reference", s->reference->data));
    MF_TRY(mf_executable_set(e, "target_masks", s->target_masks->data));
    MF_TRY(mf_executable_set(e, "reference_masks", s->reference_masks->data));
    MF_TRY(mf_executable_run(e));
    for (int i = 0; i < n; i++)
        MF_TRY(mf_parity_output(e, &all[i], out));
    return MF_OK;
}

static mf_status iris_program(mf_program *p, mf_weights *w, const mf_parity *o, const mf_iris *iris,
                              const mf_tensors *weights, const sample *s, mf_tensors *out)
{
    mf_iris_training t;
    mf_executable *e;
    mf_parity_wanted all[2 * MF_IRIS_DEPTHS + 2 * MF_IRIS_LEVELS + 5];
    mf_iris_declare_training(p, iris, s->crop, s->k, &t);
    int n = name_outputs(p, iris, s->crop, s->k, &t, all);
    mf_differentiate(p, t.loss);
    MF_TRY(mf_weights_declare(w, p));
    MF_TRY(mf_model_load(w, weights));
    MF_TRY(mf_program_compile(p, w, &e));
    mf_status status = mf_weights_clear_gradients(w);
    if (!status)
        status = iris_run(e, s, all, n, out);
    mf_executable_free(e);
    MF_TRY(status);
    return mf_parity_lamb(w, o, out);
}

mf_status mf_parity_iris(mf_device *device, const mf_parity *o, const mf_tensors *weights,
                         const mf_tensors *in, mf_tensors *out)
{
    mf_iris iris;
    mf_weights *w = NULL;
    mf_program *p = NULL;
    sample s = {0};
    MF_TRY(mf_iris_from_shapes(mf_tensors_shape, weights, &iris));
    iris.frozen_norms = o->frozen;
    mf_status status = sample_read(in, iris.positions, &s);
    if (!status)
        status = mf_weights_new(device, &w);
    if (!status)
        status = mf_program_new(&p);
    if (!status)
        status = iris_program(p, w, o, &iris, weights, &s, out);
    mf_program_free(p);
    mf_weights_free(w);
    sample_clear(&s);
    return status;
}

/* ---- head ------------------------------------------------------------------------------------ */

typedef struct batch {
    mf_array *features, *target;
    int64_t n, c, sites; /* sites as the program sees them: 1 where pooled on the host */
    float *x, *one_hot, *weight;
} batch;

static void batch_clear(batch *b)
{
    mf_array_unref(b->features);
    mf_array_unref(b->target);
    free(b->x);
    free(b->one_hot);
    free(b->weight);
}

static mf_status batch_read(const mf_tensors *in, const mf_parity *o, const mf_head *head, batch *b)
{
    const mf_array *features = mf_tensors_find(in, "features");
    const int64_t *shape, *targets;
    if (features && features->rank != 5)
        return mf_fail(MF_INVALID, "input features has %d axes, not 5", features->rank);
    MF_TRY(mf_parity_input(in, "features", MF_F32, 5, &b->features, &shape));
    MF_TRY(mf_parity_input(in, "target", MF_I64, 1, &b->target, &targets));
    b->n = shape[0];
    b->c = shape[1];
    int64_t sites = shape[2] * shape[3] * shape[4];
    if (b->c != head->channels)
        return mf_fail(MF_INVALID, "features have %lld channels, the weights %lld", (long long)b->c,
                       (long long)head->channels);
    MF_TRY(same_shape("target", targets, "features", shape, 1));
    b->sites = head->pooling == MF_POOL_ATTENTION ? sites : 1;
    b->x = calloc((size_t)(b->n * b->sites * b->c), sizeof(float));
    b->one_hot = calloc((size_t)(b->n * head->classes), sizeof(float));
    b->weight = calloc((size_t)b->n, sizeof(float));
    if (!b->x || !b->one_hot || !b->weight)
        return mf_no_memory(0, "the features");
    const float *from = b->features->data;
    for (int64_t i = 0; i < b->n; i++) {
        int64_t target = ((const int64_t *)b->target->data)[i];
        if (target < 0 || target >= head->classes)
            return mf_fail(MF_INVALID, "target %lld is not a class (0 to %lld)", (long long)target,
                           (long long)head->classes - 1);
        b->one_hot[i * head->classes + target] = 1;
        b->weight[i] = 1;
        if (head->pooling != MF_POOL_ATTENTION)
            mf_head_pool(from + i * b->c * sites, b->c, sites, !strcmp(o->pooling, "max"),
                         b->x + i * b->c);
    }
    if (head->pooling == MF_POOL_ATTENTION) /* [N,C,V] -> [N,V,C] */
        mf_parity_channels_first(from, b->n, sites, b->c, b->x);
    return MF_OK;
}

static mf_status head_run(mf_executable *e, const batch *b, const mf_head *head, mf_tensors *out)
{
    const mf_parity_wanted all[] = {{"pooled", 2, {b->n, b->c}, false},
                                    {"logits", 2, {b->n, head->classes}, false},
                                    {"loss", 0, {0}, false}};
    MF_TRY(mf_executable_set(e, "features", b->x));
    MF_TRY(mf_executable_set(e, "target", b->one_hot));
    MF_TRY(mf_executable_set(e, "weight", b->weight));
    MF_TRY(mf_executable_run(e));
    for (int i = 0; i < 3; i++)
        MF_TRY(mf_parity_output(e, &all[i], out));
    return MF_OK;
}

static mf_status head_program(mf_program *p, mf_weights *w, const mf_parity *o, const mf_head *head,
                              const mf_tensors *weights, const batch *b, mf_tensors *out)
{
    mf_executable *e;
    mf_head_training(p, head, b->n, b->sites, false);
    MF_TRY(mf_weights_declare(w, p));
    MF_TRY(mf_model_load(w, weights));
    MF_TRY(mf_program_compile(p, w, &e));
    mf_status status = mf_weights_clear_gradients(w);
    if (!status)
        status = head_run(e, b, head, out);
    mf_executable_free(e);
    MF_TRY(status);
    mf_optimizer_step step = {.kind = MF_ADAMW,
                              .rate = o->rate,
                              .beta1 = 0.9,
                              .beta2 = 0.999,
                              .eps = 1e-8,
                              .weight_decay = o->weight_decay,
                              .grad_scale = 1,
                              .step = 1};
    return mf_parity_step(w, &step, out);
}

mf_status mf_parity_head(mf_device *device, const mf_parity *o, const mf_tensors *weights,
                         const mf_tensors *in, mf_tensors *out)
{
    const mf_array *fc = mf_tensors_find(weights, "fc.weight");
    if (!fc || fc->rank != 2)
        return mf_fail(MF_INVALID, "not a classifier: it has no matrix fc.weight");
    mf_head head = {fc->shape[1], fc->shape[0],
                    mf_tensors_find(weights, "pool.attention.0.weight") ? MF_POOL_ATTENTION
                                                                        : MF_POOL_NONE,
                    false};
    mf_weights *w = NULL;
    mf_program *p = NULL;
    batch b = {0};
    mf_status status = batch_read(in, o, &head, &b);
    if (!status)
        status = mf_weights_new(device, &w);
    if (!status)
        status = mf_program_new(&p);
    if (!status)
        status = head_program(p, w, o, &head, weights, &b, out);
    mf_program_free(p);
    mf_weights_free(w);
    batch_clear(&b);
    return status;
}

/* ---- window ---------------------------------------------------------------------------------- */

static mf_status window_labels(const mf_array *probability, const int64_t *size, int64_t k,
                               mf_tensors *out)
{
    const int64_t voxels = size[0] * size[1] * size[2];
    mf_array *labels;
    float *best = calloc((size_t)voxels, sizeof *best);
    if (!best)
        return mf_no_memory((size_t)voxels * sizeof *best, "%lld labels", (long long)k);
    mf_status status = mf_tensors_make(out, "labels", MF_U16, 3, size, &labels);
    for (int64_t i = 0; i < k && !status; i++)
        mf_window_claim((const float *)probability->data + i * voxels, voxels, 0.5, NULL, i + 1,
                        best, labels->data);
    free(best);
    return status;
}

static mf_status window_run(mf_predictor *p, const mf_parity *o, const sample *s,
                            const int64_t *size, mf_tensors *out)
{
    const mf_iris *iris = mf_predictor_iris(p);
    mf_priors priors = {0};
    mf_array *probability;
    int64_t shape[5] = {1, s->k, size[0], size[1], size[2]};
    MF_TRY(mf_predictor_embed(p, s->reference->data, s->reference_masks->data, s->k, &priors));
    mf_status status = MF_OK;
    for (int i = 0; i < MF_IRIS_LEVELS && !status; i++) {
        char name[16];
        mf_array *a;
        int64_t dims[4] = {1, s->k, MF_IRIS_TOKENS, iris->channels[4 - i]};
        snprintf(name, sizeof name, "prior%d", i);
        status = mf_tensors_make(out, name, MF_F32, 4, dims, &a);
        if (!status)
            memcpy(a->data, priors.level[i], a->bytes);
    }
    if (!status)
        status = mf_tensors_make(out, "probability", MF_F32, 5, shape, &probability);
    const mf_segmenting how = {
        .overlap = o->overlap, .uniform = o->evaluate, .repeat_last = o->evaluate};
    if (!status)
        status = mf_predictor_segment(p, s->target->data, size, &priors, 0, s->k, &how,
                                      probability->data);
    if (!status)
        status = window_labels(probability, size, s->k, out);
    mf_priors_clear(&priors);
    return status;
}

mf_status mf_parity_window(mf_device *device, const mf_parity *o, const mf_tensors *weights,
                           const mf_tensors *in, mf_tensors *out)
{
    const int64_t *size, *crop, *masks;
    mf_predictor *p = NULL;
    sample s = {0};
    mf_status status = mf_parity_input(in, "target", MF_F32, 3, &s.target, &size);
    if (!status)
        status = mf_parity_input(in, "reference", MF_F32, 3, &s.reference, &crop);
    if (!status)
        status = mf_parity_input(in, "reference_masks", MF_U8, 4, &s.reference_masks, &masks);
    if (!status)
        status = same_shape("reference_masks", masks + 1, "reference", crop, 3);
    if (!status) {
        s.k = masks[0];
        status = mf_predictor_new(device, weights, crop, &p);
    }
    if (!status)
        status = window_run(p, o, &s, size, out);
    mf_predictor_free(p);
    sample_clear(&s);
    return status;
}
