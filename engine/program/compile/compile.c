/* compile.c - from a declared program to an executable: drop dead ops, record launches, plan the
 * arena, bind buffers. */
#include "compute/stop.h"
#include "optimizer.cl.h"
#include "program/compile/executable.h"
#include "program/compile/rematerialize.h"
#include "program/ir/program.h"
#include "program/record/recorder.h"

#include <massflow/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static mf_status no_memory(void)
{
    return mf_no_memory(0, "a plan");
}

/* Which ops something that is read depends on: outputs and gradients of weights. */
static void mark_live(const mf_program *p, bool *live)
{
    for (int32_t i = 0; i < p->output_count; i++) {
        int32_t op = mf_value_of(p, p->outputs[i].value)->op;
        if (op >= 0)
            live[op] = true;
    }
    for (int32_t i = 0; i < p->value_count; i++) {
        mf_value g = p->values[i].gradient;
        if (p->values[i].kind == MF_VALUE_WEIGHT && g.id >= 0 && mf_value_of(p, g)->op >= 0)
            live[mf_value_of(p, g)->op] = true;
    }
    for (int32_t i = p->op_count - 1; i >= 0; i--)
        for (int k = 0; live[i] && k < p->ops[i].inputs; k++) {
            mf_value in = p->ops[i].in[k];
            if (in.id >= 0 && mf_value_of(p, in)->op >= 0)
                live[mf_value_of(p, in)->op] = true;
        }
}

/* Whether there may be `more` bytes beside what the program holds. */
static mf_status within_limit(const mf_recorder *r, const mf_executable *e, size_t more)
{
    size_t held = mf_executable_bytes(e), limit = r->weights->program_limit;
    if (held > limit || more > limit - held)
        return mf_fail(MF_NO_MEMORY,
                       "a program needs at least %zu MiB on the device, where it may have %zu MiB",
                       (held + more) >> 20, limit >> 20);
    return MF_OK;
}

static mf_status init_storages(mf_recorder *r, mf_executable *e)
{
    const mf_program *p = r->program;
    r->storages = calloc(mf_list_room((size_t)p->value_count), sizeof *r->storages);
    e->inputs = calloc((size_t)p->value_count + 1, sizeof *e->inputs);
    if (!r->storages || !e->inputs)
        return no_memory();
    r->storage_count = p->value_count;
    for (int32_t i = 0; i < p->value_count; i++) {
        const mf_value_record *v = &p->values[i];
        mf_storage *s = &r->storages[i];
        *s = (mf_storage){.bytes = v->bytes,
                          .first = INT32_MAX,
                          .last = -1,
                          .same_as = -1,
                          .outside = v->kind != MF_VALUE_RESULT};
        if (v->kind == MF_VALUE_WEIGHT) {
            int w = mf_weights_find(r->weights, v->name);
            s->buffer = r->weights->weights[w].values;
        } else if (v->kind == MF_VALUE_INPUT) {
            MF_TRY(within_limit(r, e, v->bytes));
            MF_TRY(mf_within(mf_buffer_new(r->weights->device, v->bytes, &s->buffer), "input %s",
                             v->name));
            mf_port *port = &e->inputs[e->input_count++];
            *port = (mf_port){strdup(v->name), v->dtype, v->bytes, s->buffer};
            if (!port->name)
                return no_memory();
        }
    }
    return MF_OK;
}

/* sum[i] += g[i]; `sum` is a weight's gradient. */
static mf_status add_to(mf_recorder *r, mf_value g, mf_buffer *sum, int64_t count)
{
    const mf_module *module;
    MF_TRY(mf_record_module(r, optimizer_cl, NULL, &module));
    mf_operand to = mf_outside(r, sum);
    return MF_RECORD(r, module, "accumulate", mf_range_wide(r, count), MF_LONG(count), MF_AT(g),
                     to);
}

/* Adds gradients that op i has completed to those of the weights. */
static mf_status record_accumulate(mf_recorder *r, mf_executable *e, int32_t op)
{
    const mf_program *p = r->program;
    for (int k = 0; k < p->ops[op].outputs; k++) {
        int32_t out = p->ops[op].out[k].id;
        for (int32_t i = 0; i < p->value_count; i++) {
            const mf_value_record *v = &p->values[i];
            if (v->kind != MF_VALUE_WEIGHT || v->gradient.id != out)
                continue;
            int w = mf_weights_find(r->weights, v->name);
            MF_TRY(mf_weights_need_gradient(r->weights, w));
            e->trained[e->trained_count++] = w;
            MF_TRY(add_to(r, v->gradient, r->weights->weights[w].gradient, v->count));
        }
    }
    return MF_OK;
}

static mf_status rematerialize(mf_program *p)
{
    bool *live = calloc((size_t)p->op_count + 1, sizeof *live);
    if (!live)
        return no_memory();
    mark_live(p, live);
    mf_status status = mf_rematerialize(p, live);
    free(live);
    return status;
}

static mf_status record_ops(mf_recorder *r, mf_executable *e)
{
    mf_program *p = r->program;
    bool *live = calloc((size_t)p->op_count + 1, sizeof *live);
    bool *completes = calloc((size_t)p->op_count + 1, sizeof *completes); /* a weight's gradient */
    mf_status status = live && completes ? MF_OK : no_memory();
    if (!status) {
        mark_live(p, live);
        for (int32_t i = 0; i < p->value_count; i++) {
            mf_value g = p->values[i].gradient;
            if (p->values[i].kind == MF_VALUE_WEIGHT && g.id >= 0 && mf_value_of(p, g)->op >= 0)
                completes[mf_value_of(p, g)->op] = true;
        }
    }
    for (int32_t i = 0; i < p->op_count && !status; i++) {
        const mf_op *op = &p->ops[i];
        r->op_first[i] = r->launch_count;
        r->op_first[i + 1] = r->launch_count;
        if (!live[i])
            continue;
        r->op = op;
        status = mf_stop_ask(); /* building kernels takes its time */
        if (status)
            break;
        if (op->type->record)
            status = op->type->record(r, op);
        r->op_first[i + 1] = r->launch_count;
        if (!status && completes[i])
            status = record_accumulate(r, e, i);
        if (status) {
            status = mf_within(status, "%s", op->type->name);
            const char *scope = p->scopes[op->scope];
            if (*scope)
                status = mf_within(status, "%s", scope);
        }
    }
    free(live);
    free(completes);
    return status;
}

static int32_t root_of(const mf_storage *storages, int32_t at)
{
    while (storages[at].same_as >= 0)
        at = storages[at].same_as;
    return at;
}

/* Outputs live to the end. Elementwise ops write over an input that nobody reads afterwards. */
static void settle_lifetimes(mf_recorder *r)
{
    const mf_program *p = r->program;
    mf_storage *s = r->storages;
    for (int32_t i = 0; i < p->output_count; i++) {
        int32_t at = mf_value_of(p, p->outputs[i].value)->storage;
        if (s[at].last >= 0)
            s[at].last = INT32_MAX;
    }
    for (int32_t i = 0; i < p->op_count; i++) {
        const mf_op *op = &p->ops[i];
        int32_t first = r->op_first[i], end = r->op_first[i + 1];
        if (!op->type->in_place || first == end)
            continue;
        int32_t out = op->out[0].id;
        for (int k = 0; k < op->inputs; k++) {
            if (!(op->type->in_place >> k & 1) || op->in[k].id < 0)
                continue;
            int32_t in = root_of(s, mf_value_of(p, op->in[k])->storage);
            if (s[in].outside || s[in].bytes != s[out].bytes || s[in].last < first ||
                s[in].last >= end || s[out].first < first)
                continue;
            s[out].same_as = in;
            s[in].last = s[out].last;
            break;
        }
    }
}

/* "encoder.inc: conv3d makes [1,128,128,128,64]" for the error of a value that is too large. */
static mf_status too_large(mf_recorder *r, int32_t at, size_t limit)
{
    mf_program *p = r->program;
    if (at >= p->value_count)
        return mf_fail(MF_NO_MEMORY, "scratch of %zu bytes is more than the device allocates (%zu)",
                       r->storages[at].bytes, limit);
    const mf_op *op = mf_producer(p, (mf_value){at});
    mf_status status =
        mf_fail(MF_NO_MEMORY,
                "%s makes %s, %zu bytes, more than the device allocates at once "
                "(%zu)",
                op->type->name, mf_shape_text(p, (mf_value){at}), r->storages[at].bytes, limit);
    return mf_within(status, "%s", p->scopes[op->scope]);
}

static mf_status allocate_arena(mf_recorder *r, mf_executable *e)
{
    mf_device *device = r->weights->device;
    size_t limit = mf_arena_limit(r->weights) / device->alignment * device->alignment;
    for (int32_t i = 0; i < r->storage_count; i++)
        if (!r->storages[i].outside && r->storages[i].last >= 0 && r->storages[i].bytes > limit)
            return too_large(r, i, limit);
    size_t size = mf_plan_arena(r->storages, r->storage_count, device->alignment, limit);
    if (size == SIZE_MAX)
        return no_memory();
    MF_TRY(within_limit(r, e, size));
    e->arena_bytes = size;
    size_t count = (size + limit - 1) / limit;
    e->arena = calloc(count + 1, sizeof(mf_buffer *));
    e->views = calloc((size_t)r->storage_count + 1, sizeof(mf_buffer *));
    if (!e->arena || !e->views)
        return no_memory();
    for (size_t i = 0; i < count; i++) {
        size_t bytes = i + 1 < count ? limit : size - i * limit;
        MF_TRY(
            mf_within(mf_buffer_new(device, bytes, &e->arena[i]), "an arena of %zu bytes", size));
        e->arena_count++;
    }
    for (int32_t i = 0; i < r->storage_count; i++) {
        mf_storage *s = &r->storages[i];
        if (s->outside || s->same_as >= 0 || s->last < 0)
            continue;
        MF_TRY(
            mf_buffer_view(e->arena[s->offset / limit], s->offset % limit, s->bytes, &s->buffer));
        e->views[e->view_count++] = s->buffer;
    }
    return MF_OK;
}

static mf_status bind(mf_recorder *r, mf_executable *e)
{
    const mf_program *p = r->program;
    e->launches = calloc((size_t)r->launch_count + 1, sizeof *e->launches);
    e->seconds = calloc((size_t)r->launch_count + 1, sizeof *e->seconds);
    e->outputs = calloc((size_t)p->output_count + 1, sizeof *e->outputs);
    if (!e->launches || !e->seconds || !e->outputs)
        return no_memory();
    for (int32_t i = 0; i < r->launch_count; i++) {
        const mf_recorded *from = &r->launches[i];
        mf_arg args[MF_LAUNCH_ARGS];
        char label[96];
        snprintf(label, sizeof label, "%s%s%s", from->op, *from->op ? "/" : "", from->kernel);
        mf_operands_resolve(r, from->args, from->count, args);
        MF_TRY(mf_launch_init(&e->launches[i], from->module, from->kernel, from->range, args,
                              from->count, label));
        e->launch_count++;
    }
    for (int32_t i = 0; i < p->output_count; i++) {
        const mf_value_record *v = mf_value_of(p, p->outputs[i].value);
        const mf_storage *s = &r->storages[root_of(r->storages, v->storage)];
        e->outputs[i] = (mf_port){strdup(p->outputs[i].name), v->dtype, v->bytes, s->buffer};
        e->output_count++;
        if (!e->outputs[i].name)
            return no_memory();
    }
    e->packings = r->packings;
    e->packing_count = r->packing_count;
    r->packings = NULL;
    return MF_OK;
}

static mf_status compile(mf_recorder *r, mf_executable *e)
{
    mf_program *p = r->program;
    MF_TRY(rematerialize(p));
    r->op_first = calloc((size_t)p->op_count + 2, sizeof *r->op_first);
    e->trained = calloc((size_t)p->value_count + 1, sizeof *e->trained);
    if (!r->op_first || !e->trained)
        return no_memory();
    MF_TRY(mf_weights_declare(r->weights, p));
    MF_TRY(init_storages(r, e));
    MF_TRY(record_ops(r, e));
    settle_lifetimes(r);
    MF_TRY(allocate_arena(r, e));
    return bind(r, e);
}

mf_status mf_program_compile(mf_program *p, mf_weights *weights, mf_executable **executable)
{
    *executable = NULL;
    MF_TRY(mf_program_status(p));
    if (p->depth)
        return mf_fail(MF_INVALID, "scope %s is not ended", p->scopes[p->scope]);
    mf_executable *e = calloc(1, sizeof *e);
    if (!e)
        return no_memory();
    e->weights = weights;
    const char *poison = getenv("MASSFLOW_POISON");
    e->poison = poison && !strcmp(poison, "1");
    mf_recorder r = {.program = p, .weights = weights};
    mf_status status = compile(&r, e);
    free(r.launches);
    free(r.storages);
    free(r.packings);
    free(r.op_first);
    for (int32_t i = 0; i < r.run_packing_count; i++)
        free(r.run_packings[i].kind);
    free(r.run_packings);
    for (int32_t i = 0; i < r.built_count; i++)
        free(r.built[i].options);
    free(r.built);
    if (status)
        mf_executable_free(e);
    else
        *executable = e;
    return status;
}
