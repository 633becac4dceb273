/* executable.c - replay: inputs in, launches enqueued, outputs out. */
#include "program/program.h"

#include <stdlib.h>
#include <string.h>

void mf_executable_free(mf_executable *e)
{
    if (!e)
        return;
    mf_status status = mf_queue_finish(e->weights->queue);
    mf_error_free(status); /* whoever reads results has been told */
    for (int32_t i = 0; i < e->launch_count; i++)
        mf_launch_clear(&e->launches[i]);
    /* Last made, first freed: the other way NVIDIA's driver (580.159) crashes in some programs. */
    for (int32_t i = e->view_count; i-- > 0;)
        mf_buffer_free(e->views[i]);
    for (int32_t i = 0; i < e->arena_count; i++)
        mf_buffer_free(e->arena[i]);
    for (int32_t i = 0; i < e->input_count; i++) {
        mf_buffer_free(e->inputs[i].buffer);
        free(e->inputs[i].name);
    }
    for (int32_t i = 0; i < e->output_count; i++)
        free(e->outputs[i].name);
    free(e->launches);
    free(e->views);
    free(e->arena);
    free(e->inputs);
    free(e->outputs);
    free(e->packings);
    free(e->trained);
    free(e);
}

static const mf_port *find(const mf_port *ports, int32_t count, const char *name)
{
    for (int32_t i = 0; i < count; i++)
        if (!strcmp(ports[i].name, name))
            return &ports[i];
    return NULL;
}

mf_status mf_executable_set(mf_executable *e, const char *input, const void *values)
{
    const mf_port *port = find(e->inputs, e->input_count, input);
    if (!port)
        return mf_fail(MF_NOT_FOUND, "the program has no input \"%s\"", input);
    return mf_buffer_write(e->weights->queue, port->buffer, 0, values, port->bytes);
}

mf_status mf_executable_run(mf_executable *e)
{
    mf_queue *queue = e->weights->queue;
    for (int32_t i = 0; i < e->arena_count && e->poison; i++)
        MF_TRY(mf_buffer_fill(queue, e->arena[i], 0, e->arena[i]->bytes, 0xff));
    for (int32_t i = 0; i < e->packing_count; i++)
        MF_TRY(mf_weights_refresh(e->weights, e->packings[i]));
    for (int32_t i = 0; i < e->launch_count; i++)
        MF_TRY(mf_queue_enqueue(queue, &e->launches[i]));
    for (int32_t i = 0; i < e->trained_count; i++)
        e->weights->weights[e->trained[i]].touched = true;
    return mf_queue_flush(queue);
}

mf_status mf_executable_get(mf_executable *e, const char *output, float *values)
{
    const mf_port *port = find(e->outputs, e->output_count, output);
    if (!port)
        return mf_fail(MF_NOT_FOUND, "the program has no output \"%s\"", output);
    return mf_buffer_read(e->weights->queue, port->buffer, 0, values, port->bytes);
}

size_t mf_executable_arena_bytes(const mf_executable *e)
{
    return e->arena_bytes;
}

size_t mf_executable_bytes(const mf_executable *e)
{
    size_t bytes = e->arena_bytes;
    for (int32_t i = 0; i < e->input_count; i++)
        bytes += e->inputs[i].bytes;
    return bytes;
}
