/* executable.c - replay: inputs in, launches enqueued, outputs out.
 *
 * What is enqueued can't be taken back, and a queue takes a whole program at once. So that a stop
 * is met inside a program, a run waits whenever about AHEAD seconds of work are enqueued, asks, and
 * goes on. What launches take is measured by these waits: in the first run after each launch, then
 * over stretches of them. It says only where to wait, never what is computed. */
#include "program/compile/executable.h"
#include "compute/stop.h"

#include <massflow/seconds.h>

#include <stdlib.h>
#include <string.h>

#define AHEAD 0.05

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
    free(e->seconds);
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

/* Waits for the launches first..end - 1, which were expected to take `expected` seconds and began
 * `start`: what each takes is corrected, in proportion. */
static mf_status wait_for(mf_executable *e, int32_t first, int32_t end, double expected,
                          double start)
{
    MF_TRY(mf_queue_finish(e->weights->queue));
    double took = mf_seconds() - start;
    for (int32_t i = first; i < end; i++)
        e->seconds[i] = (float)(e->measured ? took * (double)e->seconds[i] / expected
                                            : took / (double)(end - first));
    return mf_stop_ask();
}

static mf_status enqueue_all(mf_executable *e)
{
    double expected = 0, start = mf_seconds();
    int32_t first = 0;
    for (int32_t i = 0; i < e->launch_count; i++) {
        MF_TRY(mf_queue_enqueue(e->weights->queue, &e->launches[i]));
        expected += (double)e->seconds[i];
        if (e->measured && expected < AHEAD)
            continue;
        MF_TRY(wait_for(e, first, i + 1, expected, start));
        first = i + 1;
        expected = 0;
        start = mf_seconds();
    }
    e->measured = true;
    return MF_OK;
}

mf_status mf_executable_run(mf_executable *e)
{
    mf_queue *queue = e->weights->queue;
    MF_TRY(mf_stop_ask());
    if (e->trained_count)
        MF_TRY(mf_batch_take_run(e->weights));
    for (int32_t i = 0; i < e->arena_count && e->poison; i++)
        MF_TRY(mf_buffer_fill(queue, e->arena[i], 0, e->arena[i]->bytes, 0xff));
    for (int32_t i = 0; i < e->packing_count; i++)
        MF_TRY(mf_weights_refresh(e->weights, e->packings[i]));
    MF_TRY(enqueue_all(e));
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
