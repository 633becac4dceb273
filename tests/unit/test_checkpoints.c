/* test_checkpoints.c - the checkpoints of the official MASS code, as torch.save wrote them; and
 * PyTorch's files, written and read back. */
#include "../expect.h"
#include "../run_suite.h"
#include "pickle_write.h"
#include "read.h"
#include "torch_write.h"
#include "zip_store.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

/* ---- what PyTorch wrote ---------------------------------------------------------------------- */

/* The tensors that are read of a part, each as "name=first value", in order of name. */
static void reads(const char *file, mf_torch_part part, const char *expected)
{
    mf_tensors t = {0};
    char text[500] = "", path[500];
    snprintf(path, sizeof path, GOLDEN "/%s", file);
    ok(mf_tensors_read_part(path, part, &t));
    for (size_t i = 0; i < t.count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s=%g", i ? " " : "",
                 t.item[i].name, (double)*(const float *)t.item[i].array->data);
    for (size_t i = 0; i < t.notes; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), " %s=%s", t.note[i].key,
                 t.note[i].text);
    ck_assert_str_eq(text, expected);
    mf_tensors_clear(&t);
}

static void refuses(const char *file, mf_torch_part part, const char *expected)
{
    mf_tensors t = {0};
    char text[1100], path[500];
    snprintf(path, sizeof path, GOLDEN "/%s", file);
    snprintf(text, sizeof text, "%s: %s", path, expected);
    fails(mf_tensors_read_part(path, part, &t), text);
    ck_assert_uint_eq(t.count, 0);
}

START_TEST(official_checkpoints)
{
    reads("mass_pretrained.pt", MF_TORCH_MODEL, "ema.encoder.w=11 encoder.w=1 task_prior_0=2");
    reads("mass_finetuned.pt", MF_TORCH_MODEL, "ema.encoder.w=11 ema.out.w=12 encoder.w=1 out.w=2");
    reads("mass_finetuned.pt", MF_TORCH_PRIORS, "priors.0=10 priors.1=11 priors.2=12 is_ema=true");
    reads("mass_priors.pt", MF_TORCH_PRIORS,
          "priors.0=10 priors.1=11 priors.2=12 class_names.0=spleen class_names.1=left kidney "
          "is_ema=true");
    reads("mass_classifier.pt", MF_TORCH_MODEL, "encoder.inc.w=1");
    reads("mass_classifier.pt", MF_TORCH_HEAD, "fc.bias=6 fc.weight=5");
    reads("mass_average.pt", MF_TORCH_MODEL, "encoder.w=11");
}
END_TEST

START_TEST(parts_that_are_not_there)
{
    refuses("mass_pretrained.pt", MF_TORCH_PRIORS,
            "no tensors under \"ema_learnable_priors\", \"learnable_priors\" or \"priors\"\n"
            "  checkpoints of the official fine-tuning and its learned_priors.pth have them");
    refuses("mass_finetuned.pt", MF_TORCH_HEAD,
            "no tensors under \"head_state_dict\"\n"
            "  checkpoints of the official classification training have them");
    refuses("mass_priors.pt", MF_TORCH_MODEL,
            "no tensors under \"model\", \"model_state_dict\", \"state_dict\", \"ema_model\" or at "
            "the top\n  in Python: torch.save(model.state_dict(), ...)");
}
END_TEST

/* ---- what is written ------------------------------------------------------------------------- */

static char path[64];

static void new_path(void)
{
    strcpy(path, "/tmp/massflow-test-XXXXXX");
    close(mkstemp(path));
}

static void add(mf_artifact *a, const char *name, mf_dtype dtype, int rank, const int64_t *shape)
{
    mf_array *array;
    ok(mf_array_new(dtype, rank, shape, &array));
    for (size_t i = 0; i < array->bytes; i++)
        ((uint8_t *)array->data)[i] = (uint8_t)(7 * i);
    ok(mf_artifact_add(a, name, array));
    mf_array_unref(array);
}

static mf_status describe(const mf_artifact *a, FILE *out)
{
    pickle_put_dict(out);
    pickle_put_text(out, "model");
    pickle_put_dict(out);
    for (size_t i = 0; i < mf_artifact_array_count(a); i++) {
        mf_array_info info;
        mf_artifact_array_info(a, i, &info);
        pickle_put_text(out, info.name);
        MF_TRY(mf_torch_put_array(out, a, i));
    }
    pickle_put_dict_end(out);
    pickle_put_text(out, "priors");
    pickle_put_list(out);
    MF_TRY(mf_torch_put_array(out, a, 1)); /* shares its storage */
    pickle_put_list_end(out);
    pickle_put_text(out, "rest");
    pickle_put_list(out);
    pickle_put_int(out, -1);
    pickle_put_int(out, 70000);
    pickle_put_int(out, INT64_C(1) << 40);
    pickle_put_real(out, 0.5);
    pickle_put_bool(out, true);
    pickle_put_ints(out, (const int64_t[]){1, 2}, 2);
    pickle_put_list_end(out);
    pickle_put_dict_end(out);
    return MF_OK;
}

START_TEST(read_back)
{
    static const int64_t shape[] = {2, 3, 5}, none[] = {0, 4};
    mf_artifact *a;
    mf_tensors t = {0};
    ok(mf_artifact_new("model", &a));
    add(a, "a", MF_F32, 3, shape);
    add(a, "b", MF_I64, 1, shape);
    add(a, "empty", MF_F32, 2, none);
    add(a, "half", MF_F16, 2, shape);
    add(a, "scalar", MF_F64, 0, NULL);
    new_path();
    ok(mf_torch_write(a, path, describe));
    ok(mf_tensors_read(path, &t));
    ck_assert_uint_eq(t.count, 5);
    for (size_t i = 0; i < t.count; i++) {
        mf_array *array;
        const mf_array *got = t.item[i].array;
        ok(mf_artifact_array(a, t.item[i].name, &array));
        ck_assert_int_eq(got->dtype, array->dtype);
        ck_assert_int_eq(got->rank, array->rank);
        ck_assert(!memcmp(got->shape, array->shape, sizeof(int64_t) * (size_t)got->rank));
        ck_assert_uint_eq(got->bytes, array->bytes);
        ck_assert(!got->bytes || !memcmp(got->data, array->data, got->bytes));
        mf_array_unref(array);
    }
    mf_tensors_clear(&t);
    ok(mf_tensors_read_part(path, MF_TORCH_PRIORS, &t));
    ck_assert_uint_eq(t.count, 1);
    mf_tensors_clear(&t);
    unlink(path);

    add(a, "words", MF_U16, 1, shape);
    fails(mf_torch_write(a, path, describe), "PyTorch has no tensors of u16, as 'words' is");
    mf_artifact_unref(a);
}
END_TEST

/* Every write to it fails. */
START_TEST(full_disk)
{
    static const int64_t shape[] = {100000};
    mf_artifact *a;
    if (access("/dev/full", W_OK))
        return;
    ok(mf_artifact_new("model", &a));
    add(a, "a", MF_F32, 1, shape);
    add(a, "b", MF_F32, 1, shape);
    fails(mf_torch_write(a, "/dev/full", describe), "No space left on device");
    fails(mf_torch_write(a, "/nowhere/it.pt", describe), "No such file or directory");
    mf_artifact_unref(a);
}
END_TEST

/* ---- the zip --------------------------------------------------------------------------------- */

static size_t offset_of(const void *bytes, size_t size)
{
    char file[20000];
    FILE *f = fopen(path, "rb");
    size_t length = fread(file, 1, sizeof file, f);
    fclose(f);
    const char *at = memmem(file, length, bytes, size);
    ck_assert_ptr_nonnull(at);
    return (size_t)(at - file);
}

/* With `largest` of 32 bits, or so small that sizes and offsets take zip64, which libzip reads. */
static void zip_of(uint64_t largest, size_t count)
{
    zip_store z;
    char name[40];
    uint8_t bytes[100], got[101];
    FILE *file;
    new_path();
    file = fopen(path, "wb");
    zip_store_begin(file, &z);
    if (largest)
        z.largest = largest;
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "archive/data/%zu", i);
        memset(bytes, (int)(i + 1), sizeof bytes);
        ok(zip_store_add(&z, name, bytes, i % 3 ? i % 100 : 100));
    }
    zip_store_end(&z);
    ck_assert_uint_eq(z.at, (uint64_t)ftell(file));
    zip_store_clear(&z);
    fclose(file);

    int code = 0;
    zip_t *zip = zip_open(path, ZIP_RDONLY | ZIP_CHECKCONS, &code);
    ck_assert_msg(zip != NULL, "error %d of libzip", code);
    ck_assert_int_eq(zip_get_num_entries(zip, 0), (zip_int64_t)count);
    for (size_t i = 0; i<count; i += count> 1000 ? 997 : 1) {
        zip_int64_t size = i % 3 ? (zip_int64_t)(i % 100) : 100;
        snprintf(name, sizeof name, "archive/data/%zu", i);
        zip_file_t *entry = zip_fopen(zip, name, 0);
        ck_assert_ptr_nonnull(entry);
        ck_assert_int_eq(zip_fread(entry, got, sizeof got), size);
        for (zip_int64_t k = 0; k < size; k++)
            ck_assert_uint_eq(got[k], (uint8_t)(i + 1));
        ck_assert_int_eq(zip_fclose(entry), 0);
    }
    zip_discard(zip);
}

START_TEST(zips)
{
    uint8_t bytes[100];
    zip_of(0, 7);
    for (int i = 0; i < 3; i++) { /* each starts on a multiple of 64 */
        memset(bytes, 3 * i + 1, sizeof bytes);
        ck_assert_uint_eq(offset_of(bytes, sizeof bytes) % 64, 0);
    }
    unlink(path);
    zip_of(50, 7); /* sizes and offsets */
    memset(bytes, 4, sizeof bytes);
    ck_assert_uint_eq(offset_of(bytes, sizeof bytes) % 64, 0);
    unlink(path);
    zip_of(150, 7); /* offsets alone */
    unlink(path);
    zip_of(0, 0);
    unlink(path);
    zip_of(0, 66000); /* more entries than 16 bits count */
    unlink(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("checkpoints");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 300); /* on a busy machine too */
    tcase_add_test(t, official_checkpoints);
    tcase_add_test(t, parts_that_are_not_there);
    tcase_add_test(t, read_back);
    tcase_add_test(t, full_disk);
    tcase_add_test(t, zips);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
