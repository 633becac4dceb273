/* track.c - see track.h. The memory bank is kept on the host: maps in bfloat16, as the official
 * predictor keeps them, of those frames alone that a later one may still read. */
#include "track.h"
#include "../model/constants.h"
#include "../model/predictor_private.h"
#include "../shared/area.h"
#include "../shared/picture.h"
#include "../shared/zoom.h"

#include <massflow/memory.h>

#include <stdlib.h>
#include <string.h>

static const float absent = -1024; /* logits of an object that is not there */

/* What is known of a frame. */
typedef struct record {
    int64_t frame;
    uint16_t *memory; /* [batch,h*h,memory_dim] bfloat16, or NULL: none reads it any more */
    float *pointer;   /* [batch,dim] */
} record;

struct sam2_track {
    sam2_predictor *p;
    int64_t frames, seed, batch;
    int64_t last;  /* the frame that was seen last */
    bool reverse;  /* which way it goes */
    record prompt; /* of the seed */
    record *seen;  /* the others, in the order in which they were seen */
    int64_t count;
    float *sines;           /* [h*h,memory_dim]: where a map's tokens lie */
    float *low_res, *score; /* of the seed: [batch,4h,4h], [batch] */
    float *tokens;          /* [batch,token_count,dim] of a frame without prompts */
    int64_t token_count;
};

static int64_t sites(const sam2_config *c)
{
    return c->image / 16 * (c->image / 16);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- what is remembered of a frame -------------------------------------------------------------
 */

/* Nearest, ties to even. */
static uint16_t to_bfloat(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float from_bfloat(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static const float *small(const sam2_track *t, const char *name)
{
    const mf_array *a = mf_tensors_find(&t->p->small, name);
    return a ? a->data : NULL;
}

/* masks: logits [batch,4h,4h] or pixels [batch,image,image]. score [batch] */
static mf_status remember(sam2_track *t, const sam2_features *f, const void *masks, bool pixels,
                          const float *score, record *r)
{
    const sam2_config *c = &t->p->config;
    const sam2_shape shape = {.kind = SAM2_MEMORY, .memory = {t->batch, pixels}};
    int64_t one = sites(c) * c->memory_dim, count = t->batch * one;
    const float *missing = small(t, "no_obj_embed_spatial");
    mf_executable *e;
    float *memory = NULL;
    MF_TRY(sam2_programs_get(t->p->programs, &shape, &e));
    MF_TRY(mf_executable_set(e, "picture", f->embed));
    MF_TRY(mf_executable_set(e, "masks", masks));
    MF_TRY(mf_executable_run(e));
    MF_TRY(sam2_allocate("a memory", count, sizeof *r->memory, &r->memory));
    MF_TRY(sam2_allocate("a memory", count, sizeof *memory, &memory));
    mf_status status = mf_executable_get(e, "memory", memory);
    for (int64_t i = 0; i < count && !status; i++) {
        bool gone = missing && !(score[i / one] > 0);
        r->memory[i] = to_bfloat(gone ? memory[i] + missing[i % c->memory_dim] : memory[i]);
    }
    free(memory);
    return status;
}

static void record_clear(record *r)
{
    free(r->memory);
    free(r->pointer);
    *r = (record){0};
}

/* Whether a frame at most `reach` away will read of `frame`. Forward, the frames next to the seed
 * are kept for the way back. */
static bool wanted(const sam2_track *t, int64_t frame, int64_t reach)
{
    if (t->reverse)
        return t->last > 0 && frame - (t->last - 1) <= reach;
    return (t->last + 1 < t->frames && t->last + 1 - frame <= reach) ||
           (t->seed > 0 && frame - (t->seed - 1) <= reach);
}

static void forget(sam2_track *t)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < t->count; i++) {
        record *r = &t->seen[i];
        if (!wanted(t, r->frame, t->p->config.memories - 1)) {
            free(r->memory);
            r->memory = NULL;
        }
        if (wanted(t, r->frame, SAM2_POINTERS_MOST - 1))
            t->seen[kept++] = *r;
        else
            record_clear(r);
    }
    t->count = kept;
}

/* Takes over what r holds, on failure too. */
static mf_status keep(sam2_track *t, record *r)
{
    record *more = mf_list_more(t->seen, (size_t)t->count, sizeof *more);
    if (!more) {
        record_clear(r);
        return mf_no_memory(0, "a frame");
    }
    t->seen = more;
    t->seen[t->count++] = *r;
    forget(t);
    return MF_OK;
}

static const record *find(const sam2_track *t, int64_t frame)
{
    for (int64_t i = 0; i < t->count; i++)
        if (t->seen[i].frame == frame)
            return &t->seen[i];
    return NULL;
}

/* ---- what a frame looks at ---------------------------------------------------------------------
 */

typedef struct bank {
    const record *maps[64]; /* of slots; which of the learned times each has */
    int64_t times[64];
    const record *pointers[SAM2_POINTERS_MOST];
    int64_t distances[SAM2_POINTERS_MOST]; /* frames between */
    int64_t map_count, pointer_count;
    int64_t farthest; /* distance that counts as 1 */
} bank;

/* The seed, then up to memories - 1 frames before this one, the farthest first; pointers the
 * nearest first. The learned times count from the nearest, 0, to the seed, memories - 1. */
static void look_back(const sam2_track *t, int64_t frame, bank *b)
{
    int64_t slots = t->p->config.memories, step = t->reverse ? 1 : -1;
    *b = (bank){.maps = {&t->prompt}, .times = {slots - 1}, .map_count = 1};
    for (int64_t away = slots - 1; away > 0; away--) {
        const record *r = find(t, frame + step * away);
        if (!r || !r->memory)
            continue;
        b->maps[b->map_count] = r;
        b->times[b->map_count++] = away - 1;
    }
    int64_t most = least(t->frames, SAM2_POINTERS_MOST);
    b->farthest = most - 1;
    b->pointers[0] = &t->prompt;
    b->distances[0] = t->reverse ? t->seed - frame : frame - t->seed;
    b->pointer_count = 1;
    for (int64_t away = 1; away < most; away++) {
        const record *r = find(t, frame + step * away);
        if (!r)
            continue;
        b->pointers[b->pointer_count] = r;
        b->distances[b->pointer_count++] = away;
    }
}

/* memory [batch,S,memory_dim] */
static void fill_memory(const sam2_track *t, const bank *b, float *memory)
{
    const sam2_config *c = &t->p->config;
    int64_t one = sites(c) * c->memory_dim;
    for (int64_t i = 0; i < t->batch; i++) {
        for (int64_t m = 0; m < b->map_count; m++)
            for (int64_t k = 0; k < one; k++)
                *memory++ = from_bfloat(b->maps[m]->memory[i * one + k]);
        for (int64_t m = 0; m < b->pointer_count; m++, memory += c->dim)
            memcpy(memory, b->pointers[m]->pointer + i * c->dim, (size_t)c->dim * sizeof *memory);
    }
}

/* How long ago a pointer was made: [memory_dim]. sines: room for [dim] */
static void pointer_time(const sam2_track *t, double time, double *sines, float *place)
{
    const sam2_config *c = &t->p->config;
    const float *w = small(t, "obj_ptr_tpos_proj.weight"), *b = small(t, "obj_ptr_tpos_proj.bias");
    memset(place, 0, (size_t)c->memory_dim * sizeof *place);
    if (!c->pointer_time)
        return;
    sam2_number_sines(time, c->dim, sines);
    for (int64_t i = 0; i < c->memory_dim; i++) {
        double sum = (double)b[i];
        for (int64_t k = 0; k < c->dim; k++)
            sum += (double)w[i * c->dim + k] * sines[k];
        place[i] = (float)sum;
    }
}

/* places [S,memory_dim] */
static mf_status fill_places(const sam2_track *t, const bank *b, float *places)
{
    const sam2_config *c = &t->p->config;
    const float *times = small(t, "maskmem_tpos_enc");
    int64_t one = sites(c) * c->memory_dim;
    for (int64_t m = 0; m < b->map_count; m++)
        for (int64_t k = 0; k < one; k++)
            *places++ = t->sines[k] + times[b->times[m] * c->memory_dim + k % c->memory_dim];
    double *sines = NULL;
    MF_TRY(sam2_allocate("pointers", c->dim, sizeof *sines, &sines));
    for (int64_t m = 0; m < b->pointer_count; m++) {
        float *first = places;
        pointer_time(t, (double)b->distances[m] / (double)b->farthest, sines, places);
        for (places += c->memory_dim; places < first + c->dim; places += c->memory_dim)
            memcpy(places, first, (size_t)c->memory_dim * sizeof *places);
    }
    free(sines);
    return MF_OK;
}

/* picture [batch,h*h,dim]: the frame as its memories make it. */
static mf_status recall(sam2_track *t, int64_t frame, const sam2_features *f, float *picture)
{
    const sam2_config *c = &t->p->config;
    bank b;
    look_back(t, frame, &b);
    int64_t extra = b.pointer_count * (c->dim / c->memory_dim);
    int64_t count = (b.map_count * sites(c) + extra) * c->memory_dim;
    const sam2_shape shape = {.kind = SAM2_ATTENTION, .attention = {t->batch, b.map_count, extra}};
    mf_executable *e;
    float *memory = NULL, *places = NULL;
    MF_TRY(sam2_programs_get(t->p->programs, &shape, &e));
    mf_status status = sam2_allocate("memories", t->batch * count, sizeof *memory, &memory);
    if (!status)
        status = sam2_allocate("memories", count, sizeof *places, &places);
    if (!status)
        status = fill_places(t, &b, places);
    if (!status) {
        fill_memory(t, &b, memory);
        status = mf_executable_set(e, "memory", memory);
    }
    if (!status)
        status = mf_executable_set(e, "places", places);
    free(memory);
    free(places);
    MF_TRY(status);
    MF_TRY(mf_executable_set(e, "picture", f->embed));
    MF_TRY(mf_executable_run(e));
    return mf_executable_get(e, "picture", picture);
}

/* ---- what the decoder says ---------------------------------------------------------------------
 */

/* Room for the answers to a batch. */
typedef struct answer {
    float *logits, *iou, *score, *pointers; /* [batch,4,4h,4h], [batch,4], [batch], [batch,4,dim] */
} answer;

static void answer_clear(answer *a)
{
    free(a->logits);
    free(a->iou);
    free(a->score);
    free(a->pointers);
    *a = (answer){0};
}

static mf_status answer_make(const sam2_track *t, answer *a)
{
    const sam2_config *c = &t->p->config;
    *a = (answer){0};
    MF_TRY(sam2_allocate("masks", 4 * t->batch * 16 * sites(c), sizeof(float), &a->logits));
    MF_TRY(sam2_allocate("masks", 4 * t->batch, sizeof(float), &a->iou));
    MF_TRY(sam2_allocate("masks", t->batch, sizeof(float), &a->score));
    return sam2_allocate("masks", 4 * t->batch * c->dim, sizeof(float), &a->pointers);
}

static mf_status ask(sam2_track *t, answer *a, sam2_decoding *d)
{
    MF_TRY(answer_make(t, a));
    d->shape.batch = t->batch;
    d->logits = a->logits;
    d->iou = a->iou;
    d->score = a->score;
    d->pointers = a->pointers;
    return sam2_decoder_run(t->p, d);
}

/* Of object i: mask `mask` and the pointer of token `token`, both as of an object that is not there
 * where the score says so. */
static void record_answer(const sam2_track *t, const answer *a, int64_t i, int32_t mask,
                          int32_t token, float *low_res, float *pointer)
{
    const sam2_config *c = &t->p->config;
    int64_t area = 16 * sites(c);
    bool there = a->score[i] > 0;
    const float *from = a->logits + (4 * i + mask) * area;
    for (int64_t k = 0; k < area && low_res; k++)
        low_res[i * area + k] = there ? from[k] : absent;
    memcpy(pointer + i * c->dim,
           there ? a->pointers + (4 * i + token) * c->dim : small(t, "no_obj_ptr"),
           (size_t)c->dim * sizeof *pointer);
}

/* ---- the seed ----------------------------------------------------------------------------------
 */

/* A mask is its own answer; the decoder is asked for the pointer alone. It sees the picture bare.
 */
static mf_status seed_masks(sam2_track *t, const uint8_t *masks, const sam2_features *f)
{
    const sam2_config *c = &t->p->config;
    int64_t n = c->image / 4, area = c->image * c->image;
    answer a = {0};
    sam2_decoding d = {.shape = {.tokens = t->token_count, .mask = SAM2_MASK_PIXELS},
                       .picture = f->embed,
                       .features = f,
                       .tokens = t->tokens,
                       .masks = masks};
    mf_status status = ask(t, &a, &d);
    for (int64_t i = 0; i < t->batch && !status; i++) {
        bool there = memchr(masks + i * area, 1, (size_t)area) != NULL;
        float *low_res = t->low_res + i * n * n;
        record_answer(t, &a, i, 0, 0, NULL, t->prompt.pointer);
        status = sam2_picture_share(masks + i * area, c->image, c->image, n, low_res);
        for (int64_t k = 0; k < n * n; k++)
            low_res[k] = 20 * low_res[k] - 10;
        t->score[i] = there ? 10 : -10;
        if (!there)
            memcpy(t->prompt.pointer + i * c->dim, small(t, "no_obj_ptr"),
                   (size_t)c->dim * sizeof(float));
    }
    answer_clear(&a);
    return status;
}

/* One point may mean several objects: the mask with the top predicted IoU of three. */
static mf_status seed_prompts(sam2_track *t, const sam2_prompts *prompts, const sam2_features *f)
{
    answer a = {0};
    int64_t tokens;
    float *made = NULL;
    int32_t *index = NULL;
    sam2_prompts padded = *prompts;
    padded.pad = true;
    MF_TRY(sam2_prompts_embed(t->p, &padded, &tokens, &made));
    sam2_decoding d = {.shape = {.tokens = tokens,
                                 .no_memory = true,
                                 .mask = prompts->masks ? SAM2_MASK_LOGITS : SAM2_NO_MASK},
                       .picture = f->embed,
                       .features = f,
                       .tokens = made,
                       .masks = prompts->masks};
    mf_status status = sam2_allocate("masks", t->batch, sizeof *index, &index);
    if (!status)
        status = ask(t, &a, &d);
    if (!status) {
        bool three = prompts->points <= 1;
        sam2_choose_single(&t->p->config, &(sam2_answers){.logits = a.logits, .iou = a.iou},
                           t->batch, index);
        for (int64_t i = 0; i < t->batch; i++) {
            int32_t mask = three ? sam2_choose_best(a.iou + 4 * i) : index[i];
            record_answer(t, &a, i, mask, three ? mask : 0, t->low_res, t->prompt.pointer);
            t->score[i] = a.score[i];
        }
    }
    answer_clear(&a);
    free(index);
    free(made);
    return status;
}

static mf_status fill_seed(sam2_track *t, int64_t holes)
{
    const int64_t n = t->p->config.image / 4;
    sam2_parts parts = {0};
    mf_status status = MF_OK;
    for (int64_t i = 0; i < t->batch && !status; i++)
        status = sam2_area_fill(&parts, t->low_res + i * n * n, n, n, holes);
    sam2_parts_clear(&parts);
    return status;
}

/* Where logits are above 0 at full size: mask [edge,edge] */
static mf_status draw(sam2_zoom *zoom, const float *logits, int64_t edge, uint8_t *mask)
{
    static const int64_t lo[2] = {0, 0};
    const int64_t hi[2] = {edge, edge};
    sam2_patch patch = {0};
    MF_TRY(sam2_zoom_patch(zoom, logits, 0, &patch));
    sam2_patch_crop(&patch, lo, hi, edge, mask);
    sam2_patch_clear(&patch);
    return MF_OK;
}

/* The memory of the seed is of its mask with a sharp edge. */
static mf_status remember_seed(sam2_track *t, const sam2_features *f, int64_t holes)
{
    const sam2_config *c = &t->p->config;
    int64_t n = c->image / 4;
    uint8_t *pixels = NULL;
    sam2_zoom *zoom = NULL;
    MF_TRY(fill_seed(t, holes));
    MF_TRY(sam2_allocate("masks", t->batch * 16 * n * n, sizeof *pixels, &pixels));
    mf_status status = sam2_zoom_new(n, c->image, c->image, &zoom);
    for (int64_t i = 0; i < t->batch && !status; i++)
        status = draw(zoom, t->low_res + i * n * n, c->image, pixels + i * 16 * n * n);
    sam2_zoom_free(zoom);
    if (!status)
        status = remember(t, f, pixels, true, t->score, &t->prompt);
    free(pixels);
    return status;
}

/* Tokens of a frame without prompts: the official code gives it a point that is none, and pads. */
static mf_status empty_tokens(sam2_track *t)
{
    int32_t *labels = NULL;
    float *xy = NULL;
    MF_TRY(sam2_allocate("prompts", t->batch, sizeof *labels, &labels));
    mf_status status = sam2_allocate("prompts", 2 * t->batch, sizeof *xy, &xy);
    for (int64_t i = 0; i < t->batch; i++)
        labels[i] = -1;
    if (!status) {
        sam2_prompts none = {
            .batch = t->batch, .points = 1, .xy = xy, .labels = labels, .pad = true};
        status = sam2_prompts_embed(t->p, &none, &t->token_count, &t->tokens);
        free(xy);
    }
    free(labels);
    return status;
}

static mf_status make(sam2_predictor *p, int64_t frames, int64_t seed, int64_t batch,
                      sam2_track **track)
{
    const sam2_config *c = &p->config;
    sam2_track *t = NULL;
    *track = NULL;
    if (!c->memories)
        return mf_fail(MF_INVALID,
                       "this SAM 2 is for still images: it has no memory, which propagation needs");
    if (frames < 1 || seed < 0 || seed >= frames || batch < 1)
        return mf_fail(MF_INVALID, "%lld objects on slice %lld of %lld", (long long)batch,
                       (long long)seed, (long long)frames);
    MF_TRY(sam2_allocate("a track", 1, sizeof *t, &t));
    *t = (sam2_track){.p = p, .frames = frames, .seed = seed, .batch = batch, .last = seed};
    *track = t;
    t->prompt.frame = seed;
    MF_TRY(sam2_allocate("a track", sites(c) * c->memory_dim, sizeof(float), &t->sines));
    MF_TRY(sam2_allocate("a track", batch * 16 * sites(c), sizeof(float), &t->low_res));
    MF_TRY(sam2_allocate("a track", batch, sizeof(float), &t->score));
    MF_TRY(sam2_allocate("a track", batch * c->dim, sizeof(float), &t->prompt.pointer));
    sam2_grid_sines(c->image / 16, c->memory_dim, 1, t->sines);
    return empty_tokens(t);
}

/* Frees the track where something failed. */
static mf_status done(mf_status status, sam2_track **track)
{
    if (status) {
        sam2_track_free(*track);
        *track = NULL;
    }
    return status;
}

mf_status sam2_track_new(sam2_predictor *p, int64_t frames, int64_t seed, int64_t batch,
                         const uint8_t *masks, const sam2_features *f, int64_t holes,
                         sam2_track **track)
{
    mf_status status = make(p, frames, seed, batch, track);
    if (!status)
        status = seed_masks(*track, masks, f);
    if (!status)
        status = remember_seed(*track, f, holes);
    return done(status, track);
}

mf_status sam2_track_new_prompted(sam2_predictor *p, int64_t frames, int64_t seed,
                                  const sam2_prompts *prompts, const sam2_features *f,
                                  int64_t holes, sam2_track **track)
{
    *track = NULL;
    MF_TRY(sam2_prompts_check(prompts));
    mf_status status = make(p, frames, seed, prompts->batch, track);
    if (!status)
        status = seed_prompts(*track, prompts, f);
    if (!status)
        status = remember_seed(*track, f, holes);
    return done(status, track);
}

void sam2_track_free(sam2_track *t)
{
    if (!t)
        return;
    record_clear(&t->prompt);
    for (int64_t i = 0; i < t->count; i++)
        record_clear(&t->seen[i]);
    free(t->seen);
    free(t->sines);
    free(t->low_res);
    free(t->score);
    free(t->tokens);
    free(t);
}

/* ---- propagation -------------------------------------------------------------------------------
 */

void sam2_track_seed_output(const sam2_track *t, float *low_res, float *object_score,
                            float *pointer)
{
    const sam2_config *c = &t->p->config;
    size_t n = (size_t)t->batch * sizeof(float);
    if (low_res)
        memcpy(low_res, t->low_res, n * (size_t)(16 * sites(c)));
    if (object_score)
        memcpy(object_score, t->score, n);
    if (pointer)
        memcpy(pointer, t->prompt.pointer, n * (size_t)c->dim);
}

/* The frame's masks into low_res and a, its record into r. */
static mf_status see(sam2_track *t, int64_t frame, const sam2_features *f, answer *a,
                     float *low_res, record *r)
{
    const sam2_config *c = &t->p->config;
    float *picture = NULL;
    MF_TRY(sam2_allocate("a frame", t->batch * c->dim, sizeof(float), &r->pointer));
    MF_TRY(sam2_allocate("a frame", t->batch * sites(c) * c->dim, sizeof(float), &picture));
    mf_status status = recall(t, frame, f, picture);
    sam2_decoding d = {.shape = {.tokens = t->token_count, .own_picture = true},
                       .picture = picture,
                       .features = f,
                       .tokens = t->tokens};
    if (!status)
        status = ask(t, a, &d);
    free(picture);
    MF_TRY(status);
    for (int64_t i = 0; i < t->batch; i++) {
        int32_t best = sam2_choose_best(a->iou + 4 * i);
        record_answer(t, a, i, best, best, low_res, r->pointer);
    }
    t->last = frame;
    if (wanted(t, frame, c->memories - 1))
        return remember(t, f, low_res, false, a->score, r);
    return MF_OK;
}

mf_status sam2_track_step(sam2_track *t, int64_t frame, bool reverse, const sam2_features *f,
                          float *low_res, float *object_score, float *pointer)
{
    if (reverse && !t->reverse) {
        t->reverse = true;
        t->last = t->seed;
        forget(t);
    }
    int64_t next = t->reverse ? t->last - 1 : t->last + 1;
    if (reverse != t->reverse || frame != next || frame < 0 || frame >= t->frames)
        return mf_fail(MF_INVALID, "slice %lld of %lld is not the next one after %lld",
                       (long long)frame, (long long)t->frames, (long long)t->last);
    answer a = {0};
    record r = {.frame = frame};
    mf_status status = see(t, frame, f, &a, low_res, &r);
    if (!status) {
        size_t n = (size_t)t->batch * sizeof(float);
        if (object_score)
            memcpy(object_score, a.score, n);
        if (pointer)
            memcpy(pointer, r.pointer, n * (size_t)t->p->config.dim);
        status = keep(t, &r);
    } else {
        record_clear(&r);
    }
    answer_clear(&a);
    return status;
}
