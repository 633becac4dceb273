/* step_memory.c - device memory of a training step, counted without computing.
 *
 * step_memory CHANNELS CROP MASKS [BATCH], as in `step_memory 8,16,32,64,96 64 6`. Prints in bytes,
 * one a line: weights, with gradients and what the optimizer keeps; the arena; all that a step
 * takes at most. */
#include "bench.h"
#include "footprint.h"
#include "model.h"

#include <stdio.h>
#include <stdlib.h>

static void arena_of(mf_device *device, const mf_memory_of *of)
{
    mf_device *counting;
    mf_weights *w;
    mf_program *p;
    mf_executable *e;
    mf_iris_training values;
    check(mf_device_counting(device, &counting));
    check(mf_weights_new(counting, &w));
    check(mf_model_declare(w, of->iris));
    size_t weights = mf_device_most_used(counting);
    check(mf_program_new(&p));
    mf_iris_declare_training(p, of->iris, of->crop, of->masks, &values);
    if (of->recompute)
        mf_recompute(p);
    mf_differentiate(p, values.loss);
    check(mf_program_compile(p, w, &e));
    mf_program_free(p);
    size_t all = mf_device_most_used(counting);
    printf("weights\t%zu\narena\t%zu\ninputs\t%zu\npacked and gradients\t%zu\n", weights,
           mf_executable_arena_bytes(e), mf_executable_bytes(e) - mf_executable_arena_bytes(e),
           all - weights - mf_executable_bytes(e));
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
    if (argc < 4 || argc > 6 ||
        sscanf(argv[1], "%lld,%lld,%lld,%lld,%lld", &c[0], &c[1], &c[2], &c[3], &c[4]) != 5) {
        fprintf(stderr, "usage: step_memory C,C,C,C,C CROP MASKS [BATCH]\n");
        return 2;
    }
    for (int i = 0; i < MF_IRIS_DEPTHS; i++)
        iris.channels[i] = c[i];
    const int64_t side = atoi(argv[2]);
    const mf_memory_of of = {.iris = &iris,
                             .crop = {side, side, side},
                             .masks = atoi(argv[3]),
                             .averages = true,
                             .batch = argc > 4 ? atoi(argv[4]) : 1,
                             .recompute = argc > 5};
    check(mf_iris_check(&iris));
    check(mf_iris_check_crop(of.crop, iris.positions));
    check(mf_device_open("", &device));
    arena_of(device, &of);
    check(mf_memory_training(device, &of, &bytes));
    printf("step\t%zu\n", bytes);
    mf_device_unref(device);
    return 0;
}
