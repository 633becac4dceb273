/* signature.c - what arguments the kernels of a module take, and whether those of a launch are
 * such.
 *
 * OpenCL itself compares sizes alone: an int for a float would pass in silence. Types and names are
 * read once, when the module is built; a driver that does not give them (it need not for a program
 * from a binary) leaves the comparison of sizes. A type that is not one of OpenCL C's own, such as
 * a typedef, is compared by size too. */
#include "compute/compute.h"
#include "compute/devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct parameter {
    cl_kernel_arg_address_qualifier space;
    char type[48]; /* "float", "uchar*", "" where it is not known */
    char name[48];
} parameter;

struct mf_signature {
    mf_signature *next;
    char *kernel;
    cl_uint count;
    parameter parameters[];
};

/* ---- reading --------------------------------------------------------------------------------- */

/* Texts that do not fit are not known. */
static void read_text(cl_kernel kernel, cl_uint i, cl_kernel_arg_info what, char *to, size_t size)
{
    char text[1024] = "";
    size_t got = 0;
    if (clGetKernelArgInfo(kernel, i, what, sizeof text, text, &got) || !got || got > size)
        *text = 0;
    memcpy(to, text, strnlen(text, size - 1) + 1);
    to[size - 1] = 0;
}

static void read_parameter(cl_kernel kernel, cl_uint i, parameter *p)
{
    if (clGetKernelArgInfo(kernel, i, CL_KERNEL_ARG_ADDRESS_QUALIFIER, sizeof p->space, &p->space,
                           NULL))
        return; /* all zeros: not known */
    read_text(kernel, i, CL_KERNEL_ARG_TYPE_NAME, p->type, sizeof p->type);
    read_text(kernel, i, CL_KERNEL_ARG_NAME, p->name, sizeof p->name);
}

static mf_signature *read_kernel(cl_program program, const char *name)
{
    cl_int code;
    cl_uint count = 0;
    cl_kernel kernel = clCreateKernel(program, name, &code);
    if (!kernel)
        return NULL;
    mf_signature *s = NULL;
    if (!clGetKernelInfo(kernel, CL_KERNEL_NUM_ARGS, sizeof count, &count, NULL))
        s = calloc(1, sizeof *s + count * sizeof *s->parameters);
    if (s && !(s->kernel = strdup(name))) {
        free(s);
        s = NULL;
    }
    for (cl_uint i = 0; s && i < count; i++)
        read_parameter(kernel, i, &s->parameters[i]);
    if (s)
        s->count = count;
    clReleaseKernel(kernel);
    return s;
}

/* What can't be read is not compared; a launch says what is wrong with a program. */
mf_signature *mf_signatures_read(cl_program program)
{
    mf_signature *list = NULL;
    size_t size = 0;
    char *names, *rest = NULL;
    if (clGetProgramInfo(program, CL_PROGRAM_KERNEL_NAMES, 0, NULL, &size) || !size)
        return NULL;
    names = calloc(1, size + 1);
    if (names && !clGetProgramInfo(program, CL_PROGRAM_KERNEL_NAMES, size, names, NULL))
        for (char *name = strtok_r(names, ";", &rest); name; name = strtok_r(NULL, ";", &rest)) {
            mf_signature *s = read_kernel(program, name);
            if (!s)
                continue;
            s->next = list;
            list = s;
        }
    free(names);
    return list;
}

void mf_signatures_free(mf_signature *list)
{
    while (list) {
        mf_signature *next = list->next;
        free(list->kernel);
        free(list);
        list = next;
    }
}

static const parameter *find(const mf_module *module, const char *kernel, int i)
{
    for (const mf_signature *s = module->signatures; s; s = s->next)
        if (!strcmp(s->kernel, kernel))
            return i >= 0 && (cl_uint)i < s->count ? &s->parameters[i] : NULL;
    return NULL;
}

/* ---- comparing ------------------------------------------------------------------------------- */

static const char *const scalars[] = {"char", "uchar", "short", "ushort", "int",    "uint",
                                      "long", "ulong", "half",  "float",  "double", NULL};

/* The scalar that a type is made of, "float" of "float4*"; NULL where it is a name of its own. */
static const char *scalar_of(const char *type)
{
    for (const char *const *s = scalars; *s; s++) {
        size_t length = strlen(*s);
        if (!strncmp(type, *s, length) && type[length + strspn(type + length, "0123456789* ")] == 0)
            return *s;
    }
    return NULL;
}

static bool is_pointer(const parameter *p)
{
    return p->space != CL_KERNEL_ARG_ADDRESS_PRIVATE;
}

/* "argument 2, 'least', is float; an int is given" */
static mf_status mismatch(const parameter *p, int i, const char *given)
{
    return mf_fail(MF_INVALID, "argument %d, '%s', is %s%s; %s is given", i, p->name,
                   p->space == CL_KERNEL_ARG_ADDRESS_LOCAL ? "local " : "", p->type, given);
}

/* `a`, `b`: the names of the scalars that fit. */
static mf_status check_scalar(const parameter *p, int i, const char *a, const char *b,
                              const char *given)
{
    if (is_pointer(p))
        return mismatch(p, i, given);
    if (scalar_of(p->type) && strcmp(p->type, a) && strcmp(p->type, b))
        return mismatch(p, i, given);
    return MF_OK;
}

mf_status mf_signature_check(const mf_module *module, const char *kernel, int i, const mf_arg *arg)
{
    const parameter *p = find(module, kernel, i);
    if (!p || !*p->type || !p->space)
        return MF_OK;
    switch (arg->kind) {
    case MF_ARG_BUFFER:
        return p->space == CL_KERNEL_ARG_ADDRESS_GLOBAL ||
                       p->space == CL_KERNEL_ARG_ADDRESS_CONSTANT
                   ? MF_OK
                   : mismatch(p, i, "a buffer");
    case MF_ARG_INT:
        return check_scalar(p, i, "int", "uint", "an int");
    case MF_ARG_LONG:
        return check_scalar(p, i, "long", "ulong", "a long");
    case MF_ARG_FLOAT:
        return check_scalar(p, i, "float", "float", "a float");
    case MF_ARG_LOCAL:
        return p->space == CL_KERNEL_ARG_ADDRESS_LOCAL ? MF_OK : mismatch(p, i, "local memory");
    }
    return MF_OK;
}

/* f16 is computed with as half, and packed and unpacked as ushort. */
static bool holds(const char *scalar, mf_dtype dtype)
{
    static const char *const elements[MF_DTYPE_COUNT] = {
        [MF_U8] = "uchar",  [MF_I8] = "char",   [MF_U16] = "ushort", [MF_I16] = "short",
        [MF_U32] = "uint",  [MF_I32] = "int",   [MF_I64] = "long",   [MF_F16] = "half",
        [MF_F32] = "float", [MF_F64] = "double"};
    return !strcmp(scalar, elements[dtype]) || (dtype == MF_F16 && !strcmp(scalar, "ushort"));
}

mf_status mf_module_check_array(const mf_module *module, const char *kernel, int i, mf_dtype dtype)
{
    const parameter *p = find(module, kernel, i);
    char given[48];
    if (!p || !*p->type || !p->space || !is_pointer(p))
        return MF_OK; /* what is no pointer is met by mf_signature_check */
    const char *scalar = scalar_of(p->type);
    if (!scalar || holds(scalar, dtype))
        return MF_OK;
    snprintf(given, sizeof given, "an array of %s", mf_dtype_text(dtype));
    return mf_within(mismatch(p, i, given), "kernel %s", kernel);
}
