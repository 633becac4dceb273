/* decimal.c - see decimal.h. strtod alone takes hexadecimal, loses leading zeros and rounds to
 * infinity. */
#include "decimal.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Whether it is a decimal number as programs write one: no leading zeros, as codes have them, and
 * no hexadecimal. *integer: neither a point nor an exponent. *zero: no digit but 0 before the
 * exponent. */
static bool is_decimal(const char *text, bool *integer, bool *zero)
{
    static const char digits[] = "0123456789";
    text += *text == '-' || *text == '+';
    size_t before = strspn(text, digits), behind = 0;
    if (before > 1 && *text == '0')
        return false;
    *zero = strspn(text, "0") == before;
    text += before;
    *integer = !*text;
    if (*text == '.') {
        behind = strspn(++text, digits);
        *zero &= strspn(text, "0") == behind;
        text += behind;
    }
    if (!before && !behind)
        return false;
    if (*text == 'e' || *text == 'E') {
        text++;
        text += *text == '-' || *text == '+';
        if (!*text)
            return false;
        text += strspn(text, digits);
    }
    return !*text;
}

static bool is_word(const char *text)
{
    static const char *const words[] = {"nan", "inf", "infinity"};
    text += *text == '-' || *text == '+';
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcasecmp(text, words[i]))
            return true;
    return false;
}

bool decimal_number(const char *text, double *value)
{
    bool integer, zero, word;
    text += strspn(text, " "); /* where columns are aligned */
    word = is_word(text);
    if (!word && !is_decimal(text, &integer, &zero))
        return false;
    *value = strtod(text, NULL);
    return word || (isfinite(*value) && (zero || *value != 0) &&
                    (!integer || fabs(*value) < DECIMAL_EXACT));
}
