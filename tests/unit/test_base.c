/* test_base.c - errors, arrays, files, artifacts, grids, masks, tables, random numbers. */
#include "../expect.h"
#include "../run_suite.h"
#include <massflow/artifact.h>
#include <massflow/file.h>
#include <massflow/random.h>

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/half.h"

START_TEST(error_text_has_place_contexts_and_hint)
{
    mf_status e = mf_fail(MF_IO, "cannot read %s", "a.nii");
    e = mf_within(e, "while loading case %d", 7);
    e = mf_within(e, "while running scan");
    e = mf_hint(mf_at(e, "g.yaml", 3, 5), "check the path");
    ck_assert_int_eq(mf_error_code(e), MF_IO);
    ck_assert_str_eq(mf_error_message(e), "cannot read a.nii");
    fails(e, "g.yaml:3:5: while running scan: while loading case 7: cannot read a.nii\n"
             "  check the path");
    ck_assert_ptr_null(mf_within(MF_OK, "nothing"));
}
END_TEST

/* One text and one remedy wherever memory of the host runs out. */
START_TEST(out_of_memory_says_for_what)
{
    mf_status status = mf_no_memory(4096, "the header of %s", "a.nii");
    char *text = mf_error_text(status);

    ck_assert_int_eq(mf_error_code(status), MF_NO_MEMORY);
    ck_assert_str_eq(text, "out of memory: 4096 bytes for the header of a.nii\n"
                           "  run fewer stages at once (-j 1), or use a machine with more memory");
    free(text);
    mf_error_free(status);
    status = mf_no_memory(0, "a plan");
    ck_assert_str_eq(mf_error_message(status), "out of memory for a plan");
    mf_error_free(status);
    ck_assert_str_eq(mf_code_text(MF_NO_MEMORY), "out of memory");
}
END_TEST

START_TEST(array_refuses_sizes_that_overflow)
{
    mf_array *a;
    fails(mf_array_new(MF_F32, 2, (int64_t[]){INT64_MAX, INT64_MAX}, &a),
          "array is larger than memory can be addressed");
    fails(mf_array_new(MF_U8, 1, (int64_t[]){-1}, &a), "array with negative size -1 along axis 0");
    fails(mf_array_new(MF_U8, 7, (int64_t[7]){0}, &a),
          "array of 7 dimensions; at most 6 are supported");
}
END_TEST

/* A page where it is one, else what OpenCL's largest type needs; zeroed in either case. */
START_TEST(arrays_are_aligned)
{
    for (int64_t n = 0; n < 10000; n = 2 * n + 1) {
        mf_array *a;
        ok(mf_array_new(MF_U8, 1, &n, &a));
        ck_assert_uint_eq((uintptr_t)a->data % (n < 4096 ? 128 : 4096), 0);
        for (int64_t i = 0; i < n; i++)
            ck_assert_uint_eq(((const uint8_t *)a->data)[i], 0);
        mf_array_unref(a);
    }
}
END_TEST

/* ---- files ----------------------------------------------------------------------------------- */

static char folder[] = "/tmp/massflow-test-XXXXXX";

static void open_refused(const char *path, const char *reason)
{
    char want[256];
    FILE *file;
    int64_t size;
    snprintf(want, sizeof want, "%s: %s", path, reason);
    fails(mf_file_open(path, &file, &size), want);
    ck_assert_ptr_null(file);
}

/* Neither waits for a writer nor reads without end: what is no file is told before it is opened. */
START_TEST(only_regular_files_are_opened)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    FILE *file;
    int64_t size;
    char bytes[8];
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    file = fopen("file", "w");
    fputs("12345", file);
    fclose(file);
    ck_assert_int_eq(symlink("file", "link"), 0);
    ck_assert_int_eq(symlink("/dev/zero", "zero"), 0);
    ck_assert_int_eq(symlink("nowhere", "broken"), 0);
    ck_assert_int_eq(mkfifo("pipe", 0600), 0);
    ck_assert_int_eq(bind(s, (struct sockaddr *)&address, sizeof address), 0);
    ok(mf_file_open("link", &file, &size));
    ck_assert_int_eq(size, 5);
    ck_assert_uint_eq(fread(bytes, 1, sizeof bytes, file), 5);
    fclose(file);
#define BYTES "\n  write the bytes to a file, and name that"
    open_refused("pipe", "is a pipe, not a file" BYTES);
    open_refused("zero", "is a device, not a file" BYTES);
    open_refused("socket", "is a socket, not a file" BYTES);
    open_refused(".", "is a folder, not a file");
    open_refused("broken", "No such file or directory");
    open_refused("file/x", "Not a directory");
    close(s);
    static const char *const made[] = {"file", "link", "zero", "broken", "pipe", "socket"};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        ck_assert_int_eq(unlink(made[i]), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(files_are_read_by_their_size)
{
    char path[] = "/tmp/massflow-test-XXXXXX", want[128], *bytes;
    size_t size;
    int fd = mkstemp(path);
    ck_assert_int_eq(write(fd, "a\0b", 3), 3);
    ok(mf_file_read(path, 3, &bytes, &size));
    ck_assert_uint_eq(size, 3);
    ck_assert_mem_eq(bytes, "a\0b", 4);
    free(bytes);
    snprintf(want, sizeof want, "%s: has 3 bytes; at most 2 are read", path);
    fails(mf_file_read(path, 2, &bytes, &size), want);
    ck_assert_ptr_null(bytes);
    ck_assert_int_eq(ftruncate(fd, (off_t)1 << 40), 0); /* holes alone */
    snprintf(want, sizeof want, "%s: has 1099511627776 bytes; at most 67108864 are read", path);
    fails(mf_file_read(path, 64 << 20, &bytes, &size), want);
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    ok(mf_file_read(path, 3, &bytes, &size));
    ck_assert(size == 0 && bytes[0] == 0);
    free(bytes);
    close(fd);
    unlink(path);
}
END_TEST

START_TEST(array_converts_with_saturation)
{
    mf_array *from, *to;
    int64_t n = 6;
    ok(mf_array_new(MF_F64, 1, &n, &from));
    memcpy(from->data, (double[]){-3.5, 2.5, 3.5, 1e9, NAN, 254.6}, 6 * sizeof(double));
    ok(mf_array_convert(from, MF_U8, &to));
    ck_assert_mem_eq(to->data, ((uint8_t[]){0, 2, 4, 255, 0, 255}), 6);
    mf_array_unref(to);
    ok(mf_array_convert(from, MF_I16, &to));
    ck_assert_mem_eq(to->data, ((int16_t[]){-4, 2, 4, 32767, 0, 255}), 12);
    mf_array_unref(to);
    ok(mf_array_convert(from, MF_F64, &to));
    ck_assert_ptr_eq(to, from);
    mf_array_unref(to);
    mf_array_unref(from);
}
END_TEST

START_TEST(half_survives_every_bit_pattern)
{
    for (uint32_t bits = 0; bits < 65536; bits++) {
        float value = mf_half_to_float((uint16_t)bits);
        if (isnan(value))
            continue;
        ck_assert_uint_eq(mf_half_from_float(value), bits);
    }
    ck_assert_uint_eq(mf_half_from_float(65520.f), 0x7c00);
    ck_assert_uint_eq(mf_half_from_float(1.f + 0x1p-11f), 0x3c00); /* tie to even */
    ck_assert_uint_eq(mf_half_from_float(0x1p-25f), 0);
    ck_assert_uint_eq(mf_half_from_float(0x1.8p-25f), 1);
}
END_TEST

START_TEST(attributes_are_typed_sorted_and_replaced)
{
    mf_artifact *a;
    mf_attribute_kind kind;
    int64_t value;
    size_t count;
    ok(mf_artifact_new("table", &a));
    ok(mf_artifact_set_text(a, "zeta", "z"));
    ok(mf_artifact_set_int(a, "alpha", 1));
    ok(mf_artifact_set_int(a, "alpha", 2));
    ok(mf_artifact_set_reals(a, "mu", (double[]){1, 2.5}, 2));
    ck_assert_uint_eq(mf_artifact_attribute_count(a), 3);
    ck_assert_str_eq(mf_artifact_attribute(a, 0, &kind), "alpha");
    ck_assert_int_eq(kind, MF_ATTRIBUTE_INT);
    ck_assert_str_eq(mf_artifact_attribute(a, 2, &kind), "zeta");
    ck_assert(mf_artifact_int(a, "alpha", &value) && value == 2);
    ck_assert(!mf_artifact_int(a, "zeta", &value));
    ck_assert_double_eq(mf_artifact_reals(a, "mu", &count)[1], 2.5);
    ck_assert_ptr_null(mf_artifact_text(a, "none"));
    mf_artifact_unref(a);
}
END_TEST

/* The names of i, in an order that is none. */
static void scattered(int i, int count, char name[16])
{
    snprintf(name, 16, "n%d", (int)((int64_t)i * 7919 % count));
}

/* However many there are and in whatever order they come: in order of name, each found, none twice.
 * Quadratic work would take the test past its time. */
START_TEST(a_hundred_thousand_names_in_any_order)
{
    enum { COUNT = 100000 };
    mf_artifact *a;
    mf_array *one, *other;
    char name[16], before[16] = "";
    mf_attribute_kind kind;
    mf_array_info info;
    int64_t n = 1, value;
    ok(mf_artifact_new("model", &a));
    ok(mf_array_new(MF_F32, 1, &n, &one));
    ok(mf_array_new(MF_I16, 1, &n, &other));
    for (int i = 0; i < COUNT; i++) {
        scattered(i, COUNT, name);
        ok(mf_artifact_set_int(a, name, i));
        ok(mf_artifact_add(a, name, i % 2 ? other : one));
    }
    ck_assert_uint_eq(mf_artifact_attribute_count(a), COUNT);
    ck_assert_uint_eq(mf_artifact_array_count(a), COUNT);
    for (int i = 0; i < COUNT; i++) {
        scattered(i, COUNT, name);
        ck_assert(mf_artifact_int(a, name, &value) && value == i);
        ok(mf_artifact_set_int(a, name, i + 1));
        ck_assert(mf_artifact_find(a, name, &info) && info.dtype == (i % 2 ? MF_I16 : MF_F32));
    }
    fails(mf_artifact_add(a, "n77777", one),
          "artifact of type model already has an array 'n77777'");
    for (size_t i = 0; i < COUNT; i++) {
        const char *attribute = mf_artifact_attribute(a, i, &kind);
        mf_artifact_array_info(a, i, &info);
        ck_assert_str_eq(attribute, info.name);
        ck_assert_int_lt(strcmp(before, attribute), 0);
        snprintf(before, sizeof before, "%s", attribute);
    }
    ck_assert(!mf_artifact_int(a, "n", &value) && !mf_artifact_int(a, "n100000", &value));
    mf_array_unref(one);
    mf_array_unref(other);
    mf_artifact_unref(a);
}
END_TEST

/* What is added after the order was asked for takes its place in it. */
START_TEST(the_order_is_kept_between_additions)
{
    static const char *const names[] = {"m", "c", "z", "a", "n"};
    static const char *const orders[] = {"m", "cm", "cmz", "acmz", "acmnz"};
    mf_artifact *a;
    mf_attribute_kind kind;
    ok(mf_artifact_new("model", &a));
    for (size_t i = 0; i < 5; i++) {
        ok(mf_artifact_set_text(a, names[i], "t"));
        for (size_t k = 0; k <= i; k++)
            ck_assert_int_eq(*mf_artifact_attribute(a, k, &kind), orders[i][k]);
        ck_assert_str_eq(mf_artifact_text(a, names[i]), "t");
        ck_assert_ptr_null(mf_artifact_text(a, "q"));
    }
    mf_artifact_unref(a);
}
END_TEST

START_TEST(boxes_and_rows_are_read_from_memory)
{
    mf_artifact *a;
    mf_array *array, *bytes, *offsets;
    ok(mf_artifact_new("volume", &a));
    ok(mf_array_new(MF_I16, 3, (int64_t[]){3, 4, 5}, &array));
    for (int i = 0; i < 60; i++)
        ((int16_t *)array->data)[i] = (int16_t)i;
    ok(mf_artifact_add(a, "voxels", array));
    fails(mf_artifact_add(a, "voxels", array),
          "artifact of type volume already has an array 'voxels'");
    int16_t box[4];
    ok(mf_artifact_read_box(a, "voxels", (int64_t[]){1, 2, 3}, (int64_t[]){2, 4, 5}, box));
    ck_assert_mem_eq(box, ((int16_t[]){33, 34, 38, 39}), sizeof box);
    fails(mf_artifact_read_box(a, "voxels", (int64_t[]){0, 0, 0}, (int64_t[]){1, 5, 1}, box),
          "box 0..5 lies outside array 'voxels' of size 4 along axis 1");
    fails(mf_artifact_array(a, "bits", &bytes), "artifact of type volume has no array 'bits'");

    ok(mf_array_new(MF_U8, 1, (int64_t[]){3}, &bytes));
    memcpy(bytes->data, "abc", 3);
    ok(mf_array_new(MF_I64, 1, (int64_t[]){4}, &offsets));
    memcpy(offsets->data, (int64_t[]){0, 2, 1, 3}, 32);
    fails(mf_artifact_add_rows(a, "names", bytes, offsets),
          "ragged array 'names' has offsets that fall or do not cover it");
    memcpy(offsets->data, (int64_t[]){0, 2, 2, 3}, 32);
    ok(mf_artifact_add_rows(a, "names", bytes, offsets));
    uint8_t *row;
    size_t size;
    ok(mf_artifact_read_row(a, "names", 0, &row, &size));
    ck_assert(size == 2 && !memcmp(row, "ab", 2));
    free(row);
    ok(mf_artifact_read_row(a, "names", 1, &row, &size));
    ck_assert(size == 0 && !row);
    fails(mf_artifact_read_row(a, "names", 3, &row, &size), "array 'names' has no row 3");
    mf_array_unref(array);
    mf_array_unref(bytes);
    mf_array_unref(offsets);
    mf_artifact_unref(a);
}
END_TEST

START_TEST(grid_maps_there_and_back)
{
    mf_grid g = {{10, 20, 30}, {0.5, 2, 3}, {-7, 11, 5}, {0, -1, 0, 0.6, 0, -0.8, 0.8, 0, 0.6}};
    double ijk[3] = {3, 4.5, 7}, xyz[3], back[3];
    mf_grid_to_world(&g, ijk, xyz);
    ck_assert_double_eq_tol(xyz[0], -7 - 2 * 4.5, 1e-12);
    ck_assert_double_eq_tol(xyz[1], 11 + 0.6 * 1.5 - 0.8 * 21, 1e-12);
    mf_grid_to_index(&g, xyz, back);
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(back[i], ijk[i], 1e-12);
    mf_artifact *a;
    mf_grid read;
    ok(mf_artifact_new("volume", &a));
    fails(mf_artifact_grid(a, &read),
          "artifact of type volume has no grid (size, spacing, origin, direction)");
    ok(mf_artifact_set_grid(a, &g));
    ok(mf_artifact_grid(a, &read));
    ck_assert(mf_grid_equal(&g, &read, 0));
    read.origin[1] += 0.01;
    ck_assert(!mf_grid_equal(&g, &read, 0.001));
    ck_assert(mf_grid_equal(&g, &read, 0.02));
    mf_artifact_unref(a);
}
END_TEST

START_TEST(masks_shrink_crop_and_count)
{
    mf_grid grid;
    mf_masks_builder *b;
    mf_artifact *a;
    bool added;
    mf_grid_identity(&grid, (int64_t[]){9, 8, 7}, (double[]){1, 1, 1}); /* x y z */
    ok(mf_masks_begin(&grid, &b));
    uint8_t dense[4 * 5 * 6] = {0};
    mf_mask mask = {{1, 2, 3}, {5, 7, 9}, 0.5f, 0, 4};
    ok(mf_masks_add(b, &mask, dense, &added));
    ck_assert(!added);
    dense[(1 * 5 + 2) * 6 + 3] = 1; /* z 2, y 4, x 6 */
    dense[(3 * 5 + 4) * 6 + 1] = 9; /* z 4, y 6, x 4 */
    ok(mf_masks_add(b, &mask, dense, &added));
    ck_assert(added);
    mask.hi[0] = 8;
    fails(mf_masks_add(b, &mask, dense, &added), "mask with a box outside its grid");
    ok(mf_artifact_new("masks", &a));
    ok(mf_masks_finish(b, a));
    ck_assert_int_eq(mf_masks_count(a), 1);
    mf_mask got;
    ok(mf_masks_get(a, 0, &got));
    ck_assert(got.lo[0] == 2 && got.lo[1] == 4 && got.lo[2] == 4);
    ck_assert(got.hi[0] == 5 && got.hi[1] == 7 && got.hi[2] == 7);
    ck_assert(got.seed_axis == 0 && got.seed_slice == 4 && got.score == 0.5f);
    int64_t voxels;
    ok(mf_masks_volume(a, 0, &voxels));
    ck_assert_int_eq(voxels, 2);
    uint8_t crop[4 * 4 * 4]; /* reaches outside the grid on two sides */
    ok(mf_masks_crop(a, 0, (int64_t[]){4, 5, 4}, (int64_t[]){8, 9, 8}, crop));
    for (int i = 0; i < 64; i++)
        ck_assert_int_eq(crop[i], i == (0 * 4 + 1) * 4 + 0);
    fails(mf_masks_get(a, 1, &got), "there is no mask 1 among 1");
    mf_artifact_unref(a);
}
END_TEST

START_TEST(masks_crop_equals_dense)
{
    mf_grid grid;
    mf_masks_builder *b;
    mf_artifact *a;
    mf_random r;
    uint8_t dense[11 * 13 * 17], crop[11 * 13 * 17];
    mf_grid_identity(&grid, (int64_t[]){17, 13, 11}, (double[]){1, 1, 1});
    mf_random_seed(&r, 1, "", 0);
    for (size_t i = 0; i < sizeof dense; i++)
        dense[i] = mf_random_below(&r, 5) == 0;
    ok(mf_masks_begin(&grid, &b));
    bool added;
    ok(mf_masks_add(b, &(mf_mask){{0, 0, 0}, {11, 13, 17}, 1, -1, -1}, dense, &added));
    ok(mf_artifact_new("masks", &a));
    ok(mf_masks_finish(b, a));
    for (int trial = 0; trial < 50; trial++) {
        int64_t lo[3], hi[3], size[3] = {11, 13, 17};
        for (int i = 0; i < 3; i++) {
            lo[i] = mf_random_below(&r, size[i]);
            hi[i] = lo[i] + 1 + mf_random_below(&r, size[i] - lo[i]);
        }
        ok(mf_masks_crop(a, 0, lo, hi, crop));
        const uint8_t *p = crop;
        for (int64_t z = lo[0]; z < hi[0]; z++)
            for (int64_t y = lo[1]; y < hi[1]; y++)
                for (int64_t x = lo[2]; x < hi[2]; x++)
                    ck_assert_int_eq(*p++, dense[(z * 13 + y) * 17 + x]);
    }
    mf_artifact_unref(a);
}
END_TEST

START_TEST(table_keeps_numbers_and_text)
{
    mf_table *t;
    mf_artifact *a;
    mf_array *numbers;
    ok(mf_table_new((const char *const[]){"case:text", "Dice", NULL}, &t));
    for (int i = 0; i < 40; i++)
        ok(mf_table_row(t, i % 2 ? "odd" : "", i * 0.5));
    ok(mf_table_finish(t, &a));
    ck_assert_str_eq(mf_artifact_text(a, "columns"), "case\tDice");
    ok(mf_artifact_array(a, "column.1", &numbers));
    ck_assert_int_eq(mf_array_count(numbers), 40);
    ck_assert_double_eq(((double *)numbers->data)[39], 19.5);
    uint8_t *row;
    size_t size;
    ok(mf_artifact_read_row(a, "column.0", 39, &row, &size));
    ck_assert(size == 3 && !memcmp(row, "odd", 3));
    free(row);
    mf_array_unref(numbers);
    mf_artifact_unref(a);
}
END_TEST

START_TEST(a_file_has_a_name_that_leads_nowhere)
{
    static const char *const bad[] = {"",         ".hidden",   "../up.pdf", "a/b.pdf",
                                      "a\\b.pdf", "line\nend", "bad\xff"};
    static const char *const no_type[] = {"",      "pdf", "a/", "/b", "a/b; charset=utf-8",
                                          "a/b/c", "-a/b"};
    mf_artifact *a, *copy;
    mf_array *bytes;
    char longest[202];

    ok(mf_artifact_new_file("Größe 1.tar.gz", "application/gzip", "a\0b", 3, &a));
    ck_assert_str_eq(mf_artifact_type(a), "file");
    ck_assert_str_eq(mf_artifact_file_suffix(a), ".gz");
    ok(mf_artifact_check_file(a));
    ok(mf_artifact_array(a, "bytes", &bytes));
    ck_assert_mem_eq(bytes->data, "a\0b", 3);
    ck_assert_int_eq(bytes->shape[0], 3);
    mf_array_unref(bytes);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mf_status status = mf_artifact_new_file(bad[i], "a/b", "", 0, &copy);
        ck_assert_int_eq(mf_error_code(status), MF_INVALID);
        ck_assert_ptr_null(copy);
        mf_error_free(status);
        /* Nor in a cache that came from elsewhere. */
        ok(mf_artifact_set_text(a, "name", bad[i]));
        status = mf_artifact_check_file(a);
        ck_assert_int_eq(mf_error_code(status), MF_INVALID);
        mf_error_free(status);
    }
    for (size_t i = 0; i < sizeof no_type / sizeof *no_type; i++) {
        mf_status status = mf_artifact_new_file("a", no_type[i], "", 0, &copy);
        ck_assert_int_eq(mf_error_code(status), MF_INVALID);
        mf_error_free(status);
    }
    mf_artifact_unref(a);
    memset(longest, 'x', 201);
    longest[201] = '\0';
    fails(mf_artifact_new_file(longest, "a/b", "", 0, &copy),
          "the name of a file has 201 bytes; 1 to 200 are allowed");
    fails(mf_artifact_new_file("big.bin", "a/b", "", MF_FILE_MOST + 1, &copy),
          "a file of 2147483649 bytes; an artifact holds at most 2147483648");
    ok(mf_artifact_new_file(longest + 1, "a/b", NULL, 0, &a));
    ck_assert_str_eq(mf_artifact_file_suffix(a), "");
    mf_artifact_unref(a);
}
END_TEST

START_TEST(philox_gives_the_published_vectors)
{
    /* Known answers of the authors' Random123 library (kat_vectors, philox4x32 10). */
    uint32_t out[4];
    mf_philox((uint32_t[]){0, 0}, (uint32_t[]){0, 0, 0, 0}, out);
    ck_assert_mem_eq(out, ((uint32_t[]){0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}), 16);
    mf_philox((uint32_t[]){0xa4093822, 0x299f31d0},
              (uint32_t[]){0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, out);
    ck_assert_mem_eq(out, ((uint32_t[]){0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}), 16);
}
END_TEST

START_TEST(draws_depend_on_seed_name_and_item_alone)
{
    mf_random a, b;
    mf_random_seed(&a, 3, "case", 5);
    mf_random_seed(&b, 3, "case", 5);
    for (int i = 0; i < 9; i++)
        ck_assert_uint_eq(mf_random_u32(&a), mf_random_u32(&b));
    mf_random_seed(&b, 3, "case", 6);
    mf_random_seed(&a, 3, "case", 5);
    ck_assert_uint_ne(mf_random_u32(&a), mf_random_u32(&b));
    /* Mean and variance of n uniform draws: within 6 standard errors. */
    double sum = 0, square = 0;
    const int n = 100000;
    for (int i = 0; i < n; i++) {
        double x = mf_random_normal(&a);
        sum += x;
        square += x * x;
    }
    ck_assert_double_eq_tol(sum / n, 0, 6 / sqrt(n));
    ck_assert_double_eq_tol(square / n, 1, 6 * sqrt(2.0 / n));
    int64_t counts[3] = {0};
    for (int i = 0; i < n; i++)
        counts[mf_random_below(&a, 3)]++;
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol((double)counts[i] / n, 1.0 / 3, 6 * sqrt(2.0 / 9 / n));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base");
    TCase *tests = tcase_create("base");
    tcase_set_timeout(tests, 60); /* on a busy machine too */
    tcase_add_test(tests, a_file_has_a_name_that_leads_nowhere);
    tcase_add_test(tests, error_text_has_place_contexts_and_hint);
    tcase_add_test(tests, out_of_memory_says_for_what);
    tcase_add_test(tests, array_refuses_sizes_that_overflow);
    tcase_add_test(tests, arrays_are_aligned);
    tcase_add_test(tests, only_regular_files_are_opened);
    tcase_add_test(tests, files_are_read_by_their_size);
    tcase_add_test(tests, array_converts_with_saturation);
    tcase_add_test(tests, half_survives_every_bit_pattern);
    tcase_add_test(tests, attributes_are_typed_sorted_and_replaced);
    tcase_add_test(tests, a_hundred_thousand_names_in_any_order);
    tcase_add_test(tests, the_order_is_kept_between_additions);
    tcase_add_test(tests, boxes_and_rows_are_read_from_memory);
    tcase_add_test(tests, grid_maps_there_and_back);
    tcase_add_test(tests, masks_shrink_crop_and_count);
    tcase_add_test(tests, masks_crop_equals_dense);
    tcase_add_test(tests, table_keeps_numbers_and_text);
    tcase_add_test(tests, philox_gives_the_published_vectors);
    tcase_add_test(tests, draws_depend_on_seed_name_and_item_alone);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
