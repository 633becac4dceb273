/* chart.h - axes and lines as SVG. */
#ifndef MF_REPORT_CHART_H
#define MF_REPORT_CHART_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* About `most` round places from low to high: the first one and the step. */
void chart_ticks(double low, double high, int most, double *first, double *step);
/* "0.05", "1200": as many digits as the step needs. */
void chart_number(double value, double step, char text[32]);

typedef struct chart_line {
    const double *x, *y; /* what is not finite breaks the line */
    int64_t count;
    const char *color;
} chart_line;

/* A chart of `width` x `height`: lines over x, y from the least to the greatest value. */
void chart_draw(FILE *out, const chart_line *lines, size_t count, const char *x_name, double width,
                double height);

#endif
