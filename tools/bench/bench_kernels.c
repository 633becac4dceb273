/* bench_kernels.c - 3D convolutions (three directions) against oneDNN, products of matrices against
 * OpenBLAS, on the shapes of the small model and a few larger ones.
 *
 * bench_kernels [PART OF A NAME...]. Prints rows "name<TAB>ours<TAB>peer<TAB>ratio", ratio = the
 * peer's time over ours: the median of the ratios of RUNS pairs that took turns. Both use every
 * core. oneDNN chooses its formats, and reorders into them are not counted; nor is our packing of
 * weights, once an update. OpenBLAS packs in each call, as we do for what is no weight. */
#include "bench.h"
#include "program/compile/executable.h"
#include "program/ir/program.h"
#include "program/ops/shared.h"
#include "program/record/record.h"
#include "program/record/recorder.h"

#include <cblas.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RUNS = 9 };
static const double LEAST = 0.02; /* seconds a measurement */

static void dnnl(dnnl_status_t status)
{
    if (status == dnnl_success)
        return;
    fprintf(stderr, "bench_kernels: oneDNN status %d\n", (int)status);
    exit(1);
}

/* Threads of the side that ran before may still spin for work: let them fall asleep. */
static void rest(void)
{
    nanosleep(&(struct timespec){0, 40 * 1000 * 1000}, NULL);
}

typedef struct side {
    void (*run)(void *self); /* once, finished when it returns */
    void *self;
} side;

static double measure(side s, int repeats)
{
    rest();
    s.run(s.self);
    const double start = mf_seconds();
    for (int i = 0; i < repeats; i++)
        s.run(s.self);
    return (mf_seconds() - start) / repeats;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, RUNS, sizeof *values, ascending);
    return values[RUNS / 2];
}

static void compare(const char *name, double work, side ours, side peer)
{
    double us[RUNS], them[RUNS], ratios[RUNS];
    const double once = measure(ours, 1);
    const int repeats = once < LEAST ? (int)(LEAST / once) + 1 : 1;
    measure(peer, 1);
    for (int i = 0; i < RUNS; i++) {
        us[i] = measure(ours, repeats);
        them[i] = measure(peer, repeats);
        ratios[i] = them[i] / us[i];
    }
    const double time = median(us), peer_time = median(them);
    printf("%s\t%.3f ms %.0f GF/s\t%.3f ms %.0f GF/s\t%.2f\n", name, time * 1e3, work / time * 1e-9,
           peer_time * 1e3, work / peer_time * 1e-9, median(ratios));
    fflush(stdout);
}

/* ---- ours: a program of one op ----------------------------------------------------------------
 */

typedef struct single {
    mf_program *program;
    mf_weights *weights;
    mf_executable *executable;
} single;

static void run_single(void *self)
{
    const single *s = self;
    check(mf_executable_run(s->executable));
    check(mf_queue_finish(s->weights->queue));
}

static float *noise(size_t count)
{
    float *x = aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64);
    uint64_t state = count;
    for (size_t i = 0; x && i < count; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        x[i] = (float)((double)(state >> 40) / (1 << 23) - 1.0);
    }
    if (!x)
        check(mf_no_memory(0, "%zu floats", count));
    return x;
}

static void fill(single *s, mf_device *device, const char *const *inputs, mf_value *values,
                 mf_value result)
{
    mf_output(s->program, "y", result);
    check(mf_weights_new(device, &s->weights));
    check(mf_program_compile(s->program, s->weights, &s->executable));
    for (int k = 0; k < 2; k++) {
        float *x = noise((size_t)mf_count(s->program, values[k]));
        const int weight = mf_weights_find(s->weights, inputs[k]);
        if (weight >= 0)
            check(mf_weights_set(s->weights, (size_t)weight, x));
        else
            check(mf_executable_set(s->executable, inputs[k], x));
        free(x);
    }
}

static void single_free(single *s)
{
    mf_executable_free(s->executable);
    mf_weights_free(s->weights);
    mf_program_free(s->program);
}

/* ---- convolution ------------------------------------------------------------------------------
 */

typedef enum direction { FORWARD, DATA, WEIGHTS } direction;
static const char *const direction_text[] = {"forward", "backward data", "backward weights"};

typedef struct peer_conv {
    dnnl_stream_t stream;
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t args[3];
} peer_conv;

static void run_peer_conv(void *self)
{
    const peer_conv *c = self;
    dnnl(dnnl_primitive_execute(c->primitive, c->stream, 3, c->args));
    dnnl(dnnl_stream_wait(c->stream));
}

/* Memory in the format that the primitive asked for, with noise in it. */
static dnnl_memory_t peer_memory(dnnl_engine_t engine, dnnl_primitive_desc_t desc,
                                 dnnl_query_t what)
{
    const dnnl_memory_desc_t *md = dnnl_primitive_desc_query_md(desc, what, 0);
    dnnl_memory_t memory;
    void *data;
    dnnl(dnnl_memory_create(&memory, md, engine, DNNL_MEMORY_ALLOCATE));
    dnnl(dnnl_memory_get_data_handle(memory, &data));
    float *x = noise(dnnl_memory_desc_get_size(md) / sizeof(float));
    memcpy(data, x, dnnl_memory_desc_get_size(md));
    free(x);
    return memory;
}

static void bench_conv(mf_device *device, dnnl_engine_t engine, dnnl_stream_t stream, int side_,
                       int in, int out, direction d)
{
    single ours;
    check(mf_program_new(&ours.program));
    const int64_t shape_x[] = {1, side_, side_, side_, in},
                  shape_y[] = {1, side_, side_, side_, out};
    const int64_t shape_w[] = {out, in, 3, 3, 3};
    mf_program *p = ours.program;
    mf_value v[2], y;
    if (d == FORWARD) {
        v[0] = mf_input(p, "x", MF_F32, 5, shape_x);
        v[1] = mf_weight(p, "w", 5, shape_w);
        y = mf_conv3d(p, v[0], v[1], MF_NONE);
    } else if (d == DATA) {
        v[0] = mf_input(p, "dy", MF_F32, 5, shape_y);
        v[1] = mf_weight(p, "w", 5, shape_w);
        y = mf_conv3d_data(p, v[0], v[1]);
    } else {
        v[0] = mf_input(p, "x", MF_F32, 5, shape_x);
        v[1] = mf_input(p, "dy", MF_F32, 5, shape_y);
        y = mf_conv3d_weights(p, v[0], v[1]);
    }
    fill(&ours, device, (const char *const[]){d == DATA ? "dy" : "x", d == WEIGHTS ? "dy" : "w"}, v,
         y);

    const dnnl_dims_t x = {1, in, side_, side_, side_}, z = {1, out, side_, side_, side_};
    const dnnl_dims_t w = {out, in, 3, 3, 3}, strides = {1, 1, 1}, padding = {1, 1, 1};
    dnnl_memory_desc_t mx, mw, my;
    dnnl_convolution_desc_t desc, hint_desc;
    dnnl_primitive_desc_t hint = NULL, pd;
    dnnl(dnnl_memory_desc_init_by_tag(&mx, 5, x, dnnl_f32, dnnl_format_tag_any));
    dnnl(dnnl_memory_desc_init_by_tag(&mw, 5, w, dnnl_f32, dnnl_format_tag_any));
    dnnl(dnnl_memory_desc_init_by_tag(&my, 5, z, dnnl_f32, dnnl_format_tag_any));
    dnnl(dnnl_convolution_forward_desc_init(&hint_desc, dnnl_forward_training,
                                            dnnl_convolution_direct, &mx, &mw, NULL, &my, strides,
                                            padding, padding));
    if (d != FORWARD)
        dnnl(dnnl_primitive_desc_create(&hint, &hint_desc, NULL, engine, NULL));
    if (d == DATA)
        dnnl(dnnl_convolution_backward_data_desc_init(&desc, dnnl_convolution_direct, &mx, &mw, &my,
                                                      strides, padding, padding));
    else if (d == WEIGHTS)
        dnnl(dnnl_convolution_backward_weights_desc_init(&desc, dnnl_convolution_direct, &mx, &mw,
                                                         NULL, &my, strides, padding, padding));
    else
        desc = hint_desc;
    dnnl(dnnl_primitive_desc_create(&pd, &desc, NULL, engine, hint));
    static const struct {
        int arg;
        dnnl_query_t query;
    } needs[][3] = {
        {{DNNL_ARG_SRC, dnnl_query_src_md},
         {DNNL_ARG_WEIGHTS, dnnl_query_weights_md},
         {DNNL_ARG_DST, dnnl_query_dst_md}},
        {{DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md},
         {DNNL_ARG_WEIGHTS, dnnl_query_weights_md},
         {DNNL_ARG_DIFF_SRC, dnnl_query_diff_src_md}},
        {{DNNL_ARG_SRC, dnnl_query_src_md},
         {DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md},
         {DNNL_ARG_DIFF_WEIGHTS, dnnl_query_diff_weights_md}},
    };
    peer_conv peer = {.stream = stream};
    for (int k = 0; k < 3; k++) {
        peer.args[k].arg = needs[d][k].arg;
        peer.args[k].memory = peer_memory(engine, pd, needs[d][k].query);
    }
    dnnl(dnnl_primitive_create(&peer.primitive, pd));

    char name[96];
    snprintf(name, sizeof name, "conv 3x3x3 %d -> %d at %d^3, %s", in, out, side_,
             direction_text[d]);
    compare(name, 2.0 * 27 * in * out * side_ * side_ * side_, (side){run_single, &ours},
            (side){run_peer_conv, &peer});
    for (int k = 0; k < 3; k++)
        dnnl_memory_destroy(peer.args[k].memory);
    dnnl_primitive_destroy(peer.primitive);
    dnnl_primitive_desc_destroy(pd);
    if (hint)
        dnnl_primitive_desc_destroy(hint);
    single_free(&ours);
}

/* ---- products ---------------------------------------------------------------------------------
 */

typedef enum form { LINEAR, NT, NN, TN } form;
static const char *const form_text[] = {"linear", "A B^T", "A B", "A^T B"};

typedef struct peer_product {
    form form;
    int m, n, k;
    float *a, *b, *c;
} peer_product;

static void run_peer_product(void *self)
{
    const peer_product *s = self;
    const bool a_t = s->form == TN, b_t = s->form == LINEAR || s->form == NT;
    cblas_sgemm(CblasRowMajor, a_t ? CblasTrans : CblasNoTrans, b_t ? CblasTrans : CblasNoTrans,
                s->m, s->n, s->k, 1, s->a, a_t ? s->m : s->k, s->b, b_t ? s->k : s->n, 0, s->c,
                s->n);
}

static void bench_product(mf_device *device, form f, int m, int n, int k)
{
    single ours;
    check(mf_program_new(&ours.program));
    mf_program *p = ours.program;
    mf_value v[2], y;
    if (f == LINEAR) {
        v[0] = mf_input(p, "a", MF_F32, 2, (int64_t[]){m, k});
        v[1] = mf_weight(p, "b", 2, (int64_t[]){n, k});
        y = mf_linear(p, v[0], v[1], MF_NONE);
    } else {
        v[0] = mf_input(p, "a", MF_F32, 3, (int64_t[]){1, f == TN ? k : m, f == TN ? m : k});
        v[1] = mf_input(p, "b", MF_F32, 3, (int64_t[]){1, f == NT ? n : k, f == NT ? k : n});
        y = f == TN   ? mf_matmul_tn(p, v[0], v[1])
            : f == NT ? mf_matmul_nt(p, v[0], v[1])
                      : mf_matmul_nn(p, v[0], v[1]);
    }
    fill(&ours, device, (const char *const[]){"a", "b"}, v, y);
    peer_product peer = {f,
                         m,
                         n,
                         k,
                         noise((size_t)m * (size_t)k),
                         noise((size_t)n * (size_t)k),
                         noise((size_t)m * (size_t)n)};
    char name[96];
    snprintf(name, sizeof name, "product %s, %d x %d, sums of %d", form_text[f], m, n, k);
    compare(name, 2.0 * m * n * k, (side){run_single, &ours}, (side){run_peer_product, &peer});
    free(peer.a);
    free(peer.b);
    free(peer.c);
    single_free(&ours);
}

/* ---- shapes -----------------------------------------------------------------------------------
 */

/* side, channels in, channels out: the small model's blocks, heads of its decoder, larger ones. */
static const int convolutions[][3] = {
    {64, 1, 8},   {64, 8, 8},   {64, 24, 8},  {32, 8, 16},    {32, 16, 16},
    {32, 48, 16}, {16, 32, 32}, {16, 96, 32}, {8, 64, 64},    {4, 64, 96},
    {4, 96, 96},  {64, 32, 32}, {32, 64, 64}, {16, 128, 128}, {8, 256, 256},
};

static const struct {
    form form;
    int m, n, k;
} products[] = {
    {LINEAR, 4096, 96, 32},   {LINEAR, 512, 256, 64},  {LINEAR, 512, 64, 256},
    {LINEAR, 143, 64, 64},    {LINEAR, 32768, 32, 32}, {LINEAR, 4096, 768, 192},
    {LINEAR, 4096, 192, 768}, {NN, 4096, 64, 256},     {NN, 512, 512, 512},
    {TN, 32, 32, 32768},      {TN, 64, 256, 512},      {TN, 768, 192, 4096},
    {NT, 13, 262144, 8},      {NN, 13, 32, 262144},    {NT, 1024, 1024, 1024},
};

static bool asked(int argc, char **argv, const char *name)
{
    for (int i = 1; i < argc; i++)
        if (strstr(name, argv[i]))
            return true;
    return argc < 2;
}

int main(int argc, char **argv)
{
    /* libgomp reads its environment when it is loaded. */
    if (!getenv("OMP_WAIT_POLICY")) {
        setenv("OMP_WAIT_POLICY", "passive", 1);
        execv("/proc/self/exe", argv);
    }
    mf_device *device;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    check(mf_device_open("cpu", &device));
    dnnl(dnnl_engine_create(&engine, dnnl_cpu, 0));
    dnnl(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
    for (size_t i = 0; i < sizeof convolutions / sizeof convolutions[0]; i++)
        for (direction d = FORWARD; d <= WEIGHTS; d++) {
            char name[64];
            const int *c = convolutions[i];
            snprintf(name, sizeof name, "conv %d -> %d at %d, %s", c[1], c[2], c[0],
                     direction_text[d]);
            if (asked(argc, argv, name) && !(d == DATA && c[1] == 1))
                bench_conv(device, engine, stream, c[0], c[1], c[2], d);
        }
    for (size_t i = 0; i < sizeof products / sizeof products[0]; i++)
        if (asked(argc, argv, form_text[products[i].form]))
            bench_product(device, products[i].form, products[i].m, products[i].n, products[i].k);
    dnnl_stream_destroy(stream);
    dnnl_engine_destroy(engine);
    mf_device_unref(device);
    return 0;
}
