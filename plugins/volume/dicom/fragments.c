/* fragments.c - see fragments.h. The offset table is passed over: it may be empty, and real ones
 * are often wrong. Frames follow one another in order, and where each begins is known without it: a
 * frame in RLE or without compression is one fragment, a JPEG stream begins with a mark. */
#include "fragments.h"

#include <massflow/memory.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ITEM 0xfffee000u
#define END 0xfffee0ddu

static mf_status damaged(const char *path, const char *what)
{
    return mf_fail(MF_CORRUPT, "%s: damaged DICOM: %s", path, what);
}

static mf_status not_read(const char *path)
{
    return mf_fail(MF_IO, "%s: its pixels cannot be read: %s", path, strerror(errno));
}

/* The head of the next item, which lies within the file; always little-endian. */
static mf_status next_item(const char *path, FILE *file, int64_t at, int64_t end, uint32_t *tag,
                           int64_t *bytes)
{
    unsigned char b[8];
    if (end - at < 8)
        return mf_fail(MF_CORRUPT, "%s: cut off: it ends before the end of its pixels", path);
    if (fseeko(file, (off_t)at, SEEK_SET) || fread(b, 1, sizeof b, file) < sizeof b)
        return not_read(path);
    *tag = (uint32_t)b[1] << 24 | (uint32_t)b[0] << 16 | (uint32_t)b[3] << 8 | b[2];
    *bytes = (int64_t)b[4] | (int64_t)b[5] << 8 | (int64_t)b[6] << 16 | (int64_t)b[7] << 24;
    if (*tag == ITEM && *bytes > end - at - 8)
        return mf_fail(MF_CORRUPT, "%s: cut off: it ends before the end of its pixels", path);
    return MF_OK;
}

static mf_status begins(const char *path, FILE *file, const fragment *f, const packing *p,
                        bool *first)
{
    unsigned char b[4];
    size_t n = f->bytes < 4 ? (size_t)f->bytes : 4;
    if (fread(b, 1, n, file) < n)
        return not_read(path);
    *first = code_stream_begins(p, b, n);
    return MF_OK;
}

static mf_status add(fragments *f, fragment one)
{
    fragment *more = mf_list_more(f->list, f->count, sizeof *more);
    if (!more)
        return mf_no_memory(0, "a list of fragments");
    f->list = more;
    f->list[f->count++] = one;
    return MF_OK;
}

mf_status fragments_find(const char *path, FILE *file, const dicom_header *h, const packing *p,
                         int64_t frames, fragments *f)
{
    int64_t at = h->pixel_offset, end = at + h->pixel_bytes, bytes, begun = 0;
    uint32_t tag;
    *f = (fragments){0};
    if (!h->pixels_in_items)
        return damaged(path, "its compressed pixels do not lie in items");
    MF_TRY(next_item(path, file, at, end, &tag, &bytes));
    if (tag != ITEM)
        return damaged(path, "its compressed pixels do not begin with an offset table");
    for (at += 8 + bytes;; at += 8 + bytes) {
        bool first = false;
        MF_TRY(next_item(path, file, at, end, &tag, &bytes));
        if (tag == END)
            break;
        if (tag != ITEM)
            return damaged(path, "its compressed pixels hold something that is not an item");
        fragment one = {at + 8, bytes, 0};
        MF_TRY(begins(path, file, &one, p, &first));
        begun += first;
        one.frame = begun - 1;
        if (begun == 0)
            return damaged(path, "its first fragment does not begin a frame");
        MF_TRY(add(f, one));
    }
    if (begun != frames)
        return mf_fail(MF_CORRUPT,
                       "%s: its pixels do not match its header: the header says %lld frame%s, its "
                       "%s pixels are %lld",
                       path, (long long)frames, frames == 1 ? "" : "s", p->name, (long long)begun);
    return MF_OK;
}

mf_status fragments_read(const char *where, FILE *file, const fragments *f, int64_t frame,
                         unsigned char **bytes, size_t *size)
{
    size_t used = 0;
    *size = 0;
    for (size_t i = 0; i < f->count; i++)
        if (f->list[i].frame == frame)
            *size += (size_t)f->list[i].bytes;
    *bytes = malloc(*size + 1);
    if (!*bytes)
        return mf_no_memory(0, "the compressed pixels of %s", where);
    for (size_t i = 0; i < f->count; i++) {
        const fragment *one = &f->list[i];
        if (one->frame != frame)
            continue;
        if (fseeko(file, (off_t)one->offset, SEEK_SET) ||
            fread(*bytes + used, 1, (size_t)one->bytes, file) < (size_t)one->bytes) {
            mf_status status = not_read(where);
            free(*bytes);
            *bytes = NULL;
            return status;
        }
        used += (size_t)one->bytes;
    }
    return MF_OK;
}

void fragments_free(fragments *f)
{
    free(f->list);
    *f = (fragments){0};
}
