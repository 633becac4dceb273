/* recorder.c - what an op's `record` calls: modules, scratch, packed weights, launches. */
#include "program/record/recorder.h"
#include "program/ir/program.h"

#include <massflow/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static mf_status no_memory(void)
{
    return mf_no_memory(0, "a plan");
}

const mf_program *mf_recorder_program(const mf_recorder *r)
{
    return r->program;
}

const mf_device_info *mf_recorder_device(const mf_recorder *r)
{
    return mf_device_get_info(r->weights->device);
}

int mf_wide(const mf_recorder *r)
{
    return mf_recorder_device(r)->plain ? 16 : 4;
}

mf_range mf_range_wide(const mf_recorder *r, int64_t floats)
{
    return mf_range1((floats + mf_wide(r) - 1) / mf_wide(r));
}

mf_range mf_range_teams(const mf_recorder *r, int64_t rows)
{
    return mf_range1(rows * (mf_recorder_device(r)->plain ? 1 : 64));
}

mf_range mf_range_rows(const mf_recorder *r, int64_t rows)
{
    /* on a CPU, groups enough for all cores to end together */
    int64_t most = (int64_t)mf_recorder_device(r)->compute_units * 64;
    return mf_range_teams(r, mf_recorder_device(r)->plain && rows > most ? most : rows);
}

/* Sources are literals of the families, so an address stands for the text. */
mf_status mf_record_module(mf_recorder *r, const char *source, const char *options,
                           const mf_module **module)
{
    if (!options)
        options = "";
    for (int32_t i = 0; i < r->built_count; i++)
        if (r->built[i].source == source && !strcmp(r->built[i].options, options)) {
            *module = r->built[i].module;
            return MF_OK;
        }
    MF_TRY(
        mf_module_build(r->weights->device, (const char *const[]){source, NULL}, options, module));
    mf_built *built = mf_list_more(r->built, (size_t)r->built_count, sizeof *built);
    if (built)
        r->built = built;
    char *copy = built ? strdup(options) : NULL;
    if (!copy)
        return no_memory();
    r->built[r->built_count++] = (mf_built){source, copy, *module};
    return MF_OK;
}

static int32_t add_storage(mf_recorder *r, mf_storage storage)
{
    mf_storage *more = mf_list_more(r->storages, (size_t)r->storage_count, sizeof *r->storages);
    if (!more)
        return -1;
    r->storages = more;
    r->storages[r->storage_count] = storage;
    return r->storage_count++;
}

/* A failure to add is kept as index -1 and reported by the launch that uses it. */
mf_operand mf_scratch(mf_recorder *r, size_t bytes)
{
    mf_storage storage = {
        .bytes = bytes ? bytes : 1, .first = INT32_MAX, .last = -1, .same_as = -1};
    return (mf_operand){.kind = MF_OPERAND_SCRATCH, .index = add_storage(r, storage)};
}

static int32_t weight_index(const mf_recorder *r, mf_value source)
{
    const mf_value_record *v = mf_value_of(r->program, source);
    const mf_value_record *root = &r->program->values[v->storage];
    return root->kind == MF_VALUE_WEIGHT ? mf_weights_find(r->weights, root->name) : -1;
}

static mf_packing *find_packing(mf_weights *w, int32_t weight, const char *kind)
{
    for (int32_t i = 0; i < w->packing_count; i++)
        if (w->packings[i]->weight == weight && !strcmp(w->packings[i]->kind, kind))
            return w->packings[i];
    return NULL;
}

static mf_status new_packing(mf_weights *w, int32_t weight, const char *kind, size_t bytes,
                             mf_packing **packing)
{
    mf_packing **list = mf_list_more(w->packings, (size_t)w->packing_count, sizeof *list);
    if (!list)
        return no_memory();
    w->packings = list;
    mf_packing *made = calloc(1, sizeof *made);
    char *copy = strdup(kind);
    mf_status status = made && copy ? mf_buffer_new(w->device, bytes, &made->buffer) : no_memory();
    if (status) {
        free(made);
        free(copy);
        return status;
    }
    made->weight = weight;
    made->kind = copy;
    made->version = -1;
    w->packings[w->packing_count++] = made;
    *packing = made;
    return MF_OK;
}

mf_operand mf_outside(mf_recorder *r, mf_buffer *buffer)
{
    int32_t at = r->program->value_count;
    while (at < r->storage_count && r->storages[at].buffer != buffer)
        at++;
    if (at == r->storage_count)
        at = add_storage(r, (mf_storage){.bytes = buffer->bytes,
                                         .first = INT32_MAX,
                                         .last = -1,
                                         .same_as = -1,
                                         .outside = true,
                                         .buffer = buffer});
    return (mf_operand){.kind = MF_OPERAND_PACKED, .index = at};
}

/* Lists the packing among those to refresh before a run. */
static mf_status use_packing(mf_recorder *r, mf_packing *packing)
{
    for (int32_t i = 0; i < r->packing_count; i++)
        if (r->packings[i] == packing)
            return MF_OK;
    mf_packing **list = mf_list_more(r->packings, (size_t)r->packing_count, sizeof *list);
    if (!list)
        return no_memory();
    r->packings = list;
    r->packings[r->packing_count++] = packing;
    return MF_OK;
}

/* In a program that trains, weights change from run to run, and packed copies of all of them would
 * take twice their memory. So a copy lies in the arena from its first use in a pass, forward or
 * backward, to the last; in a program that recomputes, only for uses that are near. */
enum { MF_PACKED_NEAR = 64 }; /* launches */

static mf_status pack_in_run(mf_recorder *r, const mf_op *op, mf_value source, int32_t weight,
                             const char *kind, size_t bytes, mf_pack pack, mf_operand *packed)
{
    const bool backward = r->op - r->program->ops >= r->program->forward_ops;
    for (int32_t i = 0; i < r->run_packing_count; i++) {
        mf_run_packing *made = &r->run_packings[i];
        if (made->weight != weight || made->backward != backward || strcmp(made->kind, kind) ||
            (r->program->recompute && r->launch_count - made->used > MF_PACKED_NEAR))
            continue;
        made->used = r->launch_count;
        *packed = made->packed;
        return MF_OK;
    }
    mf_run_packing *list =
        mf_list_more(r->run_packings, (size_t)r->run_packing_count, sizeof *list);
    if (!list)
        return no_memory();
    r->run_packings = list;
    char *copy = strdup(kind);
    if (!copy)
        return no_memory();
    *packed = mf_scratch(r, bytes);
    list[r->run_packing_count++] =
        (mf_run_packing){weight, copy, backward, r->launch_count, *packed};
    return pack(r, op, MF_AT(source), *packed);
}

mf_status mf_packed(mf_recorder *r, const mf_op *op, mf_value source, const char *kind,
                    size_t bytes, mf_pack pack, mf_operand *packed)
{
    int32_t weight = weight_index(r, source);
    if (weight < 0) {
        *packed = mf_scratch(r, bytes);
        return pack(r, op, MF_AT(source), *packed);
    }
    if (r->program->differentiated)
        return pack_in_run(r, op, source, weight, kind, bytes, pack, packed);
    mf_packing *packing = find_packing(r->weights, weight, kind);
    bool made = !packing;
    if (made)
        MF_TRY(new_packing(r->weights, weight, kind, bytes, &packing));
    if (packing->buffer->bytes != bytes)
        return mf_fail(MF_INTERNAL, "weight %s is packed as \"%s\" in two sizes, %zu and %zu",
                       r->weights->weights[weight].name, kind, packing->buffer->bytes, bytes);
    MF_TRY(use_packing(r, packing));
    *packed = mf_outside(r, packing->buffer);
    if (!made)
        return MF_OK;
    r->packing = packing;
    mf_status status = pack(r, op, MF_AT(source), *packed);
    r->packing = NULL;
    if (status) { /* nothing half made stays behind for other programs to find */
        free(packing->kind);
        packing->kind = strdup("");
        packing->weight = -1;
    }
    return status;
}

int32_t mf_operand_storage(const mf_recorder *r, const mf_operand *operand)
{
    switch (operand->kind) {
    case MF_OPERAND_VALUE:
        return r->program->values[operand->index].storage;
    case MF_OPERAND_SCRATCH:
    case MF_OPERAND_PACKED:
        return operand->index;
    default:
        return -1;
    }
}

void mf_operands_resolve(const mf_recorder *r, const mf_operand *operands, int count, mf_arg *args)
{
    static const mf_arg_kind kinds[] = {
        [MF_OPERAND_INT] = MF_ARG_INT,
        [MF_OPERAND_LONG] = MF_ARG_LONG,
        [MF_OPERAND_FLOAT] = MF_ARG_FLOAT,
        [MF_OPERAND_LOCAL] = MF_ARG_LOCAL,
    };
    for (int i = 0; i < count; i++) {
        int32_t at = mf_operand_storage(r, &operands[i]);
        if (at < 0) {
            args[i] =
                (mf_arg){.kind = kinds[operands[i].kind], .i = operands[i].i, .f = operands[i].f};
            continue;
        }
        while (r->storages[at].same_as >= 0)
            at = r->storages[at].same_as;
        args[i] = (mf_arg){.kind = MF_ARG_BUFFER, .buffer = r->storages[at].buffer};
    }
}

/* The launch of a packing: all its buffers exist already. */
static mf_status record_packing(mf_recorder *r, const mf_module *module, const char *kernel,
                                mf_range range, const mf_operand *operands, int count)
{
    mf_packing *packing = r->packing;
    mf_arg args[MF_LAUNCH_ARGS];
    mf_launch *list = mf_list_more(packing->launches, (size_t)packing->launch_count, sizeof *list);
    if (!list)
        return no_memory();
    packing->launches = list;
    mf_operands_resolve(r, operands, count, args);
    MF_TRY(
        mf_launch_init(&list[packing->launch_count], module, kernel, range, args, count, kernel));
    packing->launch_count++;
    return MF_OK;
}

mf_status mf_record(mf_recorder *r, const mf_module *module, const char *kernel, mf_range range,
                    const mf_operand *args, int count)
{
    if (count > MF_LAUNCH_ARGS)
        return mf_fail(MF_INTERNAL, "kernel %s: %d arguments, at most %d", kernel, count,
                       MF_LAUNCH_ARGS);
    for (int k = 0; k < range.dims; k++)
        if (!range.global[k])
            return MF_OK;
    for (int i = 0; i < count; i++) {
        bool missing =
            args[i].kind == MF_OPERAND_VALUE
                ? args[i].index < 0 || args[i].index >= r->program->value_count
                : mf_operand_storage(r, &args[i]) < 0 &&
                      (args[i].kind == MF_OPERAND_SCRATCH || args[i].kind == MF_OPERAND_PACKED);
        if (missing)
            return mf_fail(MF_INTERNAL, "kernel %s: argument %d is not an operand", kernel, i);
    }
    if (r->packing)
        return record_packing(r, module, kernel, range, args, count);
    mf_recorded *list = mf_list_more(r->launches, (size_t)r->launch_count, sizeof *list);
    if (!list)
        return no_memory();
    r->launches = list;
    mf_recorded *launch = &list[r->launch_count];
    *launch = (mf_recorded){module, kernel, r->op ? r->op->type->name : "", range, count, {{0}}};
    memcpy(launch->args, args, (size_t)count * sizeof *args);
    for (int i = 0; i < count; i++) {
        int32_t at = mf_operand_storage(r, &args[i]);
        if (at < 0)
            continue;
        if (r->storages[at].first > r->launch_count)
            r->storages[at].first = r->launch_count;
        if (r->storages[at].last < r->launch_count)
            r->storages[at].last = r->launch_count;
    }
    r->launch_count++;
    return MF_OK;
}
