/* cursor.h - takes values from the front of bytes that may come from anybody: integers of 8 bytes,
 * little-endian; a text is its length and its bytes, none of them 0 (record.c writes them). */
#ifndef MASSFLOW_STORE_CURSOR_H
#define MASSFLOW_STORE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Start with {bytes, size}. */
typedef struct mf__cursor {
    const uint8_t *at;
    size_t left;
    bool failed;          /* what was asked for is not there; all further answers are 0 or NULL */
    bool short_of_memory; /* for a text that is there */
} mf__cursor;

const uint8_t *mf__take(mf__cursor *c, size_t size);
int64_t mf__take_int(mf__cursor *c);
/* A count of things that take `size` bytes or more each. */
size_t mf__take_count(mf__cursor *c, size_t size);
/* A copy for free(); NULL where it is not there, holds a zero byte, or memory is short. */
char *mf__take_text(mf__cursor *c);

#endif
