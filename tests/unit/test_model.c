/* test_model.c - which model a file of weights is: the tensors of a SAM 2 under both kinds of
 * names, and what is refused. tests/golden/sam2_tiny_*.txt list them as the official code and
 * transformers do (state_dict of models of the size tiny). */
#include "../expect.h"
#include "../run_suite.h"
#include "architecture.h"
#include "model_check.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int rank_of(char *dims, int64_t shape[MF_MAX_RANK])
{
    int rank = 0;
    for (char *at = strtok(dims, ",\n"); at; at = strtok(NULL, ",\n"))
        shape[rank++] = atoll(at);
    return rank;
}

/* All tensors of a list, zeroed. */
static void make_tensors(const char *path, mf_tensors *t)
{
    char line[512], name[256], dims[64];
    FILE *f = fopen(path, "r");
    ck_assert_msg(f != NULL, "%s", path);
    while (fgets(line, sizeof line, f)) {
        int64_t shape[MF_MAX_RANK];
        mf_array *a;
        if (line[0] == '#')
            continue;
        ck_assert_int_eq(sscanf(line, "%255s %63s", name, dims), 2);
        int rank = rank_of(dims, shape);
        ok(mf_tensors_make(t, name, MF_F32, rank, shape, &a));
    }
    fclose(f);
    ok(mf_tensors_sort(t));
}

static size_t index_of(const mf_tensors *t, const char *name)
{
    for (size_t i = 0; i < t->count; i++)
        if (!strcmp(t->item[i].name, name))
            return i;
    ck_abort_msg("no tensor %s", name);
    return 0;
}

static void rename_tensor(mf_tensors *t, const char *name, const char *to)
{
    mf_tensor *item = &t->item[index_of(t, name)];
    free(item->name);
    item->name = strdup(to);
}

#define ORIGINAL GOLDEN "/sam2_tiny_original.txt"

START_TEST(original_names)
{
    mf_tensors t = {0};
    sam2_config c;
    make_tensors(ORIGINAL, &t);
    ck_assert_uint_eq(t.count, 471);
    ck_assert(sam2_recognize(&t) && !sam2_names_foreign(&t));
    ok(sam2_config_from(&t, &(sam2_config){0}, &c));
    ck_assert_str_eq(sam2_config_name(&c), "tiny");
    ck_assert_int_eq(c.image, 1024);
    ck_assert_int_eq(c.embed, 96);
    ck_assert_int_eq(c.dim, 256);
    ck_assert_int_eq(c.background, 7);
    ck_assert_int_eq(c.windows[2], 14);
    ck_assert_int_eq(c.global_count, 3);
    ck_assert_int_eq(c.global[2], 9);
    ck_assert_int_eq(c.memories, 7);
    ck_assert_int_eq(c.memory_dim, 64);
    ck_assert_int_eq(c.memory_layers, 4);
    ck_assert_int_eq(c.fuser_layers, 2);
    ck_assert(c.object_scores && c.pointer_time && c.no_object_memory);
    mf_tensors_clear(&t);
}
END_TEST

START_TEST(names_of_transformers)
{
    mf_tensors t = {0}, original = {0};
    make_tensors(GOLDEN "/sam2_tiny_transformers.txt", &t);
    make_tensors(ORIGINAL, &original);
    ck_assert(sam2_names_foreign(&t));
    ok(sam2_names_original(&t));
    ck_assert_uint_eq(t.count, original.count);
    for (size_t i = 0; i < t.count; i++) {
        ck_assert_str_eq(t.item[i].name, original.item[i].name);
        ck_assert_int_eq(t.item[i].array->rank, original.item[i].array->rank);
        ck_assert_mem_eq(t.item[i].array->shape, original.item[i].array->shape,
                         sizeof(int64_t) * (size_t)t.item[i].array->rank);
    }
    mf_tensors_clear(&t);
    mf_tensors_clear(&original);
}
END_TEST

/* Points and the picture lie by one tensor, which transformers lists twice. */
START_TEST(places_that_differ)
{
    mf_tensors t = {0};
    make_tensors(GOLDEN "/sam2_tiny_transformers.txt", &t);
    mf_array *again = mf_tensors_find(&t, "prompt_encoder.shared_embedding.positional_embedding");
    ((uint8_t *)again->data)[0] = 1;
    fails(sam2_names_original(&t),
          "tensors shared_image_embedding.positional_embedding and "
          "prompt_encoder.shared_embedding.positional_embedding differ, where a SAM 2 has one\n"
          "  drop one of them from the file");
    mf_tensors_clear(&t);
}
END_TEST

START_TEST(sam_2_0_and_still_pictures)
{
    mf_tensors t = {0};
    sam2_config c;
    make_tensors(ORIGINAL, &t);
    static const char *const later[] = {"no_obj_embed_spatial", "obj_ptr_tpos_proj.weight",
                                        "obj_ptr_tpos_proj.bias"};
    for (size_t i = 0; i < 3; i++) {
        mf_tensor *item = &t.item[index_of(&t, later[i])];
        free(item->name);
        mf_array_unref(item->array);
        *item = t.item[--t.count];
    }
    ok(sam2_config_from(&t, &(sam2_config){0}, &c));
    ck_assert(!c.pointer_time && !c.no_object_memory && c.memories == 7);
    size_t kept = 0;
    for (size_t i = 0; i < t.count; i++) {
        const char *n = t.item[i].name;
        if (strncmp(n, "image_encoder", 13) && strncmp(n, "sam_", 4) && strcmp(n, "no_mem_embed")) {
            free(t.item[i].name);
            mf_array_unref(t.item[i].array);
        } else {
            t.item[kept++] = t.item[i];
        }
    }
    t.count = kept;
    ok(sam2_config_from(&t, &(sam2_config){0}, &c));
    ck_assert_int_eq(c.memories, 0);
    mf_tensors_clear(&t);
}
END_TEST

START_TEST(what_is_wrong_is_named)
{
    mf_tensors t = {0};
    sam2_config c;
    const sam2_config none = {0};
    make_tensors(ORIGINAL, &t);
    rename_tensor(&t, "sam_mask_decoder.iou_token.weight", "spare");
    fails(sam2_config_from(&t, &none, &c),
          "not a whole SAM 2: it has no tensor sam_mask_decoder.iou_token.weight");
    rename_tensor(&t, "spare", "sam_mask_decoder.iou_token.weight");
    rename_tensor(&t, "memory_encoder.out_proj.bias", "memory_encoder.out_proj.bis");
    fails(sam2_config_from(&t, &none, &c),
          "not a whole SAM 2: it has no tensor memory_encoder.out_proj.bias");
    rename_tensor(&t, "memory_encoder.out_proj.bis", "memory_encoder.out_proj.bias");
    mf_array *more;
    ok(mf_tensors_make(&t, "teacher.weight", MF_F32, 1, (const int64_t[]){3}, &more));
    fails(sam2_config_from(&t, &none, &c),
          "not a whole SAM 2: tensor teacher.weight is none of a SAM 2");
    free(t.item[--t.count].name);
    mf_array_unref(t.item[t.count].array);
    mf_tensor *item = &t.item[index_of(&t, "image_encoder.trunk.blocks.3.mlp.layers.1.weight")];
    item->array->shape[0] = 200;
    fails(sam2_config_from(&t, &none, &c),
          "not a whole SAM 2: tensor image_encoder.trunk.blocks.3.mlp.layers.1.weight is "
          "[200,1536], not [384,1536]");
    item->array->shape[0] = 384;
    fails(sam2_config_from(&t, &(sam2_config){.heads = 5}, &c),
          "num_heads: 96 channels do not make 5 heads");
    fails(sam2_config_from(&t, &(sam2_config){.image = 1000}, &c),
          "image_size 1000 is not a multiple of 32 from 64 to 4096");
    mf_tensors_clear(&t);
}
END_TEST

START_TEST(sizes_go_through_an_artifact)
{
    mf_tensors t = {0};
    sam2_config c, again;
    mf_artifact *model;
    make_tensors(ORIGINAL, &t);
    ok(sam2_config_from(&t, &(sam2_config){.image = 512, .global_count = 1, .global = {9}}, &c));
    ok(mf_artifact_new("model", &model));
    fails(sam2_config_of(model, &again),
          "the model is of no known architecture, not a SAM 2\n"
          "  load one with model.load; 'massflow models' says where they come from");
    ok(sam2_config_describe(&c, model));
    ok(sam2_config_of(model, &again));
    ck_assert_mem_eq(&c, &again, sizeof c);
    sam2_config said;
    ok(sam2_config_said(mf_artifact_text(model, SAM2_CONFIG_KEY), &said));
    ck_assert_int_eq(said.image, 512);
    ck_assert_int_eq(said.embed, 0);
    fails(sam2_config_said("{\"heads\": -1}", &said),
          "massflow.sam2: heads is not a number from 0 to 65536");
    fails(sam2_config_said("[1]", &said), "massflow.sam2: it is not a JSON object");
    fails(sam2_config_said("{\"heads\": 1.5}", &said),
          "massflow.sam2: heads is not a number from 0 to 65536");
    fails(sam2_config_said("{\"windows\": [8, 4, 8]}", &said),
          "massflow.sam2: windows are 3, not 4");
    fails(sam2_config_said("{\"windows\": [8, 4, 8, 4, 2]}", &said),
          "massflow.sam2: windows is not a list of at most 4 numbers");
    fails(sam2_config_said("{\"windows\": [8, -4]}", &said),
          "massflow.sam2: windows: not a number from 0 to 65536");
    fails(sam2_config_said("{\"pointer_time\": 1}", &said),
          "massflow.sam2: pointer_time is neither true nor false");
    fails(sam2_config_said("{\"pointer_time\": t rue}", &said),
          "massflow.sam2: pointer_time is neither true nor false");
    ok(sam2_config_said(
        "{\"a\": {\"b\": [1, \"x\"]}, \"image_size\": 256, \"pointer_time\" : false }", &said));
    ck_assert_int_eq(said.image, 256);
    /* As it stands in artifacts that were made before. */
    ck_assert_str_eq(
        mf_artifact_text(model, SAM2_CONFIG_KEY),
        "{\"image_size\":512,\"heads\":1,\"decoder_heads\":8,\"embed\":96,\"background\":7,"
        "\"dim\":256,\"memories\":7,\"memory_dim\":64,\"memory_layers\":4,"
        "\"fuser_layers\":2,\"object_scores\":true,\"pointer_time\":true,"
        "\"no_object_memory\":true,\"stages\":[1,2,7,2],\"windows\":[8,4,14,7],"
        "\"global_blocks\":[9]}");
    mf_artifact_unref(model);
    mf_tensors_clear(&t);
}
END_TEST

START_TEST(numbers_must_be_finite)
{
    mf_tensors t = {0};
    mf_artifact *model = NULL;
    make_tensors(ORIGINAL, &t);
    ((float *)mf_tensors_find(&t, "no_obj_ptr")->data)[7] = -1.0f / 0.0f;
    fails(mf_architecture_model(&t, &(sam2_config){0}, &model),
          "tensor no_obj_ptr: number 7 is -inf");
    mf_tensors_clear(&t);
    mf_array *a;
    ok(mf_tensors_make(&t, "x", MF_F32, 1, (const int64_t[]){1}, &a));
    fails(mf_architecture_model(&t, &(sam2_config){0}, &model),
          "no model that massflow knows: it has no tensor encoder.inc.conv1.weight (Iris of MASS), "
          "encoder.conv1.weight (Iris with an I3D) or image_encoder.trunk.patch_embed.proj.weight "
          "(SAM 2)\n"
          "  'massflow show FILE' lists its tensors");
    mf_tensors_clear(&t);
}
END_TEST

/* Of a model that says these sizes, without the tensor `left_out`; `doubles`: which one is f64. */
static mf_status check_made_up(const mf_tensors *t, const sam2_config *c, const char *left_out,
                               const char *doubles)
{
    mf_artifact *model;
    ok(mf_artifact_new("model", &model));
    ok(sam2_config_describe(c, model));
    for (size_t i = 0; i < t->count; i++) {
        const mf_array *a = t->item[i].array;
        mf_array *other = NULL;
        if (left_out && !strcmp(t->item[i].name, left_out))
            continue;
        if (doubles && !strcmp(t->item[i].name, doubles))
            ok(mf_array_new(MF_F64, a->rank, a->shape, &other));
        ok(mf_artifact_add(model, t->item[i].name, other ? other : t->item[i].array));
        mf_array_unref(other);
    }
    mf_status status = mf_model_check(model);
    mf_artifact_unref(model);
    return status;
}

/* A model that was imported may say anything. */
START_TEST(tensors_are_those_of_the_sizes_said)
{
    mf_tensors t = {0};
    sam2_config c;
    mf_artifact *model;
    make_tensors(ORIGINAL, &t);
    ok(sam2_config_from(&t, &(sam2_config){0}, &c));
    ok(check_made_up(&t, &c, NULL, NULL));
    fails(check_made_up(&t, &c, "no_mem_embed", NULL),
          "not a whole SAM 2: it has no tensor no_mem_embed");
    fails(check_made_up(&t, &c, NULL, "no_mem_embed"), "tensor no_mem_embed is f64, not f32");
    c.memories = 3;
    fails(check_made_up(&t, &c, NULL, NULL),
          "the model's attribute massflow.sam2 says other sizes than its tensors have");
    mf_tensors_clear(&t);
    ok(mf_artifact_new("model", &model));
    ok(mf_artifact_set_text(model, "architecture", "iris"));
    fails(mf_model_check(model), "not an Iris model: it has no tensor encoder.inc.conv1.weight\n"
                                 "  encoders that are read are the ResUNet of MASS and "
                                 "I3D-ResNets (encoder.conv1.weight)");
    ok(mf_artifact_set_text(model, "architecture", "of a plugin's own"));
    ok(mf_model_check(model));
    mf_artifact_unref(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model");
    TCase *tests = tcase_create("model");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, original_names);
    tcase_add_test(tests, names_of_transformers);
    tcase_add_test(tests, places_that_differ);
    tcase_add_test(tests, sam_2_0_and_still_pictures);
    tcase_add_test(tests, what_is_wrong_is_named);
    tcase_add_test(tests, sizes_go_through_an_artifact);
    tcase_add_test(tests, numbers_must_be_finite);
    tcase_add_test(tests, tensors_are_those_of_the_sizes_said);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
