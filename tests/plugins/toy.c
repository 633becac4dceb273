/* toy.c - small stages with every kind of port and parameter, for tests of the graph and the plugin
 * host. They are described and connected, never run. */
#include <massflow/stage.h>
#include <string.h>

static mf_status no_run(mf_task *t, const void *params, void *session)
{
    (void)t, (void)params, (void)session;
    return mf_fail(MF_UNSUPPORTED, "toy stages are only described");
}

static mf_status no_item(mf_task *t, const void *params, void *session, int64_t i, mf_artifact **a)
{
    (void)i, (void)a;
    return no_run(t, params, session);
}

/* ---- toy.load ----------------------------------------------------------------------------------
 */

typedef struct load_params {
    const char *path, *labels, *orient;
} load_params;

static const mf_param load_table[] = {
    MF_PATH(load_params, path, NULL, "Scan."),
    MF_PATH(load_params, labels, "", "Its label map."),
    MF_CHOICE(load_params, orient, "RAS", "RAS|LPS|keep", "Orientation."),
    MF_END,
};
static const mf_port load_out[] = {MF_PORT("volume", "volume", "The scan."),
                                   MF_PORT("labels", "labels?", "Its labels, when given."), MF_END};
static MF_STAGE(load, "toy.load", 1, "Load a scan.", .params = load_table,
                .params_size = sizeof(load_params), .out = load_out, .run = no_run);

/* ---- toy.masks ---------------------------------------------------------------------------------
 */

typedef struct masks_params {
    int64_t interval, threads;
    double sigma;
    mf_real3 spacing;
    mf_int3 grid;
    mf_ints sizes;
    mf_reals weights;
    bool fast;
    const char *title;
} masks_params;

static const mf_param masks_table[] = {
    MF_INT(masks_params, interval, "30", 1, 1000, "slices", "Slices between seeds."),
    MF_REAL(masks_params, sigma, "1e-4", 0, 10, "mm", "Smoothing."),
    MF_REAL3(masks_params, spacing, "[1.5, 1.5, 1.5]", 0.1, 20, "mm", "Grid that is worked on."),
    MF_INT3(masks_params, grid, "[8, 8, 8]", 1, 512, "voxels", "Blocks."),
    MF_INTS(masks_params, sizes, "[200, 800]", 8, 100000, "voxels", "Sizes of supervoxels."),
    MF_REALS(masks_params, weights, "[]", 0, 1, "", "Weights."),
    MF_BOOL(masks_params, fast, "false", "Skip refinement."),
    MF_TEXT(masks_params, title, "", "A title."),
    MF_INT_MARKED(masks_params, threads, "1", 1, 64, "", MF_NO_CACHE, "Threads."),
    MF_END,
};
static const mf_port masks_in[] = {MF_PORT("volume", "volume", "Scan."),
                                   MF_PORT("labels", "labels?", "Only inside these."), MF_END};
static const mf_port masks_out[] = {MF_PORT("masks", "masks", "What was found."), MF_END};
static mf_status masks_check(const void *params)
{
    const masks_params *p = params;
    if (p->fast && p->sigma > 5)
        return mf_fail(MF_INVALID, "'fast' works up to a sigma of 5 mm only");
    return MF_OK;
}
static MF_STAGE(masks, "toy.masks", 3, "Find masks.", .help = "Finds masks as a toy does.",
                .params = masks_table, .params_size = sizeof(masks_params), .in = masks_in,
                .out = masks_out, .random = true, .check = masks_check, .run = no_run);

/* ---- toy.views, toy.train, toy.segment, toy.dice, toy.split ------------------------------------
 */

static const mf_port views_in[] = {MF_PORT("volumes", "volume[]", "Scans."),
                                   MF_PORT("masks", "masks[]", "Their masks."), MF_END};
static const mf_port views_out[] = {MF_PORT("views", "stream<pair>", "Pairs."), MF_END};
static MF_STAGE(views, "toy.views", 1, "Make pairs of views.", .in = views_in, .out = views_out,
                .item = no_item);

typedef struct train_params {
    int64_t steps, stop_at;
} train_params;

static const mf_param train_table[] = {
    MF_INT(train_params, steps, NULL, 1, 1000000, "", "Steps of the schedule."),
    MF_INT_MARKED(train_params, stop_at, "0", 0, 1000000, "", MF_EXTENDABLE, "Stop early."),
    MF_END,
};
static const mf_port train_in[] = {MF_PORT("views", "stream<pair>", "What to learn from."), MF_END};
static const mf_port train_out[] = {MF_PORT("model", "model", "Weights."),
                                    MF_PORT("metrics", "table", "Loss by step."), MF_END};
static MF_STAGE(train, "toy.train", 1, "Train.", .params = train_table,
                .params_size = sizeof(train_params), .in = train_in, .out = train_out,
                .run = no_run);

static const mf_port segment_in[] = {MF_PORT("volume", "volume", "Query."),
                                     MF_PORT("model", "model", "Weights."),
                                     MF_PORT("reference", "volume?", "Reference."), MF_END};
static const mf_port segment_out[] = {MF_PORT("labels", "labels", "Segmentation."), MF_END};
static MF_STAGE(segment, "toy.segment", 1, "Segment.", .in = segment_in, .out = segment_out,
                .run = no_run);

static const mf_port dice_in[] = {MF_PORT("predicted", "labels[]", "Segmentations."),
                                  MF_PORT("truth", "labels[]", "Truth."), MF_END};
static const mf_port dice_out[] = {MF_PORT("table", "table", "Dice by label."), MF_END};
static MF_STAGE(dice, "toy.dice", 1, "Overlap.", .in = dice_in, .out = dice_out, .run = no_run);

static const mf_port split_in[] = {MF_PORT("volume", "volume", "Scan."), MF_END};
static const mf_port split_out[] = {MF_PORT("upper", "volume", "The upper half."),
                                    MF_PORT("lower", "volume", "The lower half."), MF_END};
static MF_STAGE(split, "toy.split", 1, "Cut in halves.", .in = split_in, .out = split_out,
                .run = no_run);

static mf_status no_write(const mf_artifact *artifact, const char *path)
{
    (void)artifact;
    return mf_fail(MF_UNSUPPORTED, "no writing to %s", path);
}
static const mf_type table_csv = {"table", NULL, NULL, NULL, ".csv .tsv", no_write};
static const mf_type masks_nii = {"masks", NULL, NULL, NULL, ".nii.gz", no_write};
static const mf_type model_file = {"model", NULL, NULL, NULL, ".safetensors", no_write};
static const mf_type *const types[] = {&table_csv, &masks_nii, &model_file, NULL};

MF_PLUGIN_WITH_TYPES("toy", types, &load, &masks, &views, &train, &segment, &dice, &split)
