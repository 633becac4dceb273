/* metrics_masks.c - stage metrics.masks: how well class-agnostic masks match labels that the masks
 * were made without. */
#include "../common/port_names.h"
#include "mask_quality.h"
#include "match.h"
#include "metrics_masks.code.h"
#include "metrics_stages.h"
#include "voxels.h"
#include <massflow/stage.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct masks_params {
    mf_labels labels;
    double threshold;
} masks_params;

static const mf_param params[] = {
    MF_LABELS(
        masks_params, labels, "[]", 1, MASK_QUALITY_MOST_LABELS,
        "Labels to compare, by value or name; all others are background. Empty: all labels of "
        "each case."),
    MF_REAL(masks_params, threshold, "0.4", 0, 1, "",
            "A mask matches a label, and a label is found, if their Dice is above this."),
    MF_END};
static const mf_port inputs[] = {
    MF_PORT_MARKED("masks", "masks[]", "Masks of each case.", MF_KEYED),
    MF_PORT_MARKED("labels", "labels[]", "Label maps, matched to the masks by case id.", MF_KEYED),
    MF_PORT_MARKED("body", "labels[]?",
                   "Body masks, not 0 inside, matched by case id. Without them the body is the "
                   "whole volume.",
                   MF_KEYED),
    MF_END};
static const mf_port outputs[] = {
    MF_PORT("table", "table",
            "A row per case and label: Dice of the best mask, its number, its size and that of "
            "the label."),
    MF_PORT("cases", "table",
            "A row per case: number of masks; mean Dice of the best mask over the labels; part of "
            "the labels that are found; part of the masks that match a label; part of the "
            "labelled voxels, and of the body, in at least one mask; minimum, median and maximum "
            "size of the masks."),
    MF_PORT("summary", "table",
            "One row: the number of cases, the number of masks per case, dice and found over all "
            "labels of all cases, means of the other columns over the cases, and sizes over all "
            "masks."),
    MF_END};

/* Sums over cases: each with the number of its terms. */
typedef struct sums {
    double masks, dice, found, matching, labelled, body;
    int64_t cases, labels, with_labels, matched; /* matched: with masks and labels */
} sums;

typedef struct work {
    mf_task *task;
    const masks_params *o;
    mf_table *table, *by_case;
    double *sizes; /* mm3 of all masks of all cases */
    int64_t size_count;
    sums sum;
    mf_names names; /* of the labels; none: the table has no column for them */
    mf_ints labels; /* that are compared; none: all of each case */
} work;

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts; NaN of nothing. The median of an even number is the mean of the middle two. */
static void spread(double *sizes, int64_t n, double of[3])
{
    of[0] = of[1] = of[2] = NAN;
    if (!n)
        return;
    qsort(sizes, (size_t)n, sizeof *sizes, ascending);
    of[0] = sizes[0];
    of[1] = (sizes[(n - 1) / 2] + sizes[n / 2]) / 2;
    of[2] = sizes[n - 1];
}

static double part(double some, double all)
{
    return all > 0 ? some / all : NAN;
}

static mf_status add_sizes(work *w, const mask_quality *q, double voxel, double of[3])
{
    if (q->masks) {
        size_t bytes = (size_t)(w->size_count + q->masks) * sizeof *w->sizes;
        double *sizes = realloc(w->sizes, bytes);
        if (!sizes)
            return mf_no_memory(bytes, "sizes of masks");
        w->sizes = sizes;
    }
    double *here = w->sizes + w->size_count;
    for (int64_t k = 0; k < q->masks; k++)
        here[k] = (double)q->mask_voxels[k] * voxel;
    w->size_count += q->masks;
    spread(here, q->masks, of);
    return MF_OK;
}

/* The rows of a case. voxel: mm3 of one. */
static mf_status add_case(work *w, const char *name, const mask_quality *q, double voxel)
{
    double dice = 0, found = 0, labels = 0, of[3];
    for (int64_t i = 0; i < q->count; i++) {
        const mask_match *m = &q->matches[i];
        const char *note = !m->voxels ? "not in the label map" : m->mask < 0 ? "in no mask" : "";
        const double mask = m->mask < 0 ? NAN : (double)m->mask,
                     size = m->mask < 0 ? NAN : (double)m->mask_voxels * voxel,
                     truth = (double)m->voxels * voxel;
        const mf_name *called = mf_names_find(&w->names, m->label);
        MF_TRY(
            w->names.count
                ? mf_table_row(w->table, name, (double)m->label, called ? called->name : "",
                               m->dice, mask, size, truth, note)
                : mf_table_row(w->table, name, (double)m->label, m->dice, mask, size, truth, note));
        if (!m->voxels)
            continue;
        labels++;
        dice += m->dice;
        found += m->dice > w->o->threshold;
    }
    MF_TRY(add_sizes(w, q, voxel, of));
    /* Masks of a case that has none of the labels cannot match: that says nothing of them. */
    double matching = labels > 0 ? part((double)q->above, (double)q->masks) : NAN;
    double labelled = part((double)q->labelled_covered, (double)q->labelled);
    double body = part((double)q->body_covered, (double)q->body);
    sums *s = &w->sum;
    s->cases++;
    s->masks += (double)q->masks;
    s->labels += (int64_t)labels;
    s->dice += dice;
    s->found += found;
    s->matched += !isnan(matching);
    s->matching += isnan(matching) ? 0 : matching;
    s->with_labels += labels > 0;
    s->labelled += labels > 0 ? labelled : 0;
    s->body += body;
    return mf_table_row(w->by_case, name, (double)q->masks, part(dice, labels), part(found, labels),
                        matching, labelled, body, of[0], of[1], of[2]);
}

/* The label map or body of the case, on the grid of its masks. */
static mf_status read_map(work *w, const char *port, const char *what, const char *name,
                          const mf_grid *grid, mf_array **voxels)
{
    const mf_artifact *map;
    mf_grid own;
    size_t k;
    MF_TRY(match_case(w->task, port, name, &k));
    if (k == mf_in_count(w->task, port))
        return mf_fail(MF_INVALID, "case %s has masks but no %s", name, what);
    MF_TRY(mf_in_item(w->task, port, k, &map));
    MF_TRY(mf_artifact_grid(map, &own));
    MF_TRY(mf_hint(voxels_check_grids(name, "masks", grid, what, &own),
                   "load labels with labels.load, with the scan as its input `like`"));
    return voxels_read(map, voxels);
}

/* Without any voxel there is nothing to match: most likely the wrong file, or another export. */
static mf_status check_map(const char *name, const char *what, const mf_array *map)
{
    const int32_t *v = map->data;
    for (int64_t i = 0; i < mf_array_count(map); i++)
        if (v[i])
            return MF_OK;
    return mf_hint(mf_fail(MF_INVALID, "case %s: the %s is empty", name, what),
                   "leave the case out with `where`, or check its file");
}

static mf_status measure(work *w, const char *name, const mf_artifact *masks, const mf_grid *grid,
                         const mf_array *labels, const mf_array *body)
{
    mask_truth truth = {.labels = labels->data,
                        .body = body ? body->data : NULL,
                        .chosen = w->labels.v,
                        .chosen_count = w->labels.count,
                        .threshold = w->o->threshold};
    mask_quality q;
    mf_zyx(grid->size, truth.size);
    mf_status status = mask_quality_measure(masks, &truth, &q);
    if (!status)
        status = add_case(w, name, &q, grid->spacing[0] * grid->spacing[1] * grid->spacing[2]);
    mask_quality_clear(&q);
    return mf_within(status, "case %s", name);
}

static mf_status compare_case(work *w, size_t i)
{
    const char *name = mf_in_case(w->task, "masks", i);
    const mf_artifact *masks;
    mf_array *labels = NULL, *body = NULL;
    mf_grid grid;
    MF_TRY(mf_in_item(w->task, "masks", i, &masks));
    MF_TRY(mf_artifact_grid(masks, &grid));
    mf_status status = read_map(w, "labels", "label map", name, &grid, &labels);
    if (!status)
        status = check_map(name, "label map", labels);
    if (!status && mf_in_count(w->task, "body"))
        status = read_map(w, "body", "body mask", name, &grid, &body);
    if (!status && body)
        status = check_map(name, "body mask", body);
    if (!status)
        status = measure(w, name, masks, &grid, labels, body);
    mf_array_unref(labels);
    mf_array_unref(body);
    return status;
}

static mf_status summarize(work *w, mf_table *table)
{
    const sums *s = &w->sum;
    double of[3], n = (double)s->cases, labels = (double)s->labels;
    if (!s->labels)
        return mf_hint(mf_fail(MF_INVALID, "no case has one of the labels that are compared"),
                       "check the parameter labels");
    spread(w->sizes, w->size_count, of);
    mf_log(w->task,
           "%.4g masks per case; best masks: mean Dice %.4f, above %g in %.1f%% of %lld labels; "
           "%.1f%% of the masks match a label",
           s->masks / n, s->dice / labels, w->o->threshold, 100 * s->found / labels,
           (long long)s->labels, s->matched ? 100 * s->matching / (double)s->matched : 0.0);
    return mf_table_row(table, n, s->masks / n, s->dice / labels, s->found / labels,
                        part(s->matching, (double)s->matched),
                        part(s->labelled, (double)s->with_labels), s->body / n, of[0], of[1],
                        of[2]);
}

static mf_status put(mf_task *t, const char *port, mf_table **table)
{
    mf_artifact *artifact;
    mf_table *finished = *table;
    *table = NULL;
    MF_TRY(mf_table_finish(finished, &artifact));
    return mf_out(t, port, artifact);
}

static mf_status fill(work *w, mf_table **summary)
{
    size_t cases = mf_in_count(w->task, "masks");
    if (!cases)
        return mf_fail(MF_INVALID, "there are no cases");
    for (size_t i = 0; i < cases; i++) {
        MF_TRY(mf_cancel_point(w->task));
        MF_TRY(compare_case(w, i));
        mf_progress(w->task, (int64_t)i + 1, (int64_t)cases, NULL);
    }
    MF_TRY(summarize(w, *summary));
    MF_TRY(put(w->task, "table", &w->table));
    MF_TRY(put(w->task, "cases", &w->by_case));
    return put(w->task, "summary", summary);
}

/* Names of all label maps, and what is to be compared. */
static mf_status choose(work *w)
{
    int64_t *values;
    MF_TRY(mf_port_names(w->task, (const char *const[]){"labels", NULL}, &w->names));
    MF_TRY(mf_labels_values(&w->o->labels, &w->names, "labels", &values, &w->labels.count));
    w->labels.v = values;
    return MF_OK;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    static const char *const columns[] = {"case:text", "label",     "dice",      "mask",
                                          "mask_mm3",  "label_mm3", "note:text", NULL};
    static const char *const named[] = {"case:text", "label",     "name:text", "dice", "mask",
                                        "mask_mm3",  "label_mm3", "note:text", NULL};
    static const char *const of_cases[] = {
        "case:text",    "masks",   "dice",       "found",   "matching", "labels_covered",
        "body_covered", "mm3_min", "mm3_median", "mm3_max", NULL};
    static const char *const of_all[] = {
        "cases",        "masks",   "dice",       "found",   "matching", "labels_covered",
        "body_covered", "mm3_min", "mm3_median", "mm3_max", NULL};
    work w = {.task = t, .o = p};
    mf_table *summary = NULL;
    (void)session;
    mf_status status = choose(&w);
    if (!status)
        status = mf_table_new(w.names.count ? named : columns, &w.table);
    if (!status)
        status = mf_table_new(of_cases, &w.by_case);
    if (!status)
        status = mf_table_new(of_all, &summary);
    if (!status)
        status = fill(&w, &summary);
    mf_table_free(w.table);
    mf_table_free(w.by_case);
    mf_table_free(summary);
    mf_names_clear(&w.names);
    free((void *)w.labels.v);
    free(w.sizes);
    return status;
}

MF_STAGE(metrics_masks, "metrics.masks", 2,
         "Measures how well class-agnostic masks match label maps.",
         .help = "For each label the mask with the highest Dice is its best mask. `found`: part of "
                 "the labels whose best mask has a Dice above `threshold`. `matching`: part of the "
                 "masks whose Dice with some label is above `threshold`. A label that meets no "
                 "mask has a Dice of 0. A label that is asked for and not in the map of a case is "
                 "excluded. Masks and label maps lie on one grid.",
         .params = params, .params_size = sizeof(masks_params), .in = inputs, .out = outputs,
         .run = run);
