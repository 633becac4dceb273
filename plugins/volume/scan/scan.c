/* scan.c - notes on a scan, and what every reader checks before it asks for memory. */
#include "scan.h"
#include <stdarg.h>
#include <stdio.h>

void scan_note(scan *s, const char *format, ...)
{
    if (s->notes == SCAN_NOTES)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(s->note[s->notes++], sizeof s->note[0], format, args);
    va_end(args);
}

void scan_free(scan *s)
{
    mf_array_unref(s->voxels);
    s->voxels = NULL;
    mf_names_clear(&s->names);
}

mf_status scan_check_size(const char *path, const int64_t size[3])
{
    size_t count = 1;
    bool fits = true;
    for (int i = 0; i < 3; i++)
        fits = fits && size[i] > 0 && mf_size_mul(count, (size_t)size[i], &count);
    if (fits && count <= INT32_MAX)
        return MF_OK;
    return mf_hint(mf_fail(MF_UNSUPPORTED,
                           "%s: has %lld x %lld x %lld voxels; a scan may have 2147483647 (2^31 - "
                           "1) at most",
                           path, (long long)size[0], (long long)size[1], (long long)size[2]),
                   "cut it into parts, or resample it to larger voxels, with another tool first");
}

mf_status scan_check_time(const char *path, int64_t count, const char *what, const scan_options *o)
{
    if (o->times)
        *o->times = count;
    if (count > 1 && o->time < 0)
        return mf_hint(
            mf_fail(MF_UNSUPPORTED, "%s: has %lld %s, not one", path, (long long)count, what),
            "time: N (from 0) takes one of them");
    if (o->time >= count)
        return mf_fail(MF_INVALID, "%s: has %lld %s; time: %lld is not one of them", path,
                       (long long)count, what, (long long)o->time);
    return MF_OK;
}
