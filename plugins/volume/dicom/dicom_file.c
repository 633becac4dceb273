/* dicom_file.c - see dicom_file.h. Elements are walked and checked by ourselves, because GDCM
 * (which ITK reads DICOM with) ends the whole process by failed assertions when a file is damaged.
 *
 * Frames are described by the elements of the file, by the shared and the per-frame functional
 * groups of enhanced files (PS3.3, C.7.6.16), by the detectors and vectors of nuclear medicine
 * (C.8.4) and by the offsets of a dose grid (C.8.8.3.2). What stands in any other sequence is of
 * other pictures and not noted. */
#include "dicom_file.h"
#include "dicom_csa.h"
#include "dicom_elements.h"

#include <massflow/memory.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHARED 0x52009229u    /* Shared Functional Groups Sequence */
#define PER_FRAME 0x52009230u /* Per-Frame Functional Groups Sequence */
#define DOSE 0x00540016u      /* Radiopharmaceutical Information Sequence */
#define DETECTOR 0x00540022u  /* Detector Information Sequence */
#define DIFFUSION 0x00189117u /* MR Diffusion Sequence */
#define GRADIENT 0x00189076u  /* Diffusion Gradient Direction Sequence */
#define VALUES 0x00283000u    /* Modality LUT Sequence */
#define PIXELS 0x7fe00010u

/* The functional groups that are looked into. */
static const uint32_t groups[] = {
    0x00209111,             /* Frame Content */
    0x00209113,             /* Plane Position */
    0x00209116,             /* Plane Orientation */
    0x00289110,             /* Pixel Measures */
    0x00289145,             /* Pixel Value Transformation */
    0x00189226,             /* MR Image Frame Type */
    0x00189329,             /* CT Image Frame Type */
    0x00189751,             /* PET Frame Type */
    0x00189114,             /* MR Echo */
    0x00189112,             /* MR Timing and Related Parameters */
    0x00189115,             /* MR Modifier */
    DIFFUSION,  0x00189042, /* MR Receive Coil */
    0x00189314,             /* CT Reconstruction */
    0x00189118,             /* Cardiac Synchronization */
    0x00209310,             /* Temporal Position */
    0x0062000a,             /* Segment Identification */
};

/* Vectors of nuclear medicine: a number for each frame. The first is that of slices. */
static const uint32_t vectors[] = {0x00540080, 0x00540010, 0x00540020, 0x00540060, 0x00540070};
#define VECTORS (sizeof vectors / sizeof *vectors)

/* Private elements: the creator that a block of elements must have, the group, the element. */
typedef enum creator {
    NOBODY,
    SIEMENS_CSA,
    SIEMENS_MR,
    GE_PARM,
    GE_ACQU,
    PHILIPS_IMAGING,
    PHILIPS_MR,
    UNITED_IMAGING
} creator;
static const struct {
    uint16_t group;
    const char *name;
    creator who;
} creators[] = {{0x0029, "SIEMENS CSA HEADER", SIEMENS_CSA},
                {0x0019, "SIEMENS MR HEADER", SIEMENS_MR},
                {0x0051, "SIEMENS MR HEADER", SIEMENS_MR},
                {0x0043, "GEMS_PARM_01", GE_PARM},
                {0x0019, "GEMS_ACQU_01", GE_ACQU},
                {0x2001, "Philips Imaging DD 001", PHILIPS_IMAGING},
                {0x2005, "Philips MR Imaging DD 001", PHILIPS_MR},
                {0x0065, "Image Private Header", UNITED_IMAGING}};
#define PRIVATE(who, group, element) ((uint32_t)(who) << 24 | (uint32_t)(group) << 8 | (element))
#define BLOCKS 16

typedef struct numbers {
    double *v;
    int count;
} numbers;

typedef struct walker {
    dicom_walk r;
    dicom_header *h;
    dicom_frame common; /* what holds for all frames */
    bool grouped;       /* has per-frame functional groups */
    struct {
        uint32_t block; /* group << 8 | number */
        creator who;
    } block[BLOCKS];
    int blocks;
    numbers offsets;         /* Grid Frame Offset Vector */
    numbers vector[VECTORS]; /* of nuclear medicine */
} walker;

static int64_t whole(double v)
{
    return v > -1e15 && v < 1e15 ? (int64_t)v : 0;
}

bool dicom_has_word(const char *values, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = values; at; at = strchr(at, '\\')) {
        at += *at == '\\';
        at += strspn(at, " ");
        char behind = strncmp(at, word, n) ? ' ' : at[n + strspn(at + n, " ")];
        if (!behind || behind == '\\')
            return true;
    }
    return false;
}

double dicom_seconds(const char *text)
{
    int h, m;
    double s;
    return sscanf(text, "%2d%2d%lf", &h, &m, &s) == 3 ? h * 3600 + m * 60 + s : -1;
}

/* Seconds from 1900 to the day of a date yyyymmdd; NAN where it is none. */
static double day_seconds(const char *text)
{
    int y, m, d;
    if (sscanf(text, "%4d%2d%2d", &y, &m, &d) != 3 || m < 1 || m > 12)
        return NAN;
    int from_march = (m + 9) % 12, year = y - (m < 3);
    double days = 365.0 * year + floor(year / 4.0) - floor(year / 100.0) + floor(year / 400.0) +
                  (153 * from_march + 2) / 5 + d - 1;
    return (days - 693901) * 86400; /* 1900-01-01 is day 693901 of this count */
}

/* ---- one frame ------------------------------------------------------------------------------- */

static mf_status one(walker *w, const dicom_element *e, const char *vr, double *to)
{
    double v;
    int count;
    MF_TRY(dicom_numbers(&w->r, e, vr, &v, 1, &count));
    if (count && v - v == 0)
        *to = v;
    return MF_OK;
}

static mf_status several(walker *w, const dicom_element *e, const char *vr, double *to, int wanted,
                         bool *has)
{
    int count;
    MF_TRY(dicom_numbers(&w->r, e, vr, to, wanted, &count));
    *has = count == wanted;
    for (int i = 0; i < count; i++)
        *has = *has && to[i] - to[i] == 0;
    return MF_OK;
}

static mf_status text_trait(walker *w, dicom_frame *f, const dicom_element *e, int trait)
{
    return dicom_text(&w->r, e, f->text[trait], sizeof f->text[trait]);
}

static mf_status note_kind(walker *w, dicom_frame *f, const dicom_element *e)
{
    MF_TRY(text_trait(w, f, e, DICOM_KIND));
    w->h->mosaic = w->h->mosaic || dicom_has_word(f->text[DICOM_KIND], "MOSAIC");
    return MF_OK;
}

/* A date, a time, or both: into the day and the seconds from then on. */
static mf_status moment(walker *w, const dicom_element *e, bool date, bool time, double *day,
                        double *seconds)
{
    char text[40];
    MF_TRY(dicom_text(&w->r, e, text, sizeof text));
    size_t skip = date ? 8 : 0;
    if (date)
        *day = day_seconds(text);
    if (time && strlen(text) > skip && dicom_seconds(text + skip) >= 0)
        *seconds = dicom_seconds(text + skip);
    return MF_OK;
}

/* Where a frame lies. */
static mf_status note_place(walker *w, dicom_frame *f, const dicom_element *e)
{
    switch (e->tag) {
    // clang-format off
    case 0x00180050: return one(w, e, "DS", &f->thickness);
    case 0x00180088: return one(w, e, "DS", &f->between);
    case 0x00200032: return several(w, e, "DS", f->position, 3, &f->has_position);
    case 0x00200037: return several(w, e, "DS", f->orientation, 6, &f->has_orientation);
    case 0x00280030: return several(w, e, "DS", f->spacing, 2, &f->has_spacing);
    default: return MF_OK;
        // clang-format on
    }
}

/* Rescale slope or intercept. */
static mf_status note_rescaling(walker *w, dicom_frame *f, const dicom_element *e, int which)
{
    char text[8];
    double v = NAN;
    int count;
    MF_TRY(dicom_numbers(&w->r, e, "DS", &v, 1, &count));
    MF_TRY(dicom_text(&w->r, e, text, sizeof text));
    if (!count && !text[strspn(text, " ")])
        return MF_OK; /* empty */
    if (!count || !(v - v == 0))
        return dicom_damaged(&w->r, which == DICOM_HAS_SLOPE
                                        ? "its rescale slope is not a number"
                                        : "its rescale intercept is not a number");
    *(which == DICOM_HAS_SLOPE ? &f->slope : &f->intercept) = v;
    f->number[DICOM_RESCALED] = (int)f->number[DICOM_RESCALED] | which;
    return MF_OK;
}

/* When a frame was taken and with what, and how its pixels are scaled. */
static mf_status note_frame(walker *w, dicom_frame *f, const dicom_element *e)
{
    double *v = f->number;
    bool has;
    switch (e->tag) {
    // clang-format off
    case 0x00080008: case 0x00089007: return note_kind(w, f, e);
    case 0x00089208: return text_trait(w, f, e, DICOM_COMPONENT);
    case 0x00181210: return text_trait(w, f, e, DICOM_KERNEL);
    case 0x00181250: return text_trait(w, f, e, DICOM_COIL);
    case 0x00080022: return moment(w, e, true, false, &f->acquired_day, NULL);
    case 0x00080032: return moment(w, e, false, true, NULL, &v[DICOM_ACQUIRED]);
    case 0x0008002a: case 0x00189074:
        return moment(w, e, true, true, &f->acquired_day, &v[DICOM_ACQUIRED]);
    case 0x00080023: return moment(w, e, true, false, &f->content_day, NULL);
    case 0x00080033: return moment(w, e, false, true, NULL, &v[DICOM_CONTENT]);
    case 0x00189151: return moment(w, e, true, true, &f->content_day, &v[DICOM_CONTENT]);
    case 0x00180081: return one(w, e, "DS", &v[DICOM_ECHO_TIME]);
    case 0x00189082: return one(w, e, "FD", &v[DICOM_ECHO_TIME]);
    case 0x00180086: return one(w, e, "IS", &v[DICOM_ECHO]);
    case 0x00180082: return one(w, e, "DS", &v[DICOM_INVERSION]);
    case 0x00189079: return one(w, e, "FD", &v[DICOM_INVERSION]);
    case 0x00181314: return one(w, e, "DS", &v[DICOM_FLIP]);
    case 0x00189087: return one(w, e, "FD", &v[DICOM_B_VALUE]);
    case 0x00189089: return several(w, e, "FD", f->direction, 3, &has);
    case 0x0062000b: return one(w, e, "US", &v[DICOM_SEGMENT]);
    case 0x00200100: return one(w, e, "IS", &v[DICOM_TEMPORAL]);
    case 0x00209128: return one(w, e, "UL", &v[DICOM_TEMPORAL]);
    case 0x00181060: return one(w, e, "DS", &v[DICOM_TRIGGER]);
    case 0x00209153: return one(w, e, "FD", &v[DICOM_TRIGGER]);
    case 0x00541300: return one(w, e, "DS", &v[DICOM_REFERENCE]);
    case 0x0020930d: return one(w, e, "FD", &v[DICOM_REFERENCE]);
    case 0x00200012: return one(w, e, "IS", &v[DICOM_ACQUISITION]);
    case 0x00209156: return one(w, e, "US", &v[DICOM_ACQUISITION]);
    case 0x00281052: return note_rescaling(w, f, e, DICOM_HAS_INTERCEPT);
    case 0x00281053: return note_rescaling(w, f, e, DICOM_HAS_SLOPE);
    case 0x00281054: return text_trait(w, f, e, DICOM_RESCALE_TYPE);
    case 0x00209157:
        return dicom_numbers(&w->r, e, "UL", f->dimension, DICOM_DIMENSIONS, &f->dimensions);
    default: return note_place(w, f, e);
        // clang-format on
    }
}

/* ---- private elements ------------------------------------------------------------------------ */

/* (gggg,00bb) names who made the elements (gggg,bb00) to (gggg,bbff): PS3.5, 7.8. */
static mf_status note_creator(walker *w, const dicom_element *e)
{
    char name[65];
    uint32_t group = e->tag >> 16;
    MF_TRY(dicom_text(&w->r, e, name, sizeof name));
    for (size_t i = 0; i < sizeof creators / sizeof *creators; i++)
        if (creators[i].group == group && !strcmp(creators[i].name, name) && w->blocks < BLOCKS) {
            w->block[w->blocks].block = group << 8 | (e->tag & 0xff);
            w->block[w->blocks++].who = creators[i].who;
        }
    return MF_OK;
}

static creator creator_of(const walker *w, uint32_t tag)
{
    for (int i = 0; i < w->blocks; i++)
        if (w->block[i].block == tag >> 8)
            return w->block[i].who;
    return NOBODY;
}

static mf_status note_csa(walker *w, const dicom_element *e)
{
    unsigned char *bytes;
    size_t size;
    dicom_header *h = w->h;
    double tiles = 0, b;
    MF_TRY(dicom_bytes(&w->r, e, &bytes, &size));
    int found = csa_numbers(bytes, size, "NumberOfImagesInMosaic", &tiles, 1);
    h->has_csa = true;
    h->csa_damaged = found < 0;
    if (found == 1)
        h->tiles = whole(tiles);
    h->has_tile_normal = csa_numbers(bytes, size, "SliceNormalVector", h->tile_normal, 3) == 3;
    if (csa_numbers(bytes, size, "B_value", &b, 1) == 1 && isnan(w->common.number[DICOM_B_PRIVATE]))
        w->common.number[DICOM_B_PRIVATE] = b;
    (void)csa_numbers(bytes, size, "DiffusionGradientDirection", w->common.direction, 3);
    free(bytes);
    return MF_OK;
}

/* 0 to 3: what GE's "raw data type" means. */
static mf_status note_ge_component(walker *w, const dicom_element *e)
{
    static const char *const names[] = {"MAGNITUDE", "PHASE", "REAL", "IMAGINARY"};
    double v = -1;
    MF_TRY(one(w, e, "SS", &v));
    if (v >= 0 && v < 4)
        snprintf(w->common.text[DICOM_COMPONENT], sizeof w->common.text[0], "%s", names[(int)v]);
    return MF_OK;
}

/* GE adds 10^9 to b-values of some sequences. */
static mf_status note_ge_b(walker *w, const dicom_element *e)
{
    double v = NAN;
    MF_TRY(one(w, e, "IS", &v));
    w->common.number[DICOM_B_PRIVATE] = fmod(v, 100000);
    return MF_OK;
}

static mf_status note_private(walker *w, const dicom_element *e)
{
    dicom_frame *f = &w->common;
    double v = 0;
    bool has;
    switch (PRIVATE(creator_of(w, e->tag), e->tag >> 16, e->tag & 0xff)) {
    // clang-format off
    case PRIVATE(SIEMENS_CSA, 0x0029, 0x10): return note_csa(w, e);
    case PRIVATE(SIEMENS_MR, 0x0019, 0x0a):
        MF_TRY(one(w, e, "US", &v));
        w->h->tiles = w->h->tiles ? w->h->tiles : whole(v);
        return MF_OK;
    case PRIVATE(SIEMENS_MR, 0x0019, 0x0c): return one(w, e, "IS", &f->number[DICOM_B_PRIVATE]);
    case PRIVATE(SIEMENS_MR, 0x0019, 0x0e): return several(w, e, "FD", f->direction, 3, &has);
    case PRIVATE(SIEMENS_MR, 0x0051, 0x0f): return text_trait(w, f, e, DICOM_COIL);
    case PRIVATE(GE_PARM, 0x0043, 0x39): return note_ge_b(w, e);
    case PRIVATE(GE_PARM, 0x0043, 0x2f): return note_ge_component(w, e);
    case PRIVATE(GE_ACQU, 0x0019, 0xbb): return one(w, e, "DS", &f->direction[0]);
    case PRIVATE(GE_ACQU, 0x0019, 0xbc): return one(w, e, "DS", &f->direction[1]);
    case PRIVATE(GE_ACQU, 0x0019, 0xbd): return one(w, e, "DS", &f->direction[2]);
    case PRIVATE(PHILIPS_IMAGING, 0x2001, 0x03):
        return one(w, e, "FL", &f->number[DICOM_B_PRIVATE]);
    case PRIVATE(PHILIPS_MR, 0x2005, 0xb0): return one(w, e, "FL", &f->direction[0]);
    case PRIVATE(PHILIPS_MR, 0x2005, 0xb1): return one(w, e, "FL", &f->direction[1]);
    case PRIVATE(PHILIPS_MR, 0x2005, 0xb2): return one(w, e, "FL", &f->direction[2]);
    case PRIVATE(UNITED_IMAGING, 0x0065, 0x09):
        return one(w, e, "FD", &f->number[DICOM_B_PRIVATE]);
    case PRIVATE(UNITED_IMAGING, 0x0065, 0x37): return several(w, e, "FD", f->direction, 3, &has);
    case PRIVATE(UNITED_IMAGING, 0x0065, 0x50):
        MF_TRY(one(w, e, "DS", &v));
        w->h->grid = whole(v);
        return MF_OK;
    default: return MF_OK;
        // clang-format on
    }
}

/* ---- the file -------------------------------------------------------------------------------- */

static mf_status integer(walker *w, const dicom_element *e, const char *vr, int64_t *to)
{
    double v = 0;
    MF_TRY(one(w, e, vr, &v));
    *to = whole(v);
    return MF_OK;
}

static mf_status note_list(walker *w, const dicom_element *e, const char *vr, numbers *list)
{
    int most = e->length < 2 ? 1 : e->length < 1 << 20 ? (int)e->length : 1 << 20, count;
    double *v = realloc(list->v, (size_t)most * sizeof *v);
    if (!v)
        return mf_no_memory((size_t)most * sizeof *v, "the header of %s", w->r.path);
    list->v = v;
    MF_TRY(dicom_numbers(&w->r, e, vr, v, most, &count));
    list->count = count;
    return MF_OK;
}

static mf_status note_dose(walker *w, const dicom_element *e)
{
    dicom_header *h = w->h;
    switch (e->tag) {
    // clang-format off
    case 0x00181072: return dicom_text(&w->r, e, h->dose_start, sizeof h->dose_start);
    case 0x00181074: return one(w, e, "DS", &h->dose_bq);
    case 0x00181075: return one(w, e, "DS", &h->half_life_s);
    default: return MF_OK;
        // clang-format on
    }
}

/* The identifier of the patient, or the name, which stands before it. */
static mf_status note_patient(walker *w, const dicom_element *e)
{
    char text[sizeof w->h->patient];
    MF_TRY(dicom_text(&w->r, e, text, sizeof text));
    if (text[strspn(text, " ")])
        strcpy(w->h->patient, text);
    return MF_OK;
}

/* An element outside of sequences. */
static mf_status note_file(walker *w, const dicom_element *e)
{
    dicom_header *h = w->h;
    dicom_walk *r = &w->r;
    if (e->tag >> 16 & 1) {
        uint32_t number = e->tag & 0xffff;
        return number >= 0x10 && number <= 0xff ? note_creator(w, e) : note_private(w, e);
    }
    for (size_t i = 0; i < VECTORS; i++)
        if (e->tag == vectors[i])
            return note_list(w, e, "US", &w->vector[i]);
    switch (e->tag) {
    // clang-format off
    case 0x00080016: return dicom_text(r, e, h->sop_class, sizeof h->sop_class);
    case 0x00080018: return dicom_text(r, e, h->sop_instance, sizeof h->sop_instance);
    case 0x00080031: return dicom_text(r, e, h->series_time, sizeof h->series_time);
    case 0x00080060: return dicom_text(r, e, h->modality, sizeof h->modality);
    case 0x0008103e: return dicom_text(r, e, h->description, sizeof h->description);
    case 0x00100010: case 0x00100020: return note_patient(w, e);
    case 0x00101030: return one(w, e, "DS", &h->weight_kg);
    case 0x0020000d: return dicom_text(r, e, h->study, sizeof h->study);
    case 0x0020000e: return dicom_text(r, e, h->series, sizeof h->series);
    case 0x00200011: return integer(w, e, "IS", &h->series_number);
    case 0x00200013: return integer(w, e, "IS", &h->instance);
    case 0x00200052: return dicom_text(r, e, h->reference, sizeof h->reference);
    case 0x00280002: return integer(w, e, "US", &h->samples);
    case 0x00280004: return dicom_text(r, e, h->photometric, sizeof h->photometric);
    case 0x00280008: return integer(w, e, "IS", &h->frames);
    case 0x00280010: return integer(w, e, "US", &h->rows);
    case 0x00280011: return integer(w, e, "US", &h->columns);
    case 0x00280100: return integer(w, e, "US", &h->bits);
    case 0x00280101: return integer(w, e, "US", &h->bits_stored);
    case 0x00280102: return integer(w, e, "US", &h->high_bit);
    case 0x00280103: return integer(w, e, "US", &h->is_signed);
    case 0x00541001: return dicom_text(r, e, h->units, sizeof h->units);
    case 0x00541102: return dicom_text(r, e, h->decay, sizeof h->decay);
    case 0x30040002: return dicom_text(r, e, h->dose_units, sizeof h->dose_units);
    case 0x3004000e: return one(w, e, "DS", &h->dose_scaling);
    case 0x3004000c: return note_list(w, e, "DS", &w->offsets);
    default: return note_frame(w, &w->common, e);
        // clang-format on
    }
}

/* Whether a sequence in the innermost open item describes frames, or the dose of a PET tracer. */
static bool is_wanted(const walker *w, uint32_t tag)
{
    uint32_t in = dicom_inside(&w->r, 0);
    if (!in)
        return tag == SHARED || tag == PER_FRAME || tag == DOSE || tag == DETECTOR || tag == VALUES;
    if (in == DIFFUSION)
        return tag == GRADIENT;
    if (in != SHARED && in != PER_FRAME)
        return false;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (tag == groups[i])
            return true;
    return false;
}

/* A value in one of the sequences that are looked into; only their first item counts, but for the
 * frames. */
static mf_status note_nested(walker *w, const dicom_element *e)
{
    const dicom_walk *r = &w->r;
    uint32_t in = dicom_inside(r, 0), group = dicom_inside(r, 1);
    if (in == DOSE)
        return note_dose(w, e);
    if (r->level[r->depth - 1].index > 0)
        return MF_OK;
    if (in == DETECTOR)
        return note_place(w, &w->common, e);
    if (in == GRADIENT)
        group = dicom_inside(r, 2);
    if (group == SHARED)
        return note_frame(w, &w->common, e);
    if (group == PER_FRAME)
        return note_frame(w, &w->h->frame[w->h->count - 1], e);
    return MF_OK;
}

static mf_status add_frame(walker *w)
{
    dicom_header *h = w->h;
    if (h->count >= (h->frames > 1 ? h->frames : 1))
        return dicom_damaged(&w->r, "it describes more frames than it says to have");
    dicom_frame *more = mf_list_more(h->frame, (size_t)h->count, sizeof *more);
    if (!more)
        return mf_no_memory(0, "the header of %s", w->r.path);
    h->frame = more;
    h->frame[h->count++] = w->common;
    return MF_OK;
}

static mf_status note_pixels(walker *w, const dicom_element *e)
{
    dicom_header *h = w->h;
    h->pixel_offset = e->at;
    h->pixel_bytes = w->r.size - e->at;
    h->pixels_in_items = e->length == DICOM_UNDEFINED;
    if (e->length != DICOM_UNDEFINED && e->length < h->pixel_bytes)
        h->pixel_bytes = e->length;
    return MF_OK;
}

/* Elements up to the pixels. */
static mf_status walk(walker *w)
{
    dicom_event event;
    dicom_element e;
    for (;;) {
        MF_TRY(dicom_next(&w->r, &event, &e));
        if (event == DICOM_END)
            return MF_OK;
        if (event == DICOM_SEQUENCE) {
            if (!is_wanted(w, e.tag))
                MF_TRY(dicom_pass(&w->r));
        } else if (event == DICOM_ITEM) {
            if (dicom_inside(&w->r, 0) == PER_FRAME) {
                w->grouped = true;
                MF_TRY(add_frame(w));
            }
            w->h->has_value_table |= dicom_inside(&w->r, 0) == VALUES;
        } else if (event == DICOM_VALUE) {
            bool nested = w->r.depth > 0;
            if (!nested && e.tag == PIXELS)
                return note_pixels(w, &e);
            w->h->real |= !nested && (e.tag == 0x7fe00008 || e.tag == 0x7fe00009);
            if (e.length != DICOM_UNDEFINED && strcmp(e.vr, "SQ") && is_wanted(w, e.tag))
                MF_TRY(dicom_enter(&w->r, &e)); /* a sequence, though the file does not say so */
            else
                MF_TRY(nested ? note_nested(w, &e) : note_file(w, &e));
        }
    }
}

/* Frames that only the file as a whole tells the places of: those of a dose grid and of a tomogram
 * of nuclear medicine. */
static mf_status place_frames(walker *w)
{
    dicom_header *h = w->h;
    dicom_frame *c = &w->common;
    const numbers *slices = &w->vector[0];
    bool dose = w->offsets.count == h->frames, nuclear = slices->count == h->frames;
    double normal[3];
    if (!c->has_position || !c->has_orientation || (!dose && !nuclear) ||
        (!dose && !(fabs(c->between) > 0)))
        return MF_OK;
    const double *u = c->orientation, *v = u + 3;
    for (int i = 0; i < 3; i++)
        normal[i] = u[(i + 1) % 3] * v[(i + 2) % 3] - u[(i + 2) % 3] * v[(i + 1) % 3];
    double length = sqrt(normal[0] * normal[0] + normal[1] * normal[1] + normal[2] * normal[2]);
    if (!(length > 0.5))
        return MF_OK;
    /* offsets begin with 0; or, of transverse frames, with the first one's z, and all are such z */
    double zero = dose ? w->offsets.v[0] : 0;
    if (zero != 0 && (fabs(zero - c->position[2]) > 0.01 || fabs(normal[2]) < 0.999 * length))
        return MF_OK;
    double sign = zero != 0 && normal[2] < 0 ? -1 : 1;
    for (int64_t i = 0; i < h->frames; i++) {
        MF_TRY(add_frame(w));
        dicom_frame *f = &h->frame[i];
        double along = dose ? sign * (w->offsets.v[i] - zero) : (slices->v[i] - 1) * c->between;
        for (int k = 0; k < 3; k++)
            f->position[k] += along * normal[k] / length;
        for (size_t k = 1; k < VECTORS; k++)
            if (w->vector[k].count == h->frames)
                f->dimension[f->dimensions++] = w->vector[k].v[i];
    }
    return MF_OK;
}

static void finish_frame(dicom_frame *f)
{
    const double *g = f->direction;
    if (!isnan(f->acquired_day))
        f->number[DICOM_ACQUIRED] += f->acquired_day;
    if (!isnan(f->content_day))
        f->number[DICOM_CONTENT] += f->content_day;
    if (!isnan(g[0]) && !isnan(g[1]) && !isnan(g[2]))
        snprintf(f->text[DICOM_DIRECTION], sizeof f->text[0], "%.5f %.5f %.5f", g[0], g[1], g[2]);
}

static mf_status walk_marked(walker *w)
{
    dicom_header *h = w->h;
    MF_TRY(walk(w));
    if (!w->grouped && h->frames > 1 && h->frames <= 1 << 20)
        MF_TRY(place_frames(w));
    if (!w->grouped && h->frames <= 1)
        MF_TRY(add_frame(w));
    for (int64_t i = 0; i < h->count; i++)
        finish_frame(&h->frame[i]);
    h->slope = w->common.slope;
    h->intercept = w->common.intercept;
    return MF_OK;
}

static mf_status read_header(walker *w, const char *path, bool *is_dicom)
{
    dicom_header *h = w->h;
    MF_TRY(dicom_open(path, &w->r, is_dicom));
    if (!*is_dicom)
        return MF_OK;
    snprintf(h->syntax, sizeof h->syntax, "%s", w->r.syntax);
    h->big_endian = w->r.big;
    h->deflated_from = w->r.deflated_from;
    h->compressed = w->r.marked && w->r.explicit && !w->r.big && !h->deflated_from &&
                    strcmp(h->syntax, "1.2.840.10008.1.2.1") != 0;
    mf_status status = walk_marked(w);
    if (w->r.marked)
        return status;
    /* Without the mark a file is DICOM when it comes to a picture. */
    *is_dicom = h->sop_class[0] || (h->rows && h->columns);
    if (*is_dicom)
        return status;
    mf_error_free(status);
    dicom_header_free(h);
    return MF_OK;
}

mf_status dicom_header_read(const char *path, dicom_header *header, bool *is_dicom)
{
    walker w = {.h = header};
    *header = (dicom_header){.samples = 1, .high_bit = -1};
    for (int i = 0; i < DICOM_NUMBER_COUNT; i++)
        w.common.number[i] = i == DICOM_RESCALED ? 0 : NAN;
    for (int i = 0; i < 3; i++)
        w.common.direction[i] = NAN;
    w.common.acquired_day = w.common.content_day = NAN;
    mf_status status = read_header(&w, path, is_dicom);
    dicom_close(&w.r);
    free(w.offsets.v);
    for (size_t i = 0; i < VECTORS; i++)
        free(w.vector[i].v);
    if (status)
        dicom_header_free(header);
    return status;
}

void dicom_header_free(dicom_header *h)
{
    free(h->frame);
    h->frame = NULL;
    h->count = 0;
}
