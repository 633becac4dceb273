/* body_mask.c - the stage body.mask: where the patient is. */
#include "../common/body.h"
#include "../common/normalize.h"
#include "body_mask.code.h"

#include <massflow/stage.h>
#include <string.h>

typedef struct body_params {
    const char *how, *modality;
    double threshold;
} body_params;

static const mf_param params[] = {
    MF_CHOICE(
        body_params, how, "auto", "auto|threshold|rough",
        "Above `threshold`; or (rough) above a tenth of the way from percentile 2 to 98; auto: "
        "threshold for CT, else rough."),
    MF_REAL(body_params, threshold, "-500", -1e9, 1e9, "HU",
            "The body is above this (in the volume's unit)."),
    MF_CHOICE_FOLDED(body_params, modality, "volume", "volume|" MF_MODALITIES,
                     "As the volume says (guessed where it says nothing), or this."),
    MF_PARAMS_END};
static const mf_port inputs[] = {{"volume", "volume", "Scan.", 0}, {0}};
static const mf_port outputs[] = {{"labels", "labels", "1 in the body, else 0.", 0}, {0}};

static mf_status find_modality(mf_task *t, const body_params *o, const mf_volume *in,
                               mf_modality *modality)
{
    const mf_artifact *volume;
    MF_TRY(mf_in(t, "volume", &volume));
    const char *text =
        strcmp(o->modality, "volume") ? o->modality : mf_artifact_text(volume, "modality");
    if (mf_modality_parse(text, modality))
        return MF_OK;
    MF_TRY(mf_modality_guess(in->voxels->data, mf_array_count(in->voxels), modality));
    mf_log(t, "the volume does not say its modality: taken for %s",
           *modality == MF_MODALITY_CT ? "CT" : "MR or PET");
    return MF_OK;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const body_params *o = p;
    const mf_volume *in;
    mf_modality modality;
    mf_array *body;
    int64_t inside;
    double threshold = o->threshold;
    (void)session;
    MF_TRY(mf_in_volume(t, "volume", MF_F32, &in));
    const int64_t count = mf_array_count(in->voxels);
    MF_TRY(find_modality(t, o, in, &modality));
    if (!strcmp(o->how, "rough") || (!strcmp(o->how, "auto") && modality != MF_MODALITY_CT))
        MF_TRY(mf_body_rough(in->voxels->data, count, &threshold));
    MF_TRY(mf_out_volume(t, "labels", &in->grid, MF_U8, &body));
    MF_TRY(mf_body_above(in->voxels->data, in->voxels->shape, threshold, body->data, &inside));
    const double share = count ? (double)inside / (double)count : 0;
    mf_log(t, "above %.6g: %.1f%% of the volume%s", threshold, 100 * share,
           share < 0.1 ? ": little for a body; look at it, or say how and threshold" : "");
    return MF_OK;
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    const mf_artifact *volume;
    mf_grid grid;
    (void)p;
    MF_TRY(mf_in(t, "volume", &volume));
    MF_TRY(mf_artifact_grid(volume, &grid));
    n->host_bytes = (size_t)((double)mf_grid_voxels(&grid) * 10) + (16u << 20);
    n->cost = (double)mf_grid_voxels(&grid) * 3e-8;
    return MF_OK;
}

static const mf_stage stage = {
    .name = "body.mask",
    .version = 1,
    .summary = "Where the patient is: the largest part above an intensity, holes filled.",
    .help = "Lungs and bowel gas that a slice's border does not reach count as body. For stages "
            "that take a body mask: window.rgb, sam2.masks, slic.masks. A table that touches the "
            "patient counts as well.",
    .params = params,
    .params_size = sizeof(body_params),
    .in = inputs,
    .out = outputs,
    .code = MF_CODE,
    .needs = needs,
    .run = run};

MF_PLUGIN("body", &stage)
