/* painting.c - see painting.h. */
#include "painting.h"
#include "../views/draw.h"

#include <massflow/memory.h>

#include <stdlib.h>
#include <string.h>

enum { SHUFFLED_BOXES = 10000, INNER_BOXES = 5, OUTER_BOXES = 5, MARGIN = 3 };

typedef struct box {
    int64_t at[3], size[3]; /* z y x */
} box;

static int64_t box_count(const box *b)
{
    return b->size[0] * b->size[1] * b->size[2];
}

/* Element i of the box, in a crop of `size`. */
static int64_t box_voxel(const box *b, const int64_t size[3], int64_t i)
{
    const int64_t x = i % b->size[2], y = i / b->size[2] % b->size[1],
                  z = i / b->size[2] / b->size[1];
    return ((b->at[0] + z) * size[1] + b->at[1] + y) * size[2] + b->at[2] + x;
}

/* Where a box of its size lies, `margin` voxels or more from the edges. */
static void place(mf_random *random, const int64_t size[3], int64_t margin, box *b)
{
    for (int a = 0; a < 3; a++)
        b->at[a] = mf_draw_between(random, margin, size[a] - b->size[a] - margin);
}

static void fill_noise(mf_random *random, float *to)
{
    *to = (float)mf_random_uniform(random, 0, 1);
}

/* ---- shuffling ------------------------------------------------------------------------------- */

mf_status mf_painting_shuffle(mf_random *random, const int64_t size[3], const float *from,
                              float *to)
{
    int64_t most[3];
    for (int a = 0; a < 3; a++)
        most[a] = size[a] / 10 > 1 ? size[a] / 10 : 1;
    const size_t bytes = (size_t)(most[0] * most[1] * most[2]) * sizeof(float);
    float *values = malloc(bytes);
    if (!values)
        return mf_no_memory(bytes, "a box to shuffle");
    memcpy(to, from, (size_t)(size[0] * size[1] * size[2]) * sizeof *to);
    for (int n = 0; n < SHUFFLED_BOXES; n++) {
        box b;
        for (int a = 0; a < 3; a++)
            b.size[a] = mf_draw_between(random, 1, most[a]);
        place(random, size, 0, &b);
        for (int64_t i = 0; i < box_count(&b); i++) { /* Fisher and Yates, inside out */
            const int64_t k = mf_random_below(random, i + 1);
            values[i] = values[k];
            values[k] = from[box_voxel(&b, size, i)];
        }
        for (int64_t i = 0; i < box_count(&b); i++)
            to[box_voxel(&b, size, i)] = values[i];
    }
    free(values);
    return MF_OK;
}

/* ---- painting -------------------------------------------------------------------------------- */

void mf_painting_inside(mf_random *random, const int64_t size[3], float *image)
{
    for (int n = 0; n < INNER_BOXES && mf_random_uniform(random, 0, 1) < 0.95; n++) {
        box b;
        for (int a = 0; a < 3; a++)
            b.size[a] = mf_draw_between(random, size[a] / 6, size[a] / 3);
        place(random, size, MARGIN, &b);
        for (int64_t i = 0; i < box_count(&b); i++)
            fill_noise(random, &image[box_voxel(&b, size, i)]);
    }
}

mf_status mf_painting_outside(mf_random *random, const int64_t size[3], float *image)
{
    const int64_t count = size[0] * size[1] * size[2];
    float *before = malloc((size_t)count * sizeof *before);
    if (!before)
        return mf_no_memory((size_t)count * sizeof *before, "out-painting");
    memcpy(before, image, (size_t)count * sizeof *before);
    for (int64_t i = 0; i < count; i++)
        fill_noise(random, &image[i]);
    for (int n = 0; n < OUTER_BOXES && (n == 0 || mf_random_uniform(random, 0, 1) < 0.95); n++) {
        box b;
        for (int a = 0; a < 3; a++)
            b.size[a] = size[a] - mf_draw_between(random, 3 * size[a] / 7, 4 * size[a] / 7);
        place(random, size, MARGIN, &b);
        for (int64_t i = 0; i < box_count(&b); i++)
            image[box_voxel(&b, size, i)] = before[box_voxel(&b, size, i)];
    }
    free(before);
    return MF_OK;
}
