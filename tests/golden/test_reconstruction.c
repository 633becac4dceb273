/* Steps of masked reconstruction, Models Genesis and the segmentation with a fixed head against
 * PyTorch: results of float64 stored by tools/reference/reconstruction.py, which draws masks and
 * distortions by an implementation of its own. */
#include "../expect.h"
#include "../run_suite.h"
#include "golden.h"
#include "restore.h"
#include "supervised.h"

#include <check.h>
#include <massflow/random.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_STEPS = 10 };

typedef struct sizes {
    mf_iris iris;
    int64_t crop[3], cases, classes, steps, patch, seed;
} sizes;

static void read_sizes(const mf_tensors *golden, sizes *s)
{
    *s = (sizes){.iris = {.positions = 64}};
    memcpy(s->iris.channels, mf_tensors_find(golden, "channels")->data, sizeof s->iris.channels);
    memcpy(s->iris.blocks, mf_tensors_find(golden, "blocks")->data, sizeof s->iris.blocks);
    memcpy(s->crop, mf_tensors_find(golden, "crop")->data, sizeof s->crop);
    memcpy(&s->cases, mf_tensors_find(golden, "sizes")->data, 5 * sizeof(int64_t));
}

/* Parameters of any of the methods. */
typedef union settings {
    mf_baseline_params shared;
    mf_reconstruct_params reconstruct;
    mf_genesis_params genesis;
    mf_supervised_params supervised;
} settings;

static mf_baseline_params shared_of(const sizes *s)
{
    return (mf_baseline_params){.steps = MOST_STEPS,
                                .batch_size = s->cases,
                                .seed = s->seed,
                                .lr = 1e-4,
                                .weight_decay = 1e-4,
                                .max_grad_norm = 1,
                                .optimizer = "adamw",
                                .scheduler = "constant",
                                .recompute = "none"};
}

static void reconstruct(const sizes *s, const char *mask, bool normalize, settings *to)
{
    to->reconstruct = (mf_reconstruct_params){.shared = shared_of(s),
                                              .mask = mask,
                                              .mask_patch = s->patch,
                                              .mask_share = -1,
                                              .normalize_target = normalize};
}

static mf_classes classes;
static const mf_method *method_of(const sizes *s, const char *kind, settings *to)
{
    if (!strcmp(kind, "genesis")) {
        to->genesis = (mf_genesis_params){shared_of(s), 0.9, 0.5, 0.9, 0.2};
        return &mf_genesis_method;
    }
    if (!strcmp(kind, "supervised")) {
        classes.count = s->classes - 1;
        for (int64_t i = 0; i < classes.count; i++)
            classes.label[i] = i + 1;
        to->supervised = (mf_supervised_params){.shared = shared_of(s), .classes = &classes};
        return &mf_supervised_method;
    }
    reconstruct(s, strcmp(kind, "simmim") ? "mae" : "simmim", !strcmp(kind, "normalized"), to);
    return &mf_reconstruct_method;
}

/* ---- crops ----------------------------------------------------------------------------------- */

typedef struct crops {
    float *images;
    uint16_t *labels;
    mf_baseline_pair *pairs;
} crops;

static void draw_labels(const sizes *s, int64_t item, uint8_t *mask, uint16_t *labels)
{
    const int64_t n = s->crop[0] * s->crop[1] * s->crop[2];
    for (int64_t k = 0; k < s->classes - 1; k++) {
        if (k == s->classes - 2 && item % 2)
            continue;
        golden_draw_mask(s->crop, k, item, mask);
        for (int64_t i = 0; i < n; i++)
            labels[i] = mask[i] ? (uint16_t)(k + 1) : labels[i];
    }
}

static void draw_crops(const sizes *s, int64_t count, crops *c)
{
    const int64_t n = s->crop[0] * s->crop[1] * s->crop[2];
    uint8_t *mask = malloc((size_t)n);
    mf_random random;
    c->images = malloc((size_t)(count * n) * sizeof *c->images);
    c->labels = calloc((size_t)(count * n), sizeof *c->labels);
    c->pairs = calloc((size_t)count, sizeof *c->pairs);
    mf_random_seed(&random, GOLDEN_INPUTS, "crops", 0);
    for (int64_t i = 0; i < count * n; i++)
        c->images[i] = (float)mf_random_uniform(&random, -1, 1);
    for (int64_t i = 0; i < count; i++) {
        draw_labels(s, i, mask, c->labels + i * n);
        c->pairs[i] = (mf_baseline_pair){
            .reference = c->images + i * n, .labels = c->labels + i * n, .index = i};
    }
    free(mask);
}

static void free_crops(crops *c)
{
    free(c->images);
    free(c->labels);
    free(c->pairs);
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* grad.NAME or after.NAME of all weights. */
static void put_weights(mf_weights *w, const char *prefix, bool gradient, mf_tensors *out)
{
    for (size_t i = 0; i < mf_weights_count(w); i++) {
        char name[320];
        mf_weight_info info;
        mf_array *a;
        mf_weights_info(w, i, &info);
        snprintf(name, sizeof name, "%s%s", prefix, info.name);
        ok(mf_tensors_make(out, name, MF_F32, info.rank, info.shape, &a));
        ok(gradient ? mf_weights_get_gradient(w, i, a->data) : mf_weights_get(w, i, a->data));
    }
}

static void put_number(mf_tensors *out, const char *name, double value)
{
    mf_array *a;
    ok(mf_tensors_make(out, name, MF_F32, 0, NULL, &a));
    *(float *)a->data = (float)value;
}

static void run(const sizes *s, const char *kind, int64_t steps, double *losses, mf_tensors *out)
{
    settings o;
    const mf_method *method = method_of(s, kind, &o);
    const int64_t cases = steps > 1 ? 1 : s->cases; /* of a step */
    const int columns = mf_baseline_columns(method);
    double row[MF_BASELINE_COLUMNS + 3];
    crops c;
    mf_device *device;
    mf_baseline *b;
    o.shared.batch_size = cases;
    ok(mf_device_open("", &device));
    ok(mf_baseline_new(device, method, &o.shared, &s->iris, &b));
    golden_draw_weights(b->weights);
    ok(mf_baseline_open(b, s->crop));
    draw_crops(s, cases * steps, &c);
    for (int64_t i = 0; i < steps; i++) {
        ok(mf_baseline_learn(b, i, c.pairs + i * cases, row));
        losses[i] = row[0];
        if (i == 0)
            put_weights(b->weights, "grad.", true, out);
        ok(mf_baseline_update(b, i, row));
        if (i > 0)
            continue;
        put_weights(b->weights, "after.", false, out);
        put_number(out, "loss", row[0]);
        put_number(out, "norm", row[columns - 1]);
        if (columns > 3) {
            put_number(out, "dice", row[1]);
            put_number(out, "ce", row[2]);
        }
    }
    free_crops(&c);
    mf_baseline_close(b);
    mf_device_unref(device);
}

/* golden_compare, by the name without the kind. */
static void compare(const mf_tensors *golden, const char *stored, const char *name,
                    const mf_array *ours, golden_tally *t)
{
    double theirs, distance;
    if (strncmp(name, "grad.", 5) && strncmp(name, "after.", 6) && strcmp(name, "norm")) {
        golden_compare(golden, stored, name, ours, t);
        return;
    }
    distance = golden_distance(golden, stored, name, ours, &theirs);
    t->gradient[t->gradients++] = distance / theirs;
    t->worse += distance > 1e-2;
}

static const char *const kinds[] = {"mae", "normalized", "simmim", "genesis", "supervised"};

START_TEST(one_step)
{
    mf_tensors golden = {0}, out = {0};
    golden_tally t = {0};
    double loss;
    sizes s;
    int compared = 0;
    golden_read("reconstruction", &golden);
    read_sizes(&golden, &s);
    run(&s, kinds[_i], 1, &loss, &out);
    for (size_t i = 0; i < out.count; i++) {
        char stored[320];
        const char *name = out.item[i].name;
        snprintf(stored, sizeof stored, "%s.%s", kinds[_i], name);
        if (!mf_tensors_find(&golden, stored))
            continue;
        compare(&golden, stored, name, out.item[i].array, &t);
        compared++;
    }
    const double median = golden_quantile(&t, 0.5), nearly_all = golden_quantile(&t, 0.9);
    printf("%s: %d values at most %.2f; %d gradients and stepped weights %.2f in the median, 90%% "
           "at most %.2f\n",
           kinds[_i], t.values, t.most, t.gradients, median, nearly_all);
    /* loss, norm, three weights of the encoder, and those of the decoder */
    ck_assert_int_ge(compared, 2 + 2 * 5);
    ck_assert_int_eq(t.worse, 0);
    ck_assert_double_le(median, 1.5);
    ck_assert_double_le(nearly_all, 3);
    mf_tensors_clear(&golden);
    mf_tensors_clear(&out);
}
END_TEST

/* The losses of ten steps: within 1e-3 of float64, or twice PyTorch's own float32. */
START_TEST(ten_steps)
{
    static const char *const which[] = {"mae", "supervised"};
    mf_tensors golden = {0}, out = {0};
    double losses[MOST_STEPS], most = 0, theirs = 0;
    char name[64];
    sizes s;
    golden_read("reconstruction", &golden);
    read_sizes(&golden, &s);
    ck_assert_int_eq(s.steps, MOST_STEPS);
    run(&s, which[_i], s.steps, losses, &out);
    snprintf(name, sizeof name, "ten_%s.losses", which[_i]);
    const double *exact = mf_tensors_find(&golden, name)->data;
    snprintf(name, sizeof name, "ten_%s.drift", which[_i]);
    const double *drift = mf_tensors_find(&golden, name)->data;
    for (int64_t i = 0; i < s.steps; i++) {
        const double apart = fabs(losses[i] - exact[i]);
        ck_assert_msg(apart <= fmax(1e-3, 2 * drift[i]), "step %d: %g, not %g", (int)i + 1,
                      losses[i], exact[i]);
        most = fmax(most, apart);
        theirs = fmax(theirs, drift[i]);
    }
    printf("%s: the losses of %d steps lie within %.2e of float64, PyTorch's float32 within %.2e\n",
           which[_i], (int)s.steps, most, theirs);
    mf_tensors_clear(&golden);
    mf_tensors_clear(&out);
}
END_TEST

/* Weights after one step. */
static void step_with_decay(const sizes *s, const char *kind, double decay, mf_tensors *after)
{
    settings o;
    const mf_method *method = method_of(s, kind, &o);
    double row[MF_BASELINE_COLUMNS + 3];
    crops c;
    mf_device *device;
    mf_baseline *b;
    o.shared.batch_size = 1;
    o.shared.lr = 0.01;
    o.shared.weight_decay = decay;
    ok(mf_device_open("", &device));
    ok(mf_baseline_new(device, method, &o.shared, &s->iris, &b));
    golden_draw_weights(b->weights);
    ok(mf_baseline_open(b, s->crop));
    draw_crops(s, 1, &c);
    ok(mf_baseline_learn(b, 0, c.pairs, row));
    ok(mf_baseline_update(b, 0, row));
    put_weights(b->weights, "", false, after);
    free_crops(&c);
    mf_baseline_close(b);
    mf_device_unref(device);
}

START_TEST(vectors_do_not_decay)
{
    static const char *const which[] = {"mae", "simmim"};
    mf_tensors golden = {0}, none = {0}, decayed = {0};
    int vectors = 0;
    sizes s;
    golden_read("reconstruction", &golden);
    read_sizes(&golden, &s);
    step_with_decay(&s, which[_i], 0, &none);
    step_with_decay(&s, which[_i], 0.5, &decayed);
    for (size_t i = 0; i < none.count; i++) {
        const mf_array *a = none.item[i].array;
        const bool same = !memcmp(a->data, decayed.item[i].array->data,
                                  (size_t)mf_array_count(a) * sizeof(float));
        ck_assert_msg(same == (a->rank == 1), "%s", none.item[i].name);
        vectors += same;
    }
    ck_assert_int_eq(vectors, 1 + _i); /* the bias of the decoder; the value of hidden voxels */
    mf_tensors_clear(&golden);
    mf_tensors_clear(&none);
    mf_tensors_clear(&decayed);
}
END_TEST

/* Even one that is hidden, or that a ReLU would make 0. */
START_TEST(not_finite)
{
    mf_tensors golden = {0};
    double row[MF_BASELINE_COLUMNS + 3];
    settings o;
    sizes s;
    crops c;
    mf_device *device;
    mf_baseline *b;
    golden_read("reconstruction", &golden);
    read_sizes(&golden, &s);
    const mf_method *method = method_of(&s, kinds[_i], &o);
    ok(mf_device_open("", &device));
    ok(mf_baseline_new(device, method, &o.shared, &s.iris, &b));
    golden_draw_weights(b->weights);
    ok(mf_baseline_open(b, s.crop));
    draw_crops(&s, s.cases, &c);
    c.images[b->voxels + b->voxels / 2] = NAN;
    c.pairs[1].sample = "sample[case=b]";
    fails(mf_baseline_learn(b, 0, c.pairs, row), method->labelled
                                                     ? "crop 1, of sample[case=b]: a voxel is nan"
                                                     : "pair 1, of sample[case=b]: a voxel is nan");
    ck_assert(b->diverged);
    free_crops(&c);
    mf_baseline_close(b);
    mf_device_unref(device);
    mf_tensors_clear(&golden);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reconstruction");
    TCase *tests = tcase_create("pytorch");
    tcase_set_timeout(tests, 0);
    tcase_add_loop_test(tests, one_step, 0, sizeof kinds / sizeof *kinds);
    tcase_add_loop_test(tests, ten_steps, 0, 2);
    tcase_add_loop_test(tests, vectors_do_not_decay, 0, 2);
    tcase_add_loop_test(tests, not_finite, 0, sizeof kinds / sizeof *kinds);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
