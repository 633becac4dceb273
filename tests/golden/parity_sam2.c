/* parity_sam2.c - SAM 2 on given pictures and prompts, and along given frames; everything it makes.
 * Results are under PyTorch's names and in its layouts. h = image / 16. */
#include "parity_tensors.h"

#include "../../plugins/common/layers.h"
#include "model/encoder.h"
#include "model/load_weights.h"
#include "model/predictor.h"
#include "model/tensor_names.h"
#include "propagation/track.h"
#include "shared/picture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A run: the model and where its results go. */
typedef struct run {
    mf_device *device;
    sam2_config config;
    mf_tensors weights;
    sam2_predictor *predictor;
    const mf_parity *options;
    const mf_tensors *in;
    mf_tensors *out;
} run;

/* ---- the model ---------------------------------------------------------------------------------
 */

/* All tensors as f32, under the original names. */
static mf_status read_weights(const mf_tensors *from, mf_tensors *t)
{
    for (size_t i = 0; i < from->count; i++) {
        mf_array *values;
        MF_TRY(mf_array_convert(from->item[i].array, MF_F32, &values));
        MF_TRY(mf_tensors_add(t, from->item[i].name, values));
    }
    return sam2_names_foreign(t) ? sam2_names_original(t) : MF_OK;
}

/* What the command line says goes before what the file says. */
static mf_status configure(const mf_tensors *from, const mf_parity *o, run *r)
{
    sam2_config said = {0};
    const char *note = mf_tensors_note(from, SAM2_CONFIG_KEY);
    if (note)
        MF_TRY(sam2_config_said(note, &said));
    sam2_config_override(&said, &o->said);
    MF_TRY(read_weights(from, &r->weights));
    return sam2_config_from(&r->weights, &said, &r->config);
}

/* ---- results -----------------------------------------------------------------------------------
 */

/* A result of PyTorch's shape, to be filled. */
static mf_status result(run *r, const char *name, int rank, const int64_t *shape, float **values)
{
    mf_array *a;
    MF_TRY(mf_tensors_make(r->out, name, MF_F32, rank, shape, &a));
    *values = a->data;
    return MF_OK;
}

static mf_status copy(run *r, const char *name, int rank, const int64_t *shape, const float *from)
{
    float *to;
    MF_TRY(result(r, name, rank, shape, &to));
    memcpy(to, from, r->out->item[r->out->count - 1].array->bytes);
    return MF_OK;
}

/* A map [edge,edge,channels] as [1,channels,edge,edge]. */
static mf_status copy_map(run *r, const char *name, int64_t edge, int64_t channels,
                          const float *from)
{
    float *to;
    MF_TRY(result(r, name, SHAPE(1, channels, edge, edge), &to));
    mf_parity_channels_first(from, 1, channels, edge * edge, to);
    return MF_OK;
}

/* ---- the encoder -------------------------------------------------------------------------------
 */

typedef struct map {
    char name[16];
    int64_t edge, channels;
} map;

/* The encoder with everything that lies on its way. */
static mf_status declare_encoder(const run *r, const sam2_widths *w, mf_program *p, map maps[8])
{
    const sam2_config *c = &r->config;
    int64_t h = c->image / 16;
    sam2_encoded e;
    sam2_encoder(p, c, w, mf_input(p, "image", MF_F32, SHAPE(1, c->image, c->image, 3)), &e);
    for (int i = 0; i < SAM2_STAGES; i++) {
        maps[i] = (map){"", 4 * h >> i, c->embed << i};
        snprintf(maps[i].name, sizeof maps[i].name, "trunk_stage%d", i);
        mf_output(p, maps[i].name, e.stages[i]);
    }
    maps[4] = (map){"neck_level2", h, c->dim};
    maps[5] = (map){"neck_level3", h / 2, c->dim};
    maps[6] = (map){"high_res0", 4 * h, c->dim / 8};
    maps[7] = (map){"high_res1", 2 * h, c->dim / 4};
    mf_output(p, maps[4].name, e.level2);
    mf_output(p, maps[5].name, e.level3);
    mf_output(p, maps[6].name, e.high0);
    mf_output(p, maps[7].name, e.high1);
    return MF_OK;
}

static mf_status collect_map(run *r, mf_executable *e, const map *m)
{
    float *raw = calloc((size_t)(m->edge * m->edge * m->channels), sizeof *raw);
    if (!raw)
        return mf_no_memory((size_t)(m->edge * m->edge * m->channels) * sizeof *raw, "%s", m->name);
    mf_status status = mf_executable_get(e, m->name, raw);
    if (!status)
        status = copy_map(r, m->name, m->edge, m->channels, raw);
    free(raw);
    return status;
}

static mf_status run_encoder(run *r, mf_weights *weights, const float *image)
{
    sam2_widths w;
    mf_program *p;
    mf_executable *e = NULL;
    map maps[8];
    MF_TRY(sam2_widths_of(&r->weights, &r->config, &w));
    MF_TRY(sam2_load(weights, &r->weights, &r->config, &w));
    MF_TRY(mf_program_new(&p));
    mf_status status = declare_encoder(r, &w, p, maps);
    if (!status)
        status = mf_program_compile(p, weights, &e);
    mf_program_free(p);
    if (!status)
        status = mf_executable_set(e, "image", image);
    if (!status)
        status = mf_executable_run(e);
    for (int i = 0; i < 8 && !status; i++)
        status = collect_map(r, e, &maps[i]);
    mf_executable_free(e);
    return status;
}

static mf_status encode_all(run *r, const float *image)
{
    mf_weights *weights;
    MF_TRY(mf_weights_new(r->device, &weights));
    mf_status status = run_encoder(r, weights, image);
    mf_weights_free(weights);
    return status;
}

/* ---- prompts on a picture ----------------------------------------------------------------------
 */

/* Masks first .. first + count - 1 of each prompt's four, and their IoUs. */
static mf_status masks(run *r, const sam2_answers *a, int64_t batch, const char *prefix,
                       const char *which, const int32_t *first, int64_t count)
{
    int64_t edge = r->config.image / 4, area = edge * edge;
    char name[64];
    float *low_res, *iou;
    snprintf(name, sizeof name, "%s%s.low_res", prefix, which);
    MF_TRY(result(r, name, SHAPE(batch, count, edge, edge), &low_res));
    snprintf(name, sizeof name, "%s%s.iou", prefix, which);
    MF_TRY(result(r, name, SHAPE(batch, count), &iou));
    for (int64_t i = 0; i < batch; i++) {
        int64_t at = 4 * i + first[i];
        memcpy(low_res + i * count * area, a->logits + at * area,
               (size_t)(count * area) * sizeof *low_res);
        memcpy(iou + i * count, a->iou + at, (size_t)count * sizeof *iou);
    }
    return MF_OK;
}

static mf_status answer(run *r, const sam2_prompts *prompts, const char *prefix,
                        const sam2_answers *a, int32_t *first)
{
    char name[64];
    for (int64_t i = 0; i < prompts->batch; i++)
        first[i] = 1;
    MF_TRY(masks(r, a, prompts->batch, prefix, "multi", first, 3));
    for (int64_t i = 0; i < prompts->batch; i++)
        first[i] = 0;
    MF_TRY(masks(r, a, prompts->batch, prefix, "token0", first, 1));
    sam2_choose_single(&r->config, a, prompts->batch, first);
    MF_TRY(masks(r, a, prompts->batch, prefix, "single", first, 1));
    snprintf(name, sizeof name, "%sobject_score", prefix);
    return copy(r, name, SHAPE(prompts->batch, 1), a->object_score);
}

/* What the model answers to prompts, under `prefix`: three masks, the first, and the single one. */
static mf_status ask(run *r, const sam2_features *f, const sam2_prompts *prompts,
                     const char *prefix)
{
    int64_t n = prompts->batch, area = r->config.image / 4 * (r->config.image / 4);
    sam2_answers a = {calloc((size_t)(4 * n * area), sizeof(float)),
                      calloc((size_t)(4 * n), sizeof(float)), calloc((size_t)n, sizeof(float))};
    int32_t *first = calloc((size_t)n, sizeof *first);
    mf_status status = a.logits && a.iou && a.object_score && first
                           ? sam2_decode(r->predictor, f, prompts, &a)
                           : mf_no_memory(0, "masks");
    if (!status)
        status = answer(r, prompts, prefix, &a, first);
    free(a.logits);
    free(a.iou);
    free(a.object_score);
    free(first);
    return status;
}

/* An input of prompts [B,..] or of one prompt [..], as `dtype`, without its name's tensor if there
 * is none: *batch stays as it is then. */
static mf_status prompt_input(run *r, int n, const char *what, mf_dtype dtype, int rank,
                              mf_array **array, int64_t *batch)
{
    char name[40];
    snprintf(name, sizeof name, "p%d.%s", n, what);
    const mf_array *a = mf_tensors_find(r->in, name);
    if (!a)
        return MF_OK;
    if (a->rank != rank && a->rank != rank - 1)
        return mf_fail(MF_INVALID, "input %s has %d axes, not %d or %d", name, a->rank, rank - 1,
                       rank);
    int64_t given = a->rank == rank ? a->shape[0] : 1;
    if (*batch && given != *batch)
        return mf_fail(MF_INVALID, "input %s is of %lld prompts, not %lld", name, (long long)given,
                       (long long)*batch);
    *batch = given;
    return mf_array_convert(a, dtype, array);
}

/* The inputs of prompts N, borrowed or own. */
typedef struct given {
    mf_array *points, *labels, *mask;
    float *xy; /* px of the model's input */
} given;

static mf_status read_prompt(run *r, int n, const int64_t size[2], given *g, sam2_prompts *p)
{
    int64_t edge = r->config.image / 4;
    MF_TRY(prompt_input(r, n, "points", MF_F32, 3, &g->points, &p->batch));
    MF_TRY(prompt_input(r, n, "labels", MF_I32, 2, &g->labels, &p->batch));
    MF_TRY(prompt_input(r, n, "mask_prompt_low", MF_F32, 3, &g->mask, &p->batch));
    if (g->mask && mf_array_count(g->mask) != p->batch * edge * edge)
        return mf_fail(MF_INVALID, "p%d.mask_prompt_low is not [B,%lld,%lld]", n, (long long)edge,
                       (long long)edge);
    p->masks = g->mask ? g->mask->data : NULL;
    if (!g->points)
        return MF_OK;
    int64_t count = mf_array_count(g->points) / 2;
    if (!g->labels || g->points->shape[g->points->rank - 1] != 2 ||
        mf_array_count(g->labels) != count)
        return mf_fail(MF_INVALID, "p%d.points and p%d.labels are not [B,P,2] and [B,P]", n, n);
    g->xy = calloc((size_t)(2 * count + 1), sizeof *g->xy);
    if (!g->xy)
        return mf_no_memory((size_t)(2 * count + 1) * sizeof *g->xy, "prompts");
    for (int64_t i = 0; i < 2 * count; i++)
        g->xy[i] =
            ((const float *)g->points->data)[i] / (float)size[1 - i % 2] * (float)r->config.image;
    p->points = count / p->batch;
    p->xy = g->xy;
    p->labels = g->labels->data;
    p->pad = true;
    return MF_OK;
}

/* mask [4h,4h] or NULL: asks a second time with it. */
static mf_status prompt(run *r, const sam2_features *f, int n, const int64_t size[2],
                        const float *mask)
{
    char prefix[24];
    given g = {0};
    sam2_prompts p = {0};
    snprintf(prefix, sizeof prefix, "p%d.", n);
    mf_status status = read_prompt(r, n, size, &g, &p);
    if (!status)
        status = ask(r, f, &p, prefix);
    if (!status && mask && p.batch == 1) {
        p.masks = mask;
        snprintf(prefix, sizeof prefix, "p%d.mask.", n);
        status = ask(r, f, &p, prefix);
    }
    mf_array_unref(g.points);
    mf_array_unref(g.labels);
    mf_array_unref(g.mask);
    free(g.xy);
    return status;
}

static bool has_prompt(const run *r, int n)
{
    char points[24], mask[40];
    snprintf(points, sizeof points, "p%d.points", n);
    snprintf(mask, sizeof mask, "p%d.mask_prompt_low", n);
    return mf_tensors_find(r->in, points) || mf_tensors_find(r->in, mask);
}

static mf_status prompts(run *r, const sam2_features *f, const int64_t size[2])
{
    int64_t edge = r->config.image / 4;
    const mf_array *low = mf_tensors_find(r->in, "mask_prompt_low");
    mf_array *mask = NULL;
    mf_status status = MF_OK;
    if (low && mf_array_count(low) != edge * edge)
        return mf_fail(MF_INVALID, "mask_prompt_low is not [%lld,%lld]", (long long)edge,
                       (long long)edge);
    if (low) {
        MF_TRY(mf_array_convert(low, MF_F32, &mask));
        status = ask(r, f, &(sam2_prompts){.batch = 1, .masks = mask->data}, "mask.");
    }
    for (int n = 0; !status && has_prompt(r, n); n++)
        status = prompt(r, f, n, size, mask ? mask->data : NULL);
    mf_array_unref(mask);
    return status;
}

/* ---- masks of the whole picture -----------------------------------------------------------------
 */

const sam2_generate_options mf_parity_generator = {.points_per_side = 32,
                                                   .points_per_batch = 64,
                                                   .pred_iou_thresh = 0.8,
                                                   .stability_score_thresh = 0.95,
                                                   .stability_score_offset = 1,
                                                   .box_nms_thresh = 0.7,
                                                   .crop_nms_thresh = 0.7,
                                                   .crop_overlap_ratio = 512.0 / 1500,
                                                   .crop_n_points_downscale_factor = 1,
                                                   .multimask_output = true,
                                                   .threads = 1};

/* What the generator looks with. */
typedef struct eye {
    run *r;
    float *input; /* [image,image,3] */
    sam2_features seen;
} eye;

static mf_status look(void *self, const sam2_picture *crop)
{
    eye *e = self;
    MF_TRY(sam2_picture_still(crop, e->r->config.image, e->input));
    sam2_features_clear(&e->seen);
    return sam2_encode(e->r->predictor, e->input, &e->seen);
}

static mf_status decode(void *self, const sam2_prompts *prompts, sam2_answers *answers)
{
    eye *e = self;
    return sam2_decode(e->r->predictor, &e->seen, prompts, answers);
}

static void choose(void *self, const sam2_answers *answers, int64_t batch, int32_t *index)
{
    sam2_choose_single(&((eye *)self)->r->config, answers, batch, index);
}

static mf_status step(void *self, int64_t done, int64_t total)
{
    (void)self, (void)done, (void)total;
    return MF_OK;
}

/* dense u8 [h,w] -> bits [h,ceil(w/8)], the first pixel highest */
static void pack(const uint8_t *dense, int64_t h, int64_t w, uint8_t *bits)
{
    int64_t pitch = (w + 7) / 8;
    for (int64_t i = 0; i < h * w; i++)
        if (dense[i])
            bits[i / w * pitch + i % w / 8] |= (uint8_t)(0x80 >> i % w % 8);
}

static mf_status copy_things(run *r, const sam2_proposals *t, int64_t h, int64_t w)
{
    int64_t n = t->count, lo[2] = {0, 0}, hi[2] = {h, w};
    float *box, *crop, *iou, *stability, *point;
    mf_array *packed;
    MF_TRY(mf_tensors_make(r->out, "masks_packed", MF_U8, SHAPE(n, h, (w + 7) / 8), &packed));
    MF_TRY(result(r, "bbox", SHAPE(n, 4), &box));
    MF_TRY(result(r, "crop_box", SHAPE(n, 4), &crop));
    MF_TRY(result(r, "predicted_iou", SHAPE(n), &iou));
    MF_TRY(result(r, "stability_score", SHAPE(n), &stability));
    MF_TRY(result(r, "point_coords", SHAPE(n, 2), &point));
    uint8_t *dense = calloc((size_t)(h * w), 1);
    if (!dense)
        return mf_no_memory((size_t)(h * w), "a mask");
    for (int64_t i = 0; i < n; i++) {
        const sam2_proposal *one = &t->item[i];
        sam2_patch_crop(&one->patch, lo, hi, w, dense);
        pack(dense, h, w, (uint8_t *)packed->data + i * h * ((w + 7) / 8));
        for (int k = 0; k < 4; k++) {
            box[4 * i + k] = k < 2 ? one->box[k] : one->box[k] - one->box[k - 2];
            crop[4 * i + k] = (float)(k < 2 ? one->crop[k] : one->crop[k] - one->crop[k - 2]);
        }
        iou[i] = one->iou;
        stability[i] = one->stability;
        memcpy(point + 2 * i, one->point, sizeof one->point);
    }
    free(dense);
    return MF_OK;
}

static mf_status automatic(run *r, const sam2_generate_options *o, const sam2_picture *p)
{
    eye e = {.r = r,
             .input = calloc((size_t)(r->config.image * r->config.image * 3), sizeof(float))};
    const sam2_eye ways = {&e, r->config.image, look, decode, choose, step};
    sam2_proposals things = {0};
    mf_status status = e.input ? sam2_generate(&ways, p, o, &things) : mf_no_memory(0, "a picture");
    if (!status)
        status = copy_things(r, &things, p->h, p->w);
    sam2_proposals_clear(&things);
    sam2_features_clear(&e.seen);
    free(e.input);
    return status;
}

/* ---- a picture ----------------------------------------------------------------------------------
 */

/* With the embedding of a picture without memory, as SAM2ImagePredictor has it. */
static mf_status image_embed(run *r, const sam2_features *f)
{
    int64_t h = r->config.image / 16, dim = r->config.dim;
    const mf_array *none = mf_tensors_find(&r->weights, "no_mem_embed");
    float *embed = calloc((size_t)(h * h * dim), sizeof *embed);
    if (!embed)
        return mf_no_memory((size_t)(h * h * dim) * sizeof *embed, "features");
    for (int64_t i = 0; i < h * h * dim; i++)
        embed[i] = f->embed[i] + ((const float *)none->data)[i % dim];
    mf_status status = copy_map(r, "image_embed", h, dim, embed);
    free(embed);
    return status;
}

static mf_status picture(run *r)
{
    mf_array *pixels;
    const int64_t *s;
    sam2_features f = {0};
    int64_t image = r->config.image;
    MF_TRY(mf_parity_input(r->in, "image", MF_U8, 3, &pixels, &s));
    const sam2_picture p = {pixels->data, s[0], s[1], s[1]};
    float *input = calloc((size_t)(image * image * 3), sizeof *input);
    mf_status status = input ? MF_OK : mf_no_memory(0, "a picture");
    if (!status && s[2] != 3)
        status = mf_fail(MF_INVALID, "input image is not [H,W,3]");
    if (!status)
        status = sam2_picture_still(&p, image, input);
    if (!status)
        status = encode_all(r, input);
    if (!status)
        status = sam2_encode(r->predictor, input, &f);
    if (!status)
        status = image_embed(r, &f);
    if (!status)
        status = prompts(r, &f, s);
    if (!status && r->options->automatic)
        status = automatic(r, &r->options->generate, &p);
    sam2_features_clear(&f);
    free(input);
    mf_array_unref(pixels);
    return status;
}

/* ---- along frames ------------------------------------------------------------------------------
 */

/* The frames and what is seen in each, once for all objects. */
typedef struct video {
    const uint8_t *frames; /* [count,h,w,3] */
    int64_t count, h, w;
    sam2_features *seen;
    float *input;   /* [image,image,3] */
    float *low_res; /* [4h,4h] of one object */
    float *pointer; /* [dim] */
} video;

static mf_status see(run *r, video *v, int64_t frame)
{
    sam2_picture p = {v->frames + frame * v->h * v->w * 3, v->h, v->w, v->w};
    if (v->seen[frame].embed)
        return MF_OK;
    MF_TRY(sam2_picture_frame(&p, r->config.image, v->input));
    return sam2_encode(r->predictor, v->input, &v->seen[frame]);
}

static mf_status show(run *r, const video *v, const char *way, int64_t frame, int object,
                      const float *score)
{
    char name[64];
    int64_t edge = r->config.image / 4;
    snprintf(name, sizeof name, "%s.f%lld.o%d.low_res", way, (long long)frame, object);
    MF_TRY(copy(r, name, SHAPE(1, 1, edge, edge), v->low_res));
    snprintf(name, sizeof name, "%s.f%lld.o%d.obj_ptr", way, (long long)frame, object);
    MF_TRY(copy(r, name, SHAPE(1, r->config.dim), v->pointer));
    snprintf(name, sizeof name, "%s.f%lld.o%d.object_score", way, (long long)frame, object);
    return copy(r, name, SHAPE(1, 1), score);
}

/* One direction, from the seed to the end. */
static mf_status follow(run *r, video *v, sam2_track *t, int64_t seed, int object, bool reverse)
{
    const char *way = reverse ? "rev" : "fwd";
    float score;
    if (reverse && seed == 0)
        return MF_OK;
    sam2_track_seed_output(t, v->low_res, &score, v->pointer);
    MF_TRY(show(r, v, way, seed, object, &score));
    for (int64_t i = reverse ? seed - 1 : seed + 1; i >= 0 && i < v->count; i += reverse ? -1 : 1) {
        MF_TRY(see(r, v, i));
        MF_TRY(sam2_track_step(t, i, reverse, &v->seen[i], v->low_res, &score, v->pointer));
        MF_TRY(show(r, v, way, i, object, &score));
    }
    return MF_OK;
}

/* Forward, then in reverse. */
static mf_status both_ways(run *r, video *v, sam2_track *t, int64_t seed, int index)
{
    MF_TRY(follow(r, v, t, seed, index, false));
    return follow(r, v, t, seed, index, true);
}

/* mask_prompt.oI.frameJ */
static mf_status masked(run *r, video *v, const char *name, int64_t seed, sam2_track **t)
{
    mf_array *mask;
    const int64_t *s;
    int64_t image = r->config.image;
    MF_TRY(mf_parity_input(r->in, name, MF_U8, 2, &mask, &s));
    uint8_t *pixels = calloc((size_t)(image * image), 1);
    mf_status status = pixels ? MF_OK : mf_no_memory(0, "a mask");
    if (!status)
        status = sam2_picture_mask(mask->data, s[0], s[1], image, pixels);
    if (!status)
        status = sam2_track_new(r->predictor, v->count, seed, 1, pixels, &v->seen[seed], 0, t);
    free(pixels);
    mf_array_unref(mask);
    return status;
}

/* point_prompt.oI.frameJ f32 [P,3]: x, y in px of the frame, and the label. */
static mf_status pointed(run *r, video *v, const char *name, int64_t seed, sam2_track **t)
{
    mf_array *points;
    const int64_t *s;
    MF_TRY(mf_parity_input(r->in, name, MF_F32, 2, &points, &s));
    float *xy = calloc((size_t)(2 * s[0]), sizeof *xy);
    int32_t *labels = calloc((size_t)s[0], sizeof *labels);
    mf_status status = xy && labels ? MF_OK : mf_no_memory(0, "points");
    if (!status && s[1] != 3)
        status = mf_fail(MF_INVALID, "input %s is not [P,3]", name);
    for (int64_t i = 0; i < s[0] && !status; i++) {
        const float *point = (const float *)points->data + 3 * i;
        xy[2 * i] = point[0] / (float)v->w * (float)r->config.image;
        xy[2 * i + 1] = point[1] / (float)v->h * (float)r->config.image;
        labels[i] = (int32_t)point[2];
    }
    const sam2_prompts prompts = {.batch = 1, .points = s[0], .xy = xy, .labels = labels};
    if (!status)
        status =
            sam2_track_new_prompted(r->predictor, v->count, seed, &prompts, &v->seen[seed], 0, t);
    free(xy);
    free(labels);
    mf_array_unref(points);
    return status;
}

/* Each object by itself. */
static mf_status object(run *r, video *v, const char *name)
{
    int index;
    long long seed;
    sam2_track *t = NULL;
    bool mask = !strncmp(name, "mask", 4);
    const char *form = mask ? "mask_prompt.o%d.frame%lld" : "point_prompt.o%d.frame%lld";
    if (sscanf(name, form, &index, &seed) != 2 || seed < 0 || seed >= v->count)
        return mf_fail(MF_INVALID, "input %s: no such frame", name);
    MF_TRY(see(r, v, seed));
    mf_status status = (mask ? masked : pointed)(r, v, name, seed, &t);
    if (!status)
        status = both_ways(r, v, t, seed, index);
    sam2_track_free(t);
    return status;
}

static mf_status objects(run *r, video *v)
{
    int64_t image = r->config.image;
    v->seen = calloc((size_t)v->count, sizeof *v->seen);
    v->input = calloc((size_t)(image * image * 3), sizeof *v->input);
    v->low_res = calloc((size_t)(image * image / 16), sizeof *v->low_res);
    v->pointer = calloc((size_t)r->config.dim, sizeof *v->pointer);
    if (!v->seen || !v->input || !v->low_res || !v->pointer)
        return mf_no_memory(0, "frames");
    for (size_t i = 0; i < r->in->count; i++)
        if (!strncmp(r->in->item[i].name, "mask_prompt.o", 13) ||
            !strncmp(r->in->item[i].name, "point_prompt.o", 14))
            MF_TRY(object(r, v, r->in->item[i].name));
    return MF_OK;
}

static mf_status frames(run *r)
{
    mf_array *pixels;
    const int64_t *s;
    MF_TRY(mf_parity_input(r->in, "frames", MF_U8, 4, &pixels, &s));
    video v = {.frames = pixels->data, .count = s[0], .h = s[1], .w = s[2]};
    mf_status status =
        s[3] == 3 ? objects(r, &v) : mf_fail(MF_INVALID, "input frames is not [T,H,W,3]");
    for (int64_t i = 0; i < v.count && v.seen; i++)
        sam2_features_clear(&v.seen[i]);
    free(v.seen);
    free(v.input);
    free(v.low_res);
    free(v.pointer);
    mf_array_unref(pixels);
    return status;
}

mf_status mf_parity_sam2(mf_device *device, const mf_parity *o, const mf_tensors *weights,
                         const mf_tensors *in, mf_tensors *out)
{
    run r = {.device = device, .options = o, .in = in, .out = out};
    mf_status status = configure(weights, o, &r);
    if (!status)
        status = sam2_predictor_new(device, &r.config, &r.weights, 0, &r.predictor);
    if (!status && mf_tensors_find(in, "image"))
        status = picture(&r);
    if (!status && mf_tensors_find(in, "frames"))
        status = frames(&r);
    if (!status && !out->count)
        status = mf_fail(MF_INVALID, "the inputs have neither image nor frames");
    sam2_predictor_free(r.predictor);
    mf_tensors_clear(&r.weights);
    return status;
}
