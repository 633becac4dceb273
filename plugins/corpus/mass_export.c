/* mass_export.c - the stage mass.export: the masks of many samples as the dataset.h5 that the
 * official MASS code trains on.
 *
 * libhdf5 of Debian is not made for several threads: one file at a time is written. */
#include "corpus_stages.h"
#include "masks_write.h"
#include "mass_export.code.h"

#include <pthread.h>

static pthread_mutex_t hdf5 = PTHREAD_MUTEX_INITIALIZER;

static const mf_port inputs[] = {
    MF_PORT_MARKED("samples", "sample[]",
                   "Samples, from mass.prepare. Each is a scan, named by its case.", MF_KEYED),
    MF_END};
static const mf_port outputs[] = {
    MF_PORT("masks", "mass_masks", "The masks of all samples: dataset.h5."), MF_END};

/* A guess: masks of organs pack to about a hundredth of their voxels; the file is there twice. */
static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    double voxels = 0, largest = 0;
    (void)p;
    for (size_t i = 0; i < mf_in_count(t, "samples"); i++) {
        const mf_artifact *sample;
        mf_grid grid;
        MF_TRY(mf_in_item(t, "samples", i, &sample));
        MF_TRY(mf_artifact_grid(sample, &grid));
        double one = (double)mf_grid_voxels(&grid);
        voxels += one * (double)mf_masks_count(sample);
        largest = one > largest ? one : largest;
    }
    n->host_bytes = (size_t)(2 * voxels / 100 + largest) + (128u << 20);
    n->cost = 5e-9 * voxels + 0.1;
    return MF_OK;
}

static mf_status add_all(mf_task *t, masks_writer *w)
{
    size_t count = mf_in_count(t, "samples");
    int64_t empty = 0;
    for (size_t i = 0; i < count; i++) {
        const mf_artifact *sample;
        const char *name = mf_in_case(t, "samples", i);
        MF_TRY(mf_cancel_point(t));
        if (!*name)
            return mf_hint(
                mf_fail(MF_INVALID,
                        "sample %zu (%s) belongs to no case, which gives a scan its name", i,
                        mf_in_name(t, "samples", i)),
                "gather samples of cases: \"prepared[*]\"");
        MF_TRY(mf_in_item(t, "samples", i, &sample));
        MF_TRY(masks_writer_add(w, name, sample));
        empty += !mf_masks_count(sample);
        mf_progress(t, (int64_t)i + 1, (int64_t)count, NULL);
    }
    if (empty)
        mf_log(t, "%lld of %zu scans have no mask: the official code skips them in training",
               (long long)empty, count);
    return MF_OK;
}

static mf_status make_file(mf_task *t, mf_array **file)
{
    masks_writer *w;
    pthread_mutex_lock(&hdf5);
    mf_status status = masks_writer_open(&w);
    if (!status) {
        status = add_all(t, w);
        if (!status)
            status = masks_writer_close(w, file);
        else
            masks_writer_abandon(w);
    }
    pthread_mutex_unlock(&hdf5);
    return status;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    mf_array *file;
    mf_artifact *a;
    (void)p, (void)session;
    if (!mf_in_count(t, "samples"))
        return mf_fail(MF_INVALID, "there are no samples");
    MF_TRY(make_file(t, &file));
    mf_status status = mf_artifact_new("mass_masks", &a);
    if (!status) {
        status = mf_artifact_add(a, "file", file);
        if (status)
            mf_artifact_unref(a);
        else
            status = mf_out(t, "masks", a);
    }
    mf_array_unref(file);
    return status;
}

MF_STAGE(mf_stage_mass_export, "mass.export", 1,
         "Masks of samples as the dataset.h5 that the official MASS code trains on.",
         .help = "Each sample becomes a group with the name of its case and in it auto_masks, u8 "
                 "[masks, depth, height, width], compressed by shuffle and deflate, which h5py "
                 "reads. Beside it the official code wants CASE_image.npy: export the samples with "
                 "the suffix .npy. Labels (CASE_gt.npy) are exported likewise from mass.labels.",
         .in = inputs, .out = outputs, .needs = needs, .run = run);
