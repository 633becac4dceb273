/* encode.c - the encoder under a loss of a whole batch, image by image. */
#include "encode.h"
#include "../common/layers.h"

#include <math.h>

mf_value mf_encode_pooled(mf_program *p, const mf_iris *iris, mf_value image)
{
    mf_value x = mf_iris_deepest(p, iris, image);
    const int64_t sites = mf_dim(p, x, 1) * mf_dim(p, x, 2) * mf_dim(p, x, 3);
    return mf_mean(p, mf_reshape(p, x, SHAPE(1, sites, mf_dim(p, x, -1))), 1);
}

mf_status mf_encode_declare(const mf_iris *iris, mf_weights *w)
{
    mf_iris own = *iris;
    mf_program *p;
    own.share = 0; /* a crop so small has no batch statistics */
    MF_TRY(mf_program_new(&p));
    mf_encode_pooled(p, &own, mf_input(p, "image", MF_F32, SHAPE(1, 16, 16, 16, 1)));
    return mf_baseline_declare(w, p);
}

static mf_value image_input(mf_program *p, const mf_baseline *b)
{
    return mf_input(p, "image", MF_F32, SHAPE(1, b->crop[0], b->crop[1], b->crop[2], 1));
}

static mf_status compile_forward(const mf_baseline *b, mf_weights *w, mf_encoder *e)
{
    mf_program *p;
    MF_TRY(mf_program_new(&p));
    mf_output(p, "features", mf_encode_pooled(p, &b->iris, image_input(p, b)));
    return mf_baseline_compile(p, w, &e->forward);
}

/* d (features . gradient) / d weight */
static mf_status compile_backward(const mf_baseline *b, mf_weights *w, mf_encoder *e)
{
    mf_program *p;
    MF_TRY(mf_program_new(&p));
    mf_value features = mf_encode_pooled(p, &b->iris, image_input(p, b));
    mf_value gradient = mf_input(p, "gradient", MF_F32, SHAPE(1, e->channels));
    mf_baseline_recompute(b, p);
    mf_differentiate(p, mf_sum(p, mf_mul(p, features, gradient), 1));
    return mf_baseline_compile(p, w, &e->backward);
}

mf_status mf_encoder_open(const mf_baseline *b, mf_weights *w, bool learns, mf_encoder *e)
{
    int64_t size[3];
    e->channels = mf_iris_deepest_channels(&b->iris);
    mf_iris_deepest_size(&b->iris, b->crop, size);
    if (size[0] * size[1] * size[2] < MF_ENCODE_LEAST_VOXELS)
        return mf_hint(
            mf_fail(MF_INVALID,
                    "views of %lld x %lld x %lld voxels: the deepest map has %lld of the "
                    "4 voxels that its norms need: of one they leave 0, of two "
                    "the same two values for all scans",
                    (long long)b->crop[2], (long long)b->crop[1], (long long)b->crop[0],
                    (long long)(size[0] * size[1] * size[2])),
            b->iris.i3d.width ? "a larger patch_size of the pairs: the map has a voxel for 32 x 32 "
                                "x 16"
                              : "a larger patch_size of the pairs: at least 32 along two axes");
    MF_TRY(compile_forward(b, w, e));
    return learns ? compile_backward(b, w, e) : MF_OK;
}

void mf_encoder_close(mf_encoder *e)
{
    mf_executable_free(e->forward);
    mf_executable_free(e->backward);
    *e = (mf_encoder){0};
}

static const float *image_of(const mf_baseline_pair *pair, mf_which_view view)
{
    return view == MF_REFERENCE ? pair->reference : pair->query;
}

/* How much of a step is done: forward takes a third of the time of backward. */
static void progress(mf_baseline *b, int64_t forward, int64_t backward, int64_t all)
{
    mf_baseline_progress(b, ((double)forward + 3 * (double)backward) / (4 * (double)all));
}

mf_status mf_encoder_batch(mf_baseline *b, const mf_encoder *e, const mf_baseline_pair *pairs,
                           const mf_which_view *view, int views, float *features)
{
    const int64_t n = b->params->batch_size;
    int64_t first, items;
    mf_baseline_part(b, views * n, &first, &items);
    for (int64_t i = first; i < first + items; i++) {
        const mf_baseline_pair *pair = &pairs[i % n];
        const float *image = image_of(pair, view[i / n]);
        float *row = features + i * e->channels;
        MF_TRY(mf_baseline_finite(b, pair, "a voxel is", image, b->voxels));
        MF_TRY(mf_executable_set(e->forward, "image", image));
        MF_TRY(mf_executable_run(e->forward));
        MF_TRY(mf_executable_get(e->forward, "features", row));
        MF_TRY(mf_baseline_finite(b, pair, "a feature of the encoder is", row, e->channels));
        progress(b, i + 1 - first, 0, items);
    }
    return mf_baseline_gather(b, features, views * n, (size_t)e->channels * sizeof *features);
}

/* Item 0 of the batch is the loss. */
mf_status mf_encoder_learn(mf_baseline *b, const mf_encoder *e, const mf_baseline_pair *pairs,
                           const mf_which_view *view, int views, const float *gradient)
{
    const int64_t n = b->params->batch_size;
    int64_t first, items;
    mf_baseline_part(b, 1 + views * n, &first, &items);
    for (int64_t item = first > 1 ? first : 1; item < first + items; item++) {
        const int64_t i = item - 1;
        MF_TRY(mf_executable_set(e->backward, "image", image_of(&pairs[i % n], view[i / n])));
        MF_TRY(mf_executable_set(e->backward, "gradient", gradient + i * e->channels));
        MF_TRY(mf_executable_run(e->backward));
        MF_TRY(mf_weights_end_item(b->weights));
        progress(b, items, item + 1 - first, items);
    }
    return mf_baseline_exchange(b);
}

/* ---- the loss -------------------------------------------------------------------------------- */

mf_status mf_encoded_loss_declare(mf_baseline *b, mf_encoded_loss loss)
{
    mf_program *p;
    MF_TRY(mf_encode_declare(&b->iris, b->weights));
    MF_TRY(mf_program_new(&p));
    loss(p, b);
    return mf_baseline_declare(b->weights, p);
}

mf_status mf_encoded_loss_compile(mf_baseline *b, mf_encoded_loss loss, mf_executable **e)
{
    mf_program *p;
    *e = NULL;
    MF_TRY(mf_program_new(&p));
    loss(p, b);
    return mf_baseline_compile(p, b->weights, e);
}

static mf_status run_loss(mf_executable *e, const float *features, double *value, float *gradient)
{
    float loss;
    MF_TRY(mf_executable_set(e, "features", features));
    MF_TRY(mf_executable_run(e));
    MF_TRY(mf_executable_get(e, "loss", &loss));
    *value = (double)loss;
    return mf_executable_get(e, "gradient", gradient);
}

/* All ranks compute the loss, for all go on from its gradient at the features. Its own gradients
 * are an item of the first rank's part: those of the others are forgotten. */
mf_status mf_encoded_loss_run(mf_baseline *b, mf_executable *e, int64_t images,
                              const float *features, double *value, float *gradient)
{
    int64_t first, items;
    mf_baseline_part(b, 1 + images, &first, &items);
    if (first > 0) {
        MF_TRY(mf_weights_begin_batch(b->weights, 1));
        MF_TRY(run_loss(e, features, value, gradient));
        return mf_weights_begin_batch(b->weights, items);
    }
    MF_TRY(mf_weights_begin_batch(b->weights, items));
    MF_TRY(run_loss(e, features, value, gradient));
    return mf_weights_end_item(b->weights);
}
