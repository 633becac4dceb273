/* queue.c - in-order queues, transfers, launches.
 *
 * With MASSFLOW_PROFILE=1 in the environment every launch is timed by events, and freeing a queue
 * prints what each kernel took to standard error. */
#include "compute/compute.h"

#include <massflow/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct row {
    char name[96];
    long launches;
    double seconds;
} row;

typedef struct timed {
    cl_event event;
    int row;
} timed;

struct mf_queue {
    mf_device *device;
    cl_command_queue queue;
    char last[96]; /* the kernel launched last, for errors that surface later */
    bool profile;
    row *rows;
    int row_count;
    timed *timed;
    int timed_count;
};

mf_status mf_queue_new(mf_device *device, mf_queue **queue)
{
    *queue = NULL;
    mf_queue *q = calloc(1, sizeof *q);
    if (!q)
        return mf_no_memory(sizeof *q, "a queue");
    const char *profile = getenv("MASSFLOW_PROFILE");
    q->profile = profile && !strcmp(profile, "1");
    cl_int code = CL_SUCCESS;
    if (!device->counting)
        q->queue = clCreateCommandQueue(device->context, device->id,
                                        q->profile ? CL_QUEUE_PROFILING_ENABLE : 0, &code);
    if (!q->queue && !device->counting) {
        free(q);
        return mf_cl_check(code, "creating a queue");
    }
    q->device = mf_device_ref(device);
    *queue = q;
    return MF_OK;
}

mf_device *mf_queue_device(const mf_queue *queue)
{
    return queue->device;
}

/* ---- profile --------------------------------------------------------------------------------- */

static void drain(mf_queue *q)
{
    for (int i = 0; i < q->timed_count; i++) {
        cl_ulong from = 0, to = 0;
        clGetEventProfilingInfo(q->timed[i].event, CL_PROFILING_COMMAND_START, sizeof from, &from,
                                NULL);
        clGetEventProfilingInfo(q->timed[i].event, CL_PROFILING_COMMAND_END, sizeof to, &to, NULL);
        q->rows[q->timed[i].row].seconds += (double)(to - from) * 1e-9;
        q->rows[q->timed[i].row].launches++;
        clReleaseEvent(q->timed[i].event);
    }
    q->timed_count = 0;
}

static void note(mf_queue *q, const char *name, cl_event event)
{
    int at = 0;
    while (at < q->row_count && strncmp(q->rows[at].name, name, sizeof q->rows[at].name - 1))
        at++;
    if (at == q->row_count) {
        row *more = mf_list_more(q->rows, (size_t)at, sizeof *more);
        if (!more) {
            clReleaseEvent(event);
            return;
        }
        q->rows = more;
        q->rows[at] = (row){.launches = 0};
        snprintf(q->rows[at].name, sizeof q->rows[at].name, "%s", name);
        q->row_count++;
    }
    timed *grown = mf_list_more(q->timed, (size_t)q->timed_count, sizeof *grown);
    if (!grown) {
        clReleaseEvent(event);
        return;
    }
    q->timed = grown;
    q->timed[q->timed_count++] = (timed){event, at};
}

static int slower(const void *a, const void *b)
{
    double x = ((const row *)a)->seconds, y = ((const row *)b)->seconds;
    return (x < y) - (x > y);
}

static void print_profile(mf_queue *q)
{
    double all = 0;
    for (int i = 0; i < q->row_count; i++)
        all += q->rows[i].seconds;
    qsort(q->rows, (size_t)q->row_count, sizeof *q->rows, slower);
    fprintf(stderr, "%10s %9s %6s  kernel\n", "ms", "launches", "share");
    for (int i = 0; i < q->row_count; i++)
        fprintf(stderr, "%10.2f %9ld %5.1f%%  %s\n", q->rows[i].seconds * 1e3, q->rows[i].launches,
                all > 0 ? 100 * q->rows[i].seconds / all : 0, q->rows[i].name);
    fprintf(stderr, "%10.2f  in all on %s\n", all * 1e3, q->device->info.name);
}

void mf_queue_free(mf_queue *queue)
{
    if (!queue)
        return;
    if (queue->queue)
        clFinish(queue->queue);
    if (queue->profile) {
        drain(queue);
        if (queue->row_count)
            print_profile(queue);
    }
    if (queue->queue)
        clReleaseCommandQueue(queue->queue);
    mf_device_unref(queue->device);
    free(queue->rows);
    free(queue->timed);
    free(queue);
}

/* ---- transfers ------------------------------------------------------------------------------- */

static mf_status check_part(const mf_buffer *buffer, size_t offset, size_t bytes)
{
    if (offset > buffer->bytes || bytes > buffer->bytes - offset)
        return mf_fail(MF_INTERNAL, "%zu bytes at %zu are outside a buffer of %zu", bytes, offset,
                       buffer->bytes);
    return MF_OK;
}

/* Whatever a blocking call reports may come from a kernel before it. */
static mf_status finished(mf_queue *q, cl_int code, const char *doing)
{
    mf_status status = mf_cl_check(code, doing);
    return q->last[0] ? mf_within(status, "after kernel %s", q->last) : status;
}

mf_status mf_buffer_write(mf_queue *queue, mf_buffer *buffer, size_t offset, const void *src,
                          size_t bytes)
{
    MF_TRY(check_part(buffer, offset, bytes));
    if (!bytes || !queue->queue)
        return MF_OK;
    return finished(
        queue,
        clEnqueueWriteBuffer(queue->queue, buffer->mem, CL_TRUE, offset, bytes, src, 0, NULL, NULL),
        "writing to the device");
}

mf_status mf_buffer_read(mf_queue *queue, const mf_buffer *buffer, size_t offset, void *dst,
                         size_t bytes)
{
    MF_TRY(check_part(buffer, offset, bytes));
    if (!queue->queue)
        memset(dst, 0, bytes);
    if (!bytes || !queue->queue)
        return MF_OK;
    return finished(
        queue,
        clEnqueueReadBuffer(queue->queue, buffer->mem, CL_TRUE, offset, bytes, dst, 0, NULL, NULL),
        "reading from the device");
}

mf_status mf_buffer_fill(mf_queue *queue, mf_buffer *buffer, size_t offset, size_t bytes,
                         uint8_t value)
{
    MF_TRY(check_part(buffer, offset, bytes));
    if (!bytes || !queue->queue)
        return MF_OK;
    cl_int code =
        clEnqueueFillBuffer(queue->queue, buffer->mem, &value, 1, offset, bytes, 0, NULL, NULL);
    if (code == CL_SUCCESS)
        code = clFinish(queue->queue);
    return finished(queue, code, "filling a buffer");
}

/* ---- launches -------------------------------------------------------------------------------- */

static mf_status set_arg(mf_launch *launch, cl_uint i, const mf_arg *arg)
{
    cl_int code = CL_INVALID_ARG_VALUE;
    switch (arg->kind) {
    case MF_ARG_BUFFER: {
        mf_buffer *buffer = arg->buffer;
        if (buffer && arg->offset) {
            if (launch->view_count == (int)(sizeof launch->views / sizeof launch->views[0]))
                return mf_fail(MF_INTERNAL, "more buffers with offsets than a launch holds");
            MF_TRY(mf_buffer_view(buffer, arg->offset, buffer->bytes - arg->offset, &buffer));
            launch->views[launch->view_count++] = buffer;
        }
        cl_mem mem = buffer ? buffer->mem : NULL;
        code = clSetKernelArg(launch->kernel, i, sizeof mem, &mem);
        break;
    }
    case MF_ARG_INT: {
        if (arg->i < INT32_MIN || arg->i > INT32_MAX)
            return mf_fail(MF_UNSUPPORTED, "argument %u: %lld does not fit 32 bits", i,
                           (long long)arg->i);
        cl_int value = (cl_int)arg->i;
        code = clSetKernelArg(launch->kernel, i, sizeof value, &value);
        break;
    }
    case MF_ARG_LONG: {
        cl_long value = arg->i;
        code = clSetKernelArg(launch->kernel, i, sizeof value, &value);
        break;
    }
    case MF_ARG_FLOAT:
        code = clSetKernelArg(launch->kernel, i, sizeof arg->f, &arg->f);
        break;
    case MF_ARG_LOCAL:
        code = clSetKernelArg(launch->kernel, i, (size_t)arg->i, NULL);
        break;
    }
    return code ? mf_fail(MF_DEVICE, "argument %u: %s (%d)", i, mf_cl_text(code), (int)code)
                : MF_OK;
}

/* The most work-items that a group of the kernel may have: fewer than on the device where it takes
 * many registers. */
static size_t most_of(const mf_launch *launch, const mf_device *device)
{
    size_t most = 0;
    if (clGetKernelWorkGroupInfo(launch->kernel, device->id, CL_KERNEL_WORK_GROUP_SIZE, sizeof most,
                                 &most, NULL) ||
        !most || most > device->info.max_work_group)
        most = device->info.max_work_group;
    return most;
}

static mf_status hint_at_plain(mf_status status, const mf_device *device)
{
    return device->info.plain
               ? status
               : mf_hint(status, "MASSFLOW_KERNELS=cpu in the environment chooses simpler kernels");
}

/* For groups that the caller chose, where the kernel states none. A size in the kernel itself is
 * the compiler's to keep: Mesa's rusticl 22.3 states less for such kernels than it runs. */
static mf_status check_group(const mf_launch *launch, const mf_device *device)
{
    size_t most = most_of(launch, device),
           wanted = launch->local[0] * launch->local[1] * launch->local[2];
    if (wanted <= most)
        return MF_OK;
    return hint_at_plain(
        mf_fail(MF_UNSUPPORTED,
                "groups of %zu work-items, where %s runs it in groups of at most %zu", wanted,
                device->info.name, most),
        device);
}

static mf_status set_range(mf_launch *launch, const mf_device *device, mf_range range)
{
    if (range.dims < 1 || range.dims > 3)
        return mf_fail(MF_INTERNAL, "a range of %d dimensions", range.dims);
    bool given = range.local[0] || range.local[1] || range.local[2];
    size_t own[3] = {0, 0, 0};
    MF_TRY(mf_cl_check(clGetKernelWorkGroupInfo(launch->kernel, device->id,
                                                CL_KERNEL_COMPILE_WORK_GROUP_SIZE, sizeof own, own,
                                                NULL),
                       "asking for the group size"));
    const size_t most = most_of(launch, device);
    launch->dims = range.dims;
    for (int k = 0; k < 3; k++) {
        size_t local = given ? range.local[k] : own[0] ? own[k] : k ? 1 : most < 64 ? most : 64;
        if (local == 0)
            local = 1;
        size_t global = k < range.dims ? range.global[k] : 1;
        launch->local[k] = local;
        launch->global[k] = (global + local - 1) / local * local;
    }
    return given && !own[0] ? check_group(launch, device) : MF_OK;
}

/* A wrong name is the usual reason: the names that there are. */
static mf_status no_kernel(const mf_module *module, const char *kernel, cl_int code)
{
    size_t size = 0;
    if (code != CL_INVALID_KERNEL_NAME)
        return mf_fail(MF_INTERNAL, "kernel %s: %s (%d)", kernel, mf_cl_text(code), (int)code);
    mf_status status = mf_fail(MF_INVALID, "the OpenCL source has no kernel '%s'", kernel);
    char *names = NULL;
    if (!clGetProgramInfo(module->program, CL_PROGRAM_KERNEL_NAMES, 0, NULL, &size) && size)
        names = calloc(1, size + 1);
    if (names && !clGetProgramInfo(module->program, CL_PROGRAM_KERNEL_NAMES, size, names, NULL)) {
        for (char *c = names; *c; c++)
            *c = *c == ';' ? ' ' : *c;
        status = mf_hint(status, "its kernels: %s", *names ? names : "none");
    }
    free(names);
    return status;
}

mf_status mf_launch_init(mf_launch *launch, const mf_module *module, const char *kernel,
                         mf_range range, const mf_arg *args, int count, const char *label)
{
    *launch = (mf_launch){.kernel = NULL};
    snprintf(launch->label, sizeof launch->label, "%s", label);
    if (module->device->counting)
        return MF_OK;
    cl_int code;
    launch->kernel = clCreateKernel(module->program, kernel, &code);
    if (!launch->kernel)
        return no_kernel(module, kernel, code);
    cl_uint wanted = 0;
    clGetKernelInfo(launch->kernel, CL_KERNEL_NUM_ARGS, sizeof wanted, &wanted, NULL);
    mf_status status = MF_OK;
    if ((int)wanted != count)
        status = mf_fail(MF_INTERNAL, "takes %u arguments, given %d", wanted, count);
    for (int i = 0; i < count && !status; i++) {
        status = mf_signature_check(module, kernel, i, &args[i]);
        if (!status)
            status = set_arg(launch, (cl_uint)i, &args[i]);
    }
    if (!status)
        status = set_range(launch, module->device, range);
    if (status)
        mf_launch_clear(launch);
    return mf_within(status, "kernel %s", kernel);
}

void mf_launch_clear(mf_launch *launch)
{
    if (launch->kernel)
        clReleaseKernel(launch->kernel);
    for (int i = 0; i < launch->view_count; i++)
        mf_buffer_free(launch->views[i]);
    *launch = (mf_launch){.kernel = NULL};
}

mf_status mf_queue_enqueue(mf_queue *queue, const mf_launch *launch)
{
    if (!queue->queue || !launch->global[0] || !launch->global[1] || !launch->global[2])
        return MF_OK;
    cl_event event = NULL;
    cl_int code = clEnqueueNDRangeKernel(queue->queue, launch->kernel, (cl_uint)launch->dims, NULL,
                                         launch->global, launch->local, 0, NULL,
                                         queue->profile ? &event : NULL);
    if (code) {
        mf_status status = mf_within(mf_cl_check(code, "launching"), "kernel %s", launch->label);
        return code == CL_INVALID_WORK_GROUP_SIZE ? hint_at_plain(status, queue->device) : status;
    }
    memcpy(queue->last, launch->label, sizeof queue->last);
    if (event)
        note(queue, launch->label, event);
    return MF_OK;
}

mf_status mf_queue_launch(mf_queue *queue, const mf_module *module, const char *kernel,
                          mf_range range, const mf_arg *args, int count)
{
    mf_launch launch;
    MF_TRY(mf_launch_init(&launch, module, kernel, range, args, count, kernel));
    mf_status status = mf_queue_enqueue(queue, &launch);
    mf_launch_clear(&launch);
    return status;
}

mf_status mf_queue_flush(mf_queue *queue)
{
    return queue->queue ? mf_cl_check(clFlush(queue->queue), "starting launches") : MF_OK;
}

mf_status mf_queue_finish(mf_queue *queue)
{
    cl_int code = queue->queue ? clFinish(queue->queue) : CL_SUCCESS;
    if (queue->profile)
        drain(queue);
    return finished(queue, code, "finishing");
}
