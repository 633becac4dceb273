/* drawn_pairs.c - a plugin for tests: streams of pairs and of crops that are drawn from their place
 * in the stream alone. One of them may have a voxel that is no number. */
#include <massflow/stage.h>

#include <math.h>

typedef struct drawn_params {
    mf_int3 patch_size;
    int64_t masks, bad;
} drawn_params;

static const mf_param drawn_table[] = {
    MF_INT3(drawn_params, patch_size, "[16, 16, 16]", 1, 64, "voxels", "Size of a view."),
    MF_INT(drawn_params, masks, "2", 1, 8, "", "Masks of a pair; labels of a crop."),
    MF_INT(drawn_params, bad, "-1", -1, 1e6, "", "The item with a voxel that is no number."),
    MF_END};

/* A blob for each mask, somewhere else in each item. */
static void fill_masks(uint8_t *masks, const drawn_params *o, int64_t voxels, mf_random *random)
{
    for (int64_t k = 0; k < o->masks; k++) {
        const int64_t first = mf_random_below(random, voxels / 2);
        for (int64_t i = 0; i < voxels / 4; i++)
            masks[k * voxels + first + i] = 1;
    }
}

static mf_status add_image(mf_artifact *a, const char *name, const drawn_params *o, bool bad,
                           mf_random *random)
{
    const int64_t shape[3] = {o->patch_size.v[2], o->patch_size.v[1], o->patch_size.v[0]};
    mf_array *array;
    MF_TRY(mf_array_new(MF_F32, 3, shape, &array));
    float *voxel = array->data;
    for (int64_t i = 0; i < mf_array_count(array); i++)
        voxel[i] = (float)mf_random_normal(random);
    if (bad)
        voxel[mf_array_count(array) / 2] = NAN;
    mf_status status = mf_artifact_add(a, name, array);
    mf_array_unref(array);
    return status;
}

static mf_status add_masks(mf_artifact *a, const char *name, const drawn_params *o,
                           mf_random *random)
{
    const int64_t shape[4] = {o->masks, o->patch_size.v[2], o->patch_size.v[1], o->patch_size.v[0]};
    mf_array *array;
    MF_TRY(mf_array_new(MF_U8, 4, shape, &array));
    fill_masks(array->data, o, mf_array_count(array) / o->masks, random);
    mf_status status = mf_artifact_add(a, name, array);
    mf_array_unref(array);
    return status;
}

static mf_status name_item(mf_artifact *a, int64_t i)
{
    char text[32];
    snprintf(text, sizeof text, "scan %lld", (long long)(i % 5));
    MF_TRY(mf_artifact_set_text(a, "sample", text));
    return mf_artifact_set_text(a, "scan", text);
}

static mf_status fill_pair(const drawn_params *o, int64_t i, mf_artifact *a)
{
    mf_random random;
    mf_random_seed(&random, 1, "pair", (uint64_t)i);
    MF_TRY(add_image(a, "reference", o, i == o->bad, &random));
    MF_TRY(add_image(a, "query", o, false, &random));
    MF_TRY(add_masks(a, "reference_masks", o, &random));
    MF_TRY(add_masks(a, "query_masks", o, &random));
    return name_item(a, i);
}

static mf_status fill_crop(const drawn_params *o, int64_t i, mf_artifact *a)
{
    const int64_t shape[3] = {o->patch_size.v[2], o->patch_size.v[1], o->patch_size.v[0]};
    mf_array *labels;
    mf_random random;
    mf_random_seed(&random, 1, "crop", (uint64_t)i);
    MF_TRY(add_image(a, "image", o, i == o->bad, &random));
    MF_TRY(mf_array_new(MF_U16, 3, shape, &labels));
    for (int64_t v = 0; v < mf_array_count(labels); v++)
        ((uint16_t *)labels->data)[v] = (uint16_t)mf_random_below(&random, 2);
    mf_status status = mf_artifact_add(a, "labels", labels);
    mf_array_unref(labels);
    return status ? status : name_item(a, i);
}

static mf_status make(const char *type,
                      mf_status (*fill)(const drawn_params *, int64_t, mf_artifact *),
                      const drawn_params *o, int64_t i, mf_artifact **item)
{
    MF_TRY(mf_artifact_new(type, item));
    mf_status status = fill(o, i, *item);
    if (status) {
        mf_artifact_unref(*item);
        *item = NULL;
    }
    return status;
}

static mf_status pair_item(mf_task *t, const void *p, void *session, int64_t i, mf_artifact **item)
{
    (void)t;
    (void)session;
    return make("pair", fill_pair, p, i, item);
}

static mf_status crop_item(mf_task *t, const void *p, void *session, int64_t i, mf_artifact **item)
{
    (void)t;
    (void)session;
    return make("crop", fill_crop, p, i, item);
}

static const mf_port pairs_out[] = {MF_PORT("pairs", "stream<pair>", "Drawn pairs."), MF_END};
static const mf_port crops_out[] = {MF_PORT("crops", "stream<crop>", "Drawn crops."), MF_END};
static MF_STAGE(drawn_pairs, "drawn.pairs", 1, "A stream of drawn pairs.", .params = drawn_table,
                .params_size = sizeof(drawn_params), .out = pairs_out, .item = pair_item);
static MF_STAGE(drawn_crops, "drawn.crops", 1, "A stream of drawn crops.", .params = drawn_table,
                .params_size = sizeof(drawn_params), .out = crops_out, .item = crop_item);

MF_PLUGIN("drawn_pairs", &drawn_pairs, &drawn_crops)
