/* model.c - weights between files, artifacts and devices; how new ones are drawn. */
#include "model.h"

#include <massflow/random.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

mf_status mf_model_configure(mf_ints channels, mf_ints blocks, int64_t positions, mf_iris *iris)
{
    if (channels.count != MF_IRIS_DEPTHS)
        return mf_fail(MF_INVALID, "channels: %zu numbers, where the model has %d levels",
                       channels.count, MF_IRIS_DEPTHS);
    if (blocks.count != MF_IRIS_DEPTHS - 1)
        return mf_fail(MF_INVALID,
                       "num_block: %zu numbers, but the model has %d levels below full resolution",
                       blocks.count, MF_IRIS_DEPTHS - 1);
    *iris = (mf_iris){.positions = positions};
    memcpy(iris->channels, channels.v, sizeof iris->channels);
    memcpy(iris->blocks, blocks.v, sizeof iris->blocks);
    return mf_iris_check(iris);
}

/* That of an I3D has no effect where there is none. */
static mf_status check_no_i3d(const mf_model_sizes *s)
{
    static const int64_t usual[MF_I3D_STAGES] = {MF_I3D_BLOCKS_DEFAULT};
    const bool blocks =
        s->i3d_blocks.count != MF_I3D_STAGES || memcmp(s->i3d_blocks.v, usual, sizeof usual) != 0;
    if (s->i3d_width == MF_I3D_WIDTH_DEFAULT && !blocks)
        return MF_OK;
    return mf_hint(mf_fail(MF_INVALID, "%s is set, but backbone is resunet",
                           blocks ? "i3d_blocks" : "i3d_width"),
                   "set backbone: i3d, or remove it");
}

mf_status mf_model_configure_backbone(const mf_model_sizes *s, mf_iris *iris)
{
    MF_TRY(mf_model_configure(s->channels, s->blocks, s->positions, iris));
    if (strcmp(s->backbone, "i3d") != 0)
        return check_no_i3d(s);
    if (s->i3d_blocks.count != MF_I3D_STAGES)
        return mf_fail(MF_INVALID, "i3d_blocks: %zu numbers, where an I3D-ResNet has %d stages",
                       s->i3d_blocks.count, MF_I3D_STAGES);
    iris->i3d.width = s->i3d_width;
    memcpy(iris->i3d.blocks, s->i3d_blocks.v, sizeof iris->i3d.blocks);
    return mf_i3d_check(&iris->i3d);
}

mf_status mf_model_check_backbone(const char *backbone, const mf_iris *iris)
{
    if (strcmp(backbone, "i3d") != 0 || iris->i3d.width)
        return MF_OK;
    return mf_hint(mf_fail(MF_INVALID, "backbone is i3d, but the model of `init` has a ResUNet"),
                   "connect a model of mass.init or mass.inflate with backbone i3d, or remove "
                   "`backbone`");
}

bool mf_model_name_ends(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && !strcmp(name + n - m, end);
}

static bool all_are(const mf_array *a, float value)
{
    const float *v = a->data;
    for (int64_t i = 0; i < mf_array_count(a); i++)
        if (v[i] < value || v[i] > value)
            return false;
    return true;
}

mf_status mf_model_check_statistics(const mf_artifact *a)
{
    bool any = false, drawn = true;
    for (size_t i = 0; i < mf_artifact_array_count(a) && drawn; i++) {
        mf_array_info info;
        mf_array *array;
        mf_artifact_array_info(a, i, &info);
        const bool mean = mf_model_name_ends(info.name, "running_mean");
        if (info.dtype != MF_F32 || !(mean || mf_model_name_ends(info.name, "running_var")))
            continue;
        MF_TRY(mf_artifact_array(a, info.name, &array));
        any = true;
        drawn = all_are(array, mean ? 0 : 1);
        mf_array_unref(array);
    }
    if (!any || !drawn)
        return MF_OK;
    return mf_hint(mf_fail(MF_INVALID, "all running statistics of the I3D are mean 0 and variance "
                                       "1: it has not been trained"),
                   "connect a trained model, or one of mass.inflate");
}

bool mf_model_shape(const void *self, const char *name, int *rank, int64_t *shape)
{
    mf_array_info info;
    if (!mf_artifact_find(self, name, &info) || info.ragged)
        return false;
    *rank = info.rank;
    memcpy(shape, info.shape, sizeof info.shape);
    return true;
}

static bool encoder_alone(const mf_artifact *a)
{
    const char *architecture = mf_artifact_text(a, "architecture");
    return architecture && !strcmp(architecture, "iris-encoder");
}

mf_status mf_model_iris(const mf_artifact *a, mf_iris *iris)
{
    if (encoder_alone(a))
        return mf_hint(mf_fail(MF_INVALID, "the model is an encoder alone"),
                       "connect a whole model: an encoder alone is enough for mass.features and "
                       "mass.classify only");
    return mf_iris_from_shapes(mf_model_shape, a, iris);
}

mf_status mf_model_encoder(const mf_artifact *a, mf_iris *iris)
{
    return encoder_alone(a) ? mf_iris_encoder_from_shapes(mf_model_shape, a, iris)
                            : mf_model_iris(a, iris);
}

void mf_model_program(mf_program *p, const mf_iris *iris)
{
    static const int64_t crop[3] = {16, 16, 16};
    mf_iris_training t;
    mf_iris own = *iris;
    own.frozen_norms = true; /* a crop so small has no batch statistics */
    if (iris->positions)
        mf_iris_declare_training(p, &own, crop, 1, &t);
    else
        mf_iris_declare_features(p, &own, crop);
}

mf_status mf_model_declare(mf_weights *w, const mf_iris *iris)
{
    mf_program *p;
    if (iris->positions)
        MF_TRY(mf_iris_check(iris));
    MF_TRY(mf_program_new(&p));
    mf_model_program(p, iris);
    mf_status status = mf_weights_declare(w, p);
    mf_program_free(p);
    return status;
}

const char *mf_model_shape_text(int rank, const int64_t *shape, char text[96])
{
    const size_t size = 96;
    size_t n = (size_t)snprintf(text, size, "[");
    for (int i = 0; i < rank && n < size; i++)
        n += (size_t)snprintf(text + n, size - n, "%s%lld", i ? "," : "", (long long)shape[i]);
    if (n < size)
        snprintf(text + n, size - n, "]");
    return text;
}

mf_status mf_model_load_weight(mf_weights *w, size_t i, const mf_tensors *t)
{
    mf_weight_info info;
    char have[96], want[96];
    mf_weights_info(w, i, &info);
    const mf_array *a = mf_tensors_find(t, info.name);
    if (!a)
        return mf_fail(MF_INVALID, "the weights have no tensor %s", info.name);
    if (a->rank != info.rank || memcmp(a->shape, info.shape, sizeof(int64_t) * (size_t)info.rank))
        return mf_fail(MF_INVALID, "tensor %s is %s, the model's is %s", info.name,
                       mf_model_shape_text(a->rank, a->shape, have),
                       mf_model_shape_text(info.rank, info.shape, want));
    mf_array *values;
    MF_TRY(mf_array_convert(a, MF_F32, &values));
    mf_status status = mf_weights_set(w, i, values->data);
    mf_array_unref(values);
    return status;
}

mf_status mf_model_load(mf_weights *w, const mf_tensors *t)
{
    for (size_t i = 0; i < mf_weights_count(w); i++)
        MF_TRY(mf_model_load_weight(w, i, t));
    return MF_OK;
}

/* ---- drawing --------------------------------------------------------------------------------- */

/* The bound of a bias is that of the weight beside it, whose fan in the bias does not show. */
static double fan_in_beside(const mf_weights *w, const char *bias)
{
    char name[256];
    mf_weight_info info;
    snprintf(name, sizeof name, "%.*sweight", (int)(strlen(bias) - strlen("bias")), bias);
    int i = mf_weights_find(w, name);
    if (i < 0)
        return 1;
    mf_weights_info(w, (size_t)i, &info);
    return (double)info.count / (double)info.shape[0];
}

typedef enum draw_kind { DRAW_NOTHING, DRAW_ONES, DRAW_NORMAL, DRAW_UNIFORM } draw_kind;

static bool is_i3d_filter(const mf_weight_info *info)
{
    return info->rank == 5 && (!strcmp(info->name, "encoder.conv1.weight") ||
                               !strncmp(info->name, "encoder.layer", 13));
}

/* How a weight is drawn, and the bound of a uniform one or the deviation of a normal one. */
static draw_kind rule(const mf_weights *w, const mf_weight_info *info, double *bound)
{
    const char *name = info->name;
    double fan_in = (double)info->count / (double)info->shape[0], fan_out = (double)info->shape[0];
    bool classifier = strstr(name, "classifier_pred");
    if (mf_model_name_ends(name, "running_mean"))
        return DRAW_NOTHING;
    if (is_i3d_filter(info)) { /* kaiming_normal_(mode="fan_out"), as torchvision's ResNet */
        *bound = sqrt(2 / (fan_out * fan_in / (double)info->shape[1]));
        return DRAW_NORMAL;
    }
    *bound = 1;
    if (mf_model_name_ends(name, "embedding"))
        return DRAW_NORMAL;
    if (mf_model_name_ends(name, "bias")) {
        bool norm = fan_in_beside(w, name) <= 1; /* its weight is a vector */
        if (norm || classifier || strstr(name, ".mha."))
            return DRAW_NOTHING;
        *bound = 1 / sqrt(fan_in_beside(w, name));
        return DRAW_UNIFORM;
    }
    if (info->rank == 1)
        return DRAW_ONES;
    if (mf_model_name_ends(name, "in_proj_weight") || mf_model_name_ends(name, "task_query") ||
        classifier)
        *bound = sqrt(6 / (fan_in + fan_out));
    else
        *bound = 1 / sqrt(fan_in); /* kaiming_uniform_(a = sqrt(5)) */
    return DRAW_UNIFORM;
}

mf_status mf_model_draw_weight(mf_weights *w, size_t i, uint64_t seed)
{
    mf_weight_info info;
    mf_random random;
    double bound = 0;
    mf_weights_info(w, i, &info);
    draw_kind kind = rule(w, &info, &bound);
    float *values = calloc((size_t)info.count, sizeof *values);
    if (!values)
        return mf_no_memory((size_t)info.count * sizeof *values, "%s", info.name);
    mf_random_seed(&random, seed, info.name, 0); /* by name: one weight never moves another */
    for (int64_t n = 0; n < info.count && kind != DRAW_NOTHING; n++)
        values[n] = kind == DRAW_ONES     ? 1
                    : kind == DRAW_NORMAL ? (float)(bound * mf_random_normal(&random))
                                          : (float)mf_random_uniform(&random, -bound, bound);
    mf_status status = mf_weights_set(w, i, values);
    free(values);
    return status;
}

mf_status mf_model_draw(mf_weights *w, uint64_t seed)
{
    for (size_t i = 0; i < mf_weights_count(w); i++)
        MF_TRY(mf_model_draw_weight(w, i, seed));
    return MF_OK;
}

/* ---- artifacts ------------------------------------------------------------------------------- */

bool mf_model_has_averages(const mf_artifact *a)
{
    mf_array_info info;
    return mf_artifact_find(a, "ema.encoder.inc.conv1.weight", &info) ||
           mf_artifact_find(a, "ema.encoder.conv1.weight", &info);
}

mf_status mf_model_read(const mf_artifact *a, bool averages, mf_tensors *t)
{
    mf_array_info info;
    averages = averages && mf_model_has_averages(a);
    for (size_t i = 0; i < mf_artifact_array_count(a); i++) {
        mf_artifact_array_info(a, i, &info);
        bool average = !strncmp(info.name, "ema.", 4);
        bool carried = !strncmp(info.name, "task_prior_", 11);
        mf_array *array;
        if (average != averages && !carried)
            continue;
        MF_TRY(mf_artifact_array(a, info.name, &array));
        MF_TRY(mf_tensors_add(t, info.name + (average ? 4 : 0), array));
    }
    return MF_OK;
}

static mf_status add_weights(mf_weights *w, const char *prefix, bool average, mf_artifact *a)
{
    for (size_t i = 0; i < mf_weights_count(w); i++) {
        mf_weight_info info;
        mf_array *array;
        char name[256];
        mf_weights_info(w, i, &info);
        if (!strncmp(info.name, "tokens.", 7)) /* what fine-tuning learns beside the model */
            continue;
        snprintf(name, sizeof name, "%s%s", prefix, info.name);
        MF_TRY(mf_array_new(MF_F32, info.rank, info.shape, &array));
        mf_status status =
            average ? mf_weights_get_average(w, i, array->data) : mf_weights_get(w, i, array->data);
        if (!status)
            status = mf_artifact_add(a, name, array);
        mf_array_unref(array);
        MF_TRY(status);
    }
    return MF_OK;
}

mf_status mf_model_describe(const mf_iris *iris, mf_artifact *a)
{
    double channels[MF_IRIS_DEPTHS], blocks[MF_IRIS_DEPTHS - 1];
    for (int i = 0; i < MF_IRIS_DEPTHS; i++)
        channels[i] = (double)iris->channels[i];
    for (int i = 0; i < MF_IRIS_DEPTHS - 1; i++)
        blocks[i] = (double)iris->blocks[i];
    MF_TRY(mf_artifact_set_text(a, "architecture", iris->positions ? "iris" : "iris-encoder"));
    MF_TRY(mf_artifact_set_reals(a, "channels", channels, MF_IRIS_DEPTHS));
    if (iris->i3d.width) {
        double stages[MF_I3D_STAGES], width = (double)iris->i3d.width;
        for (int i = 0; i < MF_I3D_STAGES; i++)
            stages[i] = (double)iris->i3d.blocks[i];
        MF_TRY(mf_artifact_set_text(a, "backbone", "i3d"));
        MF_TRY(mf_artifact_set_reals(a, "i3d_width", &width, 1));
        MF_TRY(mf_artifact_set_reals(a, "i3d_blocks", stages, MF_I3D_STAGES));
    }
    return mf_artifact_set_reals(a, "blocks", blocks, MF_IRIS_DEPTHS - 1);
}

static mf_status fill(mf_weights *w, const mf_iris *iris, bool averages, const mf_tensors *carried,
                      mf_artifact *a)
{
    MF_TRY(mf_model_describe(iris, a));
    MF_TRY(add_weights(w, "", false, a));
    if (averages)
        MF_TRY(add_weights(w, "ema.", true, a));
    for (size_t i = 0; i < carried->count; i++)
        MF_TRY(mf_artifact_add(a, carried->item[i].name, carried->item[i].array));
    return MF_OK;
}

mf_status mf_model_tensors(mf_weights *w, bool averages, mf_tensors *t)
{
    for (size_t i = 0; i < mf_weights_count(w); i++) {
        mf_weight_info info;
        mf_array *a;
        mf_weights_info(w, i, &info);
        MF_TRY(mf_tensors_make(t, info.name, MF_F32, info.rank, info.shape, &a));
        MF_TRY(averages ? mf_weights_get_average(w, i, a->data) : mf_weights_get(w, i, a->data));
    }
    return MF_OK;
}

bool mf_model_is_encoder(const mf_tensors *t)
{
    for (size_t i = 0; i < t->count; i++)
        if (strncmp(t->item[i].name, "encoder.", 8) != 0)
            return false;
    return t->count > 0;
}

mf_status mf_model_artifact(mf_weights *w, const mf_iris *iris, bool averages,
                            const mf_tensors *carried, mf_artifact **artifact)
{
    MF_TRY(mf_artifact_new("model", artifact));
    mf_status status = fill(w, iris, averages, carried, *artifact);
    if (status) {
        mf_artifact_unref(*artifact);
        *artifact = NULL;
    }
    return status;
}

mf_status mf_model_carry(const mf_iris *iris, const mf_tensors *from, mf_tensors *carried)
{
    for (int i = 0; i < MF_IRIS_LEVELS; i++) {
        char name[32];
        snprintf(name, sizeof name, "task_prior_%d", i);
        mf_array *array = from ? mf_tensors_find(from, name) : NULL;
        if (array) {
            MF_TRY(mf_tensors_add(carried, name, mf_array_ref(array)));
            continue;
        }
        int64_t shape[3] = {MF_MODEL_PRIORS, MF_IRIS_TOKENS, iris->channels[4 - i]};
        MF_TRY(mf_tensors_make(carried, name, MF_F32, 3, shape, &array));
    }
    return MF_OK;
}
