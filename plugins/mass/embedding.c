/* embedding.c - see embedding.h. */
#include "embedding.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mf_embedding_clear(mf_embedding *e)
{
    mf_priors_clear(&e->priors);
    free(e->labels);
    free(e->examples);
    mf_names_clear(&e->names);
    *e = (mf_embedding){0};
}

/* ---- fingerprint ----------------------------------------------------------------------------- */

/* FNV-1a over 64 bits (draft-eastlake-fnv), a word at a time. */
static uint64_t mix(uint64_t hash, uint64_t word)
{
    return (hash ^ word) * 0x100000001b3u;
}

static uint64_t mix_weight(const mf_weight_info *info, const float *values)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *c = info->name; *c; c++)
        hash = mix(hash, (unsigned char)*c);
    for (int i = 0; i < info->rank; i++)
        hash = mix(hash, (uint64_t)info->shape[i]);
    for (int64_t i = 0; i < info->count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        hash = mix(hash, bits);
    }
    return hash ^ hash >> 29; /* high bits reach the low ones: sums of weights keep both */
}

mf_status mf_embedding_fingerprint(mf_weights *w, bool averages, char text[MF_FINGERPRINT])
{
    uint64_t sum = 0; /* of all weights: their order does not matter */
    for (size_t i = 0; i < mf_weights_count(w); i++) {
        mf_weight_info info;
        mf_weights_info(w, i, &info);
        float *values = malloc((size_t)info.count * sizeof *values);
        if (!values)
            return mf_no_memory((size_t)info.count * sizeof *values, "%s", info.name);
        mf_status status =
            averages ? mf_weights_get_average(w, i, values) : mf_weights_get(w, i, values);
        if (!status)
            sum += mix_weight(&info, values);
        free(values);
        MF_TRY(status);
    }
    snprintf(text, MF_FINGERPRINT, "%016" PRIx64, sum);
    return MF_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

static mf_status add_integers(mf_artifact *a, const char *name, const int64_t *values, int64_t k)
{
    mf_array *array;
    MF_TRY(mf_array_new(MF_I32, 1, &k, &array));
    for (int64_t i = 0; i < k; i++)
        ((int32_t *)array->data)[i] = (int32_t)values[i];
    mf_status status = mf_artifact_add(a, name, array);
    mf_array_unref(array);
    return status;
}

static mf_status add_tokens(mf_artifact *a, const mf_iris *iris, const mf_priors *priors, int level)
{
    const int64_t shape[3] = {priors->k, MF_IRIS_TOKENS, iris->channels[4 - level]};
    mf_array *array;
    char name[16];
    snprintf(name, sizeof name, "tokens%d", level);
    MF_TRY(mf_array_new(MF_F32, 3, shape, &array));
    memcpy(array->data, priors->level[level], (size_t)mf_array_count(array) * sizeof(float));
    mf_status status = mf_artifact_add(a, name, array);
    mf_array_unref(array);
    return status;
}

/* Those of its labels. */
static mf_status add_names(mf_artifact *a, const mf_embedding *e)
{
    mf_names kept;
    MF_TRY(mf_names_only(&e->names, e->labels, (size_t)e->priors.k, &kept));
    mf_status status = mf_artifact_set_names(a, &kept);
    mf_names_clear(&kept);
    return status;
}

static mf_status describe(mf_artifact *a, const mf_iris *iris, const mf_embedding_settings *s)
{
    double channels[MF_IRIS_DEPTHS], patch[3];
    for (int i = 0; i < MF_IRIS_DEPTHS; i++)
        channels[i] = (double)iris->channels[i];
    for (int i = 0; i < 3; i++)
        patch[i] = (double)s->patch_size[i];
    MF_TRY(mf_artifact_set_text(a, "architecture", "iris"));
    MF_TRY(mf_artifact_set_reals(a, "channels", channels, MF_IRIS_DEPTHS));
    MF_TRY(mf_artifact_set_text(a, "model", s->model));
    MF_TRY(mf_artifact_set_reals(a, "target_spacing", s->spacing, 3));
    MF_TRY(mf_artifact_set_reals(a, "patch_size", patch, 3));
    MF_TRY(mf_artifact_set_text(a, "normalize", s->whole_scan ? "scan" : "crop"));
    MF_TRY(mf_artifact_set_text(a, "modality", s->modality ? s->modality : ""));
    if (s->ema)
        MF_TRY(mf_artifact_set_int(a, "ema", 1));
    MF_TRY(mf_artifact_set_reals(a, "window", s->clip.window, 2));
    return mf_artifact_set_reals(a, "percentiles", s->clip.percentiles, 2);
}

mf_status mf_embedding_write(const mf_embedding *e, const mf_iris *iris, mf_artifact **artifact)
{
    MF_TRY(mf_artifact_new("embedding", artifact));
    mf_status status = describe(*artifact, iris, &e->settings);
    for (int i = 0; i < MF_IRIS_LEVELS && !status; i++)
        status = add_tokens(*artifact, iris, &e->priors, i);
    if (!status)
        status = add_integers(*artifact, "labels", e->labels, e->priors.k);
    if (!status)
        status = add_integers(*artifact, "examples", e->examples, e->priors.k);
    if (!status)
        status = add_names(*artifact, e);
    if (status) {
        mf_artifact_unref(*artifact);
        *artifact = NULL;
    }
    return status;
}

/* ---- reading --------------------------------------------------------------------------------- */

static mf_status find_reals(const mf_artifact *a, const char *name, size_t count,
                            const double **values)
{
    size_t has = 0;
    *values = mf_artifact_reals(a, name, &has);
    if (!*values || has != count)
        return mf_fail(MF_CORRUPT, "attribute '%s' of an embedding is not %zu numbers", name,
                       count);
    for (size_t i = 0; i < count; i++)
        if (!isfinite((*values)[i]))
            return mf_fail(MF_CORRUPT, "attribute '%s' of an embedding is not finite", name);
    return MF_OK;
}

mf_status mf_embedding_check(const mf_artifact *a)
{
    const char *architecture = mf_artifact_text(a, "architecture");
    const char *model = mf_artifact_text(a, "model");
    const double *channels, *numbers;
    if (!architecture || strcmp(architecture, "iris") != 0)
        return mf_fail(MF_UNSUPPORTED, "its architecture is '%s', not 'iris'",
                       architecture ? architecture : "");
    if (!model || strlen(model) != MF_FINGERPRINT - 1)
        return mf_fail(MF_CORRUPT, "its fingerprint of a model is not %d digits",
                       MF_FINGERPRINT - 1);
    MF_TRY(find_reals(a, "channels", MF_IRIS_DEPTHS, &channels));
    MF_TRY(find_reals(a, "target_spacing", 3, &numbers));
    MF_TRY(find_reals(a, "patch_size", 3, &numbers));
    MF_TRY(find_reals(a, "window", 2, &numbers));
    MF_TRY(find_reals(a, "percentiles", 2, &numbers));
    for (int i = 0; i < MF_IRIS_LEVELS; i++) {
        mf_array_info info;
        char name[16];
        snprintf(name, sizeof name, "tokens%d", i);
        if (!mf_artifact_find(a, name, &info) || info.rank != 3 || info.shape[0] < 1 ||
            info.shape[0] > 65535 || info.shape[1] != MF_IRIS_TOKENS ||
            (double)info.shape[2] != channels[4 - i])
            return mf_fail(MF_CORRUPT, "%s is not [1..65535, %d, %g]", name, MF_IRIS_TOKENS,
                           channels[4 - i]);
    }
    return MF_OK;
}

/* "32 64 128 256 512" */
static const char *channels_text(const double *channels, char text[128])
{
    size_t n = 0;
    for (int i = 0; i < MF_IRIS_DEPTHS && n < 128; i++)
        n += (size_t)snprintf(text + n, 128 - n, "%s%g", i ? " " : "", channels[i]);
    return text;
}

static mf_status check_model(const mf_artifact *a, const mf_iris *iris, const char *model)
{
    char theirs[128], ours[128];
    double here[MF_IRIS_DEPTHS];
    const double *there;
    bool same = true;
    MF_TRY(find_reals(a, "channels", MF_IRIS_DEPTHS, &there));
    for (int i = 0; i < MF_IRIS_DEPTHS; i++) {
        here[i] = (double)iris->channels[i];
        same = same && here[i] == there[i];
    }
    if (!same)
        return mf_hint(mf_fail(MF_INVALID,
                               "the embedding belongs to a model with channels %s; this model has "
                               "channels %s",
                               channels_text(there, theirs), channels_text(here, ours)),
                       "use the model that the embedding was made with, or make the embedding "
                       "again with this model");
    const char *made = mf_artifact_text(a, "model");
    if (model && strcmp(made, model) != 0)
        return mf_hint(mf_fail(MF_INVALID,
                               "the embedding was made with other weights (fingerprint %s) than "
                               "this model's (%s)",
                               made, model),
                       "use the model that the embedding was made with, or make the embedding "
                       "again with this model");
    return MF_OK;
}

static mf_status read_integers(const mf_artifact *a, const char *name, int64_t k, int64_t **values)
{
    mf_array *array;
    MF_TRY(mf_artifact_array(a, name, &array));
    *values = array->dtype == MF_I32 && mf_array_count(array) == k
                  ? malloc((size_t)k * sizeof **values)
                  : NULL;
    for (int64_t i = 0; i < k && *values; i++)
        (*values)[i] = ((const int32_t *)array->data)[i];
    mf_array_unref(array);
    return *values ? MF_OK
                   : mf_fail(MF_CORRUPT, "%s of an embedding are not %lld integers", name,
                             (long long)k);
}

static mf_status read_tokens(const mf_artifact *a, const mf_iris *iris, int level,
                             mf_priors *priors)
{
    mf_array *array;
    char name[16];
    snprintf(name, sizeof name, "tokens%d", level);
    MF_TRY(mf_artifact_array(a, name, &array));
    int64_t count = priors->k * MF_IRIS_TOKENS * iris->channels[4 - level];
    mf_status status = MF_OK;
    if (array->dtype != MF_F32 || mf_array_count(array) != count)
        status =
            mf_fail(MF_CORRUPT, "%s of an embedding are not %lld numbers", name, (long long)count);
    else
        memcpy(priors->level[level], array->data, (size_t)count * sizeof(float));
    for (int64_t i = 0; i < count && !status; i++)
        if (!isfinite(priors->level[level][i]))
            status = mf_fail(MF_CORRUPT, "%s of an embedding: number %lld is %g", name,
                             (long long)i, (double)priors->level[level][i]);
    mf_array_unref(array);
    return status;
}

static mf_status read_settings(const mf_artifact *a, mf_embedding_settings *s)
{
    const char *normalize = mf_artifact_text(a, "normalize");
    const double *v;
    int64_t ema;
    s->ema = mf_artifact_int(a, "ema", &ema) && ema == 1;
    snprintf(s->model, sizeof s->model, "%s", mf_artifact_text(a, "model"));
    s->whole_scan = normalize && !strcmp(normalize, "scan");
    s->modality = mf_artifact_text(a, "modality");
    MF_TRY(find_reals(a, "target_spacing", 3, &v));
    memcpy(s->spacing, v, sizeof s->spacing);
    MF_TRY(find_reals(a, "patch_size", 3, &v));
    for (int i = 0; i < 3; i++)
        s->patch_size[i] = v[i] >= 1 && v[i] <= 1e6 ? (int64_t)v[i] : 0;
    MF_TRY(find_reals(a, "window", 2, &v));
    memcpy(s->clip.window, v, sizeof s->clip.window);
    MF_TRY(find_reals(a, "percentiles", 2, &v));
    memcpy(s->clip.percentiles, v, sizeof s->clip.percentiles);
    return MF_OK;
}

static mf_status read_all(const mf_artifact *a, const mf_iris *iris, mf_embedding *e)
{
    mf_array_info info;
    if (!mf_artifact_find(a, "tokens0", &info))
        return mf_fail(MF_CORRUPT, "an embedding without tokens0");
    MF_TRY(mf_priors_make(iris, info.shape[0], &e->priors));
    MF_TRY(read_settings(a, &e->settings));
    for (int i = 0; i < MF_IRIS_LEVELS; i++)
        MF_TRY(read_tokens(a, iris, i, &e->priors));
    MF_TRY(read_integers(a, "labels", e->priors.k, &e->labels));
    MF_TRY(read_integers(a, "examples", e->priors.k, &e->examples));
    MF_TRY(mf_artifact_names(a, &e->names));
    for (int64_t i = 0; i < e->priors.k; i++)
        if (e->labels[i] < 1 || e->labels[i] > 65535 || (i && e->labels[i] <= e->labels[i - 1]))
            return mf_fail(MF_CORRUPT,
                           "labels of an embedding are not ascending numbers from 1 to 65535");
    return MF_OK;
}

mf_status mf_embedding_read(const mf_artifact *a, const mf_iris *iris, const char *model,
                            mf_embedding *e)
{
    *e = (mf_embedding){0};
    MF_TRY(mf_embedding_check(a));
    MF_TRY(check_model(a, iris, model));
    mf_status status = read_all(a, iris, e);
    if (status)
        mf_embedding_clear(e);
    return status;
}
