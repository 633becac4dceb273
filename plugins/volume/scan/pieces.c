/* pieces.c - see pieces.h. */
#include "pieces.h"
#include "voxels.h"
#include <ctype.h>
#include <errno.h>
#include <massflow/file.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MOST 64
#define BLOCK_BYTES ((size_t)1 << 20)

/* The pieces as one run of bytes. */
typedef struct run {
    const voxel_pieces *p;
    size_t next; /* the piece that is opened next */
    size_t left; /* bytes of voxels in the open one */
    inflate_file f;
    unsigned char text[4096]; /* read ahead of text forms: [at, got) is not looked at yet */
    size_t at, got;
} run;

/* Where the voxels of a file begin: behind the lines that are passed over, or counted from its
 * end. */
static mf_status find_start(const voxel_pieces *p, const char *path, int64_t *start)
{
    *start = p->start;
    if (!p->line_skip && p->byte_skip >= 0)
        return MF_OK;
    FILE *file;
    int64_t size;
    MF_TRY(mf_file_open(path, &file, &size));
    if (fseeko(file, (off_t)p->start, SEEK_SET)) {
        mf_status status = mf_fail(MF_IO, "%s: %s", path, strerror(errno));
        fclose(file);
        return status;
    }
    int64_t lines = 0;
    for (int c; lines < p->line_skip && (c = getc(file)) != EOF;)
        lines += c == '\n';
    *start = p->byte_skip >= 0 ? (int64_t)ftello(file) : size - (int64_t)p->bytes;
    fclose(file);
    if (lines < p->line_skip)
        return mf_fail(MF_CORRUPT, "%s: cut off: %lld lines are to be skipped, it has %lld", path,
                       (long long)p->line_skip, (long long)lines);
    return MF_OK;
}

static mf_status cut_off(const voxel_pieces *p, const char *path, int64_t there)
{
    return mf_fail(MF_CORRUPT,
                   "%s: cut off: its header promises %s (%zu bytes%s), the file has %lld for them",
                   path, p->promised, p->bytes, p->files > 1 ? " of them here" : "",
                   (long long)(there > 0 ? there : 0));
}

mf_status pieces_check(const voxel_pieces *p)
{
    int64_t values = (int64_t)(p->bytes / mf_dtype_size(p->dtype));
    for (size_t i = 0; i < p->files; i++) {
        int64_t start;
        MF_TRY(find_start(p, p->file[i], &start));
        if (start < 0)
            return cut_off(p, p->file[i], start + (int64_t)p->bytes);
        inflate_file f;
        MF_TRY(inflate_open_at(p->file[i], start, INFLATE_PLAIN, &f));
        f.packing = p->packing;
        int64_t skip = p->byte_skip > 0 ? p->byte_skip : 0;
        /* the shortest text: a digit a value and a blank between two */
        int64_t least = p->form == PIECES_TEXT  ? 2 * values - 1
                        : p->form == PIECES_HEX ? 2 * (int64_t)p->bytes
                                                : (int64_t)p->bytes;
        bool holds = skip <= INT64_MAX - least && inflate_can_hold(&f, skip + least);
        int64_t there = f.file_bytes - (f.packing == INFLATE_PLAIN ? skip : 0);
        f.packing = INFLATE_PLAIN;
        inflate_close(&f);
        if (!holds)
            return cut_off(p, p->file[i], there);
    }
    return MF_OK;
}

static mf_status open_next(run *r)
{
    const voxel_pieces *p = r->p;
    int64_t start;
    if (r->next == p->files)
        return mf_fail(MF_INTERNAL, "voxels are read beyond the last of %zu files", p->files);
    const char *path = p->file[r->next++];
    MF_TRY(find_start(p, path, &start));
    MF_TRY(inflate_open_at(path, start, p->packing, &r->f));
    r->left = p->bytes;
    r->at = r->got = 0;
    return inflate_skip(&r->f, p->byte_skip > 0 ? p->byte_skip : 0,
                        (p->byte_skip > 0 ? p->byte_skip : 0) + (int64_t)p->bytes);
}

static mf_status close_piece(run *r)
{
    mf_status status = inflate_finish(&r->f);
    inflate_close(&r->f);
    return status;
}

/* ---- text ------------------------------------------------------------------------------------ */

/* The next character, or EOF. */
static mf_status next_char(run *r, int *c)
{
    if (r->at == r->got) {
        r->at = 0;
        MF_TRY(inflate_read(&r->f, r->text, sizeof r->text, &r->got));
    }
    *c = r->at < r->got ? r->text[r->at++] : EOF;
    return MF_OK;
}

static mf_status text_ended(const run *r)
{
    size_t element = r->p->form == PIECES_HEX ? 1 : mf_dtype_size(r->p->dtype);
    return mf_fail(MF_CORRUPT, "%s: cut off: its header promises %s, it has %zu%s", r->f.path,
                   r->p->promised, (r->p->bytes - r->left) / element,
                   r->p->form == PIECES_HEX ? " bytes" : "");
}

/* Text to one value; false where it is none of this type. */
static bool parse_value(const run *r, const char *word, void *to)
{
    static const struct {
        int64_t min, max;
    } range[MF_DTYPE_COUNT] = {[MF_U8] = {0, UINT8_MAX},         [MF_I8] = {INT8_MIN, INT8_MAX},
                               [MF_U16] = {0, UINT16_MAX},       [MF_I16] = {INT16_MIN, INT16_MAX},
                               [MF_U32] = {0, UINT32_MAX},       [MF_I32] = {INT32_MIN, INT32_MAX},
                               [MF_I64] = {INT64_MIN, INT64_MAX}};
    mf_dtype dtype = r->p->dtype;
    char *end;
    errno = 0;
    if (dtype == MF_F32 || dtype == MF_F64) {
        double v = strtod(word, &end);
        if (dtype == MF_F32)
            *(float *)to = (float)v;
        else
            *(double *)to = v;
        return !*end;
    }
    int64_t v = strtoll(word, &end, 10);
    if (*end || errno || v < range[dtype].min || v > range[dtype].max || (r->p->uint64 && v < 0))
        return false;
    memcpy(to, &v, mf_dtype_size(dtype)); /* the low bytes come first on every machine we know */
    return true;
}

/* One value written as a word between blanks. */
static mf_status read_word(run *r, void *to)
{
    char word[WORD_MOST];
    size_t n = 0;
    int c;
    do
        MF_TRY(next_char(r, &c));
    while (isspace(c));
    for (; c != EOF && !isspace(c) && n < sizeof word - 1; n++) {
        word[n] = (char)c;
        MF_TRY(next_char(r, &c));
    }
    word[n] = 0;
    if (!n)
        return text_ended(r);
    if (!parse_value(r, word, to))
        return mf_fail(MF_CORRUPT, "%s: '%s' is not a voxel of type %s", r->f.path, word,
                       mf_dtype_text(r->p->dtype));
    return MF_OK;
}

static mf_status read_hex(run *r, unsigned char *to)
{
    int value = 0;
    for (int i = 0; i < 2; i++) {
        int c;
        do
            MF_TRY(next_char(r, &c));
        while (isspace(c));
        if (c == EOF)
            return text_ended(r);
        if (!isxdigit(c))
            return mf_fail(MF_CORRUPT,
                           "%s: its voxels hold a character that is not a hexadecimal digit",
                           r->f.path);
        value = 16 * value + (isdigit(c) ? c - '0' : tolower(c) - 'a' + 10);
    }
    *to = (unsigned char)value;
    return MF_OK;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* `size` bytes of the open piece into `to`. */
static mf_status read_piece(run *r, void *to, size_t size)
{
    const voxel_pieces *p = r->p;
    int64_t promised = (p->byte_skip > 0 ? p->byte_skip : 0) + (int64_t)p->bytes;
    if (p->form == PIECES_BINARY) {
        MF_TRY(inflate_exactly(&r->f, to, size, promised));
        r->left -= size;
        return MF_OK;
    }
    size_t element = p->form == PIECES_HEX ? 1 : mf_dtype_size(p->dtype);
    for (size_t i = 0; i < size; i += element) {
        MF_TRY(p->form == PIECES_HEX ? read_hex(r, (unsigned char *)to + i)
                                     : read_word(r, (char *)to + i));
        r->left -= element;
    }
    return MF_OK;
}

static mf_status run_read(run *r, void *to, size_t size)
{
    for (size_t done = 0; done < size;) {
        if (!r->left)
            MF_TRY(open_next(r));
        size_t n = size - done < r->left ? size - done : r->left;
        MF_TRY(read_piece(r, (char *)to + done, n));
        done += n;
        if (!r->left)
            MF_TRY(close_piece(r));
    }
    return MF_OK;
}

static mf_status run_skip(run *r, size_t size)
{
    char sink[4096];
    while (size) {
        if (!r->left && size >= r->p->bytes) { /* a whole piece: not even opened */
            r->next++;
            size -= r->p->bytes;
            continue;
        }
        if (!r->left)
            MF_TRY(open_next(r));
        size_t n = size < r->left ? size : r->left;
        if (r->p->form == PIECES_BINARY) {
            MF_TRY(
                inflate_skip(&r->f, (int64_t)n,
                             (r->p->byte_skip > 0 ? r->p->byte_skip : 0) + (int64_t)r->p->bytes));
            r->left -= n;
        } else {
            n = n < sizeof sink ? n : sizeof sink;
            MF_TRY(read_piece(r, sink, n));
        }
        size -= n;
        if (!r->left)
            MF_TRY(close_piece(r));
    }
    return MF_OK;
}

/* Short stretches are picked out of blocks of many periods. */
static mf_status pick(run *r, size_t inner, size_t period, size_t phase, char *to, size_t size)
{
    size_t at_once = BLOCK_BYTES / period;
    char *block = malloc(at_once * period);
    if (!block)
        return mf_no_memory(at_once * period, "reading voxels");
    mf_status status = MF_OK;
    for (size_t done = 0; done < size && !status;) {
        size_t n = (size - done) / inner < at_once ? (size - done) / inner : at_once;
        status = run_read(r, block, n * period);
        for (size_t i = 0; i < n && !status; i++, done += inner)
            memcpy(to + done, block + i * period + phase, inner);
    }
    free(block);
    return status;
}

static mf_status read_all(run *r, size_t inner, size_t period, size_t phase, char *to, size_t size)
{
    if (inner < period && period <= BLOCK_BYTES)
        return pick(r, inner, period, phase, to, size);
    for (size_t done = 0; done < size; done += inner) {
        MF_TRY(run_skip(r, phase));
        MF_TRY(run_read(r, to + done, inner));
        /* What follows the last stretch of a packed piece is unpacked by close_piece. */
        if (done + inner < size)
            MF_TRY(run_skip(r, period - phase - inner));
    }
    return MF_OK;
}

mf_status pieces_read(const voxel_pieces *p, size_t inner, size_t period, size_t phase, void *to,
                      size_t size)
{
    run r = {.p = p};
    mf_status status = read_all(&r, inner, period, phase, to, size);
    if (!status && r.f.file)
        status = close_piece(&r);
    inflate_close(&r.f);
    return status;
}
