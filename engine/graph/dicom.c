/* dicom.c - see dicom.h. Elements are encoded as in DICOM PS3.5, section 7. What is damaged is an
 * error, for its series would come out with a slice missing. */
#include "graph/dicom.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define UNDEFINED 0xffffffffu
#define DEEPEST 16       /* sequences in sequences */
#define LAST 0x00280010u /* Rows: nothing behind it is wanted */

typedef struct reader {
    const char *path;
    FILE *file;
    int64_t size;
    bool explicit; /* elements name their type */
    bool big;
    char syntax[80];
    dicom_about *about;
} reader;

typedef struct element {
    uint32_t tag; /* group << 16 | element */
    char type[3];
    uint32_t length;
} element;

static mf_status damaged(const reader *r, const char *what)
{
    return mf_fail(MF_CORRUPT, "%s: damaged DICOM: %s", r->path, what);
}

static uint32_t number(const reader *r, const unsigned char *b, int bytes)
{
    uint32_t v = 0;
    for (int i = 0; i < bytes; i++)
        v = v << 8 | b[r->big ? i : bytes - 1 - i];
    return v;
}

/* The head of the next element; *more is false at the end of the file. */
static mf_status next_element(reader *r, element *e, bool *more)
{
    unsigned char b[12];
    size_t got = fread(b, 1, 8, r->file);
    *more = got == 8;
    if (got && got < 8)
        return damaged(r, "it ends inside an element");
    if (!got)
        return MF_OK;
    *e = (element){.tag = number(r, b, 2) << 16 | number(r, b + 2, 2)};
    if (!r->explicit || e->tag >> 16 == 0xfffe) { /* items name no type */
        e->length = number(r, b + 4, 4);
        return MF_OK;
    }
    memcpy(e->type, b + 4, 2);
    for (int i = 0; i < 2; i++)
        if (e->type[i] < 'A' || e->type[i] > 'Z')
            return damaged(r, "an element has no valid type");
    if (!strstr("OB OW OF OL OD OV SQ UC UR UT UN SV UV", e->type)) {
        e->length = number(r, b + 6, 2);
        return MF_OK;
    }
    if (fread(b + 8, 1, 4, r->file) < 4)
        return damaged(r, "it ends inside an element");
    e->length = number(r, b + 8, 4);
    return MF_OK;
}

static mf_status skip(reader *r, uint32_t bytes)
{
    int64_t at = ftello(r->file);
    if (at + (int64_t)bytes > r->size)
        return damaged(r, "an element reaches beyond the end of the file");
    if (fseeko(r->file, (off_t)bytes, SEEK_CUR))
        return mf_fail(MF_IO, "%s: %s", r->path, strerror(errno));
    return MF_OK;
}

/* What has no length ends with a delimiter: a sequence, whose items may be the same. */
static mf_status skip_open(reader *r, uint32_t end, int depth)
{
    element e;
    bool more;
    if (depth > DEEPEST)
        return damaged(r, "sequences are nested too deep");
    for (;;) {
        MF_TRY(next_element(r, &e, &more));
        if (!more)
            return damaged(r, "a sequence has no end");
        if (e.tag == end)
            return MF_OK;
        if (e.length != UNDEFINED)
            MF_TRY(skip(r, e.length));
        else
            MF_TRY(skip_open(r, e.tag == 0xfffee000 ? 0xfffee00d : 0xfffee0dd, depth + 1));
    }
}

/* The text of an element, without the blank or zero that fills it up. */
static mf_status read_text(reader *r, const element *e, char *to, size_t room)
{
    char text[256];
    size_t n = e->length;
    if (n >= sizeof text)
        return skip(r, e->length);
    if (fread(text, 1, n, r->file) < n)
        return damaged(r, "an element reaches beyond the end of the file");
    while (n && (text[n - 1] == ' ' || text[n - 1] == 0))
        n--;
    n = n < room ? n : room - 1;
    memcpy(to, text, n);
    to[n] = 0;
    for (char *c = to; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    return MF_OK;
}

static mf_status read_element(reader *r, const element *e)
{
    dicom_about *a = r->about;
    switch (e->tag) {
    case 0x00020010:
        return read_text(r, e, r->syntax, sizeof r->syntax);
    case 0x00080060:
        return read_text(r, e, a->modality, sizeof a->modality);
    case 0x0008103e:
        return read_text(r, e, a->description, sizeof a->description);
    case 0x00100020:
        return read_text(r, e, a->patient, sizeof a->patient);
    case 0x0020000e:
        return read_text(r, e, a->series, sizeof a->series);
    case 0x00200011:
        return read_text(r, e, a->number, sizeof a->number);
    default:
        return e->length == UNDEFINED ? skip_open(r, 0xfffee0dd, 0) : skip(r, e->length);
    }
}

/* Elements up to the rows of an image; those of the file header only up to group `group`. */
static mf_status read_elements(reader *r, uint32_t group)
{
    element e;
    bool more;
    for (;;) {
        int64_t at = ftello(r->file);
        MF_TRY(next_element(r, &e, &more));
        if (!more)
            return MF_OK;
        if (e.tag >> 16 > group) {
            if (fseeko(r->file, at, SEEK_SET))
                return mf_fail(MF_IO, "%s: %s", r->path, strerror(errno));
            return MF_OK;
        }
        r->about->image = e.tag == LAST;
        if (e.tag == LAST)
            return MF_OK;
        MF_TRY(read_element(r, &e));
    }
}

/* Behind "DICM" the file header, which names the encoding of the rest (PS3.10, 7.1). */
static mf_status read_marked(reader *r)
{
    r->explicit = true;
    MF_TRY(read_elements(r, 2));
    if (!strcmp(r->syntax, "1.2.840.10008.1.2.1.99"))
        return mf_fail(MF_UNSUPPORTED, "%s: its elements are deflated, which is not read", r->path);
    r->explicit = strcmp(r->syntax, "1.2.840.10008.1.2") != 0;
    r->big = !strcmp(r->syntax, "1.2.840.10008.1.2.2");
    return read_elements(r, LAST >> 16);
}

/* Old files have no mark: they begin with an element of group 8, and are taken for DICOM when they
 * come to an image. */
static mf_status read_bare(reader *r, const unsigned char *head, bool *is_dicom)
{
    r->explicit = head[4] >= 'A' && head[4] <= 'Z' && head[5] >= 'A' && head[5] <= 'Z';
    if (fseeko(r->file, 0, SEEK_SET))
        return mf_fail(MF_IO, "%s: %s", r->path, strerror(errno));
    mf_error_free(read_elements(r, LAST >> 16));
    *is_dicom = r->about->image;
    return MF_OK;
}

static mf_status read_file(reader *r, bool *is_dicom)
{
    unsigned char head[132];
    size_t got = fread(head, 1, sizeof head, r->file);
    if (got == sizeof head && !memcmp(head + 128, "DICM", 4)) {
        *is_dicom = true;
        return read_marked(r);
    }
    if (got >= 8 && head[0] == 8 && !head[1] && !head[3])
        return read_bare(r, head, is_dicom);
    return MF_OK;
}

mf_status dicom_about_read(const char *path, dicom_about *about, bool *is_dicom)
{
    struct stat st;
    reader r = {.path = path, .file = fopen(path, "rbe"), .about = about};
    *about = (dicom_about){.series = ""};
    *is_dicom = false;
    if (!r.file || fstat(fileno(r.file), &st)) {
        mf_status error = mf_fail(MF_IO, "cannot read %s: %s", path, strerror(errno));
        if (r.file)
            fclose(r.file);
        return error;
    }
    r.size = st.st_size;
    mf_status error = read_file(&r, is_dicom);
    fclose(r.file);
    return error;
}
