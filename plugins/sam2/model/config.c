/* config.c - see config.h. Every tensor of a model is listed here once, with its shape. */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the shapes of the official models don't say: sam2/configs of the original repository. */
static const struct known {
    const char *name;
    sam2_config c;
} known[] = {
    {"tiny",
     {.image = 1024,
      .embed = 96,
      .stages = {1, 2, 7, 2},
      .heads = 1,
      .windows = {8, 4, 14, 7},
      .global = {5, 7, 9},
      .global_count = 3,
      .decoder_heads = 8}},
    {"small",
     {.image = 1024,
      .embed = 96,
      .stages = {1, 2, 11, 2},
      .heads = 1,
      .windows = {8, 4, 14, 7},
      .global = {7, 10, 13},
      .global_count = 3,
      .decoder_heads = 8}},
    {"base_plus",
     {.image = 1024,
      .embed = 112,
      .stages = {2, 3, 16, 3},
      .heads = 2,
      .windows = {8, 4, 14, 7},
      .global = {12, 16, 20},
      .global_count = 3,
      .decoder_heads = 8}},
    {"large",
     {.image = 1024,
      .embed = 144,
      .stages = {2, 6, 36, 4},
      .heads = 2,
      .windows = {8, 4, 16, 8},
      .global = {23, 33, 43},
      .global_count = 3,
      .decoder_heads = 8}},
};

static const struct known *known_of(const sam2_config *c)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].c.embed == c->embed && !memcmp(known[i].c.stages, c->stages, sizeof c->stages))
            return &known[i];
    return NULL;
}

const char *sam2_config_name(const sam2_config *c)
{
    const struct known *k = known_of(c);
    return k ? k->name : "of its own size";
}

/* ---- tensors, one after another -------------------------------------------------------------- */

/* Goes through all tensors that a model must have; after an error it does nothing more. */
typedef struct reader {
    const mf_tensors *t;
    bool *met; /* [count] */
    mf_status status;
    char scope[192];
} reader;

static void set_scope(reader *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(r->scope, sizeof r->scope, format, args);
    va_end(args);
}

static size_t index_of(const mf_tensors *t, const char *name)
{
    for (size_t i = 0; i < t->count; i++)
        if (!strcmp(t->item[i].name, name))
            return i;
    return t->count;
}

static void shape_text(int rank, const int64_t *shape, char *text, size_t room)
{
    size_t at = 0;
    text[0] = 0;
    for (int i = 0; i < rank && at < room; i++) {
        int made = shape[i] < 0 ? snprintf(text + at, room - at, "%sany", i ? "," : "")
                                : snprintf(text + at, room - at, "%s%lld", i ? "," : "",
                                           (long long)shape[i]);
        at += made > 0 ? (size_t)made : 0;
    }
}

/* The tensor scope + name of this shape; sizes of -1 are filled in with those it has. */
static void take(reader *r, const char *name, int rank, int64_t *shape)
{
    char full[256], want[96], got[96];
    if (r->status)
        return;
    snprintf(full, sizeof full, "%s%s", r->scope, name);
    size_t at = index_of(r->t, full);
    if (at == r->t->count) {
        r->status = mf_fail(MF_INVALID, "it has no tensor %s", full);
        return;
    }
    const mf_array *a = r->t->item[at].array;
    bool same = a->rank == rank;
    for (int i = 0; same && i < rank; i++)
        same = shape[i] < 0 ? a->shape[i] >= 1 && a->shape[i] <= 65536 : a->shape[i] == shape[i];
    if (!same) {
        shape_text(rank, shape, want, sizeof want);
        shape_text(a->rank, a->shape, got, sizeof got);
        r->status = mf_fail(MF_INVALID, "tensor %s is [%s], not [%s]", full, got, want);
        return;
    }
    memcpy(shape, a->shape, sizeof(int64_t) * (size_t)rank);
    r->met[at] = true;
}

#define TAKE(r, name, ...)                                                                         \
    take(r, name, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),                       \
         (int64_t[]){__VA_ARGS__})

static bool has(const reader *r, const char *full)
{
    return index_of(r->t, full) < r->t->count;
}

/* NAME.weight [out,in] and NAME.bias [out]; -1 for `out`: any. Returns out. */
static int64_t linear(reader *r, const char *name, int64_t out, int64_t in)
{
    char full[64];
    int64_t shape[2] = {out, in};
    snprintf(full, sizeof full, "%s.weight", name);
    take(r, full, 2, shape);
    snprintf(full, sizeof full, "%s.bias", name);
    TAKE(r, full, shape[0]);
    return shape[0];
}

/* NAME.weight [out,in,k,k] and NAME.bias [out] */
static int64_t conv(reader *r, const char *name, int64_t out, int64_t in, int64_t k)
{
    char full[64];
    int64_t shape[4] = {out, in, k, k};
    snprintf(full, sizeof full, "%s.weight", name);
    take(r, full, 4, shape);
    snprintf(full, sizeof full, "%s.bias", name);
    TAKE(r, full, shape[0]);
    return shape[0];
}

static void norm(reader *r, const char *name, int64_t channels)
{
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    TAKE(r, full, channels);
    snprintf(full, sizeof full, "%s.bias", name);
    TAKE(r, full, channels);
}

/* NAME.layers.0 .. count-1, with hidden layers of any one width. */
static void stack(reader *r, const char *name, int count, int64_t in, int64_t out)
{
    char full[64];
    int64_t width = -1, from = in;
    for (int i = 0; i < count; i++) {
        snprintf(full, sizeof full, "%s.layers.%d", name, i);
        int64_t got = linear(r, full, i == count - 1 ? out : width, from);
        width = from = got;
    }
}

static void attention(reader *r, const char *name, int64_t inner, int64_t dim, int64_t key_dim)
{
    static const char *const parts[] = {"q_proj", "k_proj", "v_proj"};
    char full[64];
    for (int i = 0; i < 3; i++) {
        snprintf(full, sizeof full, "%s.%s", name, parts[i]);
        linear(r, full, inner, i ? key_dim : dim);
    }
    snprintf(full, sizeof full, "%s.out_proj", name);
    linear(r, full, dim, inner);
}

/* ---- the model, top to bottom ---------------------------------------------------------------- */

static void read_trunk(reader *r, sam2_config *c)
{
    int64_t positions[4] = {1, c->embed, -1, -1}, window[4] = {1, c->embed, -1, -1};
    set_scope(r, "image_encoder.trunk.");
    c->embed = conv(r, "patch_embed.proj", -1, 3, 7);
    positions[1] = window[1] = c->embed;
    take(r, "pos_embed", 4, positions);
    take(r, "pos_embed_window", 4, window);
    if (!r->status && (positions[2] != positions[3] || window[2] != window[3]))
        r->status = mf_fail(MF_INVALID, "position embeddings of the trunk are not square");
    c->background = positions[2];
    c->windows[0] = window[2];
    int64_t in = c->embed, out = c->embed;
    int stage = 0;
    for (int i = 0; !r->status; i++) {
        char full[96];
        snprintf(full, sizeof full, "image_encoder.trunk.blocks.%d.norm1.weight", i);
        if (!has(r, full))
            break;
        snprintf(full, sizeof full, "image_encoder.trunk.blocks.%d.proj.weight", i);
        bool wider = has(r, full);
        if (i >= SAM2_BLOCKS_MOST || (wider && stage == SAM2_STAGES - 1)) {
            r->status = mf_fail(MF_INVALID, "the trunk has more than %d blocks or %d stages",
                                SAM2_BLOCKS_MOST, SAM2_STAGES);
            break;
        }
        if (wider) {
            out = 2 * in;
            stage++;
        }
        c->stages[stage]++;
        set_scope(r, "image_encoder.trunk.blocks.%d.", i);
        norm(r, "norm1", in);
        linear(r, "attn.qkv", 3 * out, in);
        linear(r, "attn.proj", out, out);
        norm(r, "norm2", out);
        stack(r, "mlp", 2, out, out);
        if (wider)
            linear(r, "proj", out, in);
        in = out;
    }
    if (!r->status && stage != SAM2_STAGES - 1)
        r->status = mf_fail(MF_INVALID, "the trunk has %d stages, not %d", stage + 1, SAM2_STAGES);
}

static void read_neck(reader *r, sam2_config *c)
{
    char name[16];
    c->dim = -1;
    if (r->status)
        return; /* the trunk's channels are not known */
    set_scope(r, "image_encoder.neck.convs.");
    for (int i = 0; i < SAM2_STAGES; i++) {
        snprintf(name, sizeof name, "%d.conv", i);
        c->dim = conv(r, name, c->dim, c->embed << (SAM2_STAGES - 1 - i), 1);
    }
    if (!r->status && (c->dim % 8 || c->dim < 8))
        r->status = mf_fail(MF_INVALID, "the neck has %lld channels, not a multiple of 8",
                            (long long)c->dim);
}

static void read_prompts(reader *r, sam2_config *c)
{
    char name[32];
    set_scope(r, "sam_prompt_encoder.");
    TAKE(r, "pe_layer.positional_encoding_gaussian_matrix", 2, c->dim / 2);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "point_embeddings.%d.weight", i);
        TAKE(r, name, 1, c->dim);
    }
    TAKE(r, "not_a_point_embed.weight", 1, c->dim);
    TAKE(r, "no_mask_embed.weight", 1, c->dim);
    int64_t width = conv(r, "mask_downscaling.0", -1, 1, 2);
    norm(r, "mask_downscaling.1", width);
    width = conv(r, "mask_downscaling.3", -1, width, 2);
    norm(r, "mask_downscaling.4", width);
    conv(r, "mask_downscaling.6", c->dim, width, 1);
}

static void read_two_way(reader *r, const sam2_config *c)
{
    int64_t d = c->dim;
    for (int i = 0; i < 2; i++) {
        set_scope(r, "sam_mask_decoder.transformer.layers.%d.", i);
        attention(r, "self_attn", d, d, d);
        attention(r, "cross_attn_token_to_image", d / 2, d, d);
        attention(r, "cross_attn_image_to_token", d / 2, d, d);
        for (int k = 1; k <= 4; k++)
            norm(r, (const char *[]){"norm1", "norm2", "norm3", "norm4"}[k - 1], d);
        stack(r, "mlp", 2, d, d);
    }
    set_scope(r, "sam_mask_decoder.transformer.");
    attention(r, "final_attn_token_to_image", d / 2, d, d);
    norm(r, "norm_final_attn", d);
}

static void read_decoder(reader *r, sam2_config *c)
{
    char name[48];
    int64_t d = c->dim;
    read_two_way(r, c);
    set_scope(r, "sam_mask_decoder.");
    TAKE(r, "iou_token.weight", 1, d);
    TAKE(r, "mask_tokens.weight", 4, d);
    /* [in,out,2,2], as PyTorch has transposed convolutions */
    TAKE(r, "output_upscaling.0.weight", d, d / 4, 2, 2);
    TAKE(r, "output_upscaling.0.bias", d / 4);
    norm(r, "output_upscaling.1", d / 4);
    TAKE(r, "output_upscaling.3.weight", d / 4, d / 8, 2, 2);
    TAKE(r, "output_upscaling.3.bias", d / 8);
    conv(r, "conv_s0", d / 8, d, 1);
    conv(r, "conv_s1", d / 4, d, 1);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "output_hypernetworks_mlps.%d", i);
        stack(r, name, 3, d, d / 8);
    }
    stack(r, "iou_prediction_head", 3, d, 4);
    c->object_scores = has(r, "sam_mask_decoder.obj_score_token.weight");
    if (c->object_scores) {
        TAKE(r, "obj_score_token.weight", 1, d);
        stack(r, "pred_obj_score_head", 3, d, 1);
    }
}

static void read_memory_attention(reader *r, sam2_config *c)
{
    int64_t d = c->dim;
    for (int i = 0; i < SAM2_LAYERS_MOST; i++) {
        char full[96];
        snprintf(full, sizeof full, "memory_attention.layers.%d.norm1.weight", i);
        if (i > 0 && !has(r, full))
            break;
        set_scope(r, "memory_attention.layers.%d.", i);
        attention(r, "self_attn", d, d, d);
        attention(r, "cross_attn_image", d, d, c->memory_dim);
        int64_t width = linear(r, "linear1", -1, d);
        linear(r, "linear2", d, width);
        norm(r, "norm1", d);
        norm(r, "norm2", d);
        norm(r, "norm3", d);
        c->memory_layers++;
    }
    set_scope(r, "memory_attention.");
    norm(r, "norm", d);
}

static void read_memory_encoder(reader *r, sam2_config *c)
{
    char name[64];
    int64_t d = c->dim, width = 1;
    set_scope(r, "memory_encoder.mask_downsampler.encoder.");
    for (int i = 0; i < 4; i++) { /* 3x3, stride 2: sixteen times smaller */
        snprintf(name, sizeof name, "%d", 3 * i);
        width = conv(r, name, -1, width, 3);
        snprintf(name, sizeof name, "%d", 3 * i + 1);
        norm(r, name, width);
    }
    conv(r, "12", d, width, 1);
    set_scope(r, "memory_encoder.");
    conv(r, "pix_feat_proj", d, d, 1);
    conv(r, "out_proj", c->memory_dim, d, 1);
    for (int i = 0; i < SAM2_LAYERS_MOST; i++) {
        char full[96];
        snprintf(full, sizeof full, "memory_encoder.fuser.layers.%d.gamma", i);
        if (i > 0 && !has(r, full))
            break;
        set_scope(r, "memory_encoder.fuser.layers.%d.", i);
        TAKE(r, "gamma", d);
        conv(r, "dwconv", d, 1, 7);
        norm(r, "norm", d);
        width = linear(r, "pwconv1", -1, d);
        linear(r, "pwconv2", d, width);
        c->fuser_layers++;
    }
}

static void read_memory(reader *r, sam2_config *c)
{
    int64_t times[4] = {-1, 1, 1, -1}, d = c->dim;
    set_scope(r, "%s", "");
    TAKE(r, "no_mem_embed", 1, 1, d);
    if (!has(r, "maskmem_tpos_enc"))
        return; /* for still pictures only */
    take(r, "maskmem_tpos_enc", 4, times);
    c->memories = times[0];
    c->memory_dim = times[3];
    if (!r->status && (c->memories < 2 || c->memories > 64 || d % c->memory_dim))
        r->status = mf_fail(MF_INVALID,
                            "a memory bank of %lld slots of %lld channels: slots are 2 to 64, and "
                            "the channels divide %lld",
                            (long long)c->memories, (long long)c->memory_dim, (long long)d);
    if (!r->status && !c->object_scores)
        r->status = mf_fail(MF_INVALID, "it has no tensor sam_mask_decoder.obj_score_token.weight");
    TAKE(r, "no_mem_pos_enc", 1, 1, d);
    TAKE(r, "no_obj_ptr", 1, d);
    conv(r, "mask_downsample", 1, 1, 4);
    stack(r, "obj_ptr_proj", 3, d, d);
    c->no_object_memory = has(r, "no_obj_embed_spatial");
    if (c->no_object_memory)
        TAKE(r, "no_obj_embed_spatial", 1, c->memory_dim);
    c->pointer_time = has(r, "obj_ptr_tpos_proj.weight");
    if (c->pointer_time)
        linear(r, "obj_ptr_tpos_proj", c->memory_dim, d);
    read_memory_attention(r, c);
    read_memory_encoder(r, c);
}

/* ---- what shapes don't say ------------------------------------------------------------------- */

static int64_t blocks_of(const sam2_config *c)
{
    return c->stages[0] + c->stages[1] + c->stages[2] + c->stages[3];
}

mf_status sam2_config_check(const sam2_config *c)
{
    if (c->image < 64 || c->image > 4096 || c->image % 32)
        return mf_fail(MF_INVALID, "image_size %lld is not a multiple of 32 from 64 to 4096",
                       (long long)c->image);
    if (c->heads < 1 || c->embed % c->heads)
        return mf_fail(MF_INVALID, "num_heads: %lld channels do not make %lld heads",
                       (long long)c->embed, (long long)c->heads);
    if (c->decoder_heads < 1 || c->dim / 2 % c->decoder_heads)
        return mf_fail(MF_INVALID, "decoder_num_heads: %lld channels do not make %lld heads",
                       (long long)c->dim / 2, (long long)c->decoder_heads);
    for (int i = 0; i < SAM2_STAGES; i++)
        if (c->windows[i] < 2 || c->windows[i] > 64 || (i < SAM2_STAGES - 1 && c->windows[i] % 2))
            return mf_fail(MF_INVALID,
                           "window_spec: %lld is not from 2 to 64 and, but for the last, even",
                           (long long)c->windows[i]);
    if (c->image / 4 % c->windows[0])
        return mf_fail(MF_INVALID, "window_spec: %lld does not divide the %lld tokens of a row",
                       (long long)c->windows[0], (long long)c->image / 4);
    for (int64_t i = 0; i < c->global_count; i++)
        if (c->global[i] < 0 || c->global[i] >= blocks_of(c) ||
            (i > 0 && c->global[i] <= c->global[i - 1]))
            return mf_fail(
                MF_INVALID,
                "global_att_blocks: %lld does not increase, or is not a block of 0 to %lld",
                (long long)c->global[i], (long long)blocks_of(c) - 1);
    return MF_OK;
}

static mf_status complete(const sam2_config *said, sam2_config *c)
{
    const struct known *k = known_of(c);
    if (!k && !(said->image && said->heads && said->windows[0]))
        return mf_hint(mf_fail(MF_INVALID,
                               "no official model has %lld channels and %lld %lld %lld %lld blocks",
                               (long long)c->embed, (long long)c->stages[0],
                               (long long)c->stages[1], (long long)c->stages[2],
                               (long long)c->stages[3]),
                       "set image_size, num_heads, window_spec and global_att_blocks: the tensors "
                       "do not contain them");
    int64_t window = c->windows[0];
    c->image = said->image ? said->image : k->c.image;
    c->heads = said->heads ? said->heads : k->c.heads;
    c->decoder_heads = said->decoder_heads ? said->decoder_heads : 8;
    const sam2_config *windows = said->windows[0] ? said : &k->c;
    memcpy(c->windows, windows->windows, sizeof c->windows);
    if (c->windows[0] != window)
        return mf_fail(
            MF_INVALID,
            "window_spec: the first is %lld, but pos_embed_window is for windows of %lld",
            (long long)c->windows[0], (long long)window);
    const sam2_config *global = said->global_count || !k ? said : &k->c;
    memcpy(c->global, global->global, sizeof c->global);
    c->global_count = global->global_count;
    return sam2_config_check(c);
}

/* ---- reading --------------------------------------------------------------------------------- */

bool sam2_recognize(const mf_tensors *t)
{
    return mf_tensors_find(t, "image_encoder.trunk.patch_embed.proj.weight") != NULL;
}

mf_status sam2_config_from(const mf_tensors *t, const sam2_config *said, sam2_config *c)
{
    reader r = {.t = t, .met = calloc(t->count ? t->count : 1, sizeof(bool))};
    if (!r.met)
        return mf_no_memory(0, "a list of tensors");
    *c = (sam2_config){0};
    read_trunk(&r, c);
    read_neck(&r, c);
    read_prompts(&r, c);
    read_decoder(&r, c);
    read_memory(&r, c);
    for (size_t i = 0; i < t->count && !r.status; i++)
        if (!r.met[i])
            r.status = mf_fail(MF_INVALID, "tensor %s is none of a SAM 2", t->item[i].name);
    free(r.met);
    if (r.status)
        return mf_within(r.status, "not a whole SAM 2");
    return complete(said, c);
}

mf_status sam2_config_match(const mf_tensors *t, const sam2_config *c)
{
    sam2_config of_shapes;
    for (size_t i = 0; i < t->count; i++)
        if (t->item[i].array->dtype != MF_F32)
            return mf_fail(MF_INVALID, "tensor %s is %s, not f32", t->item[i].name,
                           mf_dtype_text(t->item[i].array->dtype));
    MF_TRY(sam2_config_from(t, c, &of_shapes));
    bool same =
        of_shapes.embed == c->embed && of_shapes.background == c->background &&
        of_shapes.dim == c->dim && of_shapes.memories == c->memories &&
        of_shapes.memory_dim == c->memory_dim && of_shapes.memory_layers == c->memory_layers &&
        of_shapes.fuser_layers == c->fuser_layers && of_shapes.object_scores == c->object_scores &&
        of_shapes.pointer_time == c->pointer_time &&
        of_shapes.no_object_memory == c->no_object_memory &&
        !memcmp(of_shapes.stages, c->stages, sizeof c->stages);
    return same ? MF_OK
                : mf_fail(MF_INVALID,
                          "the model's attribute %s says other sizes than its tensors have",
                          SAM2_CONFIG_KEY);
}

void sam2_config_override(sam2_config *said, const sam2_config *later)
{
    if (later->image)
        said->image = later->image;
    if (later->heads)
        said->heads = later->heads;
    if (later->decoder_heads)
        said->decoder_heads = later->decoder_heads;
    if (later->windows[0])
        memcpy(said->windows, later->windows, sizeof said->windows);
    if (later->global_count) {
        memcpy(said->global, later->global, sizeof said->global);
        said->global_count = later->global_count;
    }
}
