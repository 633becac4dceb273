/* prompter.c - see prompter.h. */
#include "prompter.h"
#include "model/session.h"
#include "propagation/track.h"
#include "shared/area.h"
#include "shared/seeds.h"
#include "shared/zoom.h"

#include <stdlib.h>
#include <string.h>

enum { KEPT = 24 }; /* slices: 1.2 MiB each of the small model, 17 MiB of the official ones */

typedef struct kept {
    int axis;
    int64_t slice, used; /* used 0: free */
    sam2_features features;
} kept;

struct prompter {
    mf_device *device;
    sam2_predictor *predictor;
    sam2_stack stack;
    kept kept[KEPT];
    int64_t used;
};

mf_status prompter_new(const mf_artifact *model, const char *device, prompter **made)
{
    prompter *p = calloc(1, sizeof *p);
    *made = NULL;
    if (!p)
        return mf_no_memory(sizeof *p, "a model");
    mf_status status = mf_device_open(device, &p->device);
    if (!status)
        status = sam2_session_of(p->device, model, 0, true, &p->predictor);
    if (status)
        prompter_free(p);
    else
        *made = p;
    return status;
}

static void forget(prompter *p)
{
    for (int i = 0; i < KEPT; i++) {
        sam2_features_clear(&p->kept[i].features);
        p->kept[i] = (kept){0};
    }
    sam2_stack_clear(&p->stack);
}

void prompter_free(prompter *p)
{
    if (!p)
        return;
    forget(p);
    sam2_predictor_free(p->predictor);
    mf_device_unref(p->device);
    free(p);
}

mf_status prompter_look(prompter *p, const mf_artifact *slices)
{
    forget(p);
    mf_status status = sam2_stack_read(slices, &p->stack);
    if (status)
        sam2_stack_clear(&p->stack);
    return status;
}

/* ---- slices ---------------------------------------------------------------------------------- */

static mf_status encode(prompter *p, int axis, int64_t slice, sam2_features *f)
{
    const int64_t image = sam2_predictor_config(p->predictor)->image;
    int64_t h, w;
    sam2_stack_size(&p->stack, axis, &h, &w);
    uint8_t *rgb = malloc((size_t)(h * w * 3));
    float *input = malloc((size_t)(image * image * 3) * sizeof *input);
    mf_status status = rgb && input ? MF_OK : mf_no_memory((size_t)(h * w * 3), "a slice");
    if (!status) {
        sam2_stack_slice(&p->stack, axis, slice, rgb);
        status = sam2_picture_frame(&(sam2_picture){rgb, h, w, w}, image, input);
    }
    if (!status)
        status = sam2_encode(p->predictor, input, f);
    free(rgb);
    free(input);
    return status;
}

static mf_status features_of(prompter *p, int axis, int64_t slice, const sam2_features **f,
                             bool *encoded)
{
    kept *oldest = p->kept;
    *encoded = false;
    for (int i = 0; i < KEPT; i++) {
        kept *k = p->kept + i;
        if (k->used && k->axis == axis && k->slice == slice) {
            k->used = ++p->used;
            *f = &k->features;
            return MF_OK;
        }
        oldest = k->used < oldest->used ? k : oldest;
    }
    sam2_features_clear(&oldest->features);
    *oldest = (kept){0};
    MF_TRY(encode(p, axis, slice, &oldest->features));
    oldest->axis = axis;
    oldest->slice = slice;
    oldest->used = ++p->used;
    *f = &oldest->features;
    *encoded = true;
    return MF_OK;
}

/* ---- masks ----------------------------------------------------------------------------------- */

/* Holes are filled, and what is above 0 is inside, as sam2.propagate and sam2.segment do it. */
static mf_status to_pixels(float *logits, int64_t low, int64_t image, int64_t h, int64_t w,
                           uint8_t *mask)
{
    sam2_parts parts = {0};
    sam2_patch patch = {0};
    sam2_zoom *zoom;
    mf_status status = sam2_area_fill(&parts, logits, low, low, sam2_area_for(8, image));
    sam2_parts_clear(&parts);
    MF_TRY(status);
    MF_TRY(sam2_zoom_new(low, h, w, &zoom));
    status = sam2_zoom_patch(zoom, logits, 0, &patch);
    sam2_zoom_free(zoom);
    MF_TRY(status);
    sam2_patch_crop(&patch, (const int64_t[]){0, 0}, (const int64_t[]){h, w}, w, mask);
    sam2_patch_clear(&patch);
    return MF_OK;
}

static mf_status decode(prompter *p, const prompter_prompts *q, const float *xy,
                        const int32_t *labels, const sam2_features *f, float *logits)
{
    const int64_t holes = sam2_area_for(8, sam2_predictor_config(p->predictor)->image);
    const sam2_prompts prompts = {1, q->count, xy, labels, true, NULL};
    sam2_track *track;
    MF_TRY(sam2_track_new_prompted(p->predictor, sam2_stack_count(&p->stack, q->axis), q->slice,
                                   &prompts, f, holes, &track));
    sam2_track_seed_output(track, logits, NULL, NULL);
    sam2_track_free(track);
    return MF_OK;
}

static mf_status check(const prompter *p, const prompter_prompts *q, int64_t h, int64_t w)
{
    if (q->count < 1)
        return mf_hint(mf_fail(MF_INVALID, "there is no prompt"), "give points or a box");
    if (q->slice < 0 || q->slice >= sam2_stack_count(&p->stack, q->axis))
        return mf_fail(MF_INVALID, "slice %lld of %lld", (long long)q->slice,
                       (long long)sam2_stack_count(&p->stack, q->axis));
    for (int64_t i = 0; i < q->count; i++)
        if (!(q->at[i][0] >= -0.5 && q->at[i][0] <= (double)h - 0.5 && q->at[i][1] >= -0.5 &&
              q->at[i][1] <= (double)w - 0.5))
            return mf_fail(MF_INVALID, "a point at row %g, column %g of a slice of %lld x %lld",
                           q->at[i][0], q->at[i][1], (long long)h, (long long)w);
    return MF_OK;
}

static mf_status answer(prompter *p, const prompter_prompts *q, float *xy, int32_t *labels,
                        float *logits, int64_t h, int64_t w, uint8_t *mask, bool *encoded)
{
    const int64_t image = sam2_predictor_config(p->predictor)->image;
    const sam2_features *f;
    for (int64_t i = 0; i < q->count; i++) { /* pixels of the slice as the model has them */
        xy[2 * i] = (float)q->at[i][1] / (float)w * (float)image;
        xy[2 * i + 1] = (float)q->at[i][0] / (float)h * (float)image;
        labels[i] = q->labels[i];
    }
    MF_TRY(features_of(p, q->axis, q->slice, &f, encoded));
    MF_TRY(decode(p, q, xy, labels, f, logits));
    return to_pixels(logits, image / 4, image, h, w, mask);
}

mf_status prompter_mask(prompter *p, const prompter_prompts *q, uint8_t **mask, int64_t *rows,
                        int64_t *columns, bool *encoded)
{
    const int64_t low = sam2_predictor_config(p->predictor)->image / 4;
    int64_t h, w;
    *mask = NULL;
    if (!p->stack.rgb)
        return mf_fail(MF_INTERNAL, "no scan is looked at");
    sam2_stack_size(&p->stack, q->axis, &h, &w);
    MF_TRY(check(p, q, h, w));
    float *xy = malloc((size_t)q->count * sizeof(float[2]));
    float *logits = malloc((size_t)(low * low) * sizeof *logits);
    int32_t *labels = malloc((size_t)q->count * sizeof *labels);
    uint8_t *pixels = calloc((size_t)(h * w), 1);
    mf_status status = xy && labels && logits && pixels
                           ? answer(p, q, xy, labels, logits, h, w, pixels, encoded)
                           : mf_no_memory((size_t)(h * w), "a mask");
    free(xy);
    free(labels);
    free(logits);
    if (status) {
        free(pixels);
        return status;
    }
    *mask = pixels;
    *rows = h;
    *columns = w;
    return MF_OK;
}
