/* label_colour.c - see label_colour.h. */
#include "label_colour.h"

#include <math.h>

void mf_label_colour(int64_t label, uint8_t rgb[3])
{
    /* Hues a golden section apart; every third lighter, every second paler. */
    double h = fmod((double)label * 0.618033988749895, 1) * 6;
    double v = label % 3 == 0 ? 0.85 : 1, s = label % 2 ? 0.9 : 0.65;
    for (int c = 0; c < 3; c++) {
        double k = fmod((c == 0 ? 5 : c == 1 ? 3 : 1) + h, 6);
        double t = fmin(fmin(k, 4 - k), 1);
        rgb[c] = (uint8_t)(255 * v * (1 - s * fmax(0, t)));
    }
}

void mf_named_colour(const mf_names *names, int64_t label, uint8_t rgb[3])
{
    const mf_name *name = mf_names_find(names, label);
    if (!name || name->colour == MF_NO_COLOUR) {
        mf_label_colour(label, rgb);
        return;
    }
    for (int c = 0; c < 3; c++)
        rgb[c] = (uint8_t)(name->colour >> (16 - 8 * c) & 255);
}
