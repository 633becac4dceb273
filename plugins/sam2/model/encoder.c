/* encoder.c - see encoder.h. */
#include "encoder.h"
#include "blocks.h"

/* What a block is made with. */
typedef struct block {
    int64_t channels, width; /* after it; of its perceptron */
    int heads, window;       /* window: edge in tokens, 0: all tokens see each other */
    bool halves;             /* queries are pooled 2 x 2, which halves the map */
} block;

/* Tokens in windows, or all of a map as one window. */
static mf_value part(mf_program *p, mf_value x, int window)
{
    return window ? mf_window_partition(p, x, window) : sam2_tokens_of(p, x);
}

/* Attention within windows of x [1,H,W,C] -> [1,H',W',channels]. Windows that overhang the map see
 * zeros there, which the projections turn into their biases. */
static mf_value attention(mf_program *p, mf_value x, const block *b)
{
    int64_t h = mf_dim(p, x, 1), w = mf_dim(p, x, 2);
    int window = b->window;
    mf_scope(p, "attn");
    x = part(p, x, window);
    mf_value q = mf_layer_linear(p, "q", x, b->channels);
    mf_value k = mf_layer_linear(p, "k", x, b->channels);
    mf_value v = mf_layer_linear(p, "v", x, b->channels);
    if (b->halves) {
        q = sam2_map_of(p, q, window ? window : h, window ? window : w);
        q = sam2_tokens_of(p, mf_max_pool2d(p, q));
        h /= 2, w /= 2, window /= 2;
    }
    x = mf_layer_linear(p, "proj", mf_attention(p, q, k, v, b->heads), b->channels);
    mf_scope_end(p);
    return window ? mf_window_merge(p, x, window, 1, h, w) : sam2_map_of(p, x, h, w);
}

/* x [1,H,W,C] -> [1,H',W',channels] */
static mf_value transform(mf_program *p, mf_value x, const block *b)
{
    mf_value y = mf_layer_normed(p, "norm1", x, 1e-6f);
    if (b->halves)
        x = mf_max_pool2d(p, mf_layer_linear(p, "proj", y, b->channels));
    x = mf_add(p, x, attention(p, y, b));
    y = mf_layer_normed(p, "norm2", x, 1e-6f);
    mf_scope(p, "mlp.layers");
    y = mf_layer_linear(p, "1", mf_gelu(p, mf_layer_linear(p, "0", y, b->width)), b->channels);
    mf_scope_end(p);
    return mf_add(p, x, y);
}

static bool sees_all(const sam2_config *c, int64_t i)
{
    for (int64_t k = 0; k < c->global_count; k++)
        if (c->global[k] == i)
            return true;
    return false;
}

/* The first block of a stage doubles the channels and halves the map, in windows still of the stage
 * before. */
static void trunk(mf_program *p, const sam2_config *c, const sam2_widths *w, mf_value x,
                  mf_value stages[SAM2_STAGES])
{
    mf_scope(p, "trunk");
    x = sam2_conv(p, "patch_embed.proj", x, c->embed, 7, 4, 3);
    int64_t edge = c->image / 4;
    x = mf_add_rows(p, x, mf_weight(p, "position", SHAPE(edge, edge, c->embed)));
    int64_t i = 0;
    for (int s = 0; s < SAM2_STAGES; s++) {
        for (int64_t n = 0; n < c->stages[s]; n++, i++) {
            bool first = s > 0 && n == 0;
            block b = {.channels = c->embed << s,
                       .width = w->trunk[s],
                       .heads = (int)(c->heads << s),
                       .window = sees_all(c, i) ? 0 : (int)c->windows[first ? s - 1 : s],
                       .halves = first};
            mf_scope(p, "blocks.%lld", (long long)i);
            x = transform(p, x, &b);
            mf_scope_end(p);
        }
        stages[s] = x;
    }
    mf_scope_end(p);
}

/* Convolution 0 of the pyramid is of the deepest stage. */
static mf_value lateral(mf_program *p, const sam2_config *c, const sam2_encoded *e, int stage)
{
    mf_scope(p, "neck.convs.%d", SAM2_STAGES - 1 - stage);
    mf_value x = mf_layer_linear(p, "conv", e->stages[stage], c->dim);
    mf_scope_end(p);
    return x;
}

void sam2_encoder(mf_program *p, const sam2_config *c, const sam2_widths *w, mf_value image,
                  sam2_encoded *e)
{
    int64_t h = c->image / 16;
    mf_scope(p, "image_encoder");
    trunk(p, c, w, image, e->stages);
    e->level3 = lateral(p, c, e, 3);
    e->level2 =
        mf_add(p, lateral(p, c, e, 2), mf_resize2d(p, e->level3, h, h, MF_RESAMPLE_NEAREST));
    mf_value level1 = lateral(p, c, e, 1), level0 = lateral(p, c, e, 0);
    mf_scope_end(p);
    mf_scope(p, "sam_mask_decoder");
    e->high1 = mf_layer_linear(p, "conv_s1", level1, c->dim / 4);
    e->high0 = mf_layer_linear(p, "conv_s0", level0, c->dim / 8);
    mf_scope_end(p);
}

void sam2_encoder_declare(mf_program *p, const sam2_config *c, const sam2_widths *w)
{
    sam2_encoded e;
    mf_value image = mf_input(p, "image", MF_F32, SHAPE(1, c->image, c->image, 3));
    sam2_encoder(p, c, w, image, &e);
    mf_output(p, "embed", e.level2);
    mf_output(p, "high0", e.high0);
    mf_output(p, "high1", e.high1);
}
