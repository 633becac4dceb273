/* match.c - see match.h. */
#include "match.h"
#include <string.h>

size_t match_case(mf_task *t, const char *port, const char *name)
{
    size_t n = mf_in_count(t, port), match = n;
    for (size_t k = 0; k < n; k++)
        if (!strcmp(mf_in_case(t, port, k), name))
            match = k;
    return match;
}
