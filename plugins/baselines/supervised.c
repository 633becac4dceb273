/* supervised.c - see supervised.h. */
#include "supervised.h"
#include "segmentation.h"

#include <massflow/memory.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct supervised {
    mf_executable *program;
    uint8_t *target;       /* [V,classes], one-hot */
    uint16_t class[65536]; /* of each label value; 0: background, or a label that is not learned */
    bool unknown[65536];   /* a label that no sample has, where all labels are learned */
} supervised;

static int64_t classes_of(const mf_baseline *b)
{
    return ((const mf_supervised_params *)b->params)->classes->count + 1;
}

/* The loss of a crop, times its share of the batch's. */
static mf_value declare_loss(mf_program *p, const mf_baseline *b, const int64_t crop[3])
{
    mf_segmentation s;
    mf_segmentation_loss(p, &b->iris, crop, classes_of(b), &s);
    return mf_scale(p, s.loss, (float)(1 / (double)b->params->batch_size));
}

static mf_status declare(mf_baseline *b)
{
    static const int64_t crop[3] = {16, 16, 16};
    mf_program *p;
    MF_TRY(mf_program_new(&p));
    declare_loss(p, b, crop);
    return mf_baseline_declare(b->weights, p);
}

static mf_status open_programs(mf_baseline *b)
{
    supervised *s = b->own;
    mf_program *p;
    const mf_classes *classes = ((const mf_supervised_params *)b->params)->classes;
    const bool all = !((const mf_supervised_params *)b->params)->labels.count;
    for (int64_t label = 1; label < 65536; label++)
        s->unknown[label] = all;
    for (int64_t k = 0; k < classes->count; k++) {
        s->class[classes->label[k]] = (uint16_t)(k + 1);
        s->unknown[classes->label[k]] = false;
    }
    s->target = malloc((size_t)(b->voxels * classes_of(b)));
    if (!s->target)
        return mf_no_memory((size_t)(b->voxels * classes_of(b)), "the classes of a crop");
    MF_TRY(mf_program_new(&p));
    mf_value loss = declare_loss(p, b, b->crop);
    mf_baseline_recompute(b, p);
    mf_differentiate(p, loss);
    MF_TRY(mf_baseline_compile(p, b->weights, &s->program));
    return mf_segmentation_constants(b->crop, classes_of(b), s->program);
}

/* A label that is no class must not become background unasked: it is an organ that is there. */
static mf_status fill_target(const mf_baseline *b, const uint16_t *labels)
{
    supervised *s = b->own;
    const int64_t classes = classes_of(b);
    memset(s->target, 0, (size_t)(b->voxels * classes));
    for (int64_t i = 0; i < b->voxels; i++) {
        const uint16_t label = labels ? labels[i] : 0;
        if (s->unknown[label])
            return mf_fail(MF_INVALID, "no sample of `samples` has its label %d", label);
        s->target[i * classes + s->class[label]] = 1;
    }
    return MF_OK;
}

/* values: loss, Dice, cross entropy. */
static mf_status learn_crop(mf_baseline *b, const mf_baseline_pair *pair, double *values)
{
    static const char *const outputs[3] = {"loss", "dice", "ce"};
    supervised *s = b->own;
    MF_TRY(mf_baseline_finite(b, pair, "a voxel is", pair->reference, b->voxels));
    MF_TRY(mf_hint(mf_baseline_within(b, pair, fill_target(b, pair->labels)),
                   "connect the samples that the crops are drawn from, or choose with `labels`"));
    MF_TRY(mf_executable_set(s->program, "image", pair->reference));
    MF_TRY(mf_executable_set(s->program, "target", s->target));
    MF_TRY(mf_executable_run(s->program));
    for (int i = 0; i < 3; i++) {
        float value;
        MF_TRY(mf_executable_get(s->program, outputs[i], &value));
        if (i == 0 && !b->counting && !isfinite(value))
            return mf_baseline_diverged(b, pair, "the loss is", (double)value);
        values[i] = (double)value / (double)b->params->batch_size;
    }
    return MF_OK;
}

static mf_status learn(mf_baseline *b, int64_t i, const mf_baseline_pair *pairs, double *values)
{
    (void)i;
    return mf_baseline_each(b, pairs, 3, learn_crop, values);
}

static void close_programs(mf_baseline *b)
{
    supervised *s = b->own;
    mf_executable_free(s->program);
    free(s->target);
}

static const char *const columns[] = {"dice", "ce", NULL};
const mf_method mf_supervised_method = {.name = "supervised.train",
                                        .columns = columns,
                                        .size = sizeof(supervised),
                                        .labelled = true,
                                        .views = 1,
                                        .declare = declare,
                                        .open = open_programs,
                                        .learn = learn,
                                        .close = close_programs};
