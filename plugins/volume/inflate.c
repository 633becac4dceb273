/* inflate.c - see inflate.h. zlib's gzread reads plain files as they are. */
#include "inflate.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

mf_status inflate_open(const char *path, inflate_file *f)
{
    struct stat about;
    unsigned char magic[2] = {0, 0};
    *f = (inflate_file){.path = path};
    FILE *file = fopen(path, "rb");
    if (!file || fstat(fileno(file), &about)) {
        int why = errno;
        if (file)
            fclose(file);
        return mf_fail(why == ENOENT ? MF_NOT_FOUND : MF_IO, "%s: %s", path, strerror(why));
    }
    f->file_bytes = (int64_t)about.st_size;
    size_t got = fread(magic, 1, 2, file);
    fclose(file);
    f->compressed = got == 2 && magic[0] == 0x1f && magic[1] == 0x8b;
    f->gz = gzopen(path, "rb");
    if (!f->gz)
        return mf_fail(MF_IO, "%s: cannot be opened", path);
    gzbuffer(f->gz, 1 << 17);
    return MF_OK;
}

mf_status inflate_read(inflate_file *f, void *to, size_t size, size_t *got)
{
    *got = 0;
    while (*got < size) {
        size_t ask = size - *got < (size_t)1 << 26 ? size - *got : (size_t)1 << 26;
        int n = gzread(f->gz, (char *)to + *got, (unsigned)ask);
        if (n < 0) {
            int code;
            const char *why = gzerror(f->gz, &code);
            if (code == Z_BUF_ERROR) /* cut off */
                return MF_OK;
            if (code == Z_ERRNO)
                return mf_fail(MF_IO, "%s: cannot be read: %s", f->path, strerror(errno));
            const char *colon = strrchr(why, ':');
            return mf_fail(MF_CORRUPT, "%s: damaged gzip data after %lld bytes:%s", f->path,
                           (long long)f->at, colon ? colon + 1 : why);
        }
        if (n == 0)
            break;
        *got += (size_t)n;
        f->at += n;
    }
    return MF_OK;
}

mf_status inflate_exactly(inflate_file *f, void *to, size_t size, int64_t promised)
{
    size_t got;
    MF_TRY(inflate_read(f, to, size, &got));
    if (got < size)
        return mf_fail(MF_CORRUPT, "%s: cut off: its header promises %lld bytes%s, it has %lld",
                       f->path, (long long)promised, f->compressed ? " (decompressed)" : "",
                       (long long)f->at);
    return MF_OK;
}

mf_status inflate_skip(inflate_file *f, int64_t bytes, int64_t promised)
{
    char sink[4096];
    while (bytes > 0) {
        size_t n = bytes < (int64_t)sizeof sink ? (size_t)bytes : sizeof sink;
        MF_TRY(inflate_exactly(f, sink, n, promised));
        bytes -= (int64_t)n;
    }
    return MF_OK;
}

bool inflate_can_hold(const inflate_file *f, int64_t bytes)
{
    return f->compressed ? bytes / 1032 <= f->file_bytes : bytes <= f->file_bytes;
}

void inflate_close(inflate_file *f)
{
    if (f->gz)
        gzclose_r(f->gz);
    f->gz = NULL;
}
