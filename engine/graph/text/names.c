/* names.c - open addressing with FNV-1a; half full at most. */
#include "graph/text/names.h"
#include <ctype.h>

#include <stdlib.h>
#include <string.h>

static size_t hash(const char *name, size_t length)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < length; i++)
        h = (h ^ (unsigned char)name[i]) * 1099511628211u;
    return (size_t)(h ^ h >> 32);
}

static size_t slot(const names *t, const char *name, size_t length)
{
    size_t i = hash(name, length) & (t->room - 1);
    while (t->keys[i] && (strncmp(t->keys[i], name, length) || t->keys[i][length]))
        i = (i + 1) & (t->room - 1);
    return i;
}

static void grow(names *t)
{
    names larger = {.room = t->room ? t->room * 2 : 32};
    larger.keys = calloc(larger.room, sizeof *larger.keys);
    larger.values = calloc(larger.room, sizeof *larger.values);
    if (!larger.keys || !larger.values)
        abort();
    for (size_t i = 0; i < t->room; i++)
        if (t->keys[i]) {
            size_t at = slot(&larger, t->keys[i], strlen(t->keys[i]));
            larger.keys[at] = t->keys[i];
            larger.values[at] = t->values[i];
        }
    larger.count = t->count;
    mf__names_free(t);
    *t = larger;
}

uint32_t mf__names_add(names *t, const char *name, uint32_t value)
{
    if (t->count * 2 >= t->room)
        grow(t);
    size_t at = slot(t, name, strlen(name));
    if (t->keys[at])
        return t->values[at];
    t->keys[at] = name;
    t->values[at] = value;
    t->count++;
    return NAME_NONE;
}

uint32_t mf__names_get_n(const names *t, const char *name, size_t length)
{
    if (!t->room)
        return NAME_NONE;
    size_t at = slot(t, name, length);
    return t->keys[at] ? t->values[at] : NAME_NONE;
}

uint32_t mf__names_get(const names *t, const char *name)
{
    return mf__names_get_n(t, name, strlen(name));
}

void mf__names_free(names *t)
{
    free(t->keys);
    free(t->values);
    *t = (names){0};
}

bool mf__is_name(const char *text)
{
    if (!isalpha((unsigned char)*text) && *text != '_')
        return false;
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && *text != '_' && *text != '-')
            return false;
    return true;
}
