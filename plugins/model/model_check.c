/* model_check.c - see model_check.h. Shapes alone are looked at: the numbers are read when a stage
 * needs them. */
#include "model_check.h"
#include "../mass/model.h"
#include "architecture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Iris ------------------------------------------------------------------------------------ */

static mf_status check_tensor(const mf_artifact *a, const char *prefix, const char *name, int rank,
                              const int64_t *shape)
{
    char full[256];
    int64_t has[MF_MAX_RANK];
    int has_rank;
    snprintf(full, sizeof full, "%s%s", prefix, name);
    if (!mf_model_shape(a, full, &has_rank, has))
        return mf_fail(MF_INVALID, "it has no tensor %s", full);
    if (has_rank == rank && !memcmp(has, shape, sizeof *shape * (size_t)rank))
        return MF_OK;
    return mf_fail(MF_INVALID, "tensor %s has another shape than a model of its sizes", full);
}

static mf_status check_weights(const mf_artifact *a, const char *prefix, const mf_program *p)
{
    mf_weight_info info;
    for (size_t i = 0; mf_program_weight(p, i, &info); i++)
        MF_TRY(check_tensor(a, prefix, info.name, info.rank, info.shape));
    return MF_OK;
}

static mf_status check_all(const mf_artifact *a, const mf_program *p)
{
    MF_TRY(mf_program_status(p));
    MF_TRY(check_weights(a, "", p));
    return mf_model_has_averages(a) ? check_weights(a, "ema.", p) : MF_OK;
}

static mf_status check_iris(const mf_artifact *a)
{
    mf_iris iris;
    mf_program *p;
    MF_TRY(mf_model_iris(a, &iris));
    MF_TRY(mf_program_new(&p));
    mf_model_program(p, &iris);
    mf_status status = check_all(a, p);
    mf_program_free(p);
    return status;
}

static mf_status check_encoder(const mf_artifact *a)
{
    mf_iris iris;
    mf_program *p;
    MF_TRY(mf_iris_encoder_from_shapes(mf_model_shape, a, &iris));
    MF_TRY(mf_program_new(&p));
    mf_model_program(p, &iris);
    mf_status status = mf_program_status(p);
    if (!status)
        status = check_weights(a, "", p);
    mf_program_free(p);
    return status;
}

/* ---- SAM 2 ----------------------------------------------------------------------------------- */

static mf_status check_sam2(const mf_artifact *a)
{
    size_t count = mf_artifact_array_count(a);
    mf_tensors t = {.item = calloc(count + 1, sizeof *t.item), .count = count, .sorted = true};
    mf_array *shapes = calloc(count + 1, sizeof *shapes); /* without numbers */
    sam2_config config;
    mf_status status =
        t.item && shapes ? sam2_config_of(a, &config) : mf_no_memory(0, "a list of tensors");
    for (size_t i = 0; i < count && !status; i++) {
        mf_array_info info;
        mf_artifact_array_info(a, i, &info);
        if (info.ragged)
            status = mf_fail(MF_INVALID, "tensor %s has rows", info.name);
        shapes[i] = (mf_array){.dtype = info.dtype, .rank = info.rank};
        memcpy(shapes[i].shape, info.shape, sizeof info.shape);
        t.item[i] = (mf_tensor){(char *)info.name, &shapes[i]};
    }
    if (!status)
        status = sam2_config_match(&t, &config);
    free(t.item);
    free(shapes);
    return status;
}

mf_status mf_model_check(const mf_artifact *a)
{
    const char *architecture = mf_artifact_text(a, "architecture");
    if (architecture && !strcmp(architecture, "iris"))
        return check_iris(a);
    if (architecture && !strcmp(architecture, "iris-encoder"))
        return check_encoder(a);
    if (architecture && !strcmp(architecture, "sam2"))
        return check_sam2(a);
    return MF_OK;
}
