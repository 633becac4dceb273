/* task_device.c - a task's queue, kernels and buffers.
 *
 * Arrays of a launch go to the device when a launch first names them and come back when the queue
 * is drained; where the device shares the host's memory neither copies anything. */
#include "compute/devices.h"
#include "run/process/signals.h"
#include "run/task/task_private.h"

#include <stdlib.h>
#include <string.h>

#define MAX_ARGS 32

mf_status mf_task_queue(mf_task *t, mf_queue **queue)
{
    mf_device *device;

    *queue = NULL;
    if (!t->queue) {
        MF_TRY(mf_host_device(t->host, t->device, &device));
        MF_TRY(mf_queue_new(device, &t->queue));
    }
    *queue = t->queue;
    return MF_OK;
}

mf_status mf_task_counting(mf_task *t, mf_device **counting)
{
    mf_device *const *devices;
    size_t count, largest = 0;

    *counting = NULL;
    MF_TRY(mf_host_devices(t->host, &devices, &count));
    for (size_t i = 1; i < count; i++)
        if (mf_device_get_info(devices[i])->memory > mf_device_get_info(devices[largest])->memory)
            largest = i;
    return mf_device_counting(devices[largest], counting);
}

mf_status mf_task_module(mf_task *t, const char *options, const mf_module **module)
{
    mf_device *device;
    mf_status status;

    *module = NULL;
    if (!t->work->stage->kernels)
        return mf_fail(MF_INTERNAL, "%s launches kernels but declares none", t->work->stage->name);
    MF_TRY(mf_host_device(t->host, t->device, &device));
    status = mf_module_build(device, t->work->stage->kernels, options ? options : "", module);
    if (*module != t->built) { /* not at each launch */
        t->built = *module;
        mf_signals_hold();
    }
    return status;
}

/* Hands the buffer over to the task. */
static mf_status keep_buffer(mf_task *t, mf_buffer *buffer)
{
    held_buffer *held = malloc(sizeof *held);

    if (!held) {
        mf_buffer_free(buffer);
        return mf_no_memory(sizeof *held, "a buffer");
    }
    held->buffer = buffer;
    held->next = t->buffers;
    t->buffers = held;
    return MF_OK;
}

mf_status mf_task_buffer(mf_task *t, size_t bytes, mf_buffer **buffer)
{
    mf_device *device;
    mf_buffer *made;

    *buffer = NULL;
    MF_TRY(mf_host_device(t->host, t->device, &device));
    MF_TRY(mf_buffer_new(device, bytes, &made));
    MF_TRY(keep_buffer(t, made));
    *buffer = made;
    return MF_OK;
}

mf_status mf_task_buffer_of(mf_task *t, const mf_array *array, mf_buffer **buffer)
{
    mf_device *device;
    mf_buffer *made;

    *buffer = NULL;
    MF_TRY(mf_host_device(t->host, t->device, &device));
    MF_TRY(mf_buffer_of(device, array, &made));
    MF_TRY(keep_buffer(t, made));
    *buffer = made;
    return MF_OK;
}

static mf_status move_array(mf_task *t, const mf_array *array, bool written, mf_buffer **buffer)
{
    moved_array *m;
    mf_device *device;
    mf_status status;

    for (m = t->moved; m && m->array != array; m = m->next)
        ;
    if (!m) {
        MF_TRY(mf_host_device(t->host, t->device, &device));
        m = calloc(1, sizeof *m);
        if (!m)
            return mf_no_memory(sizeof *m, "a buffer");
        status = mf_buffer_of(device, array, &m->buffer);
        if (status) {
            free(m);
            return status;
        }
        m->array = mf_array_ref(array);
        m->next = t->moved;
        t->moved = m;
    }
    m->written |= written;
    *buffer = m->buffer;
    return MF_OK;
}

mf_status mf_launch_args(mf_task *t, const char *kernel, int64_t count, const mf_launch_arg *args,
                         int arg_count)
{
    mf_range range = {1, {(size_t)count, 1, 1}, {0, 0, 0}};
    mf_arg plain[MAX_ARGS + 1];
    const mf_module *module;
    mf_queue *queue;

    if (arg_count > MAX_ARGS)
        return mf_fail(MF_INTERNAL, "kernel %s has %d arguments; at most %d are passed on", kernel,
                       arg_count, MAX_ARGS);
    if (count < 0 || count > INT32_MAX)
        return mf_fail(MF_INVALID, "kernel %s over %lld work-items; at most %d fit", kernel,
                       (long long)count, INT32_MAX);
    if (count == 0)
        return MF_OK;
    MF_TRY(mf_task_module(t, "", &module));
    MF_TRY(mf_task_queue(t, &queue));
    for (int i = 0; i < arg_count; i++) {
        plain[i] = args[i].arg;
        if (!args[i].array)
            continue;
        MF_TRY(mf_module_check_array(module, kernel, i, args[i].array->dtype));
        MF_TRY(mf_within(move_array(t, args[i].array, args[i].written, &plain[i].buffer),
                         "argument %d of kernel %s", i, kernel));
    }
    memset(&plain[arg_count], 0, sizeof plain[0]);
    plain[arg_count].kind = MF_ARG_INT;
    plain[arg_count].i = count;
    return mf_queue_launch(queue, module, kernel, range, plain, arg_count + 1);
}

mf_status mf_task_drain(mf_task *t)
{
    const mf_device_info *info;

    if (!t->queue)
        return MF_OK;
    MF_TRY(mf_queue_finish(t->queue));
    info = mf_device_get_info(mf_queue_device(t->queue));
    for (moved_array *m = t->moved; m; m = m->next) {
        if (!m->written)
            continue;
        if (!info->shares_host_memory)
            MF_TRY(mf_buffer_read(t->queue, m->buffer, 0, m->array->data, m->array->bytes));
        m->written = false;
    }
    return MF_OK;
}

void mf_task_free_buffers(mf_task *t)
{
    for (moved_array *m = t->moved, *next; m; m = next) {
        next = m->next;
        mf_buffer_free(m->buffer);
        mf_array_unref(m->array);
        free(m);
    }
    for (held_buffer *b = t->buffers, *next; b; b = next) {
        next = b->next;
        mf_buffer_free(b->buffer);
        free(b);
    }
    t->moved = NULL;
    t->buffers = NULL;
}

void mf_task_free_device(mf_task *t)
{
    mf_task_free_buffers(t);
    if (t->queue)
        mf_queue_free(t->queue);
    t->queue = NULL;
}
