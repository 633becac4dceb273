/* zip_store.h - writes a zip whose entries are stored as they are, as torch.save does: the bytes of
 * each start on a multiple of 64, so that a file can be mapped.
 *
 * (PKWARE's APPNOTE.TXT, 4.3 and 4.5.3; the padding is an extra field "FB", as PyTorch's
 * caffe2/serialize/inline_container.cc writes it.) Sizes and offsets of 4 GiB and more are written
 * as zip64. No time enters the file: the same entries give the same bytes. */
#ifndef MF_WEIGHTS_ZIP_STORE_H
#define MF_WEIGHTS_ZIP_STORE_H

#include <massflow/error.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct zip_record {
    char *name;
    uint64_t size, offset; /* of its bytes; of its local header from the file's start */
    uint32_t checksum;
} zip_record;

/* A zip while it is written. `largest`: what 32 bits hold, smaller only in a test; larger numbers
 * are written as zip64. */
typedef struct zip_store {
    FILE *file;
    zip_record *record;
    size_t count;
    uint64_t at, largest;
} zip_store;

/* file: empty, borrowed. */
void zip_store_begin(FILE *file, zip_store *z);
/* `name` of at most 1024 bytes. That the disk is full shows when the file is closed. */
MF_MUST_USE mf_status zip_store_add(zip_store *z, const char *name, const void *bytes, size_t size);
/* Writes the directory. */
void zip_store_end(zip_store *z);
void zip_store_clear(zip_store *z);

#endif
