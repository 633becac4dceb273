/* inflate.h - reads a file from front to back, plain or unpacked on the way, and says where and why
 * it stops early. */
#ifndef VOLUME_INFLATE_H
#define VOLUME_INFLATE_H

#include <massflow/error.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef enum inflate_packing {
    INFLATE_PLAIN,
    INFLATE_DEFLATE, /* gzip, of any number of members, or zlib */
    INFLATE_BZIP2    /* of any number of streams */
} inflate_packing;

typedef struct inflate_file {
    const char *path; /* borrowed */
    bool compressed;
    int64_t file_bytes; /* on disk, from where reading began */
    int64_t at;         /* bytes delivered */
    /* private */
    FILE *file;
    inflate_packing packing;
    void *unpacker;
    bool ended; /* the packed data has told its end */
} inflate_file;

/* Opens a file that is gzip-compressed, or plain where it does not begin like that. */
MF_MUST_USE mf_status inflate_open(const char *path, inflate_file *f);
/* Opens a file whose packed data begins at byte `start`. */
MF_MUST_USE mf_status inflate_open_at(const char *path, int64_t start, inflate_packing packing,
                                      inflate_file *f);
/* Reads up to `size` bytes; *got is less only at the end of the file. A damaged stream is an error,
 * one that was cut off is an end. */
MF_MUST_USE mf_status inflate_read(inflate_file *f, void *to, size_t size, size_t *got);
/* `size` bytes, or an error that says how many of `promised` bytes (of the whole file) there are.
 */
MF_MUST_USE mf_status inflate_exactly(inflate_file *f, void *to, size_t size, int64_t promised);
MF_MUST_USE mf_status inflate_skip(inflate_file *f, int64_t bytes, int64_t promised);
/* Unpacks what is left, up to the checksum that ends packed data: only then is it known that all
 * was right. Nothing for a plain file. */
MF_MUST_USE mf_status inflate_finish(inflate_file *f);
/* False where a file of this size on disk cannot hold so many bytes (deflate shrinks 1032-fold at
 * most): told before any memory is asked for. */
bool inflate_can_hold(const inflate_file *f, int64_t bytes);
void inflate_close(inflate_file *f);

#endif
