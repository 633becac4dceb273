/* image_ops.c - our side of bench_images: single ops, and parts of SAM 2 tiny, on noise.
 *
 * Reads lines "repeats op size...", as "5 linear 65536 96 288", from standard input; runs the op
 * once to warm up, then `repeats` times, and prints the seconds of one. What it has compiled it
 * keeps: the same op again is only run. */
#include "bench.h"
#include "model/encoder.h"
#include "model/memory.h"
#include "program/ir/program.h"
#include "program/weights/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZES = 8, MOST = 64 };

typedef struct spec {
    char op[32];
    long long d[SIZES];
} spec;

#define INPUT(name, ...)                                                                           \
    mf_input(p, name, MF_F32, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),           \
             (int64_t[]){__VA_ARGS__})
#define WEIGHT(name, ...)                                                                          \
    mf_weight(p, name, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),                  \
              (int64_t[]){__VA_ARGS__})

static const sam2_config tiny = {.image = 1024,
                                 .embed = 96,
                                 .stages = {1, 2, 7, 2},
                                 .heads = 1,
                                 .windows = {8, 4, 14, 7},
                                 .global = {5, 7, 9},
                                 .global_count = 3,
                                 .background = 7,
                                 .dim = 256,
                                 .decoder_heads = 8,
                                 .memories = 7,
                                 .memory_dim = 64,
                                 .memory_layers = 4,
                                 .fuser_layers = 2,
                                 .object_scores = true,
                                 .pointer_time = true,
                                 .no_object_memory = true};
static const sam2_widths widths = {
    .trunk = {384, 768, 1536, 3072}, .memory = 2048, .fuser = 1024, .mask = {4, 16, 64, 256}};

/* Declares a part of the model, with its outputs; false: it is no part. */
static bool build_part(mf_program *p, const spec *s)
{
    const long long *d = s->d;
    if (!strcmp(s->op, "sam2_encoder"))
        sam2_encoder_declare(p, &tiny, &widths);
    else if (!strcmp(s->op, "sam2_attention")) /* objects, maps, pointers' tokens */
        sam2_attention_declare(
            p, &tiny, &widths,
            &(sam2_attention_shape){.batch = d[0], .slots = d[1], .extra = d[2]});
    else if (!strcmp(s->op, "sam2_memory")) /* objects */
        sam2_memory_declare(p, &tiny, &widths, &(sam2_memory_shape){.batch = d[0]});
    else
        return false;
    return true;
}

static mf_value build(mf_program *p, const spec *s)
{
    const long long *d = s->d;
    const char *op = s->op;
    if (!strcmp(op, "linear")) /* rows, in, out */
        return mf_linear(p, INPUT("x", d[0], d[1]), WEIGHT("w", d[2], d[1]), WEIGHT("b", d[2]));
    if (!strcmp(op, "mlp")) /* rows, in, hidden */
        return mf_gelu(
            p, mf_linear(p, INPUT("x", d[0], d[1]), WEIGHT("w", d[2], d[1]), WEIGHT("b", d[2])));
    if (!strcmp(op, "attention")) /* N, L, S, heads, head */
        return mf_attention(p, INPUT("x", d[0], d[1], d[3] * d[4]),
                            INPUT("k", d[0], d[2], d[3] * d[4]),
                            INPUT("v", d[0], d[2], d[3] * d[4]), (int)d[3]);
    if (!strcmp(op, "layer_norm")) /* rows, C */
        return mf_layer_norm(p, INPUT("x", d[0], d[1]), WEIGHT("w", d[1]), WEIGHT("b", d[1]),
                             1e-6f);
    if (!strcmp(op, "gelu"))
        return mf_gelu(p, INPUT("x", d[0], d[1]));
    if (!strcmp(op, "add"))
        return mf_add(p, INPUT("x", d[0], d[1]), INPUT("y", d[0], d[1]));
    if (!strcmp(op, "rotary")) /* tokens, C */
        return mf_rotary(p, INPUT("x", 1, d[0], d[1]), INPUT("t", 4096, d[1] / 2, 2), d[0]);
    if (!strcmp(op, "window_merge")) /* N, H, W, C, size */
        return mf_window_merge(p,
                               INPUT("x",
                                     d[0] * ((d[1] + d[4] - 1) / d[4]) * ((d[2] + d[4] - 1) / d[4]),
                                     d[4] * d[4], d[3]),
                               (int)d[4], d[0], d[1], d[2]);
    const mf_value x = INPUT("x", d[0], d[1], d[2], d[3]); /* N, H, W, I, then: */
    if (!strcmp(op, "conv2d"))                             /* O, k, stride, padding */
        return mf_conv2d(p, x, WEIGHT("w", d[4], d[3], d[5], d[5]), WEIGHT("b", d[4]), (int)d[6],
                         (int)d[7]);
    if (!strcmp(op, "depthwise")) /* k */
        return mf_conv2d_depthwise(p, x, WEIGHT("w", d[3], 1, d[4], d[4]), WEIGHT("b", d[3]));
    if (!strcmp(op, "transpose2")) /* O */
        return mf_conv2d_transpose2(p, x, WEIGHT("w", d[3], d[4], 2, 2), WEIGHT("b", d[4]));
    if (!strcmp(op, "max_pool2d"))
        return mf_max_pool2d(p, x);
    if (!strcmp(op, "bilinear")) /* H, W */
        return mf_resize2d(p, x, d[4], d[5], MF_RESAMPLE_BILINEAR);
    if (!strcmp(op, "window_partition")) /* size */
        return mf_window_partition(p, x, (int)d[4]);
    fprintf(stderr, "image_ops: no op \"%s\"\n", op);
    exit(2);
}

typedef struct ready {
    spec spec;
    mf_weights *weights;
    mf_executable *executable;
} ready;

/* Small enough that activations stay so. */
static void noise(float *x, size_t count)
{
    uint64_t state = count;
    for (size_t i = 0; i < count; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        x[i] = (float)((double)(state >> 40) / (1 << 23) - 1.0) * 0.1f;
    }
}

static void prepare(mf_device *device, ready *r)
{
    mf_program *p;
    check(mf_program_new(&p));
    if (!build_part(p, &r->spec))
        mf_output(p, "y", build(p, &r->spec));
    check(mf_weights_new(device, &r->weights));
    check(mf_program_compile(p, r->weights, &r->executable));
    for (int32_t i = 0; i < p->value_count; i++) {
        const mf_value_record *v = &p->values[i];
        if (v->kind == MF_VALUE_RESULT)
            continue;
        float *x = malloc(v->bytes);
        if (!x)
            exit(1);
        noise(x, (size_t)v->count);
        if (v->kind == MF_VALUE_WEIGHT)
            check(mf_weights_set(r->weights, (size_t)mf_weights_find(r->weights, v->name), x));
        else
            check(mf_executable_set(r->executable, v->name, x));
        free(x);
    }
    mf_program_free(p);
}

static void run(const ready *r)
{
    check(mf_executable_run(r->executable));
    check(mf_queue_finish(r->weights->queue));
}

int main(void)
{
    static ready all[MOST];
    int count = 0, repeats;
    char line[256];
    mf_device *device;
    check(mf_device_open("", &device));
    while (fgets(line, sizeof line, stdin)) {
        spec s = {.op = ""};
        long long *d = s.d;
        sscanf(line, "%d %31s %lld %lld %lld %lld %lld %lld %lld %lld", &repeats, s.op, &d[0],
               &d[1], &d[2], &d[3], &d[4], &d[5], &d[6], &d[7]);
        int at = 0;
        while (at < count && memcmp(&all[at].spec, &s, sizeof s))
            at++;
        if (at == MOST)
            return 2;
        if (at == count) {
            all[count++].spec = s;
            prepare(device, &all[at]);
        }
        run(&all[at]);
        const double start = mf_seconds();
        for (int i = 0; i < repeats; i++)
            run(&all[at]);
        printf("%.9f\n", (mf_seconds() - start) / repeats);
        fflush(stdout);
    }
    for (int i = 0; i < count; i++) {
        mf_executable_free(all[i].executable);
        mf_weights_free(all[i].weights);
    }
    mf_device_unref(device);
    return 0;
}
