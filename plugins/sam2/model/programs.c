/* programs.c - see programs.h. */
#include "programs.h"
#include "encoder.h"
#include "load_weights.h"

#include <stdlib.h>

enum { KEPT_MOST = 32 };

typedef struct kept {
    sam2_shape shape;
    mf_executable *executable;
    uint64_t used; /* when, by the count of uses */
} kept;

struct sam2_programs {
    sam2_config config;
    sam2_widths widths;
    mf_weights *weights;
    size_t budget;
    uint64_t uses;
    kept kept[KEPT_MOST];
    int count;
};

static bool same_decoder(const sam2_decoder_shape *a, const sam2_decoder_shape *b)
{
    return a->tokens == b->tokens && a->own_picture == b->own_picture &&
           a->no_memory == b->no_memory && a->mask == b->mask;
}

static bool same(const sam2_shape *a, const sam2_shape *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case SAM2_DECODER:
        return a->decoder.batch == b->decoder.batch && same_decoder(&a->decoder, &b->decoder);
    case SAM2_ATTENTION:
        return a->attention.batch == b->attention.batch &&
               a->attention.slots == b->attention.slots && a->attention.extra == b->attention.extra;
    case SAM2_MEMORY:
        return a->memory.batch == b->memory.batch && a->memory.pixels == b->memory.pixels;
    case SAM2_ENCODER:
        break;
    }
    return true;
}

/* Half of the device, which is more than its weights leave on a small one. */
static size_t budget_of(mf_device *device, size_t budget)
{
    return budget ? budget : mf_device_get_info(device)->memory / 2;
}

mf_status sam2_programs_new(mf_device *device, const sam2_config *c, const mf_tensors *t,
                            size_t budget, sam2_programs **all)
{
    sam2_programs *a = calloc(1, sizeof *a);
    *all = NULL;
    if (!a)
        return mf_no_memory(0, "a model");
    a->config = *c;
    a->budget = budget_of(device, budget);
    mf_status status = sam2_widths_of(t, c, &a->widths);
    if (!status)
        status = mf_weights_new(device, &a->weights);
    if (!status)
        status = sam2_load(a->weights, t, c, &a->widths);
    if (status) {
        sam2_programs_free(a);
        return status;
    }
    *all = a;
    return MF_OK;
}

void sam2_programs_free(sam2_programs *all)
{
    if (!all)
        return;
    for (int i = 0; i < all->count; i++)
        mf_executable_free(all->kept[i].executable);
    mf_weights_free(all->weights);
    free(all);
}

static void drop(sam2_programs *all, int i)
{
    mf_executable_free(all->kept[i].executable);
    all->kept[i] = all->kept[--all->count];
}

static void drop_oldest(sam2_programs *all)
{
    int oldest = 0;
    for (int i = 1; i < all->count; i++)
        if (all->kept[i].used < all->kept[oldest].used)
            oldest = i;
    drop(all, oldest);
}

static size_t bytes_kept(const sam2_programs *all)
{
    size_t bytes = 0;
    for (int i = 0; i < all->count; i++)
        bytes += mf_executable_bytes(all->kept[i].executable);
    return bytes;
}

static mf_status compile(sam2_programs *all, const sam2_shape *s, mf_executable **executable)
{
    const sam2_config *c = &all->config;
    const sam2_widths *w = &all->widths;
    mf_program *p;
    MF_TRY(mf_program_new(&p));
    switch (s->kind) {
    case SAM2_ENCODER:
        sam2_encoder_declare(p, c, w);
        break;
    case SAM2_DECODER:
        sam2_decoder_declare(p, c, w, &s->decoder);
        break;
    case SAM2_ATTENTION:
        sam2_attention_declare(p, c, w, &s->attention);
        break;
    case SAM2_MEMORY:
        sam2_memory_declare(p, c, w, &s->memory);
        break;
    }
    mf_status status = mf_program_compile(p, all->weights, executable);
    mf_program_free(p);
    return status;
}

/* Compiles; where there is no room, again without those kept longest. */
static mf_status make(sam2_programs *all, const sam2_shape *shape, mf_executable **executable)
{
    for (;;) {
        mf_weights_limit(all->weights, all->budget - bytes_kept(all));
        mf_status status = compile(all, shape, executable);
        if (!status || mf_error_code(status) != MF_NO_MEMORY)
            return status;
        if (!all->count)
            return mf_hint(mf_within(status, "a part of SAM 2"),
                           "raise device_memory, or take a smaller model");
        mf_error_free(status);
        drop_oldest(all);
    }
}

mf_status sam2_programs_get(sam2_programs *all, const sam2_shape *shape, mf_executable **executable)
{
    for (int i = 0; i < all->count; i++) {
        if (!same(&all->kept[i].shape, shape))
            continue;
        all->kept[i].used = ++all->uses;
        *executable = all->kept[i].executable;
        return MF_OK;
    }
    if (all->count == KEPT_MOST)
        drop_oldest(all);
    MF_TRY(make(all, shape, executable));
    all->kept[all->count++] = (kept){*shape, *executable, ++all->uses};
    return MF_OK;
}

static int64_t *batch_of(sam2_shape *s)
{
    return s->kind == SAM2_DECODER     ? &s->decoder.batch
           : s->kind == SAM2_ATTENTION ? &s->attention.batch
           : s->kind == SAM2_MEMORY    ? &s->memory.batch
                                       : NULL;
}

static mf_status count_shape(sam2_programs *all, sam2_shape shape)
{
    int64_t *batch = batch_of(&shape);
    mf_executable *e;
    for (;;) {
        mf_status status = sam2_programs_get(all, &shape, &e);
        if (!status || mf_error_code(status) != MF_NO_MEMORY || !batch || *batch <= 1)
            return status;
        mf_error_free(status);
        *batch /= 2;
    }
}

mf_status sam2_programs_count(mf_device *device, const sam2_config *c, const sam2_widths *w,
                              size_t budget, const sam2_shape *shapes, int count, size_t *bytes)
{
    mf_device *counting;
    sam2_programs *all = calloc(1, sizeof *all);
    *bytes = 0;
    if (!all)
        return mf_no_memory(sizeof *all, "a model");
    *all = (sam2_programs){.config = *c, .widths = *w, .budget = budget_of(device, budget)};
    mf_status status = mf_device_counting(device, &counting);
    if (!status)
        status = mf_weights_new(counting, &all->weights);
    if (!status)
        status = sam2_declare(all->weights, c, w);
    for (int i = 0; i < count && !status; i++)
        status = count_shape(all, shapes[i]);
    *bytes = counting ? mf_device_most_used(counting) : 0;
    sam2_programs_free(all);
    mf_device_unref(counting);
    return status;
}

int64_t sam2_programs_batch(const sam2_programs *all, const sam2_decoder_shape *decoder)
{
    int64_t best = decoder->batch;
    for (int i = 0; i < all->count; i++) {
        const sam2_shape *s = &all->kept[i].shape;
        if (s->kind == SAM2_DECODER && same_decoder(&s->decoder, decoder) &&
            s->decoder.batch <= 2 * decoder->batch && s->decoder.batch > best)
            best = s->decoder.batch;
    }
    return best;
}
