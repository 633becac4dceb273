/* port_names.c - see port_names.h. */
#include "port_names.h"

static mf_status names_of(mf_task *t, const char *port, size_t i, mf_names *names)
{
    const mf_artifact *a;
    MF_TRY(mf_in_item(t, port, i, &a));
    return mf_within(mf_artifact_names(a, names), "%s", mf_in_name(t, port, i));
}

/* Whether one pair contradicts: the error. */
static mf_status compare(mf_task *t, const char *port, size_t i, const char *other, size_t k,
                         const mf_names *theirs)
{
    mf_names own;
    MF_TRY(names_of(t, port, i, &own));
    mf_status status = mf_names_join(&own, theirs, mf_in_name(t, port, i), mf_in_name(t, other, k));
    mf_names_clear(&own);
    return status;
}

/* The first artifact before ports[p] number k that its names contradict. */
static mf_status find_contradiction(mf_task *t, const char *const *ports, size_t p, size_t k,
                                    const mf_names *theirs)
{
    for (size_t q = 0; q <= p; q++)
        for (size_t i = 0; i < (q < p ? mf_in_count(t, ports[q]) : k); i++)
            MF_TRY(compare(t, ports[q], i, ports[p], k, theirs));
    return MF_OK;
}

static mf_status add(mf_task *t, const char *const *ports, size_t p, size_t k, mf_names *names)
{
    mf_names own;
    MF_TRY(names_of(t, ports[p], k, &own));
    mf_status status = mf_names_join(names, &own, "others", mf_in_name(t, ports[p], k));
    if (status) {
        mf_status pair = find_contradiction(t, ports, p, k, &own);
        if (pair) {
            mf_error_free(status);
            status = pair;
        }
    }
    mf_names_clear(&own);
    return status;
}

mf_status mf_port_names(mf_task *t, const char *const *ports, mf_names *names)
{
    mf_status status = MF_OK;
    for (size_t p = 0; ports[p] && !status; p++)
        for (size_t k = 0; k < mf_in_count(t, ports[p]) && !status; k++)
            status = add(t, ports, p, k, names);
    if (status)
        mf_names_clear(names);
    return status;
}
