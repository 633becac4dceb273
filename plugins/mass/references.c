/* references.c - see references.h. */
#include "references.h"
#include "../common/label_values.h"
#include "../common/port_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LABELS = 65536 }; /* values that a label may have */

typedef struct work {
    const mf_references *r;
    mf_examples e;
    bool *there;        /* [LABELS]: some reference has it */
    mf_modality common; /* of all references so far */
    int64_t read;       /* how many */
    bool mixed;         /* they are of several modalities */
} work;

/* ---- reading --------------------------------------------------------------------------------- */

/* Labels number i as u16, on the grid of their scan. */
static mf_status read_labels(const mf_references *r, size_t i, mf_grid *grid, mf_array **labels)
{
    const mf_artifact *scan, *a;
    mf_grid like;
    mf_array *raw;
    MF_TRY(mf_in_item(r->task, r->scans, i, &scan));
    MF_TRY(mf_in_item(r->task, r->labels, i, &a));
    MF_TRY(mf_artifact_grid(scan, &like));
    MF_TRY(mf_artifact_grid(a, grid));
    if (!mf_grid_equal(grid, &like, 0.01))
        return mf_hint(mf_fail(MF_INVALID,
                               "the scan (%lld x %lld x %lld) and its labels %s (%lld x %lld x "
                               "%lld) lie on different grids",
                               (long long)like.size[0], (long long)like.size[1],
                               (long long)like.size[2], mf_in_name(r->task, r->labels, i),
                               (long long)grid->size[0], (long long)grid->size[1],
                               (long long)grid->size[2]),
                       "load the labels with labels.load, with the scan as its input `like`");
    MF_TRY(mf_artifact_array(a, "voxels", &raw));
    mf_status status = mf_label_values(raw, labels);
    mf_array_unref(raw);
    return status;
}

static mf_status note_labels(work *w, size_t i)
{
    mf_grid grid;
    mf_array *labels;
    MF_TRY(read_labels(w->r, i, &grid, &labels));
    for (int64_t v = 0; v < mf_array_count(labels); v++)
        w->there[((const uint16_t *)labels->data)[v]] = true;
    mf_array_unref(labels);
    return MF_OK;
}

static mf_status within(const mf_references *r, size_t i, mf_status status)
{
    return mf_within(status, "reference %zu (%s)", i + 1, mf_in_name(r->task, r->scans, i));
}

/* Marks the labels that are asked for; *chosen is the caller's to free. */
static mf_status choose_wanted(const mf_references *r, const mf_names *names, bool **chosen)
{
    int64_t *values;
    size_t count;
    *chosen = NULL;
    MF_TRY(mf_labels_values(&r->wanted, names, "labels", &values, &count));
    mf_status status = mf_label_values_check(values, count);
    if (!status && !(*chosen = calloc(LABELS, sizeof **chosen)))
        status = mf_no_memory(LABELS * sizeof **chosen, "labels");
    for (size_t i = 0; i < count && !status; i++)
        (*chosen)[values[i]] = true;
    free(values);
    return status;
}

/* Which labels to embed, ascending. */
static mf_status choose_labels(work *w, mf_embedding *e)
{
    const mf_references *r = w->r;
    bool *chosen = w->there;
    mf_status status = MF_OK;
    for (size_t i = 0; i < mf_in_count(r->task, r->scans) && !status; i++)
        status = within(r, i, note_labels(w, i));
    MF_TRY(status);
    MF_TRY(mf_port_names(r->task, (const char *const[]){r->labels, NULL}, &e->names));
    if (r->wanted.count)
        MF_TRY(choose_wanted(r, &e->names, &chosen));
    e->labels = calloc(LABELS, sizeof *e->labels);
    if (!e->labels)
        status = mf_no_memory(LABELS * sizeof *e->labels, "labels");
    for (int64_t label = 1; label < LABELS && !status; label++)
        if (chosen[label])
            e->labels[w->e.k++] = label;
    if (chosen != w->there)
        free(chosen);
    if (!status && w->e.k == 0)
        status = mf_fail(MF_INVALID, "the references have no label other than 0");
    return status;
}

/* ---- embedding ------------------------------------------------------------------------------- */

static mf_status step(void *user)
{
    return mf_cancel_point(user);
}

static void note_modality(work *w, mf_modality modality)
{
    w->mixed |= w->read++ > 0 && modality != w->common;
    w->common = modality;
}

static mf_status add_reference(work *w, size_t index)
{
    const mf_references *r = w->r;
    const mf_artifact *volume;
    mf_grid grid, labels_grid;
    mf_modality modality;
    mf_array *labels;
    float *voxels;
    int64_t size[3];
    MF_TRY(mf_in_item(r->task, r->scans, index, &volume));
    MF_TRY(mf_scan_read(volume, &r->settings, &grid, &voxels, &modality));
    note_modality(w, modality);
    mf_zyx(grid.size, size);
    uint16_t *here = calloc((size_t)mf_grid_voxels(&grid), sizeof *here);
    mf_status status =
        here ? read_labels(r, index, &labels_grid, &labels) : mf_no_memory(0, "labels");
    if (!status) {
        status = mf_within(mf_resample_nearest(&labels_grid, labels->data, &grid, here, 2),
                           "its labels");
        mf_array_unref(labels);
    }
    if (!status && r->whole_scan)
        status = mf_normalize_voxels(voxels, mf_grid_voxels(&grid), modality,
                                     &r->settings.normalize, NULL);
    if (!status)
        status = mf_examples_add(&w->e, voxels, here, size, modality);
    free(here);
    free(voxels);
    return status;
}

/* "1 2 3 ..." of the labels there are. */
static const char *labels_text(const work *w, char text[128])
{
    size_t n = 0;
    text[0] = '\0';
    for (int label = 1; label < LABELS && n < 128; label++)
        if (w->there[label]) {
            if (n > 110) {
                snprintf(text + n, 128 - n, " ...");
                break;
            }
            n += (size_t)snprintf(text + n, 128 - n, "%s%d", n ? " " : "", label);
        }
    return text;
}

/* A label without an example is drawn, or is an error. */
static mf_status complete(work *w)
{
    char text[128];
    for (int64_t i = 0; i < w->e.k; i++) {
        long long label = (long long)w->e.labels[i];
        if (w->e.examples[i])
            continue;
        if (w->r->random)
            mf_examples_draw(&w->e, i, w->r->random);
        else if (w->there[label])
            return mf_hint(mf_fail(MF_INVALID, "no crop of a reference shows label %lld", label),
                           "its voxels are lost at the spacing of the model, or lie further apart "
                           "than patch_size: leave the label out, or take a larger patch_size");
        else
            return mf_hint(mf_fail(MF_INVALID, "no reference has voxels of label %lld", label),
                           "labels of the references: %s", labels_text(w, text));
    }
    return MF_OK;
}

static mf_status embed_all(work *w, mf_embedding *e)
{
    const mf_references *r = w->r;
    size_t count = mf_in_count(r->task, r->scans);
    MF_TRY(choose_labels(w, e));
    w->e.labels = e->labels;
    MF_TRY(mf_examples_begin(&w->e));
    mf_status status = MF_OK;
    for (size_t i = 0; i < count && !status; i++)
        status = within(r, i, add_reference(w, i));
    MF_TRY(status);
    mf_examples_mean(&w->e);
    return complete(w);
}

static mf_status describe(const work *w, mf_predictor *predictor, mf_embedding_settings *s)
{
    const mf_references *r = w->r;
    memcpy(s->spacing, r->settings.spacing, sizeof s->spacing);
    memcpy(s->patch_size, r->patch_size, sizeof s->patch_size);
    s->whole_scan = r->whole_scan;
    s->modality = w->mixed ? "" : mf_modality_text(w->common);
    s->clip = r->settings.normalize;
    if (r->model) {
        snprintf(s->model, sizeof s->model, "%s", r->model);
        return MF_OK;
    }
    return mf_embedding_fingerprint(mf_predictor_weights(predictor), false, s->model);
}

mf_status mf_references_embed(const mf_references *r, mf_predictor *predictor, mf_embedding *e)
{
    size_t scans = mf_in_count(r->task, r->scans), labels = mf_in_count(r->task, r->labels);
    work w = {.r = r,
              .e = {.predictor = predictor,
                    .place = r->place,
                    .normalize_crop = !r->whole_scan,
                    .clip = r->settings.normalize,
                    .step = step,
                    .user = r->task}};
    *e = (mf_embedding){0};
    if (scans == 0 || scans != labels)
        return mf_fail(MF_INVALID, "%zu %s with %zu label maps", scans, r->scans, labels);
    w.there = calloc(LABELS, sizeof *w.there);
    if (!w.there)
        return mf_no_memory(LABELS * sizeof *w.there, "labels");
    mf_zyx(r->patch_size, w.e.crop);
    mf_status status = embed_all(&w, e);
    if (!status)
        status = describe(&w, predictor, &e->settings);
    if (!status) {
        e->priors = w.e.sums; /* theirs from now on */
        e->examples = w.e.examples;
        w.e.sums = (mf_priors){0};
        w.e.examples = NULL;
    }
    mf_examples_clear(&w.e);
    free(w.there);
    if (status)
        mf_embedding_clear(e);
    return status;
}
