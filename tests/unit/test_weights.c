/* test_weights.c - PyTorch checkpoints: one that PyTorch wrote, and what is refused. */
#include "../expect.h"
#include "../run_suite.h"
#include "pickle.h"
#include "read.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

/* ---- a file that PyTorch wrote --------------------------------------------------------------- */

static void check_values(const mf_tensors *t, const char *name, mf_dtype dtype, int rank,
                         const int64_t *shape, const double *values)
{
    mf_array *a = mf_tensors_find(t, name), *wide;
    ck_assert_msg(a != NULL, "no tensor %s", name);
    ck_assert_int_eq(a->dtype, dtype);
    ck_assert_int_eq(a->rank, rank);
    for (int i = 0; i < rank; i++)
        ck_assert_int_eq(a->shape[i], shape[i]);
    ok(mf_array_convert(a, MF_F64, &wide));
    for (int64_t i = 0; i < mf_array_count(a); i++)
        ck_assert_double_eq(((const double *)wide->data)[i], values[i]);
    mf_array_unref(wide);
}

#define VALUES(name, dtype, rank, ...)                                                             \
    check_values(&t, name, dtype, rank, (const int64_t[])__VA_ARGS__)

START_TEST(checkpoint_of_pytorch)
{
    mf_tensors t = {0};
    ok(mf_tensors_read(GOLDEN "/checkpoint.pt", &t));
    ck_assert_uint_eq(t.count, 13);
    VALUES("weight", MF_F32, 2, {2, 3}, (const double[]){0, 1, 2, 3, 4, 5});
    VALUES("bias", MF_F32, 1, {2}, (const double[]){0.5, -0.5});
    VALUES("half", MF_F16, 1, {2}, (const double[]){1.5, -2});
    VALUES("bfloat", MF_F32, 1, {2}, (const double[]){1.5, -3});
    VALUES("double", MF_F64, 1, {1}, (const double[]){1e-300});
    VALUES("long", MF_I64, 1, {2}, (const double[]){1099511627776, -1});
    VALUES("yes", MF_U8, 1, {3}, (const double[]){1, 0, 1});
    VALUES("turned", MF_F32, 3, {3, 2, 3},
           (const double[]){1, 5, 9, 13, 17, 21, 2, 6, 10, 14, 18, 22, 3, 7, 11, 15, 19, 23});
    VALUES("part", MF_F32, 1, {3}, (const double[]){14, 18, 22});
    VALUES("scalar", MF_F32, 0, {0}, (const double[]){7});
    VALUES("nothing", MF_F32, 2, {0, 4}, NULL);
    VALUES("parameter", MF_F32, 1, {1}, (const double[]){3});
    VALUES("ema.weight", MF_F32, 2, {2, 3}, (const double[]){0.25, 0.25, 0.25, 0.25, 0.25, 0.25});
    mf_tensors_clear(&t);
}
END_TEST

/* Cut anywhere it is an error, and one that names the file. */
START_TEST(cut_short)
{
    char path[] = "/tmp/massflow-test-XXXXXX", bytes[1 << 15];
    FILE *in = fopen(GOLDEN "/checkpoint.pt", "rb");
    ck_assert_ptr_nonnull(in);
    size_t size = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    ck_assert_uint_lt(size, sizeof bytes);
    int file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(write(file, bytes, size), (ssize_t)size);
    for (size_t length = size - 1; length > 300; length -= length % 300 + 1) {
        mf_tensors t = {0};
        ck_assert_int_eq(ftruncate(file, (off_t)length), 0);
        mf_status status = mf_tensors_read(path, &t);
        ck_assert_ptr_nonnull(status);
        char *text = mf_error_text(status);
        ck_assert_msg(strstr(text, path) != NULL, "%s", text);
        free(text);
        mf_error_free(status);
        ck_assert_uint_eq(t.count, 0);
    }
    close(file);
    unlink(path);
}
END_TEST

/* ---- pickles --------------------------------------------------------------------------------- */

/* The bytes of a literal, without the NUL at its end. */
#define PICKLE(text) (const uint8_t *)(text), sizeof(text) - 1

static void refused(const uint8_t *bytes, size_t size, const char *expected)
{
    pickle *p;
    const pickle_value *root;
    fails(pickle_read(bytes, size, &p, &root), expected);
    ck_assert_ptr_null(p);
    ck_assert_ptr_null(root);
}

#define HINT "\n  in Python: torch.save(model.state_dict(), ...), or save it as safetensors"

START_TEST(calls_are_refused)
{
    refused(PICKLE("\x80\x02"
                   "cos\nsystem\nX\x04\0\0\0exit\x85R."),
            "it asks for os.system; only tensors and plain containers are read" HINT);
    refused(PICKLE("\x80\x04\x8c\x08"
                   "builtins\x8c\x04"
                   "eval\x93."),
            "it asks for builtins.eval; only tensors and plain containers are read" HINT);
    refused(PICKLE("\x80\x02"
                   "(ios\nsystem\n."),
            "byte 3 of its pickle: opcode 0x69; only tensors and plain containers are read");
    refused(PICKLE("\x80\x02"
                   "ccollections\nOrderedDict\n)\x81."),
            "byte 28 of its pickle: opcode 0x81; only tensors and plain containers are read");
    refused(PICKLE("\x80\x02"
                   "ccollections\nOrderedDict\nK\x01\x85R."),
            "it calls collections OrderedDict in a way that is not known");
    refused(PICKLE("\x80\x02K\x01)R."), "byte 6 of its pickle: it calls what is not a function");
}
END_TEST

START_TEST(broken_pickles)
{
    refused(PICKLE(""), "byte 0 of its pickle: it ends too early");
    refused(PICKLE("\x80\x02."), "byte 3 of its pickle: it takes from an empty stack");
    refused(PICKLE("\x80\x07."), "pickles of protocol 7 are not read; 2 to 5 are");
    refused(PICKLE("X\xff\xff\xff\xff"), "byte 5 of its pickle: a text goes past its end");
    refused(PICKLE("Nr\xff\xff\xff\x7f."),
            "byte 6 of its pickle: it remembers more than it can hold");
    refused(PICKLE("h\x05."), "byte 2 of its pickle: it recalls what it never saw");
    refused(PICKLE("t."), "byte 1 of its pickle: a mark is missing");
    refused(PICKLE("}(Nu."), "byte 4 of its pickle: a key without a value");
    refused(PICKLE("N(NNu."), "byte 5 of its pickle: it fills what is not a dict");
    refused(PICKLE("\x8a\x09\1\1\1\1\1\1\1\1\1."),
            "byte 2 of its pickle: an integer of more than 64 bits");
    refused(PICKLE("(."), "byte 2 of its pickle: it takes from an empty stack");
}
END_TEST

START_TEST(values)
{
    pickle *p;
    const pickle_value *root;
    ok(pickle_read(PICKLE("\x80\x02}q\0(X\1\0\0\0aK\x07X\1\0\0\0bJ\xfe\xff\xff\xffX\1\0\0\0cG\xbf"
                          "\xe0\0\0\0\0\0\0X\1\0\0\0d\x8a\x02\0\xffX\1\0\0\0eh\0X\1\0\0\0f(K\1M\1"
                          "\2tX\1\0\0\0g](\x88\x89Neu."),
                   &p, &root));
    ck_assert_int_eq(pickle_get(root, "a")->integer, 7);
    ck_assert_int_eq(pickle_get(root, "b")->integer, -2);
    ck_assert_double_eq(pickle_get(root, "c")->real, -0.5);
    ck_assert_int_eq(pickle_get(root, "d")->integer, -256);
    ck_assert_ptr_eq(pickle_get(root, "e"), root); /* it holds itself */
    ck_assert_uint_eq(pickle_get(root, "f")->list.count, 2);
    ck_assert_int_eq(pickle_get(root, "f")->list.item[1]->integer, 513);
    ck_assert_uint_eq(pickle_get(root, "g")->list.count, 3);
    ck_assert_ptr_null(pickle_get(root, "h"));
    ck_assert_ptr_null(pickle_get(pickle_get(root, "a"), "a"));
    pickle_free(p);
}
END_TEST

#define AGAIN "\n  copy or download it again"
#define ANEW "\n  in Python: torch.save(torch.load(\"it.pt\", weights_only=True), \"new.pt\")"

/* ---- zips ------------------------------------------------------------------------------------ */

/* A tensor `x` of `shape` (two digits) and `strides`, its storage "0" of `count` floats, in a state
 * dict. */
#define TENSOR(count, shape, strides)                                                              \
    "\x80\x02}X\1\0\0\0xctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage" \
    "\nX\1\0\0\0"                                                                                  \
    "0X\3\0\0\0cpuK" count "tQK\0(K" shape "t(K" strides "t\x89NtRs."

static void write_zip(const char *path, const char *pickle_bytes, size_t size, size_t data)
{
    static const uint8_t zeros[256];
    zip_t *zip = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, NULL);
    ck_assert_ptr_nonnull(zip);
    const char *names[2] = {"it/data.pkl", "it/data/0"};
    const void *bytes[2] = {pickle_bytes, zeros};
    const size_t sizes[2] = {size, data};
    for (int i = 0; i < 2; i++) {
        zip_source_t *source = zip_source_buffer(zip, bytes[i], sizes[i], 0);
        zip_int64_t index = zip_file_add(zip, names[i], source, 0);
        ck_assert_int_ge(index, 0);
        ck_assert_int_eq(zip_set_file_compression(zip, (zip_uint64_t)index, ZIP_CM_STORE, 0), 0);
    }
    ck_assert_int_eq(zip_close(zip), 0);
}

static void zip_refused(const char *pickle_bytes, size_t size, size_t data, const char *expected)
{
    char path[] = "/tmp/massflow-test-XXXXXX", text[400];
    mf_tensors t = {0};
    close(mkstemp(path));
    write_zip(path, pickle_bytes, size, data);
    snprintf(text, sizeof text, "%s: %s", path, expected);
    fails(mf_tensors_read(path, &t), text);
    unlink(path);
}

#define TENSOR_REFUSED(count, shape, strides, data, expected)                                      \
    zip_refused(TENSOR(count, shape, strides), sizeof(TENSOR(count, shape, strides)) - 1, data,    \
                expected)

START_TEST(tensors_stay_in_their_storage)
{
    char path[] = "/tmp/massflow-test-XXXXXX";
    mf_tensors t = {0};
    close(mkstemp(path));
    write_zip(path, TENSOR("\x06", "\x02K\x03", "\x03K\x01"),
              sizeof TENSOR("\x06", "\x02K\x03", "\x03K\x01") - 1, 24);
    ok(mf_tensors_read(path, &t));
    ck_assert_int_eq(mf_array_count(mf_tensors_find(&t, "x")), 6);
    mf_tensors_clear(&t);
    unlink(path);
    TENSOR_REFUSED("\x05", "\x02K\x03", "\x03K\x01", 24,
                   "byte 112 of its pickle: a tensor that reaches past its storage");
    TENSOR_REFUSED("\x06", "\x02K\x03", "\x03K\x01", 20,
                   "tensor x: its storage has 20 bytes, not 6 numbers of 4" AGAIN);
    zip_refused(
        "\x80\x02}.", 4, 4,
        "no tensors under \"model\", \"model_state_dict\", \"state_dict\", \"ema_model\" or "
        "at the top\n  in Python: torch.save(model.state_dict(), ...)");
}
END_TEST

/* ---- checkpoints made up --------------------------------------------------------------------- */

/* A pickle of a state dict, grown tensor by tensor. */
typedef struct made {
    char *bytes;
    size_t size;
    FILE *out;
} made;

static void put_text(FILE *out, const char *text)
{
    uint32_t size = (uint32_t)strlen(text);
    fputc('X', out);
    fwrite(&size, 1, 4, out);
    fputs(text, out);
}

static void put_int(FILE *out, int64_t value)
{
    fputs("\x8a\x08", out);
    fwrite(&value, 1, 8, out);
}

static void made_begin(made *m)
{
    *m = (made){0};
    m->out = open_memstream(&m->bytes, &m->size);
    fputs("\x80\x02}(", m->out);
}

/* Floats out of storage `key` of `count`; memo 1 has it then. */
static void put_tensor(made *m, const char *name, const char *key, int64_t count, int64_t offset,
                       int rank, const int64_t *shape, const int64_t *strides)
{
    put_text(m->out, name);
    fputs("ctorch._utils\n_rebuild_tensor_v2\n((", m->out);
    put_text(m->out, "storage");
    fputs("ctorch\nFloatStorage\n", m->out);
    put_text(m->out, key);
    put_text(m->out, "cpu");
    put_int(m->out, count);
    fputs("tQ", m->out);
    put_int(m->out, offset);
    fputc('(', m->out);
    for (int i = 0; i < rank; i++)
        put_int(m->out, shape[i]);
    fputs("t(", m->out);
    for (int i = 0; i < rank; i++)
        put_int(m->out, strides[i]);
    fputs("t\x89NtRq\1", m->out);
}

static void put_row(made *m, const char *name, const char *key, int64_t count, int64_t offset,
                    int64_t length)
{
    put_tensor(m, name, key, count, offset, 1, &length, (const int64_t[]){1});
}

/* Ends the pickle and writes it with storages "0", "1", ... of these sizes: number i is i. */
static void write_made(made *m, const char *path, int storages, const size_t *bytes, bool deflate)
{
    float *numbers = malloc((1 << 20) * sizeof *numbers);
    char name[32];
    fputs("u.", m->out);
    fclose(m->out);
    for (int i = 0; i < 1 << 20; i++)
        numbers[i] = (float)i;
    zip_t *zip = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, NULL);
    ck_assert_ptr_nonnull(zip);
    for (int i = -1; i < storages; i++) {
        snprintf(name, sizeof name, i < 0 ? "it/data.pkl" : "it/data/%d", i);
        zip_source_t *source = i < 0 ? zip_source_buffer(zip, m->bytes, m->size, 0)
                                     : zip_source_buffer(zip, numbers, bytes[i], 0);
        zip_int64_t index = zip_file_add(zip, name, source, 0);
        ck_assert_int_ge(index, 0);
        zip_set_file_compression(zip, (zip_uint64_t)index,
                                 deflate && i >= 0 ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0);
    }
    ck_assert_int_eq(zip_close(zip), 0);
    free(numbers);
    free(m->bytes);
}

static size_t size_of(const char *path)
{
    struct stat about;
    ck_assert_int_eq(stat(path, &about), 0);
    return (size_t)about.st_size;
}

/* `change` finds `from` in the file, from its end on, and writes `to` of the same size there. */
static void change(const char *path, const void *from, const void *to, size_t size)
{
    size_t length = size_of(path);
    char *bytes = malloc(length);
    FILE *f = fopen(path, "r+b");
    ck_assert_uint_eq(fread(bytes, 1, length, f), length);
    size_t at = length - size;
    while (at && memcmp(bytes + at, from, size))
        at--;
    ck_assert_uint_gt(at, 0);
    fseek(f, (long)at, SEEK_SET);
    fwrite(to, 1, size, f);
    fclose(f);
    free(bytes);
}

static char made_path[64];

static void new_path(void)
{
    strcpy(made_path, "/tmp/massflow-test-XXXXXX");
    close(mkstemp(made_path));
}

static void path_refused(const char *expected)
{
    char text[600];
    mf_tensors t = {0};
    snprintf(text, sizeof text, "%s: %s", made_path, expected);
    fails(mf_tensors_read(made_path, &t), text);
    ck_assert_uint_eq(t.count, 0);
    unlink(made_path);
}

/* Tied weights and parts of one storage are as they are in PyTorch; the same part is one array. */
START_TEST(storages_are_shared)
{
    made m;
    mf_tensors t = {0};
    new_path();
    made_begin(&m);
    put_row(&m, "a", "0", 1000, 0, 1000);
    put_text(m.out, "tied");
    fputs("h\1", m.out);
    put_row(&m, "again", "0", 1000, 0, 1000);
    put_row(&m, "part", "0", 1000, 990, 10);
    put_tensor(&m, "turned", "0", 1000, 1, 2, (const int64_t[]){2, 3}, (const int64_t[]){1, 100});
    put_row(&m, "other", "1", 2, 1, 1);
    write_made(&m, made_path, 2, (const size_t[]){4000, 8}, false);
    ok(mf_tensors_read(made_path, &t));
    ck_assert_uint_eq(t.count, 6);
    const mf_array *a = mf_tensors_find(&t, "a");
    ck_assert_ptr_eq(mf_tensors_find(&t, "tied"), a);
    ck_assert_ptr_eq(mf_tensors_find(&t, "again"), a);
    for (int i = 0; i < 1000; i++)
        ck_assert(((const float *)a->data)[i] == (float)i);
    const float *part = mf_tensors_find(&t, "part")->data;
    ck_assert(part[0] == 990 && part[9] == 999);
    ck_assert_mem_eq(mf_tensors_find(&t, "turned")->data,
                     ((const float[]){1, 101, 201, 2, 102, 202}), 24);
    ck_assert(*(const float *)mf_tensors_find(&t, "other")->data == 1);
    mf_tensors_clear(&t);
    unlink(made_path);
}
END_TEST

#define CLONE                                                                                      \
    "\n  where that is meant, in Python: torch.save({k: v.clone() for k, v in "                    \
    "model.state_dict().items()}, \"new.pt\")"

/* 1,000 names for one tensor, or one number expanded: more than the file could mean. */
START_TEST(names_take_no_more_than_four_files)
{
    made m;
    char text[400], name[16];
    new_path();
    made_begin(&m);
    put_row(&m, "n0", "0", 100000, 0, 100000);
    for (int i = 1; i < 1000; i++) {
        snprintf(name, sizeof name, "n%d", i);
        put_text(m.out, name);
        fputs("h\1", m.out);
    }
    write_made(&m, made_path, 1, (const size_t[]){400000}, false);
    snprintf(text, sizeof text,
             "tensor n4: with it the tensors are larger than 4 times the file of %zu bytes" CLONE,
             size_of(made_path));
    path_refused(text);
    made_begin(&m);
    new_path();
    put_tensor(&m, "x", "0", 1, 0, 2, (const int64_t[]){1 << 20, 1 << 20}, (const int64_t[]){0, 0});
    write_made(&m, made_path, 1, (const size_t[]){4}, false);
    snprintf(text, sizeof text,
             "tensor x: with it the tensors are larger than 4 times the file of %zu bytes" CLONE,
             size_of(made_path));
    path_refused(text);
    made_begin(&m);
    new_path();
    put_tensor(&m, "x", "0", 1, 0, 3, (const int64_t[]){INT64_MAX, INT64_MAX, INT64_MAX},
               (const int64_t[]){0, 0, 0});
    write_made(&m, made_path, 1, (const size_t[]){4}, false);
    snprintf(text, sizeof text,
             "tensor x: with it the tensors are larger than 4 times the file of %zu bytes" CLONE,
             size_of(made_path));
    path_refused(text);
}
END_TEST

/* Along an axis of one element a file may give any stride; nothing is ever passed there. */
START_TEST(strides_are_bounded)
{
    made m;
    mf_tensors t = {0};
    new_path();
    made_begin(&m);
    put_tensor(&m, "w", "0", 4, 1, 3, (const int64_t[]){1, 1, 3},
               (const int64_t[]){INT64_MAX, INT64_MAX - 1, 1});
    write_made(&m, made_path, 1, (const size_t[]){16}, false);
    ok(mf_tensors_read(made_path, &t));
    ck_assert_mem_eq(mf_tensors_find(&t, "w")->data, ((const float[]){1, 2, 3}), 12);
    mf_tensors_clear(&t);
    made_begin(&m);
    put_tensor(&m, "w", "0", 4, 0, 2, (const int64_t[]){3, 3},
               (const int64_t[]){INT64_MAX / 2, INT64_MAX / 2 + 1});
    write_made(&m, made_path, 1, (const size_t[]){16}, false);
    path_refused("byte 161 of its pickle: a tensor that reaches past its storage");
}
END_TEST

/* Two entries for the same bytes of the file, compressed ones, damaged ones, none. */
START_TEST(entries_are_as_pytorch_writes_them)
{
    char text[400];
    made m;
    new_path();
    made_begin(&m);
    put_row(&m, "a", "0", 1024, 0, 1);
    put_row(&m, "b", "1", 1024, 0, 1);
    write_made(&m, made_path, 2, (const size_t[]){4096, 0}, false);
    /* The directory's record of it/data/1: checksum, both sizes and place are those of it/data/0.
     */
    size_t length = size_of(made_path);
    char *bytes = malloc(length);
    FILE *f = fopen(made_path, "r+b");
    ck_assert_uint_eq(fread(bytes, 1, length, f), length);
    char *first = NULL, *second = NULL;
    for (size_t i = 0; i + 56 <= length; i++)
        if (!memcmp(bytes + i, "PK\1\2", 4) && !memcmp(bytes + i + 46, "it/data/", 8)) {
            second = bytes + i;
            first = first ? first : second;
        }
    ck_assert_ptr_ne(first, second);
    memcpy(second + 16, first + 16, 12);
    memcpy(second + 42, first + 42, 4);
    rewind(f);
    fwrite(bytes, 1, length, f);
    fclose(f);
    free(bytes);
    snprintf(text, sizeof text,
             "tensor b: its storage 1 has 4096 bytes, where the file of %zu has %zu left after "
             "those before it" ANEW,
             length, length - 4096);
    path_refused(text);

    made_begin(&m);
    new_path();
    put_row(&m, "a", "0", 1 << 20, 0, 1);
    write_made(&m, made_path, 1, (const size_t[]){4 << 20}, true);
    path_refused("tensor a: the entry it/data/0 of its zip is compressed or encrypted, which "
                 "PyTorch never does" ANEW);

    made_begin(&m);
    new_path();
    put_row(&m, "a", "0", 4, 0, 1);
    write_made(&m, made_path, 1, (const size_t[]){16}, false);
    change(made_path, (const float[]){2, 3}, (const float[]){2, 4}, 8);
    path_refused("tensor a: the entry it/data/0 of its zip is damaged: CRC error" AGAIN);

    made_begin(&m);
    new_path();
    put_row(&m, "a", "../data.pkl", 1, 0, 1);
    write_made(&m, made_path, 0, NULL, false);
    path_refused("tensor a: its zip has no entry it/data/../data.pkl" AGAIN);

    made_begin(&m);
    new_path();
    for (int i = 0; i < 4 << 20; i++)
        fputc('N', m.out);
    write_made(&m, made_path, 0, NULL, false);
    path_refused("its pickle has 4194310 bytes; at most 4194304 are read" HINT);
}
END_TEST

START_TEST(names_without_wrappers)
{
    made m;
    mf_tensors t = {0};
    char *longest = calloc(1, 7 * 500000 + 1);
    new_path();
    made_begin(&m);
    put_row(&m, "module._orig_mod.module.w", "0", 2, 1, 1);
    put_row(&m, "module", "0", 2, 0, 1);
    write_made(&m, made_path, 1, (const size_t[]){8}, false);
    ok(mf_tensors_read(made_path, &t));
    ck_assert(*(const float *)mf_tensors_find(&t, "w")->data == 1);
    ck_assert(*(const float *)mf_tensors_find(&t, "module")->data == 0);
    mf_tensors_clear(&t);
    made_begin(&m);
    for (int i = 0; i < 500000; i++)
        memcpy(longest + 7 * i, "module.", 7);
    put_row(&m, longest, "0", 1, 0, 1);
    free(longest);
    write_made(&m, made_path, 1, (const size_t[]){4}, false);
    path_refused("a tensor without a name\n  save it with a name for each tensor");
    made_begin(&m);
    new_path();
    put_row(&m, "module.x", "0", 1, 0, 1);
    put_row(&m, "x", "0", 1, 0, 1);
    write_made(&m, made_path, 1, (const size_t[]){4}, false);
    path_refused("two tensors are called x\n  save it with one tensor of each name");
}
END_TEST

/* Nothing waits for a writer, and nothing reads without end. */
START_TEST(only_files_are_read)
{
    new_path();
    unlink(made_path);
    ck_assert_int_eq(mkfifo(made_path, 0600), 0);
    path_refused("is a pipe, not a file\n  write the bytes to a file, and name that");
    ck_assert_int_eq(symlink("/dev/zero", made_path), 0);
    path_refused("is a device, not a file\n  write the bytes to a file, and name that");
}
END_TEST

START_TEST(other_files)
{
    char path[] = "/tmp/massflow-test-XXXXXX", text[400];
    mf_tensors t = {0};
    int file = mkstemp(path);
    ck_assert_int_eq(write(file, "\x80\x02\x8a\x0a", 4), 4); /* the magic number of old files */
    snprintf(text, sizeof text,
             "%s: a PyTorch file of before version 1.6\n  in Python: "
             "torch.save(torch.load(\"it.pt\", weights_only=True), \"new.pt\")",
             path);
    fails(mf_tensors_read(path, &t), text);
    close(file);
    unlink(path);
    zip_t *zip = zip_open(path, ZIP_CREATE, NULL);
    zip_int64_t index = zip_file_add(zip, "a.txt", zip_source_buffer(zip, "a", 1, 0), 0);
    ck_assert_int_eq(index, 0);
    ck_assert_int_eq(zip_close(zip), 0);
    snprintf(text, sizeof text,
             "%s: a zip, but none that torch.save wrote: no data.pkl\n  TorchScript archives are "
             "not read: save model.state_dict() with torch.save",
             path);
    fails(mf_tensors_read(path, &t), text);
    unlink(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("weights");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 60); /* on a busy machine too */
    tcase_add_test(t, checkpoint_of_pytorch);
    tcase_add_test(t, cut_short);
    tcase_add_test(t, calls_are_refused);
    tcase_add_test(t, broken_pickles);
    tcase_add_test(t, values);
    tcase_add_test(t, tensors_stay_in_their_storage);
    tcase_add_test(t, storages_are_shared);
    tcase_add_test(t, names_take_no_more_than_four_files);
    tcase_add_test(t, strides_are_bounded);
    tcase_add_test(t, entries_are_as_pytorch_writes_them);
    tcase_add_test(t, names_without_wrappers);
    tcase_add_test(t, only_files_are_read);
    tcase_add_test(t, other_files);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
