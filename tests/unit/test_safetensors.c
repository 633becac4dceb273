/* test_safetensors.c - files of safetensors: read as they lie, and every way in which a header can
 * say what the file does not hold. */
#include "../expect.h"
#include "../run_suite.h"
#include "read.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static char path[64];

static void write_bytes(const char *header, size_t length, uint64_t stated, const void *data,
                        size_t bytes)
{
    snprintf(path, sizeof path, "/tmp/massflow-test-%d.safetensors", (int)getpid());
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    for (int i = 0; i < 8; i++)
        fputc((int)(stated >> (8 * i) & 255), f);
    ck_assert_uint_eq(fwrite(header, 1, length, f), length);
    if (bytes)
        fwrite(data, 1, bytes, f);
    ck_assert_int_eq(fclose(f), 0);
}

static void write_file(const char *header, const void *data, size_t bytes)
{
    write_bytes(header, strlen(header), strlen(header), data, bytes);
}

static void refused(const char *header, size_t length, size_t bytes, const char *reason)
{
    mf_tensors t = {0};
    char want[1024];
    uint8_t *zeros = calloc(bytes + 1, 1);
    write_bytes(header, length, length, zeros, bytes);
    free(zeros);
    snprintf(want, sizeof want, "%s: %s", path, reason);
    fails(mf_tensors_read(path, &t), want);
    ck_assert_uint_eq(t.count, 0);
    remove(path);
}

static void refuses(const char *header, size_t bytes, const char *reason)
{
    refused(header, strlen(header), bytes, reason);
}

#define AGAIN "\n  copy or download it again"
#define ANEW                                                                                       \
    "\n  in Python: safetensors.torch.save_file(tensors, \"new.safetensors\") writes it as it "    \
    "should be"

/* An entry of the header: F32 [count] from begin to end. */
#define F32(name, count, begin, end)                                                               \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":[" #count "],\"data_offsets\":[" #begin "," #end "]}"

/* ---- what is right --------------------------------------------------------------------------- */

START_TEST(tensors_are_read_as_they_lie)
{
    static const struct {
        const char *text;
        mf_dtype dtype;
        size_t size;
    } kinds[] = {{"F32", MF_F32, 4}, {"F64", MF_F64, 8}, {"U8", MF_U8, 1},   {"I16", MF_I16, 2},
                 {"U16", MF_U16, 2}, {"I32", MF_I32, 4}, {"I64", MF_I64, 8}, {"F16", MF_F16, 2}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        mf_tensors t = {0};
        char header[160];
        uint8_t data[64];
        size_t bytes = 6 * kinds[i].size;
        for (size_t b = 0; b < bytes; b++)
            data[b] = (uint8_t)(b * 7 + i);
        snprintf(header, sizeof header,
                 "{\"a\":{\"dtype\":\"%s\",\"shape\":[2,3],\"data_offsets\":[0,%zu]}}",
                 kinds[i].text, bytes);
        write_file(header, data, bytes);
        ok(mf_tensors_read(path, &t));
        const mf_array *a = mf_tensors_find(&t, "a");
        ck_assert_int_eq(a->dtype, kinds[i].dtype);
        ck_assert_int_eq(a->rank, 2);
        ck_assert(a->shape[0] == 2 && a->shape[1] == 3);
        ck_assert_mem_eq(a->data, data, bytes);
        mf_tensors_clear(&t);
        remove(path);
    }
}
END_TEST

START_TEST(bfloat16_becomes_f32)
{
    static const uint8_t data[] = {0x80, 0x3f, 0x40, 0xc0,
                                   0x00, 0x7f, 1,    0}; /* 1, -3, 2^127; true, false */
    mf_tensors t = {0};
    write_file("{\"__metadata__\":{\"format\":\"pt\"},"
               "\"b\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[6,8]},"
               "\"a\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[0,6]}}",
               data, sizeof data);
    ok(mf_tensors_read(path, &t));
    ck_assert_uint_eq(t.count, 2);
    const float *a = mf_tensors_find(&t, "a")->data;
    ck_assert(a[0] == 1.0f && a[1] == -3.0f && a[2] == 0x1p127f);
    ck_assert_int_eq(mf_tensors_find(&t, "b")->dtype, MF_U8);
    ck_assert_str_eq(mf_tensors_note(&t, "format"), "pt");
    mf_tensors_clear(&t);
    remove(path);
}
END_TEST

/* Any order in the header, tensors without a number between others, numbers at odd bytes, fields of
 * other writers, padding: all of it is allowed. */
START_TEST(what_the_format_allows)
{
    static const uint8_t data[] = {7, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40}; /* 7; 1, 2 */
    mf_tensors t = {0};
    write_file("{ \"c\" : {\"data_offsets\":[1,9],\"shape\":[2],\"dtype\":\"F32\",\n"
               "  \"other\":{\"x\":[1.5e-3,-0,true,null,\"y\",[],{}]}},"
               "\"none\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[1,1]},"
               "\"one\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}       ",
               data, sizeof data);
    ok(mf_tensors_read(path, &t));
    ck_assert_uint_eq(t.count, 3);
    ck_assert_int_eq(mf_tensors_find(&t, "one")->rank, 0);
    ck_assert_uint_eq(*(const uint8_t *)mf_tensors_find(&t, "one")->data, 7);
    ck_assert_mem_eq(mf_tensors_find(&t, "c")->data, ((const float[]){1, 2}), 8);
    ck_assert_int_eq(mf_array_count(mf_tensors_find(&t, "none")), 0);
    mf_tensors_clear(&t);
    write_file("{}", NULL, 0);
    ok(mf_tensors_read(path, &t));
    ck_assert_uint_eq(t.count, 0);
    remove(path);
}
END_TEST

START_TEST(texts_are_decoded)
{
    mf_tensors t = {0};
    write_file("{\"__metadata__\":{\"k\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20aC"
               "\\ud83d\\ude00\xc3\xa9\xf0\x9f\x98\x80\"}," F32("w\\u002e1", 1, 0, 4) "}",
               "\0\0\x80\x3f", 4);
    ok(mf_tensors_read(path, &t));
    ck_assert_str_eq(mf_tensors_note(&t, "k"), "\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac"
                                               "\xf0\x9f\x98\x80\xc3\xa9\xf0\x9f\x98\x80");
    ck_assert_ptr_nonnull(mf_tensors_find(&t, "w.1"));
    mf_tensors_clear(&t);
    remove(path);
}
END_TEST

/* In an order that is none of names: found by bisection, each with its own number. */
START_TEST(a_hundred_thousand_tensors)
{
    enum { COUNT = 100000 };
    char *header, name[32];
    size_t size;
    struct rusage used;
    mf_tensors t = {0};
    int32_t *data = malloc(COUNT * sizeof *data);
    FILE *out = open_memstream(&header, &size);
    for (int i = 0; i < COUNT; i++) {
        data[i] = (int32_t)((int64_t)i * 7919 % COUNT);
        fprintf(out,
                "%s\"layers.%d.weight\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                i ? "," : "{", data[i], 4 * i, 4 * i + 4);
    }
    fputc('}', out);
    fclose(out);
    write_bytes(header, size, size, data, COUNT * sizeof *data);
    free(header);
    free(data);
    ok(mf_tensors_read(path, &t));
    ck_assert_uint_eq(t.count, COUNT);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "layers.%d.weight", i);
        const mf_array *a = mf_tensors_find(&t, name);
        ck_assert_ptr_nonnull(a);
        ck_assert_int_eq(*(const int32_t *)a->data, i);
    }
    ck_assert_ptr_null(mf_tensors_find(&t, "layers.100000.weight"));
    ck_assert_int_eq(getrusage(RUSAGE_SELF, &used), 0);
    ck_assert_int_lt(used.ru_maxrss, 500000); /* kB; a page for each would take 800,000 */
    mf_tensors_clear(&t);
    remove(path);
}
END_TEST

/* ---- what is refused ------------------------------------------------------------------------- */

START_TEST(damaged_tensors_are_refused)
{
    mf_tensors t = {0};
    char want[256];
    refuses("[1]", 0, "not a safetensors file: its header is not a JSON object");
    refuses(" {}", 0, "not a safetensors file: its header is not a JSON object");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8,
            "tensor a: no dtype, shape and data_offsets" ANEW);
    refuses("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2,
            "tensor a: dtype F8_E4M3 is not read here\n  save it as float32, float16 or bfloat16");
    refuses("{" F32("a", 2, 0, 8) "}", 7,
            "tensor a: it would end at byte 8 of the data, but the file has 7: it is cut "
            "off" AGAIN);
    refuses("{" F32("a", 2, 4, 8) "}", 8,
            "tensor a: bytes 4 to 8 of 8, where its shape takes 8" ANEW);
    refuses("{" F32("a", 2, 8, 0) "}", 8,
            "tensor a: bytes 8 to 0 of 8, where its shape takes 8" ANEW);
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}",
            0, "tensor a: its shape has more numbers than can be counted" ANEW);
    write_bytes("{}", 2, 1 << 20, NULL, 0);
    snprintf(want, sizeof want,
             "%s: not a safetensors file: its header would be 1048576 bytes long, the file is 10",
             path);
    fails(mf_tensors_read(path, &t), want);
    remove(path);
    snprintf(want, sizeof want, "%s: No such file or directory", path);
    fails(mf_tensors_read(path, &t), want);
}
END_TEST

START_TEST(numbers_are_whole)
{
    static const char shape[] = "tensor a: its shape is not a list of integers" ANEW;
    static const char offsets[] = "tensor a: its data_offsets are not two integers" ANEW;
    refuses("{" F32("a", -1, 0, 4) "}", 4, shape);
    refuses("{" F32("a", 1.0, 0, 4) "}", 4, shape);
    refuses("{" F32("a", 1e0, 0, 4) "}", 4, shape);
    refuses("{" F32("a", 01, 0, 4) "}", 4, shape);
    refuses("{" F32("a", "1", 0, 4) "}", 4, shape);
    refuses("{" F32("a", 9223372036854775808, 0, 4) "}", 4, shape);
    refuses("{" F32("a", 1, -4, 0) "}", 4, offsets);
    refuses("{" F32("a", 1, 0, 4.0) "}", 4, offsets);
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 8, offsets);
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 8, offsets);
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
            "tensor a: 7 dimensions, at most 6 are read");
}
END_TEST

/* Every byte of the data belongs to one tensor: what is read never takes more than the file. */
START_TEST(tensors_lie_end_to_end)
{
    refuses("{" F32("a", 4, 0, 16) "," F32("b", 4, 8, 24) "}", 24,
            "tensor b: bytes 8 to 24 of the data, of which tensor a has those up to 16" ANEW);
    refuses("{" F32("b", 4, 0, 16) "," F32("a", 4, 0, 16) "}", 16,
            "tensor b: bytes 0 to 16 of the data, of which tensor a has those up to 16" ANEW);
    refuses("{" F32("a", 2, 0, 8) "," F32("b", 0, 4, 4) "}", 8,
            "tensor b: bytes 4 to 4 of the data, of which tensor a has those up to 8" ANEW);
    refuses("{" F32("a", 1, 0, 4) "," F32("b", 1, 20, 24) "}", 24,
            "tensor b: it begins at byte 20 of the data; bytes 4 to 20 belong to no tensor" ANEW);
    refuses("{" F32("a", 1, 4, 8) "}", 8,
            "tensor a: it begins at byte 4 of the data; bytes 0 to 4 belong to no tensor" ANEW);
    refuses("{" F32("a", 1, 0, 4) "}", 10, "bytes 4 to 10 of the data belong to no tensor" ANEW);
    refuses("{}", 3, "bytes 0 to 3 of the data belong to no tensor" ANEW);
}
END_TEST

/* 12 GB of tensors that all name the same 4 MB. */
START_TEST(a_bomb_takes_no_memory)
{
    char *header;
    size_t size;
    struct rusage used;
    FILE *out = open_memstream(&header, &size);
    for (int i = 0; i < 3000; i++)
        fprintf(out,
                "%s\"t%04d\":{\"dtype\":\"F32\",\"shape\":[1048576],\"data_offsets\":[0,4194304]}",
                i ? "," : "{", i);
    fputc('}', out);
    fclose(out);
    refused(header, size, 4 << 20,
            "tensor t0001: bytes 0 to 4194304 of the data, of which tensor t0000 has those up to "
            "4194304" ANEW);
    free(header);
    ck_assert_int_eq(getrusage(RUSAGE_SELF, &used), 0);
    ck_assert_int_lt(used.ru_maxrss, 500000); /* kB */
}
END_TEST

START_TEST(nothing_is_said_twice)
{
    refuses("{" F32("a", 1, 0, 4) "," F32("a", 1, 4, 8) "}", 8,
            "two tensors are called a\n  save it with one tensor of each name");
    refuses("{" F32("a", 1, 0, 4) "," F32("\\u0061", 1, 4, 8) "}", 8,
            "two tensors are called a\n  save it with one tensor of each name");
    refuses("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
            "tensor a: it has dtype twice" ANEW);
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
            "tensor a: it has shape twice" ANEW);
    refuses("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "it has __metadata__ twice" ANEW);
    refuses("{\"__metadata__\":{\"k\":\"1\",\"l\":\"\",\"k\":\"2\"}}", 0,
            "__metadata__ has k twice\n  save it with one text for each key");
}
END_TEST

START_TEST(names_can_be_shown)
{
    char header[2048], name[1026];
    memset(name, 'n', 1025);
    name[1025] = 0;
    snprintf(header, sizeof header,
             "{\"%s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", name);
    refuses(header, 4,
            "tensor nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn...: its name has "
            "1025 bytes; at most 1024 are read\n  save it under shorter names");
    refuses("{" F32("", 1, 0, 4) "}", 4,
            "a tensor without a name\n  save it with a name for each tensor");
    refuses("{" F32("a\\u0000x", 1, 0, 4) "}", 4, "byte 9 of its header: a text with a NUL" AGAIN);
}
END_TEST

START_TEST(the_header_is_strict_json)
{
    char *header;
    size_t size;
    static const char nul[] = "{\"a\0b\":1}", behind[] = "{}\0";
    refuses("{\"a\":", 0, "tensor a: byte 5 of its header: no { stands there" AGAIN);
    refuses("{\"a\"", 0, "byte 4 of its header: no : stands there" AGAIN);
    refuses("{\"a", 0, "byte 3 of its header: a text without an end" AGAIN);
    refuses("{" F32("a", 1, 0, 4) "} trailing {{{", 4,
            "byte 55 of its header: something stands behind the JSON object" AGAIN);
    refuses("{" F32("a", 1, 0, 4) ",}", 4, "byte 54 of its header: no \" stands there" AGAIN);
    refuses("{" F32("a", 1, 0, 4) " " F32("b", 1, 4, 8) "}", 8,
            "byte 54 of its header: no , stands there" AGAIN);
    refused(nul, sizeof nul - 1, 0,
            "byte 3 of its header: a control character within a text" AGAIN);
    refused(behind, sizeof behind - 1, 0,
            "byte 2 of its header: something stands behind the JSON object" AGAIN);
    refuses("{\"\xc0\x80\":1}", 0, "byte 2 of its header: a text that is not UTF-8" AGAIN);
    refuses("{\"\xed\xa0\x80\":1}", 0, "byte 2 of its header: a text that is not UTF-8" AGAIN);
    refuses("{\"\xe2\x82\":1}", 0, "byte 2 of its header: a text that is not UTF-8" AGAIN);
    refuses("{\"\xf4\x90\x80\x80\":1}", 0, "byte 2 of its header: a text that is not UTF-8" AGAIN);
    refuses("{\"\\ud83d\":1}", 0, "byte 8 of its header: half a character" AGAIN);
    refuses("{\"\\ude00\":1}", 0, "byte 8 of its header: half a character" AGAIN);
    refuses("{\"\\x\":1}", 0, "byte 3 of its header: an escape that is none" AGAIN);
    refuses("{\"\\u12g4\":1}", 0, "byte 7 of its header: \\u without four digits" AGAIN);
    refuses("{\"__metadata__\":{\"k\":1}}", 0,
            "__metadata__: k: byte 21 of its header: no \" stands there" AGAIN);
    refuses("{\"__metadata__\":[]}", 0,
            "__metadata__: byte 16 of its header: no { stands there" AGAIN);
    refuses("{\"a\":{\"x\":nul}}", 0,
            "tensor a: byte 10 of its header: a value that is none" AGAIN);
    refuses("{\"a\":{\"x\":1.}}", 0, "tensor a: byte 12 of its header: a value that is none" AGAIN);
    FILE *out = open_memstream(&header, &size);
    fputs("{\"a\":{\"x\":", out);
    for (int i = 0; i < 200000; i++)
        fputc('[', out);
    fclose(out);
    refused(header, size, 0,
            "tensor a: byte 138 of its header: values nested more than 128 deep" AGAIN);
    free(header);
    out = open_memstream(&header, &size);
    fputs("{\"__metadata__\":{", out);
    for (int i = 0; i <= 10000; i++)
        fprintf(out, "%s\"%d\":\"\"", i ? "," : "", i);
    fputs("}}", out);
    fclose(out);
    refused(header, size, 0, "__metadata__: more than 10000 entries\n  save it with fewer");
    free(header);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("safetensors");
    TCase *t = tcase_create("all");
    tcase_add_test(t, tensors_are_read_as_they_lie);
    tcase_add_test(t, bfloat16_becomes_f32);
    tcase_add_test(t, what_the_format_allows);
    tcase_add_test(t, texts_are_decoded);
    tcase_add_test(t, a_hundred_thousand_tensors);
    tcase_add_test(t, damaged_tensors_are_refused);
    tcase_add_test(t, numbers_are_whole);
    tcase_add_test(t, tensors_lie_end_to_end);
    tcase_add_test(t, a_bomb_takes_no_memory);
    tcase_add_test(t, nothing_is_said_twice);
    tcase_add_test(t, names_can_be_shown);
    tcase_add_test(t, the_header_is_strict_json);
    tcase_set_timeout(t, 60);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
