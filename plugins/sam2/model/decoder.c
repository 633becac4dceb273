/* decoder.c - see decoder.h. */
#include "decoder.h"
#include "blocks.h"
#include "prompt.h"

/* ---- tokens and picture look at each other ----------------------------------------------------
 */

/* Queries [n,L,c] of n prompts on the keys of one: no query sees another, so they are one long
 * list. */
static mf_value attend(mf_program *p, mf_value q, mf_value k, mf_value v, int heads)
{
    int64_t n = mf_dim(p, q, 0), l = mf_dim(p, q, 1), c = mf_dim(p, q, 2);
    if (mf_dim(p, k, 0) == n)
        return mf_attention(p, q, k, v, heads);
    q = mf_attention(p, mf_reshape(p, q, SHAPE(1, n * l, c)), k, v, heads);
    return mf_reshape(p, q, SHAPE(n, l, c));
}

/* q [n or 1,L,C] on k, v [n or 1,S,C] -> [n,L,C], in `inner` channels. */
static mf_value attention(mf_program *p, const char *name, mf_value q, mf_value k, mf_value v,
                          int64_t inner, int heads)
{
    int64_t n = mf_dim(p, k, 0), channels = mf_dim(p, q, -1);
    mf_scope(p, "%s", name);
    q = mf_layer_linear(p, "q_proj", q, inner);
    k = mf_layer_linear(p, "k_proj", k, inner);
    v = mf_layer_linear(p, "v_proj", v, inner);
    if (n > 1)
        q = sam2_spread(p, q, n);
    q = mf_layer_linear(p, "out_proj", attend(p, q, k, v, heads), channels);
    mf_scope_end(p);
    return q;
}

/* What both sides are, and where they lie. */
typedef struct two_way {
    mf_value tokens, token_place; /* [n,T,C] */
    mf_value picture, place;      /* [n or 1,h*h,C], [h*h,C] */
} two_way;

/* Tokens on the picture. */
static mf_value look(mf_program *p, const char *name, const two_way *x, int heads)
{
    return attention(p, name, mf_add(p, x->tokens, x->token_place),
                     mf_add_rows(p, x->picture, x->place), x->picture, mf_dim(p, x->tokens, -1) / 2,
                     heads);
}

/* One layer: tokens among themselves, on the picture, a perceptron; the picture on the tokens. */
static void exchange(mf_program *p, const sam2_widths *w, two_way *x, bool first, int heads)
{
    int64_t c = mf_dim(p, x->tokens, -1);
    mf_value q = first ? x->tokens : mf_add(p, x->tokens, x->token_place);
    q = attention(p, "self_attn", q, q, x->tokens, c, heads);
    x->tokens = mf_layer_normed(p, "norm1", first ? q : mf_add(p, x->tokens, q), 1e-5f);

    q = look(p, "cross_attn_token_to_image", x, heads);
    x->tokens = mf_layer_normed(p, "norm2", mf_add(p, x->tokens, q), 1e-5f);

    q = sam2_perceptron(p, "mlp", x->tokens, 2, w->decoder, c);
    x->tokens = mf_layer_normed(p, "norm3", mf_add(p, x->tokens, q), 1e-5f);

    q = attention(p, "cross_attn_image_to_token", mf_add_rows(p, x->picture, x->place),
                  mf_add(p, x->tokens, x->token_place), x->tokens, c / 2, heads);
    x->picture = mf_layer_normed(p, "norm4", sam2_add(p, x->picture, q), 1e-5f);
}

static void transformer(mf_program *p, const sam2_config *c, const sam2_widths *w, two_way *x)
{
    int heads = (int)c->decoder_heads;
    mf_scope(p, "transformer");
    for (int i = 0; i < 2; i++) {
        mf_scope(p, "layers.%d", i);
        exchange(p, w, x, i == 0, heads);
        mf_scope_end(p);
    }
    mf_value y = look(p, "final_attn_token_to_image", x, heads);
    x->tokens = mf_layer_normed(p, "norm_final_attn", mf_add(p, x->tokens, y), 1e-5f);
    mf_scope_end(p);
}

/* ---- masks ----------------------------------------------------------------------------------- */

/* The picture at a quarter of its full size: x [n,h*h,C] -> [n,16*h*h,C/8] */
static mf_value enlarge(mf_program *p, const sam2_config *c, mf_value x, mf_value high0,
                        mf_value high1)
{
    int64_t h = c->image / 16;
    x = sam2_transposed(p, "output_upscaling.0", sam2_map_of(p, x, h, h), c->dim / 4);
    x = mf_gelu(p, mf_layer_normed(p, "output_upscaling.1", mf_add_rows(p, x, high1), 1e-6f));
    x = sam2_transposed(p, "output_upscaling.3", x, c->dim / 8);
    return sam2_tokens_of(p, mf_gelu(p, mf_add_rows(p, x, high0)));
}

/* Mask tokens [n,4,C] -> filters [n,4,C/8], each token by its own perceptron. */
static mf_value filters(mf_program *p, const sam2_config *c, const sam2_widths *w, mf_value tokens)
{
    mf_value all = MF_NONE;
    for (int i = 0; i < 4; i++) {
        mf_scope(p, "output_hypernetworks_mlps");
        char name[4] = {(char)('0' + i)};
        mf_value x =
            sam2_perceptron(p, name, mf_slice(p, tokens, 1, i, 1), 3, w->hyper, c->dim / 8);
        all = i ? mf_concat(p, all, x, 1) : x;
        mf_scope_end(p);
    }
    return all;
}

/* Token i of each prompt: [n,T,C] -> [n,C] */
static mf_value token(mf_program *p, mf_value tokens, int64_t i)
{
    return mf_reshape(p, mf_slice(p, tokens, 1, i, 1),
                      SHAPE(mf_dim(p, tokens, 0), mf_dim(p, tokens, 2)));
}

static void read_out(mf_program *p, const sam2_config *c, const sam2_widths *w, const two_way *x,
                     mf_value high0, mf_value high1)
{
    int64_t own = c->object_scores ? 1 : 0;
    mf_value masks = mf_slice(p, x->tokens, 1, own + 1, 4);
    mf_scope(p, "sam_mask_decoder");
    mf_value sites = enlarge(p, c, x->picture, high0, high1);
    mf_output(p, "logits", mf_matmul_nt(p, filters(p, c, w, masks), sites));
    mf_value iou =
        sam2_perceptron(p, "iou_prediction_head", token(p, x->tokens, own), 3, w->iou, 4);
    mf_output(p, "iou", mf_sigmoid(p, iou));
    if (c->object_scores)
        mf_output(
            p, "score",
            sam2_perceptron(p, "pred_obj_score_head", token(p, x->tokens, 0), 3, w->score, 1));
    mf_scope_end(p);
    if (c->memories)
        mf_output(p, "pointers", sam2_perceptron(p, "obj_ptr_proj", masks, 3, w->pointer, c->dim));
}

/* ---- the whole program ------------------------------------------------------------------------
 */

/* What is added to the picture for a mask, or for none. */
static mf_value marked(mf_program *p, const sam2_config *c, const sam2_widths *w,
                       const sam2_decoder_shape *s, mf_value picture)
{
    int64_t h = c->image / 16;
    mf_value masks;
    if (s->mask == SAM2_NO_MASK) {
        mf_scope(p, "sam_prompt_encoder");
        mf_value none = mf_weight(p, "no_mask_embed.weight", SHAPE(c->dim));
        mf_scope_end(p);
        return mf_add_rows(p, picture, none);
    }
    if (s->mask == SAM2_MASK_PIXELS) {
        masks = mf_input(p, "masks", MF_U8, SHAPE(s->batch, c->image, c->image, 1));
        masks = sam2_mask_logits(p, mf_to_float(p, masks));
    } else {
        masks = mf_input(p, "masks", MF_F32, SHAPE(s->batch, 4 * h, 4 * h, 1));
    }
    return sam2_add(p, sam2_mask_prompt(p, c, w, masks), picture);
}

void sam2_decoder_declare(mf_program *p, const sam2_config *c, const sam2_widths *w,
                          const sam2_decoder_shape *s)
{
    int64_t h = c->image / 16, d = c->dim;
    mf_value picture =
        mf_input(p, "picture", MF_F32, SHAPE(s->own_picture ? s->batch : 1, h * h, d));
    mf_value tokens = mf_input(p, "tokens", MF_F32, SHAPE(s->batch, s->tokens, d));
    mf_value high0 = mf_input(p, "high0", MF_F32, SHAPE(4 * h, 4 * h, d / 8));
    mf_value high1 = mf_input(p, "high1", MF_F32, SHAPE(2 * h, 2 * h, d / 4));
    if (s->no_memory)
        picture = mf_add_rows(p, picture, mf_weight(p, "no_mem_embed", SHAPE(d)));
    picture = marked(p, c, w, s, picture);
    mf_scope(p, "sam_prompt_encoder");
    mf_value place = mf_weight(p, "places", SHAPE(h * h, d));
    mf_scope_end(p);
    two_way x = {tokens, tokens, picture, place};
    mf_scope(p, "sam_mask_decoder");
    transformer(p, c, w, &x);
    mf_scope_end(p);
    read_out(p, c, w, &x, high0, high1);
}
