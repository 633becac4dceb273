/* metrics_overlap.c - stage metrics.overlap: how well predicted labels match the truth. */
#include "../common/port_names.h"
#include "match.h"
#include "metrics_overlap.code.h"
#include "metrics_stages.h"
#include "surface.h"
#include "voxels.h"
#include <massflow/stage.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct overlap_params {
    mf_labels labels;
    bool surface_distances;
} overlap_params;

static const mf_param params[] = {
    MF_LABELS(overlap_params, labels, "[]", 1, 1048576,
              "Labels to compare, by value or name; a set of labels (a region of nnU-Net) is "
              "compared as one. Empty: all labels of each case's truth and "
              "prediction."),
    MF_BOOL(overlap_params, surface_distances, "true",
            "Compute HD95 and ASD. false: Dice only, which is faster."),
    MF_END};
static const mf_port inputs[] = {
    MF_PORT_MARKED("pred", "labels[]?", "Predicted label map of each case.", MF_KEYED),
    MF_PORT_MARKED("masks", "masks[]?",
                   "Instead of label maps: masks with labels, which may overlap, from mass.segment "
                   "with `compete: false` or sam2.segment.",
                   MF_KEYED),
    MF_PORT_MARKED("truth", "labels[]", "True label maps, matched to the predictions by case id.",
                   MF_KEYED),
    MF_END};
static const mf_port outputs[] = {
    MF_PORT("table", "table",
            "A row per case and label: Dice, HD95 and ASD in mm, volumes in ml, and a note if a "
            "metric is "
            "undefined. A column name, where the labels have names."),
    MF_PORT(
        "summary", "table",
        "A row per label and a last row `mean` over all labels. dice, hd95_mm, asd_mm: means over "
        "the "
        "cases where the metric is defined, counted in cases (Dice) and distance_cases (HD95, "
        "ASD). "
        "false_negatives, false_positives, empty: cases with the label in the truth only, in the "
        "prediction only, in neither."),
    MF_END};

#define MOST_LABELS 1048576
#define MOST_SETS 1024 /* that a label map has */

/* Sums for one row of the summary. */
typedef struct sums {
    double dice, hd95, asd;
    int64_t cases, distances, false_negatives, false_positives, empty;
} sums;

typedef struct work {
    mf_task *task;
    const overlap_params *o;
    const char *port;   /* of the predictions: "pred" or "masks" */
    mf_names names;     /* of the labels; none: the tables have no column for them */
    mf_label_sets sets; /* of labels: set i is compared as the label MOST_LABELS + 1 + i */
    mf_ints labels;     /* that are compared; none: all of each case */
    mf_table *table;
    sums *label; /* [MOST_LABELS + 1 + MOST_SETS]; [0] is over all labels */
    int32_t most;
} work;

static void add_sums(sums *s, const overlap *v)
{
    s->empty += isnan(v->dice);
    if (isnan(v->dice))
        return;
    s->cases++;
    s->dice += v->dice;
    s->false_negatives += v->b > 0 && v->a == 0;
    s->false_positives += v->a > 0 && v->b == 0;
    if (isnan(v->hd95))
        return;
    s->distances++;
    s->hd95 += v->hd95;
    s->asd += v->asd;
}

static const char *note_of(const overlap *v)
{
    return !v->a && !v->b ? "in neither" : !v->a ? "false negative" : !v->b ? "false positive" : "";
}

/* The set that a label stands for; NULL: it is a label itself. */
static const mf_label_set *set_of(const work *w, int32_t label)
{
    return label > MOST_LABELS ? &w->sets.v[label - MOST_LABELS - 1] : NULL;
}

static const char *called(const work *w, int32_t label)
{
    if (set_of(w, label))
        return set_of(w, label)->name;
    const mf_name *name = mf_names_find(&w->names, label);
    return name ? name->name : "";
}

static bool has_names(const work *w)
{
    return w->names.count || w->sets.count;
}

static mf_status compare_label(work *w, const char *name, const int32_t *a, const int32_t *b,
                               const mf_grid *g, int32_t label)
{
    int64_t n[3];
    mf_zyx(g->size, n);
    const double spacing[3] = {g->spacing[2], g->spacing[1], g->spacing[0]};
    double ml = g->spacing[0] * g->spacing[1] * g->spacing[2] / 1000;
    overlap v;
    MF_TRY(overlap_measure(a, b, n, spacing, label, &v));
    if (!w->o->surface_distances)
        v.hd95 = v.asd = NAN;
    add_sums(&w->label[label], &v);
    add_sums(&w->label[0], &v);
    w->most = label > w->most ? label : w->most;
    if (has_names(w))
        return mf_table_row(w->table, name, set_of(w, label) ? NAN : (double)label,
                            called(w, label), v.dice, v.hd95, v.asd, (double)v.a * ml,
                            (double)v.b * ml, note_of(&v));
    return mf_table_row(w->table, name, (double)label, v.dice, v.hd95, v.asd, (double)v.a * ml,
                        (double)v.b * ml, note_of(&v));
}

/* What is predicted of a case: a label map, or masks with the label of each. */
typedef struct prediction {
    mf_array *map;
    const mf_artifact *masks;
    mf_array *labels; /* i32, of the masks */
    uint8_t *dense;   /* room for one of them */
} prediction;

static void prediction_clear(prediction *p)
{
    mf_array_unref(p->map);
    mf_array_unref(p->labels);
    free(p->dense);
}

static mf_status note_label(const char *name, int32_t l, bool *seen)
{
    if (l > MOST_LABELS || l < 0)
        return mf_fail(MF_UNSUPPORTED, "case %s: label %d; 0 to %d are compared", name, l,
                       MOST_LABELS);
    seen[l] = true;
    return MF_OK;
}

/* The voxels of the masks of a label get it in the map, all others 0. */
static mf_status draw_label(prediction *p, const mf_grid *g, int32_t label)
{
    const int64_t lo[3] = {0}, hi[3] = {g->size[2], g->size[1], g->size[0]};
    const int32_t *labels = p->labels->data;
    int32_t *map = p->map->data;
    memset(map, 0, p->map->bytes);
    for (int64_t k = 0; k < mf_array_count(p->labels); k++) {
        if (labels[k] != label)
            continue;
        MF_TRY(mf_masks_crop(p->masks, k, lo, hi, p->dense));
        for (int64_t v = 0; v < mf_array_count(p->map); v++)
            map[v] = p->dense[v] ? label : map[v];
    }
    return MF_OK;
}

static mf_status compare_one(work *w, const char *name, prediction *p, const mf_array *truth,
                             const mf_grid *g, int32_t label)
{
    if (p->masks)
        MF_TRY(draw_label(p, g, label));
    return compare_label(w, name, p->map->data, truth->data, g, label);
}

/* The voxels of a set, as its label; the caller unrefs. */
static mf_status draw_set(const mf_array *map, const mf_label_set *set, int32_t label,
                          mf_array **drawn)
{
    MF_TRY(mf_array_new(MF_I32, 3, map->shape, drawn));
    const int32_t *from = map->data;
    int32_t *to = (*drawn)->data;
    for (int64_t i = 0; i < mf_array_count(map); i++)
        for (size_t k = 0; k < set->count; k++)
            to[i] = from[i] == set->values[k] ? label : to[i];
    return MF_OK;
}

/* The voxels of all masks of a set, which may overlap. */
static mf_status draw_masks_of_set(prediction *p, const mf_grid *g, const mf_label_set *set,
                                   int32_t label, mf_array **drawn)
{
    MF_TRY(mf_array_new(MF_I32, 3, p->map->shape, drawn));
    int32_t *to = (*drawn)->data;
    mf_status status = MF_OK;
    for (size_t k = 0; k < set->count && !status; k++) {
        status = draw_label(p, g, (int32_t)set->values[k]);
        const int32_t *from = p->map->data;
        for (int64_t i = 0; i < mf_array_count(p->map) && !status; i++)
            to[i] = from[i] ? label : to[i];
    }
    if (status) {
        mf_array_unref(*drawn);
        *drawn = NULL;
    }
    return status;
}

static mf_status compare_set(work *w, const char *name, prediction *p, const mf_array *truth,
                             const mf_grid *g, int32_t label)
{
    const mf_label_set *set = set_of(w, label);
    mf_array *a, *b = NULL;
    MF_TRY(p->masks ? draw_masks_of_set(p, g, set, label, &a) : draw_set(p->map, set, label, &a));
    mf_status status = draw_set(truth, set, label, &b);
    if (!status)
        status = compare_label(w, name, a->data, b->data, g, label);
    mf_array_unref(a);
    mf_array_unref(b);
    return status;
}

static mf_status compare(work *w, const char *name, prediction *p, const mf_array *truth,
                         const mf_grid *g)
{
    if (w->labels.count) {
        for (size_t i = 0; i < w->labels.count; i++) {
            const int32_t label = (int32_t)w->labels.v[i];
            MF_TRY((set_of(w, label) ? compare_set : compare_one)(w, name, p, truth, g, label));
        }
        return MF_OK;
    }
    const mf_array *said = p->masks ? p->labels : p->map;
    const int32_t *a = said->data, *b = truth->data;
    bool *seen = calloc(MOST_LABELS + 1, 1);
    mf_status status = seen ? MF_OK : mf_no_memory(0, "a list of labels");
    for (int64_t i = 0; i < mf_array_count(said) && !status; i++)
        status = note_label(name, a[i], seen);
    for (int64_t i = 0; i < mf_array_count(truth) && !status; i++)
        status = note_label(name, b[i], seen);
    for (int32_t l = 1; l <= MOST_LABELS && !status; l++)
        if (seen[l])
            status = compare_one(w, name, p, truth, g, l);
    free(seen);
    return status;
}

static mf_status read_masks(const mf_artifact *a, const char *name, const mf_grid *g, prediction *p)
{
    mf_array_info info;
    int64_t shape[3];
    mf_zyx(g->size, shape);
    if (!mf_artifact_find(a, "label", &info) || info.ragged || info.rank != 1 ||
        info.dtype != MF_I32 || info.shape[0] != mf_masks_count(a))
        return mf_hint(
            mf_fail(MF_INVALID, "case %s: the masks have no labels", name),
            "mass.segment with `compete: false` and sam2.segment give masks with labels");
    p->masks = a;
    MF_TRY(mf_artifact_array(a, "label", &p->labels));
    MF_TRY(mf_array_new(MF_I32, 3, shape, &p->map));
    p->dense = malloc((size_t)mf_grid_voxels(g));
    return p->dense ? MF_OK : mf_no_memory((size_t)mf_grid_voxels(g), "a mask");
}

static mf_status compare_case(work *w, size_t i)
{
    const char *name = mf_in_case(w->task, w->port, i);
    size_t match;
    const mf_artifact *pred, *truth;
    mf_grid gp, gt;
    prediction p = {0};
    mf_array *b;
    MF_TRY(match_case(w->task, "truth", name, &match));
    if (match == mf_in_count(w->task, "truth"))
        return mf_fail(MF_INVALID, "case %s has a prediction but no truth", name);
    MF_TRY(mf_in_item(w->task, w->port, i, &pred));
    MF_TRY(mf_in_item(w->task, "truth", match, &truth));
    MF_TRY(mf_artifact_grid(pred, &gp));
    MF_TRY(mf_artifact_grid(truth, &gt));
    MF_TRY(mf_hint(voxels_check_grids(name, "prediction", &gp, "truth", &gt),
                   "load the truth with labels.load, with the scan as its input `like`"));
    mf_status status =
        !strcmp(w->port, "masks") ? read_masks(pred, name, &gp, &p) : voxels_read(pred, &p.map);
    if (!status)
        status = voxels_read(truth, &b);
    if (!status) {
        status = compare(w, name, &p, b, &gt);
        mf_array_unref(b);
    }
    prediction_clear(&p);
    return status;
}

/* Means over all labels of all cases, each over those where it is defined. */
static void say(const work *w)
{
    const sums *s = &w->label[0];
    char distances[96] = "", over[64] = "", empty[64] = "";
    if (s->distances) {
        snprintf(distances, sizeof distances, ", HD95 %.2f mm, ASD %.2f mm",
                 s->hd95 / (double)s->distances, s->asd / (double)s->distances);
        if (s->distances < s->cases)
            snprintf(over, sizeof over, "; distances over the %lld in both",
                     (long long)s->distances);
    }
    if (s->empty)
        snprintf(empty, sizeof empty, "; %lld in neither, excluded", (long long)s->empty);
    if (s->cases)
        mf_log(w->task, "mean over %lld labels of all cases: Dice %.4f%s%s%s", (long long)s->cases,
               s->dice / (double)s->cases, distances, over, empty);
    else
        mf_log(w->task, "nothing to compare: neither predictions nor truth contain a label%s",
               empty);
}

static mf_status summarize(work *w)
{
    static const char *const columns[] = {
        "label:text",      "cases",           "dice",           "hd95_mm", "asd_mm",
        "false_negatives", "false_positives", "distance_cases", "empty",   NULL};
    static const char *const named[] = {
        "label:text",      "name:text",       "cases",          "dice",  "hd95_mm", "asd_mm",
        "false_negatives", "false_positives", "distance_cases", "empty", NULL};
    mf_table *table;
    mf_artifact *summary;
    MF_TRY(mf_table_new(has_names(w) ? named : columns, &table));
    for (int32_t l = 1; l <= w->most + 1; l++) {
        const bool mean = l > w->most;
        const sums *s = &w->label[mean ? 0 : l];
        double n = (double)s->cases, d = (double)s->distances;
        char name[16] = "mean";
        if (!s->cases && !s->empty && !mean)
            continue;
        if (!mean && set_of(w, l))
            *name = '\0'; /* its name says it */
        else if (!mean)
            snprintf(name, sizeof name, "%d", l);
        const double row[] = {n,
                              n > 0 ? s->dice / n : NAN,
                              d > 0 ? s->hd95 / d : NAN,
                              d > 0 ? s->asd / d : NAN,
                              (double)s->false_negatives,
                              (double)s->false_positives,
                              d,
                              (double)s->empty};
        mf_status status = has_names(w)
                               ? mf_table_row(table, name, mean ? "" : called(w, l), row[0], row[1],
                                              row[2], row[3], row[4], row[5], row[6], row[7])
                               : mf_table_row(table, name, row[0], row[1], row[2], row[3], row[4],
                                              row[5], row[6], row[7]);
        if (status) {
            mf_table_free(table);
            return status;
        }
    }
    say(w);
    MF_TRY(mf_table_finish(table, &summary));
    return mf_out(w->task, "summary", summary);
}

/* The sets of all truths. */
static mf_status find_sets(work *w)
{
    for (size_t i = 0; i < mf_in_count(w->task, "truth"); i++) {
        const mf_artifact *truth;
        mf_label_sets own;
        MF_TRY(mf_in_item(w->task, "truth", i, &truth));
        MF_TRY(mf_artifact_label_sets(truth, &own));
        mf_status status = MF_OK;
        for (size_t k = 0; k < own.count && !status; k++)
            status = mf_label_sets_put(&w->sets, own.v[k].name, own.v[k].values, own.v[k].count);
        mf_label_sets_clear(&own);
        MF_TRY(mf_within(status, "%s", mf_in_name(w->task, "truth", i)));
    }
    return MF_OK;
}

/* The value of one that is to be compared: a set of several has one of its own. */
static mf_status value_of(const work *w, const mf_label *label, int64_t *value)
{
    const mf_label_set *set = label->name ? mf_label_sets_find(&w->sets, label->name) : NULL;
    int64_t *values;
    size_t count;
    MF_TRY(mf_labels_values_of(&(mf_labels){label, 1}, &w->names, &w->sets, "labels", &values,
                               &count));
    *value = values[0];
    free(values);
    if (set && count > 1) {
        *value = MOST_LABELS + 1 + (set - w->sets.v);
        return MF_OK;
    }
    return *value <= MOST_LABELS ? MF_OK
                                 : mf_fail(MF_UNSUPPORTED, "label %lld; 1 to %d are compared",
                                           (long long)*value, MOST_LABELS);
}

/* Names of all label maps, and what is to be compared. */
static mf_status choose(work *w)
{
    const mf_labels *wanted = &w->o->labels;
    MF_TRY(mf_port_names(w->task, (const char *const[]){"truth", w->port, NULL}, &w->names));
    MF_TRY(find_sets(w));
    int64_t *values = calloc(wanted->count + 1, sizeof *values);
    if (!values)
        return mf_no_memory(0, "a list of labels");
    w->labels.v = values;
    for (size_t i = 0; i < wanted->count; i++)
        MF_TRY(value_of(w, &wanted->v[i], &values[i]));
    w->labels.count = wanted->count;
    return MF_OK;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    static const char *const columns[] = {"case:text", "label",    "dice",      "hd95_mm", "asd_mm",
                                          "pred_ml",   "truth_ml", "note:text", NULL};
    static const char *const named[] = {"case:text", "label",   "name:text", "dice",      "hd95_mm",
                                        "asd_mm",    "pred_ml", "truth_ml",  "note:text", NULL};
    size_t maps = mf_in_count(t, "pred"), masks = mf_in_count(t, "masks");
    size_t cases = maps ? maps : masks;
    work w = {.task = t, .o = p, .port = masks ? "masks" : "pred"};
    mf_artifact *table;
    (void)session;
    if (!cases)
        return mf_hint(mf_fail(MF_INVALID, "nothing is predicted"),
                       "connect the input pred or the input masks");
    if (maps && masks)
        return mf_hint(mf_fail(MF_INVALID, "label maps and masks are compared one at a time"),
                       "leave out the input pred or the input masks");
    w.label = calloc(MOST_LABELS + 1 + MOST_SETS, sizeof *w.label);
    mf_status status = w.label ? choose(&w) : mf_no_memory(0, "a summary");
    if (!status)
        status = mf_table_new(has_names(&w) ? named : columns, &w.table);
    for (size_t i = 0; i < cases && !status; i++) {
        status = mf_cancel_point(t);
        if (!status)
            status = compare_case(&w, i);
        mf_progress(t, (int64_t)i + 1, (int64_t)cases, NULL);
    }
    if (status) {
        mf_table_free(w.table);
    } else {
        status = mf_table_finish(w.table, &table);
        if (!status)
            status = mf_out(t, "table", table);
    }
    if (!status)
        status = summarize(&w);
    mf_names_clear(&w.names);
    mf_label_sets_clear(&w.sets);
    free((void *)w.labels.v);
    free(w.label);
    return status;
}

MF_STAGE(
    metrics_overlap, "metrics.overlap", 6,
    "Computes Dice, HD95 and ASD of predicted label maps against the truth.",
    .help =
        "Dice is 2 |A and B| / (|A| + |B|). HD95 is the larger of the two 95th percentiles of the "
        "distances from one surface to the other. ASD is the mean of the two average surface "
        "distances. Both are in mm and exact for any spacing; surfaces are sampled at voxel "
        "corners. A label that is in neither map is excluded: its metrics are empty. A label that "
        "is in one map only has Dice 0 and empty distances. Means are over the values that are "
        "defined, and the summary counts them. Masks are compared label by label, also where they "
        "overlap.",
    .params = params, .params_size = sizeof(overlap_params), .in = inputs, .out = outputs,
    .run = run);
