/* parity_i3d.c - the I3D encoder by itself, on an image and the gradient of its deepest map. */
#include "parity_tensors.h"

#include "iris.h"
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A map [1,d,h,w,C] as PyTorch has it. */
static mf_status put_map(mf_executable *e, const mf_iris *iris, int map, const int64_t crop[3],
                         mf_tensors *out)
{
    mf_parity_wanted w = {"", 5, {1, mf_i3d_channels(&iris->i3d, map)}, true};
    snprintf(w.name, sizeof w.name, "map%d", map);
    mf_i3d_size(map, crop, w.shape + 2);
    return mf_parity_output(e, &w, out);
}

/* gradient [C,d,h,w] -> channels last, and into the program */
static mf_status set_gradient(mf_executable *e, const mf_array *gradient)
{
    const int64_t c = gradient->shape[0], sites = mf_array_count(gradient) / c;
    float *to = malloc(gradient->bytes);
    if (!to)
        return mf_no_memory(gradient->bytes, "a gradient");
    mf_parity_channels_first(gradient->data, 1, sites, c, to);
    mf_status status = mf_executable_set(e, "gradient", to);
    free(to);
    return status;
}

static mf_value declare(mf_program *p, const mf_iris *iris, const int64_t crop[3])
{
    const int64_t shape[5] = {1, crop[0], crop[1], crop[2], 1};
    mf_value maps[MF_I3D_MAPS];
    mf_scope(p, "encoder");
    mf_i3d_encoder(p, &iris->i3d, mf_input(p, "image", MF_F32, 5, shape), iris->share, maps);
    mf_scope_end(p);
    for (int i = 0; i < MF_I3D_MAPS; i++) {
        char name[16];
        snprintf(name, sizeof name, "map%d", i);
        mf_output(p, name, maps[i]);
    }
    const mf_value deepest = maps[MF_I3D_MAPS - 1];
    const int64_t count = mf_count(p, deepest);
    mf_value g = mf_input(p, "gradient", MF_F32, 1, &count);
    mf_value loss = mf_sum(p, mf_mul(p, mf_reshape(p, deepest, 1, &count), g), 0);
    mf_output(p, "loss", loss);
    return loss;
}

static mf_status run(mf_program *p, mf_weights *w, const mf_parity *o, const mf_iris *iris,
                     const mf_tensors *weights, const mf_array *image, const mf_array *gradient,
                     const int64_t crop[3], mf_tensors *out)
{
    mf_executable *e;
    mf_differentiate(p, declare(p, iris, crop));
    MF_TRY(mf_weights_declare(w, p));
    MF_TRY(mf_model_load(w, weights));
    MF_TRY(mf_program_compile(p, w, &e));
    mf_status status = mf_weights_clear_gradients(w);
    if (!status)
        status = mf_executable_set(e, "image", image->data);
    if (!status)
        status = set_gradient(e, gradient);
    if (!status)
        status = mf_executable_run(e);
    for (int i = 0; i < MF_I3D_MAPS && !status; i++)
        status = put_map(e, iris, i, crop, out);
    if (!status)
        status = mf_parity_output(e, &(mf_parity_wanted){"loss", 0, {0}, false}, out);
    mf_executable_free(e);
    return status ? status : mf_parity_lamb(w, o, out);
}

mf_status mf_parity_i3d(mf_device *device, const mf_parity *o, const mf_tensors *weights,
                        const mf_tensors *in, mf_tensors *out)
{
    const int64_t *crop, *shape;
    int64_t size[3];
    mf_array *image, *gradient = NULL;
    mf_weights *w = NULL;
    mf_program *p = NULL;
    mf_iris iris;
    MF_TRY(mf_iris_encoder_from_shapes(mf_tensors_shape, weights, &iris));
    if (!iris.i3d.width)
        return mf_fail(MF_INVALID, "the weights have no tensor encoder.conv1.weight");
    iris.share = o->frozen ? 0 : 1;
    MF_TRY(mf_parity_input(in, "image", MF_F32, 3, &image, &crop));
    mf_i3d_size(MF_I3D_MAPS - 1, crop, size);
    mf_status status = mf_parity_input(in, "gradient", MF_F32, 4, &gradient, &shape);
    if (!status &&
        (shape[0] != mf_iris_deepest_channels(&iris) || memcmp(shape + 1, size, sizeof size) != 0))
        status = mf_fail(MF_INVALID, "input gradient has another size than the deepest map");
    if (!status)
        status = mf_weights_new(device, &w);
    if (!status)
        status = mf_program_new(&p);
    if (!status)
        status = run(p, w, o, &iris, weights, image, gradient, crop, out);
    mf_program_free(p);
    mf_weights_free(w);
    mf_array_unref(image);
    mf_array_unref(gradient);
    return status;
}
