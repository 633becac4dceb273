/* moco_train.c - the stage moco.train. */
#include "baselines_stages.h"
#include "contrast.h"
#include "moco.h"
#include "moco_train.code.h"
#include "trainer.h"

static const mf_param params[] = {
    MF_BASELINE_PARAMS_FROM(-1, "lamb", "32", "0.002", "0", "cosine", "-1",
                            " -1: 0 (v2), 0.1 (v3).", "-1", " -1: 0.0001 (v2), 0.000001 (v3).",
                            "1"),
    MF_CHOICE(mf_moco_params, version, "v2", "v2|v3", "Version of MoCo."),
    MF_REAL(mf_moco_params, temperature, "0", 0, 100, "",
            "Temperature of the loss: similarities are divided by it. 0: 0.2 (v2), 1 (v3)."),
    MF_REAL(mf_moco_params, momentum, "0", 0, 0.999999, "",
            "Momentum of the key encoder: the decay of its average. v3 raises it to 1 along half a "
            "cosine. 0: 0.999 (v2), 0.99 (v3)."),
    MF_INT(mf_moco_params, memory_bank, "65536", 1, 1e7, "",
           "v2: keys of earlier batches that are negatives. At least batch_size."),
    MF_INT(mf_moco_params, projection_hidden, "0", 0, 65536, "",
           "Width of the hidden layers of projection head and predictor. 0: the encoder's deepest "
           "channels (v2), 4096 (v3)."),
    MF_INT(mf_moco_params, projection_dim, "0", 0, 65536, "",
           "Dimensions of queries and keys. 0: 128 (v2), 256 (v3)."),
    MF_CONTRAST_SAME_SCAN(mf_moco_params),
    MF_END};

static mf_status check(const void *p)
{
    MF_TRY(mf_moco_check(p));
    return mf_trainer_check(mf_moco_method(p), p);
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    const mf_moco_params o = mf_moco_resolved(p);
    return mf_trainer_needs(t, mf_moco_method(&o), &o.shared, n);
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const mf_moco_params o = mf_moco_resolved(p);
    (void)session;
    return mf_trainer_run(t, mf_moco_method(&o), &o.shared);
}

MF_STAGE(
    mf_stage_moco_train, "moco.train", 2,
    "Pretrains the encoder with MoCo (v2 or v3): a view is found by what a slow copy of the "
    "encoder "
    "says of the other.",
    .help =
        "A baseline for mass.train. Keys come from a momentum encoder, whose weights are averages "
        "of the encoder's. v2 (He et al., CVPR 2020; head of arXiv 2003.04297): the query view "
        "is compared with the key of the reference view and with a memory bank of keys of earlier "
        "batches, random unit vectors at first. v3 (Chen et al., ICCV 2021): both views are "
        "queries, behind a predictor, and the keys of the other pairs of the batch are the "
        "negatives; projector and predictor have batch norms over the batch, as in its code for "
        "convolutional encoders. Masks are not used. Temperature, momentum, memory bank, heads, "
        "warm-up and weight decay are those of the papers, of v3 with a ResNet; their optimizers "
        "are SGD with momentum (v2) and LARS (v3). The model is the encoder that learns, not its "
        "average." MF_BASELINE_HELP,
    .params = params, .params_size = sizeof(mf_moco_params), .in = mf_baseline_inputs,
    .out = mf_baseline_outputs, .program = true,
    .tolerance = 1e-2, /* between devices: updates amplify rounding */
    .check = check, .needs = needs, .run = run, .saves = true);
