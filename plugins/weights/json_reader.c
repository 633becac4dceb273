/* json_reader.c - see json_reader.h. */
#include "json_reader.h"

#include <string.h>

enum { MOST_DEPTH = 128 }; /* as serde_json has it, which reads safetensors elsewhere */

static const char again[] = "copy or download it again";

static size_t byte(const json_reader *r)
{
    return (size_t)(r->at - r->start);
}

mf_status json_damaged(const json_reader *r, const char *what)
{
    return mf_hint(mf_fail(MF_CORRUPT, "byte %zu of its header: %s", byte(r), what), "%s", again);
}

static void skip_space(json_reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\t' || *r->at == '\r'))
        r->at++;
}

bool json_ended(json_reader *r)
{
    skip_space(r);
    return r->at == r->end;
}

bool json_next(json_reader *r, char c)
{
    skip_space(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

mf_status json_expect(json_reader *r, char c)
{
    if (json_next(r, c))
        return MF_OK;
    return mf_hint(mf_fail(MF_CORRUPT, "byte %zu of its header: no %c stands there", byte(r), c),
                   "%s", again);
}

mf_status json_item(json_reader *r, char open, char close, size_t *count, bool *more)
{
    if (!*count)
        MF_TRY(json_expect(r, open));
    *more = !json_next(r, close);
    if (*more && *count)
        MF_TRY(json_expect(r, ','));
    ++*count;
    return MF_OK;
}

/* ---- texts ----------------------------------------------------------------------------------- */

/* The bytes of one character from lead byte to last, 0 where it is not UTF-8 (RFC 3629: no
 * surrogates, nothing past U+10FFFF, nothing longer than it need be). */
static size_t utf8_length(const uint8_t *c, size_t left)
{
    size_t n = c[0] < 0x80 ? 1 : c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;
    if (!n || c[0] > 0xf4 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
        (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))
        return 0;
    return n;
}

static char *put_utf8(char *to, uint32_t code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 63));
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 63));
        *to++ = (char)(0x80 | (code & 63));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 63));
        *to++ = (char)(0x80 | (code >> 6 & 63));
        *to++ = (char)(0x80 | (code & 63));
    }
    return to;
}

/* The four digits of \uXXXX, at which r->at stands. */
static bool hex(json_reader *r, uint32_t *code)
{
    *code = 0;
    if (r->end - r->at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        char c = *r->at++;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return false;
        *code = *code << 4 | (uint32_t)digit;
    }
    return true;
}

/* What follows a backslash. */
static mf_status escape(json_reader *r, char **to)
{
    static const char from[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    uint32_t code, low;
    const char *plain = *r->at ? strchr(from, *r->at) : NULL;
    if (plain) {
        *(*to)++ = meant[plain - from];
        r->at++;
        return MF_OK;
    }
    if (*r->at != 'u')
        return json_damaged(r, "an escape that is none");
    r->at++;
    if (!hex(r, &code))
        return json_damaged(r, "\\u without four digits");
    if (code >= 0xd800 && code < 0xdc00) { /* the first half of a pair */
        if (r->end - r->at < 6 || r->at[0] != '\\' || r->at[1] != 'u')
            return json_damaged(r, "half a character");
        r->at += 2;
        if (!hex(r, &low) || low < 0xdc00 || low > 0xdfff)
            return json_damaged(r, "half a character");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) {
        return json_damaged(r, "half a character");
    }
    if (!code)
        return json_damaged(r, "a text with a NUL");
    *to = put_utf8(*to, code);
    return MF_OK;
}

/* `to` never passes r->at: an escape has more bytes than what it means. */
mf_status json_text(json_reader *r, char **text)
{
    MF_TRY(json_expect(r, '"'));
    char *to = *text = r->at;
    for (;;) {
        if (r->at == r->end)
            return json_damaged(r, "a text without an end");
        uint8_t c = (uint8_t)*r->at;
        if (c == '"')
            break;
        if (c < 0x20)
            return json_damaged(r, "a control character within a text");
        if (c == '\\') {
            r->at++;
            MF_TRY(escape(r, &to));
            continue;
        }
        size_t n = utf8_length((const uint8_t *)r->at, (size_t)(r->end - r->at));
        if (!n)
            return json_damaged(r, "a text that is not UTF-8");
        memmove(to, r->at, n);
        to += n;
        r->at += n;
    }
    r->at++;
    *to = 0;
    return MF_OK;
}

/* ---- numbers --------------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool json_natural(json_reader *r, int64_t *value)
{
    skip_space(r);
    const char *from = r->at, *to = from;
    *value = 0;
    while (to < r->end && is_digit(*to)) {
        if (__builtin_mul_overflow(*value, 10, value) ||
            __builtin_add_overflow(*value, *to - '0', value))
            return false;
        to++;
    }
    if (to == from || (*from == '0' && to - from > 1) || *to == '.' || *to == 'e' || *to == 'E')
        return false;
    r->at += to - from;
    return true;
}

static bool digits(json_reader *r)
{
    const char *from = r->at;
    while (r->at < r->end && is_digit(*r->at))
        r->at++;
    return r->at > from;
}

/* -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)? */
static bool skip_number(json_reader *r)
{
    r->at += *r->at == '-';
    if (*r->at == '0')
        r->at++;
    else if (!digits(r))
        return false;
    if (*r->at == '.') {
        r->at++;
        if (!digits(r))
            return false;
    }
    if (*r->at == 'e' || *r->at == 'E') {
        r->at++;
        r->at += *r->at == '-' || *r->at == '+';
        return digits(r);
    }
    return true;
}

/* ---- any value ------------------------------------------------------------------------------- */

static bool skip_word(json_reader *r)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(r->end - r->at) >= n && !memcmp(r->at, words[i], n)) {
            r->at += n;
            return true;
        }
    }
    return skip_number(r);
}

static mf_status skip(json_reader *r, int depth)
{
    size_t count = 0;
    char *text;
    skip_space(r);
    char open = *r->at, close = open == '{' ? '}' : ']';
    if (open == '"')
        return json_text(r, &text);
    if (open != '{' && open != '[')
        return skip_word(r) ? MF_OK : json_damaged(r, "a value that is none");
    if (depth == MOST_DEPTH)
        return json_damaged(r, "values nested more than 128 deep");
    for (bool more;;) {
        MF_TRY(json_item(r, open, close, &count, &more));
        if (!more)
            return MF_OK;
        if (open == '{') {
            MF_TRY(json_text(r, &text));
            MF_TRY(json_expect(r, ':'));
        }
        MF_TRY(skip(r, depth + 1));
    }
}

mf_status json_skip(json_reader *r)
{
    return skip(r, 0);
}
