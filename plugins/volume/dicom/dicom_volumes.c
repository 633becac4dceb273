/* dicom_volumes.c - see dicom_series.h: which pictures of a series make one volume.
 *
 * At each place lie as many pictures as there are volumes. They are parted by what the file says
 * of them, one trait after another, never by file names:
 *   1. By value, where each value has equally many pictures at every place: image type, echo and
 *      others, then the temporal traits and the dimensions of enhanced files.
 *   2. By order, where values change from slice to slice but are different at each place: the
 *      temporal traits.
 *   3. By the order of instance numbers and frames.
 * What cannot be parted so, or leaves a volume with slices of two kinds, is refused. docs/scans.md
 * tells the order of the volumes. */
#include "dicom_series.h"
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAME_PLACE 1e-3 /* mm */
#define FIRST_TIME DICOM_TEMPORAL

/* A trait: texts of the file first, then texts, numbers and dimensions of the frame. */
enum { REFERENCE, MODALITY, UNIT, PHOTOMETRIC, FILE_TRAITS };
#define TEXT_TRAIT(n) (FILE_TRAITS + (n))
#define NUMBER_TRAIT(n) (TEXT_TRAIT(DICOM_TEXT_COUNT) + (n))
#define DIMENSION_TRAIT(n) (NUMBER_TRAIT(DICOM_NUMBER_COUNT) + (n))
#define TRAITS DIMENSION_TRAIT(DICOM_DIMENSIONS)

typedef struct trait {
    const char *name;
    bool whole; /* the same in all slices of a volume */
} trait;

#define X(id, name, whole) {name, whole},
static const trait traits[TRAITS] = {[REFERENCE] = {"frame of reference", true},
                                     [MODALITY] = {"modality", true},
                                     [UNIT] = {"unit", true},
                                     [PHOTOMETRIC] = {"photometric interpretation", true},
                                     DICOM_TEXTS(X) DICOM_NUMBERS(X)};
#undef X

/* Pictures that are not parted yet: from .. from + count, `each` at every place. */
typedef struct group {
    size_t from, count, each;
} group;

typedef struct parting {
    const char *path;
    dicom_picture *p;
    size_t count, places;
    group *group, *next;
    size_t groups;
    bool parts[TRAITS]; /* has parted something */
} parting;

static const char *trait_name(int t)
{
    return traits[t].name ? traits[t].name : "dimension index";
}

static double number_of(const dicom_picture *p, int t)
{
    if (t < DIMENSION_TRAIT(0))
        return p->frame->number[t - NUMBER_TRAIT(0)];
    return t - DIMENSION_TRAIT(0) < p->frame->dimensions
               ? p->frame->dimension[t - DIMENSION_TRAIT(0)]
               : NAN;
}

static const char *text_of(const dicom_picture *p, int t)
{
    const dicom_header *h = &p->file->h;
    switch (t) {
    // clang-format off
    case REFERENCE: return h->reference;
    case MODALITY: return h->modality;
    case UNIT: return h->units[0] ? h->units : h->dose_units;
    case PHOTOMETRIC: return h->photometric;
    default: return p->frame->text[t - FILE_TRAITS];
        // clang-format on
    }
}

/* Order by one trait; what the file does not say comes last. Numbers that differ by rounding are
 * the same: 1e-4 of the value, times to 0.1 ms. */
static int compare_trait(const dicom_picture *a, const dicom_picture *b, int t)
{
    if (t < NUMBER_TRAIT(0))
        return strcmp(text_of(a, t), text_of(b, t));
    double x = number_of(a, t), y = number_of(b, t);
    if (isnan(x) || isnan(y))
        return isnan(x) - isnan(y);
    bool time = t == NUMBER_TRAIT(DICOM_ACQUIRED) || t == NUMBER_TRAIT(DICOM_CONTENT);
    double room = time ? 1e-4 : 1e-4 * fmax(fabs(x), fabs(y));
    return fabs(x - y) <= room ? 0 : x < y ? -1 : 1;
}

static int compare_instance(const dicom_picture *a, const dicom_picture *b)
{
    int64_t x = a->file->h.instance, y = b->file->h.instance;
    if (x != y)
        return x < y ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

static int by_along(const void *a, const void *b)
{
    double x = ((const dicom_picture *)a)->along, y = ((const dicom_picture *)b)->along;
    return x < y ? -1 : x > y;
}

static int compare_rank_place(const void *a, const void *b)
{
    const dicom_picture *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* qsort has no argument for the comparison. */
static _Thread_local int sorting;

/* Exact, as sorting needs: numbers without the room for rounding. */
static int by_trait(const void *a, const void *b)
{
    const dicom_picture *x = a, *y = b;
    if (sorting >= NUMBER_TRAIT(0)) {
        double v = number_of(x, sorting), w = number_of(y, sorting);
        if (v < w || v > w)
            return v < w ? -1 : 1;
    }
    int order = compare_trait(x, y, sorting);
    return order ? order : compare_instance(x, y);
}

static int by_place_and_trait(const void *a, const void *b)
{
    const dicom_picture *x = a, *y = b;
    if (x->place != y->place)
        return x->place < y->place ? -1 : 1;
    return by_trait(a, b);
}

static int by_place_and_instance(const void *a, const void *b)
{
    const dicom_picture *x = a, *y = b;
    if (x->place != y->place)
        return x->place < y->place ? -1 : 1;
    return compare_instance(x, y);
}

/* ---- places ---------------------------------------------------------------------------------- */

/* "; their echo number, echo time differ", or "". */
static void name_differences(const dicom_series *s, char *text, size_t room)
{
    size_t used = 0;
    *text = 0;
    for (int t = 0; t < TRAITS; t++) {
        bool differs = false;
        for (size_t i = 1; i < s->count && traits[t].whole && !differs; i++)
            differs = compare_trait(&s->picture[0], &s->picture[i], t) != 0;
        if (differs && used + 40 < room)
            used += (size_t)snprintf(text + used, room - used, "%s%s",
                                     used ? ", " : "; they differ in ", trait_name(t));
    }
}

/* Numbers the positions; every one must have equally many pictures. */
static mf_status find_places(const char *path, dicom_series *s, size_t *places)
{
    size_t each = 0;
    *places = 0;
    for (size_t i = 0; i < s->count; i++)
        s->picture[i].along = dicom_dot(s->axis + 6, s->picture[i].position);
    qsort(s->picture, s->count, sizeof *s->picture, by_along);
    for (size_t from = 0, to; from < s->count; from = to, ++*places) {
        double along = s->picture[from].along;
        for (to = from; to < s->count && s->picture[to].along - along <= SAME_PLACE; to++)
            s->picture[to].place = *places;
        if (each && to - from != each) {
            char differences[256];
            name_differences(s, differences, sizeof differences);
            return mf_fail(MF_UNSUPPORTED,
                           "%s: %zu slices lie at %.2f mm where others lie in %zus: the series is "
                           "incomplete or several scans are mixed in it%s",
                           path, to - from, along, each, differences);
        }
        each = to - from;
        if (!(along - along == 0))
            return mf_fail(MF_CORRUPT, "%s: a slice lies nowhere", path);
    }
    return MF_OK;
}

/* ---- parting --------------------------------------------------------------------------------- */

/* Takes ranks of a group's pictures as the new groups, where every rank has equally many pictures
 * at each place. */
static bool accept(parting *w, const group *g, size_t *made)
{
    dicom_picture *p = w->p + g->from;
    qsort(p, g->count, sizeof *p, compare_rank_place);
    *made = 0;
    for (size_t from = 0, to; from < g->count; from = to) {
        for (to = from + 1; to < g->count && p[to].rank == p[from].rank;)
            to++;
        size_t each = (to - from) / w->places;
        if ((to - from) % w->places)
            return false;
        for (size_t i = from; i < to; i++)
            if (p[i].place != (i - from) / each)
                return false;
        w->next[(*made)++] = (group){g->from + from, to - from, each};
    }
    return *made > 1;
}

static bool part_by_value(parting *w, const group *g, int t, size_t *made)
{
    dicom_picture *p = w->p + g->from;
    sorting = t;
    qsort(p, g->count, sizeof *p, by_trait);
    p[0].rank = 0;
    for (size_t i = 1; i < g->count; i++)
        p[i].rank = p[i - 1].rank + (compare_trait(&p[i - 1], &p[i], t) != 0);
    return p[g->count - 1].rank > 0 && accept(w, g, made);
}

static bool part_by_order(parting *w, const group *g, int t, size_t *made)
{
    dicom_picture *p = w->p + g->from;
    sorting = t;
    qsort(p, g->count, sizeof *p, t < 0 ? by_place_and_instance : by_place_and_trait);
    for (size_t i = 0; i < g->count; i++) {
        p[i].rank = i % g->each;
        if (t >= 0 && isnan(number_of(&p[i], t)))
            return false;
        if (!p[i].rank)
            continue;
        if (t < 0 ? !compare_instance(&p[i - 1], &p[i]) : !compare_trait(&p[i - 1], &p[i], t))
            return false;
    }
    return accept(w, g, made);
}

/* Parts all groups that have more than one picture at a place; t < 0: by instance. */
static void part(parting *w, int t, bool by_order)
{
    size_t groups = w->groups;
    for (size_t i = 0; i < groups; i++) {
        size_t made;
        const group g = w->group[i];
        if (g.each < 2)
            continue;
        if (!(by_order ? part_by_order(w, &g, t, &made) : part_by_value(w, &g, t, &made)))
            continue;
        w->group[i] = w->next[0];
        memcpy(w->group + w->groups, w->next + 1, (made - 1) * sizeof *w->group);
        w->groups += made - 1;
        if (t >= 0)
            w->parts[t] = true;
    }
}

/* Whether the order by a time puts other pictures together than the order of instance numbers. */
static bool contradicts(parting *w, const group *g, int t)
{
    dicom_picture *p = w->p + g->from;
    size_t made;
    if (!part_by_order(w, g, -1, &made) || !part_by_order(w, g, t, &made))
        return false;
    qsort(p, g->count, sizeof *p, by_place_and_instance);
    for (size_t i = g->each; i < g->count; i++)
        if (p[i].rank != p[i % g->each].rank)
            return true;
    return false;
}

static mf_status refuse_orders(const parting *w, const group *g, int t)
{
    return mf_fail(MF_UNSUPPORTED,
                   "%s: has %zu slices at each position, and their %ss and instance numbers "
                   "contradict each other on which slices make one volume",
                   w->path, g->each, trait_name(t));
}

/* Times since the last heartbeat need not grow from one volume to the next: where they contradict
 * the instance numbers, the time of acquisition decides. */
static bool may_contradict(int t)
{
    return t == NUMBER_TRAIT(DICOM_TRIGGER) || t == NUMBER_TRAIT(DICOM_REFERENCE);
}

static mf_status part_by_times(parting *w)
{
    int doubt = -1;
    for (int t = NUMBER_TRAIT(FIRST_TIME); t < DIMENSION_TRAIT(0); t++) {
        bool skip = false;
        for (size_t i = 0; i < w->groups; i++) {
            const group g = w->group[i];
            if (g.each < 2 || !contradicts(w, &g, t))
                continue;
            if (!may_contradict(t))
                return refuse_orders(w, &g, t);
            skip = true;
            doubt = t;
        }
        if (!skip)
            part(w, t, true);
    }
    for (size_t i = 0; i < w->groups && doubt >= 0; i++)
        if (w->group[i].each > 1)
            return refuse_orders(w, &w->group[i], doubt);
    return MF_OK;
}

static mf_status part_all(parting *w)
{
    for (int t = 0; t < TRAITS; t++)
        part(w, t, false);
    MF_TRY(part_by_times(w));
    part(w, -1, true);
    return MF_OK;
}

/* ---- one kind a volume ------------------------------------------------------------------------
 */

static void value_text(const dicom_picture *p, int t, char text[96])
{
    static const char *const rescaled[] = {"none", "intercept only", "slope only",
                                           "slope and intercept"};
    if (t < NUMBER_TRAIT(0))
        snprintf(text, 96, "%s", text_of(p, t)[0] ? text_of(p, t) : "none");
    else if (t == NUMBER_TRAIT(DICOM_RESCALED))
        snprintf(text, 96, "%s", rescaled[(int)number_of(p, t) & 3]);
    else if (isnan(number_of(p, t)))
        snprintf(text, 96, "none");
    else
        snprintf(text, 96, "%g", number_of(p, t));
}

/* Image types that differ in their first two values only (ORIGINAL or DERIVED, PRIMARY or
 * SECONDARY) are of one kind. */
static bool same_kind(const dicom_picture *a, const dicom_picture *b, int t)
{
    if (!compare_trait(a, b, t))
        return true;
    if (t != TEXT_TRAIT(DICOM_KIND))
        return false;
    const char *rest[2] = {text_of(a, t), text_of(b, t)};
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++) {
            const char *cut = strchr(rest[i], '\\');
            rest[i] = cut ? cut + 1 : "";
        }
    return !strcmp(rest[0], rest[1]);
}

static mf_status refuse_mixture(const parting *w, const dicom_picture *p, const dicom_picture *q,
                                int t)
{
    char a[96], b[96], file[300], other[300];
    value_text(p, t, a);
    value_text(q, t, b);
    dicom_picture_name(p, file);
    dicom_picture_name(q, other);
    if (t == REFERENCE) { /* unique ids tell the reader nothing */
        if (strcmp(a, "none"))
            strcpy(a, "one");
        if (strcmp(b, "none"))
            strcpy(b, "another");
    }
    return mf_hint(mf_fail(MF_UNSUPPORTED,
                           "%s: slices of several scans are mixed in it, and not every one has a "
                           "slice at each position: their %s is %s at %.2f mm (%s), %s at %.2f mm "
                           "(%s)",
                           w->path, trait_name(t), a, p->along, file, b, q->along, other),
                   "put the files of one scan into a folder of their own");
}

static mf_status check_whole(const parting *w, const group *g)
{
    const dicom_picture *p = w->p + g->from;
    for (int t = 0; t < TRAITS; t++)
        for (size_t i = 1; traits[t].whole && i < g->count; i++) {
            if (!same_kind(&p[0], &p[i], t))
                return refuse_mixture(w, &p[0], &p[i], t);
        }
    return MF_OK;
}

static mf_status check_parted(const parting *w)
{
    for (size_t i = 0; i < w->groups; i++) {
        const group *g = &w->group[i];
        const dicom_picture *p = w->p + g->from;
        MF_TRY(check_whole(w, g));
        if (g->each > 1) {
            char name[300];
            dicom_picture_name(p, name);
            return mf_fail(MF_UNSUPPORTED,
                           "%s: %zu slices lie at %.2f mm that nothing tells apart: their instance "
                           "numbers, times, echoes and image types are the same or contradict one "
                           "another (%s)",
                           w->path, g->each, p[0].along, name);
        }
    }
    return MF_OK;
}

/* ---- order of volumes -------------------------------------------------------------------------
 */

/* Magnitude, phase, real, imaginary; then what is none of them. */
static int component_order(const dicom_picture *p)
{
    static const char *const words[4][5] = {{"M", "MAGNITUDE", "M_FFE", "M_SE", "M_IR"},
                                            {"P", "PHASE", "PHASE MAP", "P_FFE", "P_SE"},
                                            {"R", "REAL", "R_FFE", "R_SE", "R_IR"},
                                            {"I", "IMAGINARY", "I_FFE", "I_SE", "I_IR"}};
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 5; k++)
            if (dicom_has_word(p->frame->text[DICOM_COMPONENT], words[i][k]) ||
                dicom_has_word(p->frame->text[DICOM_KIND], words[i][k]))
                return i;
    return 4;
}

/* What volumes are ordered by, the first difference counting, and by the dimensions of enhanced
 * files after that: only traits that parted volumes, or are one value in each of them. Of the
 * texts, the one with the least instance number comes first.
 */
static const int families[] = {REFERENCE,
                               MODALITY,
                               UNIT,
                               PHOTOMETRIC,
                               TEXT_TRAIT(DICOM_KIND),
                               TEXT_TRAIT(DICOM_COMPONENT),
                               TEXT_TRAIT(DICOM_KERNEL),
                               TEXT_TRAIT(DICOM_COIL)};
static const int order_by[] = {
    NUMBER_TRAIT(DICOM_SEGMENT),   NUMBER_TRAIT(DICOM_ECHO),      NUMBER_TRAIT(DICOM_ECHO_TIME),
    NUMBER_TRAIT(DICOM_INVERSION), NUMBER_TRAIT(DICOM_FLIP),      NUMBER_TRAIT(DICOM_TEMPORAL),
    NUMBER_TRAIT(DICOM_TRIGGER),   NUMBER_TRAIT(DICOM_REFERENCE), NUMBER_TRAIT(DICOM_ACQUISITION),
    NUMBER_TRAIT(DICOM_ACQUIRED),  NUMBER_TRAIT(DICOM_CONTENT)};

typedef struct volume {
    const dicom_picture *least[TRAITS];           /* the picture with the least value */
    const dicom_picture *first;                   /* the one with the least instance number */
    const dicom_picture *family[NUMBER_TRAIT(0)]; /* that of all volumes with the same text */
    size_t from;
} volume;

static _Thread_local const bool *usable; /* of each trait, while volumes are sorted */

static int by_volume(const void *a, const void *b)
{
    const volume *x = a, *y = b;
    int order = component_order(x->first) - component_order(y->first);
    for (size_t i = 0; i < sizeof families / sizeof *families && !order; i++)
        if (usable[families[i]] &&
            compare_trait(x->least[families[i]], y->least[families[i]], families[i]))
            order = compare_instance(x->family[families[i]], y->family[families[i]]);
    for (size_t i = 0; i < sizeof order_by / sizeof *order_by && !order; i++)
        if (usable[order_by[i]])
            order = compare_trait(x->least[order_by[i]], y->least[order_by[i]], order_by[i]);
    for (int t = DIMENSION_TRAIT(0); t < TRAITS && !order; t++)
        if (usable[t])
            order = compare_trait(x->least[t], y->least[t], t);
    if (!order)
        order = compare_instance(x->first, y->first);
    for (int t = 0; t < TRAITS && !order; t++)
        order = compare_trait(x->least[t], y->least[t], t);
    return order;
}

static void measure(const parting *w, const group *g, volume *v, bool *constant)
{
    const dicom_picture *p = w->p + g->from;
    v->from = g->from;
    v->first = p;
    for (size_t i = 1; i < g->count; i++)
        if (compare_instance(&p[i], v->first) < 0)
            v->first = &p[i];
    for (int t = 0; t < TRAITS; t++) {
        v->least[t] = p;
        for (size_t i = 1; i < g->count; i++) {
            int order = compare_trait(&p[i], v->least[t], t);
            constant[t] = constant[t] && !order;
            if (order < 0)
                v->least[t] = &p[i];
        }
    }
}

static void find_families(volume *v, size_t count)
{
    for (size_t f = 0; f < sizeof families / sizeof *families; f++)
        for (size_t i = 0; i < count; i++) {
            int t = families[f];
            v[i].family[t] = v[i].first;
            for (size_t k = 0; k < count; k++)
                if (!compare_trait(v[i].least[t], v[k].least[t], t) &&
                    compare_instance(v[k].first, v[i].family[t]) < 0)
                    v[i].family[t] = v[k].first;
        }
}

/* "echo number 2, echo time 10": what tells a volume from the others. */
static void describe(const bool *differs, const volume *v, char *text, size_t room)
{
    size_t used = 0;
    *text = 0;
    for (int t = 0; t < NUMBER_TRAIT(FIRST_TIME); t++)
        if (differs[t] && used + 160 < room) {
            char value[308] = "that of ";
            if (t == REFERENCE)
                dicom_picture_name(v->least[t], value + strlen(value));
            else
                value_text(v->least[t], t, value);
            used += (size_t)snprintf(text + used, room - used, "%s%s %s", used ? ", " : "",
                                     trait_name(t), value);
        }
}

static mf_status refuse_several(const parting *w, const volume *v, const bool *differs)
{
    char names[256] = "", list[1024] = "", one[256];
    size_t used = 0, written = 0;
    for (int t = 0; t < NUMBER_TRAIT(FIRST_TIME); t++)
        if (differs[t] && used + 40 < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "",
                                     trait_name(t));
    if (!used)
        return mf_hint(mf_fail(MF_UNSUPPORTED,
                               "%s: has %zu positions with %zu slices each: a time series", w->path,
                               w->places, w->groups),
                       "time: N (from 0) takes one time point");
    for (size_t i = 0; i < w->groups && i < 8 && written + 300 < sizeof list; i++) {
        describe(differs, &v[i], one, sizeof one);
        written += (size_t)snprintf(list + written, sizeof list - written, "\n  %zu: %s", i, one);
    }
    return mf_hint(mf_fail(MF_UNSUPPORTED,
                           "%s: has %zu positions with %zu slices each: volumes that differ in %s",
                           w->path, w->places, w->groups, names),
                   "time: N (from 0) takes one of them:%s%s", list, w->groups > 8 ? "\n  ..." : "");
}

static mf_status keep(parting *w, dicom_series *s, int64_t time, scan *notes)
{
    bool may_order[TRAITS], differs[TRAITS] = {false};
    mf_status status = MF_OK;
    volume *v = calloc(w->groups, sizeof *v);
    if (!v)
        return mf_no_memory((size_t)w->groups * sizeof *v, "a list of the volumes of %s", w->path);
    for (int t = 0; t < TRAITS; t++)
        may_order[t] = true;
    for (size_t i = 0; i < w->groups; i++)
        measure(w, &w->group[i], &v[i], may_order);
    for (int t = 0; t < TRAITS; t++) {
        for (size_t i = 1; i < w->groups; i++)
            differs[t] =
                differs[t] || (may_order[t] && compare_trait(v[0].least[t], v[i].least[t], t));
        may_order[t] = may_order[t] || w->parts[t];
    }
    find_families(v, w->groups);
    usable = may_order;
    qsort(v, w->groups, sizeof *v, by_volume);
    if (w->groups > 1 && time < 0)
        status = refuse_several(w, v, differs);
    else if (time >= (int64_t)w->groups)
        status = mf_fail(MF_INVALID, "%s: has %zu time points; time: %lld is not one of them",
                         w->path, w->groups, (long long)time);
    if (!status) {
        char what[256];
        size_t from = v[time < 0 ? 0 : time].from;
        describe(differs, &v[time < 0 ? 0 : time], what, sizeof what);
        if (w->groups > 1)
            scan_note(notes, "%s: %s %lld of %zu%s%s", w->path, *what ? "volume" : "time point",
                      (long long)time, w->groups, *what ? ": " : "", what);
        memmove(s->picture, w->p + from, w->places * sizeof *s->picture);
        s->count = w->places;
    }
    free(v);
    return status;
}

/* ---- one patient ------------------------------------------------------------------------------
 */

/* A series is of one patient and one study; where files say otherwise, no order among them is of
 * use. What they say is not printed: logs lie where others read them. */
static mf_status check_same(const char *path, const dicom_series *s, const char *whose,
                            const char *element, size_t offset)
{
    const char *first = (const char *)&s->picture[0].file->h + offset;
    for (size_t i = 1; i < s->count; i++) {
        const char *other = (const char *)&s->picture[i].file->h + offset;
        char a[300], b[300];
        if (!strcmp(first, other))
            continue;
        dicom_picture_name(&s->picture[0], a);
        dicom_picture_name(&s->picture[i], b);
        return mf_hint(
            mf_fail(MF_UNSUPPORTED,
                    "%s: slices of several %s are mixed in one series: their %s is %s in "
                    "%s, %s in %s",
                    path, whose, element, *first ? "one" : "none", a, *other ? "another" : "none",
                    b),
            "put the files of one scan into a folder of their own");
    }
    return MF_OK;
}

/* ---- midnight --------------------------------------------------------------------------------
 */

#define DAY 86400.0 /* s */

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static bool has_time_alone(const dicom_frame *f, int which)
{
    double day = which == DICOM_ACQUIRED ? f->acquired_day : f->content_day;
    return isnan(day) && !isnan(f->number[which]);
}

/* Times of day without a date, of a scan that went on over midnight: more than half a day lies
 * between those after and those before it. Those after it are put behind. */
static mf_status pass_midnight(const char *path, dicom_series *s, int which, scan *notes)
{
    double *times = malloc(s->count * sizeof *times), until = 0;
    if (!times)
        return mf_no_memory(0, "the times of %s", path);
    size_t count = 0;
    while (count < s->count && has_time_alone(s->picture[count].frame, which)) {
        times[count] = s->picture[count].frame->number[which];
        count++;
    }
    if (count == s->count)
        qsort(times, count, sizeof *times, by_number);
    for (size_t i = 1; count == s->count && i < count; i++)
        if (times[i] - times[i - 1] > DAY / 2)
            until = times[i];
    free(times);
    if (!(until > 0))
        return MF_OK;
    for (size_t i = 0; i < s->files; i++)
        for (int64_t k = 0; k < s->file[i].h.count; k++)
            if (s->file[i].h.frame[k].number[which] < until)
                s->file[i].h.frame[k].number[which] += DAY;
    scan_note(notes,
              "%s: its %ss have no date and lie more than 12 hours apart; taken as a scan over "
              "midnight",
              path, trait_name(NUMBER_TRAIT(which)));
    return MF_OK;
}

mf_status dicom_choose_volume(const char *path, dicom_series *s, int64_t time, scan *notes)
{
    MF_TRY(check_same(path, s, "patients", "Patient ID (0010,0020), or name where that is empty,",
                      offsetof(dicom_header, patient)));
    MF_TRY(check_same(path, s, "studies", "Study Instance UID (0020,000D)",
                      offsetof(dicom_header, study)));
    MF_TRY(pass_midnight(path, s, DICOM_ACQUIRED, notes));
    MF_TRY(pass_midnight(path, s, DICOM_CONTENT, notes));
    parting w = {.path = path, .p = s->picture, .count = s->count};
    MF_TRY(find_places(path, s, &w.places));
    w.group = malloc(s->count * sizeof *w.group);
    w.next = malloc(s->count * sizeof *w.next);
    mf_status status = w.group && w.next ? MF_OK : mf_no_memory(0, "the pictures of %s", path);
    if (!status) {
        w.group[w.groups++] = (group){0, s->count, s->count / w.places};
        status = part_all(&w);
    }
    if (!status)
        status = check_parted(&w);
    if (!status)
        status = keep(&w, s, time, notes);
    free(w.group);
    free(w.next);
    return status;
}
