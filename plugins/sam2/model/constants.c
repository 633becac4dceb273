/* constants.c - see constants.h. */
#include "constants.h"

#include <math.h>

/* ---- the trunk's position embedding ------------------------------------------------------------
 */

/* Where pixel o of `to` lies among `from`, and its four weights. */
static int64_t cubic(int64_t o, int64_t from, int64_t to, double weights[4])
{
    const double a = -0.75;
    double at = ((double)o + 0.5) * (double)from / (double)to - 0.5, first = floor(at);
    for (int i = 0; i < 4; i++) {
        double d = fabs(at - first - (i - 1));
        weights[i] = d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1
                            : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
    }
    return (int64_t)first - 1;
}

static int64_t within(int64_t i, int64_t count)
{
    return i < 0 ? 0 : i < count ? i : count - 1;
}

void sam2_trunk_positions(const float *coarse, int64_t from, const float *window, int64_t tile,
                          int64_t channels, int64_t edge, float *out)
{
    for (int64_t y = 0; y < edge; y++) {
        double wy[4], wx[4];
        int64_t y0 = cubic(y, from, edge, wy);
        for (int64_t x = 0; x < edge; x++) {
            int64_t x0 = cubic(x, from, edge, wx);
            for (int64_t c = 0; c < channels; c++) {
                const float *plane = coarse + c * from * from;
                double sum = (double)window[(c * tile + y % tile) * tile + x % tile];
                for (int64_t i = 0; i < 4; i++)
                    for (int64_t k = 0; k < 4; k++)
                        sum += wy[i] * wx[k] *
                               (double)plane[within(y0 + i, from) * from + within(x0 + k, from)];
                *out++ = (float)sum;
            }
        }
    }
}

/* ---- sines -------------------------------------------------------------------------------------
 */

/* Channels come in pairs of one period, from 1 to 10000. */
static double period(int64_t channel, int64_t channels)
{
    return pow(10000, 2.0 * (double)(channel / 2) / (double)channels);
}

void sam2_grid_sines(int64_t edge, int64_t channels, double factor, float *out)
{
    int64_t half = channels / 2;
    for (int64_t i = 0; i < edge * edge; i++)
        for (int64_t c = 0; c < channels; c++) {
            double at = (double)((c < half ? i / edge : i % edge) + 1) / ((double)edge + 1e-6);
            double angle = 2 * M_PI * at / period(c % half, half);
            *out++ = (float)(factor * (c % half % 2 ? cos(angle) : sin(angle)));
        }
}

void sam2_number_sines(double value, int64_t channels, double *out)
{
    int64_t half = channels / 2;
    for (int64_t c = 0; c < half; c++) {
        out[c] = sin(value / period(c, half));
        out[half + c] = cos(value / period(c, half));
    }
}

void sam2_grid_features(int64_t edge, int64_t channels, const float *frequencies, float *out)
{
    int64_t half = channels / 2;
    for (int64_t i = 0; i < edge * edge; i++, out += channels) {
        double x = 2 * ((double)(i % edge) + 0.5) / (double)edge - 1;
        double y = 2 * ((double)(i / edge) + 0.5) / (double)edge - 1;
        for (int64_t c = 0; c < half; c++) {
            double turn = x * (double)frequencies[c] + y * (double)frequencies[half + c];
            out[c] = (float)sin(2 * M_PI * turn);
            out[half + c] = (float)cos(2 * M_PI * turn);
        }
    }
}

void sam2_grid_rotations(int64_t edge, int64_t channels, float *out)
{
    int64_t pairs = channels / 2, quarter = channels / 4;
    for (int64_t i = 0; i < edge * edge; i++)
        for (int64_t c = 0; c < pairs; c++) {
            double at = (double)(c < quarter ? i % edge : i / edge);
            double angle = at * pow(10000, -4.0 * (double)(c % quarter) / (double)channels);
            *out++ = (float)cos(angle);
            *out++ = (float)sin(angle);
        }
}
