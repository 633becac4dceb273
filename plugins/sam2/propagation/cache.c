/* cache.c - see cache.h. */
#include "cache.h"
#include <stdlib.h>

typedef struct entry {
    int64_t slice; /* -1: free */
    sam2_features features;
} entry;

struct sam2_cache {
    sam2_predictor *predictor;
    const sam2_stack *stack;
    size_t bytes, each; /* each: of one slice */
    int axis;           /* of what is kept; -1: nothing is */
    entry *entry;
    int64_t count, most, encoded;
    float *input; /* [image, image, 3] */
};

static size_t bytes_of(const sam2_config *c)
{
    const size_t h = (size_t)(c->image / 16), dim = (size_t)c->dim;
    return h * h * (dim + 4 * (dim / 4) + 16 * (dim / 8)) * sizeof(float);
}

mf_status sam2_cache_new(sam2_predictor *predictor, const sam2_stack *stack, size_t bytes,
                         sam2_cache **cache)
{
    const sam2_config *config = sam2_predictor_config(predictor);
    sam2_cache *c = calloc(1, sizeof *c);
    *cache = NULL;
    if (!c)
        return mf_no_memory(0, "features");
    *c = (sam2_cache){.predictor = predictor, .stack = stack, .axis = -1};
    c->most = (int64_t)(bytes / bytes_of(config));
    c->most = c->most < 1 ? 1 : c->most;
    c->input = malloc((size_t)(config->image * config->image * 3) * sizeof *c->input);
    if (!c->input) {
        free(c);
        return mf_no_memory((size_t)(config->image * config->image * 3) * sizeof *c->input,
                            "a picture");
    }
    *cache = c;
    return MF_OK;
}

static void forget(sam2_cache *c)
{
    for (int64_t i = 0; i < c->count; i++)
        sam2_features_clear(&c->entry[i].features);
    free(c->entry);
    c->entry = NULL;
    c->count = 0;
}

void sam2_cache_free(sam2_cache *c)
{
    if (!c)
        return;
    forget(c);
    free(c->input);
    free(c);
}

static mf_status start_axis(sam2_cache *c, int axis)
{
    const int64_t slices = sam2_stack_count(c->stack, axis);
    forget(c);
    c->count = slices < c->most ? slices : c->most;
    c->entry = calloc((size_t)c->count, sizeof *c->entry);
    if (!c->entry)
        return mf_no_memory((size_t)c->count * sizeof *c->entry, "features");
    for (int64_t i = 0; i < c->count; i++)
        c->entry[i].slice = -1;
    c->axis = axis;
    return MF_OK;
}

/* A free place, or that of the slice that is needed last. */
static entry *make_place(sam2_cache *c, sam2_when when, const void *user)
{
    entry *last = NULL;
    int64_t latest = -1;
    for (int64_t i = 0; i < c->count; i++) {
        if (c->entry[i].slice < 0)
            return c->entry + i;
        const int64_t at = when(user, c->entry[i].slice);
        if (at > latest) {
            latest = at;
            last = c->entry + i;
        }
    }
    last->slice = -1;
    sam2_features_clear(&last->features);
    return last;
}

static mf_status encode(sam2_cache *c, int axis, int64_t i, sam2_features *f)
{
    int64_t h, w;
    sam2_stack_size(c->stack, axis, &h, &w);
    uint8_t *rgb = malloc((size_t)(h * w * 3));
    if (!rgb)
        return mf_no_memory((size_t)(h * w * 3), "a slice");
    sam2_stack_slice(c->stack, axis, i, rgb);
    const sam2_picture picture = {rgb, h, w, w};
    mf_status status =
        sam2_picture_frame(&picture, sam2_predictor_config(c->predictor)->image, c->input);
    free(rgb);
    c->encoded++;
    return status ? status : sam2_encode(c->predictor, c->input, f);
}

mf_status sam2_cache_get(sam2_cache *c, int axis, int64_t i, sam2_when when, const void *user,
                         const sam2_features **f)
{
    *f = NULL;
    if (c->axis != axis)
        MF_TRY(start_axis(c, axis));
    for (int64_t k = 0; k < c->count; k++)
        if (c->entry[k].slice == i) {
            *f = &c->entry[k].features;
            return MF_OK;
        }
    entry *e = make_place(c, when, user);
    MF_TRY(encode(c, axis, i, &e->features));
    e->slice = i;
    *f = &e->features;
    return MF_OK;
}

int64_t sam2_cache_encoded(const sam2_cache *c)
{
    return c->encoded;
}
