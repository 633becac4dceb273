/* dino_train.c - the stage dino.train. */
#include "baselines_stages.h"
#include "dino.h"
#include "dino_train.code.h"
#include "trainer.h"

#include <string.h>

static const mf_param params[] = {
    MF_BASELINE_PARAMS_BY("adamw", "32", "0.0000625", "0.000001", "cosine", "0.1", "0.04", "3"),
    MF_REAL(mf_dino_params, final_weight_decay, "0.4", 0, 10, "",
            "Weight decay at the end, along half a cosine. Vectors have none."),
    MF_REAL(mf_dino_params, student_temperature, "0.1", 0.001, 100, "",
            "Temperature of the student's softmax."),
    MF_REAL(mf_dino_params, teacher_temperature, "0.04", 0.001, 100, "",
            "Temperature of the teacher's softmax (sharpening)."),
    MF_REAL(mf_dino_params, warmup_teacher_temperature, "0.04", 0.001, 100, "",
            "Temperature of the teacher in the first step; it changes linearly during "
            "warmup_teacher."),
    MF_REAL(mf_dino_params, warmup_teacher, "0", 0, 1, "",
            "Fraction of the steps in which the teacher's temperature changes."),
    MF_REAL(
        mf_dino_params, teacher_momentum, "0.996", 0, 0.999999, "",
        "Momentum of the teacher in the first step: the decay of the average. It rises to 1 "
        "along half a cosine. The paper's code advises more for small batches, 0.9995 for 256."),
    MF_REAL(mf_dino_params, center_momentum, "0.9", 0, 1, "",
            "Decay of the average of the teacher's outputs, which is subtracted from them "
            "(centering)."),
    MF_REAL(mf_dino_params, freeze_last_layer, "0.01", 0, 1, "",
            "Fraction of the steps in which the last layer does not learn: one of 100 epochs."),
    MF_INT(mf_dino_params, hidden, "2048", 1, 65536, "", "Width of the head's hidden layers."),
    MF_INT(mf_dino_params, bottleneck, "256", 1, 65536, "",
           "Dimensions in which views are compared with prototypes."),
    MF_INT(mf_dino_params, prototypes, "65536", 2, 1e7, "", "Outputs of the head."),
    MF_CHOICE(mf_dino_params, head_norm, "batch", "batch|none",
              "Norms of the head. batch: batch norms over all views of the batch, behind the first "
              "two layers (use_bn_in_head of the paper's code). none: the default of that code."),
    MF_END};

static mf_status check(const void *p)
{
    const mf_dino_params *o = p;
    if (!strcmp(o->head_norm, "batch") && o->shared.batch_size < 2)
        return mf_fail(MF_INVALID, "batch_size is 1; head_norm: batch has batch norms over the "
                                   "views of a batch, which has at least 2 pairs");
    return mf_trainer_check(&mf_dino, p);
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    return mf_trainer_needs(t, &mf_dino, p, n);
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    (void)session;
    return mf_trainer_run(t, &mf_dino, p);
}

MF_STAGE(
    mf_stage_dino_train, "dino.train", 3,
    "Pretrains the encoder with DINO: a student learns what a teacher, its average, says of the "
    "other view.",
    .help =
        "A baseline for mass.train (Caron et al., ICCV 2021). Both views pass through student and "
        "teacher. The teacher's outputs are centered by an average of themselves and sharpened by "
        "a "
        "low temperature; the loss is the cross entropy of the student's softmax over prototypes "
        "with the teacher's of the other view. There are no negatives and no multi-crop: the two "
        "views are the global crops. Masks are not used. Temperatures, momenta, head, weight "
        "decay, "
        "learning rate and clipping are those of the paper's code, which clips each weight's "
        "gradient by itself. Its learning rate is 0.0005 * batch / 256; the default is that of a "
        "batch of 32 pairs. The metric "
        "teacher_entropy is 0 or log(prototypes) where the training has collapsed. The averages of "
        "the model, which later stages use, are the teacher." MF_BASELINE_HELP,
    .params = params, .params_size = sizeof(mf_dino_params), .in = mf_baseline_inputs,
    .out = mf_baseline_outputs, .program = true,
    .tolerance = 1e-2, /* between devices: updates amplify rounding */
    .check = check, .needs = needs, .run = run, .saves = true);
