/* moco_params.c - the rules of MoCo's parameters, and what each version has where nothing is said.
 */
#include "moco_params.h"

#include <string.h>

bool mf_moco_is_v3(const mf_moco_params *o)
{
    return !strcmp(o->version, "v3");
}

int64_t mf_moco_dim(const mf_moco_params *o)
{
    return o->projection_dim ? o->projection_dim : mf_moco_is_v3(o) ? 256 : 128;
}

static mf_status check_unset(const char *name, double value)
{
    return value < 0 && value > -1
               ? mf_fail(MF_INVALID, "%s is %g; it is 0 or more, or -1: the version's", name, value)
               : MF_OK;
}

mf_moco_params mf_moco_resolved(const mf_moco_params *o)
{
    mf_moco_params r = *o;
    if (r.temperature <= 0)
        r.temperature = mf_moco_is_v3(o) ? 1 : 0.2;
    if (r.momentum <= 0)
        r.momentum = mf_moco_is_v3(o) ? 0.99 : 0.999;
    if (r.shared.warmup < 0)
        r.shared.warmup = mf_moco_is_v3(o) ? 0.1 : 0;
    if (r.shared.weight_decay < 0)
        r.shared.weight_decay = mf_moco_is_v3(o) ? 1e-6 : 1e-4;
    return r;
}

mf_status mf_moco_check(const mf_moco_params *o)
{
    MF_TRY(check_unset("warmup", o->shared.warmup));
    MF_TRY(check_unset("weight_decay", o->shared.weight_decay));
    if (!mf_moco_is_v3(o) && o->memory_bank < o->shared.batch_size)
        return mf_hint(
            mf_fail(MF_INVALID,
                    "memory_bank is %lld, less than the %lld keys of a batch (batch_size)",
                    (long long)o->memory_bank, (long long)o->shared.batch_size),
            "a memory_bank of several batches, or a smaller batch_size");
    return MF_OK;
}
