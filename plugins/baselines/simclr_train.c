/* simclr_train.c - the stage simclr.train. */
#include "baselines_stages.h"
#include "contrast.h"
#include "simclr.h"
#include "simclr_train.code.h"
#include "trainer.h"

static const mf_param params[] = {
    MF_BASELINE_PARAMS("32", "0.002", "0", "cosine", "0.1", "0.000001", "1"),
    MF_BASELINE_EMA,
    MF_REAL(mf_simclr_params, temperature, "0.1", 0.001, 100, "",
            "Temperature of the loss: similarities are divided by it."),
    MF_INT(mf_simclr_params, projection_hidden, "0", 0, 65536, "",
           "Width of the projection head's hidden layer. 0: the encoder's deepest channels."),
    MF_INT(mf_simclr_params, projection_dim, "128", 1, 65536, "",
           "Dimensions of the projection, in which views are compared."),
    MF_CHOICE(
        mf_simclr_params, head_norm, "batch", "batch|none",
        "Norms of the projection head. batch: batch norms over all views of the batch, behind "
        "each linear layer, as in the paper's code. none: the paper's formula."),
    MF_CONTRAST_SAME_SCAN(mf_simclr_params),
    MF_END};

static mf_status check(const void *p)
{
    return mf_trainer_check(&mf_simclr, p);
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    return mf_trainer_needs(t, &mf_simclr, p, n);
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    (void)session;
    return mf_trainer_run(t, &mf_simclr, p);
}

MF_STAGE(
    mf_stage_simclr_train, "simclr.train", 3,
    "Pretrains the encoder with SimCLR: the two views of a scan are found among those of a batch.",
    .help =
        "A baseline for mass.train. Features are the mean of the encoder's deepest map; a "
        "projection "
        "head of two layers stands above. The loss is NT-Xent, the normalized temperature-scaled "
        "cross entropy: each view is to be most similar to the other view of its pair, among all "
        "views of the batch (Chen et al., ICML 2020). Masks are not used. Temperature, head, "
        "warm-up, cosine schedule and weight decay are the paper's; its optimizer is LARS and its "
        "batch 4096. The metric accuracy is the share of views whose most similar view is the "
        "other "
        "one of the pair. Images pass through the encoder one by one, so a larger batch "
        "costs host memory and time, and device memory for the loss alone and for a few more sums "
        "of gradients." MF_BASELINE_HELP,
    .params = params, .params_size = sizeof(mf_simclr_params), .in = mf_baseline_inputs,
    .out = mf_baseline_outputs, .program = true,
    .tolerance = 1e-2, /* between devices: updates amplify rounding */
    .check = check, .needs = needs, .run = run, .saves = true);
