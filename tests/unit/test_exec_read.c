/* test_exec_read.c - what exec.run reads back: sizes that a file states are held against the file
 * before memory is taken. */
#include "../../plugins/common/npy.h"
#include "../expect.h"
#include "../run_suite.h"
#include "back.h"
#include "table.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static char path[64];

static void write_file(const char *suffix, const void *bytes, size_t size)
{
    snprintf(path, sizeof path, "/tmp/massflow-test-%d%s", (int)getpid(), suffix);
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, size, f), size);
    ck_assert_int_eq(fclose(f), 0);
}

static mf_status read_as(const char *port, mf_artifact **a)
{
    const exec_port asked = {.name = port};
    return back_read(NULL, &asked, path, NULL, a);
}

static void refused(const char *port, const char *reason)
{
    char want[400];
    mf_artifact *a;
    snprintf(want, sizeof want, "%s: %s", path, reason);
    fails(read_as(port, &a), want);
    ck_assert_ptr_null(a);
    unlink(path);
}

/* ---- .npy ------------------------------------------------------------------------------------ */

/* Version 1.0 with this dict and so many bytes of zeros. */
static void write_npy(const char *dict, size_t data)
{
    size_t length = strlen(dict);
    uint8_t *bytes = calloc(1, 10 + length + data);
    memcpy(bytes, "\x93NUMPY\1\0", 8);
    bytes[8] = (uint8_t)length;
    bytes[9] = (uint8_t)(length >> 8);
    memcpy(bytes + 10, dict, length);
    write_file(".npy", bytes, 10 + length + data);
    free(bytes);
}

#define DICT(descr, shape)                                                                         \
    "{'descr': '" descr "', 'fortran_order': False, 'shape': (" shape "), }\n"
#define NUMPY "\n  numpy.save writes a consistent file"

START_TEST(an_npy_has_what_its_header_says)
{
    mf_array *a;
    write_npy(DICT("<f4", "2, 3"), 24);
    ok(npy_read(path, &a));
    ck_assert(a->dtype == MF_F32 && a->rank == 2 && a->shape[0] == 2 && a->shape[1] == 3);
    mf_array_unref(a);
    write_npy(DICT("<f8", ""), 8);
    ok(npy_read(path, &a));
    ck_assert(a->dtype == MF_F64 && a->rank == 0);
    mf_array_unref(a);
    write_npy(DICT("<f4", "0, 3"), 0);
    ok(npy_read(path, &a));
    ck_assert_int_eq(mf_array_count(a), 0);
    mf_array_unref(a);

    write_npy(DICT("<f4", "2, 3"), 23);
    refused("features", "its header says 24 bytes of f32, behind it are 23" NUMPY);
    write_npy(DICT("<f4", "2, 3"), 25);
    refused("features", "its header says 24 bytes of f32, behind it are 25" NUMPY);
    write_npy(DICT("<f4", "1000000, 100000"), 16);
    refused("features", "its header says 400000000000 bytes of f32, behind it are 16" NUMPY);
    write_npy(DICT("<f4", "4294967296, 4294967296"), 0);
    refused("features", "its shape has more values than can be counted");
    write_npy(DICT("<f4", "99999999999999999999"), 0);
    refused("features", "is not a .npy file that NumPy would write");
    write_npy(DICT("<f4", "-1"), 0);
    refused("features", "is not a .npy file that NumPy would write");
    write_npy(DICT("<f4", "1, 1, 1, 1, 1, 1, 1"), 4);
    refused("features", "has more than 6 dimensions");
    write_file(".npy", "\x93NUMPY\2\0\xff\xff\xff\x7f", 12); /* a header of 2 GB */
    refused("features", "is not a .npy file that NumPy would write");
}
END_TEST

/* ---- .png ------------------------------------------------------------------------------------ */

static uint8_t *put_big(uint8_t *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        *to++ = (uint8_t)(value >> (24 - 8 * i));
    return to;
}

static uint8_t *put_chunk(uint8_t *to, const char *type, const void *data, size_t size)
{
    uint8_t *from = put_big(to, (uint32_t)size);
    memcpy(from, type, 4);
    memcpy(from + 4, data, size);
    return put_big(from + 4 + size, (uint32_t)crc32(0, from, (uInt)(4 + size)));
}

/* A picture of zeros: `rows` of `row` bytes each behind its filter byte, whatever width, height and
 * bits say. Colours: 0 grey, 2 RGB. */
static void write_png(uint32_t width, uint32_t height, uint8_t bits, uint8_t colour, size_t raw)
{
    uint8_t header[13], *zeros = calloc(raw + 1, 1), *end;
    uLongf packed = compressBound(raw);
    uint8_t *bytes = malloc(packed + 100), *data = malloc(packed);
    put_big(put_big(header, width), height);
    memcpy(header + 8, (const uint8_t[]){bits, colour, 0, 0, 0}, 5);
    ck_assert_int_eq(compress2(data, &packed, zeros, raw, 9), Z_OK);
    memcpy(bytes, "\x89PNG\r\n\x1a\n", 8);
    end = put_chunk(bytes + 8, "IHDR", header, sizeof header);
    end = put_chunk(end, "IDAT", data, packed);
    end = put_chunk(end, "IEND", "", 0);
    write_file(".png", bytes, (size_t)(end - bytes));
    free(zeros);
    free(data);
    free(bytes);
}

START_TEST(a_png_is_no_larger_than_its_file_can_be)
{
    mf_artifact *a;
    mf_array_info info;
    write_png(3, 2, 8, 2, 20);
    ok(read_as("image", &a));
    ck_assert(mf_artifact_find(a, "rgb", &info) && info.shape[0] == 2 && info.shape[1] == 3);
    mf_artifact_unref(a);
    write_png(4000, 3000, 1, 0, 501 * 3000); /* 1.5 MB of zeros in 1.5 kB: as small as it gets */
    ok(read_as("image", &a));
    ck_assert(mf_artifact_find(a, "rgb", &info) && info.shape[0] == 3000 && info.shape[1] == 4000);
    mf_artifact_unref(a);
    unlink(path);
    write_png(9000, 9000, 8, 2, 10);
    refused("image", "a picture of 9000 x 9000 takes 243000000 bytes, which cannot come out of the "
                     "file's 68");
    write_png(50000, 50000, 8, 2, 10);
    refused("image", "a picture of 50000 x 50000; at most 100 million pixels are read\n  write a "
                     "smaller one");
    write_png(0x7fffffff, 0x7fffffff, 16, 6, 10);
    refused("image", "a picture of 2147483647 x 2147483647; at most 100 million pixels are read\n"
                     "  write a smaller one");
    write_png(30, 20, 8, 2, 10);
    refused("image", "Not enough image data");
    write_file(".png", "no picture", 10);
    refused("image", "Not a PNG file");
}
END_TEST

/* ---- texts and tables ------------------------------------------------------------------------ */

START_TEST(texts_are_read_by_their_size)
{
    mf_artifact *a;
    write_file(".txt", "a\nb", 3);
    ok(read_as("text", &a));
    ck_assert_str_eq(mf_artifact_text(a, "text"), "a\nb");
    mf_artifact_unref(a);
    write_file(".txt", "a\0b", 3);
    refused("text", "is not text: a NUL stands in it");
    write_file(".txt", "", 0);
    ck_assert_int_eq(truncate(path, (off_t)1 << 40), 0);
    refused("text", "has 1099511627776 bytes; at most 67108864 are read");
    write_file(".csv", "", 0);
    ck_assert_int_eq(truncate(path, (off_t)1 << 40), 0);
    refused("table", "has 1099511627776 bytes; at most 268435456 are read");
    write_file(".csv", "a,b\n1,\0\n", 8);
    refused("table", "is not text");
}
END_TEST

/* 100,000 columns: their names come in no order (column.10 before column.2). */
START_TEST(a_table_of_many_columns)
{
    enum { COLUMNS = 100000 };
    char *text;
    size_t size;
    mf_artifact *a;
    FILE *out = open_memstream(&text, &size);
    for (int line = 0; line < 2; line++)
        for (int i = 0; i < COLUMNS; i++)
            fprintf(out, "%d%c", i, i + 1 < COLUMNS ? ',' : '\n');
    fclose(out);
    write_file(".csv", text, size);
    free(text);
    ok(table_read(path, &a));
    ck_assert_uint_eq(mf_artifact_array_count(a), COLUMNS);
    for (int i = 0; i < COLUMNS; i++) {
        char name[32];
        const void *data;
        int64_t count;
        snprintf(name, sizeof name, "column.%d", i);
        ok(mf_artifact_table(a, name, MF_F64, &data, &count));
        ck_assert(count == 1 && *(const double *)data == i);
    }
    mf_artifact_unref(a);
    unlink(path);
}
END_TEST

static void write_csv(const char *text)
{
    write_file(".csv", text, strlen(text));
}

/* What becomes of a column of one cell: a number, or its own text. */
static void becomes(const char *cell, const char *wanted)
{
    char text[100], got[100];
    const void *data;
    uint8_t *bytes;
    size_t size;
    int64_t count;
    mf_array_info info;
    mf_artifact *a;

    snprintf(text, sizeof text, "x,y\n%s,1\n", cell);
    write_csv(text);
    ok(table_read(path, &a));
    unlink(path);
    ck_assert(mf_artifact_find(a, "column.0", &info));
    if (info.ragged) {
        ok(mf_artifact_read_row(a, "column.0", 0, &bytes, &size));
        snprintf(got, sizeof got, "text %.*s", (int)size, (const char *)bytes);
        free(bytes);
    } else {
        ok(mf_artifact_table(a, "column.0", MF_F64, &data, &count));
        snprintf(got, sizeof got, "%.17g", *(const double *)data);
    }
    ck_assert_str_eq(got, wanted);
    mf_artifact_unref(a);
}

/* A number is one that a double holds; all else comes back byte for byte. */
START_TEST(numbers_of_a_table_are_decimal)
{
    static const char *const numbers[][2] = {
        {"0", "0"},
        {"-0", "-0"},
        {"+1", "1"},
        {"  42", "42"},
        {"0.5", "0.5"},
        {".5", "0.5"},
        {"2.", "2"},
        {"-1.25e-3", "-0.00125"},
        {"1E5", "100000"},
        {"0e0", "0"},
        {"0.0", "0"},
        {"9007199254740991", "9007199254740991"},
        {"-9007199254740991", "-9007199254740991"},
        {"1e300", "1.0000000000000001e+300"},
        {"nan", "nan"},
        {"NaN", "nan"},
        {"", "nan"},
        {"inf", "inf"},
        {"-Infinity", "-inf"},
    };
    static const char *const texts[] = {
        "001",
        "00",
        "-01",
        "007.5",
        "0x10",
        "0x1p3",
        "1e999",
        "-1e999",
        "1e-999",
        "1_000",
        "1 ",
        "1,5",
        "1e",
        "1e+",
        "e5",
        ".",
        "-",
        "+",
        "1.2.3",
        "nan()",
        "nan(123)",
        "infinite",
        "NA",
        "1-2",
        "--1",
        "\t1",
        "1d5",
        "9007199254740992",
        "9007199254740993",
        "123456789012345678901234567890",
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        becomes(numbers[i][0], numbers[i][1]);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char cell[64], wanted[64];
        bool quoted = strchr(texts[i], ',');
        snprintf(cell, sizeof cell, quoted ? "\"%s\"" : "%s", texts[i]);
        snprintf(wanted, sizeof wanted, "text %s", texts[i]);
        becomes(cell, wanted);
    }
}
END_TEST

/* One cell that is no number makes texts of all in its column. */
START_TEST(a_column_is_of_one_kind)
{
    static const char text[] = "case,n\n1,2\n010,3\n";
    const void *data;
    int64_t count;
    uint8_t *bytes;
    size_t size;
    mf_artifact *a;

    write_csv(text);
    ok(table_read(path, &a));
    ok(mf_artifact_read_row(a, "column.0", 0, &bytes, &size));
    ck_assert(size == 1 && bytes[0] == '1');
    free(bytes);
    ok(mf_artifact_read_row(a, "column.0", 1, &bytes, &size));
    ck_assert(size == 3 && !memcmp(bytes, "010", 3));
    free(bytes);
    ok(mf_artifact_table(a, "column.1", MF_F64, &data, &count));
    ck_assert(count == 2 && ((const double *)data)[1] == 3);
    mf_artifact_unref(a);
    unlink(path);
}
END_TEST

START_TEST(names_and_quotes_of_a_table)
{
    mf_artifact *a;
    write_csv(",x\n1,2\n"); /* pandas writes its index so */
    ok(table_read(path, &a));
    mf_artifact_unref(a);
    write_csv("x,y,x\n1,2,3\n");
    refused("table", "two of its columns are called 'x'\n  give every column a name of its own");
    write_csv("x;\"a\tb\"\n1;2\n");
    refused("table", "the name of column 2 has a control character");
    write_csv("x,y\n1,\"2\n3,4\n");
    char want[120];
    snprintf(want, sizeof want, "%s:2: a quote is not closed", path);
    fails(table_read(path, &a), want);
    unlink(path);
}
END_TEST

/* ---- what is no file ------------------------------------------------------------------------- */

#define LINK "is a link, not a file\n  the command must write the file itself, or copy it there"

/* No link is followed, wherever it leads. */
START_TEST(only_files_are_read)
{
    static const char *const ports[][2] = {
        {"features", ".npy"}, {"table", ".csv"},  {"image", ".png"},     {"image", ".npy"},
        {"text", ".txt"},     {"text", ".json"},  {"volume", ".nii.gz"}, {"volume", ".nii"},
        {"volume", ".nrrd"},  {"volume", ".mha"}, {"volume", ".npy"},    {"labels", ".nii.gz"},
        {"labels", ".nrrd"},  {"labels", ".npy"},
    };
    static const char *const links[] = {"/dev/zero", "/etc/passwd", "/nowhere", "/etc"};
    for (size_t i = 0; i < sizeof ports / sizeof *ports; i++) {
        write_file(ports[i][1], "", 0);
        unlink(path);
        ck_assert_int_eq(mkfifo(path, 0600), 0);
        refused(ports[i][0], "is a pipe, not a file\n  write the bytes to a file, and name that");
        for (size_t k = 0; k < sizeof links / sizeof *links; k++) {
            ck_assert_int_eq(symlink(links[k], path), 0);
            refused(ports[i][0], LINK);
        }
        ck_assert_int_eq(mkdir(path, 0700), 0);
        refused(ports[i][0], "is a folder, not a file");
        ck_assert_int_eq(rmdir(path), 0);
    }
}
END_TEST

/* A header can name any file. */
START_TEST(a_scan_is_one_file)
{
    static const char nrrd[] = "NRRD0005\ntype: uchar\ndimension: 3\nsizes: 2 2 2\n"
                               "space: RAS\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n"
                               "encoding: raw\ndata file: massflow-test.raw\n";
    static const char meta[] = "ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\n"
                               "ElementType = MET_UCHAR\nElementDataFile = massflow-test.raw\n";
    FILE *raw = fopen("/tmp/massflow-test.raw", "wb");
    ck_assert_ptr_nonnull(raw);
    fputs("12345678", raw);
    fclose(raw);
#define PART                                                                                       \
    "has its voxels in another file, massflow-test.raw\n"                                          \
    "  an output is one file: .nii.gz, .nrrd or .mha with the voxels inside"
    write_file(".nrrd", nrrd, sizeof nrrd - 1);
    refused("labels", PART);
    write_file(".mha", meta, sizeof meta - 1);
    refused("volume", PART);
    unlink("/tmp/massflow-test.raw");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("exec_read");
    TCase *t = tcase_create("all");
    tcase_add_test(t, an_npy_has_what_its_header_says);
    tcase_add_test(t, a_png_is_no_larger_than_its_file_can_be);
    tcase_add_test(t, texts_are_read_by_their_size);
    tcase_add_test(t, a_table_of_many_columns);
    tcase_add_test(t, numbers_of_a_table_are_decimal);
    tcase_add_test(t, a_column_is_of_one_kind);
    tcase_add_test(t, names_and_quotes_of_a_table);
    tcase_add_test(t, only_files_are_read);
    tcase_add_test(t, a_scan_is_one_file);
    tcase_set_timeout(t, 60);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
