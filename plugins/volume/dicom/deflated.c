/* deflated.c - see deflated.h. */
#include "deflated.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define CHUNK 65536

static mf_status not_kept(const char *path)
{
    return mf_fail(MF_IO, "%s: its inflated elements cannot be kept: %s", path, strerror(errno));
}

static mf_status copy_head(const char *path, FILE *file, int64_t from, FILE *to)
{
    unsigned char bytes[CHUNK];
    if (fseeko(file, 0, SEEK_SET))
        return mf_fail(MF_IO, "%s: %s", path, strerror(errno));
    for (int64_t left = from; left > 0;) {
        size_t n = left < CHUNK ? (size_t)left : CHUNK;
        if (fread(bytes, 1, n, file) < n)
            return mf_fail(MF_IO, "%s: its header cannot be read again", path);
        if (fwrite(bytes, 1, n, to) < n)
            return not_kept(path);
        left -= (int64_t)n;
    }
    return MF_OK;
}

/* Raw deflate; what may follow it is padding. */
static mf_status inflate_rest(const char *path, FILE *file, z_stream *z, FILE *to)
{
    unsigned char in[CHUNK], out[CHUNK];
    int state = Z_OK;
    while (state != Z_STREAM_END) {
        if (!z->avail_in) {
            z->next_in = in;
            z->avail_in = (uInt)fread(in, 1, sizeof in, file);
        }
        z->next_out = out;
        z->avail_out = sizeof out;
        state = inflate(z, Z_NO_FLUSH);
        if (state == Z_BUF_ERROR)
            return mf_fail(MF_CORRUPT, "%s: cut off: it ends inside its deflated elements", path);
        if (state != Z_OK && state != Z_STREAM_END)
            return mf_fail(MF_CORRUPT, "%s: damaged DICOM: its deflated elements: %s", path,
                           z->msg ? z->msg : "not inflated");
        if (fwrite(out, 1, sizeof out - z->avail_out, to) < sizeof out - z->avail_out)
            return not_kept(path);
    }
    return MF_OK;
}

/* A file in TMPDIR that has no name: a file system that knows none gives it one for a moment. */
static FILE *nameless(void)
{
    const char *given = getenv("TMPDIR"), *base = given && *given ? given : "/tmp";
    int fd = open(base, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    char *name;
    if (fd < 0 && asprintf(&name, "%s/massflow-XXXXXX", base) >= 0) {
        fd = mkostemp(name, O_CLOEXEC);
        if (fd >= 0)
            unlink(name);
        free(name);
    }
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w+b");
    if (!file && fd >= 0)
        close(fd);
    return file;
}

mf_status deflated_open(const char *path, FILE *file, int64_t from, FILE **whole, int64_t *size)
{
    z_stream z = {0};
    *whole = nameless();
    if (!*whole)
        return not_kept(path);
    mf_status status = copy_head(path, file, from, *whole);
    if (!status && inflateInit2(&z, -MAX_WBITS) != Z_OK)
        status = mf_no_memory(0, "inflating %s", path);
    if (!status)
        status = inflate_rest(path, file, &z, *whole);
    (void)inflateEnd(&z);
    *size = ftello(*whole);
    if (!status && fseeko(*whole, (off_t)from, SEEK_SET))
        status = not_kept(path);
    if (status)
        fclose(*whole);
    return status;
}
