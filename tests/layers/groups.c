/* groups.c - launches a kernel that states the size of its groups, and one that states none, both
 * in groups of 128; prints their errors, or what they computed. */
#include <massflow/compute.h>
#include <massflow/error.h>

#include <stdio.h>
#include <stdlib.h>

static const char *const source[] = {
    "__attribute__((reqd_work_group_size(128, 1, 1))) __kernel void stated(__global int *y)\n"
    "{ y[get_global_id(0)] = get_local_size(0); }\n"
    "__kernel void free(__global int *y) { y[get_global_id(0)] = get_local_size(0); }\n",
    NULL};

static mf_status launch(mf_queue *queue, const mf_module *module, const char *kernel,
                        mf_range range, mf_buffer *y, int *last)
{
    const mf_arg arg = {MF_ARG_BUFFER, .buffer = y};
    MF_TRY(mf_queue_launch(queue, module, kernel, range, &arg, 1));
    return mf_buffer_read(queue, y, 255 * sizeof *last, last, sizeof *last);
}

static void say(const char *kernel, mf_status status, const int *last)
{
    char *text = status ? mf_error_text(status) : NULL;
    if (text)
        printf("%s\n", text);
    else
        printf("%s: %d\n", kernel, *last);
    free(text);
    mf_error_free(status);
}

static mf_status run(mf_device *device)
{
    static const struct {
        const char *kernel;
        mf_range range;
    } launches[] = {
        {"stated", {1, {256}, {128}}}, {"free", {1, {256}, {128}}}, {"free", {1, {256}, {0}}}};
    const mf_module *module;
    mf_buffer *y;
    mf_queue *queue;
    int last = 0;
    MF_TRY(mf_module_build(device, source, NULL, &module));
    MF_TRY(mf_queue_new(device, &queue));
    MF_TRY(mf_buffer_new(device, 256 * sizeof last, &y));
    for (size_t i = 0; i < sizeof launches / sizeof *launches; i++)
        say(launches[i].kernel,
            launch(queue, module, launches[i].kernel, launches[i].range, y, &last), &last);
    mf_buffer_free(y);
    mf_queue_free(queue);
    return MF_OK;
}

int main(void)
{
    mf_device *device;
    mf_status status = mf_device_open("", &device);
    if (!status) {
        status = run(device);
        mf_device_unref(device);
    }
    if (!status)
        return 0;
    say("", status, NULL);
    return 1;
}
