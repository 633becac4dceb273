/* dicom_stack.c - see dicom_series.h: the grid of slices that lie behind one another. */
#include "dicom_series.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDED 0.1 /* degrees that cosines of three decimals may be off */
#define TILTED 0.5  /* degrees that are no rounding any more */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *v, size_t count)
{
    qsort(v, count, sizeof *v, by_value);
    return count % 2 ? v[count / 2] : (v[count / 2 - 1] + v[count / 2]) / 2;
}

/* Slices' positions along a row or a column (of `axis`), as a line over the position along the
 * normal. Medians: a few slices that lie elsewhere do not turn it. */
static void fit_line(const dicom_series *s, const double axis[3], double *work, double *at,
                     double *slope)
{
    const dicom_picture *p = s->picture;
    *slope = 0;
    for (size_t i = 1; i < s->count; i++)
        work[i - 1] = (dicom_dot(axis, p[i].position) - dicom_dot(axis, p[i - 1].position)) /
                      (p[i].along - p[i - 1].along);
    if (s->count > 1)
        *slope = median(work, s->count - 1);
    for (size_t i = 0; i < s->count; i++)
        work[i] = dicom_dot(axis, p[i].position) - *slope * p[i].along;
    *at = median(work, s->count);
}

/* The error or note for slices that do not lie straight behind one another: single ones, or all as
 * of a tilted gantry. line: where and slope along rows, then along columns. */
static mf_status check_straight(const char *path, const dicom_series *s, const double line[4],
                                scan *notes)
{
    double least = fmin(s->spacing[0], s->spacing[1]), far = 0;
    double allowed = fmax(0.1, 0.1 * least);
    double slope = hypot(line[1], line[3]), degrees = atan(slope) * 180 / M_PI;
    double across = slope * (s->picture[s->count - 1].along - s->picture[0].along);
    size_t beside = 0, first = 0;
    for (size_t i = 0; i < s->count; i++) {
        const dicom_picture *p = &s->picture[i];
        double x = dicom_dot(s->axis, p->position) - line[0] - line[1] * p->along;
        double y = dicom_dot(s->axis + 3, p->position) - line[2] - line[3] * p->along;
        double off = hypot(x, y);
        if (off > allowed && !beside++)
            first = i;
        far = fmax(far, off);
    }
    if (beside) {
        char name[300];
        dicom_picture_name(&s->picture[first], name);
        return mf_fail(MF_UNSUPPORTED,
                       "%s: slices are shifted against one another: %zu of %zu lie up to %.2f mm "
                       "beside the line through the others, the first of them at %.2f mm (%s)",
                       path, beside, s->count, far, s->picture[first].along, name);
    }
    if (across <= allowed || degrees <= ROUNDED)
        return MF_OK;
    if (degrees > TILTED)
        return mf_hint(mf_fail(MF_UNSUPPORTED,
                               "%s: slices are shifted against one another (a gantry tilted by "
                               "%.1f degrees)",
                               path, degrees),
                       "dcm2niix can straighten such a scan");
    scan_note(notes,
              "%s: its slices lie %.2f degrees off their normal, which is %.1f mm from the first "
              "to the last; read as if straight",
              path, degrees, across);
    return MF_OK;
}

/* The distance between slices, even within a tenth. */
static mf_status check_even(const char *path, const dicom_series *s, double spacing, scan *notes)
{
    double worst = 0;
    for (size_t i = 1; i < s->count; i++) {
        double gap = s->picture[i].along - s->picture[i - 1].along;
        worst = fmax(worst, fabs(gap - spacing));
        if (fabs(gap - spacing) > 0.1 * spacing)
            return mf_fail(MF_UNSUPPORTED,
                           "%s: slices are %.3f mm apart on average, but %.3f mm between %.2f and "
                           "%.2f mm: one may be missing",
                           path, spacing, gap, s->picture[i - 1].along, s->picture[i].along);
    }
    if (worst > 0.01 * spacing)
        scan_note(notes, "%s: slices are not evenly spaced (up to %.3f mm off)", path, worst);
    return MF_OK;
}

static double only_spacing(const char *path, const dicom_picture *p, scan *notes)
{
    double told = fabs(p->frame->between);
    if (!(told > 0))
        told = p->frame->thickness;
    if (told > 0)
        return told;
    scan_note(notes, "%s: does not say how thick its one slice is; taken as 1 mm", path);
    return 1;
}

/* Axes with the third one along the line of slices, where that is off the normal by no more than
 * rounded cosines are: positions are the more exact. */
static void axes_of(const dicom_series *s, const double line[4], double axis[9])
{
    const double *u = s->axis, *v = u + 3, *n = u + 6;
    double slope = hypot(line[1], line[3]), turned[6];
    memcpy(axis, s->axis, 9 * sizeof *axis);
    if (!(slope > 0) || atan(slope) * 180 / M_PI > ROUNDED)
        return;
    double length = sqrt(1 + slope * slope), w[3];
    for (int i = 0; i < 3; i++)
        w[i] = (n[i] + line[1] * u[i] + line[3] * v[i]) / length;
    for (int k = 0; k < 2; k++) {
        const double *a = u + 3 * k;
        double off = dicom_dot(a, w);
        for (int i = 0; i < 3; i++)
            turned[3 * k + i] = a[i] - off * w[i];
    }
    (void)dicom_axes(turned, axis);
}

mf_status dicom_stack(const char *path, const dicom_series *s, mf_grid *grid, scan *notes)
{
    const dicom_picture *first = &s->picture[0], *last = &s->picture[s->count - 1];
    double line[4], axis[9], *work = malloc(s->count * sizeof *work);
    if (!work)
        return mf_no_memory(s->count * sizeof *work, "the slices of %s", path);
    for (int k = 0; k < 2; k++)
        fit_line(s, s->axis + 3 * k, work, &line[2 * k], &line[2 * k + 1]);
    free(work);
    double spacing = s->count > 1 ? (last->along - first->along) / (double)(s->count - 1)
                                  : only_spacing(path, first, notes);
    MF_TRY(check_even(path, s, spacing, notes));
    MF_TRY(check_straight(path, s, line, notes));
    axes_of(s, line, axis);
    grid->spacing[0] = s->spacing[1]; /* the second value is the distance of columns */
    grid->spacing[1] = s->spacing[0];
    grid->spacing[2] = spacing;
    grid->size[0] = s->columns;
    grid->size[1] = s->rows;
    grid->size[2] = (int64_t)s->count;
    for (int i = 0; i < 3; i++) { /* LPS to RAS+ */
        double sign = i < 2 ? -1 : 1;
        grid->origin[i] = sign * first->position[i];
        for (int k = 0; k < 3; k++)
            grid->direction[3 * i + k] = sign * axis[3 * k + i];
    }
    return MF_OK;
}
