/* reconstruct_train.c - the stage reconstruct.train: masked reconstruction. */
#include "baselines_stages.h"
#include "masking.h"
#include "reconstruct_train.code.h"
#include "restore.h"
#include "trainer.h"

#include <string.h>

static const mf_param params[] = {
    MF_BASELINE_PARAMS_BY("adamw", "4", "0.002", "0", "cosine", "0.05", "0.05", "1"),
    MF_BASELINE_EMA,
    MF_CHOICE(mf_reconstruct_params, mask, "mae", "mae|simmim",
              "mae: hidden voxels are 0, a light decoder without skip connections restores the "
              "crop, squared error. simmim: hidden voxels have one learned value, a linear layer "
              "on the deepest feature map restores the crop, absolute error. Only hidden voxels "
              "count."),
    MF_INT(mf_reconstruct_params, mask_patch, "0", 0, 1024, "voxels",
           "Edge of the cubes that are hidden or seen as a whole. It divides each side of the "
           "crops. 0: that of the papers, 16 (mae) and 32 (simmim)."),
    MF_REAL(mf_reconstruct_params, mask_share, "-1", -1, 1, "",
            "Share of the cubes that is hidden. -1: that of the papers, 0.75 (mae) and 0.6 "
            "(simmim)."),
    MF_BOOL(mf_reconstruct_params, normalize_target, "false",
            "Restore each cube with its own mean 0 and standard deviation 1 (norm_pix_loss of "
            "MAE)."),
    MF_END};

static mf_status check(const void *p)
{
    const mf_reconstruct_params *o = p;
    const double share = mf_reconstruct_share(o);
    if ((o->mask_share < 0 && o->mask_share != -1) || !(share > 0 && share < 1))
        return mf_fail(MF_INVALID,
                       "mask_share is %g; it must be above 0, or there is no loss, and below 1, or "
                       "nothing is seen (-1: that of the paper)",
                       o->mask_share);
    return mf_trainer_check(&mf_reconstruct_method, &o->shared);
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    const mf_reconstruct_params *o = p;
    return mf_trainer_needs(t, &mf_reconstruct_method, &o->shared, n);
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const mf_reconstruct_params *o = p;
    (void)session;
    return mf_trainer_run(t, &mf_reconstruct_method, &o->shared);
}

MF_STAGE(
    mf_stage_reconstruct_train, "reconstruct.train", 3,
    "Pretrains the encoder by masked reconstruction (MAE or SimMIM kind).",
    .help =
        "Cubes of a crop are hidden, and a decoder restores them from what the encoder makes of "
        "the rest. A convolution needs a whole grid, so hidden voxels are replaced, not dropped as "
        "in the transformer of MAE. Of each pair the weakly augmented view is used. Which cubes "
        "are hidden depends on `seed` and the place in the stream alone." MF_BASELINE_HELP,
    .params = params, .params_size = sizeof(mf_reconstruct_params), .in = mf_baseline_inputs,
    .out = mf_baseline_outputs, .program = true, .tolerance = 1e-2, .check = check, .needs = needs,
    .run = run, .saves = true);
