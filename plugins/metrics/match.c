/* match.c - see match.h. */
#include "match.h"
#include <string.h>

mf_status match_case(mf_task *t, const char *port, const char *name, size_t *index)
{
    size_t n = mf_in_count(t, port);
    *index = n;
    for (size_t k = 0; k < n; k++) {
        if (strcmp(mf_in_case(t, port, k), name))
            continue;
        if (*index < n)
            return mf_hint(mf_fail(MF_INVALID, "case %s is twice in the input %s: %s and %s", name,
                                   port, mf_in_name(t, port, *index), mf_in_name(t, port, k)),
                           "choose one, as in \"labels[seed=1]\", or give the stage the axis");
        *index = k;
    }
    return MF_OK;
}
