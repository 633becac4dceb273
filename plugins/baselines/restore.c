/* restore.c - see restore.h. */
#include "restore.h"
#include "pretext.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct restore {
    mf_pretext pretext;
    mf_executable *program;
} restore;

double mf_reconstruct_share(const mf_reconstruct_params *o)
{
    return o->mask_share >= 0 ? o->mask_share : !strcmp(o->mask, "mae") ? 0.75 : 0.6;
}

int64_t mf_reconstruct_patch(const mf_reconstruct_params *o)
{
    return o->mask_patch > 0 ? o->mask_patch : !strcmp(o->mask, "mae") ? 16 : 32;
}

/* ---- settings -------------------------------------------------------------------------------- */

static mf_pretext reconstruct_pretext(const mf_baseline *b)
{
    const mf_reconstruct_params *o = (const mf_reconstruct_params *)b->params;
    return (mf_pretext){
        .kind = strcmp(o->mask, "mae") ? MF_RESTORATION_SIMMIM : MF_RESTORATION_MAE,
        .masking = {.patch = mf_reconstruct_patch(o), .share = mf_reconstruct_share(o)},
        .normalize = o->normalize_target};
}

static mf_pretext genesis_pretext(const mf_baseline *b)
{
    const mf_genesis_params *o = (const mf_genesis_params *)b->params;
    return (mf_pretext){.kind = MF_RESTORATION_GENESIS,
                        .genesis = {.nonlinear_prob = o->nonlinear_prob,
                                    .shuffle_prob = o->shuffle_prob,
                                    .paint_prob = o->paint_prob,
                                    .inner_prob = o->inner_prob}};
}

/* ---- the method ------------------------------------------------------------------------------ */

static mf_status declare(mf_baseline *b, mf_pretext pretext)
{
    static const int64_t crop[3] = {16, 16, 16};
    restore *r = b->own;
    mf_program *p;
    r->pretext = pretext;
    r->pretext.seed = (uint64_t)b->params->seed;
    r->pretext.share = 1 / (double)b->params->batch_size;
    MF_TRY(mf_program_new(&p));
    mf_restoration_loss(p, pretext.kind, &b->iris, crop);
    return mf_baseline_declare(b->weights, p);
}

static mf_status declare_reconstruct(mf_baseline *b)
{
    return declare(b, reconstruct_pretext(b));
}

static mf_status declare_genesis(mf_baseline *b)
{
    return declare(b, genesis_pretext(b));
}

/* The value of hidden voxels starts as the mean of a scan, 0. */
static mf_status draw(mf_baseline *b, size_t i, bool *drawn)
{
    static const float zero = 0;
    mf_weight_info info;
    mf_weights_info(b->weights, i, &info);
    *drawn = !strcmp(info.name, "restoration.mask_token");
    return *drawn ? mf_weights_set(b->weights, i, &zero) : MF_OK;
}

static mf_status open_programs(mf_baseline *b)
{
    restore *r = b->own;
    mf_program *p;
    memcpy(r->pretext.crop, b->crop, sizeof b->crop);
    memcpy(r->pretext.masking.crop, b->crop, sizeof b->crop);
    MF_TRY(mf_pretext_check(&r->pretext));
    MF_TRY(mf_program_new(&p));
    mf_value loss = mf_restoration_loss(p, r->pretext.kind, &b->iris, b->crop);
    mf_baseline_recompute(b, p);
    mf_differentiate(p, loss);
    return mf_baseline_compile(p, b->weights, &r->program);
}

static mf_status learn_pair(mf_baseline *b, const mf_baseline_pair *pair, double *values)
{
    restore *r = b->own;
    float loss;
    MF_TRY(mf_baseline_finite(b, pair, "a voxel is", pair->reference, b->voxels));
    MF_TRY(mf_pretext_set(&r->pretext, pair->index, pair->reference, r->program));
    MF_TRY(mf_executable_run(r->program));
    MF_TRY(mf_executable_get(r->program, "loss", &loss));
    if (!b->counting && !isfinite(loss))
        return mf_baseline_diverged(b, pair, "the loss is", (double)loss);
    values[0] = (double)loss;
    return MF_OK;
}

static mf_status learn(mf_baseline *b, int64_t i, const mf_baseline_pair *pairs, double *values)
{
    (void)i;
    return mf_baseline_each(b, pairs, 1, learn_pair, values);
}

/* The same in all steps; as in MAE and SimMIM, none of vectors and of the value of hidden voxels.
 */
static double weight_decay(const mf_baseline *b, int64_t i)
{
    (void)i;
    return b->params->weight_decay;
}

static void close_programs(mf_baseline *b)
{
    mf_executable_free(((restore *)b->own)->program);
}

const mf_method mf_reconstruct_method = {.name = "reconstruct.train",
                                         .size = sizeof(restore),
                                         .views = 1,
                                         .declare = declare_reconstruct,
                                         .draw = draw,
                                         .open = open_programs,
                                         .learn = learn,
                                         .close = close_programs,
                                         .weight_decay = weight_decay};

const mf_method mf_genesis_method = {.name = "genesis.train",
                                     .size = sizeof(restore),
                                     .views = 1,
                                     .declare = declare_genesis,
                                     .open = open_programs,
                                     .learn = learn,
                                     .close = close_programs};
