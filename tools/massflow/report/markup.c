/* markup.c - see markup.h. */
#include "markup.h"
#include "base/utf8.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Bytes of the character at `c`, 0 where it is none. */
static size_t character(const unsigned char *c, uint32_t *code)
{
    return mf_utf8_next(c, strnlen((const char *)c, 4), code);
}

/* What would be obeyed, by the page or by whoever reads it, is shown: controls, which XML does not
 * allow either, turns of direction, and characters that are none. */
static void put_character(FILE *out, const unsigned char *c, size_t n, uint32_t code)
{
    if (!n || (code & 0xfffe) == 0xfffe)
        fputs("\xef\xbf\xbd", out);
    else if (mf_utf8_is_control(code) && code != '\r')
        fprintf(out, "\\u%04x", code);
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
        uint32_t code = 0;
        size_t n = character(c, &code);
        put_character(out, c, n, code);
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
        uint32_t code;
        size_t n = character(c, &code);
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
