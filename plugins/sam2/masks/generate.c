/* generate.c - see generate.h. Comparisons are made in the precision that PyTorch makes them in. */
#include "generate.h"
#include "../../common/parallel.h"
#include "../shared/area.h"
#include "../shared/zoom.h"

#include <massflow/memory.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EDGE 20.0f /* px: a box so close to a crop's edge was cut by it */

static mf_status no_memory(void)
{
    return mf_no_memory(0, "the masks of a picture");
}

void sam2_proposals_clear(sam2_proposals *t)
{
    for (int64_t i = 0; i < t->count; i++)
        sam2_patch_clear(&t->item[i].patch);
    free(t->item);
    *t = (sam2_proposals){0};
}

/* Takes the patch over, on failure too. */
static mf_status add(sam2_proposals *t, const sam2_proposal *one)
{
    sam2_proposal *more = mf_list_more(t->item, (size_t)t->count, sizeof *more);
    if (!more) {
        free(one->patch.bits);
        return no_memory();
    }
    t->item = more;
    t->item[t->count++] = *one;
    return MF_OK;
}

/* ---- crops ----------------------------------------------------------------------------------- */

static int64_t crop_length(int64_t all, int64_t crops, int64_t overlap)
{
    return (int64_t)ceil((double)(overlap * (crops - 1) + all) / (double)crops);
}

mf_status sam2_crop_boxes(int64_t h, int64_t w, int64_t layers, double overlap_ratio,
                          int32_t (**boxes)[5], int64_t *count)
{
    int64_t room = 1;
    for (int64_t layer = 1; layer <= layers; layer++)
        room += (int64_t)1 << 2 * layer;
    int32_t(*box)[5] = malloc((size_t)room * sizeof *box);
    if (!box)
        return no_memory();
    memcpy(box[0], (int32_t[]){0, 0, (int32_t)w, (int32_t)h, 0}, sizeof *box);
    *count = 1;
    for (int64_t layer = 1; layer <= layers; layer++) {
        const int64_t side = (int64_t)1 << layer, shorter = h < w ? h : w;
        const int64_t overlap = (int64_t)(overlap_ratio * (double)shorter * (2.0 / (double)side));
        const int64_t cw = crop_length(w, side, overlap), ch = crop_length(h, side, overlap);
        for (int64_t x = 0; x < side; x++)
            for (int64_t y = 0; y < side; y++) {
                const int64_t x0 = (cw - overlap) * x, y0 = (ch - overlap) * y;
                const int64_t x1 = x0 + cw < w ? x0 + cw : w, y1 = y0 + ch < h ? y0 + ch : h;
                if (x0 >= x1 || y0 >= y1)
                    continue;
                memcpy(
                    box[(*count)++],
                    (int32_t[]){(int32_t)x0, (int32_t)y0, (int32_t)x1, (int32_t)y1, (int32_t)layer},
                    sizeof *box);
            }
    }
    *boxes = box;
    return MF_OK;
}

/* ---- suppression ----------------------------------------------------------------------------- */

typedef struct ranked {
    float score;
    int64_t index;
} ranked;

static int by_score(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static float iou_of(const float *a, const float *b)
{
    const float w = fminf(a[2], b[2]) - fmaxf(a[0], b[0]);
    const float h = fminf(a[3], b[3]) - fmaxf(a[1], b[1]);
    const float both = (w > 0 ? w : 0) * (h > 0 ? h : 0);
    const float first = (a[2] - a[0]) * (a[3] - a[1]), second = (b[2] - b[0]) * (b[3] - b[1]);
    return both / (first + second - both); /* 0/0 suppresses nothing */
}

mf_status sam2_box_nms(const float *boxes, const float *scores, int64_t count, double threshold,
                       int64_t *keep, int64_t *kept)
{
    *kept = 0;
    ranked *order = malloc((size_t)(count + 1) * sizeof *order);
    if (!order)
        return no_memory();
    for (int64_t i = 0; i < count; i++)
        order[i] = (ranked){scores[i], i};
    qsort(order, (size_t)count, sizeof *order, by_score);
    for (int64_t i = 0; i < count; i++) {
        const float *box = boxes + 4 * order[i].index;
        bool good = true;
        for (int64_t k = 0; k < *kept && good; k++)
            good = !((double)iou_of(boxes + 4 * keep[k], box) > threshold);
        if (good)
            keep[(*kept)++] = order[i].index;
    }
    free(order);
    return MF_OK;
}

/* Keeps of the proposals from `first` on those that survive suppression, in its order. */
static mf_status suppress(sam2_proposals *t, int64_t first, const float *scores, double threshold)
{
    const int64_t n = t->count - first;
    int64_t kept = 0;
    float *boxes = malloc((size_t)(n + 1) * sizeof(float[4]));
    int64_t *keep = malloc((size_t)(n + 1) * sizeof *keep);
    sam2_proposal *item = malloc((size_t)(n + 1) * sizeof *item);
    mf_status status = boxes && keep && item ? MF_OK : no_memory();
    for (int64_t i = 0; i < n && !status; i++)
        memcpy(boxes + 4 * i, t->item[first + i].box, sizeof(float[4]));
    if (!status)
        status = sam2_box_nms(boxes, scores, n, threshold, keep, &kept);
    if (!status) {
        for (int64_t i = 0; i < kept; i++) {
            item[i] = t->item[first + keep[i]];
            t->item[first + keep[i]].patch.bits = NULL; /* moved */
        }
        for (int64_t i = 0; i < n; i++)
            sam2_patch_clear(&t->item[first + i].patch);
        for (int64_t i = 0; i < kept; i++)
            t->item[first + i] = item[i];
        t->count = first + kept;
    }
    free(boxes);
    free(keep);
    free(item);
    return status;
}

/* ---- one crop -------------------------------------------------------------------------------- */

/* What each thread has for itself. */
typedef struct tool {
    sam2_zoom *zoom;
    sam2_parts parts;
} tool;

/* A mask f32 [side, side] of a point (px of the crop), and what becomes of it. */
typedef struct candidate {
    float *logits;
    float iou, point[2];
    sam2_proposal proposal;
    bool good;
} candidate;

typedef struct work {
    const sam2_eye *eye;
    const sam2_generate_options *o;
    int64_t side, pixels;  /* of low-resolution logits */
    int64_t width, height; /* of the whole picture */
    int32_t box[4];        /* of this crop */
    tool *tools;           /* [threads] */
    candidate *candidates; /* [3 points_per_batch] masks that are looked at together */
    int64_t candidate_count;
    sam2_answers answers, refined; /* of points_per_batch prompts */
    float *prompt;                 /* [points_per_batch, side, side] */
    float *points;                 /* [points_per_batch, 2] px of the crop, of `prompt` */
    int64_t prompt_count;
    float *xy;               /* [points_per_batch, 2] */
    int32_t *labels, *index; /* [points_per_batch] */
    int64_t done, total;     /* batches of points */
    sam2_proposals *proposals;
} work;

static bool near(float a, float b)
{
    return fabsf(a - b) <= EDGE;
}

/* Whether a box of the whole picture was cut by the crop, at an edge that is not the picture's. */
static bool is_cut(const work *w, const float box[4])
{
    const float all[4] = {0, 0, (float)w->width, (float)w->height};
    for (int k = 0; k < 4; k++)
        if (near(box[k], (float)w->box[k]) && !near(box[k], all[k]))
            return true;
    return false;
}

/* Filters a mask and makes a proposal of it; its logits are changed. */
static mf_status judge(void *user, int worker, int64_t i)
{
    const work *w = user;
    const sam2_generate_options *o = w->o;
    tool *own = w->tools + worker;
    candidate *c = w->candidates + i;
    const float thresholds[3] = {(float)(o->mask_threshold + o->stability_score_offset),
                                 (float)o->mask_threshold,
                                 (float)(o->mask_threshold - o->stability_score_offset)};
    sam2_extent e;
    if (o->pred_iou_thresh > 0 && !(c->iou > (float)o->pred_iou_thresh))
        return MF_OK;
    MF_TRY(sam2_area_clean(&own->parts, c->logits, w->side, w->side, thresholds[1],
                           o->min_mask_region_area, o->min_mask_region_area));
    sam2_zoom_measure(own->zoom, c->logits, thresholds, &e);
    const float stability = (float)e.above[0] / (float)e.above[2];
    if (!e.above[1] || /* also where 0/0 has no stability */
        (o->stability_score_thresh > 0 && !(stability >= (float)o->stability_score_thresh)))
        return MF_OK;
    sam2_proposal *proposal = &c->proposal;
    *proposal = (sam2_proposal){.iou = c->iou, .stability = stability};
    for (int k = 0; k < 2; k++) {
        proposal->box[k] = (float)(e.lo[1 - k] + w->box[k]);
        proposal->box[2 + k] = (float)(e.hi[1 - k] - 1 + w->box[k]);
        proposal->point[k] = c->point[k] + (float)w->box[k];
    }
    if (is_cut(w, proposal->box))
        return MF_OK;
    memcpy(proposal->crop, w->box, sizeof proposal->crop);
    MF_TRY(sam2_zoom_patch(own->zoom, c->logits, thresholds[1], &proposal->patch));
    for (int k = 0; k < 2; k++) {
        proposal->patch.lo[k] += w->box[1 - k];
        proposal->patch.hi[k] += w->box[1 - k];
    }
    c->good = true;
    return MF_OK;
}

static void propose(work *w, float *logits, float iou, const float point[2])
{
    w->candidates[w->candidate_count++] =
        (candidate){.logits = logits, .iou = iou, .point = {point[0], point[1]}};
}

/* Adds the good ones of the candidates, in their order. */
static mf_status judge_all(work *w)
{
    mf_status status = mf_parallel(w->o->threads, w->candidate_count, judge, w);
    for (int64_t i = 0; i < w->candidate_count; i++) {
        candidate *c = w->candidates + i;
        if (c->good && !status)
            status = add(w->proposals, &c->proposal);
        else if (c->good)
            sam2_patch_clear(&c->proposal.patch);
    }
    w->candidate_count = 0;
    return status;
}

/* Points px of the crop [n, 2] as the model has them. */
static void place(const work *w, const float *points, int64_t n)
{
    for (int64_t i = 0; i < 2 * n; i++)
        w->xy[i] = points[i] / (float)(w->box[2 + i % 2] - w->box[i % 2]) * (float)w->eye->image;
}

/* Asks for the masks in w->prompt once more, each with its point. */
static mf_status refine(work *w)
{
    const int64_t n = w->prompt_count;
    const sam2_prompts prompts = {n, 1, w->xy, w->labels, true, w->prompt};
    w->prompt_count = 0;
    if (n == 0)
        return MF_OK;
    place(w, w->points, n);
    MF_TRY(w->eye->decode(w->eye->self, &prompts, &w->refined));
    w->eye->choose(w->eye->self, &w->refined, n, w->index);
    for (int64_t i = 0; i < n; i++) {
        const int64_t mask = 4 * i + w->index[i];
        propose(w, w->refined.logits + mask * w->pixels, w->refined.iou[mask], w->points + 2 * i);
    }
    return judge_all(w);
}

/* Keeps a mask until there is a batch of them to be refined. */
static mf_status keep_prompt(work *w, const float *logits, const float point[2])
{
    float *to = w->prompt + w->prompt_count * w->pixels;
    for (int64_t i = 0; i < w->pixels; i++)
        to[i] = logits[i] < -32 ? -32 : logits[i] > 32 ? 32 : logits[i];
    memcpy(w->points + 2 * w->prompt_count++, point, sizeof(float[2]));
    return w->prompt_count == w->o->points_per_batch ? refine(w) : MF_OK;
}

/* points: [n, 2] px of the crop. */
static mf_status run_batch(work *w, const float *points, int64_t n)
{
    const bool three = w->o->multimask_output;
    const sam2_prompts prompts = {n, 1, w->xy, w->labels, true, NULL};
    place(w, points, n);
    MF_TRY(w->eye->decode(w->eye->self, &prompts, &w->answers));
    if (!three)
        w->eye->choose(w->eye->self, &w->answers, n, w->index);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = three ? 1 : 0; k < (three ? 4 : 1); k++) {
            /* Refining takes w->index too, but in a batch of single masks only behind the last. */
            const int64_t mask = 4 * i + (three ? k : w->index[i]);
            float *logits = w->answers.logits + mask * w->pixels;
            if (w->o->use_m2m)
                MF_TRY(keep_prompt(w, logits, points + 2 * i));
            else
                propose(w, logits, w->answers.iou[mask], points + 2 * i);
        }
    return w->o->use_m2m ? refine(w) : judge_all(w);
}

static int64_t points_along(const sam2_generate_options *o, int64_t layer)
{
    return (int64_t)((double)o->points_per_side /
                     pow((double)o->crop_n_points_downscale_factor, (double)layer));
}

static int64_t points_in(const sam2_generate_options *o, int64_t layer)
{
    const int64_t side = points_along(o, layer);
    return o->point_grids ? o->grid_points : side * side;
}

/* Place i of `side` places, spread evenly over 0..1 as NumPy's linspace computes them. */
static double spread(int64_t i, int64_t side)
{
    const double first = 1 / (2 * (double)side), last = 1 - first;
    if (i == side - 1)
        return last;
    return (double)i * ((last - first) / (double)(side - 1)) + first;
}

/* The points of a layer, f32 [points_in, 2] px of a crop h x w. */
static mf_status make_points(const sam2_generate_options *o, int64_t layer, int64_t h, int64_t w,
                             float **points)
{
    const int64_t side = points_along(o, layer), count = points_in(o, layer);
    *points = NULL;
    if (count < 1)
        return mf_fail(MF_INVALID, "no points are left in crop layer %lld", (long long)layer);
    *points = malloc((size_t)count * sizeof(float[2]));
    if (!*points)
        return no_memory();
    for (int64_t i = 0; i < count; i++)
        for (int k = 0; k < 2; k++) {
            const double part =
                o->point_grids ? o->point_grids[2 * i + k] : spread(k ? i / side : i % side, side);
            (*points)[2 * i + k] = (float)(part * (double)(k ? h : w));
        }
    return MF_OK;
}

static mf_status run_points(work *w, int64_t layer, int64_t ch, int64_t cw)
{
    const int64_t count = points_in(w->o, layer);
    float *points;
    mf_status status = make_points(w->o, layer, ch, cw, &points);
    for (int64_t i = 0; i < count && !status; i += w->o->points_per_batch) {
        const int64_t n = count - i < w->o->points_per_batch ? count - i : w->o->points_per_batch;
        status = w->eye->step(w->eye->self, w->done++, w->total);
        if (!status)
            status = run_batch(w, points + 2 * i, n);
    }
    free(points);
    return status;
}

static mf_status suppress_crop(work *w, int64_t first)
{
    float *scores = malloc((size_t)(w->proposals->count - first + 1) * sizeof *scores);
    if (!scores)
        return no_memory();
    for (int64_t i = first; i < w->proposals->count; i++)
        scores[i - first] = w->proposals->item[i].iou;
    mf_status status = suppress(w->proposals, first, scores, w->o->box_nms_thresh);
    free(scores);
    return status;
}

static mf_status run_crop(work *w, const sam2_picture *p, const int32_t box[5])
{
    const int64_t ch = box[3] - box[1], cw = box[2] - box[0], first = w->proposals->count;
    const sam2_picture crop = {p->rgb + 3 * (box[1] * p->pitch + box[0]), ch, cw, p->pitch};
    memcpy(w->box, box, sizeof w->box);
    MF_TRY(w->eye->look(w->eye->self, &crop));
    mf_status status = MF_OK;
    for (int i = 0; i < w->o->threads && !status; i++)
        status = sam2_zoom_new(w->side, ch, cw, &w->tools[i].zoom);
    if (!status)
        status = run_points(w, box[4], ch, cw);
    for (int i = 0; i < w->o->threads; i++) {
        sam2_zoom_free(w->tools[i].zoom);
        w->tools[i].zoom = NULL;
    }
    return status ? status : suppress_crop(w, first);
}

/* ---- all ------------------------------------------------------------------------------------- */

/* Masks of smaller crops are preferred. */
static mf_status suppress_all(work *w)
{
    float *scores = malloc((size_t)(w->proposals->count + 1) * sizeof *scores);
    if (!scores)
        return no_memory();
    for (int64_t i = 0; i < w->proposals->count; i++) {
        const int32_t *c = w->proposals->item[i].crop;
        scores[i] = 1 / (float)((int64_t)(c[2] - c[0]) * (c[3] - c[1]));
    }
    mf_status status = suppress(w->proposals, 0, scores, w->o->crop_nms_thresh);
    free(scores);
    return status;
}

static bool answers_new(sam2_answers *a, int64_t batch, int64_t pixels)
{
    a->logits = malloc((size_t)(batch * 4 * pixels) * sizeof *a->logits);
    a->iou = malloc((size_t)(4 * batch) * sizeof *a->iou);
    return a->logits && a->iou;
}

static void work_clear(work *w)
{
    for (int i = 0; i < w->o->threads && w->tools; i++)
        sam2_parts_clear(&w->tools[i].parts);
    free(w->tools);
    free(w->candidates);
    free(w->answers.logits);
    free(w->answers.iou);
    free(w->refined.logits);
    free(w->refined.iou);
    free(w->prompt);
    free(w->points);
    free(w->xy);
    free(w->labels);
    free(w->index);
}

static mf_status work_new(work *w)
{
    const int64_t n = w->o->points_per_batch;
    bool good = answers_new(&w->answers, n, w->pixels);
    if (w->o->use_m2m) {
        w->prompt = malloc((size_t)(n * w->pixels) * sizeof *w->prompt);
        w->points = malloc((size_t)n * sizeof(float[2]));
        good = good && w->prompt && w->points && answers_new(&w->refined, n, w->pixels);
    }
    w->xy = malloc((size_t)n * sizeof(float[2]));
    w->labels = malloc((size_t)n * sizeof *w->labels);
    w->index = malloc((size_t)n * sizeof *w->index);
    w->tools = calloc((size_t)w->o->threads, sizeof *w->tools);
    w->candidates = malloc((size_t)(3 * n) * sizeof *w->candidates);
    if (!good || !w->xy || !w->labels || !w->index || !w->tools || !w->candidates)
        return no_memory();
    for (int64_t i = 0; i < n; i++)
        w->labels[i] = 1;
    return MF_OK;
}

static int64_t count_batches(const sam2_generate_options *o, int32_t (*boxes)[5], int64_t count)
{
    int64_t batches = 0;
    for (int64_t i = 0; i < count; i++)
        batches += (points_in(o, boxes[i][4]) + o->points_per_batch - 1) / o->points_per_batch;
    return batches;
}

mf_status sam2_generate_batches(int64_t h, int64_t w, const sam2_generate_options *o,
                                int64_t *batches)
{
    int32_t(*boxes)[5];
    int64_t count;
    MF_TRY(sam2_crop_boxes(h, w, o->crop_n_layers, o->crop_overlap_ratio, &boxes, &count));
    *batches = count_batches(o, boxes, count);
    free(boxes);
    return MF_OK;
}

mf_status sam2_generate(const sam2_eye *eye, const sam2_picture *picture,
                        const sam2_generate_options *o, sam2_proposals *proposals)
{
    const int64_t side = eye->image / 4;
    work w = {.eye = eye,
              .o = o,
              .side = side,
              .pixels = side * side,
              .width = picture->w,
              .height = picture->h,
              .proposals = proposals};
    int32_t(*boxes)[5];
    int64_t count;
    *proposals = (sam2_proposals){0};
    MF_TRY(sam2_crop_boxes(picture->h, picture->w, o->crop_n_layers, o->crop_overlap_ratio, &boxes,
                           &count));
    w.total = count_batches(o, boxes, count);
    mf_status status = work_new(&w);
    for (int64_t i = 0; i < count && !status; i++)
        status = run_crop(&w, picture, boxes[i]);
    if (!status && count > 1)
        status = suppress_all(&w);
    work_clear(&w);
    free(boxes);
    if (status)
        sam2_proposals_clear(proposals);
    return status;
}
