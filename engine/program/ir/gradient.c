/* gradient.c - the gradients of values, as the ops' `gradient` adds to them. What adds two of them
 * is an op, and ops lie behind this folder: mf_differentiate says which. */
#include "program/ir/program.h"

bool mf_wants_gradient(const mf_program *p, mf_value x)
{
    return !mf_bad(p, x) && mf_value_of(p, x)->wants;
}

void mf_add_gradient(mf_program *p, mf_value x, mf_value g)
{
    if (mf_bad(p, x) || mf_bad(p, g) || !mf_value_of(p, x)->wants)
        return;
    if (!mf_shape_equal(mf_shape_of(p, x), mf_shape_of(p, g))) {
        mf_program_fail_code(p, MF_INTERNAL, "a gradient %s for a value %s", mf_shape_text(p, g),
                             mf_shape_text(p, x));
        return;
    }
    mf_value old = mf_value_of(p, x)->gradient;
    mf_value all = old.id < 0 ? g : p->add(p, old, g);
    if (!p->failure)
        mf_value_of(p, x)->gradient = all;
}

bool mf_follow(mf_program *p, mf_value x, float momentum)
{
    if (mf_bad(p, x))
        return true;
    if (mf_value_of(p, x)->kind == MF_VALUE_WEIGHT)
        mf_value_of(p, x)->momentum = momentum;
    return mf_value_of(p, x)->kind != MF_VALUE_RESULT;
}

mf_value mf_gradient(const mf_program *p, mf_value x)
{
    return mf_bad(p, x) ? MF_NONE : mf_value_of(p, x)->gradient;
}
