/* Tests of what the formats' headers can say: each name of a space, each oddity of a header, each
 * way to store voxels, with files that the test writes. Value and place are checked, and of what is
 * refused the whole text. The inputs of public reports are used where they are (MASSFLOW_DATA). */
#include "../expect.h"
#include "load.h"
#include "scan.h"
#include <bzlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static char folder[64];

static void enter(void)
{
    strcpy(folder, "/tmp/massflow-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
}

static void leave(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(system(command), 0);
}

static const char *data_path(const char *name)
{
    static char path[4][1024];
    static int next;
    const char *root = getenv("MASSFLOW_DATA");
    char *p = path[next++ % 4];
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

/* A text, then bytes. */
static void put(const char *path, const char *text, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fwrite(bytes, 1, size, f);
    ck_assert_int_eq(fclose(f), 0);
}

/* The voxels of all scans here: 4 x 3 x 2 (and 5 time points), whose value is their number. */
#define NX 4
#define NY 3
#define NZ 2
#define N (NX * NY * NZ)
static int16_t ramp[5 * N];

static void make_ramp(void)
{
    for (int i = 0; i < 5 * N; i++)
        ramp[i] = (int16_t)i;
}

static scan scanned_at(const char *path, int64_t time)
{
    scan s;
    const scan_options o = {time, NULL};
    ok(scan_read(path, &o, &s));
    return s;
}

static scan scanned(const char *path)
{
    return scanned_at(path, -1);
}

static void refuses_time(const char *path, int64_t time, const char *text)
{
    scan s;
    const scan_options o = {time, NULL};
    fails(scan_read(path, &o, &s), text);
}

static void refuses(const char *path, const char *text)
{
    refuses_time(path, -1, text);
}

/* The scan's affine, RAS+, row by row. */
static void check_affine(const scan *s, const double wanted[12])
{
    const mf_grid *g = &s->grid;
    for (int r = 0; r < 3; r++) {
        for (int c = 0; c < 3; c++)
            ck_assert_double_eq_tol(g->direction[3 * r + c] * g->spacing[c], wanted[4 * r + c],
                                    1e-9);
        ck_assert_double_eq_tol(g->origin[r], wanted[4 * r + 3], 1e-9);
    }
}

/* Voxel i has the value first + step * i. */
static void check_ramp(const scan *s, double first, double step)
{
    mf_array *real;
    ok(mf_array_convert(s->voxels, MF_F64, &real));
    ck_assert_int_eq(mf_array_count(real), s->grid.size[0] * s->grid.size[1] * s->grid.size[2]);
    for (int64_t i = 0; i < mf_array_count(real); i++)
        ck_assert_double_eq(((double *)real->data)[i], first + step * (double)i);
    mf_array_unref(real);
}

static void check_size(const scan *s, int64_t x, int64_t y, int64_t z)
{
    ck_assert_int_eq(s->grid.size[0], x);
    ck_assert_int_eq(s->grid.size[1], y);
    ck_assert_int_eq(s->grid.size[2], z);
}

/* Read, with this ramp, and the last of its notes; "" where there is none. */
static void reads(const char *path, double first, double step, const char *note)
{
    scan s = scanned(path);
    check_ramp(&s, first, step);
    ck_assert_str_eq(s.notes ? s.note[s.notes - 1] : "", note);
    scan_free(&s);
}

/* ---- further files --------------------------------------------------------------------------- */

typedef struct listing {
    char text[512];
} listing;

static mf_status list(void *self, const char *part)
{
    listing *l = self;
    strcat(strcat(l->text, part), "\n");
    return MF_OK;
}

static void lists(const char *path, const char *text)
{
    listing l = {{0}};
    ok(scan_parts(path, list, &l));
    ck_assert_str_eq(l.text, text);
}

static void cannot_list(const char *path, const char *text)
{
    listing l = {{0}};
    fails(scan_parts(path, list, &l), text);
    ck_assert_str_eq(l.text, "");
    refuses(path, text); /* what cannot be listed is not read either */
}

#define MHD                                                                                        \
    "ObjectType = Image\nNDims = 3\nDimSize = 4 3 2\nElementType = MET_SHORT\nElementSpacing = 1 " \
    "1 1\nOffset = 0 0 0\nTransformMatrix = 1 0 0 0 1 0 0 0 1\n"
#define NHDR                                                                                       \
    "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 3 2\nencoding: raw\nendian: little\nspace: "    \
    "RAS\nspace directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n"

START_TEST(what_a_header_names_is_listed_and_read)
{
    enter();
    mkdir("sub", 0700);
    put("ct.raw", "", ramp, 2 * N);
    put("sub/ct.raw", "", ramp, 2 * N);
    put("slice1", "", ramp, N);
    put("slice2", "", ramp + N / 2, N);
    put("one.mhd", MHD "ElementDataFile = ct.raw\n", "", 0);
    lists("one.mhd", "ct.raw\n");
    reads("one.mhd", 0, 1, "");
    put("sub.mhd", MHD "ElementDataFile = sub/ct.raw\n", "", 0);
    lists("sub.mhd", "sub/ct.raw\n");
    put("list.mhd", MHD "ElementDataFile = LIST\nslice1\nslice2\n", "", 0);
    lists("list.mhd", "slice1\nslice2\n");
    reads("list.mhd", 0, 1, "");
    put("list2.mhd", MHD "ElementDataFile = LIST 2D\r\n\nslice2\r\nslice1\r\n", "", 0);
    lists("list2.mhd", "slice2\nslice1\n");
    put("pattern.mhd", MHD "ElementDataFile = slice%d 1 2 1\n", "", 0);
    lists("pattern.mhd", "slice1\nslice2\n");
    reads("pattern.mhd", 0, 1, "");
    put("local.mha", MHD "ElementDataFile = LOCAL\n", ramp, 2 * N);
    lists("local.mha", "");
    reads("local.mha", 0, 1, "");
    put("one.nhdr", NHDR "data file: ct.raw\n", "", 0);
    lists("one.nhdr", "ct.raw\n");
    reads("one.nhdr", 0, 1, "");
    put("list.nhdr", NHDR "datafile: LIST\nslice1\nslice2\n", "", 0);
    lists("list.nhdr", "slice1\nslice2\n");
    reads("list.nhdr", 0, 1, "");
    put("pattern.nhdr", NHDR "data file: ./slice%01d 2 1 -1\n", "", 0);
    lists("pattern.nhdr", "./slice2\n./slice1\n");
    put("slabs.nhdr", NHDR "data file: slice%d 1 2 1 3\n", "", 0);
    lists("slabs.nhdr", "slice1\nslice2\n");
    reads("slabs.nhdr", 0, 1, "");
    put("local.nrrd", NHDR "\n", ramp, 2 * N);
    lists("local.nrrd", "");
    /* From elsewhere, by a path with folders, and an absolute one. */
    char name[128], text[1024];
    snprintf(name, sizeof name, "%s/one.mhd", folder);
    snprintf(text, sizeof text, "%s/ct.raw\n", folder);
    ck_assert_int_eq(chdir("/"), 0);
    lists(name, text);
    reads(name, 0, 1, "");
    ck_assert_int_eq(chdir(folder), 0);
    snprintf(text, sizeof text, MHD "ElementDataFile = %s/ct.raw\n", folder);
    put("absolute.mhd", text, "", 0);
    snprintf(text, sizeof text, "%s/ct.raw\n", folder);
    lists("absolute.mhd", text);
    /* A folder, and a file that holds all of its scan or none. */
    lists(".", "");
    lists("ct.raw", "");
    leave();
}
END_TEST

START_TEST(no_file_outside_of_the_folder_is_read)
{
    char text[1024], name[128];
    enter();
    mkdir("a", 0700), mkdir("b", 0700), mkdir("links", 0700);
    put("a/ct.raw", "", ramp, 2 * N);
    put("b/ct.raw", "", ramp, 2 * N);
    put("a/up.mhd", MHD "ElementDataFile = ../b/ct.raw\n", "", 0);
#define OUTSIDE                                                                                    \
    ", which lies outside of its folder\n  put the data file beside its header, and write its "    \
    "name there without a folder"
    cannot_list("a/up.mhd", "a/up.mhd:8: names the file ../b/ct.raw" OUTSIDE);
    snprintf(name, sizeof name, "%s/b/ct.raw", folder);
    snprintf(text, sizeof text, MHD "ElementDataFile = %s\n", name);
    put("a/absolute.mhd", text, "", 0);
    snprintf(text, sizeof text, "a/absolute.mhd:8: names the file %s" OUTSIDE, name);
    cannot_list("a/absolute.mhd", text);
    ck_assert_int_eq(symlink("../b/ct.raw", "a/link.raw"), 0);
    put("a/link.nhdr", NHDR "data file: link.raw\n", "", 0);
    cannot_list("a/link.nhdr", "a/link.nhdr:10: names the file link.raw" OUTSIDE);
    put("a/list.nhdr", NHDR "data file: LIST 3\nct.raw\n../b/ct.raw\n", "", 0);
    cannot_list("a/list.nhdr", "a/list.nhdr:12: names the file ../b/ct.raw" OUTSIDE);
    put("a/pattern.mhd", MHD "ElementDataFile = ../b/ct%d.raw 1 2 1\n", "", 0);
    put("b/ct1.raw", "", ramp, N);
    cannot_list("a/pattern.mhd", "a/pattern.mhd:8: names the file ../b/ct1.raw" OUTSIDE);
    /* Links to both files are as good as the files. */
    put("a/one.mhd", MHD "ElementDataFile = ct.raw\n", "", 0);
    ck_assert_int_eq(symlink("../a/one.mhd", "links/one.mhd"), 0);
    cannot_list("links/one.mhd",
                "links/one.mhd:8: names the file ct.raw, which cannot be read: No such file or "
                "directory\n  put the data file beside its header");
    ck_assert_int_eq(symlink("../a/ct.raw", "links/ct.raw"), 0);
    lists("links/one.mhd", "links/ct.raw\n");
    reads("links/one.mhd", 0, 1, "");
    /* No files at all. */
    put("a/folder.mhd", MHD "ElementDataFile = .\n", "", 0);
    cannot_list("a/folder.mhd", "a/folder.mhd:8: names the file ., which lies outside of its folder"
                                "\n  put the data file beside its header, and write its name there "
                                "without a folder");
    ck_assert_int_eq(mkfifo("a/fifo", 0600), 0);
    put("a/fifo.mhd", MHD "ElementDataFile = fifo\n", "", 0);
    cannot_list("a/fifo.mhd", "a/fifo.mhd:8: names fifo, which is no file");
    put("a/percent.mhd", MHD "ElementDataFile = ct%n%s.raw 1 2 1\n", "", 0);
    cannot_list("a/percent.mhd",
                "a/percent.mhd:8: the pattern ct%n%s.raw of data files is not understood\n"
                "  a pattern holds one number, such as %d or %03d");
    put("a/few.mhd", MHD "ElementDataFile = LIST\nct.raw\n", "", 0);
    cannot_list("a/few.mhd", "a/few.mhd:8: lists 1 data files, its size needs 2");
    put("a/few.nhdr", NHDR "data file: LIST\nct.raw\n", "", 0);
    cannot_list("a/few.nhdr", "a/few.nhdr:10: names 1 data files, its sizes 4 3 2 need 2");
    leave();
}
END_TEST

/* An Analyze or NIfTI header of the ramp; magic "ni1", "n+1" or "". */
static void make_header(unsigned char h[352], const char *magic)
{
    const int16_t dim[8] = {3, NX, NY, NZ, 1, 1, 1, 1}, type = 4, bits = 16, code = 1;
    const float pixdim[8] = {1, 1.5F, 2, 3, 1, 1, 1, 1}, offset = magic[1] == '+' ? 352 : 0,
                one = 1;
    const float srow[12] = {-1.5F, 0, 0, 10, 0, 2, 0, -20, 0, 0, 3, 30};
    const int32_t size = 348;
    memset(h, 0, 352);
    memcpy(h, &size, 4);
    memcpy(h + 40, dim, sizeof dim);
    memcpy(h + 70, &type, 2);
    memcpy(h + 72, &bits, 2);
    memcpy(h + 76, pixdim, sizeof pixdim);
    memcpy(h + 108, &offset, 4);
    if (!*magic)
        return;
    memcpy(h + 112, &one, 4);
    memcpy(h + 254, &code, 2);
    memcpy(h + 280, srow, sizeof srow);
    strcpy((char *)h + 344, magic);
}

static void put_gz(const char *path, const void *bytes, unsigned size)
{
    gzFile f = gzopen(path, "wb");
    ck_assert_int_eq(gzwrite(f, bytes, size), (int)size);
    ck_assert_int_eq(gzclose(f), Z_OK);
}

START_TEST(pairs_are_found_in_letters_of_any_case)
{
    static const char *const pairs[][2] = {
        {"a.hdr", "a.img"}, {"B.HDR", "B.IMG"},    {"c.hdr", "c.IMG"},       {"d.Hdr", "d.img"},
        {"e.HDR", "e.Img"}, {"f.hdr", "f.img.gz"}, {"G.HDR.GZ", "G.IMG.GZ"}, {"h.hdr.gz", "h.img"}};
    unsigned char h[352];
    char text[64];
    enter();
    make_header(h, "ni1");
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const char *header = pairs[i][0], *image = pairs[i][1];
        if (strcasestr(header, ".gz"))
            put_gz(header, h, 348);
        else
            put(header, "", h, 348);
        if (strcasestr(image, ".gz"))
            put_gz(image, ramp, 2 * N);
        else
            put(image, "", ramp, 2 * N);
        reads(header, 0, 1, "");
        reads(image, 0, 1, "");
        snprintf(text, sizeof text, "%s\n", image);
        lists(header, text);
        snprintf(text, sizeof text, "%s\n", header);
        lists(image, text);
    }
    /* Of two the one in the same letters, and the given one of images. */
    put("a.IMG", "", ramp + 1, 2 * N);
    put("B.img", "", ramp + 1, 2 * N);
    reads("a.hdr", 0, 1, "");
    reads("a.IMG", 1, 1, "");
    reads("B.HDR", 0, 1, "");
    /* A pair whose header is named .nii. */
    put("n.nii", "", h, 348);
    put("n.img", "", ramp, 2 * N);
    lists("n.nii", "n.img\n");
    reads("n.nii", 0, 1, "");
    /* Without the other file, and with one that lies elsewhere. */
    put("lone.hdr", "", h, 348);
    cannot_list("lone.hdr", "lone.hdr: its voxels lie in a file .img beside it, which is missing");
    put("lone2.img", "", ramp, 2 * N);
    cannot_list("lone2.img", "lone2.img: its header, a file .hdr beside it, is missing");
    mkdir("other", 0700);
    put("other/out.img", "", ramp, 2 * N);
    put("out.hdr", "", h, 348);
    ck_assert_int_eq(symlink("other/out.img", "out.img"), 0);
    reads("out.hdr", 0, 1, ""); /* below the folder */
    mkdir("sub", 0700);
    put("sub/out.hdr", "", h, 348);
    ck_assert_int_eq(symlink("../other/out.img", "sub/out.img"), 0);
    cannot_list("sub/out.hdr",
                "sub/out.hdr: belongs to the file out.img, which lies outside of its "
                "folder\n  put both files into one folder");
    make_header(h, "n+1");
    put("whole.nii", "", h, 352);
    lists("whole.nii", "");
    leave();
}
END_TEST

/* ---- NRRD -------------------------------------------------------------------------------------
 */

START_TEST(reported_spaces_are_placed_right)
{
    static const double las[12] = {-1.5, 0, 0, -10, 0, 2, 0, 20, 0, 0, 3, 30};
    static const char *const names[] = {"reports/nrrd-las/las.nrrd",
                                        "reports/nrrd-las/las_short.nrrd"};
    for (int i = 0; i < 2 && !missing(names[i]); i++) {
        scan s = scanned(data_path(names[i]));
        check_affine(&s, las);
        check_size(&s, 7, 6, 5);
        ck_assert_int_eq(s.notes, 0);
        scan_free(&s);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("formats");
    TCase *parts = tcase_create("further files");
    make_ramp();
    tcase_set_timeout(parts, 60);
    tcase_add_test(parts, what_a_header_names_is_listed_and_read);
    tcase_add_test(parts, no_file_outside_of_the_folder_is_read);
    tcase_add_test(parts, pairs_are_found_in_letters_of_any_case);
    TCase *nrrd = tcase_create("NRRD");
    tcase_add_test(nrrd, reported_spaces_are_placed_right);
    suite_add_tcase(suite, parts);
    suite_add_tcase(suite, nrrd);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
