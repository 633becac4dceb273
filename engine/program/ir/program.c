/* program.c - declaring a program: scopes, values, ops, the error that sticks. */
#include "program/ir/program.h"

#include <massflow/memory.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

mf_status mf_program_new(mf_program **program)
{
    mf_program *p = calloc(1, sizeof *p);
    char **scopes = calloc(1, sizeof *scopes);
    char *root = strdup("");
    *program = NULL;
    if (!p || !scopes || !root) {
        free(p);
        free(scopes);
        free(root);
        return mf_no_memory(0, "a program");
    }
    scopes[0] = root;
    p->scopes = scopes;
    p->scope_count = 1;
    *program = p;
    return MF_OK;
}

void mf_program_free(mf_program *p)
{
    if (!p)
        return;
    for (int32_t i = 0; i < p->value_count; i++)
        free(p->values[i].name);
    for (int32_t i = 0; i < p->output_count; i++)
        free(p->outputs[i].name);
    for (int32_t i = 0; i < p->scope_count; i++)
        free(p->scopes[i]);
    free(p->values);
    free(p->ops);
    free(p->outputs);
    free(p->scopes);
    free(p->failure);
    free(p->failure_scope);
    free(p);
}

/* ---- errors ---------------------------------------------------------------------------------- */

static void fail_text(mf_program *p, mf_code code, const char *format, va_list args)
{
    if (p->failure)
        return;
    p->failure_code = code;
    p->failure_scope = strdup(p->scopes[p->scope]);
    if (vasprintf(&p->failure, format, args) < 0)
        p->failure = NULL;
    if (!p->failure)
        p->failure = strdup("a program failed, and memory is too short to say why");
}

void mf_program_fail_code(mf_program *p, mf_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail_text(p, code, format, args);
    va_end(args);
}

void mf_program_fail(mf_program *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail_text(p, MF_INVALID, format, args);
    va_end(args);
}

mf_status mf_program_status(const mf_program *p)
{
    if (!p->failure)
        return MF_OK;
    mf_status status = mf_fail(p->failure_code, "%s", p->failure);
    return p->failure_scope && *p->failure_scope ? mf_within(status, "%s", p->failure_scope)
                                                 : status;
}

static void no_memory(mf_program *p)
{
    mf_program_fail_code(p, MF_NO_MEMORY, "out of memory for a program");
}

/* ---- scopes ---------------------------------------------------------------------------------- */

/* "scope.name", or NULL with the program failed. */
static char *full_name(mf_program *p, const char *name)
{
    const char *scope = p->scopes[p->scope];
    char *full = NULL;
    if (asprintf(&full, "%s%s%s", scope, *scope ? "." : "", name) < 0) {
        no_memory(p);
        return NULL;
    }
    return full;
}

void mf_scope(mf_program *p, const char *format, ...)
{
    char name[256];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    const int most = (int)(sizeof p->stack / sizeof p->stack[0]);
    if (p->depth >= most) {
        mf_program_fail(p, "more than %d scopes inside each other", most);
        p->depth++; /* mf_scope_end stays balanced */
        return;
    }
    p->stack[p->depth++] = p->scope;
    char *full = full_name(p, name);
    if (!full)
        return;
    for (int32_t i = 0; i < p->scope_count; i++)
        if (!strcmp(p->scopes[i], full)) {
            free(full);
            p->scope = i;
            return;
        }
    char **scopes = mf_list_more(p->scopes, (size_t)p->scope_count, sizeof *scopes);
    if (!scopes) {
        free(full);
        no_memory(p);
        return;
    }
    p->scopes = scopes;
    p->scopes[p->scope_count] = full;
    p->scope = p->scope_count++;
}

void mf_scope_end(mf_program *p)
{
    const int most = (int)(sizeof p->stack / sizeof p->stack[0]);
    if (p->depth == 0) {
        mf_program_fail(p, "mf_scope_end without mf_scope");
        return;
    }
    if (--p->depth < most)
        p->scope = p->stack[p->depth];
}

/* ---- values ---------------------------------------------------------------------------------- */

mf_value_record *mf_value_of(const mf_program *p, mf_value x)
{
    assert(x.id >= 0 && x.id < p->value_count);
    return &p->values[x.id];
}

bool mf_bad(const mf_program *p, mf_value x)
{
    return p->failure || x.id < 0 || x.id >= p->value_count;
}

static mf_value add_value(mf_program *p, mf_value_kind kind, mf_dtype dtype, mf_shape shape,
                          char *name)
{
    size_t count = 1, bytes = 0;
    bool fits = shape.rank >= 0 && shape.rank <= MF_MAX_RANK;
    for (int k = 0; k < shape.rank && fits; k++)
        fits = shape.dim[k] > 0 && mf_size_mul(count, (size_t)shape.dim[k], &count);
    if (fits)
        fits = mf_size_mul(count, mf_dtype_size(dtype), &bytes) && bytes <= INT64_MAX;
    mf_value_record *values = mf_list_more(p->values, (size_t)p->value_count, sizeof *values);
    if (values)
        p->values = values;
    if (!fits || !values) {
        if (!fits)
            mf_program_fail(p, "%s%sa value of rank %d with an empty or too large shape",
                            name ? name : "", name ? ": " : "", shape.rank);
        else
            no_memory(p);
        free(name);
        return MF_NONE;
    }
    mf_value x = {p->value_count++};
    p->values[x.id] = (mf_value_record){.kind = kind,
                                        .dtype = dtype,
                                        .shape = shape,
                                        .count = (int64_t)count,
                                        .bytes = bytes,
                                        .op = -1,
                                        .storage = x.id,
                                        .gradient = MF_NONE,
                                        .name = name};
    return x;
}

static mf_shape make_shape(int rank, const int64_t *shape)
{
    mf_shape s = {.rank = rank};
    for (int k = 0; k < rank && k < MF_MAX_RANK; k++)
        s.dim[k] = shape[k];
    return s;
}

static mf_value find_named(const mf_program *p, mf_value_kind kind, const char *name)
{
    for (int32_t i = 0; i < p->value_count; i++)
        if (p->values[i].kind == kind && p->values[i].name && !strcmp(p->values[i].name, name))
            return (mf_value){i};
    return MF_NONE;
}

mf_value mf_input(mf_program *p, const char *name, mf_dtype dtype, int rank, const int64_t *shape)
{
    if (p->failure)
        return MF_NONE;
    if (dtype != MF_F32 && dtype != MF_U8)
        mf_program_fail(p, "input %s is %s; inputs are f32 or u8", name, mf_dtype_text(dtype));
    else if (find_named(p, MF_VALUE_INPUT, name).id >= 0)
        mf_program_fail(p, "input %s is declared twice", name);
    char *copy = strdup(name);
    if (!copy)
        no_memory(p);
    if (p->failure) {
        free(copy);
        return MF_NONE;
    }
    return add_value(p, MF_VALUE_INPUT, dtype, make_shape(rank, shape), copy);
}

mf_value mf_weight(mf_program *p, const char *name, int rank, const int64_t *shape)
{
    if (p->failure)
        return MF_NONE;
    char *full = full_name(p, name);
    if (!full)
        return MF_NONE;
    mf_value old = find_named(p, MF_VALUE_WEIGHT, full);
    if (old.id < 0)
        return add_value(p, MF_VALUE_WEIGHT, MF_F32, make_shape(rank, shape), full);
    if (!mf_shape_equal(make_shape(rank, shape), p->values[old.id].shape))
        mf_program_fail(p, "weight %s is declared with two shapes", full);
    free(full);
    return old;
}

void mf_output(mf_program *p, const char *name, mf_value x)
{
    if (mf_bad(p, x)) {
        if (!p->failure)
            mf_program_fail(p, "output %s names no value", name);
        return;
    }
    if (mf_value_of(p, x)->dtype != MF_F32) {
        mf_program_fail(p, "output %s is %s; outputs are f32", name,
                        mf_dtype_text(mf_value_of(p, x)->dtype));
        return;
    }
    for (int32_t i = 0; i < p->output_count; i++)
        if (!strcmp(p->outputs[i].name, name)) {
            mf_program_fail(p, "output %s is declared twice", name);
            return;
        }
    mf_named_value *more = mf_list_more(p->outputs, (size_t)p->output_count, sizeof *more);
    char *copy = strdup(name);
    if (more)
        p->outputs = more;
    if (!more || !copy) {
        free(copy);
        no_memory(p);
        return;
    }
    p->outputs[p->output_count++] = (mf_named_value){copy, x};
}

mf_shape mf_shape_of(const mf_program *p, mf_value x)
{
    return mf_bad(p, x) ? (mf_shape){.rank = 0} : mf_value_of(p, x)->shape;
}

mf_dtype mf_dtype_of(const mf_program *p, mf_value x)
{
    return mf_bad(p, x) ? MF_F32 : mf_value_of(p, x)->dtype;
}

bool mf_shape_equal(mf_shape a, mf_shape b)
{
    bool same = a.rank == b.rank;
    for (int k = 0; same && k < a.rank; k++)
        same = a.dim[k] == b.dim[k];
    return same;
}

const char *mf_shape_text(mf_program *p, mf_value x)
{
    char *text = p->text[p->text_at++ % 4];
    mf_shape s = mf_shape_of(p, x);
    size_t at = 0, size = sizeof p->text[0];
    at += (size_t)snprintf(text, size, "[");
    for (int k = 0; k < s.rank && at < size; k++)
        at += (size_t)snprintf(text + at, size - at, "%s%lld", k ? "," : "", (long long)s.dim[k]);
    if (at < size)
        snprintf(text + at, size - at, "]");
    return text;
}

bool mf_expect(mf_program *p, const char *op, mf_value x, mf_dtype dtype, int rank)
{
    if (mf_bad(p, x)) {
        if (!p->failure)
            mf_program_fail(p, "%s: an operand is missing", op);
        return false;
    }
    const mf_value_record *v = mf_value_of(p, x);
    if (v->dtype != dtype)
        mf_program_fail(p, "%s takes %s, given %s %s", op, mf_dtype_text(dtype),
                        mf_dtype_text(v->dtype), mf_shape_text(p, x));
    else if (rank >= 0 && v->shape.rank != rank)
        mf_program_fail(p, "%s takes rank %d, given %s", op, rank, mf_shape_text(p, x));
    return !p->failure;
}

/* Harmless sizes where there is no value, so that model code may divide by them. */
int mf_rank(const mf_program *p, mf_value x)
{
    return mf_bad(p, x) ? 0 : mf_value_of(p, x)->shape.rank;
}

int64_t mf_dim(const mf_program *p, mf_value x, int axis)
{
    if (mf_bad(p, x))
        return 1;
    const mf_shape *s = &mf_value_of(p, x)->shape;
    if (axis < 0)
        axis += s->rank;
    return axis >= 0 && axis < s->rank ? s->dim[axis] : 1;
}

int64_t mf_count(const mf_program *p, mf_value x)
{
    return mf_bad(p, x) ? 1 : mf_value_of(p, x)->count;
}

/* ---- ops ------------------------------------------------------------------------------------- */

mf_value mf_op_add(mf_program *p, const mf_op *op, const mf_shape *outputs)
{
    if (p->failure)
        return MF_NONE;
    mf_op *ops = mf_list_more(p->ops, (size_t)p->op_count, sizeof *ops);
    if (!ops) {
        no_memory(p);
        return MF_NONE;
    }
    p->ops = ops;
    mf_op added = *op;
    added.scope = p->scope;
    for (int k = 0; k < op->outputs; k++) {
        added.out[k] = add_value(p, MF_VALUE_RESULT, MF_F32, outputs[k], NULL);
        if (p->failure)
            return MF_NONE;
        p->values[added.out[k].id].op = p->op_count;
    }
    p->ops[p->op_count++] = added;
    return added.out[0];
}

const mf_op *mf_producer(const mf_program *p, mf_value x)
{
    if (mf_bad(p, x))
        return NULL;
    int32_t op = mf_value_of(p, x)->op;
    return op < 0 ? NULL : &p->ops[op];
}
