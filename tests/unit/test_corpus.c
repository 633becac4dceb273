/* test_corpus.c - dataset.h5 of the official MASS code: one that h5py wrote, one that is written
 * here, and what is refused. */
#include "../expect.h"
#include "../run_suite.h"
#include "masks_read.h"
#include "masks_write.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define H5 GOLDEN "/mass_masks.h5"
#define AGAIN "\n  copy it again, or make it again with prepare_training_data.py"

static const int64_t size[3] = {4, 6, 40};

typedef struct taken {
    uint8_t masks[8][4 * 6 * 40];
    int64_t count;
    int64_t most; /* a mask more is an error */
} taken;

static mf_status take(void *self, const uint8_t *dense)
{
    taken *t = self;
    if (t->count == t->most)
        return mf_fail(MF_CANCELLED, "stopped");
    memcpy(t->masks[t->count++], dense, sizeof t->masks[0]);
    return MF_OK;
}

static masks_source source_of(const char *path, const char *group)
{
    masks_source s = {.path = path, .group = group, .program = getenv("MASSFLOW_HDF5")};
    memcpy(s.size, size, sizeof s.size);
    return s;
}

static int inside(int m, int i)
{
    return (m + i / 240 * (i / 40 % 6) + i % 40) % 3 == 0;
}

static void reads(const char *group, int masks)
{
    static taken t;
    masks_source s = source_of(H5, group);
    int64_t count;
    uint64_t state = 1;
    t = (taken){.most = 8};
    ok(masks_read(&s, take, &t, &count));
    ck_assert_int_eq(count, masks);
    ck_assert_int_eq(t.count, masks);
    for (int m = 0; m < masks; m++)
        for (int i = 0; i < 960; i++) {
            int expected = inside(m, i);
            if (!strcmp(group, "lzf") && m == 1) {
                state = state * 6364136223846793005u + 1442695040888963407u;
                expected = (int)(state >> 56);
            }
            ck_assert_int_eq(t.masks[m][i], expected);
        }
}

/* LZF, also a chunk that is stored as it is and a chunk of two masks; what else h5py may write. */
START_TEST(of_h5py)
{
    reads("lzf", 3);
    reads("several", 3);
    reads("gzip", 3);
    reads("plain", 3);
    reads("none", 0);
}
END_TEST

static void refuses_file(const char *path, const char *group, const char *expected)
{
    static taken t;
    char text[900];
    masks_source s = source_of(path, group);
    int64_t count;
    t = (taken){.most = 8};
    snprintf(text, sizeof text, "%s: %s", path, expected);
    fails(masks_read(&s, take, &t, &count), text);
}

static void refuses(const char *group, const char *expected)
{
    refuses_file(H5, group, expected);
}

START_TEST(of_another_layout)
{
    masks_source s = source_of(H5, "plain");
    static taken t;
    int64_t count;
    refuses("img0001", "it has no group img0001\n"
                       "  h5ls lists its groups: one for each scan, with the name of its image");
    refuses("empty", "its group empty has no data set auto_masks\n"
                     "  prepare_training_data.py writes it where it is given --auto-label-dir");
    refuses("top", "top is no group\n"
                   "  each scan has a group of its own, as prepare_training_data.py writes it");
    refuses("reals", "reals/auto_masks does not hold numbers of one byte\n"
                     "  prepare_training_data.py writes masks of 0 and 1 as uint8");
    refuses("flat", "flat/auto_masks has 3 dimensions, not 4\n"
                    "  prepare_training_data.py writes it as [masks, depth, height, width]");
    refuses("offset", "offset/auto_masks is compressed by the filter 6 (scaleoffset); shuffle, "
                      "deflate, fletcher32 and LZF are read\n"
                      "  h5repack -f GZIP=4 in.h5 out.h5 writes it anew");
    s.size[2] = 41;
    fails(masks_read(&s, take, &t, &count),
          H5 ": plain/auto_masks has masks of 4 x 6 x 40 voxels, the image has 4 x 6 x 41\n"
             "  masks and image of a scan are written together, by one run of "
             "prepare_training_data.py");
}
END_TEST

/* Whatever a file says, no other one is opened. */
START_TEST(of_other_files)
{
#define LINK "\n  h5repack or h5copy puts it into this file"
    refuses("soft", "its group soft is a link to another place, which is not read" LINK);
    refuses("outside", "its group outside is a link to another place, which is not read" LINK);
    refuses("linked", "linked/auto_masks is a link to another place, which is not read" LINK);
    refuses("virtual", "virtual/auto_masks lies in other files, which are not read" LINK);
    refuses("stored", "stored/auto_masks lies in other files, which are not read" LINK);
}
END_TEST

/* ---- damage ---------------------------------------------------------------------------------- */

static char path[64];
static uint8_t file[1 << 17];
static size_t length;

static void copy_golden(void)
{
    FILE *f = fopen(H5, "rb");
    ck_assert_ptr_nonnull(f);
    length = fread(file, 1, sizeof file, f);
    fclose(f);
    ck_assert_uint_lt(length, sizeof file);
    strcpy(path, "/tmp/massflow-test-XXXXXX");
    close(mkstemp(path));
}

static void write_file(size_t bytes)
{
    FILE *f = fopen(path, "wb");
    ck_assert_uint_eq(fwrite(file, 1, bytes, f), bytes);
    fclose(f);
}

static mf_status read_damaged(const char *group)
{
    static taken t;
    masks_source s = source_of(path, group);
    int64_t count;
    t = (taken){.most = 8};
    return masks_read(&s, take, &t, &count);
}

START_TEST(damaged)
{
    copy_golden();
    write_file(0);
    refuses_file(path, "lzf",
                 "it is not an HDF5 file that can be read: file signature not found" AGAIN);
    memcpy(file, "PK\3\4", 4);
    write_file(length);
    refuses_file(path, "lzf",
                 "it is not an HDF5 file that can be read: file signature not found" AGAIN);
    copy_golden();
    write_file(length / 2);
    mf_status status = read_damaged("lzf");
    char *text = mf_error_text(status);
    ck_assert_msg(!strncmp(text, path, strlen(path)), "%s", text);
    ck_assert_ptr_nonnull(strstr(text, "truncated file"));
    free(text);
    mf_error_free(status);
    unlink(path);
}
END_TEST

/* Offsets of chunks in the file: h5py's get_chunk_info says them. */
START_TEST(damaged_masks)
{
    copy_golden();
    file[7129] ^= 0xff;
    file[7391] ^= 0xff;
    write_file(length);
    refuses_file(path, "lzf",
                 "mask 2 of lzf/auto_masks cannot be read: a chunk that LZF packed is "
                 "damaged" AGAIN);
    refuses_file(path, "gzip",
                 "mask 0 of gzip/auto_masks cannot be read: data error detected by Fletcher32 "
                 "checksum" AGAIN);
    unlink(path);
}
END_TEST

/* Bytes all over the file, changed one after another: it is an error that names the file, or other
 * voxels; the process that reads is all that can end. */
START_TEST(damaged_chunks)
{
    size_t errors = 0;
    copy_golden();
    for (size_t i = 0; i < length; i += 509) {
        uint8_t was = file[i];
        file[i] = (uint8_t)~was;
        write_file(length);
        mf_status status = read_damaged("lzf");
        errors += status != MF_OK;
        if (status) {
            char *text = mf_error_text(status);
            ck_assert_msg(!strncmp(text, path, strlen(path)), "%s", text);
            free(text);
        }
        mf_error_free(status);
        file[i] = was;
    }
    ck_assert_uint_gt(errors, 2);
    unlink(path);
}
END_TEST

START_TEST(the_process)
{
    static taken t;
    masks_source s = source_of(H5, "lzf");
    int64_t count;
    s.program = "/bin/false";
    fails(masks_read(&s, take, &t, &count),
          H5 ": the process that reads it ended with exit status 1");
    s.program = "/nowhere/massflow-hdf5";
    fails(masks_read(&s, take, &t, &count),
          H5 ": cannot be read: /nowhere/massflow-hdf5 cannot be started: No such file or "
             "directory\n  it is a part of massflow: build or install massflow again");
    s.program = "/bin/echo"; /* says its words, which are too few */
    fails(masks_read(&s, take, &t, &count),
          H5 ": the process that reads it gave an answer that is none; the file is damaged");
    s = source_of(H5, "lzf");
    t = (taken){.most = 1};
    fails(masks_read(&s, take, &t, &count), "stopped");
}
END_TEST

/* ---- written --------------------------------------------------------------------------------- */

static mf_artifact *sample_of(int masks)
{
    const mf_grid grid = {
        .size = {40, 6, 4}, .spacing = {1, 1, 1}, .direction = {1, 0, 0, 0, 1, 0, 0, 0, 1}};
    const mf_mask whole = {.hi = {4, 6, 40}, .score = 1, .seed_axis = -1, .seed_slice = -1};
    uint8_t dense[960];
    mf_masks_builder *builder;
    mf_artifact *a;
    ok(mf_artifact_new("sample", &a));
    ok(mf_artifact_set_grid(a, &grid));
    ok(mf_masks_begin(&grid, &builder));
    for (int m = 0; m < masks; m++) {
        bool added;
        for (int i = 0; i < 960; i++)
            dense[i] = (uint8_t)inside(m, i);
        ok(mf_masks_add(builder, &whole, dense, &added));
    }
    ok(mf_masks_finish(builder, a));
    return a;
}

static void write_samples(void)
{
    masks_writer *w;
    mf_array *made;
    mf_artifact *three = sample_of(3), *none = sample_of(0);
    ok(masks_writer_open(&w));
    ok(masks_writer_add(w, "a", three));
    ok(masks_writer_add(w, "b", none));
    ok(masks_writer_close(w, &made));
    FILE *f = fopen(path, "wb");
    ck_assert_uint_eq(fwrite(made->data, 1, made->bytes, f), made->bytes);
    ck_assert_int_eq(fclose(f), 0);
    mf_array_unref(made);
    mf_artifact_unref(three);
    mf_artifact_unref(none);
}

static size_t read_file(uint8_t *bytes)
{
    FILE *f = fopen(path, "rb");
    size_t got = fread(bytes, 1, sizeof file, f);
    fclose(f);
    return got;
}

START_TEST(written)
{
    static uint8_t before[sizeof file];
    static taken t;
    masks_writer *w;
    int64_t count;
    strcpy(path, "/tmp/massflow-test-XXXXXX");
    close(mkstemp(path));
    write_samples();
    masks_source s = source_of(path, "a");
    t = (taken){.most = 8};
    ok(masks_read(&s, take, &t, &count));
    ck_assert_int_eq(count, 3);
    for (int m = 0; m < 3; m++)
        for (int i = 0; i < 960; i++)
            ck_assert_int_eq(t.masks[m][i], inside(m, i));
    s.group = "b";
    ok(masks_read(&s, take, &t, &count));
    ck_assert_int_eq(count, 0);

    size_t bytes = read_file(before);
    write_samples(); /* the same bytes */
    ck_assert_uint_eq(read_file(file), bytes);
    ck_assert(!memcmp(before, file, bytes));

    mf_artifact *sample = sample_of(1);
    ok(masks_writer_open(&w));
    ok(masks_writer_add(w, "a", sample));
    mf_status status = masks_writer_add(w, "a", sample);
    ck_assert_ptr_nonnull(status);
    ck_assert_str_eq(mf_error_message(status),
                     "dataset.h5: a cannot be written: name already exists");
    mf_error_free(status);
    masks_writer_abandon(w);
    mf_artifact_unref(sample);
    unlink(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("corpus");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 300); /* on a busy machine too */
    tcase_add_test(t, of_h5py);
    tcase_add_test(t, of_another_layout);
    tcase_add_test(t, of_other_files);
    tcase_add_test(t, damaged);
    tcase_add_test(t, damaged_masks);
    tcase_add_test(t, damaged_chunks);
    tcase_add_test(t, the_process);
    tcase_add_test(t, written);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
