/* torch_write.c - see torch_write.h. (torch/serialization.py, _save; the names of the entries.) */
#include "torch_write.h"
#include "pickle_write.h"
#include "zip_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

mf_status mf_torch_put_array(FILE *pickle, const mf_artifact *a, size_t i)
{
    mf_array_info info;
    mf_artifact_array_info(a, i, &info);
    if (info.ragged)
        return mf_fail(MF_UNSUPPORTED, "array '%s' has rows of different length", info.name);
    if (!pickle_put_tensor(pickle, (int64_t)i, info.dtype, info.rank, info.shape))
        return mf_fail(MF_UNSUPPORTED, "PyTorch has no tensors of %s, as '%s' is",
                       mf_dtype_text(info.dtype), info.name);
    return MF_OK;
}

static mf_status put_storage(zip_store *z, const mf_artifact *a, size_t i)
{
    char name[48];
    mf_array_info info;
    mf_array *array;
    mf_artifact_array_info(a, i, &info);
    snprintf(name, sizeof name, "archive/data/%zu", i);
    MF_TRY(mf_artifact_array(a, info.name, &array));
    mf_status status = zip_store_add(z, name, array->data, array->bytes);
    mf_array_unref(array);
    return status;
}

static mf_status put_entries(zip_store *z, const mf_artifact *a, const char *pickle, size_t size)
{
    MF_TRY(zip_store_add(z, "archive/data.pkl", pickle, size));
    MF_TRY(zip_store_add(z, "archive/byteorder", "little", 6));
    for (size_t i = 0; i < mf_artifact_array_count(a); i++)
        MF_TRY(put_storage(z, a, i));
    MF_TRY(zip_store_add(z, "archive/version", "3\n", 2));
    zip_store_end(z);
    return MF_OK;
}

static mf_status write_file(const mf_artifact *a, const char *path, const char *pickle, size_t size)
{
    zip_store z;
    FILE *file = fopen(path, "wbe");
    if (!file)
        return mf_fail(MF_IO, "%s", strerror(errno));
    zip_store_begin(file, &z);
    mf_status status = put_entries(&z, a, pickle, size);
    zip_store_clear(&z);
    errno = 0;
    bool bad = ferror(file);
    bad |= fclose(file) != 0;
    if (bad && !status)
        return mf_fail(MF_IO, "%s", errno ? strerror(errno) : "writing failed");
    return status;
}

mf_status mf_torch_write(const mf_artifact *a, const char *path, mf_torch_describe describe)
{
    char *bytes = NULL;
    size_t size = 0;
    FILE *pickle = open_memstream(&bytes, &size);
    if (!pickle)
        return mf_no_memory(0, "a pickle");
    pickle_put_begin(pickle);
    mf_status status = describe(a, pickle);
    pickle_put_end(pickle);
    bool bad = ferror(pickle);
    bad |= fclose(pickle) != 0;
    if (bad && !status)
        status = mf_no_memory(0, "a pickle");
    if (!status)
        status = write_file(a, path, bytes, size);
    free(bytes);
    return status;
}
