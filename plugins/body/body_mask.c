/* body_mask.c - the stage body.mask: where the patient is. */
#include "../common/background.h"
#include "../common/body.h"
#include "../common/normalize.h"
#include "body_mask.code.h"

#include <massflow/stage.h>
#include <string.h>

typedef struct body_params {
    const char *method, *modality;
    double threshold;
} body_params;

static const mf_param params[] = {
    MF_CHOICE(
        body_params, method, "auto", "auto|threshold|rough|none",
        "auto: the body is all that is neither padding nor air; without such a background it is "
        "the whole scan. threshold: voxels above `threshold`. rough: voxels above percentile 2 "
        "plus a tenth of the range from percentile 2 to 98. none: the whole scan."),
    MF_REAL(body_params, threshold, "-500", -1e9, 1e9, "HU",
            "auto in CT: air is at or below this value. threshold: the body is above this value, "
            "in the scan's unit."),
    MF_CHOICE_FOLDED(body_params, modality, "volume", "volume|" MF_MODALITIES,
                     "Modality of the scan. volume: that of the scan, or a guess if the scan does "
                     "not state it."),
    MF_END};
static const mf_port inputs[] = {MF_PORT("volume", "volume", "The scan."), MF_END};
static const mf_port outputs[] = {
    MF_PORT("labels", "labels", "Body mask: 1 inside the body, 0 outside."), MF_END};

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
    mf_log(t, "the volume does not state its modality: taken for %s",
           *modality == MF_MODALITY_CT ? "CT" : "MR or PET");
    return MF_OK;
}

static mf_status find_auto(mf_task *t, const body_params *o, const mf_volume *in, mf_array *body)
{
    char words[MF_BACKGROUND_WORDS];
    mf_modality modality;
    mf_background found;
    const double *size = in->grid.spacing;
    MF_TRY(find_modality(t, o, in, &modality));
    MF_TRY(mf_background_find(in->voxels->data, in->voxels->shape,
                              (const double[]){size[2], size[1], size[0]}, modality, o->threshold,
                              body->data, &found));
    mf_background_words(&found, words, sizeof words);
    mf_log(t, "%s", words);
    return MF_OK;
}

static mf_status find_above(mf_task *t, const body_params *o, const mf_volume *in, mf_array *body)
{
    const int64_t count = mf_array_count(in->voxels);
    double threshold = o->threshold;
    int64_t inside;
    if (!strcmp(o->method, "rough"))
        MF_TRY(mf_body_rough(in->voxels->data, count, &threshold));
    MF_TRY(mf_body_above(in->voxels->data, in->voxels->shape, threshold, body->data, &inside));
    const double share = count ? (double)inside / (double)count : 0;
    mf_log(t, "the body is above %.6g: %.1f%% of the volume%s", threshold, 100 * share,
           share < 0.1 ? ", little for a body; look at it, or set method and threshold" : "");
    return MF_OK;
}

/* The threshold of a CT is in HU. */
static mf_status check_intensities(mf_task *t, const body_params *o)
{
    const mf_artifact *volume;
    mf_modality modality;
    MF_TRY(mf_in(t, "volume", &volume));
    const char *text =
        strcmp(o->modality, "volume") ? o->modality : mf_artifact_text(volume, "modality");
    if (!mf_modality_parse(text, &modality) || modality != MF_MODALITY_CT ||
        !strcmp(o->method, "none") || !strcmp(o->method, "rough"))
        return MF_OK;
    return mf_volume_check_raw(volume, "the threshold in HU");
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const body_params *o = p;
    const mf_volume *in;
    mf_array *body;
    (void)session;
    MF_TRY(check_intensities(t, o));
    MF_TRY(mf_in_volume(t, "volume", MF_F32, &in));
    MF_TRY(mf_out_volume(t, "labels", &in->grid, MF_U8, &body));
    if (!strcmp(o->method, "auto"))
        return find_auto(t, o, in, body);
    if (strcmp(o->method, "none"))
        return find_above(t, o, in, body);
    memset(body->data, 1, body->bytes);
    mf_log(t, "the body is the whole volume, as requested");
    return MF_OK;
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    const mf_artifact *volume;
    mf_grid grid;
    (void)p;
    MF_TRY(mf_in(t, "volume", &volume));
    MF_TRY(mf_artifact_grid(volume, &grid));
    n->host_bytes = (size_t)((double)mf_grid_voxels(&grid) * 18) + (16u << 20);
    n->cost = (double)mf_grid_voxels(&grid) * 3e-7;
    return MF_OK;
}

static MF_STAGE(
    stage, "body.mask", 4,
    "Computes a body mask: all voxels that are neither padding nor air, with holes filled.",
    .help = "Padding is a constant or non-finite region at the border of the scan. Air is a thick, "
            "dark region at the border. If a scan has neither (a crop inside the body), the whole "
            "scan is the body, and the log says so. Lungs and bowel gas belong to the body, even "
            "where the border cuts them. A table that touches the patient belongs to it, too. The "
            "mask is an input of window.rgb, sam2.masks and slic.masks.",
    .params = params, .params_size = sizeof(body_params), .in = inputs, .out = outputs,
    .needs = needs, .run = run);

MF_PLUGIN("body", &stage)
