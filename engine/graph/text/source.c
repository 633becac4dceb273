/* source.c - texts that users write, as UTF-8 with lines: graph files, csv, dataset.json, --set.
 *
 * A byte order mark at the beginning is no part of the text, and UTF-16 that has one becomes UTF-8:
 * editors and spreadsheets under Windows write both. */
#include "graph/text/yaml.h"

#include <errno.h>
#include <massflow/file.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARK "\xef\xbb\xbf" /* the byte order mark in UTF-8 */

char *mf_yaml_folder(mf_arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == path ? mf_arena_copy(arena, "/")
                   : slash       ? mf_arena_copy_n(arena, path, (size_t)(slash - path))
                                 : mf_arena_copy(arena, ".");
    char *real = realpath(folder, NULL);
    if (real) {
        folder = mf_arena_copy(arena, real);
        free(real);
    }
    return folder;
}

/* Whether a line ends with this character: \n, \r\n and \r alone end lines. */
static bool ends_line(const char *c)
{
    return *c == '\n' || (*c == '\r' && c[1] != '\n');
}

yaml_source *mf_source_of(mf_arena *arena, const char *name, const char *base, const char *text)
{
    yaml_source *s = mf_arena_alloc(arena, 1, sizeof *s);
    text += strncmp(text, MARK, 3) ? 0 : 3;
    *s = (yaml_source){.name = name, .base = base, .text = text, .length = strlen(text)};
    size_t lines = 1;
    for (size_t i = 0; i < s->length; i++)
        lines += ends_line(text + i);
    s->lines = mf_arena_alloc(arena, lines, sizeof *s->lines);
    s->lines[s->line_count++] = text;
    for (size_t i = 0; i < s->length; i++)
        if (ends_line(text + i))
            s->lines[s->line_count++] = text + i + 1;
    return s;
}

/* ---- UTF-16 ----------------------------------------------------------------------------------
 */

static void put_utf8(mf_text *out, uint32_t c)
{
    char bytes[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char heads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; c >>= 6)
        bytes[i] = (char)(0x80 | (c & 0x3f));
    bytes[0] = (char)(heads[n] | c);
    mf_text_add_n(out, bytes, n);
}

static uint32_t unit(const unsigned char *bytes, bool big)
{
    return big ? (uint32_t)bytes[0] << 8 | bytes[1] : (uint32_t)bytes[1] << 8 | bytes[0];
}

/* What stands behind the mark (RFC 2781): false where it is no UTF-16. */
static bool from_utf16(const unsigned char *bytes, size_t length, bool big, mf_text *out)
{
    if (length % 2)
        return false;
    for (size_t i = 0; i < length; i += 2) {
        uint32_t c = unit(bytes + i, big);
        if (c >= 0xdc00 && c < 0xe000)
            return false;
        if (c >= 0xd800 && c < 0xdc00) {
            uint32_t low = i + 4 <= length ? unit(bytes + i + 2, big) : 0;
            if (low < 0xdc00 || low >= 0xe000)
                return false;
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            i += 2;
        }
        put_utf8(out, c);
    }
    return true;
}

static mf_status wrong_encoding(const char *path, const char *what)
{
    return mf_hint(mf_fail(MF_INVALID, "%s %s", path, what), "save it as UTF-8");
}

/* UTF-16, which its byte order mark tells, becomes UTF-8. */
static mf_status decode(const char *path, mf_text *text)
{
    const unsigned char *b = (const unsigned char *)text->data;
    size_t n = text->length;
    if (n >= 4 && (!memcmp(b, "\xff\xfe\0\0", 4) || !memcmp(b, "\0\0\xfe\xff", 4)))
        return wrong_encoding(path, "is UTF-32 text, which is not read");
    if (n >= 2 && (!memcmp(b, "\xff\xfe", 2) || !memcmp(b, "\xfe\xff", 2))) {
        mf_text plain = {0};
        bool good = from_utf16(b + 2, n - 2, *b == 0xfe, &plain);
        if (!good) {
            free(plain.data);
            return wrong_encoding(path, "begins as UTF-16 text and is none");
        }
        free(text->data);
        *text = plain;
        return MF_OK;
    }
    if (n >= 2 && (!b[0] != !b[1]))
        return wrong_encoding(path, "is UTF-16 text without a byte order mark, or no text at all");
    return MF_OK;
}

/* ---- reading ---------------------------------------------------------------------------------
 */

/* "PATH: why", said of a text. */
static mf_status cannot_read(mf_status status)
{
    if (!status)
        return MF_OK;
    const char *hint = mf_error_hint_text(status);
    mf_status said = mf_fail(mf_error_code(status), "cannot read %s", mf_error_message(status));
    if (hint)
        said = mf_hint(said, "%s", hint);
    mf_error_free(status);
    return said;
}

mf_status mf__source_read(mf_arena *arena, const char *path, size_t limit, yaml_source **s)
{
    FILE *file;
    mf_text text = {0};
    char buffer[16384];
    size_t got;
    int64_t size;
    *s = NULL;
    MF_TRY(cannot_read(mf_file_open(path, &file, &size)));
    while (text.length <= limit && (got = fread(buffer, 1, sizeof buffer, file)) > 0)
        mf_text_add_n(&text, buffer, got);
    mf_status status = MF_OK;
    if (ferror(file))
        status = mf_fail(MF_IO, "cannot read %s: %s", path, strerror(errno));
    else if (text.length > limit)
        status = mf_fail(MF_INVALID, "%s is larger than %zu MiB", path, limit >> 20);
    else
        status = decode(path, &text);
    fclose(file);
    if (!status) {
        size_t length = text.length;
        const char *copy = mf_arena_copy_n(arena, text.data ? text.data : "", length);
        *s = mf_source_of(arena, mf_arena_copy(arena, path), mf_yaml_folder(arena, path), copy);
        (*s)->file = true;
        /* A NUL byte inside ends strlen early; mf__source_check refuses it. */
        (*s)->length = length - (size_t)((*s)->text - copy);
    }
    free(text.data);
    return status;
}

/* ---- checking --------------------------------------------------------------------------------
 */

mf_place mf__source_place(const yaml_source *s, int line, int column, int width)
{
    bool inside = line >= 1 && (size_t)line <= s->line_count;
    return (mf_place){
        s->name, line, column, width < 1 ? 1 : width, inside ? s->lines[line - 1] : NULL, s->from};
}

/* Length of the well-formed UTF-8 character at `c`, 0 for none. */
static size_t utf8(const unsigned char *c, size_t left)
{
    size_t n = c[0] < 0x80                   ? 1
               : c[0] >= 0xc2 && c[0] < 0xe0 ? 2
               : c[0] >= 0xe0 && c[0] < 0xf0 ? 3
               : c[0] >= 0xf0 && c[0] < 0xf5 ? 4
                                             : 0;
    if (!n || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
        (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))
        return 0;
    return n;
}

/* The character at `c` as one that no text from a user may hold; NULL where it may. */
static const char *refused(const unsigned char *c, size_t n, char text[40])
{
    if (!n)
        snprintf(text, 40, "byte 0x%02x is not UTF-8", *c);
    else if ((*c < 32 && *c != '\n' && *c != '\r' && *c != '\t') || *c == 127)
        snprintf(text, 40, "control character 0x%02x", *c);
    else if (n == 3 && !memcmp(c, MARK, 3))
        snprintf(text, 40, "a byte order mark inside the text");
    else
        return NULL;
    return text;
}

bool mf__source_check(const yaml_source *s, mf_diagnostics *d)
{
    int line = 1, column = 1;
    for (size_t i = 0; i < s->length;) {
        const char *at = s->text + i;
        const unsigned char *c = (const unsigned char *)at;
        size_t n = utf8(c, s->length - i);
        char text[40];
        if (refused(c, n, text)) {
            mf_place place = {s->name, line, column, 1, NULL, s->from};
            mf_diagnostics_error(d, &place, "%s", text);
            if (!n && s->file)
                mf_diagnostics_note(d, "save the file as UTF-8; spreadsheets offer \"CSV UTF-8\"");
            return false;
        }
        i += n;
        column = ends_line(at) ? 1 : column + 1;
        line += ends_line(at);
    }
    return true;
}
