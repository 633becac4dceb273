/* mass_import.c - the stage mass.import: a scan as the official MASS code prepares it. */
#include "../common/normalize.h"
#include "../common/npy.h"
#include "corpus_stages.h"
#include "masks_read.h"
#include "mass_import.code.h"

#include <math.h>
#include <string.h>

typedef struct import_params {
    const char *image, *masks, *labels, *group, *modality;
    mf_real3 spacing;
    double weight;
} import_params;

static const mf_param params[] = {
    MF_PATH(import_params, image, NULL,
            "The prepared scan, CASE_image.npy: [depth, height, width]."),
    MF_PATH(import_params, masks, "",
            "The data set's dataset.h5, for the output `sample`; needs `group`."),
    MF_TEXT(import_params, group, "",
            "Group of this scan in dataset.h5: the name of its image, \"${case.name}\"."),
    MF_PATH(import_params, labels, "", "Its labels, CASE_gt.npy, for the output `labels`."),
    MF_REAL3(import_params, spacing, "[1.5, 1.5, 1.5]", 0.05, 100, "mm",
             "Spacing along x, y, z that it was resampled to: the files do not say."),
    MF_CHOICE_FOLDED(import_params, modality, "unknown", "unknown|" MF_MODALITIES,
                     "Modality of the scan: the files do not say."),
    MF_REAL(import_params, weight, "1", 0, 1e6, "",
            "How often augment.views draws this sample with sampling: weighted, in proportion to "
            "the others. 0: never."),
    MF_END};
static const mf_port inputs[] = {MF_END};
static const mf_port outputs[] = {
    MF_PORT("volume", "volume",
            "The prepared image: normalized intensities. Later stages "
            "do not normalize them again."),
    MF_PORT("sample", "sample?", "The prepared image with its masks, for augment.views."),
    MF_PORT("labels", "labels?", "Its labels, on the same grid."), MF_END};

static mf_status check(const void *p)
{
    const import_params *o = p;
    if (o->masks && !*o->group)
        return mf_hint(mf_fail(MF_INVALID, "masks: needs `group`, which of the file's groups is "
                                           "this scan's"),
                       "with the cases of the source `mass`: group: \"${case.name}\"");
    if (!o->masks && *o->group)
        return mf_fail(MF_INVALID, "group: is of no use without `masks`");
    if (strchr(o->group, '/') || !strcmp(o->group, "."))
        return mf_fail(MF_INVALID, "group: '%s' is not the name of a group at the top of the file",
                       o->group);
    return MF_OK;
}

/* ---- arrays ---------------------------------------------------------------------------------- */

static mf_status check_rank(const char *path, const mf_array *a)
{
    if (a->rank == 3 && a->shape[0] > 0 && a->shape[1] > 0 && a->shape[2] > 0)
        return MF_OK;
    return mf_hint(mf_fail(MF_INVALID,
                           "%s: is not an array [depth, height, width]: it has %d "
                           "dimensions",
                           path, a->rank),
                   "mass.import reads what prepare_training_data.py writes; other scans are read "
                   "by volume.load");
}

static mf_status check_finite(const char *path, const mf_array *a)
{
    const float *v = a->data;
    int64_t odd = 0;
    for (int64_t i = 0, n = mf_array_count(a); i < n; i++)
        odd += !isfinite(v[i]);
    if (!odd)
        return MF_OK;
    return mf_hint(mf_fail(MF_CORRUPT, "%s: %lld voxels of %lld are not finite numbers", path,
                           (long long)odd, (long long)mf_array_count(a)),
                   "prepare the scan again: its normalization divided by 0");
}

static mf_status read_image(const char *path, mf_array **image)
{
    mf_array *read;
    MF_TRY(npy_read(path, &read));
    mf_status status = check_rank(path, read);
    if (!status)
        status = mf_array_convert(read, MF_F32, image);
    mf_array_unref(read);
    MF_TRY(status);
    status = check_finite(path, *image);
    if (status)
        mf_array_unref(*image);
    return status;
}

/* The grid starts at the origin, RAS+: where the scan lay in the world is not kept. */
static void grid_of(const import_params *o, const mf_array *image, mf_grid *grid)
{
    *grid = (mf_grid){.direction = {1, 0, 0, 0, 1, 0, 0, 0, 1}};
    for (int i = 0; i < 3; i++) {
        grid->size[i] = image->shape[2 - i];
        grid->spacing[i] = o->spacing.v[i];
    }
}

static mf_status describe(const import_params *o, const mf_grid *grid, mf_artifact *a)
{
    MF_TRY(mf_artifact_set_grid(a, grid));
    if (!strcmp(o->modality, "unknown"))
        return MF_OK;
    const char *text = !strcmp(o->modality, "ct")   ? "CT"
                       : !strcmp(o->modality, "mr") ? "MR"
                                                    : "PET";
    return mf_artifact_set_text(a, "modality", text);
}

static mf_status publish(mf_task *t, const char *port, mf_status status, mf_artifact *a)
{
    if (!status)
        return mf_out(t, port, a);
    mf_artifact_unref(a);
    return status;
}

static mf_status make_volume(mf_task *t, const import_params *o, const mf_grid *grid,
                             mf_array *image)
{
    mf_artifact *a;
    MF_TRY(mf_artifact_new("volume", &a));
    mf_status status = describe(o, grid, a);
    if (!status)
        status = mf_artifact_set_text(a, "intensities", MF_INTENSITIES_NORMALIZED);
    if (!status)
        status = mf_artifact_add(a, "voxels", image);
    return publish(t, "volume", status, a);
}

/* ---- labels ---------------------------------------------------------------------------------- */

static mf_status check_labels(const char *path, const mf_array *labels, const mf_array *image)
{
    MF_TRY(check_rank(path, labels));
    if (memcmp(labels->shape, image->shape, 3 * sizeof *image->shape))
        return mf_hint(
            mf_fail(MF_INVALID,
                    "%s: has %lld x %lld x %lld voxels, the image has %lld x %lld x %lld", path,
                    (long long)labels->shape[0], (long long)labels->shape[1],
                    (long long)labels->shape[2], (long long)image->shape[0],
                    (long long)image->shape[1], (long long)image->shape[2]),
            "labels and image of a scan are written together, by one run of "
            "prepare_training_data.py");
    return MF_OK;
}

/* As 32-bit integers, each 0 or more. */
static mf_status whole_labels(const char *path, const mf_array *read, mf_array **labels)
{
    mf_array *wide;
    MF_TRY(mf_array_convert(read, MF_F64, &wide));
    const double *v = wide->data;
    int64_t n = mf_array_count(wide);
    mf_status status = mf_array_new(MF_I32, 3, read->shape, labels);
    for (int64_t i = 0; i < n && !status; i++) {
        if (!(v[i] >= 0 && v[i] <= INT32_MAX) || v[i] != floor(v[i])) {
            mf_array_unref(*labels);
            status = mf_fail(MF_CORRUPT, "%s: voxel %lld has the value %g, which is no label", path,
                             (long long)i, v[i]);
            break;
        }
        ((int32_t *)(*labels)->data)[i] = (int32_t)v[i];
    }
    mf_array_unref(wide);
    return status;
}

static mf_status make_labels(mf_task *t, const import_params *o, const mf_grid *grid,
                             const mf_array *image)
{
    mf_array *read, *labels = NULL;
    mf_artifact *a;
    MF_TRY(npy_read(o->labels, &read));
    mf_status status = check_labels(o->labels, read, image);
    if (!status)
        status = whole_labels(o->labels, read, &labels);
    mf_array_unref(read);
    MF_TRY(status);
    status = mf_artifact_new("labels", &a);
    if (!status) {
        status = describe(o, grid, a);
        if (!status)
            status = mf_artifact_add(a, "voxels", labels);
        status = publish(t, "labels", status, a);
    }
    mf_array_unref(labels);
    return status;
}

/* ---- masks ----------------------------------------------------------------------------------- */

typedef struct collector {
    const import_params *params;
    mf_masks_builder *builder;
    mf_mask whole;
    int64_t voxels, taken, empty;
} collector;

static mf_status take_mask(void *self, const uint8_t *dense)
{
    collector *c = self;
    bool added;
    for (int64_t i = 0; i < c->voxels; i++)
        if (dense[i] > 1)
            return mf_hint(mf_fail(MF_CORRUPT,
                                   "%s: voxel %lld of mask %lld of %s has the value %d; masks are "
                                   "0 and 1",
                                   c->params->masks, (long long)i, (long long)c->taken,
                                   c->params->group, dense[i]),
                           "copy it again, or make it again with prepare_training_data.py");
    c->taken++;
    MF_TRY(mf_masks_add(c->builder, &c->whole, dense, &added));
    c->empty += !added;
    return MF_OK;
}

static mf_status stop(void *of)
{
    return mf_cancel_point(of);
}

static mf_status fill_masks(mf_task *t, const import_params *o, const mf_grid *grid,
                            mf_artifact *sample)
{
    masks_source source = {.path = o->masks, .group = o->group, .stop = stop, .of = t};
    collector c = {.params = o,
                   .voxels = mf_grid_voxels(grid),
                   .whole = {.score = 1, .seed_axis = -1, .seed_slice = -1}};
    int64_t count;
    mf_zyx(grid->size, source.size);
    memcpy(c.whole.hi, source.size, sizeof c.whole.hi);
    MF_TRY(mf_masks_begin(grid, &c.builder));
    mf_status status = masks_read(&source, take_mask, &c, &count);
    if (status) {
        mf_masks_abandon(c.builder);
        return status;
    }
    mf_log(t, "%lld masks", (long long)count);
    if (c.empty)
        mf_log(t, "%lld of them are empty: left out", (long long)c.empty);
    return mf_masks_finish(c.builder, sample);
}

static mf_status make_sample(mf_task *t, const import_params *o, const mf_grid *grid,
                             mf_array *image)
{
    mf_artifact *a;
    MF_TRY(mf_artifact_new("sample", &a));
    mf_status status = describe(o, grid, a);
    if (!status)
        status = mf_artifact_add(a, "image", image);
    if (!status && o->weight != 1)
        status = mf_artifact_set_reals(a, "weight", &o->weight, 1);
    if (!status)
        status = fill_masks(t, o, grid, a);
    return publish(t, "sample", status, a);
}

/* ---------------------------------------------------------------------------------------------- */

static mf_status run(mf_task *t, const void *p, void *session)
{
    const import_params *o = p;
    mf_array *image = NULL;
    mf_grid grid;
    (void)session;
    MF_TRY(read_image(o->image, &image));
    grid_of(o, image, &grid);
    mf_status status = make_volume(t, o, &grid, image);
    if (!status && o->labels)
        status = make_labels(t, o, &grid, image);
    if (!status && o->masks)
        status = make_sample(t, o, &grid, image);
    mf_array_unref(image);
    return status;
}

MF_STAGE(mf_stage_mass_import, "mass.import", 1,
         "Reads a scan that the official MASS code has prepared, with its masks and labels.",
         .help = "CASE_image.npy, CASE_gt.npy and dataset.h5, as prepare_training_data.py writes "
                 "them: resampled, normalized and padded. Nothing is changed; empty masks are left "
                 "out. The files state neither spacing nor modality nor position: the grid starts "
                 "at 0. dataset.h5 is read in a process of its own; the filters shuffle, deflate, "
                 "fletcher32 and LZF are known. The content of the whole file is part of the key.",
         .params = params, .params_size = sizeof(import_params), .in = inputs, .out = outputs,
         .check = check, .run = run);
