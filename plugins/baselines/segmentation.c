/* segmentation.c - see segmentation.h. */
#include "segmentation.h"
#include "../common/layers.h"

#include <massflow/memory.h>

#include <stdlib.h>

mf_value mf_segmentation_apply(mf_program *p, const mf_iris *iris, mf_value image, int64_t classes)
{
    mf_value features[MF_IRIS_DEPTHS];
    mf_iris_encoder(p, iris, image, features);
    mf_value x = mf_iris_plain_decoder(p, iris, features);
    mf_scope(p, "segmentation");
    mf_value w = mf_weight(p, "weight", SHAPE(classes, iris->channels[0], 1, 1, 1));
    mf_value b = mf_weight(p, "bias", SHAPE(classes));
    x = mf_conv3d(p, x, w, b);
    mf_scope_end(p);
    return mf_reshape(p, x, SHAPE(mf_count(p, x) / classes, classes));
}

/* 1 - Dice of each class = (P + T - 2 I) / (P + T + smooth), mean over classes. probability, target
 * [V,K] */
static mf_value soft_dice(mf_program *p, mf_value probability, mf_value target)
{
    const int64_t k = mf_dim(p, probability, 1);
    mf_value both = mf_sum(p, mf_mul(p, probability, target), 0);
    mf_value sums = mf_add(p, mf_sum(p, probability, 0), mf_sum(p, target, 0));
    mf_value over = mf_add(p, sums, mf_scale(p, both, -2));
    mf_value under = mf_add(p, sums, mf_input(p, "smooth", MF_F32, SHAPE(k)));
    over = mf_divide_rows(p, mf_reshape(p, over, SHAPE(k, 1)), under, 1e-8f);
    return mf_mean(p, mf_reshape(p, over, SHAPE(1, k)), 1);
}

void mf_segmentation_loss(mf_program *p, const mf_iris *iris, const int64_t crop[3],
                          int64_t classes, mf_segmentation *s)
{
    const int64_t voxels = crop[0] * crop[1] * crop[2];
    mf_value image = mf_input(p, "image", MF_F32, SHAPE(1, crop[0], crop[1], crop[2], 1));
    s->logits = mf_segmentation_apply(p, iris, image, classes);
    mf_keep(p, s->logits);
    mf_value target = mf_to_float(p, mf_input(p, "target", MF_U8, SHAPE(voxels, classes)));
    mf_value probability = mf_softmax(p, s->logits);
    s->dice = soft_dice(p, mf_slice(p, probability, 1, 1, classes - 1),
                        mf_slice(p, target, 1, 1, classes - 1));
    s->ce = mf_cross_entropy(p, s->logits, target, mf_input(p, "weight", MF_F32, SHAPE(voxels)));
    s->loss = mf_add(p, s->dice, s->ce);
    mf_output(p, "dice", s->dice);
    mf_output(p, "ce", s->ce);
    mf_output(p, "loss", s->loss);
}

static mf_status set_all(mf_executable *program, const char *input, int64_t count, float value)
{
    float *values = malloc((size_t)count * sizeof *values);
    if (!values)
        return mf_no_memory((size_t)count * sizeof *values, "input %s", input);
    for (int64_t i = 0; i < count; i++)
        values[i] = value;
    mf_status status = mf_executable_set(program, input, values);
    free(values);
    return status;
}

mf_status mf_segmentation_constants(const int64_t crop[3], int64_t classes, mf_executable *program)
{
    MF_TRY(set_all(program, "weight", crop[0] * crop[1] * crop[2], 1));
    return set_all(program, "smooth", classes - 1, 1e-5f);
}
