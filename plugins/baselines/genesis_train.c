/* genesis_train.c - the stage genesis.train: Models Genesis. */
#include "baselines_stages.h"
#include "genesis_train.code.h"
#include "restore.h"
#include "trainer.h"

static const mf_param params[] = {
    MF_BASELINE_PARAMS("6", "0.002", "0", "cosine", "0", "0", "1"),
    MF_BASELINE_EMA,
    MF_REAL(mf_genesis_params, nonlinear_prob, "0.9", 0, 1, "",
            "Probability of the nonlinear change of intensities."),
    MF_REAL(mf_genesis_params, shuffle_prob, "0.5", 0, 1, "", "Probability of local shuffling."),
    MF_REAL(mf_genesis_params, paint_prob, "0.9", 0, 1, "", "Probability of in- or out-painting."),
    MF_REAL(mf_genesis_params, inner_prob, "0.2", 0, 1, "",
            "Where there is painting: probability that it is in-painting, not out-painting."),
    MF_END};

static mf_status check(const void *p)
{
    const mf_genesis_params *o = p;
    return mf_trainer_check(&mf_genesis_method, &o->shared);
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    const mf_genesis_params *o = p;
    return mf_trainer_needs(t, &mf_genesis_method, &o->shared, n);
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const mf_genesis_params *o = p;
    (void)session;
    return mf_trainer_run(t, &mf_genesis_method, &o->shared);
}

MF_STAGE(
    mf_stage_genesis_train, "genesis.train", 1,
    "Pretrains encoder and decoder by restoring distorted crops (Models Genesis).",
    .help =
        "A crop is distorted by local shuffling, a nonlinear change of intensities, and in- or "
        "out-painting, with the probabilities of the paper. Encoder and decoder, with skip "
        "connections, restore it; the loss is the mean squared error of all voxels. Of each pair "
        "the weakly augmented view is used. The decoder is that of the model without tasks, and "
        "part of the output. Distortions depend on `seed` and the place in the stream "
        "alone." MF_BASELINE_HELP,
    .params = params, .params_size = sizeof(mf_genesis_params), .in = mf_baseline_inputs,
    .out = mf_baseline_outputs, .program = true, .tolerance = 1e-2, .check = check, .needs = needs,
    .run = run, .saves = true);
