/* train_step.c - our side of bench_train: training steps of the model on noise.
 *
 * train_step CHANNELS CROP MASKS STEPS [none|blocks], as in `train_step 8,16,32,64,96 64 6 5`. The
 * word is `recompute` of mass.train. After two steps to
 * warm up prints the seconds of each, one a line: two encoders, task embedding, decoder, loss,
 * gradients, clipping, LAMB, average, and reading the loss. */
#include "bench.h"
#include "iris.h"
#include "model.h"

#include <massflow/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WARM_UP = 2 };

/* Noise images, and masks of a drawn half of the voxels. */
static void set_inputs(mf_executable *e, int64_t voxels, int64_t k)
{
    mf_random random;
    float *image = malloc((size_t)voxels * sizeof *image);
    uint8_t *masks = malloc((size_t)(voxels * k));
    if (!image || !masks)
        exit(1);
    mf_random_seed(&random, 1, "bench", 0);
    for (int64_t i = 0; i < voxels; i++)
        image[i] = (float)mf_random_normal(&random);
    for (int64_t i = 0; i < voxels * k; i++)
        masks[i] = (uint8_t)(mf_random_below(&random, 2));
    check(mf_executable_set(e, "target", image));
    check(mf_executable_set(e, "reference", image));
    check(mf_executable_set(e, "target_masks", masks));
    check(mf_executable_set(e, "reference_masks", masks));
    free(image);
    free(masks);
}

static void train(mf_weights *w, mf_executable *e, int steps)
{
    for (int i = 0; i < WARM_UP + steps; i++) {
        const mf_optimizer_step step = {.kind = MF_LAMB,
                                        .rate = 0.002,
                                        .beta1 = 0.9,
                                        .beta2 = 0.999,
                                        .eps = 1e-6,
                                        .weight_decay = 1e-5,
                                        .max_norm = 1,
                                        .grad_scale = 1,
                                        .ema_decay = 0.99};
        float loss, norm;
        double start = mf_seconds();
        check(mf_weights_clear_gradients(w));
        check(mf_executable_run(e));
        check(mf_executable_get(e, "loss", &loss));
        check(mf_weights_step(w, &step, &norm));
        check(mf_weights_get(w, 0, (float[27 * 512]){0})); /* waits for the update */
        if (i >= WARM_UP)
            printf("%.6f\n", mf_seconds() - start);
    }
}

int main(int argc, char **argv)
{
    mf_iris iris = {.blocks = {2, 2, 2, 2}, .positions = 128};
    mf_iris_training values;
    mf_device *device;
    mf_weights *w;
    mf_program *p;
    mf_executable *e;
    long long c[MF_IRIS_DEPTHS];
    if (argc < 5 || argc > 6 ||
        sscanf(argv[1], "%lld,%lld,%lld,%lld,%lld", &c[0], &c[1], &c[2], &c[3], &c[4]) != 5) {
        fprintf(stderr, "usage: train_step C,C,C,C,C CROP MASKS STEPS [none|blocks]\n");
        return 2;
    }
    for (int i = 0; i < MF_IRIS_DEPTHS; i++)
        iris.channels[i] = c[i];
    const int64_t side = atoi(argv[2]), crop[3] = {side, side, side}, k = atoi(argv[3]);
    check(mf_iris_check(&iris));
    check(mf_iris_check_crop(crop, iris.positions));
    check(mf_device_open("", &device));
    check(mf_weights_new(device, &w));
    check(mf_model_declare(w, &iris));
    check(mf_model_draw(w, 1));
    check(mf_program_new(&p));
    mf_iris_declare_training(p, &iris, crop, k, &values);
    mf_differentiate(p, values.loss);
    if (argc > 5 && !strcmp(argv[5], "blocks"))
        mf_recompute(p);
    check(mf_program_compile(p, w, &e));
    mf_program_free(p);
    set_inputs(e, side * side * side, k);
    train(w, e, atoi(argv[4]));
    mf_executable_free(e);
    mf_weights_free(w);
    mf_device_unref(device);
    return 0;
}
