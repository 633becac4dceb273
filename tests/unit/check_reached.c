/* check_reached.c - what the usual form of the list of checks reaches: check_reached FORM. Prints a
 * line "launched OP/KERNEL" for each launch of any case, and "built KERNEL" for each kernel of the
 * modules that were built for them. Nothing is run but optimizers. */
#include "check/case.h"
#include "compute/compute.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void end(mf_status status)
{
    if (!status)
        return;
    fprintf(stderr, "check_reached: %s\n", mf_error_text(status));
    exit(1);
}

static void print_built(const mf_device *device)
{
    static char names[1 << 16];
    for (const mf_module *m = device->modules; m; m = m->next) {
        if (clGetProgramInfo(m->program, CL_PROGRAM_KERNEL_NAMES, sizeof names, names, NULL)) {
            fprintf(stderr, "check_reached: a program does not tell its kernels\n");
            exit(1);
        }
        for (char *name = strtok(names, ";"); name; name = strtok(NULL, ";"))
            printf("built %s\n", name);
    }
}

int main(int argc, char **argv)
{
    mf_device *any, *device;
    mf_check_list list;
    mf_check_labels labels = {NULL, 0};
    bool gpu = argc == 2 && !strcmp(argv[1], "gpu");
    if (argc != 2 || (!gpu && strcmp(argv[1], "cpu") != 0)) {
        fprintf(stderr, "usage: check_reached cpu|gpu\n");
        return 2;
    }
    end(mf_device_open(getenv("MASSFLOW_DEVICE"), &any));
    end(mf_check_device(any, gpu ? MF_CHECK_GPU_FORM : MF_CHECK_CPU_FORM, &device));
    end(mf_check_list_make(NULL, &list));
    for (size_t i = 0; i < list.count; i++)
        if (!list.cases[i].thorough)
            end(mf_check_case_labels(&list.cases[i], device, &labels));
    for (int i = 0; i < labels.count; i++)
        printf("launched %s\n", labels.texts[i]);
    print_built(device);
    mf_check_labels_clear(&labels);
    mf_check_list_clear(&list);
    mf_device_unref(device);
    mf_device_unref(any);
    return 0;
}
