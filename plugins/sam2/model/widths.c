/* widths.c - see widths.h. */
#include "widths.h"

#include <stdio.h>

/* The first size of a tensor. */
static mf_status rows(const mf_tensors *t, const char *name, int64_t *width)
{
    const mf_array *a = mf_tensors_find(t, name);
    if (!a || a->rank < 1)
        return mf_fail(MF_INVALID, "the weights have no tensor %s", name);
    *width = a->shape[0];
    return MF_OK;
}

static mf_status memory_widths(const mf_tensors *t, sam2_widths *w)
{
    char name[64];
    MF_TRY(rows(t, "obj_ptr_proj.layers.0.weight", &w->pointer));
    MF_TRY(rows(t, "memory_attention.layers.0.linear1.weight", &w->memory));
    MF_TRY(rows(t, "memory_encoder.fuser.layers.0.pwconv1.weight", &w->fuser));
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "memory_encoder.mask_downsampler.encoder.%d.weight", 3 * i);
        MF_TRY(rows(t, name, &w->mask[i]));
    }
    return MF_OK;
}

mf_status sam2_widths_of(const mf_tensors *t, const sam2_config *c, sam2_widths *w)
{
    *w = (sam2_widths){0};
    int64_t first = 0;
    for (int i = 0; i < SAM2_STAGES; first += c->stages[i++]) {
        char name[80];
        snprintf(name, sizeof name, "image_encoder.trunk.blocks.%lld.mlp.layers.0.weight",
                 (long long)first);
        MF_TRY(rows(t, name, &w->trunk[i]));
    }
    MF_TRY(rows(t, "sam_prompt_encoder.mask_downscaling.0.weight", &w->prompt[0]));
    MF_TRY(rows(t, "sam_prompt_encoder.mask_downscaling.3.weight", &w->prompt[1]));
    MF_TRY(rows(t, "sam_mask_decoder.transformer.layers.0.mlp.layers.0.weight", &w->decoder));
    MF_TRY(rows(t, "sam_mask_decoder.iou_prediction_head.layers.0.weight", &w->iou));
    MF_TRY(rows(t, "sam_mask_decoder.output_hypernetworks_mlps.0.layers.0.weight", &w->hyper));
    if (c->object_scores)
        MF_TRY(rows(t, "sam_mask_decoder.pred_obj_score_head.layers.0.weight", &w->score));
    return c->memories ? memory_widths(t, w) : MF_OK;
}
