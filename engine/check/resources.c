/* resources.c - see resources.h. */
#include "check/resources.h"

#include <massflow/memory.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void ask_kernel(const mf_device *device, cl_kernel kernel, mf_check_result *result)
{
    cl_ulong local = 0, private = 0;
    size_t multiple = 0, group = 0;
    clGetKernelWorkGroupInfo(kernel, device->id, CL_KERNEL_LOCAL_MEM_SIZE, sizeof local, &local,
                             NULL);
    clGetKernelWorkGroupInfo(kernel, device->id, CL_KERNEL_PRIVATE_MEM_SIZE, sizeof private,
                             &private, NULL);
    clGetKernelWorkGroupInfo(kernel, device->id, CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE,
                             sizeof multiple, &multiple, NULL);
    clGetKernelWorkGroupInfo(kernel, device->id, CL_KERNEL_WORK_GROUP_SIZE, sizeof group, &group,
                             NULL);
    if (local > result->local_memory)
        result->local_memory = (size_t)local;
    if (private > result->private_memory)
        result->private_memory = (size_t) private;
    if (multiple > result->multiple)
        result->multiple = multiple;
    if (!result->group || (group && group < result->group))
        result->group = group;
}

void mf_check_note_launch(mf_device *device, const mf_launch *launch, mf_check_result *result,
                          mf_check_labels *labels)
{
    ask_kernel(device, launch->kernel, result);
    if (!labels)
        return;
    char **more = mf_list_more(labels->texts, (size_t)labels->count, sizeof *more);
    if (!more)
        return;
    labels->texts = more;
    labels->texts[labels->count] = strdup(launch->label);
    if (labels->texts[labels->count])
        labels->count++;
}

mf_status mf_check_note_kernel(mf_device *device, const mf_module *module, const char *kernel,
                               mf_check_result *result, mf_check_labels *labels)
{
    mf_launch launch = {.kernel = NULL};
    cl_int code;
    launch.kernel = clCreateKernel(module->program, kernel, &code);
    MF_TRY(mf_within(mf_cl_check(code, "asking for it"), "kernel %s", kernel));
    snprintf(launch.label, sizeof launch.label, "%s", kernel);
    mf_check_note_launch(device, &launch, result, labels);
    clReleaseKernel(launch.kernel);
    return MF_OK;
}

void mf_check_note_executable(const mf_executable *e, mf_check_result *result,
                              mf_check_labels *labels)
{
    for (int32_t i = 0; i < e->launch_count; i++)
        mf_check_note_launch(e->weights->device, &e->launches[i], result, labels);
    for (int32_t i = 0; i < e->packing_count; i++)
        for (int k = 0; k < e->packings[i]->launch_count; k++)
            mf_check_note_launch(e->weights->device, &e->packings[i]->launches[k], result, labels);
}

void mf_check_labels_clear(mf_check_labels *labels)
{
    for (int i = 0; i < labels->count; i++)
        free(labels->texts[i]);
    free(labels->texts);
    *labels = (mf_check_labels){NULL, 0};
}
