/* footprint.c - the model's own code, run on a device that only counts. */
#include "footprint.h"
#include "model.h"
#include "predict.h"
#include "tuning.h"

#include <stdio.h>
#include <string.h>

static mf_status one_step(mf_weights *w, const mf_memory_of *of)
{
    const mf_optimizer_step step = {.kind = MF_LAMB,
                                    .beta1 = 0.9,
                                    .beta2 = 0.999,
                                    .eps = 1e-6,
                                    .max_norm = 1,
                                    .grad_scale = 1,
                                    .ema_decay = of->averages ? 0.5 : 0,
                                    .step = 1};
    mf_executable *e = NULL;
    mf_iris_training values;
    mf_program *p;
    float norm;
    MF_TRY(mf_model_declare(w, of->iris));
    MF_TRY(mf_program_new(&p));
    mf_iris_declare_training(p, of->iris, of->crop, of->masks, &values);
    if (of->recompute)
        mf_recompute(p);
    mf_differentiate(p, values.loss);
    mf_status status = mf_program_compile(p, w, &e);
    mf_program_free(p);
    if (!status)
        status = mf_weights_begin_batch(w, of->batch);
    if (!status)
        status = mf_executable_run(e);
    for (int64_t i = 0; i < of->batch && !status; i++)
        status = mf_weights_end_item(w);
    if (!status)
        status = mf_weights_step(w, &step, &norm);
    mf_executable_free(e);
    return status;
}

mf_status mf_memory_training(mf_device *device, const mf_memory_of *of, size_t *bytes)
{
    mf_device *counting;
    mf_weights *w;
    *bytes = 0;
    MF_TRY(mf_device_counting(device, &counting));
    mf_status status = mf_weights_new(counting, &w);
    if (!status)
        status = one_step(w, of);
    *bytes = mf_device_most_used(counting);
    mf_weights_free(w);
    mf_device_unref(counting);
    return status;
}

static mf_status tune(mf_weights *w, const mf_memory_of *of)
{
    const mf_tuning tuning = {
        of->iris, {of->crop[0], of->crop[1], of->crop[2]}, of->masks, of->probing, of->recompute};
    const mf_tuning_step step = {
        .max_norm = 1, .ema_decay = of->averages ? 0.5 : 0, .batch = of->batch, .step = 1};
    mf_executable *e = NULL;
    mf_iris_training values;
    mf_program *p;
    float norm;
    MF_TRY(mf_tuning_declare(w, &tuning));
    MF_TRY(mf_program_new(&p));
    mf_tuning_program(p, &tuning, &values);
    mf_status status = mf_program_compile(p, w, &e);
    mf_program_free(p);
    if (!status)
        status = mf_weights_begin_batch(w, of->batch);
    for (int64_t i = 0; i < of->batch && !status; i++) {
        status = mf_executable_run(e);
        if (!status)
            status = mf_weights_end_item(w);
    }
    if (!status)
        status = mf_tuning_update(w, &step, &norm);
    mf_executable_free(e);
    return status;
}

/* The predictor first makes the tokens, then stays for the validations. */
mf_status mf_memory_tuning(mf_device *device, const mf_memory_of *of, size_t *bytes)
{
    mf_device *counting;
    mf_predictor *predictor = NULL;
    mf_weights *w = NULL;
    *bytes = 0;
    MF_TRY(mf_device_counting(device, &counting));
    mf_status status = mf_predictor_new_empty(counting, of->iris, of->crop, &predictor);
    if (!status)
        status = mf_predictor_make_embed(predictor);
    if (!status)
        status = mf_predictor_make_segment(predictor, of->masks);
    if (!status)
        status = mf_weights_new(counting, &w);
    if (!status)
        status = tune(w, of);
    *bytes = mf_device_most_used(counting);
    mf_weights_free(w);
    mf_predictor_free(predictor);
    mf_device_unref(counting);
    return status;
}

/* The programs of a predictor. */
typedef struct programs {
    bool embed, query, features;
} programs;

static mf_status count_predictor(mf_device *device, const mf_memory_of *of, programs wanted,
                                 size_t *bytes)
{
    mf_device *counting;
    mf_predictor *p;
    *bytes = 0;
    MF_TRY(mf_device_counting(device, &counting));
    mf_status status = mf_predictor_new_empty(counting, of->iris, of->crop, &p);
    if (!status && wanted.embed)
        status = mf_predictor_make_embed(p);
    if (!status && wanted.query)
        status = mf_predictor_make_segment(p, of->masks);
    if (!status && wanted.features)
        status = mf_predictor_make_features(p);
    *bytes = mf_device_most_used(counting);
    mf_predictor_free(p);
    mf_device_unref(counting);
    return status;
}

mf_status mf_memory_embed(mf_device *device, const mf_memory_of *of, size_t *bytes)
{
    return count_predictor(device, of, (programs){.embed = true}, bytes);
}

mf_status mf_memory_query(mf_device *device, const mf_memory_of *of, size_t *bytes)
{
    return count_predictor(device, of, (programs){.query = true}, bytes);
}

mf_status mf_memory_segment(mf_device *device, const mf_memory_of *of, size_t *bytes)
{
    return count_predictor(device, of, (programs){.embed = true, .query = true}, bytes);
}

mf_status mf_memory_features(mf_device *device, const mf_memory_of *of, size_t *bytes)
{
    return count_predictor(device, of, (programs){.features = true}, bytes);
}

mf_status mf_memory_weights(mf_device *device, const mf_iris *iris, double *bytes)
{
    mf_device *counting;
    mf_weights *w = NULL;
    *bytes = 0;
    MF_TRY(mf_device_counting(device, &counting));
    mf_status status = mf_weights_new(counting, &w);
    if (!status)
        status = mf_model_declare(w, iris);
    for (size_t i = 0; !status && i < mf_weights_count(w); i++) {
        mf_weight_info info;
        mf_weights_info(w, i, &info);
        *bytes += (double)info.count * sizeof(float);
    }
    mf_weights_free(w);
    mf_device_unref(counting);
    return status;
}

mf_status mf_memory_classify(mf_device *device, const mf_memory_of *of, size_t *bytes)
{
    mf_classifier_shape shape = *of->classifier;
    memcpy(shape.crop, of->crop, sizeof shape.crop);
    return mf_classifier_count(device, &shape, of->batch, bytes);
}

/* ---- the host ------------------------------------------------------------------------------- */

static const double host_base = 64 << 20; /* kernels, tables, the task itself */

double mf_host_classify_bytes(const mf_host_classify *c)
{
    /* a worker: the block, what is read of it, the view beside its copy; a scan for its mean */
    const double worker = 2 * c->block + 2 * c->view + c->scan;
    const double floats = c->batch * c->view + c->workers * worker + c->maps * c->map;
    return host_base + 4 * floats + 2 * c->model; /* as it is read; the best so far */
}

double mf_host_tuning_bytes(const mf_host_tuning *t)
{
    /* a sample: image and labels; its padded copy, weights; two maps a class */
    const double val = t->val * (4 + 2 + 4 + 4 + 8 * t->classes);
    /* a window's image and maps; an item of the stream and its masks */
    const double crop = t->crop * (4 + 4 * t->classes + 4 + 2 + t->classes);
    /* a state: values, two moments, averages; those of the best; what is loaded to validate */
    return host_base + val + crop + 7 * t->model;
}

double mf_host_model_bytes(const mf_artifact *model)
{
    double bytes = 0;
    for (size_t i = 0; i < mf_artifact_array_count(model); i++) {
        mf_array_info info;
        double count = 1;
        mf_artifact_array_info(model, i, &info);
        for (int k = 0; k < info.rank; k++)
            count *= (double)info.shape[k];
        bytes += count * (double)mf_dtype_size(info.dtype);
    }
    return bytes;
}

/* ---- what does not fit ----------------------------------------------------------------------- */

/* "1.5 GiB", "12 MiB" */
static const char *bytes_text(size_t bytes, char text[24])
{
    if (bytes < (size_t)1 << 30)
        snprintf(text, 24, "%.0f MiB", (double)bytes / 0x1p20);
    else
        snprintf(text, 24, "%.1f GiB", (double)bytes / 0x1p30);
    return text;
}

static bool fits(mf_device *device, mf_memory_count count, const mf_memory_of *of, size_t *bytes)
{
    mf_status status = count(device, of, bytes);
    bool enough = !status && *bytes <= mf_device_get_info(device)->memory;
    mf_error_free(status);
    return enough;
}

/* The largest crop of which no side is longer, nor longer than some multiple of 16. */
static bool find_crop(mf_device *device, mf_memory_count count, const mf_memory_of *of,
                      mf_memory_of *smaller, size_t *bytes)
{
    int64_t side = 0;
    *smaller = *of;
    for (int i = 0; i < 3; i++)
        side = of->crop[i] > side ? of->crop[i] : side;
    for (side = (side - 1) / 16 * 16; side >= 16; side -= 16) {
        for (int i = 0; i < 3; i++)
            smaller->crop[i] = of->crop[i] < side ? of->crop[i] : side;
        if (fits(device, count, smaller, bytes))
            return true;
    }
    return false;
}

mf_status mf_memory_check(mf_device *device, mf_memory_count count, const mf_memory_of *of,
                          const mf_memory_words *words, size_t *bytes)
{
    const mf_device_info *info = mf_device_get_info(device);
    mf_memory_of smaller;
    size_t less;
    char needed[24], there[24], masks[40] = "";
    mf_status status = count(device, of, bytes);
    if (status && mf_error_code(status) != MF_NO_MEMORY)
        return status;
    if (!status && *bytes <= info->memory)
        return MF_OK;
    if (of->masks > 0)
        snprintf(masks, sizeof masks, " and %lld masks", (long long)of->masks);
    if (!status)
        status = mf_fail(MF_NO_MEMORY,
                         "%s with crops of %lld x %lld x %lld voxels%s takes %s of device memory; "
                         "%s has %s",
                         words->what, (long long)of->crop[2], (long long)of->crop[1],
                         (long long)of->crop[0], masks, bytes_text(*bytes, needed), info->name,
                         bytes_text(info->memory, there));
    if (!find_crop(device, count, of, &smaller, &less))
        return mf_hint(status, "no %s is small enough: %s", words->crop,
                       words->other ? words->other : "take a smaller model");
    return mf_hint(status, "lower %s: [%lld, %lld, %lld] takes %s%s%s", words->crop,
                   (long long)smaller.crop[2], (long long)smaller.crop[1],
                   (long long)smaller.crop[0], bytes_text(less, needed),
                   words->other ? "; or " : "", words->other ? words->other : "");
}
