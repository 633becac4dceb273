/* dicom_elements.c - see dicom_elements.h. */
#include "dicom_elements.h"
#include "deflated.h"

#include <errno.h>
#include <fcntl.h>
#include <massflow/file.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ITEM 0xfffee000u
#define ITEM_END 0xfffee00du
#define SEQUENCE_END 0xfffee0ddu
#define PIXELS 0x7fe00010u
#define LONGEST_TEXT 1048576 /* bytes of numbers in text */

mf_status dicom_damaged(const dicom_walk *r, const char *what)
{
    return mf_fail(MF_CORRUPT, "%s: damaged DICOM: %s", r->path, what);
}

/* `size` bytes at `at`, at most a window's: *bytes is NULL where the file ends before. */
static mf_status look(dicom_walk *r, int64_t at, size_t size, const unsigned char **bytes)
{
    *bytes = NULL;
    if (at < 0 || at > r->size || (int64_t)size > r->size - at)
        return MF_OK;
    if (at < r->window_at || at + (int64_t)size > r->window_at + (int64_t)r->window_size) {
        ssize_t got = pread(r->file, r->window, sizeof r->window, (off_t)at);
        if (got < 0)
            return mf_fail(MF_IO, "%s: %s", r->path, strerror(errno));
        r->window_at = at;
        r->window_size = (size_t)got;
        if ((size_t)got < size) /* it shrank meanwhile */
            return MF_OK;
    }
    *bytes = r->window + (at - r->window_at);
    return MF_OK;
}

static uint64_t number(bool big, const unsigned char *b, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v = v << 8 | b[big ? i : bytes - 1 - i];
    return v;
}

static bool in_list(const char *list, const unsigned char *vr)
{
    for (; *list; list += list[2] ? 3 : 2)
        if (list[0] == (char)vr[0] && list[1] == (char)vr[1])
            return true;
    return false;
}

/* Those whose length takes four bytes, behind two that are not used. */
static bool is_long(const unsigned char *vr)
{
    return in_list("OB OW OF OL OD OV SQ UC UR UT UN SV UV", vr);
}

static bool is_vr(const unsigned char *vr)
{
    return is_long(vr) ||
           in_list("AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US", vr);
}

/* The head of the element at r->at, which is moved to its value; *more is false at the end. */
static mf_status read_head(dicom_walk *r, dicom_element *e, bool *more)
{
    const unsigned char *b;
    *more = r->at < r->size;
    if (!*more)
        return MF_OK;
    MF_TRY(look(r, r->at, 8, &b));
    if (!b)
        return dicom_damaged(r, "it ends inside an element");
    *e = (dicom_element){.big = r->big};
    e->tag = (uint32_t)(number(r->big, b, 2) << 16 | number(r->big, b + 2, 2));
    uint64_t length;
    int head = 8;
    if (!r->explicit || e->tag >> 16 == 0xfffe) { /* items name no VR */
        length = number(r->big, b + 4, 4);
    } else {
        for (int i = 0; i < 2; i++)
            if (b[4 + i] < 'A' || b[4 + i] > 'Z')
                return dicom_damaged(r, "an element has no valid type");
        memcpy(e->vr, b + 4, 2);
        length = number(r->big, b + 6, 2);
        if (is_long(b + 4)) {
            head = 12;
            MF_TRY(look(r, r->at, 12, &b));
            if (!b)
                return dicom_damaged(r, "it ends inside an element");
            length = number(r->big, b + 8, 4);
        }
    }
    r->at += head;
    e->at = r->at;
    e->length = head == 8 && e->vr[0]   ? (int64_t)length
                : length == 0xffffffffu ? DICOM_UNDEFINED
                                        : (int64_t)length;
    int64_t end = r->depth ? r->level[r->depth - 1].end : r->size;
    if (e->tag == PIXELS && !r->depth)
        return MF_OK; /* cut off or not: who reads the pixels says how much is there */
    if (e->length > r->size - e->at)
        return dicom_damaged(r, "an element reaches beyond the end of the file");
    if (e->at > end || e->length > end - e->at)
        return dicom_damaged(r, "an element reaches beyond the sequence it lies in");
    return MF_OK;
}

static mf_status push(dicom_walk *r, uint32_t tag, bool item, int64_t length)
{
    const dicom_level *up = r->depth ? &r->level[r->depth - 1] : NULL;
    if (r->depth == 2 * DICOM_DEEPEST)
        return dicom_damaged(r, "sequences are nested too deep");
    int64_t limit = up ? up->end : r->size;
    r->level[r->depth++] = (dicom_level){.tag = tag,
                                         .item = item,
                                         .open = length == DICOM_UNDEFINED,
                                         .end = length == DICOM_UNDEFINED ? limit : r->at + length,
                                         .index = item && up ? up->index - 1 : 0,
                                         .explicit = r->explicit,
                                         .big = r->big};
    return MF_OK;
}

/* Back to the encoding around the level that is left. */
static void pop(dicom_walk *r)
{
    const dicom_level *left = &r->level[--r->depth];
    r->explicit = left->explicit;
    r->big = left->big;
}

/* UN hides a sequence in implicit VR little endian, whatever the encoding around it. */
static mf_status begin_sequence(dicom_walk *r, const dicom_element *e)
{
    MF_TRY(push(r, e->tag, false, e->length));
    if (!strcmp(e->vr, "UN"))
        r->explicit = r->big = false;
    return MF_OK;
}

static mf_status begin_item(dicom_walk *r, const dicom_element *e)
{
    const unsigned char *b;
    dicom_level *sequence = &r->level[r->depth - 1];
    sequence->index++;
    MF_TRY(push(r, sequence->tag, true, e->length));
    if (r->explicit || !sequence->explicit)
        return MF_OK;
    MF_TRY(look(r, r->at, 8, &b)); /* hidden in UN: explicit in files from before the rule */
    if (b && is_vr(b + 4) && number(false, b, 2) != 0xfffe)
        r->explicit = true;
    return MF_OK;
}

/* Passes over fragments up to their delimiter. */
static mf_status pass_fragments(dicom_walk *r)
{
    dicom_element e;
    bool more;
    for (;;) {
        MF_TRY(read_head(r, &e, &more));
        if (!more)
            return dicom_damaged(r, "a sequence has no end");
        if (e.tag == SEQUENCE_END)
            return MF_OK;
        if (e.tag != ITEM || e.length == DICOM_UNDEFINED)
            return dicom_damaged(r, "a sequence holds something that is not an item");
        r->at += e.length;
    }
}

static mf_status next_item(dicom_walk *r, dicom_event *event, dicom_element *e)
{
    bool more;
    MF_TRY(read_head(r, e, &more));
    if (!more)
        return dicom_damaged(r, "a sequence has no end");
    if (e->tag == SEQUENCE_END && r->level[r->depth - 1].open) {
        *event = DICOM_SEQUENCE_END;
        pop(r);
        return MF_OK;
    }
    if (e->tag != ITEM)
        return dicom_damaged(r, "a sequence holds something that is not an item");
    *event = DICOM_ITEM;
    return begin_item(r, e);
}

mf_status dicom_next(dicom_walk *r, dicom_event *event, dicom_element *e)
{
    dicom_level *in = r->depth ? &r->level[r->depth - 1] : NULL;
    bool more;
    if (r->fragments) {
        r->fragments = false;
        MF_TRY(pass_fragments(r));
    }
    if (in && r->at >= in->end) {
        if (in->open)
            return dicom_damaged(r, "a sequence has no end");
        *e = (dicom_element){.tag = in->tag};
        *event = in->item ? DICOM_ITEM_END : DICOM_SEQUENCE_END;
        pop(r);
        return MF_OK;
    }
    if (in && !in->item)
        return next_item(r, event, e);
    MF_TRY(read_head(r, e, &more));
    *event = more ? DICOM_VALUE : DICOM_END;
    if (!more)
        return in ? dicom_damaged(r, "a sequence has no end") : MF_OK;
    if (in && in->open && e->tag == ITEM_END) {
        e->tag = in->tag;
        *event = DICOM_ITEM_END;
        pop(r);
        return MF_OK;
    }
    if (e->tag >> 16 == 0xfffe)
        return dicom_damaged(r, "an item lies outside of a sequence");
    bool open = e->length == DICOM_UNDEFINED;
    if (open && (e->vr[0] == 'O' || e->tag == PIXELS)) {
        r->fragments = true;
        return MF_OK;
    }
    if (open || !strcmp(e->vr, "SQ")) {
        *event = DICOM_SEQUENCE;
        return begin_sequence(r, e);
    }
    r->at += e->length;
    return MF_OK;
}

mf_status dicom_pass(dicom_walk *r)
{
    int depth = r->depth - 1;
    dicom_event event;
    dicom_element e;
    if (depth < 0)
        return MF_OK;
    if (!r->level[depth].open) {
        r->at = r->level[depth].end;
        pop(r);
        return MF_OK;
    }
    while (r->depth > depth)
        MF_TRY(dicom_next(r, &event, &e));
    return MF_OK;
}

mf_status dicom_enter(dicom_walk *r, const dicom_element *e)
{
    r->at = e->at;
    return begin_sequence(r, e);
}

uint32_t dicom_inside(const dicom_walk *r, int up)
{
    for (int i = r->depth - 1; i >= 0; i--)
        if (r->level[i].item && up-- == 0)
            return r->level[i].tag;
    return 0;
}

/* ---- values ---------------------------------------------------------------------------------- */

static mf_status read_at(dicom_walk *r, int64_t at, void *to, size_t size)
{
    unsigned char *out = to;
    while (size) {
        size_t part = size < sizeof r->window ? size : sizeof r->window;
        const unsigned char *b;
        MF_TRY(look(r, at, part, &b));
        if (!b)
            return dicom_damaged(r, "an element reaches beyond the end of the file");
        memcpy(out, b, part);
        out += part;
        at += (int64_t)part;
        size -= part;
    }
    return MF_OK;
}

mf_status dicom_text(dicom_walk *r, const dicom_element *e, char *to, size_t room)
{
    size_t n = e->length < 0 ? 0 : (size_t)e->length;
    n = n < room ? n : room - 1;
    MF_TRY(read_at(r, e->at, to, n));
    while (n && (to[n - 1] == ' ' || to[n - 1] == 0))
        n--;
    to[n] = 0;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)to[i] < ' ')
            to[i] = ' ';
    return MF_OK;
}

mf_status dicom_bytes(dicom_walk *r, const dicom_element *e, unsigned char **bytes, size_t *size)
{
    *size = e->length < 0 ? 0 : (size_t)e->length;
    *bytes = malloc(*size + 1);
    if (!*bytes)
        return mf_no_memory(0, "the header of %s", r->path);
    mf_status status = read_at(r, e->at, *bytes, *size);
    (*bytes)[*size] = 0;
    if (status) {
        free(*bytes);
        *bytes = NULL;
    }
    return status;
}

/* Numbers of DS and IS, parted by backslashes. */
static mf_status text_numbers(dicom_walk *r, const dicom_element *e, double *to, int most,
                              int *count)
{
    unsigned char *bytes;
    size_t size;
    if (e->length > LONGEST_TEXT)
        return dicom_damaged(r, "a list of numbers is too long");
    MF_TRY(dicom_bytes(r, e, &bytes, &size));
    for (char *at = (char *)bytes, *end; *count < most; at = end + 1) {
        double v = strtod(at, &end);
        if (end == at || !(v - v == 0))
            break;
        end += strspn(end, " \t\r\n");
        if (*end && *end != '\\')
            break; /* "1,5" is not 1 */
        to[(*count)++] = v;
        if (!*end)
            break;
    }
    free(bytes);
    return MF_OK;
}

static double binary_number(const char *vr, bool big, const unsigned char *b, int bytes)
{
    uint64_t v = number(big, b, bytes);
    uint32_t half = (uint32_t)v;
    float f;
    double d;
    if (vr[0] == 'F' && bytes == 8)
        return memcpy(&d, &v, 8), d;
    if (vr[0] == 'F')
        return memcpy(&f, &half, 4), (double)f;
    if (vr[0] == 'S')
        return bytes == 2   ? (double)(int16_t)v
               : bytes == 4 ? (double)(int32_t)v
                            : (double)(int64_t)v;
    return (double)v;
}

mf_status dicom_numbers(dicom_walk *r, const dicom_element *e, const char *vr, double *to, int most,
                        int *count)
{
    static const struct {
        const char *vr;
        int bytes;
    } kinds[] = {{"US", 2}, {"SS", 2}, {"UL", 4}, {"SL", 4},
                 {"FL", 4}, {"FD", 8}, {"UV", 8}, {"SV", 8}};
    bool told = e->vr[0] && strcmp(e->vr, "UN") != 0;
    const char *is = told ? e->vr : vr;
    *count = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        int bytes = kinds[i].bytes;
        if (strcmp(is, kinds[i].vr))
            continue;
        for (; *count < most && (int64_t)(*count + 1) * bytes <= e->length; (*count)++) {
            unsigned char b[8];
            MF_TRY(read_at(r, e->at + (int64_t)*count * bytes, b, (size_t)bytes));
            /* a value that was made UN on its way is little endian (PS3.5 6.2.2) */
            to[*count] = binary_number(is, e->big && strcmp(e->vr, "UN") != 0, b, bytes);
        }
        return MF_OK;
    }
    return text_numbers(r, e, to, most, count);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Goes on in the file as it would be without deflation. */
static mf_status inflate_elements(dicom_walk *r)
{
    FILE *whole, *packed;
    int64_t size;
    MF_TRY(mf_file_open(r->path, &packed, &size));
    mf_status status = deflated_open(r->path, packed, r->at, &whole, &r->size);
    fclose(packed);
    MF_TRY(status);
    int file = fcntl(fileno(whole), F_DUPFD_CLOEXEC, 0);
    fclose(whole);
    if (file < 0)
        return mf_fail(MF_IO, "%s: %s", r->path, strerror(errno));
    close(r->file);
    r->file = file;
    r->window_size = 0;
    r->deflated_from = r->at;
    return MF_OK;
}

/* The elements of group 2, which are always explicit and little-endian (PS3.10, 7.1), name the
 * encoding of the rest. */
static mf_status read_file_header(dicom_walk *r)
{
    const unsigned char *b;
    r->explicit = true;
    for (;;) {
        MF_TRY(look(r, r->at, 2, &b));
        if (!b)
            return dicom_damaged(r, "it ends after its preamble");
        if (b[0] != 2 || b[1] != 0)
            break;
        dicom_element e;
        bool more;
        MF_TRY(read_head(r, &e, &more));
        if (e.length == DICOM_UNDEFINED)
            return dicom_damaged(r, "an element of its file header has no length");
        if (e.tag == 0x00020010)
            MF_TRY(dicom_text(r, &e, r->syntax, sizeof r->syntax));
        r->at += e.length;
    }
    if (!r->syntax[0])
        return dicom_damaged(r, "its file header does not name a transfer syntax");
    if (!strcmp(r->syntax, "1.2.840.10008.1.2.1.99"))
        return inflate_elements(r);
    r->explicit = strcmp(r->syntax, "1.2.840.10008.1.2") != 0;
    r->big = !strcmp(r->syntax, "1.2.840.10008.1.2.2");
    return MF_OK;
}

mf_status dicom_open(const char *path, dicom_walk *r, bool *maybe)
{
    const unsigned char *b;
    *maybe = false;
    memset(r, 0, sizeof *r);
    r->path = path;
    MF_TRY(mf_file_descriptor(path, &r->file, &r->size));
    MF_TRY(look(r, 128, 4, &b));
    if (b && !memcmp(b, "DICM", 4)) {
        *maybe = r->marked = true;
        r->at = 132;
        return read_file_header(r);
    }
    MF_TRY(look(r, 0, 8, &b));
    *maybe = b && b[0] == 8 && !b[1] && !b[3];
    r->explicit = *maybe && b[4] >= 'A' && b[4] <= 'Z' && b[5] >= 'A' && b[5] <= 'Z';
    return MF_OK;
}

void dicom_close(dicom_walk *r)
{
    if (r->file >= 0)
        close(r->file);
    r->file = -1;
}
