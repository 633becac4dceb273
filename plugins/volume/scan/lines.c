/* lines.c - see lines.h. */
#include "lines.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MOST ((size_t)1 << 20)

mf_status lines_next(text_lines *l, bool *more)
{
    size_t n = 0;
    int c;
    *more = false;
    while ((c = getc(l->file)) != EOF) {
        if (n + 2 > l->room) {
            size_t room = l->room ? 2 * l->room : 256;
            char *text = n < LINE_MOST ? realloc(l->text, room) : NULL;
            if (!text)
                return n < LINE_MOST
                           ? mf_no_memory(0, "the header of %s", l->path)
                           : mf_fail(MF_CORRUPT,
                                     "%s:%d: damaged header: a line of more than %zu bytes",
                                     l->path, l->number + 1, LINE_MOST);
            l->text = text;
            l->room = room;
        }
        *more = true;
        if (c == '\n')
            break;
        if (!c) /* what stands behind it would be lost */
            return mf_fail(MF_CORRUPT, "%s:%d: a NUL byte stands in the line", l->path,
                           l->number + 1);
        l->text[n++] = (char)c;
    }
    if (ferror(l->file))
        return mf_fail(MF_IO, "%s: cannot be read: %s", l->path, strerror(errno));
    if (!*more)
        return MF_OK;
    if (n && l->text[n - 1] == '\r')
        n--;
    l->text[n] = 0;
    l->number++;
    return MF_OK;
}

void lines_free(text_lines *l)
{
    free(l->text);
    l->text = NULL;
    l->room = 0;
}

char *text_trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t n = strlen(text);
    while (n && isspace((unsigned char)text[n - 1]))
        text[--n] = 0;
    return text;
}

int text_reals(const char *text, double *to, int most)
{
    for (int n = 0;; n++) {
        while (isspace((unsigned char)*text))
            text++;
        if (!*text)
            return n;
        char *end;
        double value = n < most ? strtod(text, &end) : NAN;
        if (!isfinite(value) || end == text || (*end && !isspace((unsigned char)*end)))
            return -1;
        to[n] = value;
        text = end;
    }
}

bool text_whole(const char *text, long long *value)
{
    char *end;
    errno = 0;
    *value = strtoll(text, &end, 10);
    if (end == text || errno)
        return false;
    while (isspace((unsigned char)*end))
        end++;
    return !*end;
}
