/* zip_store.c - see zip_store.h. */
#include "zip_store.h"

#include <massflow/memory.h>

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { ALIGNMENT = 64, VERSION = 45 /* zip64 */, DATE = 0x21 /* 1980-01-01, the first there is */ };

void zip_store_begin(FILE *file, zip_store *z)
{
    *z = (zip_store){.file = file, .largest = UINT32_MAX - 1};
}

void zip_store_clear(zip_store *z)
{
    for (size_t i = 0; i < z->count; i++)
        free(z->record[i].name);
    free(z->record);
    *z = (zip_store){0};
}

static void put_bytes(zip_store *z, const void *bytes, size_t size)
{
    fwrite(bytes, 1, size, z->file);
    z->at += size;
}

/* A little-endian number of `size` bytes. */
static void put(zip_store *z, uint64_t value, size_t size)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    put_bytes(z, bytes, size);
}

/* 32 bits, all ones where the number stands in the zip64 field. */
static void put_32(zip_store *z, uint64_t value, bool large)
{
    put(z, large ? UINT32_MAX : value, 4);
}

static uint32_t checksum(const uint8_t *bytes, size_t size)
{
    uLong sum = crc32(0, NULL, 0);
    while (size) {
        uInt piece = size < 1u << 30 ? (uInt)size : 1u << 30;
        sum = crc32(sum, bytes, piece);
        bytes += piece;
        size -= piece;
    }
    return (uint32_t)sum;
}

/* What local header and directory have in common: from the needed version up to the extra field's
 * size. */
static void put_facts(zip_store *z, const zip_record *r, bool large, size_t extra)
{
    put(z, VERSION, 2);
    put(z, 0, 2); /* flags */
    put(z, 0, 2); /* stored */
    put(z, 0, 2); /* time */
    put(z, DATE, 2);
    put(z, r->checksum, 4);
    put_32(z, r->size, large);
    put_32(z, r->size, large);
    put(z, strlen(r->name), 2);
    put(z, extra, 2);
}

static void put_padding(zip_store *z, size_t size)
{
    put(z, 'F' | 'B' << 8, 2);
    put(z, size, 2);
    for (size_t i = 0; i < size; i++)
        put(z, 'Z', 1);
}

static void put_entry(zip_store *z, const zip_record *r, const void *bytes)
{
    bool large = r->size > z->largest;
    size_t before = 30 + strlen(r->name) + (large ? 20 : 0) + 4;
    size_t padding = (ALIGNMENT - (z->at + before) % ALIGNMENT) % ALIGNMENT;
    put(z, 0x04034b50, 4);
    put_facts(z, r, large, (large ? 20 : 0) + 4 + padding);
    put_bytes(z, r->name, strlen(r->name));
    if (large) {
        put(z, 1, 2);
        put(z, 16, 2);
        put(z, r->size, 8);
        put(z, r->size, 8);
    }
    put_padding(z, padding);
    put_bytes(z, bytes, r->size);
}

mf_status zip_store_add(zip_store *z, const char *name, const void *bytes, size_t size)
{
    zip_record *more = mf_list_more(z->record, z->count, sizeof *more);
    char *copy = strdup(name);
    if (more)
        z->record = more;
    if (!more || !copy) {
        free(copy);
        return mf_no_memory(0, "the entry %s", name);
    }
    z->record[z->count] = (zip_record){copy, size, z->at, checksum(bytes, size)};
    put_entry(z, &z->record[z->count++], bytes);
    return MF_OK;
}

static void put_directory_entry(zip_store *z, const zip_record *r)
{
    bool large = r->size > z->largest, far = r->offset > z->largest;
    size_t numbers = (large ? 16 : 0) + (far ? 8 : 0);
    put(z, 0x02014b50, 4);
    put(z, VERSION, 2); /* made by */
    put_facts(z, r, large, numbers ? 4 + numbers : 0);
    put(z, 0, 2); /* comment */
    put(z, 0, 2); /* disk */
    put(z, 0, 2); /* attributes */
    put(z, 0, 4);
    put_32(z, r->offset, far);
    put_bytes(z, r->name, strlen(r->name));
    if (!numbers)
        return;
    put(z, 1, 2);
    put(z, numbers, 2);
    if (large) {
        put(z, r->size, 8);
        put(z, r->size, 8);
    }
    if (far)
        put(z, r->offset, 8);
}

/* The end of a directory in 64 bits, and where it is. */
static void put_end_64(zip_store *z, uint64_t start, uint64_t size)
{
    uint64_t at = z->at;
    put(z, 0x06064b50, 4);
    put(z, 44, 8);
    put(z, VERSION, 2);
    put(z, VERSION, 2);
    put(z, 0, 4);
    put(z, 0, 4);
    put(z, z->count, 8);
    put(z, z->count, 8);
    put(z, size, 8);
    put(z, start, 8);
    put(z, 0x07064b50, 4);
    put(z, 0, 4);
    put(z, at, 8);
    put(z, 1, 4);
}

void zip_store_end(zip_store *z)
{
    uint64_t start = z->at;
    for (size_t i = 0; i < z->count; i++)
        put_directory_entry(z, &z->record[i]);
    uint64_t size = z->at - start;
    bool many = z->count >= UINT16_MAX, large = size > z->largest, far = start > z->largest;
    if (many || large || far)
        put_end_64(z, start, size);
    put(z, 0x06054b50, 4);
    put(z, 0, 2);
    put(z, 0, 2);
    put(z, many ? UINT16_MAX : z->count, 2);
    put(z, many ? UINT16_MAX : z->count, 2);
    put_32(z, size, large);
    put_32(z, start, far);
    put(z, 0, 2);
}
