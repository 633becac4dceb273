/* predictor.c - see predictor.h. */
#include "predictor_private.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of the decoder's largest map for which prompts are taken together: more gains nothing. */
static const int64_t part_bytes = 256 << 20;

mf_status sam2_allocate(const char *what, int64_t count, size_t size, void *made)
{
    void *memory = count > 0 ? calloc((size_t)count, size) : NULL;
    if (!memory)
        return mf_no_memory(0, "%s", what);
    memcpy(made, &memory, sizeof memory);
    return MF_OK;
}

/* ---- making one --------------------------------------------------------------------------------
 */

/* Tensors that are read on the host: they have no place in a program. */
static mf_status keep_small(const mf_tensors *t, mf_tensors *small)
{
    static const char *const names[] = {"maskmem_tpos_enc",
                                        "no_obj_ptr",
                                        "no_obj_embed_spatial",
                                        "obj_ptr_tpos_proj.weight",
                                        "obj_ptr_tpos_proj.bias",
                                        "sam_mask_decoder.obj_score_token.weight",
                                        "sam_mask_decoder.iou_token.weight",
                                        "sam_mask_decoder.mask_tokens.weight",
                                        "sam_prompt_encoder.not_a_point_embed.weight",
                                        "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_"
                                        "matrix"};
    static const char points[] = "sam_prompt_encoder.point_embeddings.";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        mf_array *a = mf_tensors_find(t, names[i]);
        if (a)
            MF_TRY(mf_tensors_add(small, names[i], mf_array_ref(a)));
    }
    for (size_t i = 0; i < t->count; i++)
        if (!strncmp(t->item[i].name, points, sizeof points - 1))
            MF_TRY(mf_tensors_add(small, t->item[i].name, mf_array_ref(t->item[i].array)));
    return MF_OK;
}

mf_status sam2_predictor_new(mf_device *device, const sam2_config *config,
                             const mf_tensors *weights, size_t budget, sam2_predictor **predictor)
{
    sam2_predictor *p = NULL;
    *predictor = NULL;
    MF_TRY(sam2_allocate("a model", 1, sizeof *p, &p));
    p->config = *config;
    mf_status status = keep_small(weights, &p->small);
    if (!status)
        status = sam2_token_source_of(&p->small, config, &p->source);
    if (!status)
        status = sam2_programs_new(device, config, weights, budget, &p->programs);
    if (status) {
        sam2_predictor_free(p);
        return status;
    }
    *predictor = p;
    return MF_OK;
}

void sam2_predictor_free(sam2_predictor *p)
{
    if (!p)
        return;
    sam2_programs_free(p->programs);
    mf_tensors_clear(&p->small);
    free(p);
}

const sam2_config *sam2_predictor_config(const sam2_predictor *p)
{
    return &p->config;
}

/* ---- pictures ----------------------------------------------------------------------------------
 */

void sam2_features_clear(sam2_features *f)
{
    free(f->embed);
    free(f->high0);
    free(f->high1);
    *f = (sam2_features){0};
}

static mf_status encode(sam2_predictor *p, const float *image, sam2_features *f)
{
    int64_t h = p->config.image / 16, sites = h * h, dim = p->config.dim;
    const sam2_shape shape = {.kind = SAM2_ENCODER};
    mf_executable *e;
    MF_TRY(sam2_programs_get(p->programs, &shape, &e));
    MF_TRY(mf_executable_set(e, "image", image));
    MF_TRY(mf_executable_run(e));
    MF_TRY(sam2_allocate("a picture's features", sites * dim, sizeof(float), &f->embed));
    MF_TRY(sam2_allocate("a picture's features", 16 * sites * dim / 8, sizeof(float), &f->high0));
    MF_TRY(sam2_allocate("a picture's features", 4 * sites * dim / 4, sizeof(float), &f->high1));
    MF_TRY(mf_executable_get(e, "embed", f->embed));
    MF_TRY(mf_executable_get(e, "high0", f->high0));
    return mf_executable_get(e, "high1", f->high1);
}

mf_status sam2_encode(sam2_predictor *p, const float *image, sam2_features *f)
{
    *f = (sam2_features){0};
    mf_status status = encode(p, image, f);
    if (status)
        sam2_features_clear(f);
    return status;
}

/* ---- prompts -----------------------------------------------------------------------------------
 */

mf_status sam2_prompts_check(const sam2_prompts *prompts)
{
    if (prompts->batch < 1 || prompts->points < 0 || prompts->points > 4096)
        return mf_fail(MF_INVALID, "%lld prompts of %lld points: at least one, of 0 to 4096 points",
                       (long long)prompts->batch, (long long)prompts->points);
    for (int64_t i = 0; i < prompts->batch * prompts->points; i++)
        if (prompts->labels[i] < -1 || prompts->labels[i] >= SAM2_POINT_LABELS)
            return mf_fail(MF_INVALID, "label %d of a point is not from -1 to 3",
                           (int)prompts->labels[i]);
    return MF_OK;
}

mf_status sam2_prompts_embed(const sam2_predictor *p, const sam2_prompts *prompts, int64_t *tokens,
                             float **made)
{
    const sam2_token_source *s = &p->source;
    int64_t points = prompts->points + (prompts->pad ? 1 : 0), given = prompts->points;
    float *xy = NULL;
    int32_t *labels = NULL;
    *tokens = sam2_token_count(s, points);
    *made = NULL;
    mf_status status =
        sam2_allocate("prompts", prompts->batch * *tokens * s->dim, sizeof **made, made);
    if (!status)
        status = sam2_allocate("prompts", 2 * (points + 1), sizeof *xy, &xy);
    if (!status)
        status = sam2_allocate("prompts", points + 1, sizeof *labels, &labels);
    for (int64_t i = 0; i < prompts->batch && !status; i++) {
        if (given) {
            memcpy(xy, prompts->xy + 2 * i * given, 2 * (size_t)given * sizeof *xy);
            memcpy(labels, prompts->labels + i * given, (size_t)given * sizeof *labels);
        }
        labels[given] = -1;
        sam2_tokens(s, points, xy, labels, *made + i * *tokens * s->dim);
    }
    free(xy);
    free(labels);
    if (status) {
        free(*made);
        *made = NULL;
    }
    return status;
}

/* ---- the decoder -------------------------------------------------------------------------------
 */

/* Sets an input of `count` values of which `have` are given: zeros behind them. */
static mf_status set_padded(mf_executable *e, const char *name, const void *from, int64_t have,
                            int64_t count, size_t size)
{
    void *all = NULL;
    if (have == count)
        return mf_executable_set(e, name, from);
    MF_TRY(sam2_allocate("prompts", count, size, &all));
    memcpy(all, from, (size_t)have * size);
    mf_status status = mf_executable_set(e, name, all);
    free(all);
    return status;
}

/* The first `have` of an output's `count` values. */
static mf_status get_padded(mf_executable *e, const char *name, float *to, int64_t have,
                            int64_t count)
{
    float *all = NULL;
    if (!to)
        return MF_OK;
    if (have == count)
        return mf_executable_get(e, name, to);
    MF_TRY(sam2_allocate("masks", count, sizeof *all, &all));
    mf_status status = mf_executable_get(e, name, all);
    if (!status)
        memcpy(to, all, (size_t)have * sizeof *to);
    free(all);
    return status;
}

static mf_status set_inputs(const sam2_config *c, const sam2_decoding *d, mf_executable *e,
                            int64_t batch)
{
    int64_t n = d->shape.batch, row = d->shape.tokens * c->dim;
    int64_t picture = c->image / 16 * (c->image / 16) * c->dim, one = d->shape.own_picture ? 0 : 1;
    MF_TRY(set_padded(e, "picture", d->picture, (one ? 1 : n) * picture,
                      (one ? 1 : batch) * picture, sizeof(float)));
    MF_TRY(set_padded(e, "tokens", d->tokens, n * row, batch * row, sizeof(float)));
    MF_TRY(mf_executable_set(e, "high0", d->features->high0));
    MF_TRY(mf_executable_set(e, "high1", d->features->high1));
    if (d->shape.mask == SAM2_NO_MASK)
        return MF_OK;
    bool pixels = d->shape.mask == SAM2_MASK_PIXELS;
    int64_t edge = pixels ? c->image : c->image / 4;
    return set_padded(e, "masks", d->masks, n * edge * edge, batch * edge * edge,
                      pixels ? sizeof(uint8_t) : sizeof(float));
}

/* A program for more prompts serves as well: so a last part needs none of its own. */
mf_status sam2_decoder_run(sam2_predictor *p, const sam2_decoding *d)
{
    const sam2_config *c = &p->config;
    sam2_shape shape = {.kind = SAM2_DECODER, .decoder = d->shape};
    int64_t n = d->shape.batch, batch = sam2_programs_batch(p->programs, &d->shape);
    int64_t area = c->image / 4 * (c->image / 4);
    mf_executable *e;
    shape.decoder.batch = batch;
    MF_TRY(sam2_programs_get(p->programs, &shape, &e));
    MF_TRY(set_inputs(c, d, e, batch));
    MF_TRY(mf_executable_run(e));
    MF_TRY(get_padded(e, "logits", d->logits, 4 * n * area, 4 * batch * area));
    MF_TRY(get_padded(e, "iou", d->iou, 4 * n, 4 * batch));
    MF_TRY(get_padded(e, "pointers", d->pointers, 4 * n * c->dim, 4 * batch * c->dim));
    if (c->object_scores)
        return get_padded(e, "score", d->score, n, batch);
    for (int64_t i = 0; d->score && i < n; i++)
        d->score[i] = 10;
    return MF_OK;
}

static float *offset(float *values, int64_t by)
{
    return values ? values + by : NULL;
}

/* Prompts first .. first + count of all. */
static mf_status decode_part(sam2_predictor *p, const sam2_features *f, const sam2_prompts *all,
                             int64_t first, int64_t count, const sam2_answers *answers)
{
    int64_t area = p->config.image / 4 * (p->config.image / 4), tokens;
    sam2_prompts part = *all;
    float *made;
    part.batch = count;
    part.xy = all->xy ? all->xy + 2 * first * all->points : NULL;
    part.labels = all->labels ? all->labels + first * all->points : NULL;
    MF_TRY(sam2_prompts_embed(p, &part, &tokens, &made));
    sam2_decoding d = {.shape = {.batch = count,
                                 .tokens = tokens,
                                 .no_memory = true,
                                 .mask = all->masks ? SAM2_MASK_LOGITS : SAM2_NO_MASK},
                       .picture = f->embed,
                       .features = f,
                       .tokens = made,
                       .masks = all->masks ? all->masks + first * area : NULL,
                       .logits = offset(answers->logits, 4 * first * area),
                       .iou = offset(answers->iou, 4 * first),
                       .score = offset(answers->object_score, first)};
    mf_status status = sam2_decoder_run(p, &d);
    free(made);
    return status;
}

int64_t sam2_part_batch(const sam2_config *c)
{
    int64_t one = c->image / 4 * (c->image / 4) * (c->dim / 8) * (int64_t)sizeof(float);
    return part_bytes / one > 1 ? part_bytes / one : 1;
}

mf_status sam2_decode(sam2_predictor *p, const sam2_features *f, const sam2_prompts *prompts,
                      sam2_answers *answers)
{
    MF_TRY(sam2_prompts_check(prompts));
    int64_t most = sam2_part_batch(&p->config);
    for (int64_t first = 0; first < prompts->batch;) {
        int64_t left = prompts->batch - first, count = left < most ? left : most;
        mf_status status = decode_part(p, f, prompts, first, count, answers);
        if (status && mf_error_code(status) == MF_NO_MEMORY && count > 1) {
            mf_error_free(status);
            most = count / 2;
            continue;
        }
        MF_TRY(status);
        first += count;
    }
    return MF_OK;
}

/* ---- which mask --------------------------------------------------------------------------------
 */

int32_t sam2_choose_best(const float *iou)
{
    int32_t best = 1;
    for (int32_t i = 2; i < 4; i++)
        best = iou[i] > iou[best] ? i : best;
    return best;
}

void sam2_choose_single(const sam2_config *c, const sam2_answers *answers, int64_t batch,
                        int32_t *index)
{
    int64_t area = c->image / 4 * (c->image / 4);
    for (int64_t i = 0; i < batch; i++) {
        const float *logits = answers->logits + 4 * i * area;
        int64_t sure = 0, maybe = 0;
        for (int64_t k = 0; k < area; k++) {
            sure += logits[k] > 0.05f;
            maybe += logits[k] > -0.05f;
        }
        bool stable = maybe == 0 || (float)sure / (float)maybe >= 0.98f;
        index[i] = stable ? 0 : sam2_choose_best(answers->iou + 4 * i);
    }
}
