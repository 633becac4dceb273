/* names.h - what may be a name, and a hash table from names to numbers. Names are borrowed. */
#ifndef MF_GRAPH_NAMES_H
#define MF_GRAPH_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_NONE UINT32_MAX

typedef struct names {
    const char **keys;
    uint32_t *values;
    size_t count, room;
} names;

/* The number that the name has already, or NAME_NONE after adding it with `value`. */
uint32_t mf__names_add(names *table, const char *name, uint32_t value);
uint32_t mf__names_get(const names *table, const char *name); /* NAME_NONE for an unknown one */
uint32_t mf__names_get_n(const names *table, const char *name, size_t length);
void mf__names_free(names *table);

/* Letters, digits, _ and -, not beginning with a digit. */
bool mf__is_name(const char *text);

#endif
