/* clean.c - see clean.h: streams of the C library whose writes pass a filter. */
#include "clean.h"
#include "base/utf8.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- characters ------------------------------------------------------------------------------ */

static char *show(char *to, const unsigned char *c, size_t n, uint32_t code)
{
    if (!n)
        return to + sprintf(to, "\\x%02x", *c);
    if (mf_utf8_is_control(code))
        return to + sprintf(to, "\\u%04x", code);
    return mempcpy(to, c, n);
}

/* Whether the bytes at `c` may be the beginning of a character. */
static bool unfinished(const unsigned char *c, size_t left)
{
    if (mf_utf8_length(*c) <= left)
        return false;
    for (size_t i = 1; i < left; i++)
        if ((c[i] & 0xc0) != 0x80)
            return false;
    return true;
}

size_t clean_end(cleaner *c, char *to)
{
    char *at = to;

    for (size_t i = 0; i < c->rest_size; i++)
        at = show(at, c->rest + i, 0, 0);
    c->rest_size = 0;
    return (size_t)(at - to);
}

/* A character that began before these bytes: takes of them what belongs to it. */
static size_t finish(cleaner *c, const unsigned char *from, size_t size, char **to)
{
    size_t taken = 0, n;
    uint32_t code = 0;

    while (c->rest_size && taken < size && unfinished(c->rest, c->rest_size) &&
           (from[taken] & 0xc0) == 0x80)
        c->rest[c->rest_size++] = from[taken++];
    if (!c->rest_size || (taken == size && unfinished(c->rest, c->rest_size)))
        return taken;
    n = mf_utf8_next(c->rest, c->rest_size, &code);
    if (n == c->rest_size)
        *to = show(*to, c->rest, n, code);
    else
        *to += clean_end(c, *to);
    c->rest_size = 0;
    return taken;
}

size_t clean_bytes(cleaner *c, const char *from, size_t size, char *to)
{
    const unsigned char *bytes = (const unsigned char *)from;
    char *start = to;

    for (size_t at = finish(c, bytes, size, &to); at < size && !c->rest_size;) {
        uint32_t code = 0;
        size_t n = mf_utf8_next(bytes + at, size - at, &code);
        if (!n && unfinished(bytes + at, size - at)) {
            c->rest_size = size - at;
            memcpy(c->rest, bytes + at, c->rest_size);
            break;
        }
        to = show(to, bytes + at, n, code);
        at += n ? n : 1;
    }
    return (size_t)(to - start);
}

/* ---- streams --------------------------------------------------------------------------------- */

typedef struct filtered {
    int file;
    FILE *stream;
    bool silent;
    cleaner cleaner;
} filtered;

static filtered streams[] = {{.file = STDOUT_FILENO}, {.file = STDERR_FILENO}};

static bool put_all(int file, const char *from, size_t size)
{
    while (size) {
        ssize_t done = write(file, from, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return false;
        from += done;
        size -= (size_t)done;
    }
    return true;
}

static ssize_t put(void *self, const char *from, size_t size)
{
    filtered *f = self;
    char shown[6 * 512];

    if (f->silent)
        return (ssize_t)size;

    for (size_t at = 0; at < size;) {
        size_t part = size - at < 500 ? size - at : 500; /* with a rest at most 504 bytes */
        if (!put_all(f->file, shown, clean_bytes(&f->cleaner, from + at, part, shown)))
            return 0; /* an error of the stream; -1 would be taken for bytes */
        at += part;
    }
    return (ssize_t)size;
}

static void open_stream(filtered *f, FILE **stream, int mode)
{
    fflush(*stream);
    f->stream = fopencookie(f, "w", (cookie_io_functions_t){.write = put});
    if (!f->stream)
        abort(); /* no memory before anything is done; unfiltered nothing is printed */
    setvbuf(f->stream, NULL, mode, BUFSIZ);
    *stream = f->stream;
}

void clean_streams(void)
{
    open_stream(&streams[0], &stdout, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF);
    open_stream(&streams[1], &stderr, _IONBF);
}

static filtered *find(FILE *stream)
{
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++)
        if (streams[i].stream == stream)
            return &streams[i];
    return NULL;
}

void clean_silence(FILE *stream)
{
    filtered *f = find(stream);

    if (f)
        f->silent = true;
    clearerr(stream);
}

int clean_file(FILE *stream)
{
    const filtered *f = find(stream);

    return f ? f->file : fileno(stream);
}

void clean_escape(FILE *stream, const char *sequence)
{
    fflush(stream);
    put_all(clean_file(stream), sequence, strlen(sequence));
}
