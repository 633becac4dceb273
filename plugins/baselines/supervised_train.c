/* supervised_train.c - the stage supervised.train: pretraining with labels and a fixed head. */
#include "baselines_stages.h"
#include "supervised.h"
#include "supervised_train.code.h"
#include "trainer.h"

#include <string.h>

static const mf_param params[] = {
    MF_BASELINE_PARAMS("2", "0.002", "0", "cosine", "0", "0.00003", "12"), MF_BASELINE_EMA,
    MF_LABELS(mf_supervised_params, labels, "[]", 1, 65535,
              "Labels to learn, by value or name; others are background. Empty: all labels of the "
              "samples."),
    MF_END};

static const mf_port inputs[] = {
    MF_PORT("crops", "stream<crop>",
            "Augmented crops with label maps, from augment.crops. Their size is the patch size."),
    MF_PORT("samples", "sample[]",
            "The samples that the crops are drawn from: their labels are the classes."),
    MF_PORT("init", "model?",
            "Initial weights instead of random ones. It determines channels, num_block and "
            "pos_embed_size."),
    MF_END};

static mf_status check(const void *p)
{
    return mf_trainer_check(&mf_supervised_method, p);
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    mf_supervised_params o = *(const mf_supervised_params *)p;
    mf_classes classes = {0};
    mf_status status = mf_classes_estimate(t, "samples", &o.labels, &classes.count);
    if (status) { /* the run meets it */
        mf_error_free(status);
        return MF_OK;
    }
    o.classes = &classes;
    return mf_trainer_needs(t, &mf_supervised_method, &o.shared, n);
}

static mf_status check_classes(mf_task *t, const mf_classes *classes)
{
    for (int64_t k = 0; k < classes->count; k++)
        if (!classes->cases[k])
            return mf_hint(
                mf_fail(MF_INVALID, "no sample has label %lld", (long long)classes->label[k]),
                "take it out of `labels`");
    mf_log(t, "%lld labels of %zu samples, and the background", (long long)classes->count,
           mf_in_count(t, "samples"));
    return MF_OK;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    mf_supervised_params o = *(const mf_supervised_params *)p;
    mf_classes classes;
    mf_names names;
    (void)session;
    MF_TRY(mf_classes_find(t, "samples", &o.labels, &names, &classes));
    mf_names_clear(&names);
    MF_TRY(check_classes(t, &classes));
    o.classes = &classes;
    return mf_trainer_run(t, &mf_supervised_method, &o.shared);
}

MF_STAGE(
    mf_stage_supervised_train, "supervised.train", 2,
    "Pretrains encoder and decoder as a segmentation of named labels, with a fixed head.",
    .help =
        "A baseline for mass.train of the kind of STU-Net and SuPreM. The decoder is that of the "
        "model without tasks, and a 1x1x1 convolution gives each label and the background a "
        "channel. The loss is cross entropy plus soft Dice of the labels, as in nnU-Net. The "
        "labels are those that some sample has. Encoder and decoder are part of the output, the "
        "convolution is not." MF_BASELINE_HELP,
    .params = params, .params_size = sizeof(mf_supervised_params), .in = inputs,
    .out = mf_baseline_outputs, .program = true, .tolerance = 1e-2, .check = check, .needs = needs,
    .run = run, .saves = true);
