/* dicom_writer.h - writes small DICOM files for tests: explicit or implicit VR, either byte order.
 */
#ifndef DICOM_WRITER_H
#define DICOM_WRITER_H

#include <check.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNDEFINED_LENGTH 0xffffffffu

typedef struct dcm {
    unsigned char bytes[1 << 17];
    size_t size;
    bool implicit, big;
} dcm;

static inline void dcm_bytes(dcm *d, const void *bytes, size_t size)
{
    ck_assert(d->size + size <= sizeof d->bytes);
    memcpy(d->bytes + d->size, bytes, size);
    d->size += size;
}

static inline void dcm_number(dcm *d, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        unsigned char b = (unsigned char)(v >> 8 * (d->big ? bytes - 1 - i : i));
        dcm_bytes(d, &b, 1);
    }
}

/* The head of an element. */
static inline void dcm_head(dcm *d, uint32_t tag, const char *vr, uint32_t length)
{
    dcm_number(d, tag >> 16, 2);
    dcm_number(d, tag & 0xffff, 2);
    if (d->implicit || tag >> 16 == 0xfffe) {
        dcm_number(d, length, 4);
        return;
    }
    dcm_bytes(d, vr, 2);
    if (strstr("OB OW SQ UN UT", vr)) {
        dcm_number(d, 0, 2);
        dcm_number(d, length, 4);
    } else {
        dcm_number(d, length, 2);
    }
}

static inline void dcm_text(dcm *d, uint32_t tag, const char *vr, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text - 1, format, args);
    va_end(args);
    if (strlen(text) % 2)
        strcat(text, strcmp(vr, "UI") ? " " : "");
    dcm_head(d, tag, vr, (uint32_t)(strlen(text) + strlen(text) % 2));
    dcm_bytes(d, text, strlen(text) + strlen(text) % 2);
}

static inline void dcm_u16(dcm *d, uint32_t tag, unsigned v)
{
    dcm_head(d, tag, "US", 2);
    dcm_number(d, v, 2);
}

static inline void dcm_u32(dcm *d, uint32_t tag, int count, const unsigned *v)
{
    dcm_head(d, tag, "UL", (uint32_t)(4 * count));
    for (int i = 0; i < count; i++)
        dcm_number(d, v[i], 4);
}

static inline void dcm_real(dcm *d, uint32_t tag, int count, const double *v)
{
    dcm_head(d, tag, "FD", (uint32_t)(8 * count));
    for (int i = 0; i < count; i++) {
        uint64_t bits;
        memcpy(&bits, &v[i], 8);
        dcm_number(d, bits, 8);
    }
}

/* A sequence of undefined length, and its items. */
static inline void dcm_sequence(dcm *d, uint32_t tag)
{
    dcm_head(d, tag, "SQ", UNDEFINED_LENGTH);
}

static inline void dcm_item(dcm *d)
{
    dcm_head(d, 0xfffee000, "", UNDEFINED_LENGTH);
}

static inline void dcm_item_end(dcm *d)
{
    dcm_head(d, 0xfffee00d, "", 0);
}

static inline void dcm_sequence_end(dcm *d)
{
    dcm_head(d, 0xfffee0dd, "", 0);
}

/* Preamble, mark and file header; the elements follow in the encoding of `syntax`. */
static inline void dcm_begin(dcm *d, const char *syntax, const char *preamble, size_t size)
{
    memset(d, 0, sizeof *d);
    memcpy(d->bytes, preamble, size);
    d->size = 128;
    dcm_bytes(d, "DICM", 4);
    dcm_text(d, 0x00020010, "UI", "%s", syntax);
    d->implicit = !strcmp(syntax, "1.2.840.10008.1.2");
    d->big = !strcmp(syntax, "1.2.840.10008.1.2.2");
}

static inline void dcm_write(const dcm *d, const char *path)
{
    FILE *file = fopen(path, "wb");
    ck_assert_msg(file != NULL, "%s", path);
    ck_assert_uint_eq(fwrite(d->bytes, 1, d->size, file), d->size);
    ck_assert_int_eq(fclose(file), 0);
}

#endif
