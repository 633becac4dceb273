/* buffer.c - device memory: own, shared with a host array, or part of another buffer. */
#include "compute/compute.h"

#include <stdlib.h>

/* Many drivers hand out more than the device has, and fail in a later launch: so it is counted. */
static mf_status take(mf_device *device, size_t bytes)
{
    size_t memory = device->counting ? SIZE_MAX : device->info.memory;
    size_t used = device->used;

    do {
        if (used > memory || bytes > memory - used)
            return mf_fail(MF_NO_MEMORY,
                           "a buffer of %.1f MiB does not fit: %s has %.1f MiB of memory, of which "
                           "%.1f MiB are in use",
                           (double)bytes / 0x1p20, device->info.name, (double)memory / 0x1p20,
                           (double)used / 0x1p20);
    } while (!atomic_compare_exchange_weak(&device->used, &used, used + bytes));
    used += bytes;
    for (size_t most = device->most_used; most < used;)
        if (atomic_compare_exchange_weak(&device->most_used, &most, used))
            break;
    return MF_OK;
}

static mf_status create(mf_device *device, size_t bytes, cl_mem_flags flags, void *host,
                        mf_buffer **buffer)
{
    *buffer = NULL;
    if (bytes > device->info.max_allocation)
        return mf_fail(MF_NO_MEMORY,
                       "a buffer of %zu bytes is more than %s allocates at once (%zu)", bytes,
                       device->info.name, device->info.max_allocation);
    mf_buffer *b = calloc(1, sizeof *b);
    if (!b)
        return mf_no_memory(sizeof *b, "a buffer");
    b->taken = flags & CL_MEM_USE_HOST_PTR ? 0 : bytes;
    mf_status status = take(device, b->taken);
    if (status) {
        free(b);
        return status;
    }
    cl_int code = CL_SUCCESS;
    if (!device->counting)
        b->mem = clCreateBuffer(device->context, flags, bytes ? bytes : 1, host, &code);
    if (!b->mem && !device->counting) {
        device->used -= b->taken;
        free(b);
        if (code == CL_OUT_OF_RESOURCES) /* some drivers' word for the memory that they lack */
            code = CL_MEM_OBJECT_ALLOCATION_FAILURE;
        return mf_within(mf_cl_check(code, "allocating"), "buffer of %zu bytes", bytes);
    }
    b->bytes = bytes;
    b->device = mf_device_ref(device);
    *buffer = b;
    return MF_OK;
}

mf_status mf_buffer_new(mf_device *device, size_t bytes, mf_buffer **buffer)
{
    return create(device, bytes, CL_MEM_READ_WRITE, NULL, buffer);
}

mf_status mf_buffer_of(mf_device *device, const mf_array *array, mf_buffer **buffer)
{
    bool in_place = device->info.shares_host_memory;
    cl_mem_flags flags = in_place ? CL_MEM_USE_HOST_PTR : CL_MEM_COPY_HOST_PTR;
    bool empty = !array->bytes;
    MF_TRY(create(device, array->bytes, CL_MEM_READ_WRITE | (empty ? 0 : flags),
                  empty ? NULL : array->data, buffer));
    (*buffer)->array = mf_array_ref(array);
    return MF_OK;
}

mf_status mf_buffer_view(mf_buffer *parent, size_t offset, size_t bytes, mf_buffer **view)
{
    *view = NULL;
    if (offset % parent->device->alignment)
        return mf_fail(MF_INTERNAL, "offset %zu into a buffer is not a multiple of %zu", offset,
                       parent->device->alignment);
    if (offset > parent->bytes || bytes > parent->bytes - offset || !bytes)
        return mf_fail(MF_INTERNAL, "%zu bytes at %zu are outside a buffer of %zu", bytes, offset,
                       parent->bytes);
    mf_buffer *b = calloc(1, sizeof *b);
    if (!b)
        return mf_no_memory(sizeof *b, "a buffer");
    cl_int code = CL_SUCCESS;
    cl_buffer_region region = {offset, bytes};
    if (parent->mem)
        b->mem = clCreateSubBuffer(parent->mem, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION,
                                   &region, &code);
    if (!b->mem && parent->mem) {
        free(b);
        return mf_cl_check(code, "making a view of a buffer");
    }
    b->bytes = bytes;
    b->parent = parent;
    b->device = mf_device_ref(parent->device);
    *view = b;
    return MF_OK;
}

void mf_buffer_free(mf_buffer *buffer)
{
    if (!buffer)
        return;
    if (buffer->mem)
        clReleaseMemObject(buffer->mem);
    buffer->device->used -= buffer->taken;
    mf_array_unref(buffer->array);
    mf_device_unref(buffer->device);
    free(buffer);
}

size_t mf_buffer_bytes(const mf_buffer *buffer)
{
    return buffer->bytes;
}
