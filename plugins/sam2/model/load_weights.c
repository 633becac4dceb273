/* load_weights.c - see load_weights.h. */
#include "load_weights.h"
#include "constants.h"
#include "decoder.h"
#include "encoder.h"
#include "memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- which weights there are -------------------------------------------------------------------
 */

static void declare_all(mf_program *p, const sam2_config *c, const sam2_widths *w, int which)
{
    sam2_decoder_shape decoder = {.batch = 1, .tokens = 8, .no_memory = true, .mask = SAM2_NO_MASK};
    switch (which) {
    case 0:
        sam2_encoder_declare(p, c, w);
        break;
    case 1:
        sam2_decoder_declare(p, c, w, &decoder);
        break;
    case 2:
        decoder.mask = c->memories ? SAM2_MASK_PIXELS : SAM2_MASK_LOGITS;
        sam2_decoder_declare(p, c, w, &decoder);
        break;
    case 3:
        sam2_attention_declare(p, c, w, &(sam2_attention_shape){1, 1, c->dim / c->memory_dim});
        break;
    default:
        sam2_memory_declare(p, c, w, &(sam2_memory_shape){1, false});
    }
}

mf_status sam2_declare(mf_weights *weights, const sam2_config *c, const sam2_widths *w)
{
    for (int i = 0; i < (c->memories ? 5 : 3); i++) {
        mf_program *p;
        MF_TRY(mf_program_new(&p));
        declare_all(p, c, w, i);
        mf_status status = mf_weights_declare(weights, p);
        mf_program_free(p);
        MF_TRY(status);
    }
    return MF_OK;
}

/* ---- where their values come from --------------------------------------------------------------
 */

/* A checked tensor's values. */
static const float *values(const mf_tensors *t, const char *name)
{
    const mf_array *a = mf_tensors_find(t, name);
    return a && a->dtype == MF_F32 ? a->data : NULL;
}

/* ".attn.q." .. ".attn.v.": a third of the tensor ".attn.qkv.". */
static const float *third(const mf_tensors *t, const mf_weight_info *info)
{
    char whole[256];
    const char *at = strstr(info->name, ".attn.");
    const char *parts = "qkv", *part = at ? strchr(parts, at[6]) : NULL;
    if (!part || !at[6] || at[7] != '.')
        return NULL;
    snprintf(whole, sizeof whole, "%.*s.attn.qkv.%s", (int)(at - info->name), info->name, at + 8);
    const float *all = values(t, whole);
    return all ? all + (part - parts) * info->count : NULL;
}

/* Computed values, into `to`; false where `name` is none of them. */
static bool compute(const mf_tensors *t, const sam2_config *c, const char *name, float *to)
{
    int64_t h = c->image / 16;
    if (!strcmp(name, "image_encoder.trunk.position"))
        sam2_trunk_positions(values(t, "image_encoder.trunk.pos_embed"), c->background,
                             values(t, "image_encoder.trunk.pos_embed_window"), c->windows[0],
                             c->embed, c->image / 4, to);
    else if (!strcmp(name, "sam_prompt_encoder.places"))
        sam2_grid_features(
            h, c->dim, values(t, "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
            to);
    else if (!strcmp(name, "memory_attention.places"))
        sam2_grid_sines(h, c->dim, 0.1, to); /* the weight that the model gives them */
    else if (!strcmp(name, "memory_attention.rotation"))
        sam2_grid_rotations(h, c->dim, to);
    else if (!strcmp(name, "memory_encoder.mask_shift"))
        *to = -10;
    else
        return false;
    return true;
}

static mf_status fill(mf_weights *weights, size_t i, const mf_tensors *t, const sam2_config *c)
{
    mf_weight_info info;
    mf_weights_info(weights, i, &info);
    const mf_array *a = mf_tensors_find(t, info.name);
    if (a && a->dtype == MF_F32 && mf_array_count(a) == info.count)
        return mf_weights_set(weights, i, a->data);
    const float *part = third(t, &info);
    if (part)
        return mf_weights_set(weights, i, part);
    float *made = calloc((size_t)info.count, sizeof *made);
    if (!made)
        return mf_no_memory((size_t)info.count * sizeof *made, "%s", info.name);
    mf_status status =
        compute(t, c, info.name, made)
            ? mf_weights_set(weights, i, made)
            : mf_fail(MF_INVALID, "tensor %s is not there or of another size", info.name);
    free(made);
    return status;
}

mf_status sam2_load(mf_weights *weights, const mf_tensors *t, const sam2_config *c,
                    const sam2_widths *w)
{
    MF_TRY(sam2_declare(weights, c, w));
    for (size_t i = 0; i < mf_weights_count(weights); i++)
        MF_TRY(fill(weights, i, t, c));
    return MF_OK;
}
