/* inflate.h - reads a plain or gzip-compressed file from front to back, and says where and why it
 * stops early. */
#ifndef VOLUME_INFLATE_H
#define VOLUME_INFLATE_H

#include <massflow/error.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct inflate_file {
    const char *path; /* borrowed */
    void *gz;
    bool compressed;
    int64_t file_bytes; /* on disk */
    int64_t at;         /* bytes delivered */
} inflate_file;

mf_status inflate_open(const char *path, inflate_file *f);
/* Reads up to `size` bytes; *got is less only at the end of the file. A damaged stream is an error,
 * one that was cut off is an end. */
mf_status inflate_read(inflate_file *f, void *to, size_t size, size_t *got);
/* `size` bytes, or an error that says how many of `promised` bytes (of the whole file) there are.
 */
mf_status inflate_exactly(inflate_file *f, void *to, size_t size, int64_t promised);
mf_status inflate_skip(inflate_file *f, int64_t bytes, int64_t promised);
/* False where a file of this size on disk cannot hold so many bytes (deflate shrinks 1032-fold at
 * most): told before any memory is asked for. */
bool inflate_can_hold(const inflate_file *f, int64_t bytes);
void inflate_close(inflate_file *f);

#endif
