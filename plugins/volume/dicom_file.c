/* dicom_file.c - see dicom_file.h. Elements are walked and checked here, because GDCM (which ITK
 * reads DICOM with) ends the whole process by failed assertions when a file is damaged. The
 * encoding of elements: DICOM PS3.5, section 7. */
#include "dicom_file.h"
#include "deflated.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define UNDEFINED 0xffffffffu
#define DEEPEST 16 /* sequences in sequences */

typedef struct walker {
    const char *path;
    FILE *file;
    int64_t size;  /* of the file */
    bool explicit; /* elements name their type */
    bool big;
    bool in_dose; /* inside Radiopharmaceutical Information Sequence */
    dicom_header *h;
} walker;

typedef struct element {
    uint32_t tag; /* group << 16 | element */
    char vr[3];
    uint32_t length;
} element;

static mf_status damaged(const walker *w, const char *what)
{
    return mf_fail(MF_CORRUPT, "%s: damaged DICOM: %s", w->path, what);
}

static uint32_t number(const walker *w, const unsigned char *b, int bytes)
{
    uint32_t v = 0;
    for (int i = 0; i < bytes; i++)
        v = v << 8 | b[w->big ? i : bytes - 1 - i];
    return v;
}

/* The head of the next element; *more is false at the end of the file. */
static mf_status next_element(walker *w, element *e, bool *more)
{
    unsigned char b[12];
    size_t got = fread(b, 1, 8, w->file);
    *more = got > 0;
    if (!got)
        return MF_OK;
    if (got < 8)
        return damaged(w, "it ends inside an element");
    e->tag = number(w, b, 2) << 16 | number(w, b + 2, 2);
    e->vr[0] = e->vr[1] = e->vr[2] = 0;
    if (!w->explicit || e->tag >> 16 == 0xfffe) { /* items name no type */
        e->length = number(w, b + 4, 4);
        return MF_OK;
    }
    memcpy(e->vr, b + 4, 2);
    for (int i = 0; i < 2; i++)
        if (e->vr[i] < 'A' || e->vr[i] > 'Z')
            return damaged(w, "an element has no valid type");
    if (!strstr("OB OW OF OL OD OV SQ UC UR UT UN SV UV", e->vr)) {
        e->length = number(w, b + 6, 2);
        return MF_OK;
    }
    if (fread(b + 8, 1, 4, w->file) < 4)
        return damaged(w, "it ends inside an element");
    e->length = number(w, b + 8, 4);
    return MF_OK;
}

static mf_status skip(walker *w, uint32_t bytes)
{
    int64_t at = ftello(w->file);
    if (at + (int64_t)bytes > w->size)
        return damaged(w, "an element reaches beyond the end of the file");
    if (fseeko(w->file, (off_t)bytes, SEEK_CUR))
        return mf_fail(MF_IO, "%s: %s", w->path, strerror(errno));
    return MF_OK;
}

static mf_status walk(walker *w, int64_t end, int depth);

/* The items of a sequence, up to its end or its delimiter; raw: they hold bytes, not elements. */
static mf_status walk_items(walker *w, uint32_t length, bool raw, int depth)
{
    int64_t end = length == UNDEFINED ? w->size : ftello(w->file) + (int64_t)length;
    if (depth > DEEPEST)
        return damaged(w, "sequences are nested too deep");
    if (end > w->size)
        return damaged(w, "a sequence reaches beyond the end of the file");
    while (ftello(w->file) < end) {
        element e;
        bool more;
        MF_TRY(next_element(w, &e, &more));
        if (!more || e.tag == 0xfffee0dd)
            return MF_OK;
        if (e.tag != 0xfffee000)
            return damaged(w, "a sequence holds something that is no item");
        if (raw) {
            MF_TRY(skip(w, e.length));
            continue;
        }
        int64_t stop = e.length == UNDEFINED ? INT64_MAX : ftello(w->file) + (int64_t)e.length;
        if (stop != INT64_MAX && stop > w->size)
            return damaged(w, "an item reaches beyond the end of the file");
        MF_TRY(walk(w, stop, depth + 1));
    }
    return MF_OK;
}

/* Numbers of a decimal string, parted by backslashes; true when all `count` are there. */
static bool decimals(const char *at, double *to, int count)
{
    for (int i = 0; i < count; i++) {
        char *end;
        double v = strtod(at, &end);
        if (end == at || !(v - v == 0))
            return false;
        to[i] = v;
        end += strspn(end, " ");
        at = *end == '\\' ? end + 1 : end;
    }
    return true;
}

static int64_t whole(const char *text)
{
    double v;
    return decimals(text, &v, 1) && v > -1e15 && v < 1e15 ? (int64_t)v : 0;
}

static void set_text(char *to, size_t room, const char *text)
{
    size_t n = strlen(text);
    n = n < room ? n : room - 1;
    memcpy(to, text, n);
    to[n] = 0;
}

/* What an element says, if it is one of those that matter. value: text, ended by a zero. */
static void note_element(walker *w, const element *e, const char *value, const unsigned char *raw)
{
    dicom_header *h = w->h;
    int64_t small = e->length == 2 ? number(w, raw, 2) : 0;
    double v = 0;
    (void)decimals(value, &v, 1);
    if (w->in_dose) {
        if (e->tag == 0x00181072)
            set_text(h->dose_start, sizeof h->dose_start, value);
        if (e->tag == 0x00181074)
            h->dose_bq = v;
        if (e->tag == 0x00181075)
            h->half_life_s = v;
        return;
    }
    switch (e->tag) {
    // clang-format off
    case 0x00020010: set_text(h->syntax, sizeof h->syntax, value); break;
    case 0x00080008: set_text(h->kind, sizeof h->kind, value); break;
    case 0x00080016: set_text(h->sop_class, sizeof h->sop_class, value); break;
    case 0x00080031: set_text(h->series_time, sizeof h->series_time, value); break;
    case 0x00080060: set_text(h->modality, sizeof h->modality, value); break;
    case 0x0008103e: set_text(h->description, sizeof h->description, value); break;
    case 0x00101030: h->weight_kg = v; break;
    case 0x00180050: h->thickness = v; break;
    case 0x00180088: h->between = v; break;
    case 0x0020000e: set_text(h->series, sizeof h->series, value); break;
    case 0x00200011: h->series_number = whole(value); break;
    case 0x00200013: h->instance = whole(value); break;
    case 0x00200032: h->has_position = decimals(value, h->position, 3); break;
    case 0x00200037: h->has_orientation = decimals(value, h->orientation, 6); break;
    case 0x00280002: h->samples = small; break;
    case 0x00280004: set_text(h->photometric, sizeof h->photometric, value); break;
    case 0x00280008: h->frames = whole(value); break;
    case 0x00280010: h->rows = small; break;
    case 0x00280011: h->columns = small; break;
    case 0x00280030: h->has_spacing = decimals(value, h->spacing, 2); break;
    case 0x00280100: h->bits = small; break;
    case 0x00280101: h->bits_stored = small; break;
    case 0x00280102: h->high_bit = e->length == 2 ? small : -1; break;
    case 0x00280103: h->is_signed = small; break;
    case 0x00281052: h->intercept = v; break;
    case 0x00281053: h->slope = v; break;
    case 0x3004000e: h->dose_scaling = v; break;
    case 0x00541001: set_text(h->units, sizeof h->units, value); break;
    case 0x00541102: set_text(h->decay, sizeof h->decay, value); break;
    default: break;
        // clang-format on
    }
}

/* Reads a short element's value and notes it. */
static mf_status read_value(walker *w, const element *e)
{
    unsigned char raw[256];
    char text[257];
    if (e->length > sizeof raw)
        return skip(w, e->length);
    if (fread(raw, 1, e->length, w->file) < e->length)
        return damaged(w, "an element reaches beyond the end of the file");
    memcpy(text, raw, e->length);
    size_t n = e->length;
    while (n && (text[n - 1] == ' ' || text[n - 1] == 0))
        n--;
    text[n] = 0;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < ' ')
            text[i] = ' ';
    note_element(w, e, text, raw);
    return MF_OK;
}

/* Elements up to byte `end` (INT64_MAX: up to the item's delimiter), or to the pixels. Only what
 * stands outside of sequences is noted, and the dose of a PET tracer. */
static mf_status walk(walker *w, int64_t end, int depth)
{
    while (ftello(w->file) < end) {
        element e;
        bool more;
        MF_TRY(next_element(w, &e, &more));
        if (!more || e.tag == 0xfffee00d)
            return MF_OK;
        if (e.tag == 0x7fe00010 && depth == 0) {
            w->h->pixel_offset = ftello(w->file);
            w->h->pixel_bytes = w->size - w->h->pixel_offset;
            w->h->pixels_in_items = e.length == UNDEFINED;
            if (e.length != UNDEFINED && e.length < w->h->pixel_bytes)
                w->h->pixel_bytes = e.length;
            return MF_OK;
        }
        bool sequence = !strcmp(e.vr, "SQ") || e.length == UNDEFINED;
        bool dose = e.tag == 0x00540016;
        if (sequence || (dose && !w->explicit)) {
            bool was = w->in_dose;
            w->in_dose = was || dose;
            mf_status failed = walk_items(w, e.length, e.vr[0] == 'O', depth + 1);
            w->in_dose = was;
            MF_TRY(failed);
        } else if (depth == 0 || w->in_dose) {
            MF_TRY(read_value(w, &e));
        } else {
            MF_TRY(skip(w, e.length));
        }
    }
    return MF_OK;
}

/* The elements of group 2, which are always explicit and little-endian. */
static mf_status walk_meta(walker *w)
{
    for (;;) {
        unsigned char b[2];
        off_t at = ftello(w->file);
        if (fread(b, 1, 2, w->file) < 2)
            return damaged(w, "it ends after its preamble");
        if (fseeko(w->file, at, SEEK_SET))
            return mf_fail(MF_IO, "%s: %s", w->path, strerror(errno));
        if (b[0] != 2 || b[1] != 0)
            return MF_OK;
        element e;
        bool more;
        MF_TRY(next_element(w, &e, &more));
        if (e.length == UNDEFINED)
            return damaged(w, "an element of its file header has no length");
        MF_TRY(read_value(w, &e));
    }
}

static mf_status inflate_elements(walker *w)
{
    FILE *whole;
    w->h->deflated_from = ftello(w->file);
    MF_TRY(deflated_open(w->path, w->file, w->h->deflated_from, &whole, &w->size));
    fclose(w->file);
    w->file = whole;
    return MF_OK;
}

static mf_status choose_syntax(walker *w)
{
    dicom_header *h = w->h;
    w->explicit = strcmp(h->syntax, "1.2.840.10008.1.2") != 0;
    w->big = h->big_endian = !strcmp(h->syntax, "1.2.840.10008.1.2.2");
    h->compressed = w->explicit && !w->big && strcmp(h->syntax, "1.2.840.10008.1.2.1") != 0;
    if (!h->syntax[0])
        return damaged(w, "its file header does not name a transfer syntax");
    if (!strcmp(h->syntax, "1.2.840.10008.1.2.1.99")) {
        h->compressed = false;
        return inflate_elements(w);
    }
    return MF_OK;
}

static mf_status walk_file(walker *w, bool *is_dicom)
{
    unsigned char head[132];
    size_t got = fread(head, 1, sizeof head, w->file);
    w->explicit = true;
    w->h->samples = 1;
    if (got == sizeof head && !memcmp(head + 128, "DICM", 4)) {
        *is_dicom = true;
        MF_TRY(walk_meta(w));
        MF_TRY(choose_syntax(w));
        return walk(w, INT64_MAX, 0);
    }
    /* Without the mark: a file that begins with an element of group 8, as old ones do. */
    if (got < 8 || head[0] != 8 || head[1] || head[3])
        return MF_OK;
    w->explicit = head[4] >= 'A' && head[4] <= 'Z' && head[5] >= 'A' && head[5] <= 'Z';
    if (fseeko(w->file, 0, SEEK_SET))
        return mf_fail(MF_IO, "%s: %s", w->path, strerror(errno));
    mf_status failed = walk(w, INT64_MAX, 0);
    *is_dicom = w->h->sop_class[0] || (w->h->rows && w->h->columns);
    if (*is_dicom)
        return failed;
    mf_error_free(failed);
    return MF_OK;
}

mf_status dicom_header_read(const char *path, dicom_header *header, bool *is_dicom)
{
    struct stat about;
    *header = (dicom_header){.samples = 1, .high_bit = -1};
    *is_dicom = false;
    walker w = {.path = path, .file = fopen(path, "rb"), .h = header};
    if (!w.file || fstat(fileno(w.file), &about)) {
        mf_status failed = mf_fail(MF_IO, "%s: %s", path, strerror(errno));
        if (w.file)
            fclose(w.file);
        return failed;
    }
    w.size = about.st_size;
    mf_status failed = walk_file(&w, is_dicom);
    fclose(w.file);
    return failed;
}
