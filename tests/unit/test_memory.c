/* test_memory.c - what stages say of the device memory that they need, against what they take.
 *
 * A graph is run, then each of its nodes that computes on a device once more, on a device of its
 * own that counts. The estimate is at most FACTOR times what is taken, and at least that divided by
 * FACTOR. */
#include "../expect.h"
#include "../run_suite.h"
#include "graph/data/graph.h"
#include "run/schedule/run.h"
#include "run/worker/execute.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FACTOR 1.25

static const char graph_text[] =
    "massflow: 1\n"
    "params: {models: .}\n"
    "cases:\n"
    "  - {count: 2, id: \"p{id}\", set: train}\n"
    "  - {count: 2, id: \"q{id}\", set: test}\n"
    "stages:\n"
    "  scan:\n"
    "    use: phantom.volume\n"
    "    each: case\n"
    "    with: {size: [32, 32, 32], spacing: [6, 6, 6], seed: 1, lesion_size: 1.5}\n"
    "  masks: {use: slic.masks, each: case, in: {volume: scan.volume}, with: {sizes: [24]}}\n"
    "  sample: {use: mass.prepare, each: case, in: {volume: scan.volume, masks: masks},\n"
    "           with: {spacing: [6, 6, 6]}}\n"
    "  views: {use: augment.views, in: {samples: \"sample[*]\"},\n"
    "          with: {patch_size: [32, 32, 16], margin: 0, masks: 4, seed: 1}}\n"
    "  encoder: {use: mass.train, in: {pairs: views},\n"
    "            with: {channels: [8, 8, 32, 32, 32], num_block: [1, 1, 1, 1], pos_embed_size: "
    "32,\n"
    "                   steps: 2, batch_size: 1, lr: 0.002}}\n"
    "  longer: {use: mass.train, in: {pairs: views, init: encoder.model},\n"
    "           with: {steps: 1, batch_size: 1, ema_decay: 0, optimizer: adamw}}\n"
    "  batches: {use: mass.train, in: {pairs: views, init: encoder.model},\n"
    "           with: {steps: 1, batch_size: 11}}\n"
    "  simclr: {use: simclr.train, in: {pairs: views, init: encoder.model},\n"
    "           with: {steps: 1, batch_size: 3}}\n"
    "  moco2: {use: moco.train, in: {pairs: views, init: encoder.model},\n"
    "          with: {steps: 1, batch_size: 2, memory_bank: 5000}}\n"
    "  moco3: {use: moco.train, in: {pairs: views, init: encoder.model},\n"
    "          with: {version: v3, steps: 1, batch_size: 8, projection_hidden: 512}}\n"
    "  dino: {use: dino.train, in: {pairs: views, init: encoder.model},\n"
    "         with: {steps: 1, batch_size: 2, hidden: 64, bottleneck: 32, prototypes: 3000}}\n"
    "  mae: {use: reconstruct.train, in: {pairs: views, init: encoder.model},\n"
    "        with: {steps: 1, batch_size: 3, mask_patch: 8}}\n"
    "  simmim: {use: reconstruct.train, in: {pairs: views, init: encoder.model},\n"
    "           with: {mask: simmim, steps: 1, batch_size: 1, mask_patch: 8}}\n"
    "  genesis: {use: genesis.train, in: {pairs: views, init: encoder.model},\n"
    "            with: {steps: 1, batch_size: 2, ema_decay: 0.9}}\n"
    "  known: {use: mass.prepare, each: case, in: {volume: scan.volume, labels: scan.labels},\n"
    "          with: {spacing: [6, 6, 6], min_size: [32, 32, 32]}}\n"
    "  crops: {use: augment.crops, in: {samples: \"known[set=train]\"},\n"
    "          with: {patch_size: [32, 32, 16], margin: 4}}\n"
    "  supervised: {use: supervised.train,\n"
    "               in: {crops: crops, samples: \"known[set=train]\", init: encoder.model},\n"
    "               with: {steps: 1, labels: [1, 2, 3]}}\n"
    "  organs: {use: phantom.volume, each: case,\n"
    "           with: {size: [32, 32, 32], spacing: [12, 12, 12], seed: 1, organs: 14}}\n"
    "  whole: {use: mass.prepare, each: case, in: {volume: organs.volume, labels: organs.labels},\n"
    "          with: {spacing: [12, 12, 12], min_size: [32, 32, 32]}}\n"
    "  parts: {use: augment.crops, in: {samples: \"whole[set=train]\"},\n"
    "          with: {patch_size: [32, 32, 16], margin: 4}}\n"
    "  all: {use: supervised.train,\n"
    "        in: {crops: parts, samples: \"whole[set=train]\", init: encoder.model},\n"
    "        with: {steps: 1}}\n"
    "  tuned: {use: mass.finetune,\n"
    "          in: {crops: crops, train: \"known[set=train]\", val: \"known[set=test]\",\n"
    "               init: encoder.model},\n"
    "          with: {epochs: 1, steps_per_epoch: 1, labels: [1, 2, 3, 4]}}\n"
    "  probed: {use: mass.finetune,\n"
    "           in: {crops: crops, train: \"known[set=train]\", init: encoder.model},\n"
    "           with: {epochs: 1, steps_per_epoch: 1, labels: [1], mode: probing, ema_decay: 0,\n"
    "                  batch_size: 5}}\n"
    "  features: {use: mass.features, each: case, in: {model: encoder, volume: scan.volume},\n"
    "             with: {spacing: [6, 6, 6], roi_size: [32, 32, 16]}}\n"
    "  probe: {use: probe.train,\n"
    "          in: {train: \"features[set=train]\", test: \"features[set=test]\"},\n"
    "          with: {target: lesion, epochs: 1, batch_size: 2, pooling: attention}}\n"
    "  normal: {use: mass.normalize, each: case, in: {volume: scan.volume},\n"
    "           with: {spacing: [6, 6, 6]}}\n"
    "  frozen: {use: mass.classify,\n"
    "           in: {model: encoder, train: \"normal[set=train]\", test: \"normal[set=test]\"},\n"
    "           with: {target: lesion, epochs: 1, batch_size: 2, roi_size: [32, 32, 16], margin: "
    "0}}\n"
    "  learned: {use: mass.classify,\n"
    "            in: {model: encoder, train: \"normal[set=train]\", test: \"normal[set=test]\"},\n"
    "            with: {target: lesion, epochs: 1, batch_size: 2, roi_size: [32, 32, 16], margin: "
    "0,\n"
    "                   freeze: false, pooling: max}}\n"
    "  labelled: {use: mass.segment, with: {spacing: [6, 6, 6], patch_size: [32, 32, 16], overlap: "
    "0},\n"
    "             in: {model: encoder, references: \"scan.volume[case=p000]\",\n"
    "                  labels: \"scan.labels[case=p000]\", query: \"scan.volume[case=q000]\"}}\n"
    "  embedding: {use: mass.embed, with: {spacing: [6, 6, 6], patch_size: [32, 32, 16]},\n"
    "              in: {model: encoder, references: \"scan.volume[case=p000]\",\n"
    "                   labels: \"scan.labels[case=p000]\"}}\n"
    "  grouped: {use: mass.segment, with: {spacing: [6, 6, 6], patch_size: [32, 32, 16], overlap: "
    "0,\n"
    "                                      classes_per_forward: 2, probabilities: true},\n"
    "            in: {model: encoder, embedding: embedding, query: \"scan.volume[case=q000]\"}}\n"
    "  slices: {use: window.rgb, in: {volume: \"scan.volume[case=p000]\"}, with: {axis: z}}\n"
    "  weights: {use: model.load, with: {path: \"${models}/sam2-small.safetensors\"}}\n"
    "  seeds: {use: sam2.masks, in: {slices: slices, model: weights},\n"
    "          with: {points_per_side: 3, points_per_batch: 8, pred_iou_thresh: 0.01,\n"
    "                 stability_score_thresh: 0.01, max_masks_per_slice: 2, crop_n_layers: 0,\n"
    "                 min_slices_per_sample: 1, physical_interval_mm: 1000}}\n"
    "  found: {use: sam2.propagate, in: {slices: slices, seeds: seeds, model: weights},\n"
    "          with: {min_voxels: 1, objects_per_batch: 2}}\n"
    "  object: {use: sam2.segment, in: {slices: slices, model: weights},\n"
    "           with: {points: [16, 14, 8], min_voxels: 0, objects_per_batch: 1}}\n";

static int compared;

/* What is declared and what is taken, of one node on a device of its own. */
static void compare(mf_store *store, const mf_registry *registry, const mf_plan_node *n)
{
    const mf_limits limits = {0};
    mf_needs needs = {0};
    mf_device *device;
    mf_spent spent;
    mf_task *task;
    mf_host *host;
    double seconds;

    ok(mf_host_new(store, registry, NULL, &host));
    ok(mf_task_new(host, &n->work, 2, &task));
    ok(mf_task_needs(task, &needs));
    ok(mf_execute(task, &limits, &spent, &seconds));
    ok(mf_host_device(host, 0, &device));
    const double taken = (double)mf_device_most_used(device), said = (double)needs.device_bytes;
    if (getenv("VERBOSE"))
        printf("%-20s %-14s says %10.0f, takes %10.0f, %.3f\n", n->work.node, n->work.stage->name,
               said, taken, said / taken);
    ck_assert_msg(taken <= FACTOR * said && said <= FACTOR * taken,
                  "%s (%s) says that it needs %.0f bytes of device memory, and takes %.0f",
                  n->work.node, n->work.stage->name, said, taken);
    if (!strcmp(n->work.stage->name, "supervised.train")) /* by the labels that the samples have */
        ck_assert_double_eq(said, taken);
    mf_task_free(task);
    mf_host_free(host);
    compared++;
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *walk)
{
    (void)st, (void)flag, (void)walk;
    return remove(path);
}

START_TEST(estimates_are_near_what_is_taken)
{
    const mf_setting setting = {"models", getenv("MODELS")};
    const mf_run_options options = {.jobs = 2};
    const mf_plan_options plain = {0};
    char folder[] = "/tmp/massflow-test-XXXXXX";
    mf_registry *registry;
    mf_run_result result;
    mf_diagnostics *d;
    mf_store *store;
    mf_graph *g;
    mf_plan *plan;
    mf_host *host;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    FILE *file = fopen("g.yaml", "w");
    ck_assert_ptr_nonnull(file);
    fputs(graph_text, file);
    fclose(file);
    ok(mf_registry_new(&registry));
    ok(mf_registry_load_standard(registry, NULL));
    ok(mf_diagnostics_new(&d));
    ok(mf_graph_load("g.yaml", registry, &setting, 1, d, &g));
    ck_assert_msg(g != NULL, "%s", mf_diagnostics_text(d));
    const size_t nodes = mf_graph_node_count(g);
    bool *asked = malloc(nodes);
    memset(asked, true, nodes);
    ok(mf_store_open("store", MF_STORE_WRITE, &store));
    ok(mf_plan_new(g, store, asked, &plain, &plan));
    ok(mf_host_new(store, registry, NULL, &host));
    const mf_executor executor = mf_host_executor(host);
    ok(mf_run(plan, &executor, &options, &result));
    mf_host_free(host);
    for (size_t i = 0; i < nodes; i++) {
        const mf_plan_node *n = mf_plan_at(plan, i);
        ck_assert_msg(!n->message, "%s", n->message);
        /* one node a stage: the others have the same shapes */
        bool first = i == mf_graph_stage_at(g, n->node->group)->first;
        if (first && (n->work.stage->kernels || n->work.stage->program))
            compare(store, registry, n);
    }
    ck_assert_int_eq(compared, 25);
    mf_plan_free(plan);
    mf_store_close(store);
    free(asked);
    mf_graph_free(g);
    mf_diagnostics_free(d);
    mf_registry_free(registry);
    ck_assert_int_eq(chdir("/"), 0);
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory");
    TCase *c = tcase_create("memory");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, estimates_are_near_what_is_taken);
    suite_add_tcase(suite, c);
    return run_suite_as(suite, CK_NOFORK); /* an OpenCL driver does not survive a fork */
}
