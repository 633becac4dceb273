/* Losses, gradients and steps of the methods that MASS is compared with, against PyTorch: results
 * of float64 stored by tools/reference/golden_baselines.py. */
#include "../expect.h"
#include "../run_suite.h"
#include "golden.h"

#include "dino.h"
#include "moco.h"
#include "moco_v2.h"
#include "moco_v3.h"
#include "simclr.h"

#include <check.h>
#include <massflow/random.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { PAIRS = 3, MOST_PAIRS = 6, STEPS = 10, QUEUE = 10, DIM = 16, EDGE = 32 };
enum { VOXELS = EDGE * EDGE * EDGE, MOST_VOXELS = 2 * VOXELS };
static const mf_iris iris = {
    .channels = {4, 8, 32, 32, 32}, .blocks = {1, 1, 1, 1}, .positions = EDGE};

/* An I3D, whose norms need four voxels in its deepest map: of crops twice as deep. */
static const mf_iris deep = {.channels = {4, 8, 32, 32, 32},
                             .blocks = {1, 1, 1, 1},
                             .positions = 2 * EDGE,
                             .i3d = {.width = 2, .blocks = {1, 1, 1, 1}}};
enum { DEEP_STEPS = 3 };

/* Of golden_baselines.py. */
#define SHARED(pairs)                                                                              \
    {                                                                                              \
        .steps = STEPS, .stop_at = -1, .batch_size = (pairs), .lr = 0.002, .weight_decay = 1e-5,   \
        .max_grad_norm = 1, .optimizer = "lamb", .scheduler = "constant", .recompute = "none"      \
    }
static const mf_simclr_params simclr = {
    .shared = SHARED(PAIRS), .temperature = 0.1, .head_norm = "none", .projection_dim = DIM};
static const mf_simclr_params simclr_norm = {
    .shared = SHARED(PAIRS), .temperature = 0.1, .head_norm = "batch", .projection_dim = DIM};
static const mf_moco_params moco2 = {.shared = SHARED(PAIRS),
                                     .version = "v2",
                                     .temperature = 0.2,
                                     .momentum = 0.8,
                                     .memory_bank = QUEUE,
                                     .projection_dim = DIM};
static const mf_moco_params moco3 = {.shared = SHARED(MOST_PAIRS),
                                     .version = "v3",
                                     .temperature = 0.2,
                                     .momentum = 0.6,
                                     .projection_hidden = 24,
                                     .projection_dim = DIM};
#define DINO(norm)                                                                                 \
    {                                                                                              \
        .shared = {.steps = STEPS,                                                                 \
                   .stop_at = -1,                                                                  \
                   .batch_size = PAIRS,                                                            \
                   .lr = 0.002,                                                                    \
                   .weight_decay = 0.04,                                                           \
                   .max_grad_norm = 1,                                                             \
                   .optimizer = "lamb",                                                            \
                   .scheduler = "constant",                                                        \
                   .recompute = "none"},                                                           \
        .final_weight_decay = 0.4, .student_temperature = 0.1, .teacher_temperature = 0.04,        \
        .teacher_momentum = 0.7, .warmup_teacher_temperature = 0.02, .warmup_teacher = 0.5,        \
        .freeze_last_layer = 0.3, .center_momentum = 0.9, .hidden = 24, .bottleneck = 16,          \
        .prototypes = 40, .head_norm = (norm)                                                      \
    }
static const mf_dino_params dino = DINO("none"), dino_norm = DINO("batch");
static const struct {
    const char *name;
    const mf_method *method;
    const void *params;
    int first; /* number of its first batch, as in golden_baselines.py */
    bool deep; /* with an I3D */
} kinds[] = {{"simclr", &mf_simclr, &simclr},
             {"moco2", &mf_moco_v2, &moco2},
             {"moco3", &mf_moco_v3, &moco3, 300},
             {"dino", &mf_dino, &dino},
             {"simclr_norm", &mf_simclr, &simclr_norm},
             {"dino_norm", &mf_dino, &dino_norm, 300},
             {"simclr_i3d", &mf_simclr, &simclr, 0, true},
             {"moco2_i3d", &mf_moco_v2, &moco2, 0, true},
             {"dino_i3d", &mf_dino, &dino, 0, true}};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* ---- what golden_baselines.py draws ---------------------------------------------------------- */

static void draw_queue(mf_baseline *b)
{
    float keys[QUEUE * DIM];
    mf_random random;
    mf_random_seed(&random, GOLDEN_INPUTS, "queue", 0);
    for (int i = 0; i < QUEUE; i++) {
        double row[DIM], square = 0;
        for (int k = 0; k < DIM; k++) {
            row[k] = mf_random_uniform(&random, -1, 1);
            square += row[k] * row[k];
        }
        for (int k = 0; k < DIM; k++)
            keys[i * DIM + k] = (float)(row[k] / sqrt(square));
    }
    ok(mf_moco_set_queue(b, keys));
}

typedef struct batch {
    float reference[MOST_PAIRS][MOST_VOXELS], query[MOST_PAIRS][MOST_VOXELS];
    mf_baseline_pair pairs[MOST_PAIRS];
} batch;

static void draw_batch(int kind, int step, batch *x)
{
    const int pairs = (int)((const mf_baseline_params *)kinds[kind].params)->batch_size;
    const int voxels = kinds[kind].deep ? MOST_VOXELS : VOXELS;
    char name[32];
    step += kinds[kind].first;
    mf_random scans, noise[2];
    snprintf(name, sizeof name, "scans%d", step);
    mf_random_seed(&scans, GOLDEN_INPUTS, name, 0);
    snprintf(name, sizeof name, "noise%d", step);
    for (int v = 0; v < 2; v++)
        mf_random_seed(&noise[v], GOLDEN_INPUTS, name, 0);
    for (int i = 0; i < pairs * voxels; i++)
        (void)mf_random_uniform(&noise[1], -1, 1);
    for (int i = 0; i < pairs; i++) {
        for (int k = 0; k < voxels; k++) {
            const float scan = 0.5f * (float)mf_random_uniform(&scans, -1, 1);
            x->reference[i][k] = scan + 0.25f * (float)mf_random_uniform(&noise[0], -1, 1);
            x->query[i][k] = scan + 0.25f * (float)mf_random_uniform(&noise[1], -1, 1);
        }
        x->pairs[i] = (mf_baseline_pair){.reference = x->reference[i],
                                         .query = x->query[i],
                                         .index = step * pairs + i,
                                         .scan = (uint64_t)(step * pairs + i + 1),
                                         .sample = "scan"};
    }
}

static mf_baseline *open_kind(int kind, mf_device *device)
{
    mf_baseline *b;
    const bool i3d = kinds[kind].deep;
    const int64_t crop[3] = {i3d ? 2 * EDGE : EDGE, EDGE, EDGE};
    ok(mf_baseline_new(device, kinds[kind].method, kinds[kind].params, i3d ? &deep : &iris, &b));
    golden_draw_weights(b->weights);
    if (kinds[kind].method == &mf_moco_v2)
        draw_queue(b);
    ok(mf_baseline_open(b, crop));
    return b;
}

/* ---- comparing ------------------------------------------------------------------------------- */

/* golden_compare, by the name without the method. */
static void compare(const mf_tensors *golden, const char *method, const char *name,
                    const mf_array *ours, golden_tally *t)
{
    char stored[256];
    snprintf(stored, sizeof stored, "%s.%s", method, name);
    if (!mf_tensors_find(golden, stored))
        ck_abort_msg("no %s", stored);
    if (!strcmp(name, "loss"))
        golden_compare(golden, stored, name, ours, t);
    else
        golden_compare_gradient(golden, stored, name, ours, t);
}

static void compare_weights(mf_baseline *b, const char *method, bool gradient,
                            const mf_tensors *golden, golden_tally *t)
{
    for (size_t i = 0; i < mf_weights_count(b->weights); i++) {
        char name[256];
        mf_weight_info info;
        mf_array *a;
        mf_weights_info(b->weights, i, &info);
        /* Running statistics move towards their gradients, which the step shows. A constant behind
         * the I3D's first norm is taken away by the next ones: its gradient is 0, but for rounding.
         */
        if (gradient && (strstr(info.name, "running_") || !strcmp(info.name, "encoder.bn1.bias")))
            continue;
        snprintf(name, sizeof name, "%s.%s", gradient ? "grad" : "after", info.name);
        ok(mf_array_new(MF_F32, info.rank, info.shape, &a));
        ok(gradient ? mf_weights_get_gradient(b->weights, i, a->data)
                    : mf_weights_get(b->weights, i, a->data));
        compare(golden, method, name, a, t);
        mf_array_unref(a);
    }
}

static void compare_number(const mf_tensors *golden, const char *method, const char *name,
                           double value, golden_tally *t)
{
    mf_array *a;
    ok(mf_array_new(MF_F32, 0, NULL, &a));
    *(float *)a->data = (float)value;
    compare(golden, method, name, a, t);
    mf_array_unref(a);
}

/* How far the step has moved the average of a weight, of the momentum encoder or the teacher. */
static void compare_average(mf_baseline *b, const char *method, const char *name,
                            const mf_tensors *golden, golden_tally *t)
{
    char stored[64];
    mf_weight_info info;
    mf_array *a;
    const int i = mf_weights_find(b->weights, name);
    mf_weights_info(b->weights, (size_t)i, &info);
    ok(mf_array_new(MF_F32, info.rank, info.shape, &a));
    float *first = malloc((size_t)info.count * sizeof *first), *moved = a->data;
    ck_assert_ptr_nonnull(first);
    golden_draw_weight(name, info.rank, info.shape, first);
    ok(mf_weights_get_average(b->weights, (size_t)i, moved));
    for (int64_t k = 0; k < info.count; k++)
        moved[k] -= first[k];
    snprintf(stored, sizeof stored, "slow.%s", name);
    compare(golden, method, stored, a, t);
    free(first);
    mf_array_unref(a);
}

/* One step in full, then the losses of the others: within 1e-3 of float64, or twice PyTorch's own
 * float32. */
START_TEST(steps)
{
    const char *method = kinds[_i].name;
    mf_tensors golden = {0};
    golden_tally t = {0};
    mf_device *device;
    double row[MF_BASELINE_COLUMNS + 3], most = 0;
    char key[64];
    batch *x = malloc(sizeof *x);
    ck_assert_ptr_nonnull(x);
    golden_read("baselines", &golden);
    ok(mf_device_open("", &device));
    mf_baseline *b = open_kind(_i, device);
    snprintf(key, sizeof key, "%s.losses", method);
    const double *exact = mf_tensors_find(&golden, key)->data;
    snprintf(key, sizeof key, "%s.drift", method);
    const double *drift = mf_tensors_find(&golden, key)->data;
    const int count = kinds[_i].deep ? DEEP_STEPS : STEPS;
    for (int i = 0; i < count; i++) {
        draw_batch(_i, i, x);
        ok(mf_baseline_learn(b, i, x->pairs, row));
        const double apart = fabs(row[0] - exact[i]);
        ck_assert_msg(apart <= fmax(1e-3, 2 * drift[i]), "%s, step %d: %g, not %g", method, i + 1,
                      row[0], exact[i]);
        most = fmax(most, apart);
        if (i == 0) {
            compare_number(&golden, method, "loss", row[0], &t);
            compare_weights(b, method, true, &golden, &t);
        }
        ok(mf_baseline_update(b, i, row));
        if (i > 0)
            continue;
        compare_number(&golden, method, "norm", row[mf_baseline_columns(b->method) - 1], &t);
        compare_weights(b, method, false, &golden, &t);
        if (b->method->momentum && kinds[_i].deep) {
            compare_average(b, method, "encoder.conv1.weight", &golden, &t);
            compare_average(b, method, "encoder.layer4.0.bn3.running_mean", &golden, &t);
        } else if (b->method->momentum) {
            compare_average(b, method, "encoder.inc.conv1.weight", &golden, &t);
        }
    }
    const double median = golden_quantile(&t, 0.5), nearly_all = golden_quantile(&t, 0.9);
    printf("%s: loss at most %.2f; %d gradients and stepped weights %.2f in the median, 90%% at "
           "most %.2f; the losses of %d steps within %.2e\n",
           method, t.most, t.gradients, median, nearly_all, count, most);
    ck_assert_int_eq(t.worse, 0);
    ck_assert_double_le(median, 1.5);
    ck_assert_double_le(nearly_all, 3);
    mf_baseline_close(b);
    mf_device_unref(device);
    mf_tensors_clear(&golden);
    free(x);
}
END_TEST

/* Views of another pair that shows the same scan are no negatives, or they are. */
START_TEST(same_scan)
{
    mf_tensors golden = {0};
    golden_tally t = {0};
    mf_device *device;
    double row[MF_BASELINE_COLUMNS + 3], once;
    batch *x = malloc(sizeof *x);
    ck_assert_ptr_nonnull(x);
    golden_read("baselines", &golden);
    ok(mf_device_open("", &device));
    mf_baseline *b = open_kind(0, device);
    draw_batch(0, 0, x);
    ok(mf_baseline_learn(b, 0, x->pairs, row));
    once = row[0];
    x->pairs[2].scan = x->pairs[0].scan;
    ok(mf_baseline_learn(b, 0, x->pairs, row));
    compare_number(&golden, "simclr_same", "loss", row[0], &t);
    ck_assert_int_eq(t.worse, 0);
    mf_baseline_close(b);

    mf_simclr_params all = simclr;
    const int64_t crop[3] = {EDGE, EDGE, EDGE};
    all.same_scan_negatives = true;
    ok(mf_baseline_new(device, &mf_simclr, &all.shared, &iris, &b));
    golden_draw_weights(b->weights);
    ok(mf_baseline_open(b, crop));
    ok(mf_baseline_learn(b, 0, x->pairs, row));
    ck_assert_double_eq(row[0], once);
    mf_baseline_close(b);
    mf_device_unref(device);
    mf_tensors_clear(&golden);
    free(x);
}
END_TEST

/* Keys in the queue remember their scan: three steps, of which pairs 0 and 2 always show one. */
START_TEST(same_scan_in_the_queue)
{
    mf_tensors golden = {0};
    mf_device *device;
    double row[MF_BASELINE_COLUMNS + 3];
    batch *x = malloc(sizeof *x);
    ck_assert_ptr_nonnull(x);
    golden_read("baselines", &golden);
    ok(mf_device_open("", &device));
    mf_baseline *b = open_kind(1, device);
    const double *exact = mf_tensors_find(&golden, "moco2_same.losses")->data;
    for (int i = 0; i < 3; i++) {
        draw_batch(1, i, x);
        for (int k = 0; k < PAIRS; k++)
            x->pairs[k].scan = k == 1 ? 6 : 5;
        ok(mf_baseline_learn(b, i, x->pairs, row));
        ck_assert_double_le(fabs(row[0] - exact[i]), 1e-3);
        ok(mf_baseline_update(b, i, row));
    }
    mf_baseline_close(b);
    mf_device_unref(device);
    mf_tensors_clear(&golden);
    free(x);
}
END_TEST

/* A voxel that is not finite ends the step, with the pair's name; one scan is nothing to contrast.
 */
START_TEST(refused)
{
    mf_device *device;
    double row[MF_BASELINE_COLUMNS + 3];
    batch *x = malloc(sizeof *x);
    ck_assert_ptr_nonnull(x);
    ok(mf_device_open("", &device));
    mf_baseline *b = open_kind(0, device);
    draw_batch(0, 0, x);
    x->query[1][77] = INFINITY;
    mf_status status = mf_baseline_learn(b, 0, x->pairs, row);
    ck_assert(b->diverged);
    fails(status, "pair 1, of scan: a voxel is inf");
    mf_baseline_close(b);
    b = open_kind(0, device);
    draw_batch(0, 0, x);
    for (int i = 0; i < PAIRS; i++)
        x->pairs[i].scan = 7;
    ok(mf_baseline_learn(b, 0, x->pairs, row));
    ck_assert_double_eq(row[0], 0);
    ck_assert(isnan(row[1])); /* no view had to be found */
    fails(mf_baseline_learn(b, STEPS - 1, x->pairs, row),
          "all pairs of the first 10 steps show one scan, scan: there is nothing to contrast it "
          "with\n  more scans; or same_scan_negatives: true, and views of other places are "
          "negatives");
    mf_baseline_close(b);
    mf_device_unref(device);
    free(x);
}
END_TEST

/* Host memory beside the pairs: what grows with the batch, the bank, the prototypes. */
START_TEST(host_memory)
{
    const int64_t crop[3] = {EDGE, EDGE, EDGE}, million = 1000000;
    mf_device *device, *counting;
    mf_baseline *b;
    struct rusage before, after;
    double row[MF_BASELINE_COLUMNS + 3];
    batch *x = malloc(sizeof *x);
    ck_assert_ptr_nonnull(x);
    ck_assert_uint_eq(mf_simclr.host_bytes(&simclr.shared, &iris), 4 * (2 * 6 * 32 + 3 * 36));
    ck_assert_uint_eq(mf_moco_v2.host_bytes(&moco2.shared, &iris),
                      4 * (3 * (3 * 32 + 16) + 3 * 3 * 11) + 2 * 10 * (16 * 4 + 8));
    ck_assert_uint_eq(mf_moco_v3.host_bytes(&moco3.shared, &iris),
                      4 * (12 * (3 * 32 + 16) + 3 * 6 * 6));
    ck_assert_uint_eq(mf_dino.host_bytes(&dino.shared, &iris), 4 * (3 * 6 * 32 + 9 * 40));

    /* A bank that is only counted takes none: 512 MB of keys, 12 MB for each array of logits. */
    ok(mf_device_open("", &device));
    ok(mf_device_counting(device, &counting));
    mf_moco_params o = moco2;
    o.memory_bank = million;
    o.projection_dim = 128;
    draw_batch(0, 0, x);
    getrusage(RUSAGE_SELF, &before);
    ok(mf_baseline_new(counting, &mf_moco_v2, &o.shared, &iris, &b));
    b->counting = true;
    ok(mf_baseline_open(b, crop));
    ok(mf_baseline_learn(b, 0, x->pairs, row));
    ok(mf_baseline_update(b, 0, row));
    getrusage(RUSAGE_SELF, &after);
    ck_assert_uint_gt(mf_device_most_used(counting), (size_t)(million * 128 * 4));
    ck_assert_int_lt(after.ru_maxrss - before.ru_maxrss, 100000); /* KiB */
    mf_baseline_close(b);
    mf_device_unref(counting);
    mf_device_unref(device);
    free(x);
}
END_TEST

/* What is not set is the version's. */
START_TEST(versions_of_moco)
{
    mf_moco_params o = {.version = "v2", .shared = {.warmup = -1, .weight_decay = -1}};
    mf_moco_params r = mf_moco_resolved(&o);
    ck_assert(r.temperature == 0.2 && r.momentum == 0.999);
    ck_assert(r.shared.warmup == 0 && r.shared.weight_decay == 1e-4);
    o.version = "v3";
    r = mf_moco_resolved(&o);
    ck_assert(r.temperature == 1 && r.momentum == 0.99);
    ck_assert(r.shared.warmup == 0.1 && r.shared.weight_decay == 1e-6);
    o = (mf_moco_params){.version = "v3", .temperature = 3, .momentum = 0.5};
    r = mf_moco_resolved(&o);
    ck_assert(r.temperature == 3 && r.momentum == 0.5);
    ck_assert(r.shared.warmup == 0 && r.shared.weight_decay == 0);
    o.shared.warmup = -0.5;
    fails(mf_moco_check(&o), "warmup is -0.5; it is 0 or more, or -1: the version's");
}
END_TEST

/* Rows of MoCo v2 whose bank holds keys of their own scan alone say nothing: the loss and the
 * accuracy are those of the others. */
START_TEST(rows_without_negatives)
{
    const int64_t crop[3] = {EDGE, EDGE, EDGE};
    static const uint64_t scans[5][PAIRS] = {{6, 7, 8}, {6, 5, 5}, {5, 6, 5}, {5, 5, 6}, {5, 5, 5}};
    mf_device *device;
    mf_baseline *b;
    double row[MF_BASELINE_COLUMNS + 3], loss[5], accuracy[5];
    batch *x = malloc(sizeof *x);
    ck_assert_ptr_nonnull(x);
    ok(mf_device_open("", &device));
    mf_moco_params o = moco2;
    o.memory_bank = PAIRS;
    ok(mf_baseline_new(device, &mf_moco_v2, &o.shared, &iris, &b));
    golden_draw_weights(b->weights);
    ok(mf_baseline_open(b, crop));
    draw_batch(0, 0, x);
    for (int k = 0; k < PAIRS; k++)
        x->pairs[k].scan = 5;
    ok(mf_baseline_learn(b, 0, x->pairs, row));
    ok(mf_baseline_update(b, 0, row));
    draw_batch(0, 1, x);
    for (int i = 0; i < 5; i++) {
        for (int k = 0; k < PAIRS; k++)
            x->pairs[k].scan = scans[i][k];
        ok(mf_baseline_learn(b, 1, x->pairs, row));
        loss[i] = row[0];
        accuracy[i] = row[1];
    }
    ck_assert_double_eq_tol(3 * loss[0], loss[1] + loss[2] + loss[3], 1e-5);
    ck_assert_double_eq_tol(3 * accuracy[0], accuracy[1] + accuracy[2] + accuracy[3], 1e-12);
    ck_assert_double_eq(loss[4], 0);
    ck_assert(isnan(accuracy[4]));
    mf_baseline_close(b);
    mf_device_unref(device);
    free(x);
}
END_TEST

/* What is known of negatives is saved: a run of two steps that stops after the first, whose second
 * batch shows one scan, of no name. */
START_TEST(negatives_are_saved)
{
    static const int kind[] = {0, 2};
    const int64_t crop[3] = {EDGE, EDGE, EDGE};
    mf_device *device;
    double row[MF_BASELINE_COLUMNS + 3];
    batch *x = malloc(sizeof *x);
    ck_assert_ptr_nonnull(x);
    ok(mf_device_open("", &device));
    mf_simclr_params first = simclr;
    mf_moco_params third = moco3;
    mf_baseline_params *o = kind[_i] == 0 ? &first.shared : &third.shared;
    const mf_method *method = kinds[kind[_i]].method;
    o->steps = 2;
    o->stop_at = 1;
    for (int met = 0; met < 2; met++) {
        mf_artifact *state;
        mf_baseline *b;
        ok(mf_artifact_new("training", &state));
        for (int i = 0; i < 2; i++) {
            ok(mf_baseline_new(device, method, o, &iris, &b));
            golden_draw_weights(b->weights);
            draw_batch(kind[_i], i, x);
            for (int k = 0; k < o->batch_size; k++) {
                x->pairs[k].sample = NULL;
                x->pairs[k].scan = met && i == 0 ? (uint64_t)k + 1 : 7;
            }
            ok(mf_baseline_open(b, crop));
            if (i == 1)
                ok(method->load(b, state));
            mf_status status = mf_baseline_learn(b, i, x->pairs, row);
            if (i == 1 && !met)
                fails(status, "all pairs of the first 2 steps show one scan: there is nothing to "
                              "contrast it with\n  more scans; or same_scan_negatives: true, and "
                              "views of other places are negatives");
            else
                ok(status);
            if (i == 0)
                ok(method->save(b, state));
            mf_baseline_close(b);
        }
        mf_artifact_unref(state);
    }
    mf_device_unref(device);
    free(x);
}
END_TEST

/* Against random keys alone nothing is known of the scans: the first step of a batch of one. */
START_TEST(random_keys_say_nothing)
{
    const int64_t crop[3] = {EDGE, EDGE, EDGE};
    mf_device *device;
    mf_baseline *b;
    double row[MF_BASELINE_COLUMNS + 3];
    batch *x = malloc(sizeof *x);
    ck_assert_ptr_nonnull(x);
    ok(mf_device_open("", &device));
    mf_moco_params o = moco2;
    o.shared.batch_size = o.shared.steps = 1;
    ok(mf_baseline_new(device, &mf_moco_v2, &o.shared, &iris, &b));
    golden_draw_weights(b->weights);
    ok(mf_baseline_open(b, crop));
    draw_batch(0, 0, x);
    ok(mf_baseline_learn(b, 0, x->pairs, row));
    mf_baseline_close(b);
    mf_device_unref(device);
    free(x);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("baselines");
    TCase *tests = tcase_create("pytorch");
    tcase_set_timeout(tests, 0);
    tcase_add_loop_test(tests, steps, 0, KINDS);
    tcase_add_test(tests, same_scan);
    tcase_add_test(tests, same_scan_in_the_queue);
    TCase *rules = tcase_create("rules");
    tcase_set_timeout(rules, 0);
    tcase_add_test(rules, refused);
    tcase_add_test(rules, host_memory);
    tcase_add_test(rules, versions_of_moco);
    tcase_add_test(rules, rows_without_negatives);
    tcase_add_loop_test(rules, negatives_are_saved, 0, 2);
    tcase_add_test(rules, random_keys_say_nothing);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, rules);
    return run_suite(suite);
}
