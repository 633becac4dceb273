/* Tests of how objects are followed, with a model that is made up here: its tracks know where their
 * object is, count what they are asked, and run out of memory when told to. Also of the lists that
 * results are kept in, and of what a user points at. */
#include "../expect.h"
#include "../run_suite.h"
#include "propagation/propagation.h"
#include "propagation/request.h"
#include <math.h>
#include <string.h>

enum { IMAGE = 64, LOW = IMAGE / 4, SLICES = 40, H = 20, W = 24 };

/* ---- the made-up model ----------------------------------------------------------------------- */

struct sam2_predictor {
    sam2_config config;
    int64_t encoded, most, alive, stop_at, steps, furthest; /* most: objects on the device */
    int64_t batches[64];
    int batch_count;
};
static struct sam2_predictor model;

const sam2_config *sam2_predictor_config(const sam2_predictor *p)
{
    return &p->config;
}

void sam2_features_clear(sam2_features *f)
{
    free(f->embed);
    *f = (sam2_features){0};
}

/* Slices are of one shade, their number: features are that number. */
mf_status sam2_encode(sam2_predictor *p, const float *image, sam2_features *f)
{
    p->encoded++;
    f->embed = malloc(sizeof *f->embed);
    f->embed[0] = rintf((image[0] * 0.229f + 0.485f) * 255);
    return MF_OK;
}

struct sam2_track {
    sam2_predictor *p;
    int64_t frames, seed, batch, last;
    bool reverse;
    int64_t reach[64]; /* of each object: slices that it is seen on, to both sides */
};

/* An object is a bar of 8 x 4 logits at a place of its own; away from its reach it is not there,
 * but those whose reach is odd are back on the sixth slice behind it. */
static void draw(const sam2_track *t, int64_t frame, float *low_res)
{
    for (int64_t i = 0; i < t->batch; i++) {
        const int64_t away = llabs(frame - t->seed), reach = t->reach[i];
        const bool there = away <= reach || (reach % 2 && away == reach + 6);
        for (int64_t v = 0; v < LOW * LOW; v++) {
            const int64_t y = v / LOW, x = v % LOW;
            low_res[i * LOW * LOW + v] = !there                                       ? -1024
                                         : y >= 4 && y < 8 && x >= 2 && x < 2 + reach ? 5
                                                                                      : -5;
        }
    }
}

static mf_status take_memory(sam2_predictor *p, int64_t batch)
{
    if (p->batch_count < 64)
        p->batches[p->batch_count++] = batch;
    if (p->most && p->alive + batch > p->most)
        return mf_fail(MF_NO_MEMORY, "the device has no memory for %lld more", (long long)batch);
    p->alive += batch;
    return MF_OK;
}

mf_status sam2_track_new(sam2_predictor *p, int64_t frames, int64_t seed, int64_t batch,
                         const uint8_t *masks, const sam2_features *f, int64_t holes,
                         sam2_track **track)
{
    ck_assert_int_eq(holes, 3);
    ck_assert_int_eq((int64_t)f->embed[0], seed);
    *track = NULL;
    MF_TRY(take_memory(p, batch));
    *track = calloc(1, sizeof **track);
    **track = (sam2_track){.p = p, .frames = frames, .seed = seed, .batch = batch, .last = seed};
    for (int64_t i = 0; i < batch; i++) /* the mask's pixels are the reach */
        for (int64_t v = 0; v < IMAGE * IMAGE; v++)
            (*track)->reach[i] += masks[i * IMAGE * IMAGE + v];
    return MF_OK;
}

/* The reach is the number of points inside. */
mf_status sam2_track_new_prompted(sam2_predictor *p, int64_t frames, int64_t seed,
                                  const sam2_prompts *prompts, const sam2_features *f,
                                  int64_t holes, sam2_track **track)
{
    ck_assert_int_eq(holes, 3);
    ck_assert_int_eq((int64_t)f->embed[0], seed);
    *track = NULL;
    MF_TRY(take_memory(p, prompts->batch));
    *track = calloc(1, sizeof **track);
    **track =
        (sam2_track){.p = p, .frames = frames, .seed = seed, .batch = prompts->batch, .last = seed};
    for (int64_t i = 0; i < prompts->batch * prompts->points; i++)
        (*track)->reach[i / prompts->points] += prompts->labels[i] == 1;
    return MF_OK;
}

void sam2_track_free(sam2_track *t)
{
    if (t)
        t->p->alive -= t->batch;
    free(t);
}

void sam2_track_seed_output(const sam2_track *t, float *low_res, float *score, float *pointer)
{
    ck_assert(!score && !pointer);
    draw(t, t->seed, low_res);
}

mf_status sam2_track_step(sam2_track *t, int64_t frame, bool reverse, const sam2_features *f,
                          float *low_res, float *score, float *pointer)
{
    ck_assert(!score && !pointer);
    ck_assert_int_eq((int64_t)f->embed[0], frame);
    if (reverse && !t->reverse) {
        /* Reverse reads up to 16 slices that forward has left. */
        ck_assert_int_ge(t->last, t->seed + 16 < t->frames ? t->seed + 16 : t->frames - 1);
        t->last = t->seed;
    }
    ck_assert_int_eq(frame, t->last + (reverse ? -1 : 1));
    t->reverse = reverse;
    t->last = frame;
    t->p->steps += t->batch;
    t->p->furthest = frame > t->p->furthest ? frame : t->p->furthest;
    draw(t, frame, low_res);
    return MF_OK;
}

/* ---- a task ---------------------------------------------------------------------------------- */

mf_status mf_cancel_point(mf_task *t)
{
    (void)t;
    return model.stop_at && model.steps >= model.stop_at ? mf_fail(MF_CANCELLED, "stopped") : MF_OK;
}

static int64_t told, told_of;
void mf_progress(mf_task *t, int64_t done, int64_t total, const char *words)
{
    (void)t;
    ck_assert_int_le(done, total);
    ck_assert_str_eq(words, "words");
    told = done;
    told_of = total;
}

void mf_log(mf_task *t, const char *format, ...)
{
    (void)t, (void)format;
}

/* ---- following ------------------------------------------------------------------------------- */

typedef struct fixture {
    sam2_stack stack;
    sam2_propagator f;
    sam2_list list;
    uint8_t *masks;
    sam2_object objects[8];
} fixture;

static void begin(fixture *x, size_t cached)
{
    const int64_t size[3] = {W, H, SLICES}, shape[4] = {SLICES, H, W, 3};
    const double spacing[3] = {1, 1, 2};
    memset(&model, 0, sizeof model);
    model.config = (sam2_config){.image = IMAGE, .dim = 8};
    *x = (fixture){.stack = {.axis = 0}};
    mf_grid_identity(&x->stack.grid, size, spacing);
    x->stack.scan = x->stack.grid;
    ok(mf_array_new(MF_U8, 4, shape, &x->stack.rgb));
    for (int64_t i = 0; i < SLICES; i++)
        memset((uint8_t *)x->stack.rgb->data + i * H * W * 3, (int)i, H * W * 3);
    /* a slice: 4 x 4 x (8 + 8 + 16) floats */
    const size_t bytes = 4 * 4 * (8 + 4 * 2 + 16 * 1) * sizeof(float) * cached;
    x->f = (sam2_propagator){.predictor = &model,
                             .stack = &x->stack,
                             .o = {.batch = 16, .threads = 2, .min_voxels = 1, .fill_hole_area = 3},
                             .total = INT64_MAX,
                             .next_axis = -1,
                             .words = "words"};
    ok(sam2_cache_new(&model, &x->stack, bytes, &x->f.cache));
    x->masks = calloc(8, IMAGE * IMAGE);
    for (int i = 0; i < 8; i++) { /* reaches 1 to 8 */
        memset(x->masks + i * IMAGE * IMAGE, 1, (size_t)i + 1);
        x->objects[i] = (sam2_object){
            .mask = x->masks + i * IMAGE * IMAGE, .score = 0.5f + (float)i, .label = i};
    }
}

static void end(fixture *x)
{
    ck_assert_int_eq(model.alive, 0);
    sam2_cache_free(x->f.cache);
    sam2_stack_clear(&x->stack);
    sam2_list_clear(&x->list);
    free(x->masks);
}

static int64_t voxels_of(const sam2_found *f)
{
    int64_t n = 1, sum = 0;
    for (int k = 0; k < 3; k++)
        n *= f->mask.hi[k] - f->mask.lo[k];
    for (int64_t i = 0; i < n; i++)
        sum += f->bits[i >> 3] >> (i & 7) & 1;
    return sum;
}

static void same(const sam2_list *a, const sam2_list *b)
{
    ck_assert_int_eq(a->count, b->count);
    for (int64_t i = 0; i < a->count; i++) {
        const sam2_found *p = a->item + i, *q = b->item + i;
        ck_assert_mem_eq(p->mask.lo, q->mask.lo, sizeof p->mask.lo);
        ck_assert_mem_eq(p->mask.hi, q->mask.hi, sizeof p->mask.hi);
        ck_assert_float_eq(p->mask.score, q->mask.score);
        ck_assert_int_eq(p->mask.seed_slice, q->mask.seed_slice);
        ck_assert_int_eq(voxels_of(p), voxels_of(q));
    }
}

START_TEST(objects_are_followed_both_ways)
{
    fixture x;
    begin(&x, SLICES);
    const sam2_group g = {0, 20, 8, x.objects};
    x.f.total = 8 * (SLICES - 1);
    ok(sam2_propagate(&x.f, &g, &x.list));
    ck_assert_int_eq(told, 8 * (SLICES - 1));
    ck_assert_int_eq(told_of, told);
    ck_assert_int_eq(model.encoded, SLICES);
    ck_assert_int_eq(model.steps, 8 * (SLICES - 1));
    ck_assert_int_eq(x.list.count, 8);
    for (int64_t i = 0; i < 8; i++) {
        const sam2_found *f = x.list.item + i;
        const int64_t reach = i + 1, far = reach % 2 ? reach + 6 : reach;
        ck_assert_int_eq(f->mask.lo[0], 20 - far);
        ck_assert_int_eq(f->mask.hi[0], 20 + far + 1);
        ck_assert_int_eq(f->mask.lo[1], 5); /* rows 4..7 of 16 over 20 pixels */
        ck_assert_int_eq(f->mask.hi[1], 10);
        ck_assert_int_eq(f->mask.seed_axis, 0);
        ck_assert_int_eq(f->mask.seed_slice, 20);
        ck_assert_int_eq(f->label, (int)i);
        ck_assert_float_eq(f->mask.score, 0.5f + (float)i);
    }
    end(&x);
}
END_TEST

START_TEST(only_what_hangs_together_stays)
{
    fixture x;
    begin(&x, SLICES);
    const sam2_group g = {0, 20, 8, x.objects};
    x.f.o.keep_largest = true;
    x.f.o.min_voxels = 100;
    ok(sam2_propagate(&x.f, &g, &x.list));
    ck_assert_int_eq(x.list.count + x.f.small, 8);
    ck_assert_int_gt(x.f.small, 0);
    for (int64_t i = 0; i < x.list.count; i++) {
        const sam2_found *f = x.list.item + i;
        const int64_t in_slice = voxels_of(f) / (2 * (f->label + 1) + 1);
        ck_assert_int_eq(voxels_of(f), in_slice * (2 * (f->label + 1) + 1)); /* not the far ones */
        ck_assert_int_ge(voxels_of(f), 100);
    }
    end(&x);
}
END_TEST

/* Once it was gone for so long a thing is not seen again; who walks beside it changes nothing. */
START_TEST(a_thing_may_end)
{
    fixture alone, all;
    begin(&all, SLICES);
    const sam2_group g = {0, 3, 8, all.objects};
    all.f.o.max_empty_slices = 3;
    ok(sam2_propagate(&all.f, &g, &all.list));
    for (int64_t i = 0; i < 8; i++)
        ck_assert_int_eq(all.list.item[i].mask.hi[0], 3 + i + 2);
    ck_assert_int_eq(model.furthest, 3 + 16); /* all had ended long before */
    for (int i = 0; i < 8; i++) {
        begin(&alone, SLICES);
        const sam2_group one = {0, 3, 1, alone.objects + i};
        alone.f.o.max_empty_slices = 3;
        ok(sam2_propagate(&alone.f, &one, &alone.list));
        const sam2_list mine = {all.list.item + i, 1};
        same(&alone.list, &mine);
        end(&alone);
    }
    end(&all);
}
END_TEST

START_TEST(short_memory_changes_nothing_but_time)
{
    fixture wanted, x;
    begin(&wanted, SLICES);
    const sam2_group g = {0, 20, 8, wanted.objects};
    ok(sam2_propagate(&wanted.f, &g, &wanted.list));
    for (int64_t most = 1; most <= 8; most++)
        for (int64_t batch = 1; batch <= 8; batch += 3) {
            begin(&x, SLICES);
            const sam2_group own = {0, 20, 8, x.objects};
            model.most = most;
            x.f.o.batch = batch;
            ok(sam2_propagate(&x.f, &own, &x.list));
            same(&x.list, &wanted.list);
            ck_assert_int_eq(model.steps, 8 * (SLICES - 1));
            ck_assert_int_le(x.f.o.batch, batch);
            if (most == 3 && batch == 4) { /* 4 fit nowhere: 4 together, then 2 */
                const int64_t asked[] = {4, 4, 2, 2, 2, 2};
                ck_assert_int_eq(model.batch_count, 6);
                ck_assert_mem_eq(model.batches, asked, sizeof asked);
            }
            end(&x);
        }
    end(&wanted);
    begin(&x, SLICES);
    const sam2_group one = {0, 20, 1, x.objects};
    model.alive = model.most = 1; /* not even one */
    fails(sam2_propagate(&x.f, &one, &x.list), "the device has no memory for 1 more");
    ck_assert_int_eq(x.list.count, 0);
    model.alive = 0;
    model.stop_at = 30;
    model.most = 0;
    fails(sam2_propagate(&x.f, &one, &x.list), "stopped");
    ck_assert_int_eq(x.list.count, 0);
    end(&x);
}
END_TEST

/* Two groups, four slices apart: the next walk finds all that fit, but where a place is needed at
 * once. */
START_TEST(slices_are_kept_as_long_as_they_fit)
{
    for (size_t kept = 1; kept <= SLICES; kept += 13) {
        fixture x;
        begin(&x, kept);
        const sam2_group a = {0, 20, 2, x.objects}, b = {0, 24, 2, x.objects};
        x.f.next_axis = 0;
        x.f.next_slice = 24;
        ok(sam2_propagate(&x.f, &a, &x.list));
        ck_assert_int_eq(model.encoded, SLICES);
        x.f.next_axis = -1;
        ok(sam2_propagate(&x.f, &b, &x.list));
        const int64_t again = 2 * SLICES - model.encoded;
        ck_assert_int_eq(again, kept == 1 ? 0 : (int64_t)kept);
        end(&x);
    }
}
END_TEST

/* Objects across another axis: frames are other cuts of the same voxels. */
START_TEST(points_across_another_axis)
{
    fixture x;
    begin(&x, SLICES);
    uint8_t *rgb = x.stack.rgb->data;
    for (int64_t i = 0; i < SLICES * H * W; i++)
        memset(rgb + 3 * i, (int)(i % W), 3);
    const float xy[6] = {1, 2, 3, 4, 5, 6};
    const int32_t labels[3] = {1, 0, 1};
    const sam2_object o = {.xy = xy, .labels = labels, .points = 3, .score = 1};
    const sam2_group g = {2, 10, 1, &o};
    ok(sam2_propagate(&x.f, &g, &x.list));
    ck_assert_int_eq(model.encoded, W);
    ck_assert_int_eq(x.list.count, 1);
    const mf_mask *m = &x.list.item[0].mask;
    ck_assert_int_eq(m->lo[2], 8);
    ck_assert_int_eq(m->hi[2], 13);
    ck_assert_int_eq(m->lo[0], 10); /* rows 4..7 of 16 over 40 slices */
    ck_assert_int_eq(m->hi[0], 20);
    ck_assert_int_eq(m->seed_axis, 2);
    ck_assert_int_eq(m->lo[1], 3); /* columns 2..3 of 16 over 20 pixels */
    ck_assert_int_eq(m->hi[1], 5);
    end(&x);
}
END_TEST

/* ---- lists ----------------------------------------------------------------------------------- */

START_TEST(lists_survive_a_checkpoint)
{
    fixture x;
    mf_artifact *state, *a, *b;
    sam2_list back;
    begin(&x, SLICES);
    const sam2_group g = {0, 20, 5, x.objects};
    ok(sam2_propagate(&x.f, &g, &x.list));
    for (int64_t i = 0; i < x.list.count; i++) {
        sam2_found *f = x.list.item + i;
        f->stability = 0.25f * (float)i;
        f->point[1] = 7;
        f->crop[3] = (int32_t)i;
    }
    ok(sam2_list_save(&x.list, &state));
    ok(sam2_list_load(&back, state));
    same(&x.list, &back);
    ok(sam2_list_publish(&x.list, "seeds", &x.stack.grid, state, &a));
    ok(sam2_list_publish(&back, "seeds", &x.stack.grid, state, &b));
    ck_assert_int_eq(mf_masks_count(a), 5);
    for (size_t i = 0; i < mf_artifact_array_count(a); i++) {
        mf_array_info info;
        mf_array *p, *q;
        mf_artifact_array_info(a, i, &info);
        if (info.ragged)
            continue;
        ok(mf_artifact_array(a, info.name, &p));
        ok(mf_artifact_array(b, info.name, &q));
        ck_assert_uint_eq(p->bytes, q->bytes);
        ck_assert_mem_eq(p->data, q->data, p->bytes);
        mf_array_unref(p);
        mf_array_unref(q);
    }
    for (int64_t k = 0; k < 5; k++) {
        int64_t voxels;
        ok(mf_masks_volume(b, k, &voxels));
        ck_assert_int_eq(voxels, voxels_of(x.list.item + k));
    }
    mf_artifact_unref(a), mf_artifact_unref(b), mf_artifact_unref(state);
    sam2_list_clear(&back);
    sam2_list_cut(&x.list, 0);
    ok(sam2_list_save(&x.list, &state)); /* nothing, too */
    ok(sam2_list_load(&back, state));
    ck_assert_int_eq(back.count, 0);
    ok(sam2_list_publish(&back, "masks", &x.stack.grid, state, &a));
    ck_assert_int_eq(mf_masks_count(a), 0);
    mf_artifact_unref(a), mf_artifact_unref(state);
    end(&x);
}
END_TEST

/* ---- what a user points at ------------------------------------------------------------------- */

#define REALS(...)                                                                                 \
    {                                                                                              \
        (const double[]){__VA_ARGS__}, sizeof((const double[]){__VA_ARGS__}) / sizeof(double)      \
    }
#define INTS(...)                                                                                  \
    {                                                                                              \
        (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)   \
    }

START_TEST(requests_are_sorted_by_object)
{
    fixture x;
    sam2_target *t;
    int64_t n;
    begin(&x, 1);
    const sam2_request r = {.points = REALS(1, 2, 3, 4, 5, 30, 7, 8, 3.4),
                            .labels = INTS(1, 1, 0),
                            .boxes = REALS(9, 8, 31, 2, 3, 29),
                            .object = INTS(5, 2, 5, 2)};
    ok(sam2_request_check(&r));
    ok(sam2_request_targets(&r, &x.stack, 0, &t, &n));
    ck_assert_int_eq(n, 2);
    ck_assert_int_eq(t[0].object, 2);
    ck_assert_int_eq(t[0].slice, 30); /* the middle of the box */
    ck_assert_int_eq(t[0].count, 3);
    const float xy[6] = {2, 3, 9, 8, 4, 5};
    const int32_t labels[3] = {2, 3, 1};
    ck_assert_mem_eq(t[0].xy, xy, sizeof xy);
    ck_assert_mem_eq(t[0].labels, labels, sizeof labels);
    ck_assert_int_eq(t[1].object, 5);
    ck_assert_int_eq(t[1].slice, 3);
    ck_assert_int_eq(t[1].count, 2);
    ck_assert_int_eq(t[1].labels[1], 0);
    sam2_targets_free(t, n);
    end(&x);
}
END_TEST

START_TEST(requests_in_millimetres_across_any_axis)
{
    fixture x;
    sam2_target *t;
    int64_t n;
    begin(&x, 1);
    x.stack.grid.origin[2] = -10;
    const sam2_request r = {.points = REALS(4, 5, 10), .world = true}; /* voxel 4, 5, 10 */
    static const float wanted[3][2] = {{4, 5}, {4, 10}, {5, 10}};
    static const int64_t slices[3] = {10, 5, 4};
    for (int axis = 0; axis < 3; axis++) {
        ok(sam2_request_targets(&r, &x.stack, axis, &t, &n));
        ck_assert_int_eq(n, 1);
        ck_assert_int_eq(t->object, 1);
        ck_assert_int_eq(t->slice, slices[axis]);
        ck_assert_float_eq(t->xy[0], wanted[axis][0]);
        ck_assert_float_eq(t->xy[1], wanted[axis][1]);
        ck_assert_int_eq(t->labels[0], 1);
        sam2_targets_free(t, n);
    }
    end(&x);
}
END_TEST

/* A file whose axes run head, right to left, front: voxels are told as they lie there. */
START_TEST(requests_in_voxels_of_a_turned_file)
{
    fixture x;
    sam2_target *t;
    int64_t n;
    begin(&x, 1);
    const mf_grid *g = &x.stack.grid;
    x.stack.scan = (mf_grid){.size = {g->size[2], g->size[0], g->size[1]},
                             .spacing = {g->spacing[2], g->spacing[0], g->spacing[1]},
                             .origin = {g->spacing[0] * (double)(g->size[0] - 1), 0, 0},
                             .direction = {0, -1, 0, 0, 0, 1, 1, 0, 0}};
    const sam2_request r = {.points = REALS(10, 19, 5)}; /* 4, 5, 10 of 24 x 20 x 40 */
    ok(sam2_request_targets(&r, &x.stack, 0, &t, &n));
    ck_assert_int_eq(t->slice, 10);
    ck_assert_float_eq_tol(t->xy[0], 4, 1e-5f);
    ck_assert_float_eq_tol(t->xy[1], 5, 1e-5f);
    sam2_targets_free(t, n);
    end(&x);
}
END_TEST

START_TEST(requests_that_make_no_sense)
{
    fixture x;
    sam2_target *t;
    int64_t n;
    begin(&x, 1);
    const sam2_request lengths = {.points = REALS(1, 2)}, boxes = {.boxes = REALS(1, 2, 3)},
                       labels = {.points = REALS(1, 2, 3), .labels = INTS(1, 0)},
                       objects = {.points = REALS(1, 2, 3), .object = INTS(1, 2)};
    fails(sam2_request_check(&lengths),
          "points: 2 numbers; x, y and z of each are a multiple of 3");
    fails(sam2_request_check(&boxes), "box: 3 numbers; two corners of each are a multiple of 6");
    fails(sam2_request_check(&labels), "labels: 2 for 1 points");
    fails(sam2_request_check(&objects), "obj_ids: 2 numbers for 1 points and 0 boxes");
    const sam2_request outside = {.points = REALS(1, 2, 40)},
                       apart = {.points = REALS(1, 2, 3, 1, 2, 5)},
                       twice = {.boxes = REALS(1, 1, 1, 2, 2, 1, 1, 1, 1, 3, 3, 1)};
    fails(sam2_request_targets(&outside, &x.stack, 0, &t, &n),
          "point 1, 2, 40 (1, 2, 40 in the slices' order) lies outside of their 24 x 20 x 40 "
          "voxels\n"
          "  unit: voxel counts in the scan's own file, from 0; mm are the patient's, RAS+");
    fails(sam2_request_targets(&apart, &x.stack, 0, &t, &n),
          "a point of object 1 is on slice 5 across z, others on slice 3\n"
          "  an object is prompted on one slice; use another object id for another slice");
    fails(sam2_request_targets(&twice, &x.stack, 0, &t, &n), "object 1 has several boxes");
    end(&x);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sam2_propagation");
    TCase *cases = tcase_create("sam2_propagation");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, objects_are_followed_both_ways);
    tcase_add_test(cases, only_what_hangs_together_stays);
    tcase_add_test(cases, a_thing_may_end);
    tcase_add_test(cases, short_memory_changes_nothing_but_time);
    tcase_add_test(cases, slices_are_kept_as_long_as_they_fit);
    tcase_add_test(cases, points_across_another_axis);
    tcase_add_test(cases, lists_survive_a_checkpoint);
    tcase_add_test(cases, requests_are_sorted_by_object);
    tcase_add_test(cases, requests_in_millimetres_across_any_axis);
    tcase_add_test(cases, requests_in_voxels_of_a_turned_file);
    tcase_add_test(cases, requests_that_make_no_sense);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
