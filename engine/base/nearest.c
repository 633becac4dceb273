/* nearest.c - the name that was meant: edit distance with swaps of neighbours (optimal string
 * alignment), ignoring case. */
#include "base/nearest.h"
#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LONGEST 64 /* names beyond this are not compared */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t rows[3][LONGEST + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];

    for (size_t j = 0; j <= m; j++)
        last[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *spare = before;

        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);

            now[j] = least(least(last[j], now[j - 1]) + 1, last[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
                y == tolower((unsigned char)a[i - 2]))
                now[j] = least(now[j], before[j - 2] + 1);
        }
        before = last;
        last = now;
        now = spare;
    }
    return last[m];
}

/* "orientation" for "orient", and the other way round. */
static bool extends(const char *a, size_t n, const char *b, size_t m)
{
    size_t shorter = least(n, m);
    return shorter >= 3 && !strncasecmp(a, b, shorter);
}

const char *mf_nearest(const char *word, const char *const *names, size_t count)
{
    size_t n = strlen(word), best = SIZE_MAX;
    const char *found = NULL;

    if (n > LONGEST)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t m = strlen(names[i]), d;

        if (m > LONGEST)
            continue;
        d = distance(word, n, names[i], m);
        /* A third of the letters may be wrong, and at least one right. */
        bool near = d <= (n > m ? n : m) / 3 + (n > 2) && d < (n > m ? n : m);
        if (d < best && (near || extends(word, n, names[i], m))) {
            best = d;
            found = names[i];
        }
    }
    return found;
}
