/* test_compute.c - devices, modules and their kept binaries, buffers, launches, and what goes
 * wrong. */
#include "../expect.h"
#include "../run_suite.h"
#include "compute/compute.h"
#include "compute/devices.h"
#include "compute/programs.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The error's text begins with `text`. */
static void fails_as(mf_status status, mf_code code, const char *text)
{
    ck_assert_ptr_nonnull(status);
    ck_assert_int_eq(mf_error_code(status), code);
    char *got = mf_error_text(status);
    ck_assert_msg(!strncmp(got, text, strlen(text)), "got: %s", got);
    free(got);
    mf_error_free(status);
}

static mf_device *device;
static mf_queue *queue;

static void setup(void)
{
    ok(mf_device_open(getenv("MASSFLOW_DEVICE"), &device));
    ok(mf_queue_new(device, &queue));
}

static void teardown(void)
{
    mf_queue_free(queue);
    mf_device_unref(device);
}

START_TEST(test_list_and_open)
{
    mf_device_info *infos;
    size_t count;
    ok(mf_devices_list(&infos, &count));
    ck_assert_uint_ge(count, 1);
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_gt(infos[i].compute_units, 0);
        ck_assert_uint_gt(infos[i].memory, 0);
        ck_assert_uint_gt(infos[i].max_allocation, 0);
        ck_assert_int_lt(infos[i].same_as, (int)i);
        if (i && infos[i].same_as < 0) /* GPUs stand before CPUs, other drivers of them last */
            ck_assert((!infos[i - 1].is_cpu || infos[i].is_cpu) && infos[i - 1].same_as < 0);
        mf_device *by_number, *by_name;
        char number[24], part[8];
        snprintf(number, sizeof number, "%zu", i);
        ok(mf_device_open(number, &by_number));
        ck_assert_str_eq(mf_device_get_info(by_number)->name, infos[i].name);
        snprintf(part, sizeof part, "%.6s", infos[i].name);
        ok(mf_device_open(part, &by_name));
        mf_device_unref(by_number);
        mf_device_unref(by_name);
    }
    free(infos);
}
END_TEST

/* Platforms as their numbers; of a list that is ranked. */
static mf_found_device made(int platform, const char *platform_name, const char *name, int kind,
                            int64_t pci)
{
    mf_found_device d = {.platform = (cl_platform_id)(intptr_t)platform, .pci = pci};
    snprintf(d.info.platform, sizeof d.info.platform, "%s", platform_name);
    snprintf(d.info.name, sizeof d.info.name, "%s", name);
    d.kind = kind;
    return d;
}

/* The list, once ranked, is this text: names and, where another driver of its processor stands
 * before, that one's number. */
static void ranks(mf_found_device *list, size_t count, const char *expected)
{
    char text[512] = "";
    ok(mf_devices_rank(list, count));
    for (size_t i = 0; i < count; i++) {
        size_t at = strlen(text);
        snprintf(text + at, sizeof text - at, "%s%s/%.4s", i ? ", " : "", list[i].info.name,
                 list[i].info.platform);
        at = strlen(text);
        if (list[i].info.same_as >= 0)
            snprintf(text + at, sizeof text - at, " = %d", list[i].info.same_as);
    }
    ck_assert_str_eq(text, expected);
}
#define RANKS(expected, ...)                                                                       \
    do {                                                                                           \
        mf_found_device list[] = {__VA_ARGS__};                                                    \
        ranks(list, sizeof list / sizeof *list, expected);                                         \
    } while (0)
#define POCL(platform, name) made(platform, "Portable Computing Language", name, MF_FOUND_CPU, -1)

/* Whatever order the loader gives platforms in. */
START_TEST(test_order_of_devices)
{
    const mf_found_device pocl = POCL(1, "cpu"),
                          llvmpipe = made(2, "rusticl", "pipe", MF_FOUND_EMULATION, -1),
                          grind = made(3, "Oclgrind", "grind", MF_FOUND_EMULATION, -1),
                          intel = made(4, "Intel(R) OpenCL", "cpu", MF_FOUND_CPU, -1);
    RANKS("cpu/Port, grind/Oclg = 0, pipe/rust = 0", grind, pocl, llvmpipe);
    RANKS("cpu/Port, pipe/rust = 0", llvmpipe, pocl);
    RANKS("cpu/Port, cpu/Inte = 0, pipe/rust = 0", llvmpipe, intel, pocl);
    RANKS("pipe/rust, grind/Oclg = 0", llvmpipe, grind);
    /* two of one platform are two */
    RANKS("cpu/Port, basic/Port", POCL(1, "cpu"), POCL(1, "basic"));
    const mf_found_device gpu = made(5, "NVIDIA CUDA", "H", MF_FOUND_GPU, 0x100);
    RANKS("H/NVID, cpu/Port, pipe/rust = 1", llvmpipe, pocl, gpu);
}
END_TEST

START_TEST(test_one_card_by_two_drivers)
{
    const mf_found_device rocm = made(1, "AMD Accelerated Parallel Processing", "gfx", MF_FOUND_GPU,
                                      0x300),
                          rusticl = made(2, "rusticl", "RX", MF_FOUND_GPU, 0x300),
                          untold = made(2, "rusticl", "RX", MF_FOUND_GPU, -1),
                          clover = made(3, "Clover", "RX", MF_FOUND_GPU, -1),
                          other = made(2, "rusticl", "RX", MF_FOUND_GPU, 0x400);
    /* the vendor's driver stands for the card, by its place on the bus */
    RANKS("gfx/AMD , cpu/Port, RX/rust = 0", rusticl, POCL(4, "cpu"), rocm);
    RANKS("RX/rust, gfx/AMD ", other, rocm);
    /* by name where the place is not told: the second of one platform is the second of the other */
    RANKS("RX/rust, RX/rust, RX/Clov = 0, RX/Clov = 1", clover, clover, untold, untold);
    /* by name and place only where one of them does not tell it */
    RANKS("gfx/AMD , RX/rust", rocm, untold);
}
END_TEST

START_TEST(test_emulations)
{
    ck_assert(mf_device_is_emulation("llvmpipe (LLVM 15.0.6, 256 bits)"));
    ck_assert(mf_device_is_emulation("Oclgrind Simulator"));
    ck_assert(!mf_device_is_emulation("pthread-skylake-avx512-Intel(R) Xeon(R) Processor"));
    ck_assert(!mf_device_is_emulation("AMD Radeon RX 6800 (radeonsi, navi21, LLVM 15.0.6)"));
    ck_assert(mf_device_runs_groups("llvmpipe (LLVM 15.0.6, 256 bits)"));
    ck_assert(!mf_device_runs_groups("Oclgrind Simulator"));
}
END_TEST

START_TEST(test_no_such_device)
{
    mf_device *none;
    fails_as(mf_device_open("abacus", &none), MF_NOT_FOUND,
             "no OpenCL device matches \"abacus\"\n  there is 0: ");
    ck_assert_ptr_null(none);
    fails_as(mf_device_open("99", &none), MF_NOT_FOUND, "no OpenCL device matches \"99\"\n");
}
END_TEST

START_TEST(test_parts_of_a_device)
{
    mf_device **parts, *again;
    mf_device_info *whole;
    size_t count, all;
    ok(mf_devices_list(&whole, &all));
    char words[24], text[300];
    size_t cpu = 0;
    while (cpu < all && (!whole[cpu].is_cpu || whole[cpu].compute_units < 2))
        cpu++;
    if (cpu == all) {
        printf("skipped: no CPU device that could be cut in two\n");
        free(whole);
        return;
    }
    snprintf(words, sizeof words, "%zu/2", cpu);
    if (!strcmp(whole[cpu].platform, "rusticl")) {
        snprintf(text, sizeof text, "device %s: its driver (rusticl) does not cut it in parts",
                 whole[cpu].name);
        fails(mf_devices_open(words, &parts, &count), text);
        free(whole);
        return;
    }
    ok(mf_devices_open(words, &parts, &count));
    ck_assert_uint_eq(count, 2);
    for (size_t i = 0; i < count; i++) {
        const mf_device_info *info = mf_device_get_info(parts[i]);
        char name[160], part[48];
        snprintf(name, sizeof name, "%s / 2", whole[cpu].name);
        snprintf(part, sizeof part, "%zu/2.%zu", cpu, i);
        ck_assert_str_eq(info->name, name);
        ck_assert_int_eq(info->compute_units, whole[cpu].compute_units / 2);
        ck_assert_str_eq(mf_device_text(parts[i]), part);
        ok(mf_device_open(part, &again));
        ck_assert_str_eq(mf_device_text(again), part);
        mf_device_unref(again);
        mf_device_unref(parts[i]);
    }
    free(parts);
    snprintf(text, sizeof text, "\"%s\" means 2 devices where one is wanted", words);
    fails_as(mf_device_open(words, &again), MF_INVALID, text);
    free(whole);
}
END_TEST

START_TEST(test_no_platform)
{
    /* The loader looks for drivers in this folder alone; the test runs in a process of its own. */
    setenv("OCL_ICD_VENDORS", "/nonexistent/", 1);
    mf_device *none;
    mf_device_info *infos;
    size_t count;
    static const char *const text =
        "no OpenCL device\n  install the package pocl-opencl-icd to compute on the CPU, or the "
        "OpenCL driver of your GPU's vendor; `clinfo -l` lists what is found";
    fails_as(mf_device_open("", &none), MF_NOT_FOUND, text);
    fails_as(mf_devices_list(&infos, &count), MF_NOT_FOUND, text);
}
END_TEST

START_TEST(test_affinity_is_set_and_left)
{
    const char *affinity = getenv("POCL_AFFINITY");
    ck_assert_ptr_nonnull(affinity); /* set by opening, unless the caller had set it */
}
END_TEST

static const char broken_source[] = "__kernel void f(__global int *y) { *y = undeclared_name; }\n";
static const char scale_source[] =
    "__kernel void scale(int n, float f, __global const float *x, __global float *y)\n"
    "{ int i = get_global_id(0); if (i < n) y[i] = f * x[i] + MF_CPU * 0 + MF_VECTOR * 0; }\n"
    "__attribute__((reqd_work_group_size(8, 1, 1)))\n"
    "__kernel void sizes(__global int *y)\n"
    "{ if (get_global_id(0) == 0) { y[0] = get_local_size(0); y[1] = get_global_size(0); } }\n"
    "__attribute__((reqd_work_group_size(4, 1, 1)))\n"
    "__kernel void total(__global const int *x, __local int *t, __global long *y, long more)\n"
    "{ int l = get_local_id(0); t[l] = x[l]; barrier(CLK_LOCAL_MEM_FENCE);\n"
    "  if (l == 0) y[0] = t[0] + t[1] + t[2] + t[3] + more; }\n";

static const mf_module *module_of(const char *text, const char *options)
{
    const mf_module *module;
    ok(mf_module_build(device, (const char *const[]){text, NULL}, options, &module));
    return module;
}

#define BUFFER(b)                                                                                  \
    {                                                                                              \
        MF_ARG_BUFFER, .buffer = (b)                                                               \
    }

START_TEST(test_launch)
{
    const mf_module *module = module_of(scale_source, "");
    mf_buffer *x, *y;
    float values[300], got[300];
    const size_t offset = mf_device_alignment(device);
    for (int i = 0; i < 300; i++)
        values[i] = (float)i;
    ok(mf_buffer_new(device, offset + sizeof values, &x));
    ok(mf_buffer_new(device, sizeof values, &y));
    ok(mf_buffer_write(queue, x, 0, values, sizeof values));
    ok(mf_buffer_fill(queue, y, 0, sizeof values, 0));
    mf_arg args[] = {{MF_ARG_INT, .i = 299}, {MF_ARG_FLOAT, .f = 2}, BUFFER(x), BUFFER(y)};
    ok(mf_queue_launch(queue, module, "scale", (mf_range){1, {299}}, args, 4));
    ok(mf_queue_finish(queue));
    ok(mf_buffer_read(queue, y, 0, got, sizeof got));
    for (int i = 0; i < 300; i++)
        ck_assert_float_eq(got[i], i < 299 ? 2.0f * (float)i : 0.0f);

    /* the same values one step behind the start, through an offset of that many bytes */
    ck_assert_uint_ge(offset, 256);
    ok(mf_buffer_write(queue, x, offset, values, sizeof values));
    mf_arg moved[] = {{MF_ARG_INT, .i = 3},
                      {MF_ARG_FLOAT, .f = 3},
                      {MF_ARG_BUFFER, .buffer = x, .offset = offset},
                      BUFFER(y)};
    ok(mf_queue_launch(queue, module, "scale", (mf_range){1, {3}}, moved, 4));
    ok(mf_buffer_read(queue, y, 0, got, 16));
    for (int i = 0; i < 4; i++) /* the last is what the launch before left */
        ck_assert_float_eq(got[i], i < 3 ? 3.0f * (float)i : 6.0f);
    moved[2].offset = offset + 128;
    char text[128];
    snprintf(text, sizeof text, "kernel scale: offset %zu into a buffer is not a multiple of %zu",
             offset + 128, offset);
    fails_as(mf_queue_launch(queue, module, "scale", (mf_range){1, {3}}, moved, 4), MF_INTERNAL,
             text);
    mf_buffer_free(x);
    mf_buffer_free(y);
}
END_TEST

START_TEST(test_buffers_are_counted)
{
    const size_t before = mf_device_used(device), memory = mf_device_get_info(device)->memory;
    mf_buffer *buffers[3], *view;
    ok(mf_buffer_new(device, 1000, &buffers[0]));
    ok(mf_buffer_view(buffers[0], 0, 500, &view));
    ok(mf_buffer_new(device, 24, &buffers[1]));
    ck_assert_uint_eq(mf_device_used(device), before + 1024);
    ck_assert_uint_ge(mf_device_most_used(device), before + 1024);
    mf_buffer_free(view);
    mf_buffer_free(buffers[1]);
    mf_buffer_free(buffers[0]);
    ck_assert_uint_eq(mf_device_used(device), before);

    /* A counting device takes more than there is, and computes nothing. */
    mf_device *counting;
    mf_queue *q;
    const mf_module *module;
    float values[2] = {1, 2};
    size_t most = mf_device_get_info(device)->max_allocation, taken = 0;
    ok(mf_device_counting(device, &counting));
    ok(mf_queue_new(counting, &q));
    for (int i = 0; i < 3; i++, taken += most)
        ok(mf_buffer_new(counting, most, &buffers[i]));
    ck_assert_uint_eq(mf_device_used(counting), 3 * most);
    ok(mf_module_build(counting, (const char *const[]){broken_source, NULL}, "", &module));
    mf_arg args[] = {BUFFER(buffers[0])};
    ok(mf_queue_launch(q, module, "f", (mf_range){1, {64}}, args, 1));
    ok(mf_buffer_write(q, buffers[0], 0, values, sizeof values));
    ok(mf_queue_finish(q));
    ok(mf_buffer_read(q, buffers[0], 0, values, sizeof values));
    ck_assert(values[0] == 0 && values[1] == 0);
    for (int i = 0; i < 3; i++)
        mf_buffer_free(buffers[i]);
    ck_assert_uint_eq(mf_device_used(counting), 0);
    ck_assert_uint_eq(mf_device_most_used(counting), taken);
    mf_queue_free(q);
    mf_device_unref(counting);

    /* What together does not fit is refused, whatever the driver would do. */
    char text[400];
    buffers[0] = NULL;
    device->used += memory - 10; /* as if it were taken */
    snprintf(
        text, sizeof text,
        "a buffer of 1.0 MiB does not fit: %s has %.1f MiB of memory, of which %.1f MiB are in "
        "use",
        mf_device_get_info(device)->name, (double)memory / 0x1p20, (double)device->used / 0x1p20);
    fails_as(mf_buffer_new(device, 1 << 20, &buffers[0]), MF_NO_MEMORY, text);
    ck_assert_ptr_null(buffers[0]);
    device->used -= memory - 10;
}
END_TEST

START_TEST(test_groups_and_local_memory)
{
    const mf_module *module = module_of(scale_source, "");
    mf_buffer *x, *y;
    int32_t in[4] = {1, 20, 300, 4000}, sizes[2];
    int64_t total;
    ok(mf_buffer_new(device, sizeof in, &x));
    ok(mf_buffer_new(device, 64, &y));
    ok(mf_buffer_write(queue, x, 0, in, sizeof in));
    mf_arg one[] = {BUFFER(y)};
    ok(mf_queue_launch(queue, module, "sizes", (mf_range){1, {11}}, one, 1));
    ok(mf_buffer_read(queue, y, 0, sizes, sizeof sizes));
    ck_assert_int_eq(sizes[0], 8); /* the kernel's own */
    ck_assert_int_eq(sizes[1], 16);
    mf_arg sum[] = {BUFFER(x), {MF_ARG_LOCAL, .i = 16}, BUFFER(y), {MF_ARG_LONG, .i = 1ll << 40}};
    ok(mf_queue_launch(queue, module, "total", (mf_range){1, {4}}, sum, 4));
    ok(mf_buffer_read(queue, y, 0, &total, sizeof total));
    ck_assert_int_eq(total, (1ll << 40) + 4321);
    mf_buffer_free(x);
    mf_buffer_free(y);
}
END_TEST

START_TEST(test_launch_errors)
{
    const mf_module *module = module_of(scale_source, "");
    mf_buffer *y;
    ok(mf_buffer_new(device, 64, &y));
    mf_arg args[] = {BUFFER(y), BUFFER(y)};
    mf_range range = {1, {1}};
    fails_as(mf_queue_launch(queue, module, "absent", range, args, 1), MF_INVALID,
             "the OpenCL source has no kernel 'absent'\n  its kernels: ");
    fails_as(mf_queue_launch(queue, module, "sizes", range, args, 2), MF_INTERNAL,
             "kernel sizes: takes 1 arguments, given 2");
    mf_arg large[] = {{MF_ARG_INT, .i = 1ll << 31}, {MF_ARG_FLOAT}, BUFFER(y), BUFFER(y)};
    fails_as(mf_queue_launch(queue, module, "scale", range, large, 4), MF_UNSUPPORTED,
             "kernel scale: argument 0: 2147483648 does not fit 32 bits");
    mf_buffer *far;
    fails_as(mf_buffer_view(y, 100, 4, &far), MF_INTERNAL,
             "offset 100 into a buffer is not a multiple of ");
    fails_as(mf_buffer_read(queue, y, 60, args, 8), MF_INTERNAL,
             "8 bytes at 60 are outside a buffer of 64");
    mf_buffer_free(y);
}
END_TEST

/* Sizes alone would let an int pass for a float. */
START_TEST(test_arguments_are_of_the_declared_types)
{
    static const char source[] =
        "typedef float real;\n"
        "__kernel void many(int n, uint u, long l, float f, real r, __global const float *x,\n"
        "                  __constant float4 *c, __local float *t)\n"
        "{ if (n == 12345) t[0] = u + l + f + r + x[0] + c[0].x; }\n";
    const mf_module *module = module_of(source, "");
    const mf_range range = {1, {1}};
    mf_buffer *y;
    ok(mf_buffer_new(device, 64, &y));
    const mf_arg integer = {MF_ARG_INT}, large = {MF_ARG_LONG}, real = {MF_ARG_FLOAT},
                 buffer = BUFFER(y), local = {MF_ARG_LOCAL, .i = 16};
    const mf_arg right[8] = {integer, integer, large, real, real, buffer, buffer, local};
    ok(mf_queue_launch(queue, module, "many", range, right, 8));
    const struct {
        int i;
        mf_arg given;
        const char *error;
    } wrong[] = {
        {0, real, "kernel many: argument 0, 'n', is int; a float is given"},
        {1, real, "kernel many: argument 1, 'u', is uint; a float is given"},
        {0, large, "kernel many: argument 0, 'n', is int; a long is given"},
        {2, integer, "kernel many: argument 2, 'l', is long; an int is given"},
        {3, integer, "kernel many: argument 3, 'f', is float; an int is given"},
        {3, buffer, "kernel many: argument 3, 'f', is float; a buffer is given"},
        {5, real, "kernel many: argument 5, 'x', is float*; a float is given"},
        {5, local, "kernel many: argument 5, 'x', is float*; local memory is given"},
        {7, buffer, "kernel many: argument 7, 't', is local float*; a buffer is given"},
    };
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        mf_arg args[8];
        memcpy(args, right, sizeof args);
        args[wrong[k].i] = wrong[k].given;
        fails(mf_queue_launch(queue, module, "many", range, args, 8), wrong[k].error);
    }
    ok(mf_module_check_array(module, "many", 5, MF_F32));
    ok(mf_module_check_array(module, "many", 6, MF_F32));
    fails(mf_module_check_array(module, "many", 5, MF_U8),
          "kernel many: argument 5, 'x', is float*; an array of u8 is given");
    fails(mf_module_check_array(module, "many", 6, MF_F64),
          "kernel many: argument 6, 'c', is float4*; an array of f64 is given");
    mf_buffer_free(y);
}
END_TEST

START_TEST(test_build_error_shows_the_log)
{
    const mf_module *module;
    mf_status status =
        mf_module_build(device, (const char *const[]){broken_source, NULL}, "-DA=1", &module);
    ck_assert_ptr_null(module);
    char *text = mf_error_text(status);
    ck_assert_ptr_nonnull(strstr(text, "OpenCL source does not build on "));
    ck_assert_ptr_nonnull(strstr(text, "-DA=1\": CL_BUILD_PROGRAM_FAILURE"));
    ck_assert_ptr_nonnull(strstr(text, "undeclared_name"));
    free(text);
    mf_error_free(status);
}
END_TEST

START_TEST(test_modules_are_built_once)
{
    const mf_module *a = module_of(scale_source, "-DA=1"), *b = module_of(scale_source, "-DA=1");
    ck_assert_ptr_eq(a, b);
    ck_assert_ptr_ne(a, module_of(scale_source, "-DA=2"));
    const mf_module *joined;
    ok(mf_module_build(device, (const char *const[]){"#define B 1\n", scale_source, NULL}, "-DA=1",
                       &joined));
    ck_assert_ptr_ne(a, joined);
}
END_TEST

/* ---- kept binaries ----------------------------------------------------------------------------
 */

typedef struct shelf {
    char key[40];
    uint8_t *bytes;
    size_t size;
    int gets, hits, puts;
} shelf;

static uint8_t *shelf_get(void *self, const char *key, size_t *size)
{
    shelf *s = self;
    s->gets++;
    if (!s->bytes || strcmp(s->key, key))
        return NULL;
    s->hits++;
    uint8_t *copy = malloc(s->size);
    memcpy(copy, s->bytes, s->size);
    *size = s->size;
    return copy;
}

static void shelf_put(void *self, const char *key, const uint8_t *bytes, size_t size)
{
    shelf *s = self;
    s->puts++;
    snprintf(s->key, sizeof s->key, "%s", key);
    free(s->bytes);
    s->bytes = malloc(size);
    memcpy(s->bytes, bytes, size);
    s->size = size;
}

START_TEST(test_binaries_are_kept)
{
    shelf s = {.bytes = NULL};
    /* As other drivers: PoCL keeps kernels itself unless it is told not to. */
    ck_assert_int_eq(setenv("POCL_KERNEL_CACHE", "0", 1), 0);
    mf_binary_store store = {&s, shelf_get, shelf_put};
    /* rusticl 22.3 ends the process at a damaged binary; what is kept on disk has a checksum. */
    const int rounds = strcmp(mf_device_get_info(device)->platform, "rusticl") ? 3 : 2;
    for (int round = 0; round < rounds; round++) {
        mf_device *again;
        const mf_module *module;
        ok(mf_device_open(getenv("MASSFLOW_DEVICE"), &again));
        mf_device_keep_binaries(again, &store);
        if (round == 2) /* damaged: built from source and put again */
            memset(s.bytes, 'x', s.size);
        ok(mf_module_build(again, (const char *const[]){scale_source, NULL}, "-DKEPT", &module));
        mf_queue *q;
        mf_buffer *y;
        int32_t sizes[2] = {0, 0};
        ok(mf_queue_new(again, &q));
        ok(mf_buffer_new(again, 64, &y));
        mf_arg one[] = {BUFFER(y)};
        ok(mf_queue_launch(q, module, "sizes", (mf_range){1, {1}}, one, 1));
        ok(mf_buffer_read(q, y, 0, sizes, sizeof sizes));
        ck_assert_int_eq(sizes[0], 8);
        mf_buffer_free(y);
        mf_queue_free(q);
        mf_device_unref(again);
        ck_assert_int_eq(s.gets, round + 1);
        ck_assert_int_eq(s.hits, round);
        ck_assert_int_eq(s.puts, round == 2 ? 2 : 1);
        ck_assert_uint_eq(strlen(s.key), 32);
    }
    free(s.bytes);
}
END_TEST

START_TEST(test_binaries_are_left_to_pocl)
{
    shelf s = {.bytes = NULL};
    mf_binary_store store = {&s, shelf_get, shelf_put};
    const mf_module *module;
    mf_device *again;
    if (!strcasestr(mf_device_get_info(device)->platform, "Portable Computing Language"))
        return;
    ok(mf_device_open(getenv("MASSFLOW_DEVICE"), &again));
    mf_device_keep_binaries(again, &store);
    ok(mf_module_build(again, (const char *const[]){scale_source, NULL}, "-DKEPT", &module));
    mf_device_unref(again);
    ck_assert_int_eq(s.gets, 0);
    ck_assert_int_eq(s.puts, 0);
}
END_TEST

/* ---- the user's own folder of them ----------------------------------------------------------- */

static char own[64];

static void own_folder(void)
{
    strcpy(own, "/tmp/massflow-programs-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(own));
    ck_assert_int_eq(chmod(own, 0755), 0); /* as a folder that others made */
}

static void remove_own(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", own);
    ck_assert_int_eq(system(command), 0);
}

static const char *in_own(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", own, name);
    return path;
}

START_TEST(test_programs_lie_in_a_folder_of_ones_own)
{
    mf_status why;
    ck_assert_ptr_null(mf_programs_open(own, &why));
    char *text = mf_error_text(why), expected[256];
    snprintf(expected, sizeof expected,
             "'%s' is not the user's alone\n  "
             "built programs are kept only in a folder of one's own: chmod 700",
             own);
    ck_assert_str_eq(text, expected);
    free(text);
    mf_error_free(why);
    ck_assert_int_eq(symlink(own, in_own("link")), 0);
    ck_assert_ptr_null(mf_programs_open(in_own("link"), NULL));
    mf_programs *p = mf_programs_open(in_own("deep/er"), &why);
    ok(why);
    struct stat s;
    ck_assert_int_eq(stat(in_own("deep/er"), &s), 0);
    ck_assert_int_eq(s.st_mode & 0777, 0700);
    ck_assert_str_eq(mf_programs_folder(p), in_own("deep/er"));
    mf_programs_free(p);
    ck_assert_int_eq(setenv("XDG_CACHE_HOME", own, 1), 0);
    p = mf_programs_open(NULL, &why);
    ok(why);
    ck_assert_str_eq(mf_programs_folder(p), in_own("massflow/programs"));
    mf_programs_free(p);
    ck_assert_int_eq(setenv("XDG_CACHE_HOME", "not/absolute", 1), 0);
    ck_assert_int_eq(unsetenv("HOME"), 0);
    ck_assert_ptr_null(mf_programs_open(NULL, &why));
    ck_assert_str_eq(mf_error_message(why), "neither XDG_CACHE_HOME nor HOME names a folder");
    mf_error_free(why);
}
END_TEST

static void put_in_own(const char *name, const char *bytes, size_t size, mode_t mode)
{
    FILE *file = fopen(in_own(name), "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    fclose(file);
    ck_assert_int_eq(chmod(in_own(name), mode), 0);
}

START_TEST(test_programs_of_others_and_damaged_ones_are_passed_over)
{
    static const char key[] = "00000000000000000000000000abcdef";
    ck_assert_int_eq(chmod(own, 0700), 0);
    mf_programs *p = mf_programs_open(own, NULL);
    ck_assert_ptr_nonnull(p);
    mf_binary_store store = mf_programs_store(p);
    size_t size;
    ck_assert_ptr_null(store.get(store.self, key, &size));
    store.put(store.self, key, (const uint8_t *)"machine code", 12);
    uint8_t *bytes = store.get(store.self, key, &size);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(size, 12);
    ck_assert_int_eq(memcmp(bytes, "machine code", 12), 0);
    free(bytes);
    struct stat s;
    ck_assert_int_eq(stat(in_own(key), &s), 0);
    ck_assert_int_eq(s.st_mode & 0777, 0600);
    char whole[64];
    FILE *file = fopen(in_own(key), "rb");
    size_t all = fread(whole, 1, sizeof whole, file);
    fclose(file);
    ck_assert_uint_eq(all, 19 + 17 + 12);
    put_in_own("aa", whole, all, 0600); /* the control: taken under any key */
    bytes = store.get(store.self, "aa", &size);
    ck_assert_ptr_nonnull(bytes);
    free(bytes);
    put_in_own("ab", whole, all, 0620); /* another may have written it */
    ck_assert_ptr_null(store.get(store.self, "ab", &size));
    put_in_own("ac", whole, all - 1, 0600);
    ck_assert_ptr_null(store.get(store.self, "ac", &size));
    whole[all - 1] ^= 1;
    put_in_own("ad", whole, all, 0600);
    ck_assert_ptr_null(store.get(store.self, "ad", &size));
    ck_assert_int_eq(symlink("aa", in_own("ae")), 0);
    ck_assert_ptr_null(store.get(store.self, "ae", &size));
    ck_assert_int_eq(mkfifo(in_own("af"), 0600), 0);
    ck_assert_ptr_null(store.get(store.self, "af", &size)); /* and does not wait */
    store.put(store.self, "../out", (const uint8_t *)"x", 1);
    ck_assert_ptr_null(store.get(store.self, "../out", &size));
    mf_programs_free(p);
}
END_TEST

START_TEST(test_programs_unused_for_long_are_removed)
{
    ck_assert_int_eq(chmod(own, 0700), 0);
    const struct timespec old[2] = {{time(NULL) - 91 * 24 * 3600, 0},
                                    {time(NULL) - 91 * 24 * 3600, 0}};
    put_in_own("aa", "x", 1, 0600);
    put_in_own("bb", "x", 1, 0600);
    put_in_own(".cc.0", "x", 1, 0600); /* a writer that died */
    put_in_own("mine.txt", "x", 1, 0600);
    ck_assert_int_eq(utimensat(AT_FDCWD, in_own("aa"), old, 0), 0);
    ck_assert_int_eq(utimensat(AT_FDCWD, in_own(".cc.0"), old, 0), 0);
    ck_assert_int_eq(utimensat(AT_FDCWD, in_own("mine.txt"), old, 0), 0);
    mf_programs *p = mf_programs_open(own, NULL);
    mf_binary_store store = mf_programs_store(p);
    store.put(store.self, "dd", (const uint8_t *)"x", 1);
    ck_assert_int_ne(access(in_own("aa"), F_OK), 0);
    ck_assert_int_ne(access(in_own(".cc.0"), F_OK), 0);
    ck_assert_int_eq(access(in_own("bb"), F_OK), 0);
    ck_assert_int_eq(access(in_own("mine.txt"), F_OK), 0);
    ck_assert_int_eq(access(in_own("dd"), F_OK), 0);
    mf_programs_free(p);
}
END_TEST

START_TEST(test_digest)
{
    /* FNV-1a 128 of the single byte 0, from the definition: offset basis times prime. */
    char hex[33], other[33];
    mf_digest((const char *const[]){"", NULL}, hex);
    ck_assert_str_eq(hex, "d228cb69101a8caf78912b704e4a147f");
    mf_digest((const char *const[]){"a", "b", NULL}, hex);
    mf_digest((const char *const[]){"ab", NULL}, other);
    ck_assert_str_ne(hex, other);
}
END_TEST

START_TEST(test_buffer_of_an_array)
{
    mf_array *array;
    mf_buffer *buffer;
    float got[4];
    ok(mf_array_new(MF_F32, 1, (int64_t[]){4}, &array));
    ((float *)array->data)[2] = 7;
    ok(mf_buffer_of(device, array, &buffer));
    ck_assert_uint_eq(mf_buffer_bytes(buffer), 16);
    ok(mf_buffer_read(queue, buffer, 0, got, sizeof got));
    ck_assert_float_eq(got[2], 7);
    if (mf_device_get_info(device)->shares_host_memory) { /* no copy: the device sees changes */
        ((float *)array->data)[3] = 9;
        ok(mf_buffer_read(queue, buffer, 0, got, sizeof got));
        ck_assert_float_eq(got[3], 9);
    }
    mf_array_unref(array);
    ok(mf_buffer_read(queue, buffer, 0, got, sizeof got)); /* the buffer keeps a reference */
    ck_assert_float_eq(got[2], 7);
    mf_buffer_free(buffer);
}
END_TEST

START_TEST(test_too_large_a_buffer)
{
    mf_buffer *buffer;
    fails_as(mf_buffer_new(device, SIZE_MAX / 2, &buffer), MF_NO_MEMORY,
             "a buffer of 9223372036854775807 bytes is more than ");
    ck_assert_ptr_null(buffer);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("compute");
    TCase *alone = tcase_create("without a device");
    tcase_add_test(alone, test_no_platform);
    tcase_add_test(alone, test_digest);
    tcase_add_test(alone, test_list_and_open);
    tcase_add_test(alone, test_order_of_devices);
    tcase_add_test(alone, test_one_card_by_two_drivers);
    tcase_add_test(alone, test_emulations);
    tcase_add_test(alone, test_no_such_device);
    tcase_add_test(alone, test_parts_of_a_device);
    TCase *programs = tcase_create("programs");
    tcase_add_checked_fixture(programs, own_folder, remove_own);
    tcase_add_test(programs, test_programs_lie_in_a_folder_of_ones_own);
    tcase_add_test(programs, test_programs_of_others_and_damaged_ones_are_passed_over);
    tcase_add_test(programs, test_programs_unused_for_long_are_removed);
    TCase *t = tcase_create("device");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_affinity_is_set_and_left);
    tcase_add_test(t, test_launch);
    tcase_add_test(t, test_buffers_are_counted);
    tcase_add_test(t, test_groups_and_local_memory);
    tcase_add_test(t, test_launch_errors);
    tcase_add_test(t, test_arguments_are_of_the_declared_types);
    tcase_add_test(t, test_build_error_shows_the_log);
    tcase_add_test(t, test_modules_are_built_once);
    tcase_add_test(t, test_binaries_are_kept);
    tcase_add_test(t, test_binaries_are_left_to_pocl);
    tcase_add_test(t, test_buffer_of_an_array);
    tcase_add_test(t, test_too_large_a_buffer);
    suite_add_tcase(suite, alone);
    suite_add_tcase(suite, programs);
    suite_add_tcase(suite, t);
    return run_suite_as(suite, CK_FORK); /* test_no_platform changes the environment */
}
