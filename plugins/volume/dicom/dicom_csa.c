/* dicom_csa.c - see dicom_csa.h.
 *
 * The format, which Siemens did not publish, as nibabel's documentation has it ("Siemens format
 * DICOM with CSA header"), little-endian throughout: CSA2 begins with "SV10" and 4 bytes; CSA1 does
 * not count of elements (u32), 77 (u32) each element: name (64 bytes), vm (i32), vr (4 bytes),
 * syngo type (i32), count of items (i32), 77 or 205 (i32) each item: 4 numbers (i32), of which the
 * second (CSA2) or the first less the count of items of the header's first element (CSA1) is its
 * length; its text, padded to a multiple of 4 bytes */
#include "dicom_csa.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NAME 64
#define ELEMENT (NAME + 20) /* bytes of an element's head */
#define MOST_ELEMENTS 1024
#define MOST_ITEMS 65536

typedef struct cursor {
    const unsigned char *at, *end;
    bool second;     /* CSA2 */
    int64_t surplus; /* CSA1: what lengths are too large by */
} cursor;

static int64_t number(const unsigned char *b)
{
    return (int32_t)((uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
                     (uint32_t)b[3] << 24);
}

/* The text of the next item; false where the header is damaged. */
static bool next_item(cursor *c, const char **text, size_t *size)
{
    if (c->end - c->at < 16)
        return false;
    int64_t length = c->second ? number(c->at + 4) : number(c->at) - c->surplus;
    c->at += 16;
    if (length < 0 || length > c->end - c->at)
        return false;
    *text = (const char *)c->at;
    *size = (size_t)length;
    int64_t padded = (length + 3) / 4 * 4;
    c->at += padded < c->end - c->at ? padded : c->end - c->at;
    return true;
}

static bool to_number(const char *text, size_t size, double *v)
{
    char copy[64], *end;
    size_t n = strnlen(text, size);
    if (n >= sizeof copy)
        return false;
    memcpy(copy, text, n);
    copy[n] = 0;
    *v = strtod(copy, &end);
    return end != copy && *v - *v == 0;
}

int csa_numbers(const unsigned char *bytes, size_t size, const char *name, double *to, int most)
{
    cursor c = {bytes, bytes + size, size >= 4 && !memcmp(bytes, "SV10", 4), 0};
    c.at += c.second ? 8 : 0;
    if (c.end - c.at < 8)
        return -1;
    int64_t elements = number(c.at);
    c.at += 8;
    if (elements < 0 || elements > MOST_ELEMENTS)
        return -1;
    for (int64_t i = 0; i < elements; i++) {
        if (c.end - c.at < ELEMENT)
            return -1;
        bool wanted = !strncmp((const char *)c.at, name, NAME);
        int64_t items = number(c.at + NAME + 12);
        int found = 0;
        if (items < 0 || items > MOST_ITEMS)
            return -1;
        if (!c.surplus)
            c.surplus = items;
        c.at += ELEMENT;
        for (int64_t k = 0; k < items; k++) {
            const char *text;
            size_t length;
            if (!next_item(&c, &text, &length)) {
                if (c.second)
                    return -1;
                break;
            }
            if (wanted && found < most && to_number(text, length, &to[found]))
                found++;
        }
        if (wanted)
            return found;
    }
    return 0;
}
