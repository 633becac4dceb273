/* test_embedding.c - task embeddings as artifacts: what is written is read back; what does not
 * belong to a model is refused. */
#include "../expect.h"
#include "../run_suite.h"
#include "embedding.h"
#include "model.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const mf_iris small = {
    .channels = {4, 8, 32, 32, 64}, .blocks = {1, 1, 1, 1}, .positions = 16};

/* Labels 3 and 7: one of two examples, one drawn. */
static void make(mf_embedding *e)
{
    *e = (mf_embedding){.settings = {.model = "0123456789abcdef",
                                     .spacing = {1, 2, 3},
                                     .patch_size = {16, 32, 48},
                                     .whole_scan = true,
                                     .modality = "MR",
                                     .clip = MF_NORMALIZE_DEFAULT}};
    ok(mf_priors_make(&small, 2, &e->priors));
    for (int level = 0; level < MF_IRIS_LEVELS; level++)
        for (int64_t i = 0; i < 2 * MF_IRIS_TOKENS * small.channels[4 - level]; i++)
            e->priors.level[level][i] = (float)(level * 10000 + i);
    e->labels = calloc(2, sizeof *e->labels);
    e->examples = calloc(2, sizeof *e->examples);
    e->labels[0] = 3;
    e->labels[1] = 7;
    e->examples[0] = 2;
}

static mf_artifact *made(void)
{
    mf_embedding e;
    mf_artifact *a;
    make(&e);
    ok(mf_embedding_write(&e, &small, &a));
    mf_embedding_clear(&e);
    return a;
}

START_TEST(what_is_written_is_read)
{
    mf_embedding e;
    mf_artifact *a = made();
    ok(mf_embedding_check(a));
    ok(mf_embedding_read(a, &small, "0123456789abcdef", &e));
    ck_assert_int_eq(e.priors.k, 2);
    ck_assert_int_eq(e.labels[0], 3);
    ck_assert_int_eq(e.labels[1], 7);
    ck_assert_int_eq(e.examples[0], 2);
    ck_assert_int_eq(e.examples[1], 0);
    for (int level = 0; level < MF_IRIS_LEVELS; level++)
        for (int64_t i = 0; i < 2 * MF_IRIS_TOKENS * small.channels[4 - level]; i++)
            ck_assert(e.priors.level[level][i] == (float)(level * 10000 + i));
    ck_assert_str_eq(e.settings.model, "0123456789abcdef");
    ck_assert(e.settings.spacing[0] == 1 && e.settings.spacing[2] == 3);
    ck_assert_int_eq(e.settings.patch_size[1], 32);
    ck_assert(e.settings.whole_scan);
    ck_assert_str_eq(e.settings.modality, "MR");
    ck_assert(e.settings.clip.window[0] == -991 && e.settings.clip.percentiles[1] == 98);
    mf_embedding_clear(&e);
    mf_artifact_unref(a);
}
END_TEST

START_TEST(an_embedding_of_another_model_is_refused)
{
    static const char hint[] = "\n  use the model that the embedding was made with, or make "
                               "the embedding again with this model";
    char text[512];
    mf_embedding e;
    mf_iris wide = small;
    mf_artifact *a = made();
    wide.channels[4] = 128;
    snprintf(text, sizeof text,
             "the embedding belongs to a model with channels 4 8 32 32 64; this model has channels "
             "4 8 32 32 128%s",
             hint);
    fails(mf_embedding_read(a, &wide, NULL, &e), text);
    snprintf(text, sizeof text,
             "the embedding was made with other weights (fingerprint 0123456789abcdef) than this "
             "model's (00000000000000ff)%s",
             hint);
    fails(mf_embedding_read(a, &small, "00000000000000ff", &e), text);
    ok(mf_embedding_read(a, &small, NULL, &e)); /* any weights */
    mf_embedding_clear(&e);
    mf_artifact_unref(a);
}
END_TEST

static void damaged(void (*damage)(mf_embedding *e), const char *text)
{
    mf_embedding e, back;
    mf_artifact *a;
    make(&e);
    damage(&e);
    ok(mf_embedding_write(&e, &small, &a));
    fails(mf_embedding_read(a, &small, NULL, &back), text);
    ck_assert_ptr_null(back.labels);
    mf_embedding_clear(&e);
    mf_artifact_unref(a);
}

static void same_labels(mf_embedding *e)
{
    e->labels[1] = e->labels[0];
}

static void label_zero(mf_embedding *e)
{
    e->labels[0] = 0;
}

static void nan_token(mf_embedding *e)
{
    e->priors.level[1][5] = (float)__builtin_nan("");
}

static void short_fingerprint(mf_embedding *e)
{
    e->settings.model[3] = '\0';
}

START_TEST(damaged_embeddings_are_refused)
{
    damaged(same_labels, "labels of an embedding are not ascending numbers from 1 to 65535");
    damaged(label_zero, "labels of an embedding are not ascending numbers from 1 to 65535");
    damaged(nan_token, "tokens1 of an embedding: number 5 is nan");
    damaged(short_fingerprint, "its fingerprint of a model is not 16 digits");
}
END_TEST

/* The values of weights of one model decide, and nothing else. */
START_TEST(a_fingerprint_stands_for_values)
{
    char first[MF_FINGERPRINT], second[MF_FINGERPRINT];
    mf_device *device;
    mf_weights *w;
    mf_weight_info info;
    ok(mf_device_open("", &device));
    ok(mf_weights_new(device, &w));
    ok(mf_model_declare(w, &small));
    ok(mf_model_draw(w, 1));
    ok(mf_embedding_fingerprint(w, false, first));
    ck_assert_uint_eq(strlen(first), 16);
    ok(mf_embedding_fingerprint(w, false, second));
    ck_assert_str_eq(first, second);
    mf_weights_info(w, 7, &info);
    float *values = malloc((size_t)info.count * sizeof *values);
    ok(mf_weights_get(w, 7, values));
    values[info.count - 1] = -values[info.count - 1]; /* one bit */
    ok(mf_weights_set(w, 7, values));
    ok(mf_embedding_fingerprint(w, false, second));
    ck_assert_str_ne(first, second);
    values[info.count - 1] = -values[info.count - 1];
    ok(mf_weights_set(w, 7, values));
    ok(mf_embedding_fingerprint(w, false, second));
    ck_assert_str_eq(first, second);
    free(values);
    mf_weights_free(w);
    mf_device_unref(device);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("embedding");
    TCase *tests = tcase_create("embedding");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, what_is_written_is_read);
    tcase_add_test(tests, an_embedding_of_another_model_is_refused);
    tcase_add_test(tests, damaged_embeddings_are_refused);
    tcase_add_test(tests, a_fingerprint_stands_for_values);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
