/* Tests of what the stages of MASS stand on: schedules against PyTorch, configuration from
 * shapes, windows, components, scores, the probe. */
#include "../expect.h"
#include "../run_suite.h"
#include "compute/stop.h"
#include "footprint.h"
#include "iris.h"
#include "largest.h"
#include "model.h"
#include "probe.h"
#include "program/ir/program.h"
#include "schedule.h"
#include "scores.h"
#include "window.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- schedules ------------------------------------------------------------------------------- */

typedef struct point {
    int64_t i;
    double rate, beta1;
} point;

static void check_rates(const mf_schedule *s, const point *want, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        double rate, beta1;
        mf_schedule_at(s, want[k].i, &rate, &beta1);
        ck_assert_double_eq_tol(rate, want[k].rate, 1e-12 * want[k].rate);
        ck_assert_double_eq_tol(beta1, want[k].beta1, 1e-12);
    }
}
#define CHECK_RATES(s, list) check_rates(s, list, sizeof(list) / sizeof(*(list)))

/* Numbers of torch.optim.lr_scheduler.OneCycleLR and CosineAnnealingLR, PyTorch 2.13. */
START_TEST(schedules_are_those_of_pytorch)
{
    static const point long_cycle[] = {
        {0, 7.999999999999999e-05, 0.95},
        {1, 0.00036117749006091444, 0.9353553390593273},
        {4, 0.002, 0.85},
        {5, 0.0019994532792106325, 0.8500273371329536},
        {50, 0.0010496217713230353, 0.8975208122663388},
        {98, 6.26720789367588e-07, 0.9499726628670463},
        {99, 8e-08, 0.95},
    };
    static const point short_cycle[] = {
        {0, 7.999999999999999e-05, 0.95},
        {1, 0.0010400000000000001, 0.9},
        {2, 0.002, 0.85},
        {3, 0.0019009728291477029, 0.854951556604879},
        {9, 8e-08, 0.95},
    };
    static const point cosine[] = {
        {0, 1e-4, 0.9}, {1, 9.939057285945933e-05, 0.9}, {19, 1.609427140540686e-06, 0.9}};
    mf_schedule s = {MF_SCHEDULE_ONE_CYCLE, 0.002, 100, 0.05, 25, 1000, 0.9, 0};
    CHECK_RATES(&s, long_cycle);
    s.steps = 10;
    s.pct_start = 0.3;
    CHECK_RATES(&s, short_cycle);
    s = (mf_schedule){
        .kind = MF_SCHEDULE_COSINE, .rate = 1e-4, .steps = 20, .beta1 = 0.9, .floor = 1e-6};
    CHECK_RATES(&s, cosine);
}
END_TEST

/* One step, and a rise shorter than a step: rates stay finite. */
START_TEST(short_schedules_are_finite)
{
    for (int64_t steps = 1; steps < 4; steps++)
        for (int64_t i = 0; i < steps; i++) {
            mf_schedule s = {MF_SCHEDULE_ONE_CYCLE, 0.002, steps, 0.05, 25, 1000, 0.9, 0};
            double rate, beta1;
            mf_schedule_at(&s, i, &rate, &beta1);
            ck_assert(rate > 0 && rate <= 0.002);
            ck_assert(beta1 >= 0.85 && beta1 <= 0.95);
        }
}
END_TEST

/* ---- the model's shape ----------------------------------------------------------------------- */

static void declare(mf_tensors *t, const mf_iris *iris)
{
    mf_device *device;
    mf_weights *w;
    ok(mf_device_open("", &device));
    ok(mf_weights_new(device, &w));
    ok(mf_model_declare(w, iris));
    for (size_t i = 0; i < mf_weights_count(w); i++) {
        mf_weight_info info;
        mf_array *a;
        mf_weights_info(w, i, &info);
        ok(mf_tensors_make(t, info.name, MF_F32, info.rank, info.shape, &a));
    }
    mf_weights_free(w);
    mf_device_unref(device);
}

/* Field by field: structs have padding. */
static void same_configuration(const mf_iris *a, const mf_iris *b)
{
    ck_assert_mem_eq(a->channels, b->channels, sizeof a->channels);
    ck_assert_mem_eq(a->blocks, b->blocks, sizeof a->blocks);
    ck_assert_int_eq(a->positions, b->positions);
    ck_assert_int_eq(a->i3d.width, b->i3d.width);
    ck_assert_mem_eq(a->i3d.blocks, b->i3d.blocks, sizeof a->i3d.blocks);
    ck_assert_int_eq(a->frozen_norms, b->frozen_norms);
    ck_assert_float_eq(a->share, b->share);
}

START_TEST(configuration_comes_from_shapes)
{
    const mf_iris iris = {{8, 16, 32, 32, 64}, {1, 3, 2, 1}, 48};
    mf_iris found = {0};
    mf_tensors t = {0};
    declare(&t, &iris);
    ok(mf_iris_from_shapes(mf_tensors_shape, &t, &found));
    same_configuration(&found, &iris);
    mf_tensors_clear(&t);
    mf_status status = mf_iris_from_shapes(mf_tensors_shape, &t, &found);
    fails(status, "not an Iris model: it has no tensor encoder.inc.conv1.weight\n"
                  "  encoders that are read are the ResUNet of MASS and I3D-ResNets "
                  "(encoder.conv1.weight)");
}
END_TEST

START_TEST(configuration_of_an_i3d_comes_from_shapes)
{
    const mf_iris iris = {
        {8, 16, 32, 32, 64}, {1, 3, 2, 1}, 48, .i3d = {.width = 4, .blocks = {1, 3, 2, 1}}};
    const int64_t crop[3] = {48, 48, 32};
    int64_t size[3];
    mf_iris found = {0};
    mf_tensors t = {0}, alone = {0};
    declare(&t, &iris);
    ok(mf_iris_from_shapes(mf_tensors_shape, &t, &found));
    same_configuration(&found, &iris);
    ck_assert_int_eq(mf_iris_deepest_channels(&found), 128);
    mf_iris_deepest_size(&found, crop, size);
    ck_assert_mem_eq(size, ((int64_t[]){3, 2, 1}), sizeof size);
    for (size_t i = 0; i < t.count; i++) /* what a classifier's file has */
        if (!strncmp(t.item[i].name, "encoder.", 8))
            ok(mf_tensors_add(&alone, t.item[i].name, mf_array_ref(t.item[i].array)));
    ok(mf_iris_encoder_from_shapes(mf_tensors_shape, &alone, &found));
    ck_assert_mem_eq(&found.i3d, &iris.i3d, sizeof iris.i3d);
    fails(mf_iris_from_shapes(mf_tensors_shape, &alone, &found),
          "not an Iris model: decoder.lateral.4.weight is not there, or is not "
          "[channels,4,1,1,1]");
    mf_tensors_clear(&alone);
    for (size_t i = 0; i < t.count; i++)
        if (!strstr(t.item[i].name, "layer3"))
            ok(mf_tensors_add(&alone, t.item[i].name, mf_array_ref(t.item[i].array)));
    fails(mf_iris_from_shapes(mf_tensors_shape, &alone, &found),
          "not an I3D-ResNet: encoder.layer3 has 0 bottlenecks "
          "(encoder.layer3.0.conv1.weight, ...), not 1 to 64");
    mf_tensors_clear(&t);
    mf_tensors_clear(&alone);
}
END_TEST

START_TEST(wrong_configurations_are_refused)
{
    const int64_t channels[5] = {8, 16, 32, 48, 64}, blocks[4] = {2, 2, 2, 2};
    mf_iris iris;
    fails(mf_model_configure((mf_ints){channels, 4}, (mf_ints){blocks, 4}, 128, &iris),
          "channels: 4 numbers, where the model has 5 levels");
    fails(mf_model_configure((mf_ints){channels, 5}, (mf_ints){blocks, 3}, 128, &iris),
          "num_block: 3 numbers, but the model has 4 levels below full resolution");
    fails(
        mf_model_configure((mf_ints){channels, 5}, (mf_ints){blocks, 4}, 128, &iris),
        "channels: 48 is not a multiple of 32, as the last three must be (attention heads have 32 "
        "channels)");
    fails(mf_iris_check_crop((const int64_t[]){32, 40, 32}, 128),
          "a crop of 32 x 40 x 32 (z y x): each side must be a multiple of 16, from 16 to 128");
    fails(mf_iris_check_crop((const int64_t[]){32, 144, 32}, 128),
          "a crop of 32 x 144 x 32 (z y x): each side must be a multiple of 16, from 16 to 128");
    const int64_t right[5] = {8, 16, 32, 32, 64};
    const mf_model_sizes sizes = {{right, 5}, {blocks, 4}, 128, "i3d", 64, {blocks, 3}};
    fails(mf_model_configure_backbone(&sizes, &iris),
          "i3d_blocks: 3 numbers, where an I3D-ResNet has 4 stages");
    const int64_t usual[4] = {3, 8, 36, 3};
    mf_model_sizes none = {{right, 5}, {blocks, 4}, 128, "resunet", 64, {usual, 4}};
    ok(mf_model_configure_backbone(&none, &iris));
    ck_assert_int_eq(iris.i3d.width, 0);
    none.i3d_width = 32;
    fails(mf_model_configure_backbone(&none, &iris),
          "i3d_width is set, but backbone is resunet\n  set backbone: i3d, or remove it");
    none.i3d_blocks.v = blocks;
    fails(mf_model_configure_backbone(&none, &iris),
          "i3d_blocks is set, but backbone is resunet\n  set backbone: i3d, or remove it");
}
END_TEST

START_TEST(weights_must_fit)
{
    const mf_iris iris = {{8, 16, 32, 32, 64}, {1, 1, 1, 1}, 16};
    mf_tensors t = {0};
    mf_device *device;
    mf_weights *w;
    declare(&t, &iris);
    ok(mf_device_open("", &device));
    ok(mf_weights_new(device, &w));
    ok(mf_model_declare(w, &iris));
    ok(mf_model_load(w, &t));
    free(t.item[0].name);
    t.item[0].name = strdup("other");
    fails(mf_model_load(w, &t), "the weights have no tensor encoder.inc.conv1.weight");
    mf_tensors_clear(&t);
    mf_weights_free(w);
    mf_device_unref(device);
}
END_TEST

/* ---- what gradients need of the forward pass ---------------------------------------------------
 */

enum { PLAIN, CHEAP, BLOCKS, WAYS };

/* The loss and all gradients of one pair, where everything is kept (as no program of a stage does
 * it), where what is cheap is computed again, and where blocks are. */
static float *learn(int way, size_t *count, size_t *arena)
{
    const mf_iris iris = {{16, 16, 32, 32, 32}, {2, 1, 1, 2}, 48};
    const int64_t crop[3] = {32, 32, 48};
    enum { MASKS = 3, VOXELS = 32 * 32 * 48 };
    static float image[2][VOXELS];
    static uint8_t masks[2][MASKS * VOXELS];
    mf_iris_training values;
    mf_device *device;
    mf_weights *w;
    mf_program *p;
    mf_executable *e;
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < VOXELS; i++)
            image[side][i] = sinf((float)(i * (side + 3)));
        for (int i = 0; i < MASKS * VOXELS; i++)
            masks[side][i] = (i * 7 + side) % 11 < 4;
    }
    ok(mf_device_open("", &device));
    ok(mf_weights_new(device, &w));
    ok(mf_model_declare(w, &iris));
    ok(mf_model_draw(w, 1));
    ok(mf_program_new(&p));
    mf_iris_declare_training(p, &iris, crop, MASKS, &values);
    mf_differentiate(p, values.loss);
    p->rematerialized = way == PLAIN; /* it is not done any more */
    if (way == BLOCKS)
        mf_recompute(p);
    ok(mf_program_compile(p, w, &e));
    ok(mf_executable_set(e, "target", image[0]));
    ok(mf_executable_set(e, "reference", image[1]));
    ok(mf_executable_set(e, "target_masks", masks[0]));
    ok(mf_executable_set(e, "reference_masks", masks[1]));
    ok(mf_executable_run(e));
    *count = 1;
    for (size_t i = 0; i < mf_weights_count(w); i++) {
        mf_weight_info info;
        mf_weights_info(w, i, &info);
        *count += (size_t)info.count;
    }
    float *all = malloc(*count * sizeof *all), *at = all;
    ck_assert_ptr_nonnull(all);
    ok(mf_executable_get(e, "loss", at++));
    for (size_t i = 0; i < mf_weights_count(w); i++) {
        mf_weight_info info;
        mf_weights_info(w, i, &info);
        ok(mf_weights_get_gradient(w, i, at));
        at += info.count;
    }
    *arena = mf_executable_arena_bytes(e);
    mf_executable_free(e);
    mf_program_free(p);
    mf_weights_free(w);
    mf_device_unref(device);
    return all;
}

START_TEST(computing_again_changes_no_byte)
{
    float *results[WAYS];
    size_t count, arena[WAYS];
    setenv("MASSFLOW_POISON", "1", 1);
    for (int way = 0; way < WAYS; way++)
        results[way] = learn(way, &count, &arena[way]);
    unsetenv("MASSFLOW_POISON");
    ck_assert(isfinite(results[PLAIN][0]));
    for (int way = CHEAP; way < WAYS; way++) {
        ck_assert_mem_eq(results[way], results[PLAIN], count * sizeof(float));
        ck_assert_uint_lt(arena[way], arena[way - 1]);
        free(results[way]);
    }
    free(results[PLAIN]);
}
END_TEST

/* ---- windows, components, scores ------------------------------------------------------------- */

START_TEST(windows_cover_an_axis)
{
    static const struct {
        int64_t size, window;
        double overlap;
        int64_t count, starts[4];
    } cases[] = {{128, 128, 0.5, 1, {0}},         {100, 128, 0.5, 1, {0}},
                 {129, 128, 0.5, 2, {0, 1}},      {256, 128, 0.5, 3, {0, 64, 128}},
                 {200, 128, 0.5, 3, {0, 64, 72}}, {96, 32, 0, 3, {0, 32, 64}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t *starts, count;
        ok(mf_window_starts(cases[i].size, cases[i].window, cases[i].overlap, &starts, &count));
        ck_assert_int_eq(count, cases[i].count);
        ck_assert_mem_eq(starts, cases[i].starts, (size_t)count * sizeof *starts);
        free(starts);
    }
}
END_TEST

START_TEST(labels_compete)
{
    /* [2 labels, 4 voxels]: the more probable wins, the first of equals, none below the threshold.
     */
    const float p[8] = {0.9f, 0.5f, 0.4f, 0.6f, 0.2f, 0.7f, 0.3f, 0.6f};
    const int64_t values[2] = {7, 3};
    const uint8_t mask[4] = {1, 1, 1, 0};
    uint16_t label[4] = {0};
    float best[4] = {0};
    for (int i = 0; i < 2; i++)
        mf_window_claim(p + 4 * i, 4, 0.5, NULL, values[i], best, label);
    const uint16_t want[4] = {7, 3, 0, 7};
    ck_assert_mem_eq(label, want, sizeof want);
    /* Where a mask lets it. */
    const uint16_t masked[4] = {7, 7, 0, 0};
    memset(label, 0, sizeof label);
    memset(best, 0, sizeof best);
    mf_window_claim(p, 4, 0.5, mask, 7, best, label);
    ck_assert_mem_eq(label, masked, sizeof masked);
}
END_TEST

START_TEST(largest_components_stay)
{
    /* Two labels in one row: 1 1 0 1 1 1 2 2 0 2; then two of equal size: the first stays. */
    uint16_t row[10] = {1, 1, 0, 1, 1, 1, 2, 2, 0, 2}, equal[5] = {5, 5, 0, 5, 5};
    const uint16_t want[10] = {0, 0, 0, 1, 1, 1, 2, 2, 0, 0}, first[5] = {5, 5, 0, 0, 0};
    ok(mf_largest_component(row, (const int64_t[]){1, 1, 10}));
    ck_assert_mem_eq(row, want, sizeof want);
    ok(mf_largest_component(equal, (const int64_t[]){1, 1, 5}));
    ck_assert_mem_eq(equal, first, sizeof first);
    /* Corners do not touch. */
    uint16_t corners[8] = {1, 0, 0, 1, 0, 1, 0, 0};
    ok(mf_largest_component(corners, (const int64_t[]){2, 2, 2}));
    ck_assert_int_eq(corners[0] + corners[3] + corners[5], 1);
}
END_TEST

START_TEST(scores_are_right)
{
    /* Class 1's probabilities: positives 0.9, 0.4; negatives 0.4, 0.2, 0.1. Wins: 3 + 2.5 of 6. */
    const double p[10] = {0.1, 0.9, 0.6, 0.4, 0.6, 0.4, 0.8, 0.2, 0.9, 0.1};
    const int64_t truth[5] = {1, 1, 0, 0, 0};
    mf_scores s;
    ok(mf_scores_make(p, truth, 5, 2, &s));
    ck_assert_double_eq_tol(s.auc, 5.5 / 6, 1e-15);
    ck_assert_double_eq_tol(s.accuracy, 4.0 / 5, 1e-15);
    ck_assert_double_eq_tol(s.balanced, (1 + 0.5) / 2, 1e-15);
    const int64_t confusion[4] = {3, 0, 1, 1};
    ck_assert_mem_eq(s.confusion, confusion, sizeof confusion);
    ck_assert_int_eq(s.auc_classes, 1);
    mf_scores_clear(&s);
    /* One class: no AUC, the rest stands. */
    for (int64_t only = 0; only < 2; only++) {
        ok(mf_scores_make(p, (const int64_t[]){only, only, only, only, only}, 5, 2, &s));
        ck_assert(isnan(s.auc));
        ck_assert_int_eq(s.auc_classes, 0);
        ck_assert_double_eq_tol(s.accuracy, only ? 1.0 / 5 : 4.0 / 5, 1e-15);
        ck_assert_double_eq_tol(s.balanced, s.accuracy, 1e-15);
        mf_scores_clear(&s);
    }
    /* Three classes of which the cases lack one: the mean of the AUC of the other two. */
    const double three[9] = {0.6, 0.3, 0.1, 0.5, 0.4, 0.1, 0.7, 0.2, 0.1};
    ok(mf_scores_make(three, (const int64_t[]){0, 1, 0}, 3, 3, &s));
    ck_assert_int_eq(s.auc_classes, 2);
    ck_assert_double_eq(s.auc, 1);
    mf_scores_clear(&s);
    fails(mf_scores_make(p, NULL, 0, 2, &s), "there are no test cases");
}
END_TEST

/* ---- probe ----------------------------------------------------------------------------------- */

enum { SITES = 8, CHANNELS = 16 };

/* Class 1 has one bright site in channel 3 at a drawn place: the mean moves little, the maximum and
 * attention see it. */
static void draw_set(mf_probe_set *set, int64_t n, uint64_t seed)
{
    mf_random random;
    mf_random_seed(&random, seed, "set", 0);
    set->n = n;
    set->x = calloc((size_t)(n * SITES * CHANNELS), sizeof *set->x);
    set->truth = calloc((size_t)n, sizeof *set->truth);
    for (int64_t i = 0; i < n; i++) {
        float *x = set->x + i * SITES * CHANNELS;
        for (int k = 0; k < SITES * CHANNELS; k++)
            x[k] = 0.3f * (float)mf_random_normal(&random);
        set->truth[i] = i % 2;
        if (i % 2)
            x[mf_random_below(&random, SITES) * CHANNELS + 3] += 3;
    }
}

START_TEST(a_probe_learns)
{
    mf_probe_set train, test;
    mf_device *device;
    mf_scores scores;
    draw_set(&train, 48, 1);
    draw_set(&test, 32, 2);
    ok(mf_device_open("", &device));
    double *p[2];
    for (int k = 0; k < 2; k++) { /* twice: the same */
        mf_weights *w;
        const mf_probe probe = {.head = {CHANNELS, 2, MF_POOL_ATTENTION, false},
                                .sites = SITES,
                                .epochs = 60,
                                .batch = 8,
                                .rate = 0.01,
                                .last_rate = 1e-4,
                                .weight_decay = 1e-4,
                                .dropout = 0.1,
                                .balance = true,
                                .seed = 5};
        p[k] = calloc((size_t)(2 * test.n), sizeof(double));
        ok(mf_weights_new(device, &w));
        ok(mf_probe_run(&probe, w, &train, &test, p[k]));
        mf_weights_free(w);
    }
    ck_assert_mem_eq(p[0], p[1], (size_t)(2 * test.n) * sizeof(double));
    ok(mf_scores_make(p[0], test.truth, test.n, 2, &scores));
    ck_assert_double_gt(scores.auc, 0.95);
    mf_scores_clear(&scores);
    for (int k = 0; k < 2; k++)
        free(p[k]);
    free(train.x);
    free(train.truth);
    free(test.x);
    free(test.truth);
    mf_device_unref(device);
}
END_TEST

/* Follows a probe: stops it in the middle of its fourth epoch, keeps what it saves. */
typedef struct follower {
    int64_t epochs, saved_after, went_on_after;
    bool stop, stopped;
    mf_artifact *state;
} follower;

static mf_status ask(void *self)
{
    return ((follower *)self)->stopped ? mf_fail(MF_CANCELLED, "the run was cancelled") : MF_OK;
}

static void follow_part(void *self, double part)
{
    follower *f = self;
    if (f->stop && f->epochs == 3 && part > 0.4)
        f->stopped = true;
}

static mf_status follow_epoch(void *self, int64_t epoch, double loss)
{
    follower *f = self;
    (void)loss;
    f->epochs = epoch + 1;
    return MF_OK;
}

static mf_status give_state(void *self, int64_t *epoch, mf_artifact **state)
{
    follower *f = self;
    f->went_on_after = *epoch = f->state ? f->saved_after : 0;
    *state = f->state ? mf_artifact_ref(f->state) : NULL;
    return MF_OK;
}

static bool never_due(void *self)
{
    (void)self;
    return false;
}

static mf_status take_state(void *self, int64_t epoch, const mf_artifact *state, bool keep)
{
    follower *f = self;
    (void)keep;
    mf_artifact_unref(f->state);
    f->state = mf_artifact_ref(state);
    f->saved_after = epoch;
    return MF_OK;
}

/* The probabilities of a probe that `f` follows; NULL where it was stopped. */
static double *probe_of(mf_device *device, const mf_probe_set *train, const mf_probe_set *test,
                        follower *f)
{
    const mf_probe probe = {.head = {CHANNELS, 2, MF_POOL_ATTENTION, false},
                            .sites = SITES,
                            .epochs = 8,
                            .batch = 8,
                            .rate = 0.01,
                            .last_rate = 1e-4,
                            .weight_decay = 1e-4,
                            .dropout = 0.1,
                            .seed = 5,
                            .part = follow_part,
                            .step = follow_epoch,
                            .resume = give_state,
                            .due = never_due,
                            .save = take_state,
                            .user = f};
    mf_weights *w;
    double *p = calloc((size_t)(2 * test->n), sizeof *p);
    ok(mf_weights_new(device, &w));
    mf_stop before = mf_stop_set((mf_stop){ask, f});
    mf_status status = mf_probe_run(&probe, w, train, test, p);
    mf_stop_set(before);
    mf_weights_free(w);
    if (!f->stop) {
        ok(status);
        return p;
    }
    free(p);
    fails(status, "the run was cancelled");
    return NULL;
}

/* The stop is met inside an epoch: what is saved is the end of the one before, and training goes on
 * from there to the same bytes. */
START_TEST(a_probe_stopped_inside_an_epoch_goes_on)
{
    mf_probe_set train, test;
    mf_device *device;
    follower whole = {0}, disturbed = {.stop = true};
    draw_set(&train, 48, 1);
    draw_set(&test, 16, 2);
    ok(mf_device_open("", &device));
    double *expected = probe_of(device, &train, &test, &whole);
    probe_of(device, &train, &test, &disturbed);
    ck_assert(disturbed.stopped);
    ck_assert_int_eq(disturbed.epochs, 3);
    ck_assert_int_eq(disturbed.saved_after, 3);
    disturbed.stop = disturbed.stopped = false;
    double *got = probe_of(device, &train, &test, &disturbed);
    ck_assert_int_eq(disturbed.went_on_after, 3);
    ck_assert_mem_eq(got, expected, (size_t)(2 * test.n) * sizeof *got);
    mf_artifact_unref(disturbed.state);
    free(expected);
    free(got);
    free(train.x);
    free(train.truth);
    free(test.x);
    free(test.truth);
    mf_device_unref(device);
}
END_TEST

/* What needs of mass.classify and mass.finetune declare: exact, and with each part in it. */
START_TEST(host_memory_is_counted)
{
    const mf_host_classify c = {.view = 4096,
                                .block = 8000,
                                .scan = 10000,
                                .batch = 4,
                                .workers = 2,
                                .maps = 3,
                                .map = 100,
                                .model = 1000};
    const mf_host_tuning t = {.crop = 4096, .val = 50000, .classes = 3, .model = 1000};
    const mf_iris iris = {{8, 8, 32, 32, 32}, {1, 1, 1, 1}, 16};
    mf_device *device;
    mf_weights *w;
    double bytes, sum = 0;
    ck_assert_double_eq(mf_host_classify_bytes(&c), (64 << 20) + 4 * 85068 + 2000);
    ck_assert_double_eq(mf_host_tuning_bytes(&t), (64 << 20) + 50000 * 38 + 4096 * 25 + 7000);
    ok(mf_device_open("", &device));
    ok(mf_weights_new(device, &w));
    ok(mf_model_declare(w, &iris));
    for (size_t i = 0; i < mf_weights_count(w); i++) {
        mf_weight_info info;
        mf_weights_info(w, i, &info);
        sum += 4 * (double)info.count;
    }
    ok(mf_memory_weights(device, &iris, &bytes));
    ck_assert_double_eq(bytes, sum);
    mf_weights_free(w);
    mf_device_unref(device);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mass");
    TCase *tests = tcase_create("mass");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, schedules_are_those_of_pytorch);
    tcase_add_test(tests, short_schedules_are_finite);
    tcase_add_test(tests, configuration_comes_from_shapes);
    tcase_add_test(tests, configuration_of_an_i3d_comes_from_shapes);
    tcase_add_test(tests, wrong_configurations_are_refused);
    tcase_add_test(tests, weights_must_fit);
    tcase_add_test(tests, computing_again_changes_no_byte);
    tcase_add_test(tests, windows_cover_an_axis);
    tcase_add_test(tests, labels_compete);
    tcase_add_test(tests, largest_components_stay);
    tcase_add_test(tests, scores_are_right);
    tcase_add_test(tests, host_memory_is_counted);
    tcase_add_test(tests, a_probe_learns);
    tcase_add_test(tests, a_probe_stopped_inside_an_epoch_goes_on);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
