/* masks_write.c - see masks_write.h. */
#include "masks_write.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATA_SET "auto_masks"
#define CHUNK ((hsize_t)16 << 20) /* bytes, about */
#define DEFLATE 4

struct masks_writer {
    hid_t file;
};

static herr_t keep_first(unsigned n, const H5E_error2_t *error, void *words)
{
    if (!n)
        snprintf(words, 200, "%s", error->desc ? error->desc : "");
    return 0;
}

/* What HDF5 says of its last error; its own printing is off in this thread. */
static mf_status failed(const char *what)
{
    char words[200] = "";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_first, words);
    for (char *at = words; *at; at++)
        if ((unsigned char)*at < ' ')
            *at = ' ';
    return mf_fail(MF_IO, "dataset.h5: %s cannot be written: %s", what,
                   *words ? words : "HDF5 gives no reason");
}

/* In memory: the file becomes an array, and no full disk can leave libhdf5 with a file that it
 * cannot close. */
static mf_status create(hid_t *file)
{
    hid_t how = H5Pcreate(H5P_FILE_ACCESS);
    *file = H5I_INVALID_HID;
    if (how >= 0 && H5Pset_fapl_core(how, (size_t)CHUNK, false) >= 0)
        *file = H5Fcreate("dataset.h5", H5F_ACC_TRUNC, H5P_DEFAULT, how);
    mf_status status = *file < 0 ? failed("the file") : MF_OK; /* the next call clears the reason */
    H5Pclose(how);
    return status;
}

mf_status masks_writer_open(masks_writer **w)
{
    masks_writer *made = calloc(1, sizeof *made);
    *w = NULL;
    if (!made)
        return mf_no_memory(sizeof *made, "an HDF5 file");
    H5dont_atexit(); /* files are closed here; what is left at the end of the process is not its */
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    mf_status status = create(&made->file);
    if (status)
        masks_writer_abandon(made);
    else
        *w = made;
    return status;
}

void masks_writer_abandon(masks_writer *w)
{
    if (!w)
        return;
    if (w->file >= 0)
        H5Fclose(w->file);
    free(w);
}

static mf_status image_of(const masks_writer *w, mf_array **file)
{
    if (H5Fflush(w->file, H5F_SCOPE_GLOBAL) < 0)
        return failed("the file");
    const ssize_t bytes = H5Fget_file_image(w->file, NULL, 0);
    if (bytes <= 0)
        return failed("the file");
    MF_TRY(mf_array_new(MF_U8, 1, (const int64_t[]){bytes}, file));
    if (H5Fget_file_image(w->file, (*file)->data, (*file)->bytes) == bytes)
        return MF_OK;
    mf_array_unref(*file);
    *file = NULL;
    return failed("the file");
}

mf_status masks_writer_close(masks_writer *w, mf_array **file)
{
    *file = NULL;
    mf_status status = image_of(w, file);
    masks_writer_abandon(w);
    return status;
}

/* prepare_training_data.py, write_masks_streaming. */
static void chunk_of(const hsize_t n[4], hsize_t chunk[4])
{
    hsize_t voxels = n[1] * n[2] * n[3];
    if (voxels > CHUNK) {
        hsize_t slices = CHUNK / (n[2] * n[3]);
        chunk[0] = 1;
        chunk[1] = slices ? slices : 1;
        chunk[2] = n[2] < CHUNK / n[3] ? n[2] : CHUNK / n[3];
        if (!chunk[2])
            chunk[2] = 1;
        chunk[3] = n[3] < CHUNK ? n[3] : CHUNK;
        return;
    }
    hsize_t masks = CHUNK / voxels;
    chunk[0] = masks < n[0] ? masks : n[0];
    memcpy(chunk + 1, n + 1, 3 * sizeof *n);
}

/* No times in the file; a data set without masks is contiguous, as h5py makes it. */
static hid_t plan_of(const hsize_t n[4])
{
    hsize_t chunk[4];
    hid_t plan = H5Pcreate(H5P_DATASET_CREATE);
    if (plan < 0 || H5Pset_obj_track_times(plan, false) < 0 || !n[0])
        return plan;
    chunk_of(n, chunk);
    if (H5Pset_chunk(plan, 4, chunk) < 0 || H5Pset_shuffle(plan) < 0 ||
        H5Pset_deflate(plan, DEFLATE) < 0) {
        H5Pclose(plan);
        return H5I_INVALID_HID;
    }
    return plan;
}

/* Mask by mask: a chunk that holds several is in the cache until it is full. */
static mf_status put_masks(hid_t set, const hsize_t n[4], const mf_artifact *sample)
{
    static const int64_t zero[3];
    const int64_t size[3] = {(int64_t)n[1], (int64_t)n[2], (int64_t)n[3]};
    const hsize_t count[4] = {1, n[1], n[2], n[3]};
    uint8_t *dense = malloc((size_t)(n[1] * n[2] * n[3]));
    hid_t space = H5Dget_space(set), here = H5Screate_simple(4, count, NULL);
    mf_status status = !dense ? mf_no_memory((size_t)(n[1] * n[2] * n[3]), "a mask") : MF_OK;
    for (hsize_t i = 0; i < n[0] && !status; i++) {
        const hsize_t start[4] = {i, 0, 0, 0};
        status = mf_masks_crop(sample, (int64_t)i, zero, size, dense);
        if (!status && (H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
                        H5Dwrite(set, H5T_NATIVE_UINT8, here, space, H5P_DEFAULT, dense) < 0))
            status = failed(DATA_SET);
    }
    H5Sclose(here);
    H5Sclose(space);
    free(dense);
    return status;
}

static mf_status put_set(hid_t group, const hsize_t n[4], const mf_artifact *sample)
{
    hid_t space = H5Screate_simple(4, n, NULL), plan = plan_of(n);
    hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
    H5Pset_chunk_cache(access, 101, 2 * (size_t)CHUNK, 1);
    hid_t set = H5Dcreate2(group, DATA_SET, H5T_STD_U8LE, space, H5P_DEFAULT, plan, access);
    mf_status status = set < 0 ? failed(DATA_SET) : MF_OK;
    if (!status && n[0])
        status = put_masks(set, n, sample);
    if (set >= 0 && H5Dclose(set) < 0 && !status)
        status = failed(DATA_SET);
    H5Pclose(access);
    H5Pclose(plan);
    H5Sclose(space);
    return status;
}

mf_status masks_writer_add(masks_writer *w, const char *name, const mf_artifact *sample)
{
    mf_grid grid;
    MF_TRY(mf_artifact_grid(sample, &grid));
    const hsize_t n[4] = {(hsize_t)mf_masks_count(sample), (hsize_t)grid.size[2],
                          (hsize_t)grid.size[1], (hsize_t)grid.size[0]};
    hid_t plan = H5Pcreate(H5P_GROUP_CREATE);
    H5Pset_obj_track_times(plan, false);
    hid_t group = H5Gcreate2(w->file, name, H5P_DEFAULT, plan, H5P_DEFAULT);
    mf_status status = group < 0 ? failed(name) : MF_OK; /* the next call clears the reason */
    H5Pclose(plan);
    if (group < 0)
        return mf_within(status, "scan %s", name);
    status = put_set(group, n, sample);
    if (H5Gclose(group) < 0 && !status)
        status = failed(name);
    return mf_within(status, "scan %s", name);
}
