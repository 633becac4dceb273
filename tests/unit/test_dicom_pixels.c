/* Tests of the pixels of DICOM files: each packing gives the voxels that were packed, whatever its
 * fragments look like; a code stream that is not what its header says, or is damaged, is refused in
 * words; and what ends the decoding process is an error here. The files are made here. */
#include "../run_suite.h"
#include "dicom/dicom_pixels.h"
#include "encode.h"
#include "load.h"
#include <check.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define DEFLATED "1.2.840.10008.1.2.1.99"
#define PLAIN "1.2.840.10008.1.2.1"
#define ENCAPSULATED "1.2.840.10008.1.2.1.98"
#define RLE "1.2.840.10008.1.2.5"
#define JPEG_BASELINE "1.2.840.10008.1.2.4.50"
#define JPEG_EXTENDED "1.2.840.10008.1.2.4.51"
#define JPEG_LOSSLESS "1.2.840.10008.1.2.4.70"
#define JPEG_LS "1.2.840.10008.1.2.4.80"
#define JPEG_LS_NEAR "1.2.840.10008.1.2.4.81"
#define JPEG_2000 "1.2.840.10008.1.2.4.90"
#define JPEG_2000_LOSSY "1.2.840.10008.1.2.4.91"

enum { COLUMNS = 37, ROWS = 21, PIXELS = COLUMNS * ROWS };

/* ---- files ----------------------------------------------------------------------------------- */

/* What a file says of its pixels. */
typedef struct about {
    const char *syntax;
    int columns, rows, bits, stored, high, is_signed, frames;
    const char *photometric, *slope, *intercept;
} about;

typedef struct item {
    const unsigned char *bytes;
    size_t size;
} item;

enum { TABLE = 1, NO_END = 2, LENGTH = 4 }; /* how items are written */

static char folder[32], path[64];

static void enter_folder(void)
{
    strcpy(folder, "/tmp/massflow-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.dcm", folder);
}

static void leave_folder(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static about about_of(const char *syntax, int bits, int stored, int is_signed)
{
    return (about){.syntax = syntax,
                   .columns = COLUMNS,
                   .rows = ROWS,
                   .bits = bits,
                   .stored = stored,
                   .high = stored - 1,
                   .is_signed = is_signed,
                   .photometric = "MONOCHROME2"};
}

static void put(FILE *f, uint32_t number, int bytes)
{
    for (int i = 0; i < bytes; i++)
        fputc((int)(number >> 8 * i & 0xff), f);
}

static void put_tag(FILE *f, uint32_t tag)
{
    put(f, tag >> 16, 2);
    put(f, tag & 0xffff, 2);
}

static void put_text(FILE *f, uint32_t tag, const char *vr, const char *text)
{
    size_t n = strlen(text);
    put_tag(f, tag);
    fputs(vr, f);
    put(f, (uint32_t)(n + n % 2), 2);
    fputs(text, f);
    if (n % 2)
        fputc(vr[0] == 'U' ? 0 : ' ', f);
}

static void put_small(FILE *f, uint32_t tag, int value)
{
    put_tag(f, tag);
    fputs("US", f);
    put(f, 2, 2);
    put(f, (uint32_t)value, 2);
}

static void put_header(FILE *f, const about *a)
{
    char frames[16];
    for (int i = 0; i < 128; i++)
        fputc(0, f);
    fputs("DICM", f);
    put_text(f, 0x00020010, "UI", a->syntax);
    put_text(f, 0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.4");
    put_text(f, 0x00080060, "CS", "MR");
    put_text(f, 0x00180050, "DS", "2");
    put_text(f, 0x0020000e, "UI", "1.2.3");
    put_text(f, 0x00200032, "DS", "0\\0\\0");
    put_text(f, 0x00200037, "DS", "1\\0\\0\\0\\1\\0");
    put_small(f, 0x00280002, 1);
    put_text(f, 0x00280004, "CS", a->photometric);
    snprintf(frames, sizeof frames, "%d", a->frames);
    if (a->frames)
        put_text(f, 0x00280008, "IS", frames);
    put_small(f, 0x00280010, a->rows);
    put_small(f, 0x00280011, a->columns);
    put_text(f, 0x00280030, "DS", "1\\1");
    put_small(f, 0x00280100, a->bits);
    put_small(f, 0x00280101, a->stored);
    put_small(f, 0x00280102, a->high);
    put_small(f, 0x00280103, a->is_signed);
    put_small(f, 0x00280120, 4095); /* pixel padding value */
    if (a->slope) {
        put_text(f, 0x00281052, "DS", a->intercept);
        put_text(f, 0x00281053, "DS", a->slope);
    }
}

/* A file of compressed pixels; each item is a fragment. Returns its size. */
static long write_items(const about *a, const item *items, size_t count, int how)
{
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    put_header(f, a);
    put_tag(f, 0x7fe00010);
    fputs("OB", f);
    put(f, 0, 2);
    put(f, how & LENGTH ? 4096 : 0xffffffff, 4);
    put_tag(f, 0xfffee000);
    put(f, how & TABLE ? (uint32_t)(4 * count) : 0, 4);
    for (size_t i = 0, at = 0; i < count && how & TABLE; at += 8 + items[i].size, i++)
        put(f, (uint32_t)at, 4);
    for (size_t i = 0; i < count; i++) {
        put_tag(f, 0xfffee000);
        put(f, (uint32_t)items[i].size, 4);
        fwrite(items[i].bytes, 1, items[i].size, f);
    }
    if (!(how & NO_END)) {
        put_tag(f, 0xfffee0dd);
        put(f, 0, 4);
    }
    long size = ftell(f);
    fclose(f);
    return size;
}

static void write_plain(const about *a, const void *pixels, size_t size)
{
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    put_header(f, a);
    put_tag(f, 0x7fe00010);
    fputs("OW", f);
    put(f, 0, 2);
    put(f, (uint32_t)size, 4);
    fwrite(pixels, 1, size, f);
    fclose(f);
}

/* ---- pixels ---------------------------------------------------------------------------------- */

/* What a picture of so many bits holds at pixel i: slopes, flat parts and its extremes. */
static int64_t value_of(int i, int bits, bool is_signed)
{
    int64_t range = (int64_t)1 << bits, x = i % COLUMNS, y = i / COLUMNS;
    int64_t v = i == 5 ? range - 1 : i == 6 ? 0 : (x * x * 7 + y * y * 5 + (x * y) % 11) % range;
    if (y == 3)
        v = range / 3;
    return is_signed ? v - range / 2 : v;
}

/* Stored as two's complement of `bits` bits in its element; raw: without a sign beyond them. */
static picture picture_of(int bits, bool is_signed, bool raw, uint32_t room[PIXELS])
{
    for (int i = 0; i < PIXELS; i++) {
        uint32_t v = (uint32_t)value_of(i, bits, is_signed);
        if (raw && bits < 32)
            v &= ((uint32_t)1 << bits) - 1;
        if (bits <= 8)
            ((uint8_t *)room)[i] = (uint8_t)v;
        else if (bits <= 16)
            ((uint16_t *)room)[i] = (uint16_t)v;
        else
            room[i] = v;
    }
    return (picture){room, COLUMNS, ROWS, bits, is_signed};
}

static double voxel(const mf_array *v, int64_t i)
{
    mf_array *wide;
    ck_assert_ptr_null(mf_array_convert(v, MF_F64, &wide));
    double value = ((const double *)wide->data)[i];
    mf_array_unref(wide);
    return value;
}

static mf_status load(const char *from, mf_array **voxels)
{
    const load_options o = {
        .read = {-1, NULL}, .orient = "keep", .crop = "none", .modality = "auto"};
    scan s;
    mf_artifact *a = NULL;
    MF_TRY(load_volume(from, &o, &s, &a));
    mf_status status = mf_artifact_array(a, "voxels", voxels);
    mf_artifact_unref(a);
    return status;
}

/* Each voxel is value_of(i, bits, is_signed) * slope + intercept, or `near` beside it. */
static void expect_voxels(const char *what, int bits, bool is_signed, double slope,
                          double intercept, double near)
{
    mf_array *v, *wide;
    mf_status status = load(path, &v);
    char *text = status ? mf_error_text(status) : NULL;
    ck_assert_msg(!status, "%s of %d bits: %s", what, bits, text);
    ck_assert_ptr_null(mf_array_convert(v, MF_F64, &wide));
    ck_assert_int_eq(mf_array_count(v), PIXELS);
    for (int i = 0; i < PIXELS; i++) {
        double wanted = (double)value_of(i, bits, is_signed) * slope + intercept;
        double got = ((const double *)wide->data)[i];
        ck_assert_msg(fabs(got - wanted) <= near, "%s of %d bits: %g for %g at %d", what, bits, got,
                      wanted, i);
    }
    mf_array_unref(wide);
    mf_array_unref(v);
}

static void expect_refusal(mf_code code, const char *rest)
{
    mf_array *v = NULL;
    mf_status status = load(path, &v);
    ck_assert_msg(status, "no error, but: %s", rest);
    char wanted[2048], *text = mf_error_text(status);
    snprintf(wanted, sizeof wanted, "%s%s", path, rest);
    ck_assert_str_eq(text, wanted);
    ck_assert_int_eq(mf_error_code(status), code);
    free(text);
    mf_error_free(status);
}

#define SOURCE "\n  one of the two was changed after the scan; copy the file from its source again"

static const char *const lossless_syntaxes[] = {RLE, JPEG_LOSSLESS, JPEG_LS, JPEG_2000};

static unsigned char *encode(const char *syntax, const picture *p, size_t *size)
{
    if (!strcmp(syntax, RLE))
        return encode_rle(p, size);
    if (!strcmp(syntax, JPEG_LOSSLESS))
        return encode_jpeg(p, true, size);
    if (!strcmp(syntax, JPEG_LS))
        return encode_jpeg_ls(p, 0, size);
    return encode_jpeg_2000(p, 0, size);
}

/* JPEG and JPEG-LS know no sign, and take the bits as they are. */
static bool takes_bits(const char *syntax)
{
    return !strcmp(syntax, JPEG_LOSSLESS) || !strcmp(syntax, JPEG_LS);
}

/* ---- right ----------------------------------------------------------------------------------- */

START_TEST(lossless_packings_give_what_was_packed)
{
    static const struct {
        int bits, stored;
        bool is_signed;
    } kinds[] = {{8, 8, false},   {8, 8, true},   {8, 6, false},   {16, 12, false}, {16, 12, true},
                 {16, 16, false}, {16, 16, true}, {32, 32, false}, {32, 32, true}};
    uint32_t room[PIXELS];
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (size_t s = 0; s < 4; s++) {
            const char *syntax = lossless_syntaxes[s];
            if (kinds[k].bits > 16 && s)
                continue;
            about a = about_of(syntax, kinds[k].bits, kinds[k].stored, kinds[k].is_signed);
            picture p = picture_of(kinds[k].stored, kinds[k].is_signed, takes_bits(syntax), room);
            size_t size;
            unsigned char *made = encode(syntax, &p, &size);
            write_items(&a, &(item){made, size}, 1, 0);
            expect_voxels(syntax, kinds[k].stored, kinds[k].is_signed, 1, 0, 0);
            a.slope = "2";
            a.intercept = "-1024";
            if (kinds[k].bits < 32) {
                write_items(&a, &(item){made, size}, 1, TABLE);
                expect_voxels(syntax, kinds[k].stored, kinds[k].is_signed, 2, -1024, 0);
            }
            free(made);
        }
}
END_TEST

/* DICOM allows a code stream of 16 bits where 12 are stored: the others do not count. */
START_TEST(streams_of_more_bits_than_are_stored)
{
    uint32_t room[PIXELS];
    for (size_t s = 0; s < 4; s++)
        for (int is_signed = 0; is_signed < 2; is_signed++) {
            const char *syntax = lossless_syntaxes[s];
            about a = about_of(syntax, 16, 12, is_signed);
            picture p = picture_of(12, is_signed, false, room);
            size_t size;
            p.bits = 16;
            if (!is_signed) /* an overlay in the bits that are free */
                ((uint16_t *)room)[9] |= 0x8000;
            unsigned char *made = encode(syntax, &p, &size);
            write_items(&a, &(item){made, size}, 1, 0);
            expect_voxels(syntax, 12, is_signed, 1, 0, 0);
            free(made);
        }
    /* Fewer bits than are stored mean the same where no sign is to be guessed. */
    about a = about_of(JPEG_LOSSLESS, 16, 16, 0);
    picture p = picture_of(12, false, true, room);
    size_t size;
    unsigned char *made = encode_jpeg(&p, true, &size);
    write_items(&a, &(item){made, size}, 1, 0);
    expect_voxels("JPEG", 12, false, 1, 0, 0);
    free(made);
}
END_TEST

/* Near-lossless JPEG-LS is off by what was allowed at most. Lossy JPEG at its best quality rounds
 * 64 coefficients of an orthonormal transform to whole numbers: a pixel is off by the root of the
 * sum of 64 times 0.25 at most, and by 1 for the rounding of the pixel and of the transform. */
START_TEST(lossy_packings_stay_near)
{
    uint32_t room[PIXELS];
    size_t size;
    for (int bits = 8; bits <= 16; bits += 4)
        for (int is_signed = 0; is_signed < 2; is_signed++) {
            about a = about_of(JPEG_LS_NEAR, bits > 8 ? 16 : 8, bits, is_signed);
            /* The encoder knows no sign: it takes the least value for a neighbour of the greatest,
             * which are not in the picture. */
            picture p = picture_of(bits - is_signed, is_signed, false, room);
            p.bits = bits;
            for (int i = 0; i < PIXELS && bits == 12; i++)
                ((uint16_t *)room)[i] &= 0xfff;
            unsigned char *made = encode_jpeg_ls(&p, 3, &size);
            write_items(&a, &(item){made, size}, 1, 0);
            expect_voxels("JPEG-LS", bits - is_signed, is_signed, 1, 0, 3);
            free(made);
        }
    for (int bits = 8; bits <= 12; bits += 4) {
        about a = about_of(bits == 8 ? JPEG_BASELINE : JPEG_EXTENDED, bits > 8 ? 16 : 8, bits, 0);
        picture p = picture_of(bits, false, true, room);
        unsigned char *made = encode_jpeg(&p, false, &size);
        write_items(&a, &(item){made, size}, 1, 0);
        expect_voxels("JPEG", bits, false, 1, 0, 5);
        free(made);
    }
}
END_TEST

/* The signal-to-noise ratio that the encoder was asked for. */
START_TEST(lossy_jpeg_2000_keeps_its_quality)
{
    uint32_t room[PIXELS];
    size_t size;
    for (int bits = 8; bits <= 16; bits += 4)
        for (int is_signed = 0; is_signed < 2; is_signed++) {
            about a = about_of(JPEG_2000_LOSSY, bits > 8 ? 16 : 8, bits, is_signed);
            picture p = picture_of(bits, is_signed, false, room);
            unsigned char *made = encode_jpeg_2000(&p, 50, &size);
            write_items(&a, &(item){made, size}, 1, 0);
            mf_array *v;
            ck_assert_ptr_null(load(path, &v));
            double sum = 0, peak = ldexp(1, bits) - 1;
            for (int i = 0; i < PIXELS; i++)
                sum += pow(voxel(v, i) - (double)value_of(i, bits, is_signed), 2);
            double ratio = 10 * log10(peak * peak / (sum / PIXELS));
            ck_assert_msg(ratio >= 49 && ratio < 90, "%d bits: %g dB", bits, ratio);
            mf_array_unref(v);
            free(made);
        }
}
END_TEST

START_TEST(plain_pixels_in_a_fragment_and_stored_bits)
{
    uint32_t room[PIXELS];
    for (int bits = 8; bits <= 32; bits *= 2)
        for (int is_signed = 0; is_signed < 2; is_signed++) {
            int stored = bits == 32 ? 32 : bits - 2;
            about a = about_of(ENCAPSULATED, bits, stored, is_signed);
            picture p = picture_of(stored, is_signed, true, room);
            size_t size = (size_t)(PIXELS * bits / 8);
            unsigned char even[PIXELS * 4 + 1] = {0};
            memcpy(even, p.pixels, size);
            write_items(&a, &(item){even, size + size % 2}, 1, 0);
            expect_voxels("in a fragment", stored, is_signed, 1, 0, 0);
            a.syntax = PLAIN;
            write_plain(&a, room, size);
            expect_voxels("plain", stored, is_signed, 1, 0, 0);
        }
}
END_TEST

/* What a picture looks like is none of the reader's business: MONOCHROME1 (white is least) and the
 * padding value are handed on as they are stored. */
START_TEST(stored_values_are_not_turned_round)
{
    uint32_t room[PIXELS];
    size_t size;
    picture p = picture_of(12, false, true, room);
    for (size_t s = 0; s < 4; s++) {
        about a = about_of(lossless_syntaxes[s], 16, 12, 0);
        a.photometric = "MONOCHROME1";
        unsigned char *made = encode(a.syntax, &p, &size);
        write_items(&a, &(item){made, size}, 1, 0);
        expect_voxels("MONOCHROME1", 12, false, 1, 0, 0);
        free(made);
    }
}
END_TEST

/* Cuts a stream into three fragments of even sizes. */
static void part(const unsigned char *made, size_t size, item parts[3])
{
    size_t third = size / 3 & ~(size_t)1;
    parts[0] = (item){made, third};
    parts[1] = (item){made + third, third};
    parts[2] = (item){made + 2 * third, size - 2 * third};
}

START_TEST(frames_of_several_fragments)
{
    uint32_t room[PIXELS];
    size_t size;
    picture p = picture_of(12, false, true, room);
    for (size_t s = 1; s < 4; s++) {
        about a = about_of(lossless_syntaxes[s], 16, 12, 0);
        unsigned char *made = encode(a.syntax, &p, &size), *padded = calloc(1, size + 10);
        item parts[3];
        part(made, size, parts);
        write_items(&a, parts, 3, 0);
        expect_voxels("three fragments", 12, false, 1, 0, 0);
        memcpy(padded, made, size);
        write_items(&a, &(item){padded, size + 10}, 1, 0);
        expect_voxels("padded", 12, false, 1, 0, 0);
        free(padded);
        free(made);
    }
    about a = about_of(RLE, 16, 12, 0);
    unsigned char *made = encode_rle(&p, &size), *padded = calloc(1, size + 10);
    memcpy(padded, made, size);
    write_items(&a, &(item){padded, size + 10}, 1, 0);
    expect_voxels("padded RLE", 12, false, 1, 0, 0);
    item parts[3];
    part(made, size, parts);
    write_items(&a, parts, 3, 0);
    expect_refusal(MF_CORRUPT, ": its pixels do not match its header: the header says 1 frame, its "
                               "RLE pixels are 3");
    free(padded);
    free(made);
}
END_TEST

/* Frame k of three is value_of(i, 12 bits) + k. */
static void expect_frames(const char *what)
{
    dicom_header h;
    bool is;
    dicom_reader r = {0};
    ck_assert_ptr_null(dicom_header_read(path, &h, &is));
    ck_assert_int_eq(h.frames, 3);
    for (int k = 2; k >= 0; k--) {
        mf_array *v;
        mf_status status = dicom_frame_read(&r, path, &h, k, &v);
        char *text = status ? mf_error_text(status) : NULL;
        ck_assert_msg(!status, "%s: %s", what, text);
        ck_assert_int_eq(v->rank, 3);
        ck_assert_int_eq(v->shape[1], ROWS);
        ck_assert_int_eq(v->shape[2], COLUMNS);
        for (int i = 0; i < PIXELS; i++)
            ck_assert_int_eq(((uint16_t *)v->data)[i], (value_of(i, 12, false) + k) & 0xfff);
        mf_array_unref(v);
    }
    dicom_reader_close(&r);
}

START_TEST(frames)
{
    uint32_t room[PIXELS];
    uint16_t all[3 * PIXELS];
    item whole[3], parts[9];
    for (size_t s = 0; s < 4; s++) {
        about a = about_of(lossless_syntaxes[s], 16, 12, 0);
        a.frames = 3;
        for (int k = 0; k < 3; k++) {
            picture p = picture_of(12, false, true, room);
            for (int i = 0; i < PIXELS; i++)
                all[k * PIXELS + i] = ((uint16_t *)room)[i] =
                    (uint16_t)((((uint16_t *)room)[i] + k) & 0xfff);
            whole[k].bytes = encode(a.syntax, &p, &whole[k].size);
            part(whole[k].bytes, whole[k].size, parts + 3 * k);
        }
        write_items(&a, whole, 3, 0);
        expect_frames("whole");
        write_items(&a, whole, 3, TABLE);
        expect_frames("whole, with a table");
        if (s) {
            write_items(&a, parts, 9, 0);
            expect_frames("in parts");
        }
        a.syntax = PLAIN;
        write_plain(&a, all, sizeof all);
        expect_frames("plain");
        for (int k = 0; k < 3; k++)
            free((void *)whole[k].bytes);
    }
}
END_TEST

/* Deflates the file behind its file header, whose last element says so. */
static void deflate_file(void)
{
    unsigned char bytes[1 << 14], packed[1 << 14];
    const size_t head = 132 + 8 + strlen(DEFLATED);
    FILE *f = fopen(path, "rb");
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    z_stream z = {.next_in = bytes + head,
                  .avail_in = (uInt)(n - head),
                  .next_out = packed,
                  .avail_out = sizeof packed};
    ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    f = fopen(path, "wb");
    fwrite(bytes, 1, head, f);
    fwrite(packed, 1, z.total_out, f);
    fclose(f);
    (void)deflateEnd(&z);
}

START_TEST(deflated_files)
{
    uint32_t room[PIXELS];
    picture p = picture_of(12, true, false, room);
    about a = about_of(DEFLATED, 16, 12, 1);
    write_plain(&a, p.pixels, PIXELS * 2);
    deflate_file();
    expect_voxels("deflated", 12, true, 1, 0, 0);
    FILE *f = fopen(path, "rb");
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    fclose(f);
    ck_assert_int_eq(truncate(path, size - 40), 0);
    expect_refusal(MF_CORRUPT, ": cut off: it ends inside its deflated elements");
    f = fopen(path, "r+b");
    fseek(f, 162, SEEK_SET); /* the first byte that is deflated: a block of no kind */
    fputc(0xff, f);
    fclose(f);
    expect_refusal(MF_CORRUPT, ": damaged DICOM: its deflated elements: invalid block type");
}
END_TEST

/* ---- refused --------------------------------------------------------------------------------- */

/* A stream of another size, sign, width or packing than the header says. */
START_TEST(streams_that_are_not_what_the_header_says)
{
    uint32_t room[PIXELS];
    size_t size;
    picture p = picture_of(16, false, true, room);
    p.rows = 20;
    about a = about_of(RLE, 16, 16, 0);
    unsigned char *made = encode_rle(&p, &size);
    write_items(&a, &(item){made, size}, 1, 0);
    expect_refusal(MF_CORRUPT,
                   ": its pixels do not match its header: the header says 37 x 21 pixels of 16 "
                   "bits, unsigned; byte 1 of its RLE pixels has 740 values, not 777" SOURCE);
    a.rows = 19;
    write_items(&a, &(item){made, size}, 1, 0);
    expect_refusal(MF_CORRUPT,
                   ": its pixels do not match its header: the header says 37 x 19 pixels of 16 "
                   "bits, unsigned; byte 1 of its RLE pixels has 740 values, not 703" SOURCE);
    a = about_of(RLE, 8, 8, 0);
    write_items(&a, &(item){made, size}, 1, 0);
    expect_refusal(MF_CORRUPT,
                   ": its pixels do not match its header: the header says 37 x 21 pixels of 8 "
                   "bits, unsigned; its RLE pixels have 2 bytes each" SOURCE);
    free(made);

    a = about_of(JPEG_2000, 16, 16, 0);
    made = encode_jpeg_2000(&p, 0, &size);
    write_items(&a, &(item){made, size}, 1, 0);
    expect_refusal(MF_CORRUPT,
                   ": its pixels do not match its header: the header says 37 x 21 pixels "
                   "of 16 bits, unsigned; the JPEG 2000 stream has 37 x 20 of 16 bits, "
                   "unsigned" SOURCE);
    a.rows = 20;
    a.is_signed = 1;
    write_items(&a, &(item){made, size}, 1, 0);
    expect_refusal(MF_CORRUPT,
                   ": its pixels do not match its header: the header says 37 x 20 pixels "
                   "of 16 bits, signed; the JPEG 2000 stream has 37 x 20 of 16 bits, "
                   "unsigned" SOURCE);
    a = about_of(JPEG_LS, 16, 16, 0);
    write_items(&a, &(item){made, size}, 1, 0);
    expect_refusal(MF_CORRUPT, ": damaged DICOM: its first fragment does not begin a frame");
    free(made);

    made = encode_jpeg_ls(&p, 0, &size);
    a.columns = 20;
    a.rows = 37;
    write_items(&a, &(item){made, size}, 1, 0);
    expect_refusal(MF_CORRUPT,
                   ": its pixels do not match its header: the header says 20 x 37 pixels "
                   "of 16 bits, unsigned; the JPEG-LS stream has 37 x 20 of 16 "
                   "bits" SOURCE);
    a = about_of(JPEG_LOSSLESS, 16, 16, 0);
    write_items(&a, &(item){made, size}, 1, 0);
    expect_refusal(MF_UNSUPPORTED, ": its pixels do not match its header: the header says lossless "
                                   "JPEG, the stream is of another process (marker fff7)");
    free(made);

    p = picture_of(8, false, true, room);
    made = encode_jpeg_ls(&p, 0, &size);
    a = about_of(JPEG_LS, 16, 16, 0);
    write_items(&a, &(item){made, size}, 1, 0);
    expect_refusal(MF_CORRUPT,
                   ": its pixels do not match its header: the header says 37 x 21 pixels "
                   "of 16 bits, unsigned; the JPEG-LS stream has 37 x 21 of 8 "
                   "bits" SOURCE);
    free(made);
    p = picture_of(12, true, true, room);
    made = encode_jpeg(&p, true, &size);
    a = about_of(JPEG_LOSSLESS, 16, 16, 1);
    write_items(&a, &(item){made, size}, 1, 0);
    expect_refusal(MF_CORRUPT,
                   ": its pixels do not match its header: the header says 37 x 21 pixels "
                   "of 16 bits, signed; the lossless JPEG stream has 37 x 21 of 12 "
                   "bits" SOURCE);
    a = about_of(JPEG_BASELINE, 8, 8, 0);
    write_items(&a, &(item){made, size}, 1, 0);
    expect_refusal(MF_UNSUPPORTED,
                   ": its pixels do not match its header: the header says JPEG, the "
                   "stream is of another process (marker ffc3)");
    free(made);
}
END_TEST

/* Of a lossy stream with more bits than are stored, the values decide. */
START_TEST(lossy_values_beyond_the_stored_bits)
{
    uint32_t room[PIXELS];
    size_t size;
    picture p = picture_of(13, false, true, room);
    about a = about_of(JPEG_LS_NEAR, 16, 12, 0);
    unsigned char *made = encode_jpeg_ls(&p, 1, &size);
    write_items(&a, &(item){made, size}, 1, 0);
    expect_refusal(MF_CORRUPT,
                   ": its pixels do not match its header: the header says 37 x 21 pixels "
                   "of 12 of 16 bits, unsigned; its values reach from 0 to 8191" SOURCE);
    a.is_signed = 1;
    write_items(&a, &(item){made, size}, 1, 0);
    expect_refusal(MF_CORRUPT,
                   ": its pixels do not match its header: the header says 37 x 21 pixels "
                   "of 12 of 16 bits, signed; the JPEG-LS stream has 37 x 21 of 13 "
                   "bits" SOURCE);
    a = about_of(JPEG_LS_NEAR, 16, 14, 0);
    write_items(&a, &(item){made, size}, 1, 0);
    expect_voxels("of fewer bits", 13, false, 1, 0, 1);
    free(made);
    p = picture_of(8, true, true, room);
    made = encode_jpeg(&p, false, &size);
    a = about_of(JPEG_BASELINE, 8, 8, 1);
    write_items(&a, &(item){made, size}, 1, 0);
    expect_refusal(MF_UNSUPPORTED, ": has signed pixels in lossy JPEG, which cannot hold them");
    free(made);
}
END_TEST

START_TEST(frames_that_are_not_there)
{
    uint32_t room[PIXELS];
    size_t size;
    picture p = picture_of(12, false, true, room);
    for (size_t s = 0; s < 4; s++) {
        static const char *const names[] = {"RLE", "lossless JPEG", "JPEG-LS", "JPEG 2000"};
        char text[256];
        about a = about_of(lossless_syntaxes[s], 16, 12, 0);
        unsigned char *made = encode(a.syntax, &p, &size);
        const item twice[2] = {{made, size}, {made, size}};
        write_items(&a, twice, 2, TABLE);
        snprintf(text, sizeof text,
                 ": its pixels do not match its header: the header says 1 frame, its %s pixels are "
                 "2",
                 names[s]);
        expect_refusal(MF_CORRUPT, text);
        a.frames = 1;
        write_items(&a, twice, 0, 0);
        snprintf(text, sizeof text,
                 ": its pixels do not match its header: the header says 1 frame, its %s pixels are "
                 "0",
                 names[s]);
        expect_refusal(MF_CORRUPT, text);
        /* two streams in one fragment */
        unsigned char *both = malloc(2 * size);
        memcpy(both, made, size);
        memcpy(both + size, made, size);
        write_items(&a, &(item){both, 2 * size}, 1, 0);
        snprintf(text, sizeof text,
                 ": its pixels do not match its header: a second %s stream follows the first",
                 names[s]);
        if (s)
            expect_refusal(MF_CORRUPT, text);
        else
            expect_refusal(MF_CORRUPT,
                           ": its pixels do not match its header: the header says 37 x 21 pixels "
                           "of 12 of 16 bits, unsigned; byte 2 of its RLE pixels has 2611 values, "
                           "not 777" SOURCE);
        free(both);
        free(made);
    }
    about a = about_of(PLAIN, 16, 16, 0);
    dicom_header h;
    bool is;
    dicom_reader r = {0};
    mf_array *v;
    a.frames = 3;
    write_plain(&a, room, sizeof room);
    ck_assert_ptr_null(dicom_header_read(path, &h, &is));
    mf_status status = dicom_frame_read(&r, path, &h, 0, &v);
    ck_assert_msg(status, "frames that are not there were read");
    ck_assert_ptr_nonnull(strstr(mf_error_message(status),
                                 ": cut off: its header promises 37 x 21 pixels of 3 frames (1554 "
                                 "bytes each), 3108 bytes are there"));
    mf_error_free(status);
    dicom_reader_close(&r);
}
END_TEST

START_TEST(what_the_header_says_of_bits)
{
    uint32_t room[PIXELS] = {0};
    about a = about_of(PLAIN, 16, 12, 0);
    a.high = 15;
    write_plain(&a, room, PIXELS * 2);
    expect_refusal(MF_UNSUPPORTED,
                   ": its 12 stored bits end at bit 15, not at bit 11\n  readers disagree on what "
                   "such a file holds; (0028,0102) High Bit should be Bits Stored - 1");
    a = about_of(PLAIN, 8, 12, 0);
    write_plain(&a, room, PIXELS * 2);
    expect_refusal(MF_CORRUPT, ": damaged DICOM: it stores 12 bits in 8");
    a = about_of(PLAIN, 16, 12, 2);
    write_plain(&a, room, PIXELS * 2);
    expect_refusal(MF_CORRUPT, ": damaged DICOM: its pixel representation is 2");
    a = about_of(PLAIN, 12, 12, 0);
    write_plain(&a, room, PIXELS * 2);
    expect_refusal(MF_UNSUPPORTED, ": has pixels of 12 bits");
    a = about_of(PLAIN, 16, 16, 0);
    write_items(&a, &(item){(unsigned char *)room, PIXELS * 2}, 1, 0);
    expect_refusal(MF_CORRUPT,
                   ": damaged DICOM: its pixels lie in items, as compressed ones do, but "
                   "its transfer syntax is a plain one");
    a.syntax = RLE;
    write_items(&a, &(item){(unsigned char *)room, PIXELS * 2}, 1, LENGTH);
    expect_refusal(MF_CORRUPT, ": damaged DICOM: its compressed pixels do not lie in items");
    a.syntax = "1.2.840.10008.1.2.4.201";
    write_items(&a, &(item){(unsigned char *)room, PIXELS * 2}, 1, 0);
    expect_refusal(MF_UNSUPPORTED,
                   ": its pixels are compressed as transfer syntax 1.2.840.10008.1.2.4.201 says, "
                   "which is not read\n  RLE, JPEG, JPEG-LS and JPEG 2000 are read; dcmdjpeg, "
                   "dcmdrle or gdcmconv --raw decompress a file");
    a.syntax = ENCAPSULATED;
    write_items(&a, &(item){(unsigned char *)room, PIXELS}, 1, 0);
    expect_refusal(MF_CORRUPT,
                   ": its pixels do not match its header: the header says 37 x 21 pixels "
                   "of 16 bits, unsigned; it has 777 bytes of pixels" SOURCE);
}
END_TEST

/* Damage that is no matter of the header. */
START_TEST(damaged_streams)
{
    uint32_t room[PIXELS];
    size_t size;
    picture p = picture_of(12, false, true, room);
    about a = about_of(RLE, 16, 12, 0);
    unsigned char *made = encode_rle(&p, &size);
    write_items(&a, &(item){made, 20}, 1, 0);
    expect_refusal(MF_CORRUPT,
                   ": its pixels do not match its header: the header says 37 x 21 pixels of 12 of "
                   "16 bits, unsigned; its RLE pixels are 20 bytes, too few" SOURCE);
    write_items(&a, &(item){made, 40}, 1, 0);
    expect_refusal(MF_CORRUPT, ": its RLE pixels are damaged: they are cut off");
    made[8] = 63; /* the second segment begins before the first */
    made[9] = 0;
    write_items(&a, &(item){made, 600}, 1, 0);
    expect_refusal(MF_CORRUPT, ": its RLE pixels are damaged: byte 1 of each lies from 64 to 63 of "
                               "600");
    free(made);
    for (size_t s = 1; s < 4; s++) {
        static const char *const names[] = {"", "lossless JPEG", "JPEG-LS", "JPEG 2000"};
        char text[256];
        a = about_of(lossless_syntaxes[s], 16, 12, 0);
        made = encode(a.syntax, &p, &size);
        write_items(&a, &(item){made, size / 2 & ~(size_t)1}, 1, 0);
        snprintf(text, sizeof text, ": its %s pixels are damaged: they are cut off", names[s]);
        expect_refusal(MF_CORRUPT, text);
        free(made);
    }
}
END_TEST

/* Cut at any place a file is never read; with any byte changed it is read or refused, and other
 * files are read after it. */
START_TEST(damage_anywhere_is_survived)
{
    uint32_t room[PIXELS];
    size_t size;
    picture p = picture_of(12, false, true, room);
    for (size_t s = 0; s < 4; s++) {
        about a = about_of(lossless_syntaxes[s], 16, 12, 0);
        unsigned char *made = encode(a.syntax, &p, &size);
        long length = write_items(&a, &(item){made, size}, 1, 0);
        unsigned char *bytes = malloc((size_t)length);
        FILE *f = fopen(path, "rb");
        ck_assert_uint_eq(fread(bytes, 1, (size_t)length, f), (size_t)length);
        fclose(f);
        for (long at = length - 1; at > 400; at -= at > length - 12 ? 1 : 23) {
            mf_array *v = NULL;
            ck_assert_int_eq(truncate(path, at), 0);
            mf_status status = load(path, &v);
            ck_assert_msg(status, "%s cut to %ld of %ld bytes was read", a.syntax, at, length);
            mf_error_free(status);
        }
        dicom_reader r = {0};
        for (long at = length - (long)size - 16; at < length; at += 3) {
            mf_array *v = NULL;
            dicom_header h;
            bool is;
            unsigned char was = bytes[at];
            bytes[at] ^= (unsigned char)(1 << at % 8);
            f = fopen(path, "wb");
            fwrite(bytes, 1, (size_t)length, f);
            fclose(f);
            bytes[at] = was;
            ck_assert_ptr_null(dicom_header_read(path, &h, &is));
            mf_status status = dicom_frame_read(&r, path, &h, 0, &v);
            if (status)
                ck_assert_msg(mf_error_code(status) == MF_CORRUPT ||
                                  mf_error_code(status) == MF_UNSUPPORTED,
                              "byte %ld: %s", at, mf_error_message(status));
            else
                mf_array_unref(v);
            mf_error_free(status);
            dicom_header_free(&h);
        }
        dicom_reader_close(&r);
        free(bytes);
        free(made);
    }
}
END_TEST

/* ---- the decoding process -------------------------------------------------------------------- */

static char broken_program[4096];

/* tests/unit/broken_decoder.c does what the number of columns says. */
static mf_status run_broken(decoder *d, uint32_t columns, mf_array **pixels)
{
    const decode_request r = {
        .kind = DECODE_JPEG_2000, .columns = columns, .rows = 2, .bits = 8, .bytes = 4};
    d->program = broken_program;
    return decoder_run(d, "a.dcm", "JPEG 2000", &r, (const unsigned char *)"1234", MF_U8, pixels);
}

static void expect_broken(uint32_t columns, mf_code code, const char *wanted)
{
    decoder d = {0};
    mf_array *pixels = NULL;
    mf_status status = run_broken(&d, columns, &pixels);
    ck_assert_msg(status, "no error, but: %s", wanted);
    char *text = mf_error_text(status);
    ck_assert_str_eq(text, wanted);
    ck_assert_int_eq(mf_error_code(status), code);
    ck_assert(d.running == (columns == 5)); /* which only said no */
    free(text);
    mf_error_free(status);
    /* The next frame gets a process of its own. */
    ck_assert_ptr_null(run_broken(&d, 1, &pixels));
    ck_assert_int_eq(((uint8_t *)pixels->data)[1], '2');
    mf_array_unref(pixels);
    decoder_close(&d);
}

START_TEST(a_crash_of_the_decoder_is_an_error)
{
    expect_broken(
        100 + SIGSEGV, MF_CORRUPT,
        "a.dcm: the decoder of its JPEG 2000 pixels ended by signal 11 (SIGSEGV); the file "
        "is damaged");
    expect_broken(
        100 + SIGABRT, MF_CORRUPT,
        "a.dcm: the decoder of its JPEG 2000 pixels ended by signal 6 (SIGABRT); the file "
        "is damaged");
    expect_broken(100 + SIGXCPU, MF_CORRUPT,
                  "a.dcm: its JPEG 2000 pixels were not decoded within 20 s of processor time; the "
                  "file is damaged");
    expect_broken(100 + SIGKILL, MF_IO,
                  "a.dcm: the decoder of its JPEG 2000 pixels was killed by signal 9 (SIGKILL)");
    expect_broken(2, MF_IO, "a.dcm: the decoder of its JPEG 2000 pixels ended with exit status 3");
    expect_broken(3, MF_CORRUPT,
                  "a.dcm: its decoder gave an answer that is none; the file is damaged");
    expect_broken(4, MF_CORRUPT,
                  "a.dcm: its decoder gave an answer that is none; the file is damaged");
    expect_broken(5, MF_CORRUPT, "a.dcm: its JPEG 2000 pixels are damaged: ?[1mred?");
    expect_broken(6, MF_IO, "a.dcm: the decoder of its JPEG 2000 pixels ended with exit status 4");
}
END_TEST

static mf_status stop_now(void *of)
{
    ++*(int *)of;
    return mf_fail(MF_CANCELLED, "stopped");
}

/* One that never answers is left when a stop is asked for, and is gone afterwards. */
START_TEST(a_stop_ends_the_wait)
{
    int asked = 0;
    decoder d = {.stop = stop_now, .of = &asked};
    mf_array *pixels = NULL;
    mf_status status = run_broken(&d, 7, &pixels);
    ck_assert_msg(status, "no error");
    ck_assert_str_eq(mf_error_message(status), "stopped");
    ck_assert_int_eq(asked, 1);
    ck_assert(!d.running);
    ck_assert_int_eq(kill(d.pid, 0), -1);
    ck_assert_int_eq(errno, ESRCH);
    mf_error_free(status);
}
END_TEST

START_TEST(a_decoder_that_never_answers)
{
    decoder d = {.timeout = 1};
    mf_array *pixels = NULL;
    mf_status status = run_broken(&d, 7, &pixels);
    ck_assert_msg(status, "no error");
    ck_assert_str_eq(mf_error_message(status), "a.dcm: the decoder of its JPEG 2000 pixels gave no "
                                               "answer within 1 s; the file is damaged");
    ck_assert(!d.running);
    mf_error_free(status);
}
END_TEST

START_TEST(a_decoder_that_is_not_there)
{
    decoder d = {.program = "/nowhere/massflow-decode"};
    const decode_request r = {.columns = 1, .rows = 1, .bits = 8};
    mf_array *pixels = NULL;
    mf_status status = decoder_run(&d, "a.dcm", "JPEG", &r, NULL, MF_U8, &pixels);
    char *text = mf_error_text(status);
    ck_assert_str_eq(text,
                     "a.dcm: its pixels cannot be decoded: /nowhere/massflow-decode cannot be "
                     "started: No such file or directory\n  it is a part of massflow: build or "
                     "install massflow again");
    free(text);
    mf_error_free(status);
}
END_TEST

/* ---- reported files -------------------------------------------------------------------------- */

static bool find_report(const char *name)
{
    const char *root = getenv("MASSFLOW_DATA");
    static char found[1024];
    snprintf(found, sizeof found, "%s/reports/dicom-crash/%s", root ? root : "../shared/data",
             name);
    unlink(path);
    if (!access(found, R_OK)) {
        char *full = realpath(found, NULL);
        ck_assert_int_eq(symlink(full, path), 0);
        free(full);
        return true;
    }
    printf("skipped: %s is not there\n", found);
    return false;
}

#define MISMATCH ": its pixels do not match its header: the header says "

START_TEST(reported_files)
{
    static const struct {
        const char *name, *rest;
    } rows[] = {{"j2k_code128_hdr64.dcm", MISMATCH
                 "64 x 64 pixels of 16 bits, unsigned; the JPEG 2000 stream has 128 x 128 of 16 "
                 "bits, unsigned" SOURCE},
                {"damaged_j2k.dcm", MISMATCH
                 "64 x 64 pixels of 16 bits, unsigned; the JPEG 2000 stream has 222 x 64 of 16 "
                 "bits, unsigned" SOURCE},
                {"jls_code64_hdr128.dcm", MISMATCH
                 "128 x 128 pixels of 16 bits, unsigned; the JPEG-LS stream has 64 x 64 of 16 "
                 "bits" SOURCE},
                {"jls_code8_hdr16.dcm", MISMATCH
                 "64 x 64 pixels of 16 bits, unsigned; the JPEG-LS stream has 64 x 64 of 8 "
                 "bits" SOURCE},
                {"j2k_code64_hdr128.dcm", MISMATCH
                 "128 x 128 pixels of 16 bits, unsigned; the JPEG 2000 stream has 64 x 64 of 16 "
                 "bits, unsigned" SOURCE},
                {"jls_code128_hdr64.dcm", MISMATCH
                 "64 x 64 pixels of 16 bits, unsigned; the JPEG-LS stream has 128 x 128 of 16 "
                 "bits" SOURCE},
                {"rle_code128_hdr64.dcm", MISMATCH
                 "64 x 64 pixels of 16 bits, unsigned; byte 1 of its RLE pixels has 16384 values, "
                 "not 4096" SOURCE}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (find_report(rows[i].name))
            expect_refusal(MF_CORRUPT, rows[i].rest);
    static const char *const doses[] = {"rtdose_no_number_of_frames_rle.dcm",
                                        "rtdose_one_frame_rle.dcm"};
    for (size_t i = 0; i < 2; i++) {
        mf_array *v;
        if (!find_report(doses[i]))
            continue;
        ck_assert_ptr_null(load(path, &v));
        ck_assert_int_eq(mf_array_count(v), 256);
        static const int first[] = {149, 83, 1, 193, 33, 119, 36, 186}; /* as pydicom has them */
        for (int k = 0; k < 8; k++) /* dose grid scaling: 0.001 */
            ck_assert_float_eq((float)voxel(v, k), (float)(first[k] * 0.001));
        mf_array_unref(v);
    }
}
END_TEST

int main(void)
{
    ssize_t n = readlink("/proc/self/exe", broken_program, sizeof broken_program - 32);
    if (n <= 0)
        return 1;
    broken_program[n] = 0;
    strcpy(strrchr(broken_program, '/') + 1, "broken_decoder");
    Suite *suite = suite_create("dicom_pixels");
    TCase *cases = tcase_create("pixels");
    tcase_set_timeout(cases, 300);
    tcase_add_checked_fixture(cases, enter_folder, leave_folder);
    tcase_add_test(cases, lossless_packings_give_what_was_packed);
    tcase_add_test(cases, streams_of_more_bits_than_are_stored);
    tcase_add_test(cases, lossy_packings_stay_near);
    tcase_add_test(cases, lossy_jpeg_2000_keeps_its_quality);
    tcase_add_test(cases, plain_pixels_in_a_fragment_and_stored_bits);
    tcase_add_test(cases, stored_values_are_not_turned_round);
    tcase_add_test(cases, frames_of_several_fragments);
    tcase_add_test(cases, frames);
    tcase_add_test(cases, deflated_files);
    tcase_add_test(cases, streams_that_are_not_what_the_header_says);
    tcase_add_test(cases, lossy_values_beyond_the_stored_bits);
    tcase_add_test(cases, frames_that_are_not_there);
    tcase_add_test(cases, what_the_header_says_of_bits);
    tcase_add_test(cases, damaged_streams);
    tcase_add_test(cases, damage_anywhere_is_survived);
    tcase_add_test(cases, a_crash_of_the_decoder_is_an_error);
    tcase_add_test(cases, a_stop_ends_the_wait);
    tcase_add_test(cases, a_decoder_that_never_answers);
    tcase_add_test(cases, a_decoder_that_is_not_there);
    tcase_add_test(cases, reported_files);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
