/* momentum.c - a second network, whose weights are averages. */
#include "momentum.h"
#include "../common/layers.h"

#include <stdlib.h>

static mf_status compile_head(const mf_baseline *b, int64_t rows, mf_momentum_head declare,
                              mf_momentum *m)
{
    mf_program *p;
    MF_TRY(mf_program_new(&p));
    declare(p, b, mf_input(p, "features", MF_F32, SHAPE(rows, mf_iris_deepest_channels(&b->iris))));
    mf_status status = mf_weights_declare(m->weights, p);
    if (!status)
        return mf_baseline_compile(p, m->weights, &m->head);
    mf_program_free(p);
    return status;
}

static mf_status make_room(mf_momentum *m)
{
    int64_t most = 1;
    mf_weight_info info;
    for (size_t i = 0; i < mf_weights_count(m->weights); i++) {
        mf_weights_info(m->weights, i, &info);
        most = info.count > most ? info.count : most;
    }
    m->room = malloc((size_t)most * sizeof *m->room);
    return m->room ? MF_OK : mf_no_memory((size_t)most * sizeof *m->room, "a weight");
}

mf_status mf_momentum_open(const mf_baseline *b, int views, mf_momentum_head declare,
                           mf_momentum *m)
{
    const int64_t rows = views * b->params->batch_size;
    const size_t c = (size_t)mf_iris_deepest_channels(&b->iris);
    m->features = calloc((size_t)rows * c, sizeof *m->features);
    if (!m->features)
        return mf_no_memory((size_t)rows * c * sizeof *m->features, "features");
    MF_TRY(mf_weights_new(b->device, &m->weights));
    MF_TRY(mf_encode_declare(&b->iris, m->weights));
    MF_TRY(mf_encoder_open(b, m->weights, false, &m->encoder));
    MF_TRY(compile_head(b, rows, declare, m));
    return make_room(m);
}

void mf_momentum_close(mf_momentum *m)
{
    mf_encoder_close(&m->encoder);
    mf_executable_free(m->head);
    mf_weights_free(m->weights);
    free(m->features);
    free(m->room);
    *m = (mf_momentum){0};
}

/* Before the first step the averages are the weights themselves. */
static mf_status take_averages(const mf_baseline *b, mf_momentum *m)
{
    for (size_t i = 0; i < mf_weights_count(m->weights); i++) {
        mf_weight_info info;
        mf_weights_info(m->weights, i, &info);
        const int w = mf_weights_find(b->weights, info.name);
        if (w < 0)
            return mf_fail(MF_INTERNAL, "%s has no weight that learns", info.name);
        MF_TRY(mf_weights_get_average(b->weights, (size_t)w, m->room));
        MF_TRY(mf_weights_set(m->weights, i, m->room));
    }
    return MF_OK;
}

mf_status mf_momentum_encode(mf_baseline *b, mf_momentum *m, const mf_baseline_pair *pairs,
                             const mf_which_view *view, int views)
{
    MF_TRY(take_averages(b, m));
    MF_TRY(mf_encoder_batch(b, &m->encoder, pairs, view, views, m->features));
    return mf_executable_set(m->head, "features", m->features);
}
