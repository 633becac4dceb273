/* phantom.c - plugin "phantom": random anatomies with their truth, for trying out and for testing
 * anywhere without a file. */
#include "anatomy.h"
#include "phantom.code.h"
#include <massflow/stage.h>
#include <stddef.h>
#include <string.h>

typedef struct phantom_params {
    int64_t seed;
    mf_int3 size;
    mf_real3 spacing;
    const char *modality;
    int64_t organs;
    double lesion_prob, lesion_size, lesion_contrast;
    bool lesion_label;
    double variation, noise;
} phantom_params;

static const mf_param params[] = {
    MF_INT(phantom_params, seed, "0", 0, 9007199254740992.0, "",
           "Random seed. Each case has its own anatomy, drawn from the seed and the case id."),
    MF_INT3(phantom_params, size, "[64, 64, 64]", 16, 1024, "voxels",
            "Size along x (right), y (anterior), z (superior)."),
    MF_REAL3(phantom_params, spacing, "[3, 3, 3]", 0.05, 50, "mm", "Spacing along x, y, z."),
    MF_CHOICE_FOLDED(
        phantom_params, modality, "ct", MF_MODALITIES,
        "Modality of the scan: ct in HU, mr with bias field and Rician noise, pet in SUV."),
    MF_INT(phantom_params, organs, "8", 1, ANATOMY_ORGANS, "",
           "Number of organs, in the order of the list above."),
    MF_REAL(phantom_params, lesion_prob, "0.5", 0, 1, "", "Probability of a lesion in the liver."),
    MF_REAL(phantom_params, lesion_size, "1", 0.2, 3, "",
            "Mean size of lesions. 1: a third of the smallest half-axis of the liver."),
    MF_REAL(
        phantom_params, lesion_contrast, "1", -3, 3, "",
        "Contrast of lesions. 1: clearly visible (+90 HU in CT). Negative: darker than the liver."),
    MF_BOOL(phantom_params, lesion_label, "false",
            "Label the lesion as organs + 1. false: it has the label of the liver."),
    MF_REAL(phantom_params, variation, "1", 0, 3, "",
            "Variation of position, size and shape of organs between cases. 0: none."),
    MF_REAL(phantom_params, noise, "1", 0, 20, "", "Noise level. 0: none. 1: as in usual scans."),
    MF_END};

static const mf_port outputs[] = {
    MF_PORT("volume", "volume", "The scan. Attribute lesion: 1 with a lesion, 0 without."),
    MF_PORT("labels", "labels", "Label map of the organs. Attribute lesion as above."),
    MF_PORT("facts", "table",
            "One row: lesion (0 or 1), its volume in ml and its center in RAS+ mm."),
    MF_END};
static const mf_port inputs[] = {MF_END};

static mf_status check(const void *p)
{
    const phantom_params *o = p;
    size_t voxels = 1;
    for (int i = 0; i < 3; i++)
        if (!mf_size_mul(voxels, (size_t)o->size.v[i], &voxels) || voxels > INT32_MAX)
            return mf_fail(
                MF_INVALID, "size: %lld x %lld x %lld voxels are too many (at most 2147483647)",
                (long long)o->size.v[0], (long long)o->size.v[1], (long long)o->size.v[2]);
    return MF_OK;
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    const phantom_params *o = p;
    double voxels = (double)(o->size.v[0] * o->size.v[1] * o->size.v[2]);
    (void)t;
    n->host_bytes = (size_t)(voxels * 9); /* signal f32, voxels at most f32, labels u8 */
    n->cost = voxels * 4e-7;
    return MF_OK;
}

/* An artifact of `type` around `voxels`, as output `port`. */
static mf_status publish(mf_task *t, const char *port, const char *type, const char *modality,
                         const mf_grid *grid, int64_t lesion, mf_array *voxels)
{
    mf_artifact *a;
    MF_TRY(mf_artifact_new(type, &a));
    mf_status status = mf_artifact_set_grid(a, grid);
    if (!status)
        status = mf_artifact_set_scan_grid(a, grid);
    if (!status)
        status = mf_artifact_set_text(a, "modality", modality);
    if (!status && !strcmp(modality, "PET"))
        status = mf_artifact_set_text(a, "unit", "SUV");
    if (!status)
        status = mf_artifact_set_int(a, "lesion", lesion);
    if (!status)
        status = mf_artifact_add(a, "voxels", voxels);
    if (status) {
        mf_artifact_unref(a);
        return status;
    }
    return mf_out(t, port, a);
}

static mf_status publish_facts(mf_task *t, const anatomy_lesion *l)
{
    static const char *const columns[] = {"lesion", "volume_ml", "x_mm", "y_mm", "z_mm", NULL};
    mf_table *table;
    mf_artifact *a;
    MF_TRY(mf_table_new(columns, &table));
    mf_status status = mf_table_row(table, l->present ? 1.0 : 0.0, l->volume_ml, l->center[0],
                                    l->center[1], l->center[2]);
    if (status) {
        mf_table_free(table);
        return status;
    }
    MF_TRY(mf_table_finish(table, &a));
    return mf_out(t, "facts", a);
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    static const char *const modality_names[] = {"CT", "MR", "PET"};
    const phantom_params *o = p;
    anatomy_options options = {.organs = (int)o->organs,
                               .lesion = o->lesion_prob,
                               .lesion_size = o->lesion_size,
                               .lesion_contrast = o->lesion_contrast,
                               .lesion_label = o->lesion_label,
                               .variation = o->variation,
                               .noise = o->noise};
    mf_random random;
    mf_array *voxels, *labels;
    anatomy_lesion lesion;
    (void)session;

    options.modality = !strcmp(o->modality, "ct")   ? ANATOMY_CT
                       : !strcmp(o->modality, "mr") ? ANATOMY_MR
                                                    : ANATOMY_PET;
    mf_grid_identity(&options.grid, o->size.v, o->spacing.v);
    for (int i = 0; i < 3; i++)
        options.grid.origin[i] = -0.5 * (double)(o->size.v[i] - 1) * o->spacing.v[i];
    mf_task_random(t, &random);
    MF_TRY(anatomy_draw(&options, &random, &voxels, &labels, &lesion));
    const char *modality = modality_names[options.modality];
    mf_status status =
        publish(t, "volume", "volume", modality, &options.grid, lesion.present, voxels);
    if (!status)
        status = publish(t, "labels", "labels", modality, &options.grid, lesion.present, labels);
    if (!status)
        status = publish_facts(t, &lesion);
    mf_array_unref(voxels);
    mf_array_unref(labels);
    return status;
}

static MF_STAGE(
    stage, "phantom.volume", 2,
    "Generates a random anatomy as a CT, MR or PET scan, with organ labels and an "
    "optional lesion.",
    .help = "A torso in RAS orientation, centered on the world origin: skin, fat, muscle, and up "
            "to 14 organs. Shape and position of the organs vary between cases; their arrangement "
            "does not. Labels: 1 liver, 2 spleen, 3 right kidney, 4 left kidney, 5 stomach, 6 "
            "spine, 7 aorta, 8 bladder, 9 gallbladder (inside the liver), 10 spinal canal (inside "
            "the spine), 11 right lung, 12 left lung, 13 heart, 14 heart chamber (inside the "
            "heart). The lesion is in the liver. The attribute `lesion` (0 or 1) of volume and "
            "labels, and the table facts, are the ground truth for classifiers. A case with a "
            "lesion and the same case without differ in the lesion only.",
    .params = params, .params_size = sizeof(phantom_params), .in = inputs, .out = outputs,
    .random = true, .check = check, .needs = needs, .run = run);

MF_PLUGIN("phantom", &stage)
