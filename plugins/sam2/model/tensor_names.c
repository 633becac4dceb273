/* tensor_names.c - see tensor_names.h. A rule is a pattern and its replacement; # stands for a
 * number. */
#include "tensor_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MOST = 256 };

/* The first rule that fits the beginning of a name is applied to it. */
static const char *const beginnings[][2] = {
    {"vision_encoder.backbone.patch_embed.projection.", "image_encoder.trunk.patch_embed.proj."},
    {"vision_encoder.backbone.", "image_encoder.trunk."},
    {"vision_encoder.neck.convs.#.", "image_encoder.neck.convs.#.conv."},
    {"prompt_encoder.mask_embed.conv1.", "sam_prompt_encoder.mask_downscaling.0."},
    {"prompt_encoder.mask_embed.layer_norm1.", "sam_prompt_encoder.mask_downscaling.1."},
    {"prompt_encoder.mask_embed.conv2.", "sam_prompt_encoder.mask_downscaling.3."},
    {"prompt_encoder.mask_embed.layer_norm2.", "sam_prompt_encoder.mask_downscaling.4."},
    {"prompt_encoder.mask_embed.conv3.", "sam_prompt_encoder.mask_downscaling.6."},
    {"prompt_encoder.shared_embedding.positional_embedding",
     "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"},
    {"prompt_encoder.", "sam_prompt_encoder."},
    {"mask_decoder.upscale_conv1.", "sam_mask_decoder.output_upscaling.0."},
    {"mask_decoder.upscale_layer_norm.", "sam_mask_decoder.output_upscaling.1."},
    {"mask_decoder.upscale_conv2.", "sam_mask_decoder.output_upscaling.3."},
    {"mask_decoder.", "sam_mask_decoder."},
    {"memory_attention.layer_norm.", "memory_attention.norm."},
    {"memory_encoder.feature_projection.", "memory_encoder.pix_feat_proj."},
    {"memory_encoder.memory_fuser.layers.#.scale", "memory_encoder.fuser.layers.#.gamma"},
    {"memory_encoder.memory_fuser.layers.#.depthwise_conv.",
     "memory_encoder.fuser.layers.#.dwconv."},
    {"memory_encoder.memory_fuser.layers.#.layer_norm.", "memory_encoder.fuser.layers.#.norm."},
    {"memory_encoder.memory_fuser.layers.#.pointwise_conv", "memory_encoder.fuser.layers.#.pwconv"},
    {"memory_encoder.projection.", "memory_encoder.out_proj."},
    {"object_pointer_proj.", "obj_ptr_proj."},
    {"temporal_positional_encoding_projection_layer.", "obj_ptr_tpos_proj."},
    {"memory_temporal_positional_encoding", "maskmem_tpos_enc"},
    {"no_memory_embedding", "no_mem_embed"},
    {"no_memory_positional_encoding", "no_mem_pos_enc"},
    {"no_object_pointer", "no_obj_ptr"},
    {"occlusion_spatial_embedding_parameter", "no_obj_embed_spatial"},
};

/* Then each of these, wherever it stands. */
static const char *const inside[][2] = {
    {".o_proj.", ".out_proj."},   {".layer_norm_final_attn.", ".norm_final_attn."},
    {".layer_norm1.", ".norm1."}, {".layer_norm2.", ".norm2."},
    {".layer_norm3.", ".norm3."}, {".layer_norm4.", ".norm4."}};

bool sam2_names_foreign(const mf_tensors *t)
{
    return mf_tensors_find(t, "vision_encoder.backbone.patch_embed.projection.weight") != NULL;
}

/* name = pattern, then `rest`? The number that # met is left in `number`. */
static bool fits(const char *pattern, const char *name, const char **rest, char number[8])
{
    while (*pattern) {
        if (*pattern == '#') {
            size_t digits = strspn(name, "0123456789");
            if (digits == 0 || digits > 7)
                return false;
            snprintf(number, 8, "%.*s", (int)digits, name);
            name += digits;
            pattern++;
        } else if (*pattern++ != *name++) {
            return false;
        }
    }
    *rest = name;
    return true;
}

static void rewrite_beginning(char name[NAME_MOST])
{
    char number[8] = "", out[NAME_MOST];
    const char *rest;
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        if (!fits(beginnings[i][0], name, &rest, number))
            continue;
        const char *to = beginnings[i][1], *mark = strchr(to, '#');
        int before = mark ? (int)(mark - to) : (int)strlen(to);
        int made = snprintf(out, sizeof out, "%.*s%s%s%s", before, to, mark ? number : "",
                            mark ? mark + 1 : "", rest);
        if (made > 0 && made < NAME_MOST)
            memcpy(name, out, (size_t)made + 1);
        return;
    }
}

static void replace_inside(char name[NAME_MOST], const char *from, const char *to)
{
    char out[NAME_MOST];
    const char *at = strstr(name, from);
    if (!at)
        return;
    int made = snprintf(out, sizeof out, "%.*s%s%s", (int)(at - name), name, to, at + strlen(from));
    if (made > 0 && made < NAME_MOST)
        memcpy(name, out, (size_t)made + 1);
}

/* A stack of linear layers: proj_in, layers.0, layers.1, ..., proj_out there; layers.0, layers.1,
 * ... here. `t` still has the names of there. */
static void rewrite_stack(const mf_tensors *t, const char *old, char name[NAME_MOST])
{
    const char *in = strstr(old, ".proj_in."), *out = strstr(old, ".proj_out.");
    const char *middle = strstr(old, ".layers.");
    while (middle && strstr(middle + 1, ".layers."))
        middle = strstr(middle + 1, ".layers.");
    const char *at = in ? in : out ? out : middle;
    char probe[NAME_MOST], to[32];
    if (!at || strlen(old) >= NAME_MOST)
        return;
    snprintf(probe, sizeof probe, "%.*s.proj_in.weight", (int)(at - old), old);
    if (!mf_tensors_find(t, probe))
        return;
    int hidden = 0;
    do {
        if (snprintf(probe, sizeof probe, "%.*s.layers.%d.weight", (int)(at - old), old, hidden) >=
            NAME_MOST)
            return;
    } while (mf_tensors_find(t, probe) && ++hidden < 64);
    if (in) {
        replace_inside(name, ".proj_in.", ".layers.0.");
    } else if (out) {
        snprintf(to, sizeof to, ".layers.%d.", hidden + 1);
        replace_inside(name, ".proj_out.", to);
    } else {
        char from[32];
        int number = atoi(middle + strlen(".layers."));
        snprintf(from, sizeof from, ".layers.%d.", number);
        snprintf(to, sizeof to, ".layers.%d.", number + 1);
        char *last = strstr(name, from);
        for (char *next = last; next; next = strstr(next + 1, from))
            last = next;
        char tail[NAME_MOST];
        if (!last)
            return;
        snprintf(tail, sizeof tail, "%s", last);
        replace_inside(tail, from, to);
        if ((size_t)(last - name) + strlen(tail) < NAME_MOST)
            memcpy(last, tail, strlen(tail) + 1);
    }
}

/* Convolution, norm and activation are three entries of one list in the original. */
static void rewrite_downsampler(const mf_tensors *t, const char *old, char name[NAME_MOST])
{
    static const char scope[] = "memory_encoder.mask_downsampler.";
    const char *rest;
    char number[8], probe[96];
    if (fits("memory_encoder.mask_downsampler.layers.#.conv.", old, &rest, number))
        snprintf(name, NAME_MOST, "%sencoder.%d.%.64s", scope, 3 * atoi(number), rest);
    else if (fits("memory_encoder.mask_downsampler.layers.#.layer_norm.", old, &rest, number))
        snprintf(name, NAME_MOST, "%sencoder.%d.%.64s", scope, 3 * atoi(number) + 1, rest);
    else if (fits("memory_encoder.mask_downsampler.final_conv.", old, &rest, number)) {
        int layers = 0;
        do
            snprintf(probe, sizeof probe, "%slayers.%d.conv.weight", scope, layers);
        while (mf_tensors_find(t, probe) && ++layers < 64);
        snprintf(name, NAME_MOST, "%sencoder.%d.%.64s", scope, 3 * layers, rest);
    }
}

/* The embeddings of the four kinds of points, one array there, are four here. */
static mf_status split_points(const mf_array *a, mf_tensors *out)
{
    char name[64];
    if (a->rank != 2 || a->shape[0] != 4)
        return mf_fail(MF_INVALID, "prompt_encoder.point_embed.weight: its shape is not [4, dim]");
    size_t row = mf_dtype_size(a->dtype) * (size_t)a->shape[1];
    for (int i = 0; i < 4; i++) {
        mf_array *one;
        snprintf(name, sizeof name, "sam_prompt_encoder.point_embeddings.%d.weight", i);
        MF_TRY(mf_tensors_make(out, name, a->dtype, 2, (const int64_t[]){1, a->shape[1]}, &one));
        memcpy(one->data, (const char *)a->data + (size_t)i * row, row);
    }
    return MF_OK;
}

/* One tensor under two names. A model that was never loaded can have two of them, which no official
 * checkpoint could hold. */
static const char picture_places[] = "shared_image_embedding.positional_embedding";
static const char point_places[] = "prompt_encoder.shared_embedding.positional_embedding";

static mf_status same_places(const mf_array *a, const mf_array *b)
{
    if (a->dtype == b->dtype && a->bytes == b->bytes && !memcmp(a->data, b->data, a->bytes))
        return MF_OK;
    return mf_hint(mf_fail(MF_INVALID, "tensors %s and %s differ, where a SAM 2 has one",
                           picture_places, point_places),
                   "drop one of them from the file");
}

static mf_status rename_one(const mf_tensors *t, const mf_tensor *from, mf_tensors *out)
{
    char name[NAME_MOST];
    if (!strcmp(from->name, "prompt_encoder.point_embed.weight"))
        return split_points(from->array, out);
    if (!strcmp(from->name, picture_places) && mf_tensors_find(t, point_places))
        return same_places(from->array, mf_tensors_find(t, point_places));
    snprintf(name, sizeof name, "%s", from->name);
    if (strlen(from->name) < NAME_MOST) {
        rewrite_beginning(name);
        for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
            replace_inside(name, inside[i][0], inside[i][1]);
        rewrite_stack(t, from->name, name);
        rewrite_downsampler(t, from->name, name);
    }
    return mf_tensors_add(out, strlen(from->name) < NAME_MOST ? name : from->name,
                          mf_array_ref(from->array));
}

mf_status sam2_names_original(mf_tensors *t)
{
    mf_tensors out = {0};
    mf_status status = MF_OK;
    for (size_t i = 0; i < t->count && !status; i++)
        status = rename_one(t, &t->item[i], &out);
    if (!status)
        status = mf_tensors_sort(&out);
    if (status) {
        mf_tensors_clear(&out);
        return status;
    }
    mf_tensors_clear(t);
    *t = out;
    return MF_OK;
}
