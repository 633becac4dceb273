/* sweep.c - the list on a device, in the forms of its kernels that are asked for. */
#include "check/case.h"
#include "check/resources.h"
#include "compute/compute.h"
#include "compute/devices.h"

#include <string.h>

const char *mf_check_form_text(mf_check_form form)
{
    return form == MF_CHECK_CPU_FORM ? "cpu" : "gpu";
}

mf_check_form mf_check_form_of(const mf_device *device)
{
    return device->info.plain ? MF_CHECK_CPU_FORM : MF_CHECK_GPU_FORM;
}

mf_status mf_check_device(mf_device *device, mf_check_form form, mf_device **other)
{
    if (mf_check_form_of(device) == form) {
        *other = mf_device_ref(device);
        return MF_OK;
    }
    return mf_device_again(device, form == MF_CHECK_CPU_FORM, other);
}

/* At the first use of a device, on a GPU one op of each family. On a CPU, whose compiler takes a
 * second or more for each family and many for matmul, convolution and attention, only one family:
 * sums over rows, columns and chunks, with local memory in the form for GPUs. */
/* clang-format off */
static const char *const first_of_gpus[] = {
    "mul_rows", "sum", "slice", "instance_norm", "batch_norm", "layer_norm", "max_pool2",
    "max_pool3d", "resize_adjoint", "cross_entropy", "conv3d", "conv3d, strided", "linear", "attention",
    "conv2d", "resize2d, bilinear", "AdamW, clipped, averaged", "running statistics", NULL};
/* clang-format on */
static const char *const first_of_cpus[] = {"sum", "sum of rows", "repeat", "divide_rows", NULL};

static bool is_first(const mf_check_case *c, bool cpu)
{
    for (const char *const *name = cpu ? first_of_cpus : first_of_gpus; *name; name++)
        if (!strcmp(*name, c->op->name))
            return c->quick;
    return false;
}

static bool chosen(const mf_check_case *c, const mf_check_options *o, bool own_form, bool cpu)
{
    if (o->only && !strstr(c->op->name, o->only))
        return false;
    if (o->depth == MF_CHECK_FIRST)
        return is_first(c, cpu);
    if (o->depth == MF_CHECK_THOROUGH)
        return !c->model || own_form;
    return o->depth == MF_CHECK_QUICK || !own_form ? c->quick : !c->thorough;
}

/* One form; *at counts the cases of all forms. */
static mf_status run_form(mf_device *device, bool own, const mf_check_list *list,
                          const mf_check_options *o, const mf_check_observer *observer, size_t *at,
                          size_t *wrong)
{
    mf_check_form form = mf_check_form_of(device);
    for (size_t i = 0; i < list->count; i++) {
        const mf_check_case *c = &list->cases[i];
        mf_check_result result;
        mf_check_labels labels = {NULL, 0};
        char text[sizeof result.text];
        if (!chosen(c, o, own, device->info.is_cpu) || (*at)++ < o->skip)
            continue;
        mf_check_case_text(c, text, sizeof text);
        observer->begins(observer->self, form, c->op->name, text);
        mf_status status = mf_check_case_run(c, device, &result, &labels);
        if (!status) {
            *wrong += result.wrong;
            observer->ends(observer->self, form, c->op->name, &result, &labels);
        }
        mf_check_labels_clear(&labels);
        MF_TRY(status);
    }
    return MF_OK;
}

mf_status mf_check_run(mf_device *device, const mf_check_options *options,
                       const mf_check_observer *observer, size_t *wrong)
{
    mf_check_list list;
    bool none = !options->forms[0] && !options->forms[1];
    size_t at = 0;
    *wrong = 0;
    mf_status status = mf_check_list_make(NULL, &list);
    for (int k = 0; k < 2 && !status; k++) {
        /* the device's own form first */
        mf_check_form own = mf_check_form_of(device), form = k ? !own : own;
        mf_device *other;
        if (none ? form != own : !options->forms[form])
            continue;
        status = mf_check_device(device, form, &other);
        if (status)
            break;
        status = run_form(other, form == own, &list, options, observer, &at, wrong);
        mf_device_unref(other);
    }
    mf_check_list_clear(&list);
    return status;
}
