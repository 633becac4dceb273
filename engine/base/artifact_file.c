/* artifact_file.c - the type `file`; massflow/artifact.h says what it holds. A name may come with a
 * cache from anybody and becomes the name of a file: it must not lead elsewhere. */
#include <massflow/artifact.h>

#include "base/utf8.h"

#include <ctype.h>
#include <string.h>

#define LONGEST 200      /* bytes of a name: what file systems take, with a suffix of ours */
#define LONGEST_PART 127 /* of a media type (RFC 6838, 4.2) */

static mf_status check_name(const char *name)
{
    const size_t length = strlen(name);
    uint32_t code;

    if (!length || length > LONGEST)
        return mf_fail(MF_INVALID, "the name of a file has %zu bytes; 1 to %d are allowed", length,
                       LONGEST);
    for (size_t step, at = 0; at < length; at += step) {
        step = mf_utf8_next(name + at, length - at, &code);
        if (!step || mf_utf8_is_control(code) || code == '\n' || code == '\t')
            return mf_fail(MF_INVALID, "the name of a file is not one line of UTF-8");
    }
    if (strpbrk(name, "/\\") || name[0] == '.')
        return mf_hint(mf_fail(MF_INVALID, "'%s' is no name of a file", name),
                       "a name such as report.pdf: no path, and no dot at its beginning");
    return MF_OK;
}

/* The length of a part of a media type; 0 where there is none. */
static size_t part_length(const char *text)
{
    size_t n = 0;

    while (isalnum((unsigned char)text[n]) || (n && text[n] && strchr("!#$&-^_.+", text[n])))
        n++;
    return n <= LONGEST_PART ? n : 0;
}

static mf_status check_media_type(const char *text)
{
    const size_t type = part_length(text);
    const size_t subtype = type && text[type] == '/' ? part_length(text + type + 1) : 0;

    if (subtype && !text[type + 1 + subtype])
        return MF_OK;
    return mf_hint(mf_fail(MF_INVALID, "'%.80s' is no media type", text),
                   "such as application/pdf, or application/octet-stream for any bytes");
}

static mf_status check_size(size_t size)
{
    if (size <= MF_FILE_MOST)
        return MF_OK;
    return mf_fail(MF_UNSUPPORTED, "a file of %zu bytes; an artifact holds at most %zu", size,
                   MF_FILE_MOST);
}

mf_status mf_artifact_check_file(const mf_artifact *a)
{
    const char *name = mf_artifact_text(a, "name");
    const char *media_type = mf_artifact_text(a, "media_type");
    mf_array_info info;

    if (!name || !media_type || !mf_artifact_find(a, "bytes", &info) || info.dtype != MF_U8 ||
        info.rank != 1 || info.ragged)
        return mf_fail(MF_INVALID, "a file has a name, a media_type and u8 bytes [n]");
    MF_TRY(check_name(name));
    MF_TRY(check_media_type(media_type));
    return check_size((size_t)info.shape[0]);
}

static mf_status fill(mf_artifact *a, const char *name, const char *media_type, const void *bytes,
                      size_t size)
{
    const int64_t shape[1] = {(int64_t)size};
    mf_array *copy;

    MF_TRY(mf_artifact_set_text(a, "name", name));
    MF_TRY(mf_artifact_set_text(a, "media_type", media_type));
    MF_TRY(mf_array_new(MF_U8, 1, shape, &copy));
    if (size)
        memcpy(copy->data, bytes, size);
    mf_status status = mf_artifact_add(a, "bytes", copy);
    mf_array_unref(copy);
    return status;
}

mf_status mf_artifact_new_file(const char *name, const char *media_type, const void *bytes,
                               size_t size, mf_artifact **artifact)
{
    *artifact = NULL;
    MF_TRY(check_name(name));
    MF_TRY(check_media_type(media_type));
    MF_TRY(check_size(size));
    MF_TRY(mf_artifact_new("file", artifact));
    mf_status status = fill(*artifact, name, media_type, bytes, size);
    if (status) {
        mf_artifact_unref(*artifact);
        *artifact = NULL;
    }
    return status;
}

const char *mf_artifact_file_suffix(const mf_artifact *a)
{
    const char *name = mf_artifact_text(a, "name");
    const char *dot = name ? strrchr(name, '.') : NULL;

    return dot ? dot : "";
}
