/* moco.c - which method the parameters are of. */
#include "moco.h"
#include "moco_v2.h"
#include "moco_v3.h"

const mf_method *mf_moco_method(const mf_moco_params *o)
{
    return mf_moco_is_v3(o) ? &mf_moco_v3 : &mf_moco_v2;
}
