/* cursor.c - see cursor.h. */
#include "store/cursor.h"

#include <string.h>

const uint8_t *mf__take(mf__cursor *c, size_t size)
{
    if (c->failed || c->left < size) {
        c->failed = true;
        return NULL;
    }
    const uint8_t *bytes = c->at;
    if (size) /* there may be none at all */
        c->at += size;
    c->left -= size;
    return bytes;
}

int64_t mf__take_int(mf__cursor *c)
{
    const uint8_t *bytes = mf__take(c, 8);
    uint64_t value = 0;
    for (int i = 0; bytes && i < 8; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return (int64_t)value;
}

size_t mf__take_count(mf__cursor *c, size_t size)
{
    int64_t count = mf__take_int(c);
    if (count < 0 || (uint64_t)count > c->left / size)
        c->failed = true;
    return c->failed ? 0 : (size_t)count;
}

char *mf__take_text(mf__cursor *c)
{
    size_t size = mf__take_count(c, 1);
    const uint8_t *bytes = mf__take(c, size);
    if (c->failed || (size && memchr(bytes, 0, size))) {
        c->failed = true;
        return NULL;
    }
    char *text = strndup(size ? (const char *)bytes : "", size);
    c->short_of_memory |= !text;
    c->failed |= !text;
    return text;
}
