/* range.c - see range.h. */
#include "range.h"
#include <math.h>
#include <stdlib.h>

enum { SIDE = 64, PARTS = 3, SAMPLE = 262144 /* values, at most about so many */ };

static const double percents[] = {
#define X(percent) percent,
    DESK_PERCENTS(X)
#undef X
};

typedef struct sample {
    float *value;
    int64_t count, room, not_finite;
} sample;

/* Up to three stretches [lo, hi) of an axis, at its start, middle and end; whole bricks, so that no
 * more is read than is looked at. */
static int stretches(int64_t size, int64_t lo[PARTS], int64_t hi[PARTS])
{
    if (size <= PARTS * SIDE) {
        lo[0] = 0;
        hi[0] = size;
        return 1;
    }
    const int64_t bricks = (size + SIDE - 1) / SIDE, at[PARTS] = {0, bricks / 2, bricks - 1};
    for (int i = 0; i < PARTS; i++) {
        lo[i] = at[i] * SIDE;
        hi[i] = lo[i] + SIDE < size ? lo[i] + SIDE : size;
    }
    return PARTS;
}

static void take(const float *values, int64_t count, int64_t step, sample *s)
{
    for (int64_t i = 0; i < count && s->count < s->room; i += step) {
        if (isfinite(values[i]))
            s->value[s->count++] = values[i];
        else
            s->not_finite++;
    }
}

static mf_status take_box(const desk_source *source, const int64_t lo[3], const int64_t hi[3],
                          int64_t step, sample *s)
{
    const int64_t shape[3] = {hi[0] - lo[0], hi[1] - lo[1], hi[2] - lo[2]};
    mf_array *box, *real;
    MF_TRY(mf_array_new(source->dtype, 3, shape, &box));
    mf_status status = desk_source_read(source, NULL, lo, hi, box->data);
    if (!status)
        status = mf_array_convert(box, MF_F32, &real);
    mf_array_unref(box);
    MF_TRY(status);
    take(real->data, mf_array_count(real), step, s);
    mf_array_unref(real);
    return MF_OK;
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void measure(sample *s, desk_range *range)
{
    qsort(s->value, (size_t)s->count, sizeof *s->value, by_value);
    *range = (desk_range){.values = s->count, .not_finite = s->not_finite};
    if (!s->count)
        return;
    range->min = s->value[0];
    range->max = s->value[s->count - 1];
    for (int i = 0; i < DESK_PERCENT_COUNT; i++)
        range->at[i] = s->value[(int64_t)(percents[i] / 100 * (double)(s->count - 1) + 0.5)];
}

static mf_status sample_boxes(const desk_source *source, sample *s)
{
    int64_t lo[3][PARTS], hi[3][PARTS], size[3], all = 1;
    int parts[3];
    mf_zyx(source->grid.size, size);
    for (int a = 0; a < 3; a++) {
        int64_t sum = 0;
        parts[a] = stretches(size[a], lo[a], hi[a]);
        for (int i = 0; i < parts[a]; i++)
            sum += hi[a][i] - lo[a][i];
        all *= sum;
    }
    /* odd, so that it does not fall on the same columns of each row */
    const int64_t step = (all / SAMPLE) | 1;
    for (int z = 0; z < parts[0]; z++)
        for (int y = 0; y < parts[1]; y++)
            for (int x = 0; x < parts[2]; x++)
                MF_TRY(take_box(source, (int64_t[]){lo[0][z], lo[1][y], lo[2][x]},
                                (int64_t[]){hi[0][z], hi[1][y], hi[2][x]}, step, s));
    return MF_OK;
}

mf_status desk_range_of(const desk_source *source, desk_range *range)
{
    sample s = {.room = 3 * SAMPLE};
    s.value = malloc((size_t)s.room * sizeof *s.value);
    if (!s.value)
        return mf_no_memory((size_t)s.room * sizeof *s.value, "a sample of voxels");
    mf_status status = sample_boxes(source, &s);
    if (!status)
        measure(&s, range);
    free(s.value);
    return status;
}
