/* test_agreement.c - each stage that computes on a device, on two devices: their results are apart
 * by no more than the stage's own `tolerance` says.
 *
 * A graph is run on the first device. Then each of its nodes is executed once more with the same
 * inputs, on the other device, and its outputs are compared with the stored ones. The devices are
 * the CPU with its own form of the kernels, the CPU with the form for GPUs, and every GPU. */
#include "../expect.h"
#include "../run_suite.h"
#include "graph/data/graph.h"
#include "run/schedule/run.h"
#include "run/worker/execute.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- how far two artifacts are apart --------------------------------------------------------- */

static mf_array *as_reals(const mf_artifact *a, const char *name, bool *real)
{
    mf_array *stored, *values;

    ok(mf_artifact_array(a, name, &stored));
    *real = stored->dtype == MF_F16 || stored->dtype == MF_F32 || stored->dtype == MF_F64;
    ok(mf_array_convert(stored, MF_F64, &values));
    mf_array_unref(stored);
    return values;
}

/* Of reals the largest difference, as a part of the largest value; of integers the part that
 * differs. */
static double distance_of_arrays(const mf_artifact *a, const mf_artifact *b, const char *name)
{
    bool real;
    mf_array *x = as_reals(a, name, &real), *y = as_reals(b, name, &real);
    double most = 0, apart = 0;
    int64_t count = mf_array_count(x), differ = 0;

    ck_assert_int_eq(mf_array_count(y), count);
    for (int64_t i = 0; i < count; i++) {
        double p = ((double *)x->data)[i], q = ((double *)y->data)[i];
        if (isnan(p) || isnan(q)) {
            ck_assert_msg(isnan(p) && isnan(q), "%s: one is NaN at %lld", name, (long long)i);
            continue;
        }
        most = fmax(most, fabs(p));
        apart = fmax(apart, fabs(p - q));
        differ += p < q || p > q;
    }
    mf_array_unref(x);
    mf_array_unref(y);
    if (!real)
        return count ? (double)differ / (double)count : 0;
    return apart > 0 ? apart / most : 0;
}

/* The part of the masks' voxels that differ. */
static double distance_of_masks(const mf_artifact *a, const mf_artifact *b)
{
    int64_t all = 0, differ = 0, count = mf_masks_count(a);

    ck_assert_int_eq(mf_masks_count(b), count);
    for (int64_t k = 0; k < count; k++) {
        mf_mask m, n;
        int64_t size = 1;
        ok(mf_masks_get(a, k, &m));
        ok(mf_masks_get(b, k, &n));
        for (int i = 0; i < 3; i++) {
            m.lo[i] = m.lo[i] < n.lo[i] ? m.lo[i] : n.lo[i];
            m.hi[i] = m.hi[i] > n.hi[i] ? m.hi[i] : n.hi[i];
            size *= m.hi[i] - m.lo[i];
        }
        uint8_t *x = malloc((size_t)size), *y = malloc((size_t)size);
        ok(mf_masks_crop(a, k, m.lo, m.hi, x));
        ok(mf_masks_crop(b, k, m.lo, m.hi, y));
        for (int64_t i = 0; i < size; i++) {
            all += x[i];
            differ += x[i] != y[i];
        }
        free(x);
        free(y);
    }
    return all ? (double)differ / (double)all : 0;
}

/* Texts: the part of the rows that differ. */
static double distance_of_rows(const mf_artifact *a, const mf_artifact *b, const char *name)
{
    mf_array_info x, y;
    int64_t differ = 0;

    ck_assert(mf_artifact_find(a, name, &x) && mf_artifact_find(b, name, &y));
    ck_assert_int_eq(y.rows, x.rows);
    for (int64_t i = 0; i < x.rows; i++) {
        uint8_t *p, *q;
        size_t n, m;
        ok(mf_artifact_read_row(a, name, i, &p, &n));
        ok(mf_artifact_read_row(b, name, i, &q, &m));
        differ += n != m || (n && memcmp(p, q, n));
        free(p);
        free(q);
    }
    return x.rows ? (double)differ / (double)x.rows : 0;
}

static bool is_one_of(const char *name, const char *const *names)
{
    while (*names && strcmp(*names, name))
        names++;
    return *names != NULL;
}

static void compare(const char *what, const mf_artifact *a, const mf_artifact *b, double tolerance)
{
    static const char *const of_masks[] = {"box", "bits", NULL};
    const bool masks = mf_artifact_find(a, "bits", &(mf_array_info){0});

    ck_assert_uint_eq(mf_artifact_array_count(b), mf_artifact_array_count(a));
    for (size_t i = 0; i < mf_artifact_array_count(a); i++) {
        mf_array_info info;
        double apart;
        mf_artifact_array_info(a, i, &info);
        if (masks && is_one_of(info.name, of_masks))
            continue;
        apart =
            info.ragged ? distance_of_rows(a, b, info.name) : distance_of_arrays(a, b, info.name);
        if (getenv("VERBOSE"))
            printf("%s %s: %.3g\n", what, info.name, apart);
        ck_assert_msg(apart <= tolerance, "%s: %s is apart by %g, the stage says %g", what,
                      info.name, apart, tolerance);
    }
    if (masks) {
        double apart = distance_of_masks(a, b);
        if (getenv("VERBOSE"))
            printf("%s masks: %.3g\n", what, apart);
        ck_assert_msg(apart <= tolerance, "%s: its masks are apart by %g, the stage says %g", what,
                      apart, tolerance);
    }
}

/* ---- two devices ----------------------------------------------------------------------------- */

typedef struct place {
    const char *device;
    bool gpu_kernels; /* on whatever device it is */
} place;

static void use(const place *p)
{
    if (p->gpu_kernels)
        setenv("MASSFLOW_KERNELS", "gpu", 1);
    else
        unsetenv("MASSFLOW_KERNELS");
}

static mf_registry *registry;
static int compared; /* nodes */

static bool computes_on_device(const mf_stage *s)
{
    return s->kernels || s->program;
}

static void run_again(mf_host *host, mf_store *store, const mf_plan_node *n, const char *where)
{
    const mf_limits limits = {0};
    mf_spent spent;
    mf_task *task;
    double seconds;
    char what[200];

    ok(mf_task_new(host, &n->work, 2, &task));
    ok(mf_execute(task, &limits, &spent, &seconds));
    for (size_t i = 0; i < n->work.out_count; i++) {
        mf_artifact *stored;
        if (!*n->outputs[i].id) {
            ck_assert_ptr_null(mf_task_output(task, i));
            continue;
        }
        ok(mf_store_get(store, n->outputs[i].id, &stored));
        snprintf(what, sizeof what, "%s.%s (%s) on %s", n->work.node, n->work.stage->out[i].name,
                 n->work.stage->name, where);
        compare(what, stored, mf_task_output(task, i), n->work.stage->tolerance);
        mf_artifact_unref(stored);
    }
    mf_task_free(task);
    compared++;
}

/* Every node of the graph that computes on a device, on the places after the first. */
static void compare_all(mf_graph *g, const place *places, size_t count)
{
    const mf_run_options options = {.jobs = 2};
    const mf_plan_options plain = {0};
    size_t nodes = mf_graph_node_count(g);
    bool *asked = malloc(nodes);
    mf_run_result result;
    mf_store *store;
    mf_plan *plan;
    mf_host *host;

    memset(asked, true, nodes);
    ok(mf_store_open("store", MF_STORE_WRITE, &store));
    ok(mf_plan_new(g, store, asked, &plain, &plan));
    use(&places[0]);
    ok(mf_host_new(store, registry, places[0].device, &host));
    const mf_executor executor = mf_host_executor(host);
    ok(mf_run(plan, &executor, &options, &result));
    for (size_t i = 0; i < nodes; i++)
        ck_assert_msg(!mf_plan_at(plan, i)->message, "%s", mf_plan_at(plan, i)->message);
    mf_host_free(host);
    for (size_t p = 1; p < count; p++) {
        char where[100];
        snprintf(where, sizeof where, "%.40s%s", places[p].device,
                 places[p].gpu_kernels ? " with kernels for GPUs" : "");
        use(&places[p]);
        ok(mf_host_new(store, registry, places[p].device, &host));
        for (size_t i = 0; i < nodes; i++)
            if (computes_on_device(mf_plan_at(plan, i)->work.stage))
                run_again(host, store, mf_plan_at(plan, i), where);
        mf_host_free(host);
    }
    mf_plan_free(plan);
    mf_store_close(store);
    free(asked);
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *walk)
{
    (void)st, (void)flag, (void)walk;
    return remove(path);
}

static void check_graph(const char *text)
{
    char folder[] = "/tmp/massflow-test-XXXXXX";
    place places[16];
    char numbers[16][24];
    mf_device_info *infos;
    mf_diagnostics *d;
    mf_graph *g;
    size_t count, used = 2, cpu;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    unsetenv("MASSFLOW_KERNELS");
    ok(mf_devices_list(&infos, &count));
    for (size_t i = 0; i < count && i < 14; i++) {
        snprintf(numbers[i], sizeof numbers[i], "%zu", i);
        if (!infos[i].is_cpu)
            places[used++] = (place){numbers[i], false};
    }
    for (cpu = 0; cpu + 1 < count && !infos[cpu].is_cpu; cpu++)
        ;
    /* By its name: with the kernels for GPUs it counts as one. */
    places[0] = (place){infos[cpu].name, false};
    places[1] = (place){infos[cpu].name, true};
    FILE *file = fopen("g.yaml", "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    ok(mf_registry_new(&registry));
    ok(mf_registry_load_standard(registry, NULL));
    ok(mf_diagnostics_new(&d));
    const mf_setting setting = {"models", getenv("MODELS")};
    ok(mf_graph_load("g.yaml", registry, &setting, 1, d, &g));
    ck_assert_msg(g != NULL, "%s", mf_diagnostics_text(d));
    compared = 0;
    compare_all(g, places, used);
    ck_assert_int_gt(compared, 0);
    free(infos);
    mf_graph_free(g);
    mf_diagnostics_free(d);
    mf_registry_free(registry);
    ck_assert_int_eq(chdir("/"), 0);
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- stages ---------------------------------------------------------------------------------- */

START_TEST(stages_of_mass)
{
    check_graph(
        "massflow: 1\n"
        "params: {models: .}\n"
        "cases:\n"
        "  - {count: 2, id: \"p{id}\", set: train}\n"
        "  - {count: 2, id: \"q{id}\", set: test}\n"
        "stages:\n"
        "  scan:\n"
        "    use: phantom.volume\n"
        "    each: case\n"
        "    with: {size: [24, 24, 24], spacing: [8, 8, 8], seed: 1, lesion_size: 1.5}\n"
        "  masks: {use: slic.masks, each: case, in: {volume: scan.volume},\n"
        "          with: {sizes: [16, 24]}}\n"
        "  sample: {use: mass.prepare, each: case, in: {volume: scan.volume, masks: masks},\n"
        "           with: {spacing: [8, 8, 8]}}\n"
        "  views: {use: augment.views, in: {samples: \"sample[*]\"},\n"
        "          with: {patch_size: [16, 16, 16], margin: 0, masks: 4, seed: 1}}\n"
        "  encoder: {use: mass.train, in: {pairs: views},\n"
        "            with: {channels: [8, 8, 32, 32, 32], num_block: [1, 1, 1, 1], pos_embed_size: "
        "16,\n"
        "                   steps: 2, batch_size: 1, lr: 0.002}}\n"
        "  known: {use: mass.prepare, each: case, in: {volume: scan.volume, labels: scan.labels},\n"
        "          with: {spacing: [8, 8, 8], min_size: [24, 24, 24]}}\n"
        "  crops: {use: augment.crops, in: {samples: \"known[set=train]\"},\n"
        "          with: {patch_size: [16, 16, 16], margin: 4, seed: 1}}\n"
        "  tuned: {use: mass.finetune, in: {crops: crops, train: \"known[set=train]\",\n"
        "                                   init: encoder.model},\n"
        "          with: {epochs: 1, steps_per_epoch: 2, labels: [1, 8]}}\n"
        "  padded: {use: mass.prepare, each: case, in: {volume: scan.volume, masks: masks},\n"
        "           with: {spacing: [8, 8, 8], min_size: [32, 32, 24]}}\n"
        "  wide: {use: augment.views, in: {samples: \"padded[*]\"},\n"
        "         with: {patch_size: [32, 32, 16], margin: 0, masks: 1, seed: 1}}\n"
        "  simclr: {use: simclr.train, in: {pairs: wide},\n"
        "           with: {channels: [8, 8, 32, 32, 32], num_block: [1, 1, 1, 1], pos_embed_size: "
        "32,\n"
        "                  steps: 1, batch_size: 2}}\n"
        "  moco: {use: moco.train, in: {pairs: wide, init: simclr.model},\n"
        "         with: {version: v3, steps: 1, batch_size: 8, projection_hidden: 32}}\n"
        "  simmim: {use: reconstruct.train, in: {pairs: wide, init: simclr.model},\n"
        "           with: {optimizer: lamb, mask: simmim, mask_patch: 8, steps: 1, batch_size: "
        "2}}\n"
        "  supervised: {use: supervised.train,\n"
        "               in: {crops: crops, samples: \"known[set=train]\", init: encoder.model},\n"
        "               with: {steps: 1, labels: [1, 8]}}\n"
        "  dino: {use: dino.train, in: {pairs: wide, init: simclr.model},\n"
        "         with: {optimizer: lamb, steps: 1, batch_size: 2, hidden: 32, bottleneck: 16, "
        "prototypes: "
        "40}}\n"
        "  features: {use: mass.features, each: case, in: {model: encoder, volume: scan.volume},\n"
        "             with: {spacing: [8, 8, 8], roi_size: [16, 16, 16]}}\n"
        "  probe: {use: probe.train,\n"
        "          in: {train: \"features[set=train]\", test: \"features[set=test]\"},\n"
        "          with: {target: lesion, epochs: 2, batch_size: 2, lr: 0.01}}\n"
        "  normal: {use: mass.normalize, each: case, in: {volume: scan.volume},\n"
        "           with: {spacing: [8, 8, 8]}}\n"
        "  classifier: {use: mass.classify,\n"
        "               in: {model: encoder, train: \"normal[set=train]\", test: "
        "\"normal[set=test]\"},\n"
        "               with: {target: lesion, epochs: 2, batch_size: 2, roi_size: [32, 32, 16],\n"
        /* pooled without attention, whose last bias has no gradient but rounding */
        "                      margin: 4, head_lr: 0.01, freeze: false, pooling: max}}\n"
        "  labelled: {use: mass.segment, with: {spacing: [8, 8, 8], patch_size: [16, 16, 16], "
        "overlap: "
        "0},\n"
        "             in: {model: encoder, references: \"scan.volume[case=p000]\",\n"
        "                  labels: \"scan.labels[case=p000]\", query: "
        "\"scan.volume[case=q000]\"}}\n"
        "  embedding: {use: mass.embed, with: {spacing: [8, 8, 8], patch_size: [16, 16, 16], like: "
        "finetune},\n"
        "              in: {model: encoder, references: \"scan.volume[case=p000]\",\n"
        "                   labels: \"scan.labels[case=p000]\"}}\n"
        "  blended: {use: mass.segment, with: {spacing: [8, 8, 8], patch_size: [16, 16, 16], "
        "window: "
        "uniform,\n"
        "                                    flips: x, probabilities: true},\n"
        "          in: {model: encoder, embedding: embedding, query: "
        "\"scan.volume[case=q000]\"}}\n");
}
END_TEST

START_TEST(stages_of_sam2)
{
    check_graph(
        "massflow: 1\n"
        "params: {models: .}\n"
        "stages:\n"
        "  scan: {use: phantom.volume, with: {size: [32, 28, 16], spacing: [6, 6, 12]}}\n"
        "  slices: {use: window.rgb, in: {volume: scan.volume}, with: {axis: z}}\n"
        "  weights: {use: model.load, with: {path: \"${models}/sam2-small.safetensors\"}}\n"
        "  seeds: {use: sam2.masks, in: {slices: slices, model: weights},\n"
        "          with: {points_per_side: 3, pred_iou_thresh: 0.01,\n"
        "                 stability_score_thresh: 0.01, max_masks_per_slice: 1,\n"
        "                 min_slices_per_sample: 1, physical_interval_mm: 1000}}\n"
        "  found: {use: sam2.propagate, in: {slices: slices, seeds: seeds, model: weights},\n"
        "          with: {min_voxels: 1}}\n"
        "  object: {use: sam2.segment, in: {slices: slices, model: weights},\n"
        "           with: {points: [16, 14, 8], min_voxels: 0}}\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("agreement");
    TCase *c = tcase_create("agreement");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, stages_of_mass);
    tcase_add_test(c, stages_of_sam2);
    suite_add_tcase(suite, c);
    return run_suite_as(suite, CK_NOFORK); /* an OpenCL driver does not survive a fork */
}
