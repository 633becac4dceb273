/* chart.c - see chart.h. */
#include "chart.h"
#include "markup.h"
#include <math.h>
#include <stdbool.h>

#define LEFT 52 /* room for the numbers */
#define BOTTOM 30
#define TOP 8
#define RIGHT 10
#define MOST_POINTS 600 /* of one line: a pixel's worth of steps becomes its mean */

void chart_ticks(double low, double high, int most, double *first, double *step)
{
    double rough = (high - low) / (most > 0 ? most : 1);
    double power = pow(10, floor(log10(rough > 0 ? rough : 1)));
    double times = rough / power;

    *step = (times > 5 ? 10 : times > 2 ? 5 : times > 1 ? 2 : 1) * power;
    *first = ceil(low / *step - 1e-9) * *step;
}

void chart_number(double value, double step, char text[32])
{
    int digits = step > 0 && step < 1 ? (int)ceil(-log10(step) - 1e-9) : 0;

    if (fabs(value) < step / 1000)
        value = 0;
    if (fabs(value) >= 1e6 || digits > 6)
        snprintf(text, 32, "%.3g", value);
    else
        snprintf(text, 32, "%.*f", digits, value);
}

typedef struct frame {
    FILE *out;
    double x0, x1, y0, y1; /* values at the edges */
    double width, height;
} frame;

static double at_x(const frame *f, double x)
{
    return LEFT + (x - f->x0) / (f->x1 - f->x0) * (f->width - LEFT - RIGHT);
}

static double at_y(const frame *f, double y)
{
    return f->height - BOTTOM - (y - f->y0) / (f->y1 - f->y0) * (f->height - BOTTOM - TOP);
}

/* False where there is nothing finite to draw. */
static bool find_range(frame *f, const chart_line *lines, size_t count)
{
    bool any = false;

    for (size_t i = 0; i < count; i++) {
        for (int64_t k = 0; k < lines[i].count; k++) {
            double x = lines[i].x[k], y = lines[i].y[k];
            if (!isfinite(x) || !isfinite(y))
                continue;
            f->x0 = any ? fmin(f->x0, x) : x;
            f->x1 = any ? fmax(f->x1, x) : x;
            f->y0 = any ? fmin(f->y0, y) : y;
            f->y1 = any ? fmax(f->y1, y) : y;
            any = true;
        }
    }
    if (f->x1 <= f->x0)
        f->x1 = f->x0 + 1;
    if (f->y1 <= f->y0) {
        f->y0 -= f->y0 > 0 ? f->y0 * 0.05 : 0.5;
        f->y1 += f->y1 > 0 ? f->y1 * 0.05 : 0.5;
    }
    return any;
}

static void draw_axes(const frame *f, const char *x_name)
{
    double first, step;
    char text[32];

    chart_ticks(f->y0, f->y1, 5, &first, &step);
    for (double y = first; y <= f->y1 + step * 1e-6; y += step) {
        chart_number(y, step, text);
        fprintf(f->out,
                "<path d=\"M%d %.1fH%.1f\" stroke=\"#e3e7eb\"/><text x=\"%d\" y=\"%.1f\" "
                "text-anchor=\"end\">%s</text>\n",
                LEFT, at_y(f, y), f->width - RIGHT, LEFT - 6, at_y(f, y) + 3.5, text);
    }
    chart_ticks(f->x0, f->x1, 6, &first, &step);
    for (double x = first; x <= f->x1 + step * 1e-6; x += step) {
        chart_number(x, step, text);
        fprintf(f->out,
                "<path d=\"M%.1f %.1fv4\" stroke=\"#8a939d\"/><text x=\"%.1f\" y=\"%.1f\" "
                "text-anchor=\"middle\">%s</text>\n",
                at_x(f, x), f->height - BOTTOM, at_x(f, x), f->height - BOTTOM + 15, text);
    }
    fprintf(f->out, "<path d=\"M%d %.1fH%.1f\" stroke=\"#8a939d\"/>\n", LEFT, f->height - BOTTOM,
            f->width - RIGHT);
    fprintf(f->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\" fill=\"#5a6470\">",
            f->width - RIGHT, f->height - 3);
    put_text(f->out, x_name);
    fputs("</text>\n", f->out);
}

static void draw_line(const frame *f, const chart_line *l)
{
    int64_t stride = (l->count + MOST_POINTS - 1) / MOST_POINTS;
    bool pen = false;

    fputs("<path fill=\"none\" stroke-width=\"1.5\" stroke-linejoin=\"round\" stroke=\"", f->out);
    fprintf(f->out, "%s\" d=\"", l->color);
    for (int64_t i = 0; i < l->count; i += stride) {
        double x = 0, y = 0;
        int64_t n = 0;
        for (int64_t k = i; k < i + stride && k < l->count; k++, n++) {
            x += l->x[k];
            y += l->y[k];
        }
        if (!isfinite(x) || !isfinite(y)) {
            pen = false;
            continue;
        }
        fprintf(f->out, "%s%.1f %.1f", pen ? "L" : "M", at_x(f, x / (double)n),
                at_y(f, y / (double)n));
        pen = true;
    }
    fputs("\"/>\n", f->out);
}

void chart_draw(FILE *out, const chart_line *lines, size_t count, const char *x_name, double width,
                double height)
{
    frame f = {.out = out, .width = width, .height = height};

    fprintf(out,
            "<svg class=\"chart\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" "
            "font-size=\"10\" fill=\"#20262d\">\n",
            width, height, width, height);
    if (find_range(&f, lines, count)) {
        draw_axes(&f, x_name);
        for (size_t i = 0; i < count; i++)
            draw_line(&f, &lines[i]);
    } else {
        fprintf(out,
                "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"middle\">no number is finite"
                "</text>\n",
                width / 2, height / 2);
    }
    fputs("</svg>\n", out);
}
