/* prompt.c - see prompt.h. */
#include "prompt.h"
#include "blocks.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static mf_status values(const mf_tensors *t, const char *name, const float **at)
{
    const mf_array *a = mf_tensors_find(t, name);
    if (!a || a->dtype != MF_F32)
        return mf_fail(MF_INVALID, "the weights have no tensor %s of f32", name);
    *at = a->data;
    return MF_OK;
}

mf_status sam2_token_source_of(const mf_tensors *t, const sam2_config *c, sam2_token_source *s)
{
    *s = (sam2_token_source){.dim = c->dim, .image = c->image};
    if (c->object_scores)
        MF_TRY(values(t, "sam_mask_decoder.obj_score_token.weight", &s->object_score));
    MF_TRY(values(t, "sam_mask_decoder.iou_token.weight", &s->iou));
    MF_TRY(values(t, "sam_mask_decoder.mask_tokens.weight", &s->masks));
    MF_TRY(values(t, "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
                  &s->frequencies));
    MF_TRY(values(t, "sam_prompt_encoder.not_a_point_embed.weight", &s->none));
    for (int i = 0; i < SAM2_POINT_LABELS; i++) {
        char name[64];
        snprintf(name, sizeof name, "sam_prompt_encoder.point_embeddings.%d.weight", i);
        MF_TRY(values(t, name, &s->labels[i]));
    }
    return MF_OK;
}

int64_t sam2_token_count(const sam2_token_source *s, int64_t points)
{
    return (s->object_score ? 6 : 5) + points;
}

/* Random Fourier features of a place (Tancik et al. 2020): sines, then cosines. */
static void embed_point(const sam2_token_source *s, const float xy[2], const float *label,
                        float *token)
{
    int64_t half = s->dim / 2;
    double x = 2 * ((double)xy[0] + 0.5) / (double)s->image - 1;
    double y = 2 * ((double)xy[1] + 0.5) / (double)s->image - 1;
    for (int64_t i = 0; i < half; i++) {
        double turn = x * (double)s->frequencies[i] + y * (double)s->frequencies[half + i];
        token[i] = (float)(sin(2 * M_PI * turn) + (double)label[i]);
        token[half + i] = (float)(cos(2 * M_PI * turn) + (double)label[half + i]);
    }
}

void sam2_tokens(const sam2_token_source *s, int64_t points, const float *xy, const int32_t *labels,
                 float *tokens)
{
    size_t bytes = (size_t)s->dim * sizeof *tokens;
    if (s->object_score) {
        memcpy(tokens, s->object_score, bytes);
        tokens += s->dim;
    }
    memcpy(tokens, s->iou, bytes);
    memcpy(tokens + s->dim, s->masks, 4 * bytes);
    tokens += 5 * s->dim;
    for (int64_t i = 0; i < points; i++, tokens += s->dim) {
        if (labels[i] >= 0 && labels[i] < SAM2_POINT_LABELS)
            embed_point(s, xy + 2 * i, s->labels[labels[i]], tokens);
        else
            memcpy(tokens, s->none, bytes);
    }
}

mf_value sam2_mask_prompt(mf_program *p, const sam2_config *c, const sam2_widths *w,
                          mf_value logits)
{
    mf_scope(p, "sam_prompt_encoder");
    mf_value x = sam2_conv(p, "mask_downscaling.0", logits, w->prompt[0], 2, 2, 0);
    x = mf_gelu(p, mf_layer_normed(p, "mask_downscaling.1", x, 1e-6f));
    x = sam2_conv(p, "mask_downscaling.3", x, w->prompt[1], 2, 2, 0);
    x = mf_gelu(p, mf_layer_normed(p, "mask_downscaling.4", x, 1e-6f));
    x = sam2_tokens_of(p, mf_layer_linear(p, "mask_downscaling.6", x, c->dim));
    mf_scope_end(p);
    return x;
}

mf_value sam2_mask_logits(mf_program *p, mf_value pixels)
{
    return sam2_conv(p, "mask_downsample", pixels, 1, 4, 4, 0);
}
