/* crop.c - see crop.h. The draws follow the official data set of fine-tuning step by step. */
#include "crop.h"

#include <stdlib.h>
#include <string.h>

static int64_t voxels_of(const int64_t size[3])
{
    return size[0] * size[1] * size[2];
}

/* A crop while it is being made: all z y x. */
typedef struct work {
    const mf_crop_settings *settings;
    int64_t lo[3], large[3], inner[3]; /* in the sample; its size; where the center begins in it */
    float *cut, *moved;                /* [large] */
    uint16_t *labels;                  /* [large] */
    mf_array *image, *target;          /* [size] */
} work;

static mf_status check_sample(const mf_artifact *sample, const mf_crop_settings *settings,
                              int64_t shape[3])
{
    mf_array_info info;
    const int64_t *size = settings->size;
    if (!mf_artifact_find(sample, "labels", &info) || info.rank != 3 || info.dtype != MF_U16)
        return mf_hint(mf_fail(MF_INVALID, "the sample has no labels"),
                       "connect the input `labels` of mass.prepare");
    memcpy(shape, info.shape, 3 * sizeof *shape);
    if (!mf_artifact_find(sample, "image", &info) || info.rank != 3 || info.dtype != MF_F32 ||
        memcmp(shape, info.shape, 3 * sizeof *shape) != 0)
        return mf_fail(MF_INVALID, "the sample has no image of the size of its labels");
    for (int i = 0; i < 3; i++)
        if (shape[i] < size[i])
            return mf_hint(mf_fail(MF_INVALID,
                                   "the sample has %lldx%lldx%lld voxels, a crop %lldx%lldx%lld",
                                   (long long)shape[2], (long long)shape[1], (long long)shape[0],
                                   (long long)size[2], (long long)size[1], (long long)size[0]),
                           "let mass.prepare pad samples to at least the crop");
    return MF_OK;
}

/* Where the large crop lies; the last place is left out, as there. */
static void draw_place(const int64_t shape[3], mf_random *random, work *w)
{
    for (int i = 0; i < 3; i++) {
        int64_t large = w->settings->size[i] + w->settings->margin;
        w->large[i] = large < shape[i] ? large : shape[i];
        int64_t room = shape[i] - w->large[i];
        w->lo[i] = room > 1 ? mf_random_below(random, room) : 0;
        w->inner[i] = (w->large[i] - w->settings->size[i]) / 2;
    }
}

/* The center of src [large] into dst [size]. */
static void center(const work *w, const void *src, size_t bytes, void *dst)
{
    const int64_t *size = w->settings->size;
    size_t row = (size_t)size[2] * bytes;
    char *to = dst;
    for (int64_t z = 0; z < size[0]; z++)
        for (int64_t y = 0; y < size[1]; y++, to += row)
            memcpy(to,
                   (const char *)src +
                       (size_t)(((w->inner[0] + z) * w->large[1] + w->inner[1] + y) * w->large[2] +
                                w->inner[2]) *
                           bytes,
                   row);
}

static mf_status fill(work *w, const mf_artifact *sample, mf_random *random)
{
    const mf_view_settings *view = &w->settings->view;
    const int64_t whole[3] = {0, 0, 0};
    int64_t hi[3];
    for (int i = 0; i < 3; i++)
        hi[i] = w->lo[i] + w->large[i];
    MF_TRY(mf_artifact_read_box(sample, "image", w->lo, hi, w->cut));
    MF_TRY(mf_artifact_read_box(sample, "labels", w->lo, hi, w->labels));
    float *image = w->cut;
    if (mf_random_uniform(random, 0, 1) < view->affine_prob) {
        mf_affine affine;
        mf_index_map map;
        mf_view_draw_affine(view, random, &affine);
        mf_affine_map(&affine, w->large, &map);
        /* All of the image: its intensities are changed as a whole, before the center is cut. */
        mf_affine_image(&map, w->cut, w->large, whole, w->large, w->moved);
        mf_affine_labels(&map, w->labels, w->large, w->inner, w->settings->size, w->target->data);
        image = w->moved;
    } else {
        center(w, w->labels, sizeof *w->labels, w->target->data);
    }
    MF_TRY(mf_view_change_intensities(view, w->large, random, image));
    center(w, image, sizeof *image, w->image->data);
    return MF_OK;
}

static mf_status make(work *w, const mf_artifact *sample, mf_random *random, mf_artifact *crop)
{
    size_t n = (size_t)voxels_of(w->large);
    w->cut = malloc(n * sizeof *w->cut);
    w->moved = malloc(n * sizeof *w->moved);
    w->labels = malloc(n * sizeof *w->labels);
    if (!w->cut || !w->moved || !w->labels)
        return mf_no_memory(n * 10, "a crop");
    MF_TRY(mf_array_new(MF_F32, 3, w->settings->size, &w->image));
    MF_TRY(mf_array_new(MF_U16, 3, w->settings->size, &w->target));
    MF_TRY(fill(w, sample, random));
    MF_TRY(mf_artifact_add(crop, "image", w->image));
    return mf_artifact_add(crop, "labels", w->target);
}

mf_status mf_crop_make(const mf_artifact *sample, const mf_crop_settings *settings,
                       mf_random *random, mf_artifact **crop)
{
    int64_t shape[3];
    work w = {.settings = settings};
    *crop = NULL;
    MF_TRY(check_sample(sample, settings, shape));
    MF_TRY(mf_artifact_new("crop", crop));
    draw_place(shape, random, &w);
    mf_status status = make(&w, sample, random, *crop);
    free(w.cut);
    free(w.moved);
    free(w.labels);
    mf_array_unref(w.image);
    mf_array_unref(w.target);
    if (status) {
        mf_artifact_unref(*crop);
        *crop = NULL;
    }
    return status;
}
