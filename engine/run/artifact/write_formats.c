/* write_formats.c - .npy, .safetensors, .png, .csv, .txt, and files as they are. */
#include "base/artifact_source.h"
#include "base/utf8.h"
#include "run/artifact/sheet.h"
#include "run/artifact/write.h"

#include <errno.h>
#include <inttypes.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static mf_status open_file(const char *path, FILE **file)
{
    *file = fopen(path, "wbe");
    return *file ? MF_OK : mf_fail(MF_IO, "%s", strerror(errno));
}

static mf_status close_file(FILE *file, mf_status status)
{
    bool bad = ferror(file);
    int why =
        bad ? errno : 0; /* of the last write: one that failed is followed by none that did not */

    errno = 0;
    bad |= fclose(file) != 0;
    why = errno ? errno : why;
    if (bad && !status)
        return mf_fail(MF_IO, "%s", why ? strerror(why) : "writing failed");
    return status;
}

/* ---- .npy ------------------------------------------------------------------------------------ *
 * NumPy format 1.0: magic, header length (u16), a Python dict padded with spaces to a multiple of
 * 64, the data. */

static const char *npy_descr(mf_dtype dtype)
{
    static const char *const names[MF_DTYPE_COUNT] = {
        [MF_U8] = "|u1",  [MF_I8] = "|i1",  [MF_U16] = "<u2", [MF_I16] = "<i2", [MF_U32] = "<u4",
        [MF_I32] = "<i4", [MF_I64] = "<i8", [MF_F16] = "<f2", [MF_F32] = "<f4", [MF_F64] = "<f8"};

    return names[dtype];
}

static mf_status put_npy(const mf_array *array, const char *path)
{
    char header[256] = "", dims[160] = "";
    unsigned char start[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, 0, 0};
    size_t length;
    FILE *file;

    for (int d = 0; d < array->rank; d++)
        snprintf(dims + strlen(dims), sizeof dims - strlen(dims), "%" PRId64 ",%s", array->shape[d],
                 d + 1 < array->rank ? " " : "");
    snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }",
             npy_descr(array->dtype), dims);
    length = (sizeof start + strlen(header) + 1 + 63) / 64 * 64 - sizeof start;
    start[8] = (unsigned char)(length & 255);
    start[9] = (unsigned char)(length >> 8);
    MF_TRY(open_file(path, &file));
    fwrite(start, 1, sizeof start, file);
    fprintf(file, "%-*s\n", (int)length - 1, header);
    fwrite(array->data, 1, array->bytes, file);
    return close_file(file, MF_OK);
}

mf_status mf_write_npy_array(const mf_artifact *a, const char *path, const char *name)
{
    mf_array_info info;
    mf_array *array;
    mf_status status;

    if (name && !mf_artifact_find(a, name, &info))
        return mf_fail(MF_NOT_FOUND, "the %s has no array '%s'", mf_artifact_type(a), name);
    if (!name && mf_artifact_array_count(a) != 1)
        return mf_hint(mf_fail(MF_INVALID, "the %s has %zu arrays; a .npy file holds one",
                               mf_artifact_type(a), mf_artifact_array_count(a)),
                       "choose one with --array NAME");
    if (!name)
        mf_artifact_array_info(a, 0, &info);
    if (info.ragged)
        return mf_fail(MF_UNSUPPORTED, "array '%s' has rows of different length", info.name);
    MF_TRY(mf_artifact_array(a, info.name, &array));
    status = put_npy(array, path);
    mf_array_unref(array);
    return status;
}

mf_status mf_write_npy(const mf_artifact *a, const char *path)
{
    return mf_write_npy_array(a, path, NULL);
}

mf_status mf_write_npy_image(const mf_artifact *a, const char *path)
{
    return mf_write_npy_array(a, path, "image");
}

/* ---- .safetensors ---------------------------------------------------------------------------- *
 * u64 header length, JSON {name: {dtype, shape, data_offsets}}, the data, little-endian. */

static const char *tensor_dtype(mf_dtype dtype)
{
    static const char *const names[MF_DTYPE_COUNT] = {
        [MF_U8] = "U8",   [MF_I8] = "I8",   [MF_U16] = "U16", [MF_I16] = "I16", [MF_U32] = "U32",
        [MF_I32] = "I32", [MF_I64] = "I64", [MF_F16] = "F16", [MF_F32] = "F32", [MF_F64] = "F64"};

    return names[dtype];
}

static void put_json_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else if (*c < 0x20)
            fprintf(out, "\\u%04x", *c);
        else
            fputc(*c, out);
    }
    fputc('"', out);
}

static void put_metadata(const mf_artifact *a, FILE *out)
{
    mf_attribute_kind kind;

    fputs("\"__metadata__\":{\"type\":", out);
    put_json_text(out, mf_artifact_type(a));
    for (size_t i = 0; i < mf_artifact_attribute_count(a); i++) {
        const char *name = mf_artifact_attribute(a, i, &kind);
        int64_t number;
        size_t count;
        const double *reals;
        if (!strcmp(name, "type"))
            continue;
        fputc(',', out);
        put_json_text(out, name);
        fputc(':', out);
        if (kind == MF_ATTRIBUTE_TEXT) {
            put_json_text(out, mf_artifact_text(a, name));
        } else if (kind == MF_ATTRIBUTE_INT && mf_artifact_int(a, name, &number)) {
            fprintf(out, "\"%" PRId64 "\"", number);
        } else {
            reals = mf_artifact_reals(a, name, &count);
            fputc('"', out);
            for (size_t k = 0; reals && k < count; k++)
                fprintf(out, "%s%.17g", k ? " " : "", reals[k]);
            fputc('"', out);
        }
    }
    fputc('}', out);
}

static mf_status put_header(const mf_artifact *a, FILE *out)
{
    size_t offset = 0;

    fputc('{', out);
    put_metadata(a, out);
    for (size_t i = 0; i < mf_artifact_array_count(a); i++) {
        mf_array_info info;
        size_t bytes;
        mf_artifact_array_info(a, i, &info);
        if (info.ragged)
            return mf_fail(MF_UNSUPPORTED, "array '%s' has rows of different length", info.name);
        bytes = mf_dtype_size(info.dtype);
        fputc(',', out);
        put_json_text(out, info.name);
        fprintf(out, ":{\"dtype\":\"%s\",\"shape\":[", tensor_dtype(info.dtype));
        for (int d = 0; d < info.rank; d++) {
            fprintf(out, "%s%" PRId64, d ? "," : "", info.shape[d]);
            bytes *= (size_t)info.shape[d];
        }
        fprintf(out, "],\"data_offsets\":[%zu,%zu]}", offset, offset + bytes);
        offset += bytes;
    }
    fputc('}', out);
    return MF_OK;
}

static mf_status put_tensors(const mf_artifact *a, FILE *file)
{
    for (size_t i = 0; i < mf_artifact_array_count(a); i++) {
        mf_array_info info;
        mf_array *array;
        mf_artifact_array_info(a, i, &info);
        MF_TRY(mf_artifact_array(a, info.name, &array));
        fwrite(array->data, 1, array->bytes, file);
        mf_array_unref(array);
    }
    return MF_OK;
}

mf_status mf_write_safetensors(const mf_artifact *a, const char *path)
{
    char *header = NULL;
    size_t size = 0;
    uint64_t length;
    FILE *file, *out = open_memstream(&header, &size);
    mf_status status;

    if (!out)
        return mf_no_memory(0, "a header");
    status = put_header(a, out);
    fclose(out);
    if (!status)
        status = open_file(path, &file);
    if (status) {
        free(header);
        return status;
    }
    length = (size + 7) / 8 * 8; /* data starts on 8 bytes; the header ends in spaces */
    fwrite(&length, sizeof length, 1, file);
    fprintf(file, "%-*s", (int)length, header);
    free(header);
    return close_file(file, put_tensors(a, file));
}

/* ---- .png ------------------------------------------------------------------------------------ */

mf_status mf_encode_png(FILE *file, const mf_array *rgb)
{
    png_image image = {.version = PNG_IMAGE_VERSION, .format = PNG_FORMAT_RGB};

    if (rgb->dtype != MF_U8 || rgb->rank != 3 || rgb->shape[2] != 3 || rgb->shape[0] < 1 ||
        rgb->shape[1] < 1 || rgb->shape[0] > INT32_MAX || rgb->shape[1] > INT32_MAX / 3)
        return mf_fail(MF_CORRUPT, "the picture is not u8 [h, w, 3]");
    image.height = (png_uint_32)rgb->shape[0];
    image.width = (png_uint_32)rgb->shape[1];
    errno = 0; /* libpng says "Write Error", whatever it was */
    if (!png_image_write_to_stdio(&image, file, 0, rgb->data, 0, NULL))
        return mf_fail(MF_IO, "%s", errno ? strerror(errno) : image.message);
    return MF_OK;
}

mf_status mf_write_png(const mf_artifact *a, const char *path)
{
    mf_array *rgb;
    FILE *file = NULL;
    mf_status status;

    MF_TRY(mf_artifact_array(a, "rgb", &rgb));
    status = open_file(path, &file);
    if (!status)
        status = close_file(file, mf_encode_png(file, rgb));
    mf_array_unref(rgb);
    return status;
}

/* ---- .csv ------------------------------------------------------------------------------------ */

static void put_quoted(FILE *file, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, file);
        return;
    }
    fputc('"', file);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', file);
        fputc(*text, file);
    }
    fputc('"', file);
}

/* Texts may come from anywhere; the file is UTF-8. */
static mf_status put_csv(FILE *file, const char *text)
{
    char *clean = mf_utf8_clean(text);

    if (!clean)
        return mf_no_memory(0, "a table");
    put_quoted(file, clean);
    free(clean);
    return MF_OK;
}

static mf_status put_sheet(FILE *file, const mf_sheet *sheet)
{
    for (size_t c = 0; c < sheet->count; c++) {
        fputs(c ? "," : "", file);
        MF_TRY(put_csv(file, sheet->columns[c].name));
    }
    fputc('\n', file);
    for (int64_t r = 0; r < sheet->rows; r++) {
        for (size_t c = 0; c < sheet->count; c++) {
            char *cell = mf_sheet_cell(sheet, c, r, 0);
            mf_status status;
            if (!cell)
                return mf_no_memory(0, "a table");
            fputs(c ? "," : "", file);
            status = put_csv(file, cell);
            free(cell);
            MF_TRY(status);
        }
        fputc('\n', file);
    }
    return MF_OK;
}

mf_status mf_write_csv(const mf_artifact *a, const char *path)
{
    mf_sheet sheet;
    FILE *file;
    mf_status status;

    MF_TRY(mf_sheet_read(a, &sheet));
    status = open_file(path, &file);
    if (!status)
        status = close_file(file, put_sheet(file, &sheet));
    mf_sheet_clear(&sheet);
    return status;
}

/* ---- .txt ------------------------------------------------------------------------------------ */

mf_status mf_write_txt(const mf_artifact *a, const char *path)
{
    const char *text = mf_artifact_text(a, "text");
    mf_array *bytes = NULL;
    mf_array_info info;
    FILE *file;

    if (!text) {
        if (mf_artifact_array_count(a) != 1)
            return mf_fail(MF_CORRUPT, "the text is in neither an attribute nor one array");
        mf_artifact_array_info(a, 0, &info);
        if (info.dtype != MF_U8)
            return mf_fail(MF_CORRUPT, "the text is %s, not u8", mf_dtype_text(info.dtype));
        if (info.ragged) {
            mf_array *starts;
            MF_TRY(mf_artifact_rows(a, info.name, &bytes, &starts));
            mf_array_unref(starts);
        } else {
            MF_TRY(mf_artifact_array(a, info.name, &bytes));
        }
    }
    mf_status status = open_file(path, &file);
    if (!status) {
        if (text)
            fputs(text, file);
        else
            fwrite(bytes->data, 1, bytes->bytes, file);
        status = close_file(file, MF_OK);
    }
    mf_array_unref(bytes);
    return status;
}

/* ---- files ----------------------------------------------------------------------------------- */

mf_status mf_write_file(const mf_artifact *a, const char *path)
{
    const char *suffix = mf_artifact_file_suffix(a), *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
    mf_array *bytes;
    FILE *file;

    MF_TRY(mf_artifact_check_file(a));
    if (strcasecmp(dot ? dot : "", suffix) != 0)
        return mf_hint(
            mf_fail(MF_UNSUPPORTED, "the file is '%s' (%s), and '%s' says something else",
                    mf_artifact_text(a, "name"), mf_artifact_text(a, "media_type"), name),
            "give it the suffix '%s'", suffix);
    MF_TRY(mf_artifact_array(a, "bytes", &bytes));
    mf_status status = open_file(path, &file);
    if (!status) {
        fwrite(bytes->data, 1, bytes->bytes, file);
        status = close_file(file, MF_OK);
    }
    mf_array_unref(bytes);
    return status;
}
