/* step_memory.c - device memory of a training step, counted without computing.
 *
 * step_memory CHANNELS CROP MASKS [none|blocks [BATCH [WIDTH,BLOCKS]]], as in `step_memory
 * 8,16,32,64,96 64 6`; with 64,3,8,36,3 the encoder is an I3D-ResNet152. The word is `recompute` of
 * mass.train. Prints in bytes, one a line: the weights; what gradients add; the inputs; the arena,
 * in which all values lie; and the most that a step takes, with what the optimizer keeps and the
 * averages. */
#include "bench.h"
#include "footprint.h"
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_parts(mf_device *device, const mf_memory_of *of)
{
    mf_device *counting;
    mf_weights *w;
    mf_program *p;
    mf_executable *e;
    mf_iris_training values;
    check(mf_device_counting(device, &counting));
    check(mf_weights_new(counting, &w));
    check(mf_model_declare(w, of->iris));
    const size_t weights = mf_device_most_used(counting);
    check(mf_program_new(&p));
    mf_iris_declare_training(p, of->iris, of->crop, of->masks, &values);
    mf_differentiate(p, values.loss);
    if (of->recompute)
        mf_recompute(p);
    check(mf_program_compile(p, w, &e));
    mf_program_free(p);
    const size_t program = mf_executable_bytes(e), arena = mf_executable_arena_bytes(e);
    printf("weights\t%zu\ngradients\t%zu\ninputs\t%zu\narena\t%zu\n", weights,
           mf_device_most_used(counting) - weights - program, program - arena, arena);
    mf_executable_free(e);
    mf_weights_free(w);
    mf_device_unref(counting);
}

int main(int argc, char **argv)
{
    mf_iris iris = {.blocks = {2, 2, 2, 2}, .positions = 128};
    mf_device *device;
    size_t bytes;
    long long c[MF_IRIS_DEPTHS];
    if (argc < 4 || argc > 7 ||
        sscanf(argv[1], "%lld,%lld,%lld,%lld,%lld", &c[0], &c[1], &c[2], &c[3], &c[4]) != 5) {
        fprintf(stderr,
                "usage: step_memory C,C,C,C,C CROP MASKS [none|blocks [BATCH [WIDTH,B,B,B,B]]]\n");
        return 2;
    }
    for (int i = 0; i < MF_IRIS_DEPTHS; i++)
        iris.channels[i] = c[i];
    if (argc > 6 &&
        sscanf(argv[6], "%lld,%lld,%lld,%lld,%lld", &c[0], &c[1], &c[2], &c[3], &c[4]) == 5) {
        iris.i3d.width = c[0];
        for (int i = 0; i < MF_I3D_STAGES; i++)
            iris.i3d.blocks[i] = c[i + 1];
    }
    const int64_t side = atoi(argv[2]);
    const mf_memory_of of = {.iris = &iris,
                             .crop = {side, side, side},
                             .masks = atoi(argv[3]),
                             .averages = true,
                             .recompute = argc > 4 && !strcmp(argv[4], "blocks"),
                             .batch = argc > 5 ? atoi(argv[5]) : 1};
    check(mf_iris_check(&iris));
    check(mf_iris_check_crop(of.crop, iris.positions));
    check(mf_device_open("", &device));
    print_parts(device, &of);
    check(mf_memory_training(device, &of, &bytes));
    printf("step\t%zu\n", bytes);
    mf_device_unref(device);
    return 0;
}
