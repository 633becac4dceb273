/* Tests of what the formats' headers can say: each name of a space, each oddity of a header, each
 * way to store voxels, with files that the test writes. Value and place are checked, and of what is
 * refused the whole text. The inputs of public reports are used where they are (MASSFLOW_DATA). */
#include "../expect.h"
#include "../run_suite.h"
#include "dicom/dicom_file.h"
#include "load.h"
#include "meta/meta_header.h"
#include "nrrd/nrrd_header.h"
#include "reader.h"
#include "scan/inflate.h"
#include "scan/scan.h"
#include "scan/voxels.h"
#include <bzlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
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
    cannot_list("a/fifo.mhd", "a/fifo.mhd:8: names fifo, which is not a file");
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
    const float pixdim[8] = {1, 1.5F, 2, 3, 1, 1, 1, 1}, offset = !strcmp(magic, "n+1") ? 352 : 0,
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

#define NRRD "NRRD0005\ntype: short\ndimension: 3\nsizes: 4 3 2\nencoding: raw\nendian: little\n"
#define DIRECTIONS "space directions: (1.5,0,0) (0,2,0) (0,0,3)\nspace origin: (10,-20,30)\n"

/* A header of text, then the ramp. */
static void put_nrrd(const char *path, const char *header)
{
    char text[2048];
    snprintf(text, sizeof text, "%s\n", header);
    put(path, text, ramp, sizeof ramp);
}

static void refuses_nrrd(const char *header, const char *text)
{
    char whole[512];
    put_nrrd("a.nrrd", header);
    snprintf(whole, sizeof whole, "a.nrrd%s", text);
    refuses("a.nrrd", whole);
}

#define CHECK_SIDES "check the sides before you trust them"

START_TEST(each_space_is_placed_by_its_name)
{
    /* signs of x and y on the way to RAS+, coordinates, and what is noted */
    static const struct {
        const char *name;
        int x, y, rank;
        bool vague;
    } spaces[] = {{"right-anterior-superior", 1, 1, 3, false},
                  {"right anterior superior", 1, 1, 3, false},
                  {"rightanteriorsuperior", 1, 1, 3, false},
                  {"RAS", 1, 1, 3, false},
                  {"ras", 1, 1, 3, false},
                  {"left-anterior-superior", -1, 1, 3, false},
                  {"Left-Anterior-Superior", -1, 1, 3, false},
                  {"left anterior superior", -1, 1, 3, false},
                  {"leftanteriorsuperior", -1, 1, 3, false},
                  {"LAS", -1, 1, 3, false},
                  {"left-posterior-superior", -1, -1, 3, false},
                  {"left posterior superior", -1, -1, 3, false},
                  {"leftposteriorsuperior", -1, -1, 3, false},
                  {"LPS", -1, -1, 3, false},
                  {"right-anterior-superior-time", 1, 1, 4, false},
                  {"right anterior superior time", 1, 1, 4, false},
                  {"rightanteriorsuperiortime", 1, 1, 4, false},
                  {"RAST", 1, 1, 4, false},
                  {"left-anterior-superior-time", -1, 1, 4, false},
                  {"left anterior superior time", -1, 1, 4, false},
                  {"leftanteriorsuperiortime", -1, 1, 4, false},
                  {"LAST", -1, 1, 4, false},
                  {"left-posterior-superior-time", -1, -1, 4, false},
                  {"left posterior superior time", -1, -1, 4, false},
                  {"leftposteriorsuperiortime", -1, -1, 4, false},
                  {"LPST", -1, -1, 4, false},
                  {"scanner-xyz", -1, -1, 3, true},
                  {"scanner-xyz-time", -1, -1, 4, true},
                  {"scanner-xyzt", -1, -1, 4, true},
                  {"3D-right-handed", -1, -1, 3, true},
                  {"3D right handed", -1, -1, 3, true},
                  {"3Drighthanded", -1, -1, 3, true},
                  {"3D-right-handed-time", -1, -1, 4, true},
                  {"3D right handed time", -1, -1, 4, true},
                  {"3Drighthandedtime", -1, -1, 4, true}};
    static const char *const left[] = {"3D-left-handed",      "3D left handed",
                                       "3Dlefthanded",        "3D-left-handed-time",
                                       "3D left handed time", "3Dlefthandedtime"};
    char header[1024], note[256];
    enter();
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
        int x = spaces[i].x, y = spaces[i].y;
        if (spaces[i].rank == 3)
            snprintf(header, sizeof header, NRRD "space: %s\n" DIRECTIONS, spaces[i].name);
        else
            snprintf(header, sizeof header,
                     "NRRD0005\ntype: short\ndimension: 4\nsizes: 4 3 2 5\nencoding: raw\nendian: "
                     "little\nspace: %s\nspace directions: (1.5,0,0,0) (0,2,0,0) (0,0,3,0) "
                     "(0,0,0,7)\nspace origin: (10,-20,30,5)\n",
                     spaces[i].name);
        put_nrrd("a.nrrd", header);
        scan s = scanned_at("a.nrrd", spaces[i].rank == 3 ? -1 : 3);
        const double wanted[12] = {1.5 * x, 0, 0, 10 * x, 0, 2 * y, 0, -20 * y, 0, 0, 3, 30};
        check_affine(&s, wanted);
        check_size(&s, 4, 3, 2);
        check_ramp(&s, spaces[i].rank == 3 ? 0 : 3 * N, 1);
        bool itk = spaces[i].rank == 4 && y > 0; /* ITK knows these without time only */
        snprintf(note, sizeof note,
                 itk ? "a.nrrd: lies in the space %s, which ITK takes for left-posterior-superior"
                     : "a.nrrd: its space %s names no sides of the patient; taken as "
                       "left-posterior-superior, as ITK does: " CHECK_SIDES,
                 spaces[i].name);
        ck_assert_int_eq(s.notes, spaces[i].vague || itk);
        ck_assert_str_eq(s.notes ? s.note[0] : "", spaces[i].vague || itk ? note : "");
        scan_free(&s);
    }
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        bool time = strstr(left[i], "time") != NULL;
        snprintf(header, sizeof header, NRRD "space: %s\n%s", left[i],
                 time ? "space directions: (1.5,0,0,0) (0,2,0,0) (0,0,3,0)\n" : DIRECTIONS);
        snprintf(note, sizeof note,
                 ": its space %s is left-handed and names no sides of the patient\n"
                 "  where they are known, space: left-anterior-superior (or another one) in its "
                 "header says them",
                 left[i]);
        refuses_nrrd(header, note);
    }
    refuses_nrrd(NRRD "space: posterior-left\n" DIRECTIONS,
                 ":7: the space posterior-left is not known\n  right-anterior-superior, "
                 "left-anterior-superior and left-posterior-superior are");
    leave();
}
END_TEST

START_TEST(nrrd_places_that_are_not_named_are_noted)
{
    static const double along[12] = {-1.5, 0, 0, 0, 0, -2, 0, 0, 0, 0, 3, 0};
    enter();
#define NO_SPACE                                                                                   \
    "a.nrrd: names no space; taken as left-posterior-superior, as ITK does: " CHECK_SIDES
    put_nrrd("a.nrrd", NRRD "spacings: 1.5 2 3\n");
    scan s = scanned("a.nrrd");
    check_affine(&s, along);
    ck_assert_int_eq(s.notes, 1);
    ck_assert_str_eq(s.note[0], NO_SPACE);
    scan_free(&s);
    /* An unnamed space is none of the patient's. */
    static const double placed[12] = {-1.5, 0, 0, -10, 0, -2, 0, 20, 0, 0, 3, 30};
    put_nrrd("a.nrrd", NRRD "space dimension: 3\n" DIRECTIONS);
    s = scanned("a.nrrd");
    check_affine(&s, placed);
    ck_assert_str_eq(s.note[0], NO_SPACE);
    scan_free(&s);
    /* Ends of axes instead of spacings; samples in the middle of cells, then at their ends. */
    static const double cells[12] = {-1.5, 0, 0, -10.75, 0, -2, 0, 19, 0, 0, 3, 31.5};
    put_nrrd("a.nrrd", NRRD "axis mins: 10 -20 30\naxis maxs: 16 -14 36\n");
    s = scanned("a.nrrd");
    ck_assert_int_eq(s.notes, 2);
    ck_assert_str_eq(s.note[0], "a.nrrd: its voxel size is taken from axis mins and axis maxs (ITK "
                                "takes it as 1 mm)");
    check_affine(&s, cells);
    scan_free(&s);
    static const double nodes[12] = {-2, 0, 0, -10, 0, -3, 0, 20, 0, 0, 6, 30};
    put_nrrd("a.nrrd",
             NRRD "axismins: 10 -20 30\naxismaxs: 16 -14 36\ncenterings: node node node\n");
    s = scanned("a.nrrd");
    check_affine(&s, nodes);
    scan_free(&s);
    /* No size of voxels, no directions, no origin. */
    static const double plain[12] = {-1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0};
    put_nrrd("a.nrrd", NRRD);
    s = scanned("a.nrrd");
    check_affine(&s, plain);
    ck_assert_int_eq(s.notes, 2);
    ck_assert_str_eq(s.note[0], "a.nrrd: does not say its voxel size: taken as 1 mm");
    scan_free(&s);
    static const double ras[12] = {1.5, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0};
    put_nrrd("a.nrrd", NRRD "space: RAS\nspacings: 1.5 2 3\n");
    s = scanned("a.nrrd");
    check_affine(&s, ras);
    ck_assert_int_eq(s.notes, 2);
    ck_assert_str_eq(s.note[0],
                     "a.nrrd: gives no directions: its axes are taken along those of its space");
    ck_assert_str_eq(s.note[1],
                     "a.nrrd: does not say where it lies: its first voxel is taken as the origin");
    scan_free(&s);
    /* Units of the space and of axes. */
    static const double metres[12] = {1500, 0, 0, 10000, 0, 2, 0, -20, 0, 0, 3, 30};
    put_nrrd("a.nrrd", NRRD "space: RAS\nspace units: \"m\" \"mm\" \"mm\"\n" DIRECTIONS);
    s = scanned("a.nrrd");
    check_affine(&s, metres);
    ck_assert_str_eq(s.note[0], "a.nrrd: its unit of length is m: turned to mm (other readers take "
                                "it as mm)");
    scan_free(&s);
    static const double mixed[12] = {-15, 0, 0, 0, 0, -2e-3, 0, 0, 0, 0, 3, 0};
    put_nrrd("a.nrrd", NRRD "spacings: 1.5 2 3\nunits: \"cm\" \"\xc2\xb5m\" \"mm\"\n");
    s = scanned("a.nrrd");
    check_affine(&s, mixed);
    scan_free(&s);
    put_nrrd("a.nrrd", NRRD "spacings: 1.5 2 3\nunits: \"pixel\" \"\" \"mm\"\n");
    s = scanned("a.nrrd");
    check_affine(&s, along);
    ck_assert_str_eq(s.note[0], "a.nrrd: its unit of length 'pixel' is not known: taken as mm");
    scan_free(&s);
    /* One slice, in two and in three coordinates. */
    static const double slice[12] = {1.5, 0, 0, 10, 0, 0, -1, -20, 0, 2, 0, 30};
    put_nrrd("a.nrrd", "NRRD0005\ntype: short\ndimension: 2\nsizes: 4 6\nencoding: raw\nendian: "
                       "little\nspace: RAS\nspace directions: (1.5,0,0) (0,0,2)\nspace origin: "
                       "(10,-20,30)\n");
    s = scanned("a.nrrd");
    check_affine(&s, slice);
    check_size(&s, 4, 6, 1);
    ck_assert_str_eq(s.note[0], "a.nrrd: is a single slice: taken as 1 mm thick");
    scan_free(&s);
    refuses_nrrd(NRRD "spacings: 1.5 -2 3\n", ": its header claims a voxel of -2 mm along axis 2");
    leave();
}
END_TEST

START_TEST(nrrd_headers_are_read_as_they_are_written)
{
    static const double wanted[12] = {-1.5, 0, 0, -10, 0, 2, 0, -20, 0, 0, 3, 30};
    static const char *const headers[] = {
        NRRD "space: LAS\n" DIRECTIONS,
        /* lines that end as on Windows, keys and values in other letters, comments of any kind */
        "NRRD0004\r\n# \xc3\xbc\xe2\x82\xac UTF-8, and Latin-1: \xfc\r\nTYPE: SHORT\r\nDimension: "
        "3\r\nSizes: 4 3 2\r\nEncoding: RAW\r\nEndian: LITTLE\r\nSpace: las\r\nSpace Directions: "
        "(1.5,0,0) (0,2,0) (0,0,3)\r\nSPACEORIGIN: (10,-20,30)\r\n",
        /* other names of fields, no blank behind colons, pairs, fields that mean nothing here */
        "NRRD0001\ntype:int16_t\ndimension:3\nsizes:4 3 2\nencoding:raw\nendian:little\n"
        "space:left-anterior-superior\nspacedirections:(1.5, 0, 0)   ( 0,2,0 ) (0,0,3) \n"
        "spaceorigin: ( 10 , -20 , 30 )\ncontent: a: b:= c\nnumber: Hank Hill\nlabels: \"x\" "
        "\"y: z\" \"\"\nthicknesses: nan nan 3\nkey:=value: with := signs\nmodality:=CT\n"
        "space:=RAS\nmeasurement frame: (1,0,0) (0,1,0) (0,0,1)\nkinds: domain space domain\n",
        /* the order of fields does not matter */
        "NRRD0005\nspace origin: (10,-20,30)\nspace directions: (1.5,0,0) (0,2,0) (0,0,3)\n"
        "space: LAS\nendian: little\nencoding: raw\nsizes: 4 3 2\ndimension: 3\ntype: signed short "
        "int\n"};
    enter();
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        char text[2048];
        snprintf(text, sizeof text, "%s%s", headers[i], strchr(headers[i], '\r') ? "\r\n" : "\n");
        put("a.nrrd", text, ramp, 2 * N);
        scan s = scanned("a.nrrd");
        check_affine(&s, wanted);
        check_ramp(&s, 0, 1);
        ck_assert_int_eq(s.notes, 0);
        scan_free(&s);
    }
    /* A header of more than 64 KiB. */
    FILE *f = fopen("a.nrrd", "wb");
    fputs(NRRD "space: LAS\n" DIRECTIONS, f);
    for (int i = 0; i < 3000; i++)
        fprintf(f, "DWMRI_gradient_%04d:=0.1 0.2 0.3 some more text\n", i);
    fputs("\n", f);
    fwrite(ramp, 2, N, f);
    fclose(f);
    reads("a.nrrd", 0, 1, "");
    refuses_nrrd("NRRD0006\n", ": is NRRD of the version 'NRRD0006'; 1 to 5 are read");
    refuses_nrrd("NRRD0005\ntype: short\n", ": damaged header: it lacks dimension");
    refuses_nrrd(NRRD "spaces: RAS\n", ":7: damaged header: 'spaces: RAS' is not a field of NRRD");
    refuses_nrrd(NRRD "sizes: 4 3 3\n", ":7: damaged header: 'sizes' stands twice");
    refuses_nrrd(NRRD DIRECTIONS,
                 ":7: damaged header: it lacks the space (or space dimension) that "
                 "this line is about");
    refuses_nrrd(NRRD "space: RAS\nspace directions: (1,0,0) (0,1,0)\n",
                 ":8: damaged header: space directions: (1,0,0) (0,1,0)");
    refuses_nrrd(NRRD "space: RAS\nspace directions: (1,0) (0,1) (0,0)\n",
                 ":8: damaged header: space directions: (1,0) (0,1) (0,0)");
    refuses_nrrd(NRRD "space: RAS\nspace directions: (1,5;0;0) (0,1,0) (0,0,1)\n",
                 ":8: damaged header: space directions: (1,5;0;0) (0,1,0) (0,0,1)");
    refuses_nrrd(NRRD "space: RAS\nspace directions: (1,0,nan) (0,1,0) (0,0,1)\n",
                 ":8: damaged header: space directions: (1,0,nan) (0,1,0) (0,0,1)");
    refuses_nrrd(NRRD "space: RAS\n" DIRECTIONS "kinds: domain domain\n",
                 ":10: damaged header: kinds: domain domain");
    refuses_nrrd(NRRD "spacings: 1,5 2 3\n", ":7: damaged header: spacings: 1,5 2 3");
    refuses_nrrd(
        "NRRD0005\ntype: block\nblock size: 3\ndimension: 3\nsizes: 4 3 2\nencoding: raw\n",
        ":2: voxels of type block are not read\n"
        "  convert it to a scan of one number a voxel");
    refuses_nrrd("NRRD0005\ntype: short\ndimension: 3\nsizes: 4 3 2\nencoding: raw\n",
                 ": damaged header: it lacks endian, the byte order\n"
                 "  endian: little (or big) in its header says it");
    refuses_nrrd("NRRD0005\ntype: uchar\ndimension: 3\nsizes: 4 3 2\nencoding: zrl\n",
                 ":5: its voxels are written as zrl\n  raw, gzip, bzip2, ascii and hex are read");
    refuses_nrrd(
        "NRRD0005\ntype: short\ndimension: 3\nsizes: 4 0 2\nencoding: raw\nendian: little\n",
        ":4: claims an impossible size: 4 0 2");
    put("a.nrrd", NRRD, "", 0);
    refuses("a.nrrd", "a.nrrd: cut off inside its header");
    refuses_nrrd(
        "NRRD0005\ntype: short\ndimension: 3\nsizes: 40 3 2\nencoding: raw\nendian: little\n",
        ": cut off: its header promises 40 x 3 x 2 voxels (480 bytes), the file has 240 for "
        "them");
    leave();
}
END_TEST

/* The ramp as `type` in both byte orders, for all ways to write voxels. */
static void write_type(unsigned char *to, const char *type, bool big, int count)
{
    for (int i = 0; i < count; i++) {
        uint64_t bits = (uint64_t)i;
        size_t n = strstr(type, "64") || !strcmp(type, "double")  ? 8
                   : strstr(type, "32") || !strcmp(type, "float") ? 4
                   : strstr(type, "16")                           ? 2
                                                                  : 1;
        if (!strcmp(type, "float")) {
            float v = (float)i;
            memcpy(&bits, &v, 4);
        } else if (!strcmp(type, "double")) {
            double v = i;
            memcpy(&bits, &v, 8);
        }
        for (size_t b = 0; b < n; b++)
            *to++ = (unsigned char)(bits >> 8 * (big ? n - 1 - b : b));
    }
}

START_TEST(nrrd_voxels_of_each_type_and_encoding)
{
    static const struct {
        const char *name;
        mf_dtype dtype;
        size_t bytes;
    } types[] = {{"int8", MF_I8, 1},    {"uint8", MF_U8, 1},   {"int16", MF_I16, 2},
                 {"uint16", MF_U16, 2}, {"int32", MF_I32, 4},  {"uint32", MF_U32, 4},
                 {"int64", MF_I64, 8},  {"uint64", MF_I64, 8}, {"float", MF_F32, 4},
                 {"double", MF_F64, 8}};
    static const char *const encodings[] = {"raw", "gz",   "gzip",  "bz2", "bzip2",
                                            "txt", "text", "ascii", "hex"};
    unsigned char voxels[8 * N], packed[4096];
    char text[4096];
    enter();
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t e = 0; e < sizeof encodings / sizeof *encodings; e++)
            for (int big = 0; big < 2; big++) {
                size_t size = N * types[t].bytes, used = 0;
                const void *bytes = voxels;
                write_type(voxels, types[t].name, big, N);
                if (encodings[e][0] == 'g') {
                    z_stream z = {.next_in = voxels,
                                  .avail_in = (unsigned)size,
                                  .next_out = packed,
                                  .avail_out = sizeof packed};
                    deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
                    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
                    size = z.total_out;
                    deflateEnd(&z);
                    bytes = packed;
                } else if (encodings[e][0] == 'b') {
                    unsigned room = sizeof packed;
                    ck_assert_int_eq(BZ2_bzBuffToBuffCompress((char *)packed, &room, (char *)voxels,
                                                              (unsigned)size, 9, 0, 0),
                                     BZ_OK);
                    size = room;
                    bytes = packed;
                } else if (encodings[e][0] == 'h') {
                    for (size_t i = 0; i < size; i++)
                        used += (size_t)sprintf(text + used, i % 2 ? "%02X\n" : "%02x", voxels[i]);
                    bytes = text, size = used;
                } else if (encodings[e][0] != 'r') {
                    for (int i = 0; i < N; i++)
                        used += (size_t)sprintf(text + used, i % 4 ? "%d " : "\t%d\r\n", i);
                    bytes = text, size = used;
                }
                char header[512];
                snprintf(header, sizeof header,
                         "NRRD0005\ntype: %s\ndimension: 3\nsizes: 4 3 2\nencoding: %s\nendian: "
                         "%s\nspace: RAS\n" DIRECTIONS "\n",
                         types[t].name, encodings[e], big ? "big" : "little");
                put("a.nrrd", header, bytes, size);
                scan s = scanned("a.nrrd");
                ck_assert_int_eq(s.voxels->dtype, types[t].dtype);
                check_ramp(&s, 0, 1);
                scan_free(&s);
                /* A shorter file is refused, and trailing garbage is passed over. */
                put("a.nrrd", header, bytes, size - (strchr("tah", encodings[e][0]) ? 5 : 1));
                scan cut;
                const scan_options o = {-1, NULL};
                mf_status status = scan_read("a.nrrd", &o, &cut);
                ck_assert_msg(status, "%s %s", types[t].name, encodings[e]);
                ck_assert_ptr_nonnull(strstr(mf_error_message(status), "cut off"));
                mf_error_free(status);
                FILE *f = fopen("a.nrrd", "wb");
                fputs(header, f);
                fwrite(bytes, 1, size, f);
                fputs(" garbage", f);
                fclose(f);
                reads("a.nrrd", 0, 1, "");
            }
    leave();
}
END_TEST

START_TEST(nrrd_skips_and_text_values)
{
    enter();
    put("a.raw", "one line\nand another\nabc", ramp, 2 * N);
    put("a.nhdr", NHDR "line skip: 2\nbyte skip: 3\ndata file: a.raw\n", "", 0);
    reads("a.nhdr", 0, 1, "");
    put("a.nhdr", NHDR "lineskip: 1\nbyteskip: -1\ndata file: a.raw\n", "", 0);
    reads("a.nhdr", 0, 1, "");
    put("a.nhdr", NHDR "line skip: 90\ndata file: a.raw\n", "", 0);
    scan s;
    const scan_options o = {-1, NULL};
    mf_status status = scan_read("a.nhdr", &o, &s);
    ck_assert_ptr_nonnull(strstr(mf_error_message(status), "a.raw: cut off: 90 lines are to be "
                                                           "skipped, it has "));
    mf_error_free(status);
    /* Of compressed voxels lines are skipped before, bytes behind unpacking. */
    unsigned char plain[3 + 2 * N], packed[512];
    memcpy(plain, "abc", 3);
    memcpy(plain + 3, ramp, 2 * N);
    uLongf size = sizeof packed;
    put_gz("plain.gz", plain, sizeof plain);
    FILE *f = fopen("plain.gz", "rb");
    size = fread(packed, 1, sizeof packed, f);
    fclose(f);
    put("a.raw.gz", "a line\n", packed, size);
#define NHDR_GZ                                                                                    \
    "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 3 2\nencoding: gzip\nendian: little\nspace: "   \
    "RAS\nspace directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n"
    put("a.nhdr", NHDR_GZ "line skip: 1\nbyte skip: 3\ndata file: a.raw.gz\n", "", 0);
    reads("a.nhdr", 0, 1, "");
    put("a.nhdr", NHDR_GZ "byte skip: -1\ndata file: plain.gz\n", "", 0);
    refuses("a.nhdr", "a.nhdr:10: byte skip -1 has a meaning for raw voxels only");
    put("a.nhdr", NHDR "byte skip: -5\ndata file: a.raw\n", "", 0);
    refuses("a.nhdr", "a.nhdr:10: damaged header: byte skip: -5");
    put("a.nhdr", NHDR "line skip: -1\ndata file: a.raw\n", "", 0);
    refuses("a.nhdr", "a.nhdr:10: damaged header: line skip: -1");
    /* A damaged checksum, and one in two members (as pigz and bgzip write). */
    put_gz("one.gz", ramp, N);
    put_gz("two.gz", ramp + N / 2, N);
    ck_assert_int_eq(system("cat one.gz two.gz > both.gz"), 0);
    put("a.nhdr", NHDR_GZ "data file: both.gz\n", "", 0);
    reads("a.nhdr", 0, 1, "");
    f = fopen("both.gz", "rb+");
    fseek(f, -6, SEEK_END);
    int c = getc(f);
    fseek(f, -6, SEEK_END);
    putc(c ^ 1, f);
    fclose(f);
    refuses("a.nhdr", "both.gz: damaged gzip data after 48 bytes: incorrect data check");
    /* Text that is no number of the type. */
#define ASCII(type, values)                                                                        \
    "NRRD0005\ntype: " type "\ndimension: 3\nsizes: 2 1 2\nencoding: ascii\nspace: RAS\nspace "    \
    "directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n\n" values
    put("a.nrrd", ASCII("float", "0 0.5 1 1.5"), "", 0);
    reads("a.nrrd", 0, 0.5, "");
    put("a.nrrd", ASCII("uchar", "0 85 170 255\n"), "", 0);
    reads("a.nrrd", 0, 85, "");
    put("a.nrrd", ASCII("uchar", "0 85 170 256\n"), "", 0);
    refuses("a.nrrd", "a.nrrd: '256' is not a voxel of type u8");
    put("a.nrrd", ASCII("short", "0 85 17.5 256\n"), "", 0);
    refuses("a.nrrd", "a.nrrd: '17.5' is not a voxel of type i16");
    put("a.nrrd", ASCII("uint64", "0 1 2 -1\n"), "", 0);
    refuses("a.nrrd", "a.nrrd: '-1' is not a voxel of type i64");
    put("a.nrrd", ASCII("short", "0 85 17\n"), "", 0);
    refuses("a.nrrd", "a.nrrd: cut off: its header promises 2 x 1 x 2 voxels, it has 3");
    put("a.nrrd", ASCII("short", "0 1\n"), "", 0);
    refuses("a.nrrd",
            "a.nrrd: cut off: its header promises 2 x 1 x 2 voxels (8 bytes), the file has "
            "4 for them");
    /* Integers beyond 2^53 stay as they are; beyond 2^63 they are refused. */
    static const int64_t large[4] = {9007199254740993, -9007199254740993, 0, INT64_MAX};
#define INT64(type)                                                                                \
    "NRRD0005\ntype: " type "\ndimension: 3\nsizes: 2 1 2\nencoding: raw\nendian: little\nspace: " \
    "RAS\nspace directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n\n"
    put("a.nrrd", INT64("int64"), large, sizeof large);
    s = scanned("a.nrrd");
    ck_assert_mem_eq(s.voxels->data, large, sizeof large);
    scan_free(&s);
    put("a.nrrd", INT64("uint64"), large, sizeof large);
    refuses("a.nrrd", "a.nrrd: has integers beyond 63 bits");
    /* All of it in gzip is no NRRD file. */
    put("whole.nrrd", NRRD "\n", ramp, 2 * N);
    ck_assert_int_eq(system("gzip whole.nrrd"), 0);
    refuses("whole.nrrd.gz", "whole.nrrd.gz: is compressed as a whole, header and all\n"
                             "  gunzip makes a file of it that can be read");
    leave();
}
END_TEST

START_TEST(nrrd_axes_that_are_not_of_space)
{
    enter();
#define FOUR(sizes, rest)                                                                          \
    "NRRD0005\ntype: short\ndimension: 4\nsizes: " sizes                                           \
    "\nencoding: raw\nendian: little\nspace: RAS\nspace origin: (10,-20,30)\n" rest
    static const struct {
        const char *header;
        int first, step; /* of volume 3 */
        bool list;
    } series[] = {
        {FOUR("4 3 2 5", "space directions: (1.5,0,0) (0,2,0) (0,0,3) none\nkinds: domain domain "
                         "domain list\n"),
         3 * N, 1, true},
        {FOUR("5 4 3 2", "space directions: none (1.5,0,0) (0,2,0) (0,0,3)\nkinds: list domain "
                         "domain domain\n"),
         3, 5, true},
        {FOUR("5 4 3 2", "space directions: none (1.5,0,0) (0,2,0) (0,0,3)\n"), 3, 5, false},
        {FOUR("5 4 3 2", "space directions: (nan,nan,nan) (1.5,0,0) (0,2,0) (0,0,3)\n"), 3, 5,
         false},
        {FOUR("4 3 2 5",
              "space directions: (1.5,0,0) (0,2,0) (0,0,3) none\nkinds: space space space time\n"),
         3 * N, 1, false},
        {FOUR("4 3 2 5", "spacings: 1.5 2 3 nan\nkinds: domain domain domain domain\n"), 3 * N, 1,
         false},
        {FOUR("4 3 2 5", "spacings: 1.5 2 3 1\n"), 3 * N, 1, false},
        {FOUR("5 4 3 2", "spacings: nan 1.5 2 3\nkinds: time space space space\n"), 3, 5, false}};
    static const double wanted[12] = {1.5, 0, 0, 10, 0, 2, 0, -20, 0, 0, 3, 30};
    for (size_t i = 0; i < sizeof series / sizeof *series; i++) {
        put_nrrd("a.nrrd", series[i].header);
        scan s = scanned_at("a.nrrd", 3);
        check_affine(&s, wanted);
        check_size(&s, 4, 3, 2);
        check_ramp(&s, series[i].first, series[i].step);
        scan_free(&s);
        refuses("a.nrrd", series[i].list ? "a.nrrd: has 5 volumes along a list axis, not one\n"
                                           "  time: N (from 0) takes one of them"
                                         : "a.nrrd: has 5 time points, not one\n"
                                           "  time: N (from 0) takes one of them");
        refuses_time("a.nrrd", 5,
                     series[i].list ? "a.nrrd: has 5 volumes along a list axis; time: "
                                      "5 is not one of them"
                                    : "a.nrrd: has 5 time points; time: 5 is not one "
                                      "of them");
    }
    /* In the middle of the axes of space. */
    put_nrrd("a.nrrd", FOUR("4 5 3 2", "space directions: (1.5,0,0) none (0,2,0) (0,0,3)\n"
                                       "kinds: domain list domain domain\n"));
    scan s = scanned_at("a.nrrd", 3);
    check_size(&s, 4, 3, 2);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(((int16_t *)s.voxels->data)[i], i % 4 + 4 * 3 + i / 4 * 20);
    scan_free(&s);
    /* One of a size of one is no axis at all, whatever its kind. */
    put_nrrd("a.nrrd", FOUR("1 4 3 2", "space directions: none (1.5,0,0) (0,2,0) (0,0,3)\n"
                                       "kinds: vector domain domain domain\n"));
    s = scanned("a.nrrd");
    check_ramp(&s, 0, 1);
    scan_free(&s);
    static const struct {
        const char *kind, *what;
    } refused[] = {{"RGB-color", "colour"},  {"rgba-color", "colour"},
                   {"3-color", "colour"},    {"HSV", "colour"},
                   {"vector", "vectors"},    {"covariant-vector", "vectors"},
                   {"complex", "vectors"},   {"3D-symmetric-matrix", "vectors"},
                   {"quaternion", "vectors"}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char header[512], text[256];
        snprintf(header, sizeof header,
                 FOUR("5 4 3 2", "space directions: none (1.5,0,0) (0,2,0) (0,0,3)\nkinds: %s "
                                 "domain domain domain\n"),
                 refused[i].kind);
        snprintf(text, sizeof text,
                 ": has 5 values a voxel (%s), not one\n"
                 "  convert it to a grey-scale scan first",
                 refused[i].what);
        refuses_nrrd(header, text);
    }
    refuses_nrrd("NRRD0005\ntype: short\ndimension: 5\nsizes: 4 3 2 2 2\nencoding: raw\nendian: "
                 "little\nspacings: 1 1 1 1 1\nkinds: domain domain domain list time\n",
                 ": has two axes beside those of space (2 x 2)");
    refuses_nrrd("NRRD0005\ntype: short\ndimension: 1\nsizes: 4\nencoding: raw\nendian: little\n",
                 ": has 1 axis in space, not two or three");
    refuses_nrrd("NRRD0005\ntype: short\ndimension: 4\nsizes: 4 3 2 5\nencoding: raw\nendian: "
                 "little\nspace: RAST\nspace directions: (1,0,0,0) (0,1,0,0) (0,0,1,0) "
                 "(1,0,0,1)\n",
                 ": its axis 4 runs through space and time at once");
    leave();
}
END_TEST

/* Only the files of the time point that is asked for are opened. */
START_TEST(nrrd_reads_only_what_is_asked_for)
{
    enter();
    char name[32];
    for (int t = 0; t < 5; t++) {
        snprintf(name, sizeof name, "t%02d.raw", t);
        put(name, "", ramp + t * N, 2 * N);
    }
    put("a.nhdr",
        FOUR("4 3 2 5", "space directions: (1.5,0,0) (0,2,0) (0,0,3) none\ndata file: "
                        "t%02d.raw 0 4 1\n"),
        "", 0);
    lists("a.nhdr", "t00.raw\nt01.raw\nt02.raw\nt03.raw\nt04.raw\n");
    ck_assert_int_eq(chmod("t00.raw", 0), 0);
    for (int t = 1; t < 5 && getuid(); t++) {
        scan s = scanned_at("a.nhdr", t);
        check_ramp(&s, t * N, 1);
        scan_free(&s);
    }
    ck_assert_int_eq(chmod("t00.raw", 0600), 0);
    for (int t = 0; t < 5; t++) {
        scan s = scanned_at("a.nhdr", t);
        check_ramp(&s, t * N, 1);
        scan_free(&s);
    }
    put("t03.raw", "", ramp, N);
    refuses_time("a.nhdr", 1,
                 "t03.raw: cut off: its header promises 4 x 3 x 2 x 5 voxels (48 bytes "
                 "of them here), the file has 24 for them");
    leave();
}
END_TEST

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

/* ---- MetaImage --------------------------------------------------------------------------------
 */

#define META                                                                                       \
    "ObjectType = Image\nNDims = 3\nDimSize = 4 3 2\nElementType = MET_SHORT\nElementSpacing = "   \
    "1.5 2 3\nOffset = 10 -20 30\nTransformMatrix = 0 1 0 1 0 0 0 0 1\n"
#define LOCAL "ElementDataFile = LOCAL\n"
/* In LPS x runs along the second axis and y along the first. */
static const double meta_place[12] = {0, -2, 0, -10, -1.5, 0, 0, 20, 0, 0, 3, 30};

static void reads_meta(const char *header, const char *note)
{
    put("a.mha", header, ramp, 2 * N);
    scan s = scanned("a.mha");
    check_size(&s, 4, 3, 2);
    check_affine(&s, meta_place);
    check_ramp(&s, 0, 1);
    ck_assert_str_eq(s.notes ? s.note[0] : "", note);
    scan_free(&s);
}

static void refuses_meta(const char *header, const char *text)
{
    char whole[512];
    put("a.mha", header, ramp, 2 * N);
    snprintf(whole, sizeof whole, "a.mha%s", text);
    refuses("a.mha", whole);
}

START_TEST(meta_headers_are_read_as_they_are_written)
{
    enter();
    reads_meta(META LOCAL, "");
    /* blank lines, ends of lines as on Windows, colons, a value over several lines, a text of DICOM
     * with a line that has no sign and one that has one */
    reads_meta("\n" META "\n   \n" LOCAL, "");
    reads_meta(
        "ObjectType = Image\r\nNDims = 3\r\nDimSize = 4 3 2\r\nElementType = MET_SHORT\r\n"
        "ElementSpacing = 1.5 2 3\r\nOffset = 10 -20 30\r\nTransformMatrix = 0 1 0 1 0 0 0 0 "
        "1\r\nElementDataFile = LOCAL\r\n",
        "");
    reads_meta(
        "NDims: 3\nDimSize: 4 3 2\nElementType: MET_SHORT\nElementSpacing: 1.5 2 3\n"
        "Offset: 10 -20 30\nTransformMatrix: 0 1 0\n  1 0 0\n  0 0 1\nElementDataFile: LOCAL\n",
        "");
    reads_meta(META "0008|103e = first line\nsecond line\nthird = 1\n0010|0010 = "
                    "M\xc3\xbcller^J\xf6rg\n" LOCAL,
               "");
    /* the order does not matter, Position and Orientation are other names, twice the same is fine
     */
    reads_meta("Orientation = 0 1 0 1 0 0 0 0 1\nPosition = 10 -20 30\nElementSize = 1.5 2 3\n"
               "DimSize = 4 3 2\nNDims = 3\nNDims = 3\nElementType = MET_SHORT\n" LOCAL,
               "");
    reads_meta(META "ElementSize = 7 7 7\n" LOCAL, ""); /* of what is seen, not of the grid */
    reads_meta(META
               "ElementToIntensityFunctionSlope = 2\nElementToIntensityFunctionOffset = -1\n" LOCAL,
               "a.mha: says that intensities are 2 * value + -1; values are taken as they are, as "
               "ITK does");
    /* more than 2 KiB and more than 64 KiB before what matters */
    FILE *f = fopen("a.mha", "wb");
    fputs("ObjectType = Image\nNDims = 3\n", f);
    for (int i = 0; i < 3000; i++)
        fprintf(f, "0018|%04x = some text of a scanner\n", i);
    fputs(META + strlen("ObjectType = Image\nNDims = 3\n"), f);
    fputs(LOCAL, f);
    fwrite(ramp, 2, N, f);
    fclose(f);
    scan s = scanned("a.mha");
    check_affine(&s, meta_place);
    check_ramp(&s, 0, 1);
    scan_free(&s);
    /* What is not said is noted. */
    put("a.mha", "NDims = 3\nDimSize = 4 3 2\nElementType = MET_SHORT\n" LOCAL, ramp, 2 * N);
    s = scanned("a.mha");
    ck_assert_int_eq(s.notes, 3);
    ck_assert_str_eq(s.note[0], "a.mha: does not say its orientation: taken as LPS");
    ck_assert_str_eq(s.note[1], "a.mha: does not say its voxel size: taken as 1 mm");
    ck_assert_str_eq(s.note[2],
                     "a.mha: does not say where it lies: its first voxel is taken as the origin");
    scan_free(&s);
    leave();
}
END_TEST

START_TEST(meta_headers_that_contradict_themselves_are_refused)
{
    enter();
#define BASE "NDims = 3\nDimSize = 4 3 2\nElementType = MET_SHORT\n"
#define POINTS(n) "\n  " n " numbers with decimal points are expected"
    refuses_meta(BASE "ElementSpacing = 1,5 2 3\n" LOCAL,
                 ":4: damaged header: ElementSpacing = 1,5 2 3" POINTS("3"));
    refuses_meta(BASE "Offset = 1,5 2,5 3,5\n" LOCAL,
                 ":4: damaged header: Offset = 1,5 2,5 3,5" POINTS("3"));
    refuses_meta(BASE "Offset = 1 2\n" LOCAL, ":4: damaged header: Offset = 1 2" POINTS("3"));
    refuses_meta(BASE "Offset = 1 2 3 4\n" LOCAL,
                 ":4: damaged header: Offset = 1 2 3 4" POINTS("3"));
    refuses_meta(BASE "Offset = 1 2 nan\n" LOCAL,
                 ":4: damaged header: Offset = 1 2 nan" POINTS("3"));
    refuses_meta(BASE "TransformMatrix = 1 0 0 0 1 0\n" LOCAL,
                 ":4: damaged header: TransformMatrix = 1 0 0 0 1 0" POINTS("9"));
    refuses_meta(BASE "ElementSpacing = 1.5 -2 3\n" LOCAL,
                 ":4: damaged header: ElementSpacing = 1.5 -2 3");
    refuses_meta(BASE "ElementSpacing = 0 0 0\n" LOCAL,
                 ":4: damaged header: ElementSpacing = 0 0 0");
    refuses_meta(BASE "Offset = 1 2 3\nPosition = 1 2 4\n" LOCAL,
                 ":5: damaged header: Position contradicts a line before");
    refuses_meta(BASE "Offset = 1 2 3\nOffset = 1 2 4\n" LOCAL,
                 ":5: damaged header: Offset stands twice");
    refuses_meta(BASE "offset = 1 2 3\n" LOCAL,
                 ":4: damaged header: the key Offset is written in other letters");
    refuses_meta("ndims = 3\nDimSize = 4 3 2\n" LOCAL,
                 ":1: damaged header: the key NDims is written in other letters");
    refuses_meta(BASE "BinaryDataByteOrderMSB = yes\n" LOCAL,
                 ":4: damaged header: BinaryDataByteOrderMSB = yes");
    refuses_meta(BASE "CompressedData = ?\n" LOCAL, ":4: damaged header: CompressedData = ?");
    refuses_meta(BASE "ElementByteOrderMSB = True\nBinaryDataByteOrderMSB = False\n" LOCAL,
                 ":4: damaged header: ElementByteOrderMSB = True contradicts "
                 "BinaryDataByteOrderMSB = False in line 5");
    refuses_meta(BASE "ElementNumberOfChannels = 3\n" LOCAL,
                 ": has 3 values a voxel (colour or vectors), not one\n"
                 "  convert it to a grey-scale scan first");
    refuses_meta("NDims = 3\nDimSize = 4 3 2\nElementType = MET_OTHER\n" LOCAL,
                 ":3: voxels of type MET_OTHER are not read\n"
                 "  convert it to a scan of one number a voxel");
    refuses_meta("NDims = 3\nDimSize = 4 3.5 2\nElementType = MET_SHORT\n" LOCAL,
                 ":2: claims an impossible size: 4 3.5 2");
    refuses_meta("NDims = 3\nDimSize = 4 3\nElementType = MET_SHORT\n" LOCAL,
                 ":2: damaged header: DimSize = 4 3");
    refuses_meta("NDims = 5\nDimSize = 4 3 2 1 1\nElementType = MET_SHORT\n" LOCAL,
                 ": has 5 dimensions");
    refuses_meta("ObjectType = Tube\n" BASE LOCAL, ":1: holds a Tube, not an image");
    refuses_meta("NDims = 3\nElementType = MET_SHORT\n" LOCAL,
                 ": damaged header: it lacks DimSize");
    refuses_meta(
        "NDims = 3\nDimSize = 40 3 2\nElementType = MET_SHORT\n" LOCAL,
        ": cut off: its header promises 40 x 3 x 2 x 1 voxels (480 bytes), the file has 48 "
        "for them");
    refuses_meta(BASE "CompressedData = True\nHeaderSize = -1\n" LOCAL,
                 ":5: HeaderSize = -1 has a meaning for raw voxels only");
    refuses_meta(BASE "ElementDataFile =\n", ":4: names no data file");
    leave();
}
END_TEST

START_TEST(meta_voxels_of_each_type)
{
    static const struct {
        const char *name, *as;
        mf_dtype dtype;
        size_t bytes;
    } types[] = {{"MET_CHAR", "int8", MF_I8, 1},        {"MET_UCHAR", "uint8", MF_U8, 1},
                 {"MET_SHORT", "int16", MF_I16, 2},     {"MET_USHORT", "uint16", MF_U16, 2},
                 {"MET_INT", "int32", MF_I32, 4},       {"MET_UINT", "uint32", MF_U32, 4},
                 {"MET_LONG", "int32", MF_I32, 4},      {"MET_ULONG", "uint32", MF_U32, 4},
                 {"MET_LONG_LONG", "int64", MF_I64, 8}, {"MET_ULONG_LONG", "uint64", MF_I64, 8},
                 {"MET_FLOAT", "float", MF_F32, 4},     {"MET_DOUBLE", "double", MF_F64, 8}};
    static const char *const truths[] = {"True", "T", "true", "t", "1", "False", "F", "0"};
    unsigned char voxels[8 * N], packed[512];
    char header[512], text[512];
    enter();
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (int way = 0; way < 24; way++) { /* 8 words for big-endian; raw, compressed, text */
            bool big = way % 8 < 5;
            size_t size = N * types[t].bytes;
            write_type(voxels, types[t].as, big, N);
            snprintf(header, sizeof header,
                     "NDims = 3\nDimSize = 4 3 2\nElementType = %s\n%s = %s\nCompressedData = "
                     "%s\nBinaryData = %s\n" LOCAL,
                     types[t].name, way % 2 ? "ElementByteOrderMSB" : "BinaryDataByteOrderMSB",
                     truths[way % 8], way / 8 == 1 ? "True" : "False",
                     way / 8 == 2 ? "False" : "True");
            if (way / 8 == 1) {
                uLongf room = sizeof packed;
                ck_assert_int_eq(compress(packed, &room, voxels, size), Z_OK);
                put("a.mha", header, packed, room);
            } else if (way / 8 == 2) {
                size = 0;
                for (int i = 0; i < N; i++)
                    size += (size_t)sprintf(text + size, "%d ", i);
                put("a.mha", header, text, size);
            } else {
                put("a.mha", header, voxels, size);
            }
            scan s = scanned("a.mha");
            ck_assert_int_eq(s.voxels->dtype, types[t].dtype);
            check_ramp(&s, 0, 1);
            scan_free(&s);
        }
    /* Voxels at the end of a file of another format, and behind a header of known size. */
    put("a.raw", "1234567", ramp, 2 * N);
    put("a.mhd", META "HeaderSize = -1\nElementDataFile = a.raw\n", "", 0);
    reads("a.mhd", 0, 1, "");
    put("a.mhd", META "HeaderSize = 7\nElementDataFile = a.raw\n", "", 0);
    reads("a.mhd", 0, 1, "");
    put("a.mhd", META "HeaderSize = 8\nElementDataFile = a.raw\n", "", 0);
    refuses("a.mhd",
            "a.raw: cut off: its header promises 4 x 3 x 2 x 1 voxels (48 bytes), the file "
            "has 47 for them");
    /* Four dimensions, in one file and one a time point. */
#define FOURD "NDims = 4\nDimSize = 4 3 2 5\nElementType = MET_SHORT\n"
    put("a.mha", FOURD LOCAL, ramp, sizeof ramp);
    scan s = scanned_at("a.mha", 3);
    check_ramp(&s, 3 * N, 1);
    scan_free(&s);
    refuses("a.mha", "a.mha: has 5 time points, not one\n  time: N (from 0) takes one of them");
    for (int i = 0; i < 5; i++) {
        snprintf(text, sizeof text, "t %d.raw", i + 1);
        put(text, "", ramp + i * N, 2 * N);
    }
    put("a.mhd", FOURD "ElementDataFile = t %d.raw 1 5 1\n", "", 0);
    s = scanned_at("a.mhd", 3);
    check_ramp(&s, 3 * N, 1);
    scan_free(&s);
    uLongf room = sizeof packed;
    ck_assert_int_eq(compress(packed, &room, (unsigned char *)ramp, sizeof ramp), Z_OK);
    put("a.mha", FOURD "CompressedData = True\n" LOCAL, packed, room);
    s = scanned_at("a.mha", 3);
    check_ramp(&s, 3 * N, 1);
    scan_free(&s);
    leave();
}
END_TEST

/* The checksum of compressed voxels is looked at wherever it lies, also behind the point in time
 * that is read, and when it is missing. */
START_TEST(meta_checksums_are_looked_at)
{
    enter();
    static unsigned char noise[1 << 18], packed[1 << 19];
    char header[256], text[128];
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (unsigned char)((state = state * 1664525 + 1013904223) >> 24);
    for (size_t count = (1 << 17) - 6; count < (1 << 17) + 6; count++)
        for (int damage = 0; damage < 3; damage++) {
            uLongf room = sizeof packed;
            snprintf(header, sizeof header,
                     "NDims = 3\nDimSize = %zu 1 1\nElementType = MET_UCHAR\nCompressedData = "
                     "True\n" LOCAL,
                     count);
            ck_assert_int_eq(compress2(packed, &room, noise, count, 0), Z_OK);
            packed[room - 3] ^= damage == 1;
            put("a.mha", header, packed, room - (damage == 2 ? 2 : 0));
            if (damage == 1) {
                snprintf(text, sizeof text,
                         "a.mha: damaged gzip data after %zu bytes: incorrect data check", count);
                refuses("a.mha", text);
            } else if (damage == 2) {
                refuses("a.mha", "a.mha: cut off: the checksum at the end of its data is missing");
            } else {
                scan s = scanned("a.mha");
                ck_assert_mem_eq(s.voxels->data, noise, count);
                scan_free(&s);
            }
        }
    leave();
}
END_TEST

START_TEST(reported_meta_images)
{
    static const char *const fine[] = {
        "reports/mha-header/simpleitk_with_dicom_tags.mha",
        "reports/mha-header/simpleitk_two_line_value.mha", "reports/mha-header/blank_line.mha",
        "reports/mha-header/met_long.mha", "reports/mha-values/msb_T.mha"};
    static const double wanted[5][6] = {{1.5, 2, 3, 1, 2, 3},
                                        {1, 1, 1, 0, 0, 0},
                                        {1.5, 2, 3, 10, 20, 30},
                                        {1.5, 2, 3, 10, 20, 30},
                                        {1.5, 2, 3, 10, 20, 30}};
    static const char *const refused[][2] = {
        {"reports/mha-values/decimal_comma.mha", "ElementSpacing = "},
        {"reports/mha-values/offset_comma.mha", "Offset = "},
        {"reports/mha-values/matrix_of_six.mha", "TransformMatrix = "},
        {"reports/mha-values/damaged_checksum_in_next_64k.mha", "incorrect data check"}};
    for (int i = 0; i < 5 && !missing(fine[i]); i++) {
        scan s = scanned(data_path(fine[i]));
        const double *w = wanted[i];
        const double place[12] = {-w[0], 0, 0, -w[3], 0, -w[1], 0, -w[4], 0, 0, w[2], w[5]};
        voxel_facts f;
        check_affine(&s, place);
        check_size(&s, 7, 6, 5);
        ok(voxels_measure(s.voxels, &f));
        ck_assert_double_eq(f.min, -978);
        ck_assert_double_eq(f.max, 1988);
        scan_free(&s);
    }
    for (int i = 0; i < 4 && !missing(refused[i][0]); i++) {
        scan s;
        const scan_options o = {-1, NULL};
        mf_status status = scan_read(data_path(refused[i][0]), &o, &s);
        ck_assert_msg(status, "%s was read", refused[i][0]);
        ck_assert_msg(strstr(mf_error_message(status), refused[i][1]), "%s",
                      mf_error_message(status));
        mf_error_free(status);
    }
}
END_TEST

/* ---- NIfTI and Analyze ------------------------------------------------------------------------
 */

static void set_float(unsigned char *header, int at, float value)
{
    memcpy(header + at, &value, 4);
}

static void set_short(unsigned char *header, int at, int16_t value)
{
    memcpy(header + at, &value, 2);
}

static void put_nifti(const char *path, const unsigned char header[352], const void *voxels,
                      size_t size)
{
    FILE *f = fopen(path, "wb");
    fwrite(header, 1, 352, f);
    fwrite(voxels, 1, size, f);
    fclose(f);
}

START_TEST(nifti_scaling)
{
    static const struct {
        float slope, intercept;
        double first, step;
    } fine[] = {{2, -1, -1, 2}, {0, 5, 0, 1},     {NAN, 5, 0, 1}, {INFINITY, 5, 0, 1},
                {0, NAN, 0, 1}, {NAN, NAN, 0, 1}, {1, 7, 7, 1},   {-0.5F, 0.25F, 0.25, -0.5},
                {1, 0, 0, 1}};
    static const float odd[][2] = {{2, NAN}, {1, NAN}, {2, INFINITY}, {1, -INFINITY}};
    static const char *const text[] = {"2", "1", "2", "1"};
    unsigned char h[352];
    char message[256];
    enter();
    make_header(h, "n+1");
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        set_float(h, 112, fine[i].slope);
        set_float(h, 116, fine[i].intercept);
        put_nifti("a.nii", h, ramp, 2 * N);
        reads("a.nii", fine[i].first, fine[i].step, "");
    }
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        set_float(h, 112, odd[i][0]);
        set_float(h, 116, odd[i][1]);
        put_nifti("a.nii", h, ramp, 2 * N);
        snprintf(message, sizeof message,
                 "a.nii: its header gives the slope %s for its values and an intercept that is not "
                 "a number\n  set scl_inter in its header, to 0 if nothing is to be added",
                 text[i]);
        refuses("a.nii", message);
    }
    leave();
}
END_TEST

START_TEST(nifti_places_where_readers_differ_are_noted)
{
    unsigned char h[352];
    enter();
    make_header(h, "n+1");
    set_short(h, 254, 0);
    set_short(h, 252, 1); /* a qform without rotation */
    set_float(h, 268, 10), set_float(h, 272, -20), set_float(h, 276, 30);
    static const double plain[12] = {1.5, 0, 0, 10, 0, 2, 0, -20, 0, 0, 3, 30};
    put_nifti("a.nii", h, ramp, 2 * N);
    scan s = scanned("a.nii");
    check_affine(&s, plain);
    ck_assert_int_eq(s.notes, 0);
    scan_free(&s);
    static const double turned[12] = {1.5, 0, 0, 10, 0, 2, 0, -20, 0, 0, -3, 30};
    set_float(h, 76, -0.5F);
    put_nifti("a.nii", h, ramp, 2 * N);
    s = scanned("a.nii");
    check_affine(&s, turned);
    ck_assert_str_eq(s.note[0],
                     "a.nii: its pixdim[0] is -0.5, neither 1 nor -1; taken as -1, as ITK does "
                     "(nibabel takes 1, which turns an axis): " CHECK_SIDES);
    scan_free(&s);
    set_float(h, 76, -1);
    put_nifti("a.nii", h, ramp, 2 * N);
    s = scanned("a.nii");
    check_affine(&s, turned);
    ck_assert_int_eq(s.notes, 0);
    scan_free(&s);
    set_float(h, 76, 1);
    set_float(h, 80, -1.5F);
    put_nifti("a.nii", h, ramp, 2 * N);
    s = scanned("a.nii");
    check_affine(&s, plain);
    ck_assert_str_eq(
        s.note[0], "a.nii: has negative sizes of voxels (-1.5, 2, 3); their signs are passed over, "
                   "as nibabel does (ITK turns the axis): " CHECK_SIDES);
    scan_free(&s);
    set_float(h, 80, 1.5F);
    set_float(h, 256, 3);
    put_nifti("a.nii", h, ramp, 2 * N);
    refuses("a.nii", "a.nii: its header gives no rotation (3, 0, 0) of voxels of 1.5 x 2 x 3 mm");
    /* An sform makes the damaged qform unimportant; one that differs is noted. */
    static const double sform[12] = {-1.5, 0, 0, 10, 0, 2, 0, -20, 0, 0, 3, 30};
    set_short(h, 254, 1);
    put_nifti("a.nii", h, ramp, 2 * N);
    s = scanned("a.nii");
    check_affine(&s, sform);
    ck_assert_int_eq(s.notes, 0);
    scan_free(&s);
    set_float(h, 256, 0);
    put_nifti("a.nii", h, ramp, 2 * N);
    s = scanned("a.nii");
    check_affine(&s, sform);
    ck_assert_str_eq(s.note[0],
                     "a.nii: its sform and qform place it up to 9.0 mm apart; the sform is "
                     "taken, as nibabel does");
    scan_free(&s);
    static const double metres[12] = {-1500, 0, 0, 10000, 0, 2000, 0, -20000, 0, 0, 3000, 30000};
    set_short(h, 252, 0);
    h[123] = 1;
    put_nifti("a.nii", h, ramp, 2 * N);
    s = scanned("a.nii");
    check_affine(&s, metres);
    ck_assert_str_eq(
        s.note[0], "a.nii: its unit of length is the metre: turned to mm (nibabel takes it as mm)");
    scan_free(&s);
    leave();
}
END_TEST

START_TEST(spm_put_factor_and_origin_into_analyze)
{
    static const double centered[12] = {-1.5, 0, 0, 2.25, 0, 2, 0, -2, 0, 0, 3, -1.5};
    static const double at_origin[12] = {-1.5, 0, 0, 4.5, 0, 2, 0, -2, 0, 0, 3, 3};
#define LAS_NOTE "a.hdr: does not say how the patient lies; taken as LAS, as is usual: " CHECK_SIDES
    unsigned char h[352];
    enter();
    make_header(h, "");
    put("a.img", "", ramp, 2 * N);
    put("a.hdr", "", h, 348);
    scan s = scanned("a.hdr");
    check_affine(&s, centered);
    check_ramp(&s, 0, 1);
    ck_assert_int_eq(s.notes, 1);
    ck_assert_str_eq(s.note[0], LAS_NOTE);
    scan_free(&s);
    set_float(h, 112, 0.5F);
    set_short(h, 253, 4), set_short(h, 255, 2), set_short(h, 257, 0);
    put("a.hdr", "", h, 348);
    s = scanned("a.hdr");
    check_affine(&s, at_origin);
    check_ramp(&s, 0, 0.5);
    ck_assert_int_eq(s.notes, 3);
    ck_assert_str_eq(s.note[0], "a.hdr: SPM's scale factor is applied: value * 0.5 + 0");
    ck_assert_str_eq(s.note[2], "a.hdr: the origin is SPM's: voxel (3, 1, -1)");
    scan_free(&s);
    /* An origin far outside is none; an intercept that is no number is none, as in nibabel. */
    set_short(h, 253, 400);
    set_float(h, 116, NAN);
    put("a.hdr", "", h, 348);
    s = scanned("a.hdr");
    check_affine(&s, centered);
    check_ramp(&s, 0, 0.5);
    scan_free(&s);
    set_float(h, 116, 3);
    put("a.hdr", "", h, 348);
    s = scanned("a.hdr");
    check_ramp(&s, 3, 0.5);
    scan_free(&s);
    /* Without a factor, the ranges before and after scaling: gl 0..100 to cal 1..51. */
    const int32_t gl_max = 100;
    set_float(h, 112, 0);
    set_float(h, 124, 51), set_float(h, 128, 1);
    memcpy(h + 140, &gl_max, 4);
    put("a.hdr", "", h, 348);
    s = scanned("a.hdr");
    check_ramp(&s, 1, 0.5);
    ck_assert_str_eq(s.note[0], "a.hdr: scaled from its fields gl to its fields cal, as SPM does: "
                                "value * 0.5 + 1");
    scan_free(&s);
    put("a.mat", "", "x", 1);
    s = scanned("a.hdr");
    ck_assert_str_eq(s.note[s.notes - 1],
                     "a.hdr: its place may stand in a.mat, which SPM reads and massflow does not");
    scan_free(&s);
    leave();
}
END_TEST

START_TEST(reported_nifti_files)
{
    static const double plus[12] = {1.5, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0};
    voxel_facts f;
    if (missing("reports/nifti-values/spm.hdr"))
        return;
    scan s = scanned(data_path("reports/nifti-values/spm.hdr"));
    ok(voxels_measure(s.voxels, &f));
    ck_assert_double_eq(f.min, -489);
    ck_assert_double_eq(f.max, 994);
    scan_free(&s);
    s = scanned(data_path("reports/nifti-values/negative_pixdim_qform.nii"));
    ck_assert_double_eq_tol(s.grid.direction[0] * s.grid.spacing[0], plus[0], 1e-6);
    ck_assert_int_eq(s.notes, 1);
    scan_free(&s);
    for (int i = 0; i < 2; i++) {
        s = scanned(
            data_path(i ? "reports/nifti-values/PAIR.IMG" : "reports/nifti-values/PAIR.HDR"));
        ok(voxels_measure(s.voxels, &f));
        ck_assert_double_eq(f.min, -978);
        ck_assert_double_eq(f.max, 1988);
        scan_free(&s);
    }
    const scan_options o = {-1, NULL};
    mf_status status = scan_read(data_path("reports/nifti-values/slope2_inter_nan.nii"), &o, &s);
    ck_assert_ptr_nonnull(status);
    ck_assert_ptr_nonnull(strstr(mf_error_message(status), "the slope 2 for its values"));
    mf_error_free(status);
    static const char *const beyond[] = {"reports/nifti-values/f64_lowest.nii",
                                         "reports/nifti-values/f64_lowest.nrrd"};
    for (int i = 0; i < 2; i++) {
        const load_options options = {
            .read = {-1, NULL}, .orient = "RAS", .crop = "none", .modality = "auto"};
        mf_artifact *volume;
        char text[1200];
        snprintf(text, sizeof text,
                 "%s: 1 voxels of 210 are beyond 3.4e38, which 32-bit reals cannot hold\n"
                 "  nonfinite: zero replaces them by 0",
                 data_path(beyond[i]));
        fails(load_volume(data_path(beyond[i]), &options, &s, &volume), text);
    }
}
END_TEST

/* ---- values -----------------------------------------------------------------------------------
 */

static mf_status load_as(const char *path, const char *nonfinite, scan *s, mf_artifact **volume)
{
    const load_options options = {.read = {-1, NULL},
                                  .orient = "keep",
                                  .crop = "none",
                                  .modality = "auto",
                                  .zero_odd = !strcmp(nonfinite, "zero")};
    return load_volume(path, &options, s, volume);
}

/* Four 64-bit reals as NIfTI, NRRD and MetaImage. */
static void put_doubles(const double v[4])
{
    unsigned char h[352];
    make_header(h, "n+1");
    set_short(h, 42, 2), set_short(h, 44, 2), set_short(h, 46, 1);
    set_short(h, 70, 64), set_short(h, 72, 64);
    put_nifti("a.nii", h, v, 32);
    put("a.nrrd",
        "NRRD0004\ntype: double\ndimension: 3\nsizes: 2 2 1\nencoding: raw\nendian: little\nspace: "
        "RAS\nspace directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n\n",
        v, 32);
    put("a.mha", "NDims = 3\nDimSize = 2 2 1\nElementType = MET_DOUBLE\n" LOCAL, v, 32);
}

static const char *const three[] = {"a.nii", "a.nrrd", "a.mha"};

START_TEST(reals_that_32_bits_cannot_hold)
{
    scan s;
    mf_artifact *a;
    mf_array *v;
    char text[256];
    enter();
    const double large[4] = {-1.7976931348623157e308, 1, 2, 3.5e38};
    put_doubles(large);
    for (int i = 0; i < 3; i++) {
        snprintf(text, sizeof text,
                 "%s: 2 voxels of 4 are beyond 3.4e38, which 32-bit reals cannot hold\n"
                 "  nonfinite: zero replaces them by 0",
                 three[i]);
        fails(load_as(three[i], "refuse", &s, &a), text);
        ok(load_as(three[i], "zero", &s, &a));
        ok(mf_artifact_array(a, "voxels", &v));
        ck_assert_int_eq(v->dtype, MF_U8); /* all whole */
        ck_assert_mem_eq(v->data, "\0\1\2\0", 4);
        mf_array_unref(v);
        mf_artifact_unref(a);
    }
    /* The largest that rounds to a 32-bit real is one. */
    const double last[4] = {3.4028235e38, -3.4028235e38, 0.5, 0};
    put_doubles(last);
    for (int i = 0; i < 3; i++) {
        ok(load_as(three[i], "refuse", &s, &a));
        ok(mf_artifact_array(a, "voxels", &v));
        ck_assert_float_eq(((float *)v->data)[0], 3.4028235e38F);
        mf_array_unref(v);
        mf_artifact_unref(a);
    }
    /* Too small a scan for 32 bits is refused, one of 1e-40 has 16 bits left. */
    const double small[4] = {1e-45, 2e-44, 3e-43, 4e-42}, fine[4] = {0, 1e-40, 2e-40, 3e-40};
    put_doubles(small);
    for (int i = 0; i < 3; i++) {
        snprintf(text, sizeof text,
                 "%s: its values, from 1e-45 to 4e-42, are too close to 0 for 32-bit reals\n"
                 "  multiply them by a power of ten first",
                 three[i]);
        fails(load_as(three[i], "refuse", &s, &a), text);
    }
    put_doubles(fine);
    for (int i = 0; i < 3; i++) {
        ok(load_as(three[i], "refuse", &s, &a));
        ok(mf_artifact_array(a, "voxels", &v));
        ck_assert_float_eq(((float *)v->data)[3], 3e-40F);
        mf_array_unref(v);
        mf_artifact_unref(a);
    }
    /* Made so by a slope. */
    unsigned char h[352];
    make_header(h, "n+1");
    set_float(h, 112, 3e38F);
    put_nifti("a.nii", h, ramp, 2 * N);
    fails(load_as("a.nii", "refuse", &s, &a),
          "a.nii: 22 voxels of 24 are beyond 3.4e38, which 32-bit reals cannot hold\n"
          "  nonfinite: zero replaces them by 0");
    set_float(h, 112, 1e-45F);
    put_nifti("a.nii", h, ramp, 2 * N);
    fails(load_as("a.nii", "refuse", &s, &a),
          "a.nii: its values, from 0 to 3.22299e-44, are too close to 0 for 32-bit reals\n"
          "  multiply them by a power of ten first");
    leave();
}
END_TEST

static mf_status load_map(const char *path, scan *s, mf_artifact **labels)
{
    const labels_options o = {.read = {-1, NULL}, .orient = "RAS"};
    return load_labels(path, &o, NULL, s, labels);
}

#define NOT_WHOLE(value, place)                                                                    \
    "a.nii: is not a label map: the value " value " at voxel " place " is not within 0.001 of an " \
    "integer from 0 to 2147483647\n"                                                               \
    "  voxels count from 0 along x, y, z as they lie in the file; volume.load reads scans"

START_TEST(label_maps_stored_as_reals_or_scaled)
{
    unsigned char h[352];
    float reals[N];
    scan s;
    mf_artifact *a;
    mf_array *v;
    enter();
    make_header(h, "n+1");
    set_short(h, 70, 16), set_short(h, 72, 32);
    for (int i = 0; i < N; i++)
        reals[i] = (float)(i % 5) + (i % 3 == 0 ? -0.0009F : i % 3 == 1 ? 0.0009F : 0);
    put_nifti("a.nii", h, reals, sizeof reals);
    ok(load_map("a.nii", &s, &a));
    ok(mf_artifact_array(a, "voxels", &v));
    ck_assert_int_eq(v->dtype, MF_U8);
    for (int z = 0; z < NZ; z++) /* x is turned: the file grows to the left */
        for (int y = 0; y < NY; y++)
            for (int x = 0; x < NX; x++)
                ck_assert_int_eq(((uint8_t *)v->data)[(z * NY + y) * NX + NX - 1 - x],
                                 ((z * NY + y) * NX + x) % 5);
    ck_assert_str_eq(s.note[0],
                     "a.nii: 16 voxels were within 0.001 of an integer and were rounded");
    mf_array_unref(v);
    mf_artifact_unref(a);
    /* Voxel (1, 2, 1) of the file. */
    int at = (1 * NY + 2) * NX + 1;
    static const struct {
        float value;
        const char *text;
    } odd[] = {{2.5F, NOT_WHOLE("2.5", "(1, 2, 1)")},
               {2.002F, NOT_WHOLE("2.00200009", "(1, 2, 1)")},
               {-1, NOT_WHOLE("-1", "(1, 2, 1)")},
               {NAN, NOT_WHOLE("nan", "(1, 2, 1)")},
               {INFINITY, NOT_WHOLE("inf", "(1, 2, 1)")},
               {2147483648.0F, NOT_WHOLE("2.14748365e+09", "(1, 2, 1)")},
               {1e30F, NOT_WHOLE("1.00000002e+30", "(1, 2, 1)")}};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        reals[at] = odd[i].value;
        put_nifti("a.nii", h, reals, sizeof reals);
        fails(load_map("a.nii", &s, &a), odd[i].text);
    }
    /* Scaled: 0 to 23 as 0 to 230 times 0.1, and times 0.05. */
    int16_t tens[N];
    for (int i = 0; i < N; i++)
        tens[i] = (int16_t)(10 * i);
    make_header(h, "n+1");
    set_float(h, 112, 0.1F);
    put_nifti("a.nii", h, tens, sizeof tens);
    ok(load_map("a.nii", &s, &a));
    ok(mf_artifact_array(a, "voxels", &v));
    ck_assert_int_eq(((uint8_t *)v->data)[NX - 1], 0);
    ck_assert_int_eq(((uint8_t *)v->data)[N - NX], 23);
    mf_array_unref(v);
    mf_artifact_unref(a);
    set_float(h, 112, 0.05F);
    put_nifti("a.nii", h, tens, sizeof tens);
    fails(load_map("a.nii", &s, &a), NOT_WHOLE("0.5", "(1, 0, 0)"));
    /* Unsigned 32-bit labels, up to the largest that is kept. */
    uint32_t wide[N] = {[3] = 2147483647, [7] = 5};
    make_header(h, "n+1");
    set_short(h, 70, 768), set_short(h, 72, 32);
    put_nifti("a.nii", h, wide, sizeof wide);
    ok(load_map("a.nii", &s, &a));
    mf_artifact_unref(a);
    wide[3]++;
    put_nifti("a.nii", h, wide, sizeof wide);
    fails(load_map("a.nii", &s, &a),
          "a.nii: is not a label map: its values reach from 0 to 2147483648");
    int64_t longs[N] = {[3] = 9007199254740993};
    set_short(h, 70, 1024), set_short(h, 72, 64);
    put_nifti("a.nii", h, longs, sizeof longs);
    fails(load_map("a.nii", &s, &a),
          "a.nii: is not a label map: its values reach from 0 to 9.007199255e+15");
    leave();
}
END_TEST

/* 2^31 voxels and more are told from the header, before there is memory for them (the files have
 * holes). */
START_TEST(too_many_voxels_are_refused_from_the_header)
{
    unsigned char h[352];
    enter();
    make_header(h, "n+1");
    set_short(h, 42, 2048), set_short(h, 44, 1024), set_short(h, 46, 1024);
    set_short(h, 70, 2), set_short(h, 72, 8);
    put("a.nii", "", h, 352);
    ck_assert_int_eq(truncate("a.nii", 352 + (2LL << 30)), 0);
    put("a.nrrd",
        "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2048 1024 1024\nencoding: raw\nspacings: 1 1 "
        "1\n\n",
        "", 0);
    ck_assert_int_eq(truncate("a.nrrd", 4LL << 30), 0);
    put("a.mha", "NDims = 3\nDimSize = 2048 1024 1024\nElementType = MET_UCHAR\n" LOCAL, "", 0);
    ck_assert_int_eq(truncate("a.mha", 4LL << 30), 0);
    for (int i = 0; i < 3; i++) {
        char text[256];
        snprintf(
            text, sizeof text,
            "%s: has 2048 x 1024 x 1024 voxels; a scan may have 2147483647 (2^31 - 1) at most\n"
            "  cut it into parts, or resample it to larger voxels, with another tool first",
            three[i]);
        refuses(three[i], text);
    }
    leave();
}
END_TEST

/* ---- what is no file ------------------------------------------------------------------------- */

#define BYTES "\n  write the bytes to a file, and name that"

/* Each of these opens a file by itself. */
static mf_status read_with(int reader, const char *path)
{
    inflate_file f;
    nrrd_header nrrd;
    meta_header meta;
    dicom_header dicom;
    scan s;
    bool is;
    switch (reader) {
    case 0:
        return scan_read(path, &(scan_options){-1, NULL}, &s);
    case 1:
        return inflate_open(path, &f);
    case 2:
        return inflate_open_at(path, 0, INFLATE_BZIP2, &f);
    case 3:
        return nrrd_header_read(path, &nrrd);
    case 4:
        return meta_header_read(path, &meta);
    default:
        return dicom_header_read(path, &dicom, &is);
    }
}

/* At once: none waits for a writer, and none reads without end. */
START_TEST(only_files_are_opened)
{
    static const char *const kinds[][2] = {{"pipe", "is a pipe, not a file" BYTES},
                                           {"zero", "is a device, not a file" BYTES},
                                           {"socket", "is a socket, not a file" BYTES},
                                           {"broken", "No such file or directory"},
                                           {"folder", "is a folder, not a file"}};
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    char text[200];
    enter();
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(mkfifo("pipe", 0600), 0);
    ck_assert_int_eq(symlink("/dev/zero", "zero"), 0);
    ck_assert_int_eq(bind(s, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(symlink("nowhere", "broken"), 0);
    ck_assert_int_eq(mkdir("folder", 0700), 0);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (int reader = 0; reader < 6; reader++) {
            if (!reader && !strcmp(kinds[i][0], "folder"))
                continue; /* of DICOM files */
            snprintf(text, sizeof text, "%s: %s", kinds[i][0], kinds[i][1]);
            fails(read_with(reader, kinds[i][0]), text);
        }
    refuses("folder", "folder: no DICOM picture among its 0 files");
    close(s);
    leave();
}
END_TEST

/* A pipe has its name's suffix as well, be it a scan of one file or a part of one. */
START_TEST(a_pipe_is_no_scan_and_no_part_of_one)
{
    static const char *const names[] = {"a.nii", "a.nii.gz", "a.hdr", "a.nrrd", "a.nhdr",
                                        "a.mha", "a.mhd",    "a.dcm", "a"};
    unsigned char h[352];
    char text[200];
    enter();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ck_assert_int_eq(mkfifo(names[i], 0600), 0);
        snprintf(text, sizeof text, "%s: is a pipe, not a file" BYTES, names[i]);
        refuses(names[i], text);
        ck_assert_int_eq(unlink(names[i]), 0);
    }
    ck_assert_int_eq(mkfifo("ct.raw", 0600), 0);
    put("a.mhd", MHD "ElementDataFile = ct.raw\n", "", 0);
    cannot_list("a.mhd", "a.mhd:8: names ct.raw, which is not a file");
    put("a.nhdr", NHDR "data file: ct.raw\n", "", 0);
    cannot_list("a.nhdr", "a.nhdr:10: names ct.raw, which is not a file");
    make_header(h, "ni1");
    put("b.hdr", "", h, 348);
    ck_assert_int_eq(mkfifo("b.img", 0600), 0);
    cannot_list("b.hdr", "b.hdr: belongs to b.img, which is not a file");
    mkdir("series", 0700);
    ck_assert_int_eq(mkfifo("series/1.dcm", 0600), 0);
    refuses("series", "series: no DICOM picture among its 0 files");
    leave();
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
    tcase_set_timeout(nrrd, 60);
    tcase_add_test(nrrd, each_space_is_placed_by_its_name);
    tcase_add_test(nrrd, nrrd_places_that_are_not_named_are_noted);
    tcase_add_test(nrrd, nrrd_headers_are_read_as_they_are_written);
    tcase_add_test(nrrd, nrrd_voxels_of_each_type_and_encoding);
    tcase_add_test(nrrd, nrrd_skips_and_text_values);
    tcase_add_test(nrrd, nrrd_axes_that_are_not_of_space);
    tcase_add_test(nrrd, nrrd_reads_only_what_is_asked_for);
    tcase_add_test(nrrd, reported_spaces_are_placed_right);
    TCase *meta = tcase_create("MetaImage"), *nifti = tcase_create("NIfTI");
    TCase *values = tcase_create("values");
    tcase_set_timeout(meta, 60);
    tcase_add_test(meta, meta_headers_are_read_as_they_are_written);
    tcase_add_test(meta, meta_headers_that_contradict_themselves_are_refused);
    tcase_add_test(meta, meta_voxels_of_each_type);
    tcase_add_test(meta, meta_checksums_are_looked_at);
    tcase_add_test(meta, reported_meta_images);
    tcase_set_timeout(nifti, 60);
    tcase_add_test(nifti, nifti_scaling);
    tcase_add_test(nifti, nifti_places_where_readers_differ_are_noted);
    tcase_add_test(nifti, spm_put_factor_and_origin_into_analyze);
    tcase_add_test(nifti, reported_nifti_files);
    tcase_set_timeout(values, 60);
    tcase_add_test(values, reals_that_32_bits_cannot_hold);
    tcase_add_test(values, label_maps_stored_as_reals_or_scaled);
    tcase_add_test(values, too_many_voxels_are_refused_from_the_header);
    TCase *files = tcase_create("files");
    tcase_set_timeout(files, 60);
    tcase_add_test(files, only_files_are_opened);
    tcase_add_test(files, a_pipe_is_no_scan_and_no_part_of_one);
    suite_add_tcase(suite, files);
    suite_add_tcase(suite, meta);
    suite_add_tcase(suite, nifti);
    suite_add_tcase(suite, values);
    suite_add_tcase(suite, parts);
    suite_add_tcase(suite, nrrd);
    return run_suite(suite);
}
