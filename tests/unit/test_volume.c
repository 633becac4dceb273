/* Tests of loading and writing: damaged files give their error, odd ones come out right or are
 * refused in words, one head in five orientations is one volume, and what is written for a scan
 * lies on that scan's voxels again. Real files are used where they are (MASSFLOW_DATA). */
#include "../run_suite.h"
#include "load.h"
#include "write.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *data_path(const char *name)
{
    static char path[8][1024];
    static int next;
    const char *root = getenv("MASSFLOW_DATA");
    char *p = path[next++ % 8];
    snprintf(p, 1024, "%s/%s", root ? root : "../shared/data", name);
    return p;
}

static bool missing(const char *name)
{
    if (!access(data_path(name), R_OK))
        return false;
    printf("skipped: %s is not there\n", data_path(name));
    return true;
}

static load_options defaults(void)
{
    return (load_options){.read = {-1, NULL},
                          .orient = "RAS",
                          .crop = "none",
                          .threshold = -500,
                          .margin = 20,
                          .modality = "auto"};
}

static mf_artifact *load(const char *path, const load_options *o)
{
    scan s;
    mf_artifact *a = NULL;
    mf_status status = load_volume(path, o, &s, &a);
    char *text = status ? mf_error_text(status) : NULL;
    ck_assert_msg(!status, "%s", text);
    return a;
}

static mf_array *voxels_of(const mf_artifact *a)
{
    mf_array *v;
    ck_assert_ptr_null(mf_artifact_array(a, "voxels", &v));
    return v;
}

static void expect_error(mf_status status, mf_code code, const char *path, const char *rest)
{
    ck_assert_msg(status, "%s: no error", path);
    char wanted[2048], *text = mf_error_text(status);
    snprintf(wanted, sizeof wanted, "%s: %s", path, rest);
    ck_assert_str_eq(text, wanted);
    ck_assert_int_eq(mf_error_code(status), code);
    free(text);
    mf_error_free(status);
}

static void refused(const char *name, const load_options *o, mf_code code, const char *rest)
{
    scan s;
    mf_artifact *a = NULL;
    if (missing(name))
        return;
    expect_error(load_volume(data_path(name), o, &s, &a), code, data_path(name), rest);
}

START_TEST(damaged_files_say_what_is_wrong)
{
    load_options o = defaults();
    refused("edge/bad_empty.nii.gz", &o, MF_CORRUPT, "is empty (0 bytes)");
    refused("edge/bad_text.nii.gz", &o, MF_CORRUPT,
            "is not a NIfTI file: text, 21 bytes, too few for a header");
    refused("edge/bad_png_named_nii.nii", &o, MF_CORRUPT,
            "is not a NIfTI file: it holds a PNG picture");
    refused("edge/bad_dims_huge.nii", &o, MF_CORRUPT,
            "cut off: its header promises 32767 x 32767 x 32767 x 1 voxels (70362301923678 bytes), "
            "the file has 4096 bytes");
    refused("edge/bad_hdr_only.nii", &o, MF_CORRUPT,
            "cut off: its header promises 122 x 101 x 30 x 1 voxels (739672 bytes), the file has "
            "352 bytes");
    refused("edge/bad_nifti_truncated_data.nii", &o, MF_CORRUPT,
            "cut off: its header promises 122 x 101 x 30 x 1 voxels (739672 bytes), the file has "
            "369836 bytes");
    refused("edge/bad_truncated_gz.nii.gz", &o, MF_CORRUPT,
            "cut off: its header promises 739672 bytes (decompressed), it has 444163");
    refused("edge/dcm_MR_truncated.dcm", &o, MF_CORRUPT,
            "cut off: its header promises 64 x 64 pixels (8192 bytes), 8130 are there");
    refused("edge/dcm_no_meta.dcm", &o, MF_CORRUPT, "is not a DICOM file, or a damaged one");
    refused("edge/dcm_rtplan_truncated.dcm", &o, MF_CORRUPT,
            "damaged DICOM: an element reaches beyond the end of the file");
    scan s;
    mf_artifact *a = NULL;
    expect_error(load_volume("nowhere/a.nii", &o, &s, &a), MF_NOT_FOUND, "nowhere/a.nii",
                 "No such file or directory");
}
END_TEST

/* A file cut at any place, or with a byte changed, never crashes; cut, it never loads. */
static void cut_everywhere(const char *name, const char *copy, long step, long from_pixels)
{
    if (missing(name))
        return;
    static unsigned char bytes[1 << 20], changed[1 << 20];
    FILE *file = fopen(data_path(name), "rb");
    size_t n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    load_options o = defaults();
    for (int pass = 0; pass < 2; pass++)
        for (size_t at = 0; at < n - (pass ? 0 : (size_t)from_pixels); at += (size_t)step) {
            scan s;
            mf_artifact *a = NULL;
            memcpy(changed, bytes, n);
            changed[at] ^= pass ? 0x55 : 0;
            file = fopen(copy, "wb");
            fwrite(changed, 1, pass ? n : at, file);
            fclose(file);
            mf_status status = load_volume(copy, &o, &s, &a);
            ck_assert_msg(pass || status, "%s cut at %zu was loaded", name, at);
            mf_error_free(status);
            mf_artifact_unref(a);
        }
    unlink(copy);
}

START_TEST(damage_anywhere_is_survived)
{
    /* the last bytes of each file are padding or a checksum's tail that nothing depends on */
    cut_everywhere("edge/dcm_CT_small.dcm", "/tmp/massflow-test-cut.dcm", 97, 139);
    cut_everywhere("edge/dcm_MR_small_bigendian.dcm", "/tmp/massflow-test-cut.dcm", 61, 1);
    cut_everywhere("edge/odd_tiny_7x5x3.nii.gz", "/tmp/massflow-test-cut.nii.gz", 1, 9);
    cut_everywhere("edge/odd_lung_small.mha", "/tmp/massflow-test-cut.mha", 3001, 9);
    cut_everywhere("edge/odd_analyze_ras.hdr", "/tmp/massflow-test-cut.hdr", 7, 0);
}
END_TEST

START_TEST(odd_files_are_refused_in_words)
{
    load_options o = defaults();
    refused("edge/odd_4d_dwi.nii.gz", &o, MF_UNSUPPORTED,
            "has 7 time points, not one\n  time: N (from 0) takes one of them");
    refused("edge/odd_rgb_ct_perfusion.nii.gz", &o, MF_UNSUPPORTED,
            "has colour voxels (RGB), not one number a voxel\n"
            "  convert it to a grey-scale scan first");
    refused("edge/odd_nan_inf.nii.gz", &o, MF_UNSUPPORTED,
            "6400 voxels are not a number and 1 are infinite, of 64000\n"
            "  nonfinite: zero replaces them by 0");
    refused("edge/dcm_SC_rgb_small_odd.dcm", &o, MF_UNSUPPORTED,
            "is a colour picture (3 values a pixel)");
    refused("dicom/mr_epi_ge", &o, MF_UNSUPPORTED,
            "has 15 positions with 10 slices each: a time series\n"
            "  time: N (from 0) takes one time point");
    o.read.time = 7;
    refused("edge/odd_4d_dwi.nii.gz", &o, MF_INVALID,
            "has 7 time points; time: 7 is not one of them");
}
END_TEST

/* The same head stored in five axis orders: the same voxels, grids equal within a micrometre. */
START_TEST(orientations_agree)
{
    static const char *const names[] = {"edge/orient_RAS.nii.gz", "edge/orient_LAS.nii.gz",
                                        "edge/orient_LPS.nii.gz", "edge/orient_AIL.nii.gz",
                                        "edge/orient_PSR.nii.gz"};
    load_options o = defaults();
    if (missing(names[0]))
        return;
    mf_artifact *first = load(data_path(names[0]), &o);
    mf_array *a = voxels_of(first);
    mf_grid ga, gb;
    ck_assert_ptr_null(mf_artifact_grid(first, &ga));
    for (int i = 1; i < 5; i++) {
        mf_artifact *other = load(data_path(names[i]), &o);
        mf_array *b = voxels_of(other);
        ck_assert_ptr_null(mf_artifact_grid(other, &gb));
        ck_assert_msg(mf_grid_equal(&ga, &gb, 1e-3), "%s", names[i]);
        ck_assert_int_eq(a->dtype, b->dtype);
        ck_assert_mem_eq(a->data, b->data, a->bytes);
        mf_array_unref(b);
        mf_artifact_unref(other);
    }
    mf_array_unref(a);
    mf_artifact_unref(first);
}
END_TEST

/* A GE series of 150 files, against the NIfTI file that dcm2niix made of it. */
START_TEST(dicom_agrees_with_its_conversion)
{
    load_options o = defaults();
    if (missing("dicom/mr_epi_ge") || missing("dicom/mr_epi_ge_ref.nii"))
        return;
    for (int t = 0; t < 10; t += 9) {
        o.read.time = t;
        mf_artifact *a = load(data_path("dicom/mr_epi_ge"), &o);
        mf_artifact *b = load(data_path("dicom/mr_epi_ge_ref.nii"), &o);
        mf_array *va = voxels_of(a), *vb = voxels_of(b);
        mf_grid ga, gb;
        ck_assert_ptr_null(mf_artifact_grid(a, &ga));
        ck_assert_ptr_null(mf_artifact_grid(b, &gb));
        ck_assert(mf_grid_equal(&ga, &gb, 1e-3));
        ck_assert_int_eq(va->dtype, vb->dtype);
        ck_assert_mem_eq(va->data, vb->data, va->bytes);
        ck_assert_str_eq(mf_artifact_text(a, "modality"), "MR");
        mf_array_unref(va), mf_array_unref(vb);
        mf_artifact_unref(a), mf_artifact_unref(b);
    }
}
END_TEST

/* Links to `count` files of the GE series, all but number `without`, under names in another order.
 */
static void link_series(const char *folder, int from, int count, int without)
{
    for (int i = from; i < from + count; i++) {
        char name[128], link[256];
        if (i == without)
            continue;
        snprintf(name, sizeof name, "dicom/mr_epi_ge/axial_epi_fmri_interleaved_i_to_s-%05d.dcm",
                 i);
        snprintf(link, sizeof link, "%s/%03d", folder, 999 - i * 7 % 151);
        char *full = realpath(data_path(name), NULL);
        ck_assert_ptr_nonnull(full);
        ck_assert_int_eq(symlink(full, link), 0);
        free(full);
    }
}

static void remove_folder(const char *folder)
{
    char command[256];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(folders_of_series)
{
    char folder[] = "/tmp/massflow-test-XXXXXX", path[256];
    load_options o = defaults();
    scan s;
    mf_artifact *a = NULL;
    if (missing("dicom/mr_epi_ge") || missing("edge/dcm_CT_small.dcm"))
        return;
    /* Files 1 to 15 are the first time point: under other names the same volume. */
    ck_assert_ptr_nonnull(mkdtemp(folder));
    link_series(folder, 1, 15, 0);
    o.read.time = 0;
    mf_artifact *whole = load(data_path("dicom/mr_epi_ge"), &o);
    o.read.time = -1;
    a = load(folder, &o);
    mf_array *va = voxels_of(whole), *vb = voxels_of(a);
    ck_assert_mem_eq(va->data, vb->data, va->bytes);
    mf_array_unref(va), mf_array_unref(vb);
    mf_artifact_unref(a), mf_artifact_unref(whole);
    /* Two series: the error lists them, `series` takes one. */
    char *full = realpath(data_path("edge/dcm_CT_small.dcm"), NULL);
    snprintf(path, sizeof path, "%s/ct", folder);
    ck_assert_int_eq(symlink(full, path), 0);
    free(full);
    mf_status status = load_volume(folder, &o, &s, &a);
    ck_assert_msg(status, "two series were loaded");
    ck_assert_ptr_nonnull(
        strstr(mf_error_message(status), ": holds 2 series, not one:\n  1: 1 files, CT,"));
    ck_assert_str_eq(mf_error_hint_text(status), "series: NUMBER takes one of them");
    mf_error_free(status);
    o.read.series = "1";
    a = load(folder, &o);
    ck_assert_str_eq(mf_artifact_text(a, "modality"), "CT");
    mf_artifact_unref(a);
    remove_folder(folder);
    /* A slice in the middle is missing. */
    o.read.series = NULL;
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    link_series(folder, 1, 15, 4);
    status = load_volume(folder, &o, &s, &a);
    ck_assert_msg(status, "a series with a missing slice was loaded");
    ck_assert_ptr_nonnull(strstr(mf_error_message(status), "one may be missing"));
    mf_error_free(status);
    remove_folder(folder);
}
END_TEST

START_TEST(formats_keep_type_and_values)
{
    load_options o = defaults();
    if (missing("edge/odd_bigendian.nii.gz"))
        return;
    /* Big-endian reals that are all whole: the same voxels as the 16-bit original. */
    mf_artifact *a = load(data_path("edge/odd_bigendian.nii.gz"), &o);
    mf_artifact *b = load(data_path("mri/mr_spine_t2.nii.gz"), &o);
    mf_array *va = voxels_of(a), *vb = voxels_of(b);
    ck_assert_int_eq(va->dtype, MF_I16);
    ck_assert_int_eq(vb->dtype, MF_I16);
    ck_assert_mem_eq(va->data, vb->data, va->bytes);
    mf_array_unref(va), mf_array_unref(vb);
    mf_artifact_unref(a), mf_artifact_unref(b);
    /* NIfTI-2, second time point; nibabel's sum of the same slice. */
    o.read.time = 1;
    a = load(data_path("edge/odd_example_nifti2.nii.gz"), &o);
    va = voxels_of(a);
    ck_assert_int_eq(mf_array_count(va), 32 * 20 * 12);
    mf_array_unref(va);
    mf_artifact_unref(a);
    o.read.time = -1;
    o.zero_odd = true;
    a = load(data_path("edge/odd_nan_inf.nii.gz"), &o);
    va = voxels_of(a);
    for (int64_t i = 0; i < mf_array_count(va); i++)
        ck_assert(isfinite(((float *)va->data)[i]));
    mf_array_unref(va);
    mf_artifact_unref(a);
    a = load(data_path("edge/odd_lung_small.mha"), &o);
    ck_assert_str_eq(mf_artifact_text(a, "modality"), "CT");
    mf_artifact_unref(a);
}
END_TEST

START_TEST(labels_follow_their_scan)
{
    load_options o = defaults();
    labels_options l = {.read = {-1, NULL}, .orient = "RAS"};
    const char *ct = data_path("ct/ct_abdomen_pelvis_A.nii.gz");
    scan s;
    mf_artifact *labels = NULL;
    if (missing("ct/ct_abdomen_pelvis_A.nii.gz"))
        return;
    mf_artifact *whole = load(ct, &o);
    const char *wrong = data_path("edge/odd_labels_shape_mismatch.nii.gz");
    expect_error(load_labels(wrong, &l, whole, &s, &labels), MF_INVALID, wrong,
                 "has 122 x 101 x 30 voxels, the scan has 122 x 101 x 112: they do not match");
    mf_artifact_unref(whole);
    o.crop = "threshold";
    o.margin = 3;
    o.orient = "LPS";
    mf_artifact *a = load(ct, &o);
    ck_assert_ptr_null(
        load_labels(data_path("ct/ct_abdomen_pelvis_A_labels.nii.gz"), &l, a, &s, &labels));
    mf_grid ga, gl;
    ck_assert_ptr_null(mf_artifact_grid(a, &ga));
    ck_assert_ptr_null(mf_artifact_grid(labels, &gl));
    ck_assert(mf_grid_equal(&ga, &gl, 1e-6));
    ck_assert_int_lt(ga.size[1], 101);
    /* The spleen (1) has soft-tissue intensities where its labels are. */
    mf_array *v = voxels_of(a), *lv = voxels_of(labels);
    double sum = 0, count = 0;
    ck_assert_int_eq(v->dtype, MF_I16);
    ck_assert_int_eq(lv->dtype, MF_U8);
    for (int64_t i = 0; i < mf_array_count(v); i++)
        if (((uint8_t *)lv->data)[i] == 1)
            sum += ((int16_t *)v->data)[i], count++;
    ck_assert_double_gt(sum / count, 20);
    ck_assert_double_lt(sum / count, 90);
    mf_array_unref(v), mf_array_unref(lv);
    mf_artifact_unref(a), mf_artifact_unref(labels);
}
END_TEST

/* A made-up scan in a crooked orientation, for the tests below. */
static void make_file(const char *path, mf_grid *grid)
{
    const int64_t size[3] = {20, 14, 9}, shape[3] = {9, 14, 20};
    const double spacing[3] = {1.5, 2, 3};
    mf_array *v;
    mf_grid_identity(grid, size, spacing);
    /* x runs to the front, y to the foot, z to the right, and all of it is turned by 10 degrees */
    const double c = cos(0.17), n = sin(0.17);
    const double d[9] = {0, n, c, 1, 0, 0, 0, -c, n};
    memcpy(grid->direction, d, sizeof d);
    grid->origin[0] = -12, grid->origin[1] = 34, grid->origin[2] = 5;
    ck_assert_ptr_null(mf_array_new(MF_I16, 3, shape, &v));
    for (int64_t i = 0; i < mf_array_count(v); i++)
        ((int16_t *)v->data)[i] = (int16_t)(i % 1999 - 900);
    mf_artifact *a;
    ck_assert_ptr_null(mf_artifact_new("volume", &a));
    ck_assert_ptr_null(mf_artifact_set_grid(a, grid));
    ck_assert_ptr_null(mf_artifact_add(a, "voxels", v));
    mf_status status = write_volume(a, path);
    ck_assert_msg(!status, "%s", status ? mf_error_text(status) : "");
    mf_array_unref(v);
    mf_artifact_unref(a);
}

/* Written, loaded in another orientation, written again: the same voxels in the same place. */
START_TEST(written_results_lie_on_the_scan)
{
    static const char *const suffixes[] = {".nii.gz", ".nii", ".nrrd", ".mha"};
    char folder[] = "/tmp/massflow-test-XXXXXX", first[128], second[128];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    for (int i = 0; i < 4; i++) {
        mf_grid made, ga, gb;
        load_options o = defaults();
        snprintf(first, sizeof first, "%s/first%s", folder, suffixes[i]);
        snprintf(second, sizeof second, "%s/second%s", folder, suffixes[(i + 1) % 4]);
        make_file(first, &made);
        mf_artifact *turned = load(first, &o);
        char codes[4];
        ck_assert_ptr_null(mf_artifact_grid(turned, &ga));
        orient_codes(&ga, codes);
        ck_assert_str_eq(codes, "RAS");
        ck_assert_ptr_null(write_volume(turned, second));
        o.orient = "keep";
        mf_artifact *a = load(first, &o), *b = load(second, &o);
        ck_assert_ptr_null(mf_artifact_grid(a, &ga));
        ck_assert_ptr_null(mf_artifact_grid(b, &gb));
        ck_assert(mf_grid_equal(&made, &ga, 1e-4));
        ck_assert(mf_grid_equal(&made, &gb, 1e-4));
        mf_array *va = voxels_of(a), *vb = voxels_of(b);
        ck_assert_int_eq(va->dtype, MF_I16);
        ck_assert_mem_eq(va->data, vb->data, va->bytes);
        for (int64_t k = 0; k < mf_array_count(va); k++)
            ck_assert_int_eq(((int16_t *)va->data)[k], k % 1999 - 900);
        mf_array_unref(va), mf_array_unref(vb);
        mf_artifact_unref(a), mf_artifact_unref(b), mf_artifact_unref(turned);
        unlink(first), unlink(second);
    }
    rmdir(folder);
}
END_TEST

/* A crop is undone: voxels inside come back, those outside have the least value. */
START_TEST(crops_are_undone)
{
    char folder[] = "/tmp/massflow-test-XXXXXX", path[128], back[128];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.nrrd", folder);
    snprintf(back, sizeof back, "%s/b.nrrd", folder);
    mf_grid grid;
    make_file(path, &grid);
    load_options o = defaults();
    o.crop = "threshold";
    o.threshold = 990;
    o.margin = 0;
    o.orient = "LSA";
    mf_artifact *cropped = load(path, &o);
    ck_assert_ptr_null(write_volume(cropped, back));
    o = defaults();
    o.orient = "keep";
    mf_artifact *whole = load(back, &o);
    mf_array *v = voxels_of(whole), *c = voxels_of(cropped);
    ck_assert_int_lt(mf_array_count(c), mf_array_count(v));
    int64_t kept = 0;
    for (int64_t i = 0; i < mf_array_count(v); i++) {
        int value = ((int16_t *)v->data)[i], original = (int)(i % 1999 - 900);
        kept += value == original;
        if (original > 990 && value != original) /* smaller components may be cut off */
            ck_assert_int_lt(value, original);
    }
    ck_assert_int_ge(kept, mf_array_count(c));
    mf_array_unref(v), mf_array_unref(c);
    mf_artifact_unref(whole), mf_artifact_unref(cropped);
    unlink(path), unlink(back), rmdir(folder);
}
END_TEST

/* Overlapping masks get layers of their own, so that each can be read back whole. */
START_TEST(masks_keep_their_overlap)
{
    char path[] = "/tmp/massflow-test-masks.nrrd";
    const int64_t size[3] = {12, 10, 8};
    const double spacing[3] = {1, 1, 2};
    mf_grid grid;
    mf_masks_builder *builder;
    mf_artifact *masks;
    bool added;
    uint8_t ones[8 * 10 * 12];
    memset(ones, 1, sizeof ones);
    mf_grid_identity(&grid, size, spacing);
    ck_assert_ptr_null(mf_masks_begin(&grid, &builder));
    const mf_mask boxes[3] = {{{0, 0, 0}, {4, 4, 4}, 1, -1, -1},
                              {{4, 4, 4}, {8, 10, 12}, 1, -1, -1},
                              {{3, 3, 3}, {5, 5, 5}, 1, -1, -1}};
    for (int k = 0; k < 3; k++)
        ck_assert_ptr_null(mf_masks_add(builder, &boxes[k], ones, &added));
    ck_assert_ptr_null(mf_artifact_new("masks", &masks));
    ck_assert_ptr_null(mf_artifact_set_grid(masks, &grid));
    ck_assert_ptr_null(mf_masks_finish(builder, masks));
    ck_assert_ptr_null(write_masks(masks, path));
    for (int layer = 0; layer < 2; layer++) {
        load_options o = defaults();
        o.orient = "keep";
        o.read.time = layer;
        mf_artifact *a = load(path, &o);
        mf_array *v = voxels_of(a);
        const uint8_t *p = v->data;
        int64_t count[4] = {0};
        ck_assert_int_eq(v->dtype, MF_U8);
        for (int64_t i = 0; i < mf_array_count(v); i++)
            count[p[i]]++;
        ck_assert_int_eq(count[1], layer ? 0 : 64);
        ck_assert_int_eq(count[2], layer ? 0 : 4 * 6 * 8);
        ck_assert_int_eq(count[3], layer ? 8 : 0);
        mf_array_unref(v);
        mf_artifact_unref(a);
    }
    mf_artifact_unref(masks);
    unlink(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("volume");
    TCase *cases = tcase_create("files");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, damaged_files_say_what_is_wrong);
    tcase_add_test(cases, damage_anywhere_is_survived);
    tcase_add_test(cases, odd_files_are_refused_in_words);
    tcase_add_test(cases, orientations_agree);
    tcase_add_test(cases, dicom_agrees_with_its_conversion);
    tcase_add_test(cases, folders_of_series);
    tcase_add_test(cases, formats_keep_type_and_values);
    tcase_add_test(cases, labels_follow_their_scan);
    tcase_add_test(cases, written_results_lie_on_the_scan);
    tcase_add_test(cases, crops_are_undone);
    tcase_add_test(cases, masks_keep_their_overlap);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
