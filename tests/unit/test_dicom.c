/* test_dicom.c - DICOM series on files that the test writes itself: what is read, in which order
 * and where it lies, and the whole texts of what is refused. Real files are used where they are
 * (MASSFLOW_DATA). */
#include "../run_suite.h"
#include "dicom/dicom_csa.h"
#include "dicom_writer.h"
#include "load.h"
#include <math.h>
#include <unistd.h>

#define EXPLICIT "1.2.840.10008.1.2.1"
#define IMPLICIT "1.2.840.10008.1.2"
#define BIG "1.2.840.10008.1.2.2"
#define ROWS 4
#define COLUMNS 5

static char folder[64];
static dcm d;

static void setup(void)
{
    strcpy(folder, "/tmp/massflow-dicom-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void run_command(const char *format)
{
    char command[256];
    snprintf(command, sizeof command, format, folder);
    ck_assert_int_eq(system(command), 0);
}

static void teardown(void)
{
    run_command("rm -r '%s'");
}

static void empty_folder(void)
{
    run_command("find '%s' -type f -delete");
}

static const char *inside(const char *name)
{
    static char path[4][256];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, 256, "%s/%s", folder, name);
    return p;
}

/* ---- a slice ----------------------------------------------------------------------------------
 */

/* What a slice of the test's series says; what is 0 or NULL is not written. The value of all its
 * voxels is `value`. */
typedef struct slice {
    int k, value; /* place: k times 3 mm along the normal; the value of all its voxels */
    int instance, acquisition, temporal, echo;
    double echo_time, flip, trigger;
    const double *b;
    const char *kind, *content, *acquired, *kernel, *modality, *uid, *series, *slope;
    int number;    /* of the series */
    unsigned bits; /* of a pixel; 0: 16 */
    bool is_signed;
    double right, down; /* mm that it lies elsewhere */
    const char *position, *orientation, *between;
    const char *name, *patient, *study, *reference, *units, *photometric, *scale_type;
    const char *intercept; /* NULL: -1 where there is a slope */
    bool table;            /* has a Modality LUT */
    double weight;         /* kg: of PET, with a dose of 200 MBq, one half-life before the series */
} slice;

/* The values 0 to 3 mean 0, 10, 20, 30. */
static void put_table(void)
{
    dcm_sequence(&d, 0x00283000);
    dcm_item(&d);
    dcm_head(&d, 0x00283002, "US", 6);
    dcm_number(&d, 4, 2), dcm_number(&d, 0, 2), dcm_number(&d, 16, 2);
    dcm_head(&d, 0x00283006, "US", 8);
    for (unsigned i = 0; i < 4; i++)
        dcm_number(&d, 10 * i, 2);
    dcm_item_end(&d);
    dcm_sequence_end(&d);
}

static void put_slice(const slice *s, const char *name)
{
    dcm_begin(&d, EXPLICIT, "", 0);
    dcm_text(&d, 0x00080008, "CS", "%s", s->kind ? s->kind : "ORIGINAL\\PRIMARY\\M\\ND");
    if (s->uid)
        dcm_text(&d, 0x00080018, "UI", "%s", s->uid);
    if (s->acquired)
        dcm_text(&d, 0x00080032, "TM", "%s", s->acquired);
    if (s->content)
        dcm_text(&d, 0x00080033, "TM", "%s", s->content);
    if (s->weight > 0)
        dcm_text(&d, 0x00080031, "TM", "110000");
    dcm_text(&d, 0x00080060, "CS", "%s", s->modality ? s->modality : "MR");
    if (s->name)
        dcm_text(&d, 0x00100010, "PN", "%s", s->name);
    if (s->patient)
        dcm_text(&d, 0x00100020, "LO", "%s", s->patient);
    if (s->weight > 0)
        dcm_text(&d, 0x00101030, "DS", "%g", s->weight);
    dcm_text(&d, 0x00180050, "DS", "3");
    if (s->echo_time > 0)
        dcm_text(&d, 0x00180081, "DS", "%g", s->echo_time);
    if (s->echo)
        dcm_text(&d, 0x00180086, "IS", "%d", s->echo);
    if (s->between)
        dcm_text(&d, 0x00180088, "DS", "%s", s->between);
    if (s->trigger > 0)
        dcm_text(&d, 0x00181060, "DS", "%g", s->trigger);
    if (s->kernel)
        dcm_text(&d, 0x00181210, "SH", "%s", s->kernel);
    if (s->flip > 0)
        dcm_text(&d, 0x00181314, "DS", "%g", s->flip);
    if (s->b)
        dcm_real(&d, 0x00189087, 1, s->b);
    if (s->study)
        dcm_text(&d, 0x0020000d, "UI", "%s", s->study);
    dcm_text(&d, 0x0020000e, "UI", "%s", s->series ? s->series : "1.2.3.4");
    dcm_text(&d, 0x00200011, "IS", "%d", s->number ? s->number : 1);
    if (s->acquisition)
        dcm_text(&d, 0x00200012, "IS", "%d", s->acquisition);
    if (s->instance)
        dcm_text(&d, 0x00200013, "IS", "%d", s->instance);
    if (!s->position)
        dcm_text(&d, 0x00200032, "DS", "%.4f\\%.4f\\%d", -10 + s->right, -20 + s->down,
                 30 + 3 * s->k);
    else if (*s->position)
        dcm_text(&d, 0x00200032, "DS", "%s", s->position);
    dcm_text(&d, 0x00200037, "DS", "%s", s->orientation ? s->orientation : "1\\0\\0\\0\\1\\0");
    if (s->reference)
        dcm_text(&d, 0x00200052, "UI", "%s", s->reference);
    if (s->temporal)
        dcm_text(&d, 0x00200100, "IS", "%d", s->temporal);
    dcm_u16(&d, 0x00280002, 1);
    dcm_text(&d, 0x00280004, "CS", "%s", s->photometric ? s->photometric : "MONOCHROME2");
    dcm_u16(&d, 0x00280010, ROWS);
    dcm_u16(&d, 0x00280011, COLUMNS);
    dcm_text(&d, 0x00280030, "DS", "2\\1.5");
    dcm_u16(&d, 0x00280100, s->bits ? s->bits : 16);
    dcm_u16(&d, 0x00280101, s->bits ? s->bits : 16);
    dcm_u16(&d, 0x00280103, s->is_signed);
    if (s->slope || s->intercept)
        dcm_text(&d, 0x00281052, "DS", "%s", s->intercept ? s->intercept : "-1");
    if (s->slope)
        dcm_text(&d, 0x00281053, "DS", "%s", s->slope);
    if (s->scale_type)
        dcm_text(&d, 0x00281054, "LO", "%s", s->scale_type);
    if (s->table)
        put_table();
    if (s->weight > 0) {
        dcm_sequence(&d, 0x00540016);
        dcm_item(&d);
        dcm_text(&d, 0x00181072, "TM", "100000");
        dcm_text(&d, 0x00181074, "DS", "200000000");
        dcm_text(&d, 0x00181075, "DS", "3600");
        dcm_item_end(&d);
        dcm_sequence_end(&d);
    }
    if (s->units)
        dcm_text(&d, 0x00541001, "CS", "%s", s->units);
    if (s->weight > 0)
        dcm_text(&d, 0x00541102, "CS", "START");
    int each = s->bits == 32 ? 4 : 2;
    dcm_head(&d, 0x7fe00010, "OW", (uint32_t)each * ROWS * COLUMNS);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        dcm_number(&d, (uint64_t)s->value, each);
    dcm_write(&d, inside(name));
}

/* Slices under names in the reverse of their order. */
static void put_slices(const slice *list, int count)
{
    empty_folder();
    for (int i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof name, "%03d", 999 - i);
        put_slice(&list[i], name);
    }
}

/* ---- what comes of it -------------------------------------------------------------------------
 */

static load_options defaults(int64_t time)
{
    return (load_options){
        .read = {time, NULL}, .orient = "keep", .crop = "none", .modality = "auto"};
}

static mf_artifact *load(const char *path, int64_t time, scan *notes)
{
    load_options o = defaults(time);
    mf_artifact *a = NULL;
    mf_status status = load_volume(path, &o, notes, &a);
    char *text = status ? mf_error_text(status) : NULL;
    ck_assert_msg(!status, "%s", text);
    return a;
}

/* The first voxel of every slice, as "100 101 102 103". */
static void slices_of(const mf_artifact *a, char text[256])
{
    mf_array *v, *wide;
    ck_assert_ptr_null(mf_artifact_array(a, "voxels", &v));
    ck_assert_ptr_null(mf_array_convert(v, MF_F64, &wide));
    size_t used = 0;
    text[0] = 0;
    for (int64_t k = 0; k < v->shape[0]; k++)
        used += (size_t)snprintf(text + used, 256 - used, "%s%g", k ? " " : "",
                                 ((double *)wide->data)[k * v->shape[1] * v->shape[2]]);
    mf_array_unref(v);
    mf_array_unref(wide);
}

static void expect_slices_of(const char *path, int64_t time, const char *wanted)
{
    scan notes;
    char got[256];
    mf_artifact *a = load(path, time, &notes);
    slices_of(a, got);
    ck_assert_str_eq(got, wanted);
    mf_artifact_unref(a);
}

static void expect_slices(int64_t time, const char *wanted)
{
    expect_slices_of(folder, time, wanted);
}

/* A note in the log, behind the folder's name. */
static void expect_note(int64_t time, const char *wanted)
{
    scan notes;
    mf_artifact *a = load(folder, time, &notes);
    bool found = false;
    for (int i = 0; i < notes.notes; i++)
        found = found || strstr(notes.note[i], wanted);
    ck_assert_msg(found, "no note '%s', but '%s'", wanted, notes.notes ? notes.note[0] : "none");
    mf_artifact_unref(a);
}

static void expect_refused_at(const char *path, int64_t time, mf_code code, const char *wanted)
{
    load_options o = defaults(time);
    scan notes;
    mf_artifact *a = NULL;
    mf_status status = load_volume(path, &o, &notes, &a);
    ck_assert_msg(status, "was read instead of: %s", wanted);
    char whole[2048], *text = mf_error_text(status);
    snprintf(whole, sizeof whole, "%s%s%s", *wanted == '/' ? folder : path,
             *wanted == '/' ? "" : ": ", wanted);
    ck_assert_str_eq(text, whole);
    ck_assert_int_eq(mf_error_code(status), code);
    free(text);
    mf_error_free(status);
}

/* wanted: behind "FOLDER: ", or behind "FOLDER" where it begins with '/'. */
static void expect_refused(int64_t time, mf_code code, const char *wanted)
{
    expect_refused_at(folder, time, code, wanted);
}

/* The affine in RAS+, three rows of four, to a micrometre over the volume. */
static void expect_affine(const char *path, int64_t time, const double wanted[12])
{
    scan notes;
    mf_grid g;
    mf_artifact *a = load(path, time, &notes);
    ck_assert_ptr_null(mf_artifact_grid(a, &g));
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 4; j++) {
            double got = j == 3 ? g.origin[i] : g.direction[3 * i + j] * g.spacing[j];
            ck_assert_msg(fabs(got - wanted[4 * i + j]) < 1e-4, "[%d][%d]: %g, not %g", i, j, got,
                          wanted[4 * i + j]);
        }
    mf_artifact_unref(a);
}

static const double straight[12] = {-1.5, 0, 0, 10, 0, -2, 0, 20, 0, 0, 3, 30};

/* ---- volumes of a series ----------------------------------------------------------------------
 */

#define COUNT(list) ((int)(sizeof(list) / sizeof *(list)))

START_TEST(echoes_are_parted)
{
    /* as in two reports about another tool: numbers that repeat, and numbers that swap */
    const slice repeat[] = {{0, 100, .instance = 1, .echo = 1, .echo_time = 5},
                            {1, 101, .instance = 2, .echo = 1, .echo_time = 5},
                            {2, 202, .instance = 3, .echo = 2, .echo_time = 10},
                            {3, 103, .instance = 4, .echo = 1, .echo_time = 5},
                            {0, 200, .instance = 1, .echo = 2, .echo_time = 10},
                            {1, 201, .instance = 2, .echo = 2, .echo_time = 10},
                            {2, 102, .instance = 3, .echo = 1, .echo_time = 5},
                            {3, 203, .instance = 4, .echo = 2, .echo_time = 10}};
    slice swap[8];
    memcpy(swap, repeat, sizeof swap);
    for (int i = 0; i < 8; i++) {
        swap[i].instance = 2 * repeat[i].k + (repeat[i].echo == 1 + repeat[i].k % 2 ? 1 : 2);
        swap[i].echo = 0; /* the echo time alone */
    }
    put_slices(repeat, 8);
    expect_slices(0, "100 101 102 103");
    expect_slices(1, "200 201 202 203");
    expect_affine(folder, 0, straight);
    expect_note(0, ": volume 0 of 2: echo number 1, echo time 5");
    expect_refused(-1, MF_UNSUPPORTED,
                   "has 4 positions with 2 slices each: volumes that differ in echo number, echo "
                   "time\n  time: N (from 0) takes one of them:\n"
                   "  0: echo number 1, echo time 5\n  1: echo number 2, echo time 10");
    expect_refused(2, MF_INVALID, "has 2 time points; time: 2 is not one of them");
    put_slices(swap, 8);
    expect_slices(0, "100 101 102 103");
    expect_slices(1, "200 201 202 203");
}
END_TEST

START_TEST(other_traits_part_too)
{
    static const double b0 = 0, b1000 = 1000;
    const slice phase[] = {{0, 20, .instance = 1, .kind = "ORIGINAL\\PRIMARY\\P\\ND"},
                           {1, 21, .instance = 2, .kind = "ORIGINAL\\PRIMARY\\P\\ND"},
                           {0, 10, .instance = 2, .kind = "ORIGINAL\\PRIMARY\\M\\ND"},
                           {1, 11, .instance = 1, .kind = "ORIGINAL\\PRIMARY\\M\\ND"}};
    put_slices(phase, COUNT(phase)); /* magnitude first, whatever the instance numbers */
    expect_slices(0, "10 11");
    expect_slices(1, "20 21");
    expect_note(1, ": volume 1 of 2: image type ORIGINAL\\PRIMARY\\P\\ND");
    const slice temporal[] = {{0, 20, .instance = 1, .temporal = 2},
                              {1, 11, .instance = 2, .temporal = 1},
                              {0, 10, .instance = 3, .temporal = 1},
                              {1, 21, .instance = 4, .temporal = 2}};
    put_slices(temporal, COUNT(temporal));
    expect_slices(0, "10 11");
    expect_slices(1, "20 21");
    /* b-values in the order of acquisition, not of their size */
    const slice diffusion[] = {
        {0, 10, .acquisition = 1, .b = &b0},    {1, 11, .acquisition = 1, .b = &b0},
        {0, 20, .acquisition = 2, .b = &b1000}, {1, 21, .acquisition = 2, .b = &b1000},
        {0, 30, .acquisition = 3, .b = &b0},    {1, 31, .acquisition = 3, .b = &b0}};
    put_slices(diffusion, COUNT(diffusion));
    expect_slices(0, "10 11");
    expect_slices(1, "20 21");
    expect_slices(2, "30 31");
    expect_note(2, ": volume 2 of 3: b-value 0");
    const slice kernels[] = {{0, 10, .kernel = "B30f"},
                             {1, 11, .kernel = "B30f"},
                             {0, 20, .kernel = "B70f"},
                             {1, 21, .kernel = "B70f"}};
    put_slices(kernels, COUNT(kernels));
    expect_slices(0, "10 11");
    expect_slices(1, "20 21");
    const slice angles[] = {
        {0, 10, .flip = 5}, {0, 20, .flip = 26}, {1, 11, .flip = 5}, {1, 21, .flip = 26}};
    put_slices(angles, COUNT(angles));
    expect_slices(1, "20 21");
}
END_TEST

START_TEST(times_part)
{
    /* one time for all slices of a volume, over instance numbers that swap */
    const slice volumes[] = {{0, 10, .instance = 1, .acquired = "120000"},
                             {1, 11, .instance = 4, .acquired = "120000"},
                             {0, 20, .instance = 2, .acquired = "120002.5"},
                             {1, 21, .instance = 3, .acquired = "120002.5"}};
    put_slices(volumes, COUNT(volumes));
    expect_slices(0, "10 11");
    expect_slices(1, "20 21");
    expect_note(1, ": time point 1 of 2");
    expect_refused(-1, MF_UNSUPPORTED,
                   "has 2 positions with 2 slices each: a time series\n"
                   "  time: N (from 0) takes one time point");
    /* a heart in phases: times differ from slice to slice */
    const slice phases[] = {{0, 10, .instance = 9, .trigger = 10},
                            {1, 11, .instance = 8, .trigger = 14},
                            {0, 20, .instance = 7, .trigger = 60},
                            {1, 21, .instance = 6, .trigger = 61}};
    put_slices(phases, COUNT(phases));
    expect_slices(0, "10 11");
    expect_slices(1, "20 21");
    /* times since a heartbeat do not grow: when slices were acquired decides */
    slice beats[] = {{0, 10, .instance = 1, .trigger = 700, .acquired = "120000"},
                     {1, 11, .instance = 2, .trigger = 100, .acquired = "120001"},
                     {0, 20, .instance = 3, .trigger = 200, .acquired = "120010"},
                     {1, 21, .instance = 4, .trigger = 600, .acquired = "120011"}};
    put_slices(beats, COUNT(beats));
    expect_slices(0, "10 11");
    expect_slices(1, "20 21");
    for (int i = 0; i < 4; i++)
        beats[i].acquired = NULL;
    put_slices(beats, COUNT(beats));
    expect_refused(0, MF_UNSUPPORTED,
                   "has 2 slices at each position, and their trigger times and instance numbers "
                   "contradict each other on which slices make one volume");
    /* each slice has its own times, and all instance numbers are the same */
    const slice each[] = {{0, 10, .instance = 1, .content = "120000"},
                          {1, 11, .instance = 1, .content = "120001"},
                          {0, 20, .instance = 1, .content = "120010"},
                          {1, 21, .instance = 1, .content = "120011"}};
    put_slices(each, COUNT(each));
    expect_slices(1, "20 21");
    /* nothing but instance numbers, slice by slice */
    const slice instances[] = {{0, 10, .instance = 1},
                               {0, 20, .instance = 2},
                               {1, 11, .instance = 3},
                               {1, 21, .instance = 4}};
    put_slices(instances, COUNT(instances));
    expect_slices(0, "10 11");
    expect_slices(1, "20 21");
}
END_TEST

/* Times of day without a date. */
START_TEST(times_go_on_over_midnight)
{
    slice s[] = {{0, 10, .instance = 1, .acquired = "235959.5"},
                 {1, 11, .instance = 2, .acquired = "235959.5"},
                 {0, 20, .instance = 3, .acquired = "000001.5"},
                 {1, 21, .instance = 4, .acquired = "000001.5"}};
    put_slices(s, COUNT(s));
    expect_slices(0, "10 11");
    expect_slices(1, "20 21");
    expect_note(0, ": its acquisition times have no date and lie more than 12 hours apart; taken "
                   "as a scan over midnight");
    for (int i = 0; i < 4; i++) {
        s[i].content = s[i].acquired;
        s[i].acquired = NULL;
    }
    put_slices(s, COUNT(s));
    expect_slices(0, "10 11");
    expect_slices(1, "20 21");
    expect_note(0, ": its content times have no date and lie more than 12 hours apart; taken as a "
                   "scan over midnight");
    s[2].content = s[3].content = "120000"; /* less than 12 hours: a time of the same day */
    put_slices(s, COUNT(s));
    expect_slices(0, "20 21");
}
END_TEST

START_TEST(mixtures_are_refused)
{
    const slice against[] = {{0, 10, .instance = 1, .content = "120000"},
                             {1, 11, .instance = 4, .content = "120001"},
                             {0, 20, .instance = 2, .content = "120010"},
                             {1, 21, .instance = 3, .content = "120011"}};
    put_slices(against, COUNT(against));
    expect_refused(0, MF_UNSUPPORTED,
                   "has 2 slices at each position, and their content times and instance numbers "
                   "contradict each other on which slices make one volume");
    const slice alternate[] = {{0, 10, .echo_time = 5},
                               {1, 20, .echo_time = 10},
                               {2, 11, .echo_time = 5},
                               {3, 21, .echo_time = 10}};
    put_slices(alternate, COUNT(alternate));
    expect_refused(-1, MF_UNSUPPORTED,
                   "slices of several scans are mixed in it, and not every one has a slice at each "
                   "position: their echo time is 5 at 30.00 mm (999), 10 at 33.00 mm (998)\n"
                   "  put the files of one scan into a folder of their own");
    const slice third[] = {{0, 10, .echo_time = 5, .instance = 1},
                           {0, 20, .echo_time = 10, .instance = 2},
                           {1, 11, .echo_time = 5, .instance = 3},
                           {1, 31, .echo_time = 15, .instance = 4}};
    put_slices(third, COUNT(third));
    expect_refused(1, MF_UNSUPPORTED,
                   "slices of several scans are mixed in it, and not every one has a slice at each "
                   "position: their echo time is 10 at 30.00 mm (998), 15 at 33.00 mm (996)\n"
                   "  put the files of one scan into a folder of their own");
    put_slices(third, 3);
    expect_refused(0, MF_UNSUPPORTED,
                   "1 slices lie at 33.00 mm where others lie in 2s: the series is incomplete or "
                   "several scans are mixed in it; they differ in echo time");
    const slice same[] = {{0, 10, .instance = 1}, {0, 20, .instance = 1}};
    put_slices(same, COUNT(same));
    expect_refused(0, MF_UNSUPPORTED,
                   "2 slices lie at 30.00 mm that nothing tells apart: their "
                   "instance numbers, times, echoes and image types are the "
                   "same or contradict one another (998)");
}
END_TEST

#define ONE_FOLDER "\n  put the files of one scan into a folder of their own"
#define MIXED                                                                                      \
    "slices of several scans are mixed in it, and not every one has a slice at each position: "

/* Files of one series that a careless tool gave the same unique id. */
START_TEST(patients_are_not_mixed)
{
    slice s[] = {{0, 10, .instance = 1, .patient = "7", .study = "1.7"},
                 {1, 11, .instance = 2, .patient = "7", .study = "1.7"},
                 {0, 20, .instance = 3, .patient = "7", .study = "1.7"},
                 {1, 21, .instance = 4, .patient = "7", .study = "1.7"}};
    put_slices(s, 4);
    expect_slices(1, "20 21");
    s[1].patient = "8"; /* one volume, slices of two patients: nothing of them is printed */
    put_slices(s, 2);
    expect_refused(-1, MF_UNSUPPORTED,
                   "slices of several patients are mixed in one series: their Patient ID "
                   "(0010,0020), or name where that is empty, is one in 998, another in "
                   "999" ONE_FOLDER);
    s[1].patient = "7"; /* two whole volumes: not two time points either */
    s[2].patient = s[3].patient = "8";
    put_slices(s, 4);
    expect_refused(0, MF_UNSUPPORTED,
                   "slices of several patients are mixed in one series: their Patient ID "
                   "(0010,0020), or name where that is empty, is one in 996, another in "
                   "998" ONE_FOLDER);
    s[1].patient = NULL;
    put_slices(s, 2);
    expect_refused(-1, MF_UNSUPPORTED,
                   "slices of several patients are mixed in one series: their Patient ID "
                   "(0010,0020), or name where that is empty, is none in 998, another in "
                   "999" ONE_FOLDER);
    s[0].patient = s[1].patient = "";
    s[0].name = "A^B";
    s[1].name = "C^D";
    put_slices(s, 2);
    expect_refused(-1, MF_UNSUPPORTED,
                   "slices of several patients are mixed in one series: their Patient ID "
                   "(0010,0020), or name where that is empty, is one in 998, another in "
                   "999" ONE_FOLDER);
    s[0].patient = s[1].patient = "7"; /* the identifier counts, a name has many spellings */
    put_slices(s, 2);
    expect_slices(-1, "10 11");
    s[1].study = "1.8";
    put_slices(s, 2);
    expect_refused(-1, MF_UNSUPPORTED,
                   "slices of several studies are mixed in one series: their Study Instance UID "
                   "(0020,000D) is one in 998, another in 999" ONE_FOLDER);
}
END_TEST

/* What tells the meaning of values and places: no volume has two of it, and where both are whole
 * volumes `time` takes one. */
START_TEST(meanings_are_not_mixed)
{
    static const struct {
        slice a, b;
        const char *mixture, *note;
    } kinds[] = {
        {{.reference = "1.9.1"},
         {.reference = "1.9.2"},
         "frame of reference is one at 30.00 mm (999), another at 33.00 mm (998)",
         "frame of reference that of 997"},
        {{.reference = "1.9.1"},
         {0},
         "frame of reference is one at 30.00 mm (999), none at 33.00 mm (998)",
         "frame of reference that of 997"},
        {{.modality = "CT"},
         {.modality = "MR"},
         "modality is CT at 30.00 mm (999), MR at 33.00 mm (998)",
         "modality MR"},
        {{.units = "BQML"},
         {.units = "CNTS"},
         "unit is BQML at 30.00 mm (999), CNTS at 33.00 mm (998)",
         "unit CNTS"},
        {{.units = "BQML"},
         {0},
         "unit is BQML at 30.00 mm (999), none at 33.00 mm (998)",
         "unit none"},
        {{.photometric = "MONOCHROME1"},
         {.photometric = "MONOCHROME2"},
         "photometric interpretation is MONOCHROME1 at 30.00 mm (999), MONOCHROME2 at 33.00 mm "
         "(998)",
         "photometric interpretation MONOCHROME2"},
        {{.slope = "1", .scale_type = "HU"},
         {.slope = "1", .scale_type = "US"},
         "rescale type is HU at 30.00 mm (999), US at 33.00 mm (998)",
         "rescale type US"},
        {{.slope = "2"},
         {0},
         "rescaling is slope and intercept at 30.00 mm (999), none at 33.00 mm (998)",
         "rescaling none"},
        {{.slope = "2", .intercept = ""},
         {.slope = "2"},
         "rescaling is slope only at 30.00 mm (999), slope and intercept at 33.00 mm (998)",
         "rescaling slope and intercept"},
    };
    for (size_t i = 0; i < COUNT(kinds); i++) {
        char text[512];
        slice s[] = {kinds[i].a, kinds[i].b, kinds[i].b, kinds[i].a};
        for (int k = 0; k < 4; k++) {
            s[k].k = k % 2;
            s[k].value = 10 + k;
            s[k].instance = 1 + k;
        }
        put_slices(s, 2);
        snprintf(text, sizeof text, MIXED "their %s" ONE_FOLDER, kinds[i].mixture);
        expect_refused(-1, MF_UNSUPPORTED, text);
        put_slices(s, 4); /* the first volume is that of the first instance */
        snprintf(text, sizeof text, ": volume 1 of 2: %s", kinds[i].note);
        expect_note(1, text);
        if (!kinds[i].a.slope) {
            expect_slices(0, "10 13");
            expect_slices(1, "12 11");
        }
    }
}
END_TEST

/* One factor to SUV holds for a volume, or none. */
START_TEST(uptake_is_of_all_slices)
{
    slice s[] = {{0, 10, .modality = "PT", .units = "BQML", .weight = 70},
                 {1, 11, .modality = "PT", .units = "BQML", .weight = 70}};
    const double *factor;
    size_t count;
    scan notes;
    put_slices(s, 2);
    mf_artifact *a = load(folder, -1, &notes);
    factor = mf_artifact_reals(a, "suv_factor", &count);
    ck_assert(factor && count == 1);
    ck_assert_double_eq_tol(*factor, 1000 * 70 / 1e8, 1e-15);
    mf_artifact_unref(a);
    s[1].weight = 80;
    put_slices(s, 2);
    expect_note(-1, ": the dose, weight and times of its slices give factors to SUV from 0.0007 to "
                    "0.0008 (0: none); none is taken");
    a = load(folder, -1, &notes);
    ck_assert_ptr_null(mf_artifact_reals(a, "suv_factor", &count));
    mf_artifact_unref(a);
    s[1].weight = 0;
    put_slices(s, 2);
    expect_note(-1, ": the dose, weight and times of its slices give factors to SUV from 0 to "
                    "0.0007 (0: none); none is taken");
}
END_TEST

/* Rescaling that readers disagree on. */
START_TEST(odd_rescaling_is_refused)
{
    const slice zero[] = {{0, 10, .slope = "0", .intercept = "5"}};
    put_slices(zero, 1);
    expect_refused(-1, MF_UNSUPPORTED,
                   "/999: its rescale slope (0028,1053) is 0, which makes all values one");
    const slice alone[] = {{0, 10, .intercept = "-1024"}};
    put_slices(alone, 1);
    expect_refused(-1, MF_UNSUPPORTED,
                   "/999: has a rescale intercept (0028,1052), -1024, and no slope (0028,1053)");
    const slice nothing[] = {{0, 10, .intercept = "0"}};
    put_slices(nothing, 1);
    expect_slices(-1, "10");
    const slice empty[] = {{0, 10, .slope = "", .intercept = ""}};
    put_slices(empty, 1);
    expect_slices(-1, "10");
    const slice comma[] = {{0, 10, .slope = "1,5"}};
    put_slices(comma, 1);
    expect_refused(-1, MF_CORRUPT, "/999: damaged DICOM: its rescale slope is not a number");
    const slice far[] = {{0, 10, .slope = "1", .intercept = "1e999"}};
    put_slices(far, 1);
    expect_refused(-1, MF_CORRUPT, "/999: damaged DICOM: its rescale intercept is not a number");
    const slice dose[] = {{0, 10, .modality = "RTDOSE"}};
    put_slices(dose, 1);
    expect_refused(-1, MF_UNSUPPORTED,
                   "/999: is a dose and lacks its Dose Grid Scaling (3004,000E)");
    const slice table[] = {{0, 2, .table = true}};
    put_slices(table, 1);
    expect_refused(-1, MF_UNSUPPORTED,
                   "/999: its values are to be looked up in a table (Modality LUT Sequence, "
                   "0028,3000), which is not read\n"
                   "  write the looked-up values with a slope of 1 and an intercept of 0");
}
END_TEST

/* Copies are one slice; what only has the same unique id is not. */
START_TEST(copies_are_left_out)
{
    slice s[] = {{0, 10, .instance = 1, .uid = "1.5.1"},
                 {1, 11, .instance = 2, .uid = "1.5.2"},
                 {1, 11, .instance = 2, .uid = "1.5.2"}};
    put_slices(s, 3);
    expect_slices(-1, "10 11");
    expect_note(-1, ": 1 files that are copies of others were left out");
    s[2].value = 12;
    put_slices(s, 3);
    expect_refused(-1, MF_UNSUPPORTED,
                   "2 slices lie at 33.00 mm where others lie in 1s: the series "
                   "is incomplete or several scans are mixed in it");
    s[2].value = 11; /* the same pixels, but other values */
    s[0].slope = s[1].slope = "1";
    s[2].slope = "2";
    put_slices(s, 3);
    expect_refused(-1, MF_UNSUPPORTED,
                   "2 slices lie at 33.00 mm where others lie in 1s: the series "
                   "is incomplete or several scans are mixed in it");
}
END_TEST

/* ---- where slices lie -------------------------------------------------------------------------
 */

static void put_line(int count, int shifted_from, int shifted_to, double right, double each)
{
    slice s[12] = {{0}};
    for (int k = 0; k < count; k++)
        s[k] = (slice){
            count - 1 - k, 10 + count - 1 - k,
            .right = (count - 1 - k) * each +
                     (count - 1 - k >= shifted_from && count - 1 - k < shifted_to ? right : 0)};
    put_slices(s, count);
}

START_TEST(shifted_slices_are_refused)
{
    put_line(9, 3, 6, 6, 0);
    expect_refused(-1, MF_UNSUPPORTED,
                   "slices are shifted against one another: 3 of 9 lie up to 6.00 mm beside the "
                   "line through the others, the first of them at 39.00 mm (994)");
    put_line(6, 3, 4, 5, 0);
    expect_refused(-1, MF_UNSUPPORTED,
                   "slices are shifted against one another: 1 of 6 lie up to 5.00 mm beside the "
                   "line through the others, the first of them at 39.00 mm (997)");
    put_line(6, 5, 6, 5, 0); /* the last: no tilt either */
    expect_refused(-1, MF_UNSUPPORTED,
                   "slices are shifted against one another: 1 of 6 lie up to 5.00 mm beside the "
                   "line through the others, the first of them at 45.00 mm (999)");
    put_line(6, 2, 3, 0.14, 0); /* less than a tenth of a pixel */
    expect_slices(-1, "10 11 12 13 14 15");
    put_line(6, 0, 0, 0, 3 * tan(15 * M_PI / 180));
    expect_refused(-1, MF_UNSUPPORTED,
                   "slices are shifted against one another (a gantry tilted by 15.0 degrees)\n"
                   "  dcm2niix can straighten such a scan");
    put_line(12, 0, 0, 0, 3 * tan(0.3 * M_PI / 180));
    expect_note(-1,
                ": its slices lie 0.30 degrees off their normal, which is 0.2 mm from the first "
                "to the last; read as if straight");
}
END_TEST

START_TEST(slices_may_come_in_any_way)
{
    const slice uneven[] = {{0, 10}, {1, 11}, {3, 13}, {4, 14}};
    put_slices(uneven, COUNT(uneven));
    expect_refused(-1, MF_UNSUPPORTED,
                   "slices are 4.000 mm apart on average, but 3.000 mm between 30.00 and 33.00 mm: "
                   "one may be missing");
    const slice negative[] = {{1, 11, .between = "-3", .modality = "pt"},
                              {0, 10, .between = "-3", .modality = "pt"}};
    put_slices(negative, COUNT(negative));
    expect_affine(folder, -1, straight);
    expect_slices(-1, "10 11");
    scan notes;
    mf_artifact *a = load(folder, -1, &notes);
    ck_assert_str_eq(mf_artifact_text(a, "modality"), "PET");
    mf_artifact_unref(a);
    put_slices(negative, 1);
    expect_slices(-1, "11");
    const slice slopes[] = {{0, 10, .slope = "1"}, {1, 10, .slope = "2"}, {2, 10, .slope = "0.5"}};
    put_slices(slopes, COUNT(slopes));
    expect_slices(-1, "9 19 4");
    const slice signs[] = {{0, -7, .bits = 32}, {1, -7, .bits = 32, .is_signed = true}};
    put_slices(signs, COUNT(signs)); /* 2^32 - 7 and -7 */
    expect_slices(-1, "4.29497e+09 -7");
    const slice nowhere[] = {{0, 10, .position = ""}};
    put_slices(nowhere, COUNT(nowhere));
    expect_refused(-1, MF_UNSUPPORTED,
                   "/999: does not say where it lies in the patient (0020,0032)");
    const slice skewed[] = {{0, 10, .orientation = "1\\0\\0\\0.1\\1\\0"}};
    put_slices(skewed, COUNT(skewed));
    expect_refused(-1, MF_CORRUPT, "/999: its image orientation is not a right-angled frame");
}
END_TEST

/* What is no part of a folder's content, and so in no key, is not read either: a slice by such a
 * name would be one that nobody notices when it changes. */
START_TEST(what_is_in_no_key_is_not_read)
{
    static const char *const names[] = {"Thumbs.db", "desktop.ini", "._2", ".DS_Store"};
    const slice series[] = {{0, 10}, {1, 11}}, next = {2, 12};
    for (size_t i = 0; i < COUNT(names); i++) {
        put_slices(series, COUNT(series));
        put_slice(&next, names[i]);
        expect_slices(-1, "10 11");
    }
    put_slices(series, COUNT(series));
    put_slice(&next, ".2.dcm"); /* in the key, and not taken: not in silence */
    expect_slices(-1, "10 11");
    expect_note(-1, ": 1 DICOM pictures whose names begin with a dot were left out");
    put_slices(series, COUNT(series));
    put_slice(&next, "thumbs");
    expect_slices(-1, "10 11 12");
}
END_TEST

/* Slices along a normal in steps of 3 mm, with cosines rounded to some decimals or scaled. */
static void put_oblique(int count, int decimals, double scale)
{
    static const double u[3] = {0.9362933635841992, 0.19866933079506122, -0.28962947762551555};
    static const double v[3] = {-0.2752112, 0.9374736, -0.2464387}; /* made right below */
    double w[3], n[3], dot = 0, length = 0;
    for (int i = 0; i < 3; i++)
        dot += u[i] * v[i];
    for (int i = 0; i < 3; i++)
        w[i] = v[i] - dot * u[i], length += w[i] * w[i];
    for (int i = 0; i < 3; i++)
        w[i] /= sqrt(length);
    for (int i = 0; i < 3; i++)
        n[i] = u[(i + 1) % 3] * w[(i + 2) % 3] - u[(i + 2) % 3] * w[(i + 1) % 3];
    empty_folder();
    for (int k = 0; k < count; k++) {
        char position[128], orientation[256], name[16];
        snprintf(position, sizeof position, "%.6f\\%.6f\\%.6f", 1 + 3 * k * n[0], 2 + 3 * k * n[1],
                 3 + 3 * k * n[2]);
        snprintf(orientation, sizeof orientation, "%.*f\\%.*f\\%.*f\\%.*f\\%.*f\\%.*f", decimals,
                 u[0] * scale, decimals, u[1] * scale, decimals, u[2] * scale, decimals,
                 w[0] * scale, decimals, w[1] * scale, decimals, w[2] * scale);
        snprintf(name, sizeof name, "%03d", k);
        put_slice(&(slice){k, 10 + k, .position = position, .orientation = orientation}, name);
    }
    scan notes;
    mf_grid g;
    mf_artifact *a = load(folder, -1, &notes);
    ck_assert_ptr_null(mf_artifact_grid(a, &g));
    double at[3] = {0, 0, count - 1}, world[3], edge[3] = {COLUMNS - 1, ROWS - 1, 0};
    mf_grid_to_world(&g, at, world);
    for (int i = 0; i < 3; i++) { /* the last slice lies where its file says */
        double told = (i < 2 ? -1 : 1) * (1 + i + 3 * (count - 1) * n[i]);
        ck_assert_msg(fabs(world[i] - told) < 1e-3, "%g, not %g", world[i], told);
    }
    mf_grid_to_world(&g, edge, world);
    for (int i = 0; i < 3; i++) { /* cosines within their rounding */
        double told =
            (i < 2 ? -1 : 1) * (1 + i + 1.5 * (COLUMNS - 1) * u[i] + 2 * (ROWS - 1) * w[i]);
        ck_assert_msg(fabs(world[i] - told) < 0.02, "%g, not %g", world[i], told);
    }
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) {
            double product = 0;
            for (int r = 0; r < 3; r++)
                product += g.direction[3 * r + i] * g.direction[3 * r + k];
            ck_assert(fabs(product - (i == k)) < 1e-9);
        }
    for (int i = 0; i < notes.notes; i++)
        ck_assert_ptr_null(strstr(notes.note[i], "normal"));
    mf_artifact_unref(a);
}

START_TEST(rounded_cosines_are_no_tilt)
{
    put_oblique(5, 3, 1);
    put_oblique(40, 3, 1);
    put_oblique(40, 4, 1);
    put_oblique(40, 12, 1);
    put_oblique(5, 6, 0.999);
    put_oblique(40, 6, 1.004);
}
END_TEST

/* ---- folders of several series ----------------------------------------------------------------
 */

static void put_scan_and(const slice *other, int count)
{
    slice s[24];
    for (int k = 0; k < 20; k++)
        s[k] = (slice){k, 10 + k, .number = 3, .series = "1.2.3"};
    memcpy(s + 20, other, (size_t)count * sizeof *other);
    put_slices(s, 20 + count);
}

START_TEST(localizers_are_left_out)
{
    static const char all[] = "10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29";
    static const char token[] = "ORIGINAL\\PRIMARY\\LOCALIZER";
    const slice localizer[] = {{0, 1, .number = 1, .series = "1.2.1", .kind = token},
                               {1, 2, .number = 1, .series = "1.2.1", .kind = token}};
    put_scan_and(localizer, 2);
    expect_slices(-1, all);
    expect_note(-1, "took series 3 and left out 1 (2 files, localizer): ");
    const slice planes[] = {
        {0, 1, .number = 1, .series = "1.2.1"},
        {0, 2, .number = 1, .series = "1.2.1", .orientation = "0\\1\\0\\0\\0\\-1"}};
    put_scan_and(planes, 2);
    expect_slices(-1, all);
    expect_note(-1, "took series 3 and left out 1 (2 files, slices in several planes): ");
    put_scan_and(planes + 1, 1);
    expect_slices(-1, all);
    expect_note(-1, "took series 3 and left out 1 (1 files, few slices in another plane): ");
    const slice captured[] = {{0, 1, .number = 9, .series = "1.2.9", .position = ""}};
    put_scan_and(captured, 1);
    expect_slices(-1, all);
    expect_note(-1, "took series 3 and left out 9 (1 files, no place in the patient): ");
    /* in the scan's own series */
    const slice own[] = {
        {0, 1, .number = 3, .series = "1.2.3", .kind = token, .orientation = "0\\1\\0\\0\\0\\-1"}};
    put_scan_and(own, 1);
    expect_slices(-1, all);
    expect_note(-1, ": 1 localizer pictures in the scan's series were left out");
    /* not clear: two series in the same plane */
    const slice second[] = {{0, 1, .number = 4, .series = "1.2.4"}};
    put_scan_and(second, 1);
    expect_refused(-1, MF_INVALID,
                   "holds 2 series, not one:\n  3: 20 files, MR,  (1.2.3)\n"
                   "  4: 1 files, MR,  (1.2.4)\n  series: NUMBER takes one of them");
    load_options o = defaults(-1);
    scan notes;
    mf_artifact *a = NULL;
    o.read.series = "4";
    ck_assert_ptr_null(load_volume(folder, &o, &notes, &a));
    mf_artifact_unref(a);
}
END_TEST

/* ---- encodings --------------------------------------------------------------------------------
 */

/* The elements of one slice of value 7, around what `extra` puts behind the slice thickness. */
static void put_around(const char *syntax, const char *preamble, size_t size, void (*extra)(void))
{
    empty_folder();
    dcm_begin(&d, syntax, preamble, size);
    dcm_text(&d, 0x00080060, "CS", "CT");
    dcm_text(&d, 0x00180050, "DS", "3");
    if (extra)
        extra();
    dcm_text(&d, 0x0020000e, "UI", "1.2.3");
    dcm_text(&d, 0x00200032, "DS", "-10\\-20\\30");
    dcm_text(&d, 0x00200037, "DS", "1\\0\\0\\0\\1\\0");
    dcm_u16(&d, 0x00280002, 1);
    dcm_u16(&d, 0x00280010, ROWS);
    dcm_u16(&d, 0x00280011, COLUMNS);
    dcm_text(&d, 0x00280030, "DS", "2\\1.5");
    dcm_u16(&d, 0x00280100, 16);
    dcm_u16(&d, 0x00280101, 16);
    dcm_head(&d, 0x7fe00010, "OW", 2 * ROWS * COLUMNS);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        dcm_number(&d, 7, 2);
    dcm_write(&d, inside("one.dcm"));
}

static void unknown(uint32_t tag, uint32_t length)
{
    dcm_head(&d, tag, "UN", length);
}

/* (0019,1001) UN of undefined length: implicit VR inside, whatever is around (PS3.5 6.2.2). */
static void implicit_inside(void)
{
    bool big = d.big;
    unknown(0x00191001, UNDEFINED_LENGTH);
    d.implicit = true;
    d.big = false;
    dcm_item(&d);
    dcm_text(&d, 0x00080100, "SH", "ABCD");
    dcm_text(&d, 0x00200032, "DS", "9\\9\\9"); /* of another picture */
    dcm_sequence(&d, 0x00081140);              /* nested, of undefined length */
    dcm_item(&d);
    dcm_text(&d, 0x00081150, "UI", "1.2.3.44");
    dcm_item_end(&d);
    dcm_sequence_end(&d);
    dcm_item_end(&d);
    dcm_head(&d, 0xfffee000, "", 12); /* an item of given length */
    dcm_text(&d, 0x00080100, "SH", "EFGH");
    dcm_sequence_end(&d);
    d.implicit = false;
    d.big = big;
}

/* As files from before that rule have it. */
static void explicit_inside(void)
{
    unknown(0x00191001, UNDEFINED_LENGTH);
    dcm_item(&d);
    dcm_text(&d, 0x00080100, "SH", "ABCD");
    unknown(0x00191002, UNDEFINED_LENGTH);
    d.implicit = true;
    dcm_item(&d);
    dcm_text(&d, 0x00080100, "SH", "ABCD");
    dcm_item_end(&d);
    dcm_sequence_end(&d);
    d.implicit = false;
    dcm_text(&d, 0x00080102, "SH", "DCM");
    dcm_item_end(&d);
    dcm_sequence_end(&d);
}

static void no_end(void)
{
    unknown(0x00191001, UNDEFINED_LENGTH);
    dcm_head(&d, 0xfffee000, "", 0);
}

static void too_long(void)
{
    unknown(0x00191001, UNDEFINED_LENGTH);
    dcm_head(&d, 0xfffee000, "", 8);
    dcm_head(&d, 0x00080100, "SH", 400);
}

static void too_deep(void)
{
    for (int i = 0; i < 20; i++) {
        dcm_sequence(&d, 0x00081140);
        dcm_item(&d);
    }
}

/* Pixels of an icon, in fragments. */
static void icon(void)
{
    dcm_sequence(&d, 0x00880200);
    dcm_item(&d);
    dcm_u16(&d, 0x00280010, 64);
    dcm_head(&d, 0x7fe00010, "OB", UNDEFINED_LENGTH);
    dcm_head(&d, 0xfffee000, "", 4);
    dcm_bytes(&d, "\377\330\377\331", 4);
    dcm_sequence_end(&d);
    dcm_item_end(&d);
    dcm_sequence_end(&d);
}

START_TEST(hidden_sequences_are_read)
{
    static const char *const syntaxes[] = {EXPLICIT, BIG};
    static void (*const extras[])(void) = {implicit_inside, icon};
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++) {
            put_around(syntaxes[i], "", 0, extras[k]);
            expect_slices(-1, "7");
            expect_affine(folder, -1, straight);
        }
    put_around(EXPLICIT, "", 0, explicit_inside);
    expect_slices(-1, "7");
    put_around(IMPLICIT, "", 0, NULL);
    expect_slices(-1, "7");
    put_around(EXPLICIT, "", 0, no_end);
    expect_refused(-1, MF_CORRUPT,
                   "/one.dcm: damaged DICOM: an element reaches beyond the end of the file");
    put_around(EXPLICIT, "", 0, too_long);
    expect_refused(-1, MF_CORRUPT,
                   "/one.dcm: damaged DICOM: an element reaches beyond the end of the file");
    put_around(EXPLICIT, "", 0, too_deep);
    expect_refused(-1, MF_CORRUPT, "/one.dcm: damaged DICOM: sequences are nested too deep");
}
END_TEST

/* What stands in the preamble may be the beginning of another format. */
START_TEST(the_mark_of_dicom_counts)
{
    static const struct {
        const char *bytes;
        size_t size;
    } heads[] = {{"\134\001\000\000", 4},
                 {"\000\000\001\134", 4},
                 {"\034\002\000\000", 4},
                 {"II*\000", 4},
                 {"MM\000*", 4},
                 {"NRRD0004\n", 9},
                 {"NDims = 3\nDimSize = 2 2 2\n", 26}};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        put_around(EXPLICIT, heads[i].bytes, heads[i].size, NULL);
        expect_slices_of(inside("one.dcm"), -1, "7");
        ck_assert_int_eq(rename(inside("one.dcm"), inside("one.hdr")), 0);
        expect_slices_of(inside("one.hdr"), -1, "7");
    }
}
END_TEST

/* ---- mosaics ----------------------------------------------------------------------------------
 */

typedef struct mosaic {
    int tiles, across;
    const char *csa; /* "1" or "2": which kind; NULL: none */
    double normal[3];
    const char *orientation, *between;
    int tiles_told;
} mosaic;

static void csa_u32(unsigned char **at, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        *(*at)++ = (unsigned char)(v >> 8 * i);
}

/* An element of the CSA header with `count` items, in CSA1 or CSA2. */
static void csa_element(unsigned char **at, bool second, const char *name, int count,
                        const double *v)
{
    memset(*at, 0, 64);
    strcpy((char *)*at, name);
    *at += 64;
    csa_u32(at, (uint32_t)count);
    csa_u32(at, 0);
    csa_u32(at, 4);
    csa_u32(at, 6);
    csa_u32(at, 77);
    for (int i = 0; i < 6; i++) {
        char text[32] = "";
        if (i < count)
            snprintf(text, sizeof text, "%.8f", v[i]);
        uint32_t length = i < count ? (uint32_t)strlen(text) + 1 : 0;
        csa_u32(at, length + (second ? 0 : 6));
        csa_u32(at, length);
        csa_u32(at, 77);
        csa_u32(at, length);
        memcpy(*at, text, (length + 3) / 4 * 4);
        *at += (length + 3) / 4 * 4;
    }
}

static size_t make_csa(unsigned char *bytes, bool second, double tiles, const double normal[3])
{
    unsigned char *at = bytes;
    const double zero = 0;
    if (second) {
        memcpy(at, "SV10\004\003\002\001", 8);
        at += 8;
    }
    csa_u32(&at, 3);
    csa_u32(&at, 77);
    csa_element(&at, second, "EchoLinePosition", 1, &zero);
    csa_element(&at, second, "NumberOfImagesInMosaic", 1, &tiles);
    csa_element(&at, second, "SliceNormalVector", 3, normal);
    return (size_t)(at - bytes);
}

/* Tiles of 2 x 3 pixels; those of tile k have the value `value` + k. */
static void put_mosaic(const mosaic *m, int value, int acquisition)
{
    unsigned char csa[4096];
    char name[32];
    dcm_begin(&d, EXPLICIT, "", 0);
    dcm_text(&d, 0x00080008, "CS", "ORIGINAL\\PRIMARY\\M\\ND\\MOSAIC");
    dcm_text(&d, 0x00080060, "CS", "MR");
    dcm_text(&d, 0x00180050, "DS", "3");
    if (m->between)
        dcm_text(&d, 0x00180088, "DS", "%s", m->between);
    dcm_text(&d, 0x0020000e, "UI", "1.2.3");
    dcm_text(&d, 0x00200012, "IS", "%d", acquisition);
    dcm_text(&d, 0x00200013, "IS", "%d", acquisition);
    dcm_text(&d, 0x00200032, "DS", "-100\\-80\\33");
    dcm_text(&d, 0x00200037, "DS", "%s", m->orientation);
    dcm_u16(&d, 0x00280002, 1);
    dcm_u16(&d, 0x00280010, (unsigned)(2 * m->across));
    dcm_u16(&d, 0x00280011, (unsigned)(3 * m->across));
    dcm_text(&d, 0x00280030, "DS", "2\\1.5");
    dcm_u16(&d, 0x00280100, 16);
    dcm_u16(&d, 0x00280101, 12);
    if (m->csa) {
        int told = m->tiles_told ? m->tiles_told : m->tiles;
        size_t size = make_csa(csa, *m->csa == '2', told, m->normal);
        dcm_text(&d, 0x00290011, "LO", "SIEMENS CSA HEADER");
        dcm_head(&d, 0x00291110, "OB", (uint32_t)size);
        dcm_bytes(&d, csa, size);
    }
    dcm_head(&d, 0x7fe00010, "OW", (uint32_t)(12 * m->across * m->across));
    for (int y = 0; y < 2 * m->across; y++)
        for (int x = 0; x < 3 * m->across; x++) {
            int tile = y / 2 * m->across + x / 3;
            dcm_number(&d, (uint64_t)(tile < m->tiles ? value + tile : 0), 2);
        }
    snprintf(name, sizeof name, "%d", 99 - acquisition);
    dcm_write(&d, inside(name));
}

START_TEST(mosaics_are_read)
{
    /* 5 tiles lie in 3 x 3; the first one's corner is (9 - 3) / 2 pixels right and (6 - 2) / 2 down
     * of the file's position */
    mosaic m = {5, 3, "2", {0, 0, 1}, "1\\0\\0\\0\\1\\0", "3.6", 0};
    const double forward[12] = {-1.5, 0, 0, 95.5, 0, -2, 0, 76, 0, 0, 3.6, 33};
    const double backward[12] = {-1.5, 0, 0, 95.5, 0, -2, 0, 76, 0, 0, 3.6, 33 - 4 * 3.6};
    for (int kind = 0; kind < 2; kind++) {
        m.csa = kind ? "1" : "2";
        m.normal[2] = 1;
        empty_folder();
        put_mosaic(&m, 20, 2);
        put_mosaic(&m, 10, 1);
        expect_slices(0, "10 11 12 13 14");
        expect_slices(1, "20 21 22 23 24");
        expect_affine(folder, 1, forward);
        expect_refused(-1, MF_UNSUPPORTED,
                       "has 5 positions with 2 slices each: a time series\n"
                       "  time: N (from 0) takes one time point");
        m.normal[2] = -1; /* numbered in reverse */
        empty_folder();
        put_mosaic(&m, 10, 1);
        expect_slices(-1, "14 13 12 11 10");
        expect_affine(folder, -1, backward);
    }
    /* Sagittal slices of Siemens go from right to left, against the normal of rows and columns. */
    mosaic sagittal = {2, 2, "2", {-1, 0, 0}, "0\\1\\0\\0\\0\\-1", "4", 0};
    const double side[12] = {0, 0, 4, 100, -1.5, 0, 0, 77.75, 0, -2, 0, 31};
    empty_folder();
    put_mosaic(&sagittal, 10, 1);
    expect_slices(-1, "10 11");
    expect_affine(folder, -1, side);
    sagittal.normal[0] = 1;
    empty_folder();
    put_mosaic(&sagittal, 10, 1);
    expect_slices(-1, "11 10");
}
END_TEST

START_TEST(mosaics_without_their_header_are_refused)
{
    static const char begin[] =
        "/98: is a mosaic, many slices tiled in one picture (Siemens), and ";
    static const char hint[] = "\n  export the series anew as enhanced DICOM, or one slice a file";
    char text[512];
    mosaic m = {5, 3, NULL, {0, 0, 1}, "1\\0\\0\\0\\1\\0", "3.6", 0};
    put_mosaic(&m, 10, 1);
    snprintf(text, sizeof text, "%s%s%s", begin, "its private header (CSA, 0029,1010) is missing",
             hint);
    expect_refused(-1, MF_UNSUPPORTED, text);
    m.csa = "2";
    m.between = NULL;
    put_mosaic(&m, 10, 1);
    expect_refused(-1, MF_UNSUPPORTED,
                   "/98: is a mosaic that does not say how far its slices are apart (0018,0088)");
    m.between = "3.6";
    m.tiles_told = 11;
    put_mosaic(&m, 10, 1);
    expect_refused(-1, MF_CORRUPT, "/98: its 9 x 6 pixels are no mosaic of 11 slices");
    m.tiles_told = 0;
    m.normal[2] = 0.5;
    m.normal[0] = 0.5;
    put_mosaic(&m, 10, 1);
    expect_refused(-1, MF_CORRUPT,
                   "/98: its mosaic's slice normal does not stand upright on its "
                   "image orientation");
}
END_TEST

START_TEST(csa_is_read_within_its_bytes)
{
    unsigned char bytes[4096], *copy;
    const double normal[3] = {0.25, -0.5, 0.75};
    for (int kind = 0; kind < 2; kind++) {
        double got[3] = {0};
        size_t size = make_csa(bytes, kind, 17, normal);
        ck_assert_int_eq(csa_numbers(bytes, size, "NumberOfImagesInMosaic", got, 1), 1);
        ck_assert(got[0] == 17);
        ck_assert_int_eq(csa_numbers(bytes, size, "SliceNormalVector", got, 3), 3);
        ck_assert(got[0] == 0.25 && got[1] == -0.5 && got[2] == 0.75);
        ck_assert_int_eq(csa_numbers(bytes, size, "Nothing", got, 3), 0);
        for (size_t cut = 0; cut < size; cut++) { /* in memory of its own: sanitizers look */
            copy = malloc(cut + 1);
            memcpy(copy, bytes, cut);
            ck_assert_int_le(csa_numbers(copy, cut, "SliceNormalVector", got, 3), 3);
            free(copy);
        }
    }
}
END_TEST

/* ---- multi-frame files ------------------------------------------------------------------------
 */

/* Frames of an enhanced file, in the file's order. */
typedef struct frame {
    int k, value;
    double echo_time;
    int temporal;
    const char *slope, *component;
    bool no_place;
} frame;

static void put_group(uint32_t tag)
{
    dcm_sequence(&d, tag);
    dcm_item(&d);
}

static void end_group(void)
{
    dcm_item_end(&d);
    dcm_sequence_end(&d);
}

static void put_frame(const frame *f)
{
    dcm_item(&d);
    if (f->component) {
        put_group(0x00189226);
        dcm_text(&d, 0x00089007, "CS", "ORIGINAL\\PRIMARY\\VOLUME\\NONE");
        dcm_text(&d, 0x00089208, "CS", "%s", f->component);
        end_group();
    }
    if (f->echo_time > 0) {
        put_group(0x00189114);
        dcm_real(&d, 0x00189082, 1, &f->echo_time);
        end_group();
    }
    put_group(0x00209111);
    if (f->temporal) {
        unsigned t = (unsigned)f->temporal;
        dcm_u32(&d, 0x00209128, 1, &t);
    }
    unsigned dimension[2] = {(unsigned)f->k + 1, (unsigned)f->value / 10};
    dcm_u32(&d, 0x00209157, 2, dimension);
    end_group();
    if (!f->no_place) {
        put_group(0x00209113);
        dcm_text(&d, 0x00200032, "DS", "-10\\-20\\%d", 30 + 3 * f->k);
        end_group();
    }
    if (f->slope) {
        put_group(0x00289145);
        dcm_text(&d, 0x00281052, "DS", "-1");
        dcm_text(&d, 0x00281053, "DS", "%s", f->slope);
        end_group();
    }
    dcm_item_end(&d);
}

static const char *enhanced_kind = "ORIGINAL\\PRIMARY\\VOLUME\\NONE";

static void put_enhanced(const char *syntax, const frame *f, int count, int told)
{
    empty_folder();
    dcm_begin(&d, syntax, "", 0);
    dcm_text(&d, 0x00080008, "CS", "%s", enhanced_kind);
    dcm_text(&d, 0x00080060, "CS", "MR");
    dcm_text(&d, 0x0020000e, "UI", "1.2.3");
    dcm_text(&d, 0x00200013, "IS", "1");
    dcm_u16(&d, 0x00280002, 1);
    dcm_text(&d, 0x00280008, "IS", "%d", told);
    dcm_u16(&d, 0x00280010, ROWS);
    dcm_u16(&d, 0x00280011, COLUMNS);
    dcm_u16(&d, 0x00280100, 16);
    dcm_u16(&d, 0x00280101, 16);
    put_group(0x52009229);
    put_group(0x00209116);
    dcm_text(&d, 0x00200037, "DS", "1\\0\\0\\0\\1\\0");
    end_group();
    put_group(0x00289110);
    dcm_text(&d, 0x00180050, "DS", "3");
    dcm_text(&d, 0x00280030, "DS", "2\\1.5");
    end_group();
    end_group();
    dcm_sequence(&d, 0x52009230);
    for (int i = 0; i < count; i++)
        put_frame(&f[i]);
    dcm_sequence_end(&d);
    dcm_head(&d, 0x7fe00010, "OW", (uint32_t)(2 * ROWS * COLUMNS * count));
    for (int i = 0; i < count * ROWS * COLUMNS; i++)
        dcm_number(&d, (uint64_t)f[i / (ROWS * COLUMNS)].value, 2);
    dcm_write(&d, inside("enhanced"));
}

START_TEST(enhanced_files_are_read)
{
    static const char *const syntaxes[] = {EXPLICIT, IMPLICIT, BIG};
    const frame volume[] = {{2, 12}, {0, 10}, {1, 11}};
    const frame slopes[] = {{2, 12, .slope = "3"}, {0, 10, .slope = "1"}, {1, 11, .slope = "2"}};
    const frame times[] = {{1, 21, .temporal = 2},
                           {0, 10, .temporal = 1},
                           {1, 11, .temporal = 1},
                           {0, 20, .temporal = 2}};
    for (int i = 0; i < 3; i++) {
        put_enhanced(syntaxes[i], volume, 3, 3);
        expect_slices_of(inside("enhanced"), -1, "10 11 12");
        expect_affine(folder, -1, straight);
        put_enhanced(syntaxes[i], slopes, 3, 3);
        expect_slices(-1, "9 21 35");
        put_enhanced(syntaxes[i], times, 4, 4);
        expect_slices(0, "10 11");
        expect_slices(1, "20 21");
        expect_affine(folder, 1, straight);
    }
    expect_refused(-1, MF_UNSUPPORTED,
                   "has 2 positions with 2 slices each: a time series\n"
                   "  time: N (from 0) takes one time point");
    const frame echoes[] = {{0, 20, .echo_time = 10},
                            {0, 10, .echo_time = 5},
                            {1, 11, .echo_time = 5},
                            {1, 21, .echo_time = 10}};
    put_enhanced(EXPLICIT, echoes, 4, 4);
    expect_slices(0, "10 11");
    expect_note(1, ": volume 1 of 2: echo time 10");
    const frame complex[] = {{0, 20, .component = "PHASE"},
                             {0, 10, .component = "MAGNITUDE"},
                             {1, 11, .component = "MAGNITUDE"},
                             {1, 21, .component = "PHASE"}};
    put_enhanced(EXPLICIT, complex, 4, 4);
    expect_slices(0, "10 11");
    expect_slices(1, "20 21");
    /* nothing but the dimension index tells them apart */
    const frame bare[] = {{0, 20}, {0, 10}, {1, 11}, {1, 21}};
    put_enhanced(EXPLICIT, bare, 4, 4);
    expect_slices(0, "10 11");
    expect_slices(1, "20 21");
}
END_TEST

START_TEST(odd_enhanced_files_are_refused)
{
    const frame volume[] = {{0, 10}, {1, 11}, {2, 12}};
    const frame lost[] = {{0, 10}, {1, 11, .no_place = true}, {2, 12}};
    put_enhanced(EXPLICIT, lost, 3, 3);
    expect_refused(-1, MF_UNSUPPORTED,
                   "/enhanced, frame 2: does not say where it lies in the patient (0020,0032)");
    enhanced_kind = "ORIGINAL\\PRIMARY\\FMRI\\MOSAIC"; /* of XA software */
    put_enhanced(EXPLICIT, volume, 3, 3);
    expect_refused(-1, MF_UNSUPPORTED,
                   "/enhanced: is a mosaic, many slices tiled in one picture (Siemens), and its "
                   "private header (CSA, 0029,1010) is missing\n"
                   "  export the series anew as enhanced DICOM, or one slice a file");
    enhanced_kind = "ORIGINAL\\PRIMARY\\VOLUME\\NONE";
    put_enhanced(EXPLICIT, volume, 3, 4);
    expect_refused(-1, MF_CORRUPT, "/enhanced: has 4 frames, but describes 3");
    put_enhanced(EXPLICIT, volume, 3, 2);
    expect_refused(-1, MF_CORRUPT,
                   "/enhanced: damaged DICOM: it describes more frames than it says to have");
    put_enhanced(EXPLICIT, volume, 3, 3);
    ck_assert_int_eq(truncate(inside("enhanced"), (off_t)d.size - 1), 0);
    expect_refused(-1, MF_CORRUPT,
                   "/enhanced: cut off: its header promises 5 x 4 pixels in 3 frames (120 bytes), "
                   "119 are there");
}
END_TEST

/* Frames whose places the file as a whole tells. */
static void put_frames(const char *modality, const char *offsets, const unsigned *slices,
                       const char *between)
{
    empty_folder();
    dcm_begin(&d, EXPLICIT, "", 0);
    dcm_text(&d, 0x00080060, "CS", "%s", modality);
    if (between)
        dcm_text(&d, 0x00180088, "DS", "%s", between);
    dcm_text(&d, 0x0020000e, "UI", "1.2.3");
    if (offsets) {
        dcm_text(&d, 0x00200032, "DS", "-10\\-20\\30");
        dcm_text(&d, 0x00200037, "DS", "1\\0\\0\\0\\1\\0");
    }
    dcm_u16(&d, 0x00280002, 1);
    dcm_text(&d, 0x00280008, "IS", "3");
    dcm_u16(&d, 0x00280010, ROWS);
    dcm_u16(&d, 0x00280011, COLUMNS);
    dcm_text(&d, 0x00280030, "DS", "2\\1.5");
    dcm_u16(&d, 0x00280100, 16);
    dcm_u16(&d, 0x00280101, 16);
    if (slices) {
        put_group(0x00540022);
        dcm_text(&d, 0x00200032, "DS", "-10\\-20\\30");
        dcm_text(&d, 0x00200037, "DS", "1\\0\\0\\0\\1\\0");
        end_group();
        dcm_head(&d, 0x00540080, "US", 6);
        for (int i = 0; i < 3; i++)
            dcm_number(&d, slices[i], 2);
    }
    if (offsets) {
        dcm_text(&d, 0x30040002, "CS", "GY");
        dcm_text(&d, 0x3004000c, "DS", "%s", offsets);
        dcm_text(&d, 0x3004000e, "DS", "0.5");
    }
    dcm_head(&d, 0x7fe00010, "OW", 6 * ROWS * COLUMNS);
    for (int i = 0; i < 3 * ROWS * COLUMNS; i++)
        dcm_number(&d, (uint64_t)(10 + i / (ROWS * COLUMNS)), 2);
    dcm_write(&d, inside("frames"));
}

START_TEST(other_multi_frame_files)
{
    const unsigned slices[3] = {2, 1, 3};
    const double down[12] = {-1.5, 0, 0, 10, 0, -2, 0, 20, 0, 0, 3, 24};
    put_frames("RTDOSE", "0\\3\\6", NULL, NULL);
    expect_slices(-1, "5 5.5 6");
    expect_affine(folder, -1, straight);
    scan notes;
    mf_artifact *a = load(folder, -1, &notes);
    ck_assert_str_eq(mf_artifact_text(a, "unit"), "Gy");
    mf_artifact_unref(a);
    put_frames("RTDOSE", "30\\33\\36", NULL, NULL); /* the patient's z */
    expect_affine(folder, -1, straight);
    put_frames("RTDOSE", "0\\-3\\-6", NULL, NULL);
    expect_slices(-1, "6 5.5 5");
    expect_affine(folder, -1, down);
    put_frames("NM", NULL, slices, "3");
    expect_slices(-1, "11 10 12");
    expect_affine(folder, -1, straight);
    put_frames("NM", NULL, slices, "-3");
    expect_slices(-1, "12 10 11");
    expect_affine(folder, -1, down);
    static const char nowhere[] =
        "/frames: has 3 frames and does not say where each lies in the patient (no functional "
        "groups, offsets or slice vector)";
    put_frames("OT", NULL, NULL, NULL); /* a secondary capture */
    expect_refused(-1, MF_UNSUPPORTED, nowhere);
    put_frames("RTDOSE", "5\\8\\11", NULL, NULL); /* neither from 0 nor from the position */
    expect_refused(-1, MF_UNSUPPORTED, nowhere);
    put_frames("NM", NULL, slices, NULL);
    expect_refused(-1, MF_UNSUPPORTED, nowhere);
}
END_TEST

/* ---- real files -------------------------------------------------------------------------------
 */

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

START_TEST(reported_series)
{
    static const double oblique3[12] = {-1.0769, 1.0946, -1.2904, -1,      -0.1570, -1.3915,
                                        -2.1319, -2,     -1.0323, -0.9303, 1.6703,  3};
    static const double dual[12] = {-1.5, 0, 0, 10, 0, -2, 0, 20, 0, 0, 3, 30};
    if (missing("reports/dicom-un"))
        return;
    for (int i = 0; i < 2; i++) {
        scan notes;
        mf_artifact *a = load(data_path(i ? "reports/dicom-un/un_undef_undef"
                                          : "reports/dicom-un/un_undef_explicit_item"),
                              -1, &notes);
        mf_grid g;
        ck_assert_ptr_null(mf_artifact_grid(a, &g));
        ck_assert_int_eq(g.size[2], 3);
        mf_artifact_unref(a);
        const char *name = i ? "reports/dicom-time-mixed/echoes_numbers_swap"
                             : "reports/dicom-time-mixed/echoes_same_instance_number";
        expect_slices_of(data_path(name), 0, "100 101 102 103");
        expect_slices_of(data_path(name), 1, "200 201 202 203");
    }
    expect_affine(data_path("reports/dicom-un/un_undef_undef"), -1, straight);
    expect_affine(data_path("reports/dicom-dual/only.dcm"), -1, dual);
    expect_affine(data_path("reports/dicom-rounded-iop/scaled_0999"), -1, straight);
    expect_affine(data_path("reports/dicom-rounded-iop/oblique_3_decimals"), -1, oblique3);
    const char *block = data_path("reports/dicom-shifted/middle_block_6mm");
    expect_refused_at(
        block, -1, MF_UNSUPPORTED,
        "slices are shifted against one another: 3 of 9 lie up to 6.00 mm beside the line "
        "through the others, the first of them at 39.00 mm (003.dcm)");
    const char *one = data_path("reports/dicom-shifted/one_slice_5mm");
    expect_refused_at(
        one, -1, MF_UNSUPPORTED,
        "slices are shifted against one another: 1 of 6 lie up to 5.00 mm beside the line "
        "through the others, the first of them at 39.00 mm (003.dcm)");
}
END_TEST

/* A mosaic series of Siemens against the NIfTI file that dcm2niix made of it. */
START_TEST(mosaics_agree_with_their_conversion)
{
    if (missing("dicom/mr_epi_siemens_mosaic") || missing("dicom/mr_epi_siemens_mosaic_ref.nii"))
        return;
    for (int t = 0; t < 2; t++) {
        load_options o = defaults(t);
        scan notes;
        mf_artifact *a = NULL, *b = NULL;
        mf_array *va, *vb;
        mf_grid ga, gb;
        o.orient = "RAS";
        ck_assert_ptr_null(load_volume(data_path("dicom/mr_epi_siemens_mosaic"), &o, &notes, &a));
        ck_assert_ptr_null(
            load_volume(data_path("dicom/mr_epi_siemens_mosaic_ref.nii"), &o, &notes, &b));
        ck_assert_ptr_null(mf_artifact_grid(a, &ga));
        ck_assert_ptr_null(mf_artifact_grid(b, &gb));
        ck_assert(mf_grid_equal(&ga, &gb, 1e-3));
        ck_assert_ptr_null(mf_artifact_array(a, "voxels", &va));
        ck_assert_ptr_null(mf_artifact_array(b, "voxels", &vb));
        mf_array *wide; /* the file's voxels are u16, the conversion's i16 */
        ck_assert_ptr_null(mf_array_convert(va, vb->dtype, &wide));
        ck_assert_mem_eq(wide->data, vb->data, vb->bytes);
        mf_array_unref(va), mf_array_unref(vb), mf_array_unref(wide);
        mf_artifact_unref(a), mf_artifact_unref(b);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dicom");
    TCase *cases = tcase_create("dicom");
    tcase_set_timeout(cases, 300);
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, echoes_are_parted);
    tcase_add_test(cases, other_traits_part_too);
    tcase_add_test(cases, times_part);
    tcase_add_test(cases, mixtures_are_refused);
    tcase_add_test(cases, times_go_on_over_midnight);
    tcase_add_test(cases, patients_are_not_mixed);
    tcase_add_test(cases, meanings_are_not_mixed);
    tcase_add_test(cases, uptake_is_of_all_slices);
    tcase_add_test(cases, odd_rescaling_is_refused);
    tcase_add_test(cases, copies_are_left_out);
    tcase_add_test(cases, shifted_slices_are_refused);
    tcase_add_test(cases, slices_may_come_in_any_way);
    tcase_add_test(cases, what_is_in_no_key_is_not_read);
    tcase_add_test(cases, rounded_cosines_are_no_tilt);
    tcase_add_test(cases, localizers_are_left_out);
    tcase_add_test(cases, hidden_sequences_are_read);
    tcase_add_test(cases, the_mark_of_dicom_counts);
    tcase_add_test(cases, mosaics_are_read);
    tcase_add_test(cases, mosaics_without_their_header_are_refused);
    tcase_add_test(cases, csa_is_read_within_its_bytes);
    tcase_add_test(cases, enhanced_files_are_read);
    tcase_add_test(cases, odd_enhanced_files_are_refused);
    tcase_add_test(cases, other_multi_frame_files);
    tcase_add_test(cases, reported_series);
    tcase_add_test(cases, mosaics_agree_with_their_conversion);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
