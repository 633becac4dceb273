/* lines.h - log lines on their way from the threads of stages to the loop that shows and records
 * them.
 *
 * There is room for so many and no more: a thread that says more than can be shown waits, for a
 * moment, and then goes on without the line. What was left out is counted, and a line in its place
 * says so. */
#ifndef MASSFLOW_RUN_LINES_H
#define MASSFLOW_RUN_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MF_LINES_ROOM 2048

typedef struct mf_lines mf_lines;

typedef struct mf_line {
    struct mf_line *next;
    const char *node;
    uint64_t number; /* of all that were put, from 1 */
    size_t left_out; /* not 0: instead of so many lines, and `text` says so */
    char text[];
} mf_line;

mf_lines *mf_lines_new(void);        /* NULL: no memory */
void mf_lines_free(mf_lines *lines); /* NULL is fine */

/* From any thread; `node` must stay, `text` is copied. `wait`: for room, a fraction of a second at
 * most, and no longer than others make use of it. */
void mf_lines_put(mf_lines *lines, const char *node, const char *text, bool wait);
/* The oldest line, for free(), or NULL. */
mf_line *mf_lines_take(mf_lines *lines);
/* How many were put so far: all of them have been taken once a line of this number was. */
uint64_t mf_lines_last(mf_lines *lines);

#endif
