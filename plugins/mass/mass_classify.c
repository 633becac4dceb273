/* mass_classify.c - the stage mass.classify: a classifier of scans, trained on augmented views of
 * each case in every epoch, above an encoder that is frozen or learns as well. */
#include "classes.h"
#include "classify.h"
#include "classify_report.h"
#include "footprint.h"
#include "mass_classify.code.h"
#include "mass_stages.h"
#include "model.h"

#include <stdlib.h>
#include <string.h>

static const mf_param params[] = {
    MF_TEXT(mf_classify_params, target, NULL,
            "Class of a case: a column of the cases, or an attribute of their volumes such as "
            "`lesion`. With multi_label: columns of 0 and 1, joined by commas."),
    MF_BOOL(mf_classify_params, multi_label, "false",
            "A case may have any number of classes, one column each. The loss is binary cross "
            "entropy."),
    MF_CHOICE(mf_classify_params, gaps, "error", "error|leave-out",
              "Cases without a value of the target. leave-out: they are not used, and the log "
              "names them."),
    MF_INT3(mf_classify_params, roi_size, "[192, 128, 96]", 16, 1024, "voxels",
            "Size of a view along x, y, z: multiples of 16."),
    MF_BOOL(mf_classify_params, normalize, "true",
            "Normalize each volume to mean 0 and standard deviation 1 once more, as the official "
            "code does."),
    MF_BOOL(mf_classify_params, freeze, "true",
            "The encoder does not change. false: it is trained, too, and is an output."),
    MF_CHOICE(mf_classify_params, pooling, "attention", MF_POOLINGS,
              "Pooling of a feature map to a vector. attention: learned. none: the linear layer "
              "sees all voxels of the map."),
    MF_REAL(mf_classify_params, dropout, "0.1", 0, 0.95, "",
            "Dropout probability of what the linear layer sees."),
    MF_CHOICE(mf_classify_params, class_weight, "balanced", "balanced|none",
              "Class weights of the loss, from the training cases, within 0.1 and 10. balanced: "
              "cases / (classes x cases of the class); with multi_label: negative / positive "
              "cases, for the positive ones."),
    MF_INT(mf_classify_params, epochs, "100", 1, 1e6, "",
           "Number of passes over the training cases."),
    MF_INT_MARKED(mf_classify_params, stop_at, "-1", -1, 1e6, "", MF_EXTENDABLE,
                  "Stop after this many epochs, without a change of the schedule. If it is raised "
                  "later, the training resumes there. -1: all epochs."),
    MF_INT(mf_classify_params, batch_size, "8", 1, 4096, "", "Cases per step."),
    MF_REAL(mf_classify_params, head_lr, "0.0001", 0, 10, "",
            "Initial learning rate of the classifier."),
    MF_REAL(mf_classify_params, encoder_lr, "0.00001", 0, 10, "",
            "Initial learning rate of the encoder, if it is trained."),
    MF_REAL(mf_classify_params, eta_min, "0.000001", 0, 10, "",
            "Final learning rate of the cosine schedule, which changes once per epoch."),
    MF_REAL(mf_classify_params, weight_decay, "0.0001", 0, 10, "", "Weight decay (AdamW)."),
    MF_REAL(mf_classify_params, max_grad_norm, "1", 0, 1e12, "",
            "Maximum norm of the gradient of encoder and classifier (gradient clipping). 0: no "
            "clipping."),
    MF_CHOICE(mf_classify_params, select, "auc",
              "auc|accuracy|balanced_accuracy|f1|log_loss|brier|last",
              "Metric of the validation cases by which the best epoch is selected. last: the last "
              "epoch, as without validation cases."),
    MF_BOOL(mf_classify_params, augment, "true",
            "Train on augmented views. false: on the view at the center of each volume."),
    MF_INT(mf_classify_params, margin, "40", 0, 1024, "voxels",
           "Views are drawn from a block that exceeds roi_size by this along each axis."),
    MF_REAL(mf_classify_params, affine_prob, "0.4", 0, 1, "", "Probability of the affine map."),
    MF_REAL3(mf_classify_params, scale, "[0.2, 0.2, 0.2]", 0, 0.95, "",
             "The scale is drawn between 1 - s and 1 / (1 - s), with s along x, y, z."),
    MF_INT3(mf_classify_params, rotate, "[15, 15, 15]", 0, 180, "degrees",
            "Maximum rotation about x, y, z."),
    MF_REAL3(mf_classify_params, translate, "[0, 0, 0]", 0, 1, "half extents",
             "Maximum translation along x, y, z."),
    MF_REAL3(mf_classify_params, shear, "[0, 0, 0]", 0, 1, "", "Maximum shear along x, y, z."),
    MF_REAL(mf_classify_params, aug_prob, "0.2", 0, 1, "",
            "Probability of each of the six changes of intensity."),
    MF_REALS(mf_classify_params, brightness_range, "[0.9, 1.1]", 0, 10, "",
             "Minimum and maximum of the brightness factor."),
    MF_REAL(mf_classify_params, brightness_additive_std, "0.05", 0, 10, "SD of the scan",
            "Standard deviation (SD) of the value that is added to all voxels."),
    MF_REALS(mf_classify_params, gamma_range, "[0.9, 1.1]", 0.05, 20, "",
             "Minimum and maximum of gamma."),
    MF_REALS(mf_classify_params, contrast_range, "[0.9, 1.1]", 0, 20, "",
             "Minimum and maximum of the contrast factor."),
    MF_REALS(mf_classify_params, blur_range, "[0.9, 1.1]", 0.05, 20, "voxels",
             "Minimum and maximum of the blur's sigma."),
    MF_REAL(mf_classify_params, gaussian_noise_std, "0.02", 0, 10, "SD of the scan",
            "Standard deviation (SD) of the noise."),
    MF_INT(mf_classify_params, seed, "42", 0, 9e15, "",
           "Random seed of weights, order, views and dropout."),
    MF_REAL_MARKED(mf_classify_params, checkpoint_interval, "300", 0, 1e9, "s", MF_NO_CACHE,
                   "Time between two checkpoints. 0: one after each step."),
    MF_RANKS_PARAMS(mf_classify_params),
    MF_END};
static const mf_port inputs[] = {
    MF_PORT(
        "model", "model",
        "Model with the encoder, or an encoder alone. Its averaged (EMA) weights are used if it "
        "has them."),
    MF_PORT("head", "model?",
            "Classifier of an earlier training with the same classes, to start from instead of "
            "random weights."),
    MF_PORT_MARKED("train", "volume[]", "Training cases, from mass.normalize.", MF_KEYED),
    MF_PORT_MARKED("val", "volume[]?", "Validation cases, by which the best epoch is selected.",
                   MF_KEYED),
    MF_PORT_MARKED("test", "volume[]", "Test cases: they are judged once, at the end.", MF_KEYED),
    MF_END};
static const mf_port outputs[] = {
    MF_PORT("head", "model", "Classifier, under the official parameter names."),
    MF_PORT("model", "model?", "`model` with the trained encoder, if it was not frozen."),
    MF_PORT("metrics", "table",
            "AUC with its 95% interval, accuracy, balanced accuracy, F1, calibration and confusion "
            "of the test cases, of all and per class, and of the validation cases."),
    MF_PORT("epochs", "table",
            "One row per epoch: loss, learning rates, gradient norm, metrics of the validation "
            "cases."),
    MF_PORT("predictions", "table",
            "Truth, decision and probability of each class in each test case."),
    MF_END};

static mf_status check(const void *p)
{
    const mf_classify_params *o = p;
    mf_targets columns = {0};
    mf_status status = o->multi_label ? mf_targets_columns(o->target, &columns) : MF_OK;
    mf_targets_clear(&columns);
    MF_TRY(status);
    for (int i = 0; i < 3; i++)
        if (o->roi_size.v[i] % 16)
            return mf_fail(MF_INVALID, "roi_size: %lld is not a multiple of 16",
                           (long long)o->roi_size.v[i]);
    if (o->stop_at == 0 || o->stop_at > o->epochs)
        return mf_fail(MF_INVALID, "stop_at is %lld; it must be -1 or 1 to %lld, the epochs",
                       (long long)o->stop_at, (long long)o->epochs);
    MF_TRY(mf_ranks_check(o->ranks, o->devices, o->batch_size));
    MF_TRY(mf_view_check_range(&o->brightness_range, "brightness_range"));
    MF_TRY(mf_view_check_range(&o->gamma_range, "gamma_range"));
    MF_TRY(mf_view_check_range(&o->contrast_range, "contrast_range"));
    return mf_view_check_range(&o->blur_range, "blur_range");
}

/* ---- memory ---------------------------------------------------------------------------------- */

static mf_status host_needs(mf_task *t, const mf_classify_params *o,
                            const mf_classifier_shape *shape, const mf_artifact *model,
                            int64_t batch, double view, double block, size_t *bytes)
{
    static const char *const lists[] = {"train", "val", "test"};
    const int threads = mf_task_threads(t);
    mf_host_classify host = {.view = view,
                             .block = block,
                             .batch = (double)batch,
                             .workers = threads < batch ? threads : (double)batch,
                             .map = view / 4096 * (double)shape->head.channels,
                             .model = mf_host_model_bytes(model)};
    for (int i = 0; i < 3; i++) {
        double scan;
        MF_TRY(mf_classes_largest(t, lists[i], "voxels", &scan));
        host.scan = o->normalize && scan > host.scan ? scan : host.scan;
        if (i > 0 && o->freeze)
            host.maps += (double)mf_in_count(t, lists[i]);
    }
    *bytes = (size_t)mf_host_classify_bytes(&host);
    return MF_OK;
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    static const mf_memory_words words = {"training a classifier", "roi_size", NULL};
    const mf_classify_params *o = p;
    mf_classifier_shape shape;
    mf_memory_of of = {.iris = &shape.iris, .classifier = &shape, .batch = o->batch_size};
    const mf_artifact *model;
    mf_device *device;
    mf_targets classes = {0};
    double view = 1, block = 1;
    MF_TRY(mf_in(t, "model", &model));
    n->devices = mf_ranks_of(o->ranks, o->devices, o->batch_size);
    mf_status status = mf_classify_classes(t, o, &classes);
    if (status) { /* met in the run */
        mf_error_free(status);
        return MF_OK;
    }
    status = mf_classify_shape(o, model, classes.count, &shape);
    mf_targets_clear(&classes);
    MF_TRY(status);
    memcpy(of.crop, shape.crop, sizeof of.crop);
    for (int i = 0; i < 3; i++) {
        view *= (double)shape.crop[i];
        block *= (double)(shape.crop[i] + o->margin);
    }
    const int64_t cases = (int64_t)mf_in_count(t, "train");
    of.batch = o->batch_size < cases ? o->batch_size : cases;
    MF_TRY(host_needs(t, o, &shape, model, of.batch, view, block, &n->host_bytes));
    MF_TRY(mf_task_counting(t, &device));
    of.batch = mf_ranks_items(o->ranks, o->devices, of.batch);
    status = mf_memory_check(device, mf_memory_classify, &of, &words, &n->device_bytes);
    mf_ranks_need(o->ranks, o->devices, o->batch_size < cases ? o->batch_size : cases, n);
    mf_device_unref(device);
    return status;
}

/* ---- the run --------------------------------------------------------------------------------- */

static mf_status run(mf_task *t, const void *p, void *session)
{
    (void)session;
    mf_classify *work;
    MF_TRY(mf_classify_new(t, p, &work));
    mf_status status = mf_classify_train(work);
    if (!status)
        status = mf_classify_publish(work);
    mf_classify_free(work);
    return status;
}

MF_STAGE(
    mf_stage_mass_classify, "mass.classify", 1,
    "Trains and tests a classifier of scans on augmented views, above a frozen or trained encoder.",
    .help =
        "In each epoch the encoder sees another augmented view of each training case. Its deepest "
        "feature map is pooled; dropout and a linear layer follow. Validation and test cases are "
        "seen at their center. Of the epochs the one with the best metric of the validation cases "
        "is kept; the test cases select nothing. Classes are the values of `target`, "
        "whole numbers by value and then texts, or, with multi_label, its columns. With two "
        "classes, AUC is that of the second "
        "class. The parameters have the names and defaults of the official MASS code where it has "
        "them. The training saves checkpoints. After an interruption it resumes from the last "
        "checkpoint and gives the same result, bit for bit.",
    .params = params, .params_size = sizeof(mf_classify_params), .in = inputs, .out = outputs,
    .program = true, .tolerance = 1e-2, .check = check, .needs = needs, .run = run, .saves = true);
