/* classifier.c - the programs of encoder and head, and their one optimizer step. */
#include "classifier.h"
#include "../common/layers.h"
#include "model.h"

#include <stdlib.h>
#include <string.h>

struct mf_classifier {
    mf_classifier_shape shape;
    mf_weights *learned; /* head, or encoder and head */
    mf_weights *frozen;  /* the encoder where it does not learn */
    /* image -> map; image, or map of a frozen encoder, -> loss, and -> logits */
    mf_executable *encode, *learn, *predict;
    float *map; /* of the case that is learned, where the encoder is frozen */
};

enum { HEAD, ENCODER, GROUPS }; /* of weights */

mf_status mf_classifier_check(const mf_classifier_shape *shape)
{
    for (int i = 0; i < 3; i++)
        if (shape->crop[i] < 16 || shape->crop[i] % 16)
            return mf_fail(MF_INVALID,
                           "a crop of %lld x %lld x %lld (z y x): each side must be a "
                           "multiple of 16",
                           (long long)shape->crop[0], (long long)shape->crop[1],
                           (long long)shape->crop[2]);
    if (shape->head.pooling == MF_POOL_ATTENTION && shape->head.channels < 4)
        return mf_fail(MF_INVALID, "attention pooling needs at least 4 channels, not %lld",
                       (long long)shape->head.channels);
    return MF_OK;
}

int64_t mf_classifier_sites(const mf_classifier *c)
{
    int64_t size[3];
    mf_iris_deepest_size(&c->shape.iris, c->shape.crop, size);
    return size[0] * size[1] * size[2];
}

int64_t mf_classifier_map_size(const mf_classifier *c)
{
    return mf_classifier_sites(c) * c->shape.head.channels;
}

int64_t mf_classifier_width(const mf_classifier *c)
{
    return mf_head_width(&c->shape.head, mf_classifier_sites(c));
}

mf_weights *mf_classifier_weights(mf_classifier *c)
{
    return c->learned;
}

mf_weights *mf_classifier_encoder(mf_classifier *c)
{
    return c->frozen ? c->frozen : c->learned;
}

/* ---- programs -------------------------------------------------------------------------------- */

/* The deepest map of the input image: [1,L,C]. */
static mf_value encoded(mf_program *p, const mf_classifier *c)
{
    const int64_t *crop = c->shape.crop;
    mf_value map = mf_iris_deepest(
        p, &c->shape.iris, mf_input(p, "image", MF_F32, SHAPE(1, crop[0], crop[1], crop[2], 1)));
    return mf_reshape(p, map, SHAPE(1, mf_classifier_sites(c), c->shape.head.channels));
}

static void declare_encode(mf_program *p, const mf_classifier *c)
{
    mf_output(p, "map", encoded(p, c));
}

/* What the head reads. */
static mf_value head_input(mf_program *p, const mf_classifier *c)
{
    return c->frozen ? mf_input(p, "map", MF_F32,
                                SHAPE(1, mf_classifier_sites(c), c->shape.head.channels))
                     : encoded(p, c);
}

static void declare_predict(mf_program *p, const mf_classifier *c)
{
    mf_head_apply(p, &c->shape.head, head_input(p, c), MF_NONE);
}

static void declare_learn(mf_program *p, const mf_classifier *c)
{
    const mf_head *head = &c->shape.head;
    mf_value x = head_input(p, c);
    mf_value drop = c->shape.dropout ? mf_head_drop(p, head, 1, mf_classifier_sites(c)) : MF_NONE;
    mf_value loss = mf_head_loss(p, head, mf_head_apply(p, head, x, drop));
    loss = mf_mul(p, loss, mf_input(p, "share", MF_F32, SHAPE(1)));
    mf_output(p, "shared_loss", loss);
    mf_differentiate(p, loss);
}

typedef void (*declare)(mf_program *p, const mf_classifier *c);

static mf_status compile(mf_classifier *c, declare what, mf_weights *w, mf_executable **e)
{
    mf_program *p;
    if (*e)
        return MF_OK;
    MF_TRY(mf_program_new(&p));
    what(p, c);
    mf_status status = mf_program_compile(p, w, e);
    mf_program_free(p);
    return status;
}

static mf_status declare_weights(const mf_classifier *c, declare what, mf_weights *w)
{
    mf_program *p;
    MF_TRY(mf_program_new(&p));
    what(p, c);
    mf_status status = mf_weights_declare(w, p);
    mf_program_free(p);
    return status;
}

static mf_status set_groups(mf_classifier *c)
{
    for (size_t i = 0; i < mf_weights_count(c->learned); i++) {
        mf_weight_info info;
        mf_weights_info(c->learned, i, &info);
        MF_TRY(mf_weights_set_group(c->learned, i,
                                    strncmp(info.name, "encoder.", 8) ? HEAD : ENCODER));
    }
    return MF_OK;
}

static mf_status make(mf_classifier *c, mf_device *device)
{
    MF_TRY(mf_classifier_check(&c->shape));
    MF_TRY(mf_weights_new(device, &c->learned));
    if (!c->shape.trainable)
        MF_TRY(mf_weights_new(device, &c->frozen));
    MF_TRY(declare_weights(c, declare_encode, mf_classifier_encoder(c)));
    MF_TRY(declare_weights(c, declare_predict, c->learned));
    return set_groups(c);
}

mf_status mf_classifier_new(mf_device *device, const mf_classifier_shape *shape,
                            mf_classifier **classifier)
{
    *classifier = NULL;
    mf_classifier *c = calloc(1, sizeof *c);
    if (!c)
        return mf_no_memory(sizeof *c, "a classifier");
    c->shape = *shape;
    mf_status status = make(c, device);
    if (!status && c->frozen) {
        c->map = calloc((size_t)mf_classifier_map_size(c), sizeof *c->map);
        status = c->map ? MF_OK : mf_no_memory(0, "a feature map");
    }
    if (status) {
        mf_classifier_free(c);
        return status;
    }
    *classifier = c;
    return MF_OK;
}

void mf_classifier_free(mf_classifier *c)
{
    if (!c)
        return;
    mf_executable_free(c->encode);
    mf_executable_free(c->learn);
    mf_executable_free(c->predict);
    mf_weights_free(c->learned);
    mf_weights_free(c->frozen);
    free(c->map);
    free(c);
}

/* ---- weights --------------------------------------------------------------------------------- */

static bool of_encoder(mf_weights *w, size_t i)
{
    mf_weight_info info;
    mf_weights_info(w, i, &info);
    return !strncmp(info.name, "encoder.", 8);
}

static mf_status load(mf_weights *w, bool encoder, const mf_tensors *t)
{
    for (size_t i = 0; i < mf_weights_count(w); i++)
        if (of_encoder(w, i) == encoder)
            MF_TRY(mf_model_load_weight(w, i, t));
    return MF_OK;
}

mf_status mf_classifier_load_encoder(mf_classifier *c, const mf_tensors *t)
{
    return load(mf_classifier_encoder(c), true, t);
}

mf_status mf_classifier_load_head(mf_classifier *c, const mf_tensors *t)
{
    return load(c->learned, false, t);
}

mf_status mf_classifier_draw_head(mf_classifier *c, uint64_t seed)
{
    for (size_t i = 0; i < mf_weights_count(c->learned); i++)
        if (!of_encoder(c->learned, i))
            MF_TRY(mf_model_draw_weight(c->learned, i, seed));
    return MF_OK;
}

/* ---- running --------------------------------------------------------------------------------- */

mf_status mf_classifier_encode(mf_classifier *c, const float *image, float *map)
{
    MF_TRY(compile(c, declare_encode, mf_classifier_encoder(c), &c->encode));
    MF_TRY(mf_executable_set(c->encode, "image", image));
    MF_TRY(mf_executable_run(c->encode));
    return mf_executable_get(c->encode, "map", map);
}

static mf_status predict(mf_classifier *c, const char *input, const float *values, float *logits)
{
    MF_TRY(compile(c, declare_predict, c->learned, &c->predict));
    MF_TRY(mf_executable_set(c->predict, input, values));
    MF_TRY(mf_executable_run(c->predict));
    return mf_executable_get(c->predict, "logits", logits);
}

mf_status mf_classifier_predict_map(mf_classifier *c, const float *map, float *logits)
{
    return predict(c, "map", map, logits);
}

mf_status mf_classifier_predict(mf_classifier *c, const float *image, float *logits)
{
    if (!c->frozen)
        return predict(c, "image", image, logits);
    MF_TRY(mf_classifier_encode(c, image, c->map));
    return predict(c, "map", c->map, logits);
}

mf_status mf_classifier_learn(mf_classifier *c, const mf_classifier_case *one, float *loss,
                              float *logits)
{
    if (c->frozen)
        MF_TRY(mf_classifier_encode(c, one->image, c->map));
    MF_TRY(compile(c, declare_learn, c->learned, &c->learn));
    MF_TRY(
        mf_executable_set(c->learn, c->frozen ? "map" : "image", c->frozen ? c->map : one->image));
    if (c->shape.dropout)
        MF_TRY(mf_executable_set(c->learn, "drop", one->drop));
    MF_TRY(mf_executable_set(c->learn, "target", one->target));
    MF_TRY(mf_executable_set(c->learn, "weight", one->weight));
    MF_TRY(mf_executable_set(c->learn, "share", &one->share));
    MF_TRY(mf_executable_run(c->learn));
    MF_TRY(mf_weights_end_item(c->learned));
    MF_TRY(mf_executable_get(c->learn, "shared_loss", loss));
    return logits ? mf_executable_get(c->learn, "logits", logits) : MF_OK;
}

mf_status mf_classifier_update(mf_classifier *c, const mf_classifier_step *s, float *norm)
{
    const mf_optimizer_group groups[GROUPS] = {
        [HEAD] = {s->head_rate, s->weight_decay, true},
        [ENCODER] = {s->encoder_rate, s->weight_decay, true}};
    const mf_optimizer_step step = {.kind = MF_ADAMW,
                                    .beta1 = 0.9,
                                    .beta2 = 0.999,
                                    .eps = 1e-8,
                                    .max_norm = s->max_norm,
                                    .grad_scale = 1,
                                    .step = s->step};
    return mf_weights_step_groups(c->learned, &step, groups, GROUPS, norm);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static mf_status count_on(mf_device *device, const mf_classifier_shape *shape, int64_t batch)
{
    const mf_classifier_step step = {.step = 1, .max_norm = 1};
    mf_classifier *c;
    float norm;
    MF_TRY(mf_classifier_new(device, shape, &c));
    mf_status status = MF_OK;
    if (c->frozen)
        status = compile(c, declare_encode, c->frozen, &c->encode);
    if (!status)
        status = compile(c, declare_learn, c->learned, &c->learn);
    if (!status)
        status = compile(c, declare_predict, c->learned, &c->predict);
    if (!status)
        status = mf_weights_begin_batch(c->learned, batch);
    for (int64_t i = 0; i < batch && !status; i++) {
        status = mf_executable_run(c->learn);
        if (!status)
            status = mf_weights_end_item(c->learned);
    }
    if (!status)
        status = mf_classifier_update(c, &step, &norm);
    mf_classifier_free(c);
    return status;
}

mf_status mf_classifier_count(mf_device *device, const mf_classifier_shape *shape, int64_t batch,
                              size_t *bytes)
{
    mf_device *counting;
    *bytes = 0;
    MF_TRY(mf_device_counting(device, &counting));
    mf_status status = count_on(counting, shape, batch);
    *bytes = mf_device_most_used(counting);
    mf_device_unref(counting);
    return status;
}
