/* layouts.h - see layouts.c. */
#ifndef LAYOUTS_H
#define LAYOUTS_H

#include <stddef.h>

typedef struct layout_entry {
    const char *name;
    size_t bytes;
} layout_entry;

extern const layout_entry layouts_1_1[], layouts_now[]; /* end with a NULL name */

#endif
