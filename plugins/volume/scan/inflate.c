/* inflate.c - see inflate.h. */
#include "inflate.h"
#include <bzlib.h>
#include <errno.h>
#include <massflow/file.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define INPUT_BYTES ((size_t)1 << 17)

/* What bzip2 makes of the emptiest input: 46 MB of equal bytes become a block of 30 bytes or more.
 */
#define BZIP2_MOST ((int64_t)1600000)

typedef struct unpacker {
    z_stream z;
    bz_stream bz;
    unsigned char *in; /* what is left of it: z.next_in or bz.next_in */
    bool begun;        /* a stream is open in z or bz */
} unpacker;

static mf_status no_memory(const char *path)
{
    return mf_no_memory(0, "unpacking %s", path);
}

static mf_status begin(inflate_file *f)
{
    unpacker *u = calloc(1, sizeof *u);
    if (!u)
        return no_memory(f->path);
    f->unpacker = u;
    u->in = malloc(INPUT_BYTES);
    if (!u->in)
        return no_memory(f->path);
    u->begun = f->packing == INFLATE_BZIP2 ? BZ2_bzDecompressInit(&u->bz, 0, 0) == BZ_OK
                                           : inflateInit2(&u->z, 15 + 32) == Z_OK;
    return u->begun ? MF_OK : no_memory(f->path);
}

mf_status inflate_open_at(const char *path, int64_t start, inflate_packing packing, inflate_file *f)
{
    int64_t size;
    *f = (inflate_file){.path = path, .packing = packing, .compressed = packing != INFLATE_PLAIN};
    MF_TRY(mf_file_open(path, &f->file, &size));
    if (fseeko(f->file, (off_t)start, SEEK_SET)) {
        int why = errno;
        inflate_close(f);
        return mf_fail(MF_IO, "%s: %s", path, strerror(why));
    }
    f->file_bytes = size > start ? size - start : 0;
    mf_status status = f->compressed ? begin(f) : MF_OK;
    if (status)
        inflate_close(f);
    return status;
}

mf_status inflate_open(const char *path, inflate_file *f)
{
    unsigned char magic[2] = {0, 0};
    MF_TRY(inflate_open_at(path, 0, INFLATE_PLAIN, f));
    size_t got = fread(magic, 1, 2, f->file);
    if (got == 2 && magic[0] == 0x1f && magic[1] == 0x8b) {
        inflate_close(f);
        return inflate_open_at(path, 0, INFLATE_DEFLATE, f);
    }
    rewind(f->file);
    return MF_OK;
}

static mf_status cannot_read(const inflate_file *f)
{
    return mf_fail(MF_IO, "%s: cannot be read: %s", f->path, strerror(errno));
}

/* After the bytes that were delivered, and `more` that would have been. */
static mf_status damaged(const inflate_file *f, unsigned more, const char *why)
{
    return mf_fail(MF_CORRUPT, "%s: damaged %s data after %lld bytes: %s", f->path,
                   f->packing == INFLATE_BZIP2 ? "bzip2" : "gzip", (long long)f->at + more, why);
}

/* Packed bytes that are at hand, after reading more where there are fewer than `least`; fewer than
 * that at the end of the file. */
static mf_status fill(inflate_file *f, size_t least, unsigned char **in, size_t *count)
{
    unpacker *u = f->unpacker;
    bool bzip2 = f->packing == INFLATE_BZIP2;
    *count = bzip2 ? u->bz.avail_in : u->z.avail_in;
    if (*count < least) {
        if (*count)
            memmove(u->in, bzip2 ? (unsigned char *)u->bz.next_in : u->z.next_in, *count);
        *count += fread(u->in + *count, 1, INPUT_BYTES - *count, f->file);
        if (ferror(f->file))
            return cannot_read(f);
        u->bz.next_in = (char *)u->in;
        u->z.next_in = u->in;
        u->bz.avail_in = u->z.avail_in = (unsigned)*count;
    }
    *in = bzip2 ? (unsigned char *)u->bz.next_in : u->z.next_in;
    return MF_OK;
}

/* After the end of a stream: another one that follows, or the end. What follows and is no stream is
 * passed over, as gzip and bzip2 do. */
static mf_status next_stream(inflate_file *f)
{
    unpacker *u = f->unpacker;
    unsigned char *in;
    size_t count;
    if (f->packing == INFLATE_BZIP2) {
        MF_TRY(fill(f, 3, &in, &count));
        f->ended = count < 3 || memcmp(in, "BZh", 3) != 0;
        if (f->ended)
            return MF_OK;
        bz_stream rest = u->bz;
        BZ2_bzDecompressEnd(&u->bz);
        memset(&u->bz, 0, sizeof u->bz);
        u->begun = BZ2_bzDecompressInit(&u->bz, 0, 0) == BZ_OK;
        u->bz.next_in = rest.next_in;
        u->bz.avail_in = rest.avail_in;
        return u->begun ? MF_OK : no_memory(f->path);
    }
    MF_TRY(fill(f, 2, &in, &count));
    f->ended = count < 2 || in[0] != 0x1f || in[1] != 0x8b;
    return f->ended || inflateReset(&u->z) == Z_OK ? MF_OK : damaged(f, 0, "no next member");
}

static mf_status unpack(inflate_file *f, void *to, unsigned size, unsigned *got)
{
    unpacker *u = f->unpacker;
    *got = 0;
    while (*got < size && !f->ended) {
        unsigned char *in;
        size_t count;
        bool end;
        MF_TRY(fill(f, 1, &in, &count));
        if (!count) /* cut off */
            return MF_OK;
        if (f->packing == INFLATE_BZIP2) {
            u->bz.next_out = (char *)to + *got;
            u->bz.avail_out = size - *got;
            int state = BZ2_bzDecompress(&u->bz);
            *got = size - u->bz.avail_out;
            end = state == BZ_STREAM_END;
            if (state == BZ_MEM_ERROR)
                return no_memory(f->path);
            if (state != BZ_OK && !end)
                return damaged(f, *got, "the data contradicts itself");
        } else {
            u->z.next_out = (unsigned char *)to + *got;
            u->z.avail_out = size - *got;
            int state = inflate(&u->z, Z_NO_FLUSH);
            *got = size - u->z.avail_out;
            end = state == Z_STREAM_END;
            if (state == Z_MEM_ERROR)
                return no_memory(f->path);
            if (state != Z_OK && state != Z_BUF_ERROR && !end)
                return damaged(f, *got, u->z.msg ? u->z.msg : "the data contradicts itself");
        }
        if (end)
            MF_TRY(next_stream(f));
    }
    return MF_OK;
}

mf_status inflate_read(inflate_file *f, void *to, size_t size, size_t *got)
{
    *got = 0;
    if (!f->compressed) {
        *got = fread(to, 1, size, f->file);
        f->at += (int64_t)*got;
        return ferror(f->file) ? cannot_read(f) : MF_OK;
    }
    while (*got < size) {
        size_t ask = size - *got < (size_t)1 << 26 ? size - *got : (size_t)1 << 26;
        unsigned more;
        MF_TRY(unpack(f, (char *)to + *got, (unsigned)ask, &more));
        *got += more;
        f->at += more;
        if (!more)
            break;
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
    char sink[1 << 15];
    if (!f->compressed && bytes > 0 && bytes <= f->file_bytes - f->at) {
        f->at += bytes;
        return fseeko(f->file, (off_t)bytes, SEEK_CUR) ? cannot_read(f) : MF_OK;
    }
    while (bytes > 0) {
        size_t n = bytes < (int64_t)sizeof sink ? (size_t)bytes : sizeof sink;
        MF_TRY(inflate_exactly(f, sink, n, promised));
        bytes -= (int64_t)n;
    }
    return MF_OK;
}

mf_status inflate_finish(inflate_file *f)
{
    char sink[1 << 15];
    size_t got = 1;
    while (f->compressed && got)
        MF_TRY(inflate_read(f, sink, sizeof sink, &got));
    if (f->compressed && !f->ended)
        return mf_fail(MF_CORRUPT, "%s: cut off: the checksum at the end of its data is missing",
                       f->path);
    return MF_OK;
}

bool inflate_can_hold(const inflate_file *f, int64_t bytes)
{
    int64_t most = f->packing == INFLATE_BZIP2     ? BZIP2_MOST
                   : f->packing == INFLATE_DEFLATE ? 1032
                                                   : 1;
    return bytes / most <= f->file_bytes && (most > 1 || bytes <= f->file_bytes);
}

void inflate_close(inflate_file *f)
{
    unpacker *u = f->unpacker;
    if (u) {
        if (u->begun && f->packing == INFLATE_BZIP2)
            BZ2_bzDecompressEnd(&u->bz);
        else if (u->begun)
            inflateEnd(&u->z);
        free(u->in);
        free(u);
    }
    if (f->file)
        fclose(f->file);
    f->unpacker = NULL;
    f->file = NULL;
}
