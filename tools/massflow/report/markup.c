/* markup.c - see markup.h. */
#include "markup.h"
#include <stdbool.h>
#include <string.h>

/* Bytes of the character at `c`, 0 where it is none that XML allows. */
static size_t character(const unsigned char *c)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = *c < 0x80 ? 1 : *c >= 0xf0 && *c < 0xf5 ? 4 : *c >= 0xe0 ? 3 : *c >= 0xc2 ? 2 : 0;
    uint32_t code = n == 1 ? *c : *c & (0x7fu >> n);

    if (*c >= 0xf5)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((c[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (c[i] & 0x3f);
    }
    if (!n || code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ||
        (code & 0xfffe) == 0xfffe)
        return 0;
    return code < 0x20 && code != '\t' && code != '\n' && code != '\r' ? 0 : n;
}

static void put_character(FILE *out, const unsigned char *c, size_t n)
{
    if (!n)
        fputs("\xef\xbf\xbd", out);
    else if (*c == '&')
        fputs("&amp;", out);
    else if (*c == '<')
        fputs("&lt;", out);
    else if (*c == '>')
        fputs("&gt;", out);
    else if (*c == '"')
        fputs("&quot;", out);
    else if (*c == '\'')
        fputs("&#39;", out);
    else
        fwrite(c, 1, n, out);
}

void put_text(FILE *out, const char *text)
{
    put_short(out, text, SIZE_MAX);
}

void put_short(FILE *out, const char *text, size_t most)
{
    bool whole = most == SIZE_MAX || text_length(text) <= most;
    const unsigned char *c = (const unsigned char *)text;

    for (size_t shown = 0; *c && (whole || shown + 1 < most); shown++) {
        size_t n = character(c);
        put_character(out, c, n);
        c += n ? n : 1;
    }
    if (!whole)
        fputs("\xe2\x80\xa6", out);
}

size_t text_length(const char *text)
{
    const unsigned char *c = (const unsigned char *)text;
    size_t count = 0;

    for (; *c; count++) {
        size_t n = character(c);
        c += n ? n : 1;
    }
    return count;
}

void put_base64(FILE *out, const uint8_t *bytes, size_t count)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < count; i += 3) {
        size_t left = count - i;
        uint32_t three = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                         (left > 2 ? bytes[i + 2] : 0);
        fputc(digits[three >> 18], out);
        fputc(digits[three >> 12 & 63], out);
        fputc(left > 1 ? digits[three >> 6 & 63] : '=', out);
        fputc(left > 2 ? digits[three & 63] : '=', out);
    }
}
