/* read.c - which reader a file takes, and what holds for all files. */
#include "read.h"
#include "safetensors.h"
#include "torch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A zip begins with "PK", a safetensors file with the length of its header. */
static mf_status read_any(const char *path, mf_tensors *t)
{
    struct stat info;
    uint8_t first[4] = {0};
    FILE *f = fopen(path, "rb");
    if (!f || fstat(fileno(f), &info)) {
        mf_status failed = mf_fail(errno == ENOENT ? MF_NOT_FOUND : MF_IO, "%s", strerror(errno));
        if (f)
            fclose(f);
        return failed;
    }
    size_t got = fread(first, 1, sizeof first, f), size = (size_t)info.st_size;
    fclose(f);
    if (got == 4 && !memcmp(first, "PK\3\4", 4))
        return mf_torch_read(path, size, t);
    if (got == 4 && first[0] == 0x80 && first[1] >= 2 && first[1] <= 5)
        return mf_hint(mf_fail(MF_UNSUPPORTED, "a PyTorch file of before version 1.6"),
                       "in Python: torch.save(torch.load(\"it.pt\"), \"new.pt\")");
    return mf_safetensors_read(path, size, t);
}

mf_status mf_tensors_read(const char *path, mf_tensors *t)
{
    mf_status failed = mf_within(read_any(path, t), "%s", path);
    if (failed) {
        mf_tensors_clear(t);
        return failed;
    }
    failed = mf_within(mf_tensors_sort(t), "%s", path);
    if (failed)
        mf_tensors_clear(t);
    return failed;
}
