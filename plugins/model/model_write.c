/* model_write.c - see model_write.h. */
#include "model_write.h"
#include "../mass/model.h"
#include "../weights/pickle_write.h"
#include "../weights/torch_write.h"

#include <string.h>

/* Which arrays a state dict has, and what is taken off their names. */
typedef struct state {
    const char *key;
    const char *prefix; /* of those that are meant: "" for all others than averages */
    bool carried;       /* also task_prior_*, which has no averages */
} state;

static bool starts(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

static bool belongs(const state *s, const char *name)
{
    if (s->carried && starts(name, "task_prior_"))
        return true;
    return *s->prefix ? starts(name, s->prefix) : !starts(name, "ema.");
}

static mf_status put_state(const mf_artifact *a, const state *s, FILE *out)
{
    pickle_put_text(out, s->key);
    pickle_put_dict(out);
    for (size_t i = 0; i < mf_artifact_array_count(a); i++) {
        mf_array_info info;
        mf_artifact_array_info(a, i, &info);
        if (!belongs(s, info.name))
            continue;
        pickle_put_text(out, info.name + (starts(info.name, s->prefix) ? strlen(s->prefix) : 0));
        MF_TRY(mf_torch_put_array(out, a, i));
    }
    pickle_put_dict_end(out);
    return MF_OK;
}

static void put_ints(FILE *out, const char *key, const int64_t *values, size_t count)
{
    pickle_put_text(out, key);
    pickle_put_ints(out, values, count);
}

static void put_int(FILE *out, const char *key, int64_t value)
{
    pickle_put_text(out, key);
    pickle_put_int(out, value);
}

static void put_text(FILE *out, const char *key, const char *value)
{
    pickle_put_text(out, key);
    pickle_put_text(out, value);
}

static void put_bool(FILE *out, const char *key, bool value)
{
    pickle_put_text(out, key);
    pickle_put_bool(out, value);
}

static void put_real(FILE *out, const char *key, double value)
{
    pickle_put_text(out, key);
    pickle_put_real(out, value);
}

/* The arguments of the official class Iris. */
static void put_model_config(const mf_artifact *a, const mf_iris *iris, FILE *out)
{
    static const int64_t twos[] = {2, 2, 2, 2}, threes[] = {3, 3, 3, 3, 3};
    int64_t prior[MF_MAX_RANK] = {0};
    int rank;
    pickle_put_text(out, "model");
    pickle_put_dict(out);
    /* the official code has no I3D, and says so of a type that it does not know */
    put_text(out, "type", iris->i3d.width ? "iris-i3d" : "iris");
    if (iris->i3d.width) {
        put_int(out, "i3d_width", iris->i3d.width);
        put_ints(out, "i3d_blocks", iris->i3d.blocks, MF_I3D_STAGES);
    }
    put_int(out, "in_ch", 1);
    put_ints(out, "channels", iris->channels, MF_IRIS_DEPTHS);
    put_ints(out, "scale", twos, 4);
    put_ints(out, "kernel_size", threes, 5);
    put_text(out, "block", "BasicBlock");
    put_ints(out, "num_block", iris->blocks, MF_IRIS_DEPTHS - 1);
    put_bool(out, "pool", true);
    put_text(out, "norm", "in");
    put_int(out, "tn",
            mf_model_shape(a, "task_prior_0", &rank, prior) && rank == 3 ? prior[0]
                                                                         : MF_MODEL_PRIORS);
    put_int(out, "num_prior_stage", MF_IRIS_LEVELS);
    put_real(out, "ema_moment", 0.99);
    pickle_put_dict_end(out);
}

/* What inference.py and evaluate.py read of it: the model, the window and its overlap, precision.
 * No window is larger than the position embedding. */
static void put_config(const mf_artifact *a, const mf_iris *iris, FILE *out)
{
    const int64_t edge = iris->positions < 128 ? iris->positions : 128;
    const int64_t window[] = {edge, edge, edge};
    pickle_put_text(out, "config");
    pickle_put_dict(out);
    put_model_config(a, iris, out);
    put_ints(out, "training_size", window, 3);
    pickle_put_text(out, "evaluation");
    pickle_put_dict(out);
    put_bool(out, "sliding_window", true);
    put_ints(out, "window_size", window, 3);
    put_real(out, "overlap", 0.5);
    pickle_put_dict_end(out);
    pickle_put_text(out, "amp");
    pickle_put_dict(out);
    put_bool(out, "enabled", false);
    put_text(out, "dtype", "float32");
    pickle_put_dict_end(out);
    pickle_put_dict_end(out);
}

static mf_status describe_iris(const mf_artifact *a, FILE *out)
{
    static const state weights = {"model", "", false}, averages = {"ema_model", "ema.", true};
    mf_iris iris;
    MF_TRY(mf_model_iris(a, &iris));
    MF_TRY(put_state(a, &weights, out));
    if (mf_model_has_averages(a))
        MF_TRY(put_state(a, &averages, out));
    put_int(out, "epoch", 0);
    put_int(out, "iteration", 0);
    put_config(a, &iris, out);
    return MF_OK;
}

static mf_status describe(const mf_artifact *a, FILE *out)
{
    static const state all = {"model", "", false},
                       encoder = {"encoder_state_dict", "encoder.", false},
                       head = {"head_state_dict", "", false};
    const char *architecture = mf_artifact_text(a, "architecture");
    mf_status status;
    if (!architecture)
        architecture = "";
    pickle_put_dict(out);
    if (!strcmp(architecture, "iris"))
        status = describe_iris(a, out);
    else if (!strcmp(architecture, "iris-encoder"))
        status = put_state(a, &encoder, out);
    else
        status = put_state(a, !strcmp(architecture, "head") ? &head : &all, out);
    pickle_put_dict_end(out);
    return status;
}

mf_status mf_write_torch_model(const mf_artifact *model, const char *path)
{
    return mf_torch_write(model, path, describe);
}
