/* differentiate.c - reverse-mode differentiation: ops are walked backward from the loss, and each
 * adds its gradient as more ops. */
#include "program/compile/differentiate.h"
#include "program/ir/program.h"
#include "program/ops/shared.h"

#include <string.h>

void mf_freeze(mf_program *p, const char *prefix)
{
    for (int32_t i = 0; i < p->value_count; i++) {
        mf_value_record *v = &p->values[i];
        if (v->kind == MF_VALUE_WEIGHT && !strncmp(v->name, prefix, strlen(prefix)))
            v->frozen = true;
    }
}

void mf_require_gradient(mf_program *p, mf_value x)
{
    if (mf_bad(p, x))
        return;
    mf_value_record *v = mf_value_of(p, x);
    if (v->kind != MF_VALUE_INPUT || v->dtype != MF_F32)
        mf_program_fail(p, "a gradient is required of %s, which is no f32 input",
                        v->name ? v->name : "a result");
    else if (p->differentiated)
        mf_program_fail(p, "a gradient is required of %s after the program was differentiated",
                        v->name);
    v->required = true;
}

/* A value wants a gradient when it is a weight, an input of which one is required, or computed from
 * either in floats. */
static void mark_wanted(mf_program *p)
{
    for (int32_t i = 0; i < p->value_count; i++) {
        mf_value_record *v = &p->values[i];
        v->wants = v->required || (v->kind == MF_VALUE_WEIGHT && !v->frozen);
    }
    for (int32_t i = 0; i < p->op_count; i++) {
        const mf_op *op = &p->ops[i];
        bool wants = false;
        for (int k = 0; k < op->inputs; k++)
            wants |= op->in[k].id >= 0 && p->values[op->in[k].id].wants;
        for (int k = 0; k < op->outputs; k++)
            p->values[op->out[k].id].wants = wants;
    }
}

/* Walks back from all that has a gradient already. */
static void walk(mf_program *p)
{
    int32_t scope = p->scope;
    for (int32_t i = p->op_count - 1; i >= 0 && !p->failure; i--) {
        mf_op op = p->ops[i];
        mf_value grad[MF_OP_OUTPUTS] = {MF_NONE, MF_NONE, MF_NONE};
        bool any = false;
        for (int k = 0; k < op.outputs; k++) {
            grad[k] = p->values[op.out[k].id].gradient;
            any |= grad[k].id >= 0;
        }
        if (!any || !p->values[op.out[0].id].wants)
            continue;
        p->scope = op.scope;
        if (op.type->gradient)
            op.type->gradient(p, &op, grad);
        else
            mf_program_fail(p, "%s has no gradient, but the loss depends on a weight through it",
                            op.type->name);
    }
    p->scope = scope;
}

/* Whether a program can be differentiated from x. */
static bool can_begin(mf_program *p, mf_value x)
{
    if (mf_bad(p, x)) {
        if (!p->failure)
            mf_program_fail(p, "the loss names no value");
        return false;
    }
    if (p->differentiated) {
        mf_program_fail(p, "a program is differentiated once");
        return false;
    }
    return true;
}

static void begin(mf_program *p)
{
    p->differentiated = true;
    p->forward_ops = p->op_count;
    p->add = mf_add;
    mark_wanted(p);
}

void mf_recompute(mf_program *p)
{
    p->recompute = true;
}

void mf_keep(mf_program *p, mf_value x)
{
    /* Through reshapes to the value whose bytes they show. */
    while (!mf_bad(p, x)) {
        mf_value_of(p, x)->keep = true;
        const mf_op *op = mf_producer(p, x);
        if (!op || op->type->record)
            return;
        x = op->in[0];
    }
}

void mf_differentiate_from(mf_program *p, mf_value y, mf_value gradient)
{
    if (!can_begin(p, y) || mf_bad(p, gradient))
        return;
    begin(p);
    mf_add_gradient(p, y, gradient);
    walk(p);
}

void mf_differentiate(mf_program *p, mf_value loss)
{
    if (!can_begin(p, loss))
        return;
    if (mf_count(p, loss) != 1 || mf_dtype_of(p, loss) != MF_F32) {
        mf_program_fail(p, "the loss has shape %s; it must be one number", mf_shape_text(p, loss));
        return;
    }
    begin(p);
    if (!mf_value_of(p, loss)->wants)
        return;
    mf_value one = mf_fill_like(p, loss, 1.0f);
    if (p->failure)
        return;
    mf_value_of(p, loss)->gradient = one;
    walk(p);
}
