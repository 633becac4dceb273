/* read.c - which reader a file takes, and what holds for all files. */
#include "read.h"
#include "safetensors.h"

#include <massflow/file.h>

#include <string.h>

/* A zip begins with "PK", a safetensors file with the length of its header. */
static mf_status read_any(FILE *f, size_t size, mf_torch_part part, mf_tensors *t)
{
    uint8_t first[4] = {0};
    size_t got = fread(first, 1, sizeof first, f);
    rewind(f);
    if (got == 4 && !memcmp(first, "PK\3\4", 4))
        return mf_torch_read(f, size, part, t);
    if (got == 4 && first[0] == 0x80 && first[1] >= 2 && first[1] <= 5)
        return mf_hint(
            mf_fail(MF_UNSUPPORTED, "a PyTorch file of before version 1.6"),
            "in Python: torch.save(torch.load(\"it.pt\", weights_only=True), \"new.pt\")");
    return mf_safetensors_read(f, size, t);
}

mf_status mf_tensors_read(const char *path, mf_tensors *t)
{
    return mf_tensors_read_part(path, MF_TORCH_MODEL, t);
}

mf_status mf_tensors_read_part(const char *path, mf_torch_part part, mf_tensors *t)
{
    FILE *f;
    int64_t size;
    MF_TRY(mf_file_open(path, &f, &size));
    mf_status status = read_any(f, (size_t)size, part, t);
    fclose(f);
    if (!status)
        status = mf_tensors_sort(t);
    if (status)
        mf_tensors_clear(t);
    return mf_within(status, "%s", path);
}
