/* utf8.c - see utf8.h. */
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

size_t mf_utf8_length(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

size_t mf_utf8_next(const void *at, size_t left, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *c = at;
    size_t n = mf_utf8_length(*c);

    if (!n || n > left)
        return 0;
    *code = n == 1 ? *c : *c & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((c[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (c[i] & 0x3f);
    }
    if (*code < least[n] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000))
        return 0;
    return n;
}

bool mf_utf8_is_control(uint32_t code)
{
    if (code == '\t' || code == '\n')
        return false;
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x061c || code == 0x200e ||
           code == 0x200f || code == 0x2028 || code == 0x2029 ||
           (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

char *mf_utf8_clean(const char *text)
{
    size_t size = strlen(text);
    char *clean = malloc(3 * size + 1), *to = clean;
    uint32_t code;

    if (!clean)
        return NULL;
    for (size_t at = 0; at < size;) {
        size_t n = mf_utf8_next(text + at, size - at, &code);
        to = n ? mempcpy(to, text + at, n) : mempcpy(to, "\xef\xbf\xbd", 3);
        at += n ? n : 1;
    }
    *to = '\0';
    return clean;
}
