/* mosaic.c - see mosaic.h. A tile is drawn pixel by pixel: grey from the scan (interpolated),
 * then for each object drawn on top the voxel that the pixel lies in. */
#include "mosaic.h"
#include "../common/label_colour.h"
#include "../common/normalize.h"
#include "legend.h"
#include "letters.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GAP 4 /* pixels between tiles */

typedef struct canvas {
    const picture_options *o;
    mf_grid grid;
    const float *voxels;      /* [z, y, x] */
    const int32_t *labels;    /* [z, y, x], or NULL */
    const mf_artifact *masks; /* or NULL */
    int64_t *mask;            /* indices of the masks that are drawn */
    int64_t mask_count;
    int64_t *held; /* slices that hold seeds, ascending; none: any slice may be drawn */
    int64_t held_count;
    double black, white;
    bool fill;             /* areas; else outlines */
    bool border;           /* outlines run along the border of a tile */
    bool sides;            /* rows run from one side of the patient to the other */
    const mf_names *names; /* of the labels */
    int across, down;      /* index axes (0 x, 1 y, 2 z) along the rows and columns of a picture */
    bool flip_across, flip_down;
    int cut;               /* the index axis that slices cut */
    int64_t width, height; /* of a tile */
    int64_t columns, rows; /* of tiles */
    uint8_t *rgb;          /* [rows * (height + GAP) - GAP, ..., 3] */
    int64_t pitch;         /* pixels a row of the canvas */
    int32_t *tile;         /* [height, width]: what is drawn over each pixel; 0 nothing */
} canvas;

/* Whether an index axis grows to the patient's right, front or head: such axes are shown from right
 * to left and from bottom to top. */
static bool grows_positive(const mf_grid *g, int axis)
{
    double most = 0;
    for (int r = 0; r < 3; r++)
        if (fabs(g->direction[3 * r + axis]) > fabs(most))
            most = g->direction[3 * r + axis];
    return most > 0;
}

/* Whether an index axis runs rather between left and right than along the body or through it. */
static bool runs_sideways(const mf_grid *g, int axis)
{
    return fabs(g->direction[axis]) > fabs(g->direction[3 + axis]) &&
           fabs(g->direction[axis]) > fabs(g->direction[6 + axis]);
}

static letters_page page_of(const canvas *s)
{
    return (letters_page){s->rgb, s->pitch, s->rows * (s->height + GAP) - GAP};
}

static void draw_number(const canvas *s, int64_t x0, int64_t y0, int64_t number)
{
    char text[24];
    const letters_page page = page_of(s);
    snprintf(text, sizeof text, "%lld", (long long)number);
    letters_draw(&page, x0, y0, text, 210);
}

/* Where the patient's right and left are known: R and L at their sides of a tile. */
static void draw_sides(const canvas *s, int64_t x0, int64_t y0)
{
    const letters_page page = page_of(s);
    const int64_t y = y0 + s->height / 2 - LETTERS_HEIGHT / 2;
    if (!s->sides)
        return;
    letters_draw(&page, x0 + 2, y, "R", 210); /* flip_across has put it there */
    letters_draw(&page, x0 + s->width - LETTERS_WIDTH, y, "L", 210);
}

static float voxel(const canvas *s, const int64_t at[3])
{
    return s->voxels[(at[2] * s->grid.size[1] + at[1]) * s->grid.size[0] + at[0]];
}

/* Index along an axis for a pixel: real for interpolation. */
static double index_of(int64_t pixel, int64_t pixels, int64_t n, bool flip)
{
    double t = ((double)pixel + 0.5) / (double)pixels;
    return (flip ? 1 - t : t) * (double)n - 0.5;
}

static int64_t nearest(double at, int64_t n)
{
    int64_t i = (int64_t)floor(at + 0.5);
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

static double grey(const canvas *s, int64_t slice, double u, double v)
{
    const int64_t *n = s->grid.size;
    double at[2] = {u, v}, w[2], sum = 0;
    int axes[2] = {s->across, s->down};
    int64_t low[2], high[2];
    for (int k = 0; k < 2; k++) {
        double most = (double)(n[axes[k]] - 1), p = at[k] < 0 ? 0 : at[k] > most ? most : at[k];
        low[k] = (int64_t)p;
        high[k] = low[k] + 1 < n[axes[k]] ? low[k] + 1 : low[k];
        w[k] = p - (double)low[k];
    }
    for (int c = 0; c < 4; c++) {
        int64_t i[3];
        i[s->cut] = slice;
        i[s->across] = c & 1 ? high[0] : low[0];
        i[s->down] = c & 2 ? high[1] : low[1];
        double weight = (c & 1 ? w[0] : 1 - w[0]) * (c & 2 ? w[1] : 1 - w[1]);
        if (weight > 0)
            sum += weight * (double)voxel(s, i);
    }
    double g = (sum - s->black) / (s->white - s->black);
    return 255 * (g < 0 || isnan(g) ? 0 : g > 1 ? 1 : g);
}

/* Colours the pixels of s->tile: whole areas, or where a neighbour differs. */
static void tint(canvas *s, int64_t x0, int64_t y0)
{
    for (int64_t y = 0; y < s->height; y++)
        for (int64_t x = 0; x < s->width; x++) {
            const int32_t *t = s->tile + y * s->width + x;
            if (!*t)
                continue;
            bool edge = (x > 0 ? t[-1] != *t : s->border) ||
                        (x + 1 < s->width ? t[1] != *t : s->border) ||
                        (y > 0 ? t[-s->width] != *t : s->border) ||
                        (y + 1 < s->height ? t[s->width] != *t : s->border);
            if (!edge && !s->fill)
                continue;
            uint8_t color[3], *p = s->rgb + ((y0 + y) * s->pitch + x0 + x) * 3;
            double a = edge ? fmin(1, s->o->opacity * 2) : s->o->opacity;
            mf_named_colour(s->names, *t, color);
            for (int c = 0; c < 3; c++)
                p[c] = (uint8_t)(p[c] * (1 - a) + color[c] * a);
        }
}

static void tint_labels(canvas *s, int64_t slice, int64_t x0, int64_t y0)
{
    const int64_t *n = s->grid.size;
    for (int64_t y = 0; y < s->height; y++)
        for (int64_t x = 0; x < s->width; x++) {
            int64_t i[3];
            i[s->cut] = slice;
            i[s->across] =
                nearest(index_of(x, s->width, n[s->across], s->flip_across), n[s->across]);
            i[s->down] = nearest(index_of(y, s->height, n[s->down], s->flip_down), n[s->down]);
            int32_t label = s->labels[(i[2] * n[1] + i[1]) * n[0] + i[0]];
            s->tile[y * s->width + x] = label > 0 ? label : 0;
        }
    tint(s, x0, y0);
}

static mf_status tint_mask(canvas *s, int64_t k, int64_t slice, int64_t x0, int64_t y0)
{
    const int64_t *n = s->grid.size;
    mf_mask m;
    MF_TRY(mf_masks_get(s->masks, k, &m));
    int zyx = 2 - s->cut; /* the cut axis in array order */
    if (slice < m.lo[zyx] || slice >= m.hi[zyx])
        return MF_OK;
    m.lo[zyx] = slice;
    m.hi[zyx] = slice + 1;
    int64_t size[3] = {m.hi[2] - m.lo[2], m.hi[1] - m.lo[1], m.hi[0] - m.lo[0]};
    uint8_t *dense = malloc((size_t)(size[0] * size[1] * size[2]));
    if (!dense)
        return mf_no_memory((size_t)(size[0] * size[1] * size[2]), "a slice of mask %lld",
                            (long long)k);
    mf_status status = mf_masks_crop(s->masks, k, m.lo, m.hi, dense);
    for (int64_t y = 0; y < s->height && !status; y++)
        for (int64_t x = 0; x < s->width; x++) {
            int64_t i[3];
            bool in = true;
            i[s->cut] = slice;
            i[s->across] =
                nearest(index_of(x, s->width, n[s->across], s->flip_across), n[s->across]);
            i[s->down] = nearest(index_of(y, s->height, n[s->down], s->flip_down), n[s->down]);
            for (int a = 0; a < 3; a++) {
                i[a] -= m.lo[2 - a];
                in = in && i[a] >= 0 && i[a] < size[a];
            }
            s->tile[y * s->width + x] =
                in && dense[(i[2] * size[1] + i[1]) * size[0] + i[0]] ? (int32_t)k + 1 : 0;
        }
    free(dense);
    if (!status)
        tint(s, x0, y0);
    return status;
}

static mf_status draw_tile(canvas *s, int64_t index, int64_t slice)
{
    int64_t x0 = index % s->columns * (s->width + GAP), y0 = index / s->columns * (s->height + GAP);
    const int64_t *n = s->grid.size;
    for (int64_t y = 0; y < s->height; y++)
        for (int64_t x = 0; x < s->width; x++)
            memset(s->rgb + ((y0 + y) * s->pitch + x0 + x) * 3,
                   (int)grey(s, slice, index_of(x, s->width, n[s->across], s->flip_across),
                             index_of(y, s->height, n[s->down], s->flip_down)),
                   3);
    if (s->labels)
        tint_labels(s, slice, x0, y0);
    for (int64_t i = 0; i < s->mask_count; i++)
        MF_TRY(tint_mask(s, s->mask[i], slice, x0, y0));
    draw_number(s, x0 + 3, y0 + s->height - 13, slice);
    draw_sides(s, x0, y0);
    return MF_OK;
}

/* First and one past the last slice that holds something to draw over; all where nothing does. */
static mf_status drawn_range(const canvas *s, int64_t *first, int64_t *end)
{
    const int64_t *n = s->grid.size;
    *first = n[s->cut];
    *end = 0;
    for (int64_t i = 0; i < s->mask_count; i++) {
        mf_mask m;
        MF_TRY(mf_masks_get(s->masks, s->mask[i], &m));
        *first = m.lo[2 - s->cut] < *first ? m.lo[2 - s->cut] : *first;
        *end = m.hi[2 - s->cut] > *end ? m.hi[2 - s->cut] : *end;
    }
    int64_t i[3];
    const int32_t *l = s->labels;
    for (i[2] = 0; l && i[2] < n[2]; i[2]++)
        for (i[1] = 0; i[1] < n[1]; i[1]++)
            for (i[0] = 0; i[0] < n[0]; i[0]++)
                if (*l++ > 0) {
                    *first = i[s->cut] < *first ? i[s->cut] : *first;
                    *end = i[s->cut] + 1 > *end ? i[s->cut] + 1 : *end;
                }
    if (*first >= *end) {
        *first = 0;
        *end = n[s->cut];
    }
    return MF_OK;
}

/* Tiles a row, so that the mosaic is shaped like a screen and few places stay empty. */
static int64_t best_columns(int64_t tiles, int64_t width, int64_t height)
{
    int64_t best = 1;
    double least = INFINITY;
    for (int64_t c = 1; c <= tiles; c++) {
        int64_t rows = (tiles + c - 1) / c;
        double shape = (double)(c * width) / (double)(rows * height) / 1.6;
        double cost = fabs(log(shape)) + 2 * (double)(c * rows - tiles) / (double)(c * rows);
        if (cost < least) {
            least = cost;
            best = c;
        }
    }
    return best;
}

static mf_status layout(canvas *s, int64_t tiles, mf_array **rgb)
{
    const mf_grid *g = &s->grid;
    double w = (double)g->size[s->across] * g->spacing[s->across];
    double h = (double)g->size[s->down] * g->spacing[s->down], longer = w > h ? w : h;
    s->width = (int64_t)ceil(w / longer * (double)s->o->tile);
    s->height = (int64_t)ceil(h / longer * (double)s->o->tile);
    s->width = s->width < 8 ? 8 : s->width;
    s->height = s->height < 16 ? 16 : s->height;
    s->columns = s->o->columns ? s->o->columns : best_columns(tiles, s->width, s->height);
    s->columns = s->columns > tiles ? tiles : s->columns;
    s->rows = (tiles + s->columns - 1) / s->columns;
    s->pitch = s->columns * (s->width + GAP) - GAP;
    const int64_t shape[3] = {s->rows * (s->height + GAP) - GAP, s->pitch, 3};
    MF_TRY(mf_array_new(MF_U8, 3, shape, rgb));
    memset((*rgb)->data, 32, (*rgb)->bytes);
    s->rgb = (*rgb)->data;
    s->tile = calloc((size_t)(s->width * s->height), sizeof *s->tile);
    return s->tile ? MF_OK : mf_no_memory(0, "a tile");
}

typedef struct sized {
    int64_t index, voxels;
} sized;

static int larger_first(const void *a, const void *b)
{
    const sized *x = a, *y = b;
    if (x->voxels != y->voxels)
        return x->voxels > y->voxels ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

/* Which masks are drawn: the largest, large before small so that small ones stay visible. */
static mf_status choose_masks(canvas *s)
{
    int64_t n = mf_masks_count(s->masks);
    sized *list = calloc((size_t)n + 1, sizeof *list);
    s->mask = calloc((size_t)n + 1, sizeof *s->mask);
    mf_status status = list && s->mask ? MF_OK : mf_no_memory(0, "a list of masks");
    for (int64_t k = 0; k < n && !status; k++) {
        list[k].index = k;
        status = mf_masks_volume(s->masks, k, &list[k].voxels);
    }
    if (!status) {
        qsort(list, (size_t)n, sizeof *list, larger_first);
        s->mask_count = s->o->masks && s->o->masks < n ? s->o->masks : n;
        for (int64_t k = 0; k < s->mask_count; k++)
            s->mask[k] = list[k].index;
    }
    free(list);
    return status;
}

/* Seeds lie on few slices: only those are shown. None where they were cut another way. */
static mf_status find_held(canvas *s)
{
    const int64_t slices = s->grid.size[s->cut];
    s->held = calloc((size_t)slices + 1, sizeof *s->held);
    if (!s->held)
        return mf_no_memory(((size_t)slices + 1) * sizeof *s->held, "a list of slices");
    for (int64_t k = 0; k < mf_masks_count(s->masks); k++) {
        mf_mask m;
        MF_TRY(mf_masks_get(s->masks, k, &m));
        if (m.seed_axis == s->o->axis && m.seed_slice >= 0 && m.seed_slice < slices)
            s->held[m.seed_slice] = 1;
    }
    for (int64_t i = 0; i < slices; i++)
        if (s->held[i])
            s->held[s->held_count++] = i;
    return MF_OK;
}

/* Tile i of so many: its slice, of first..end or of those that hold seeds. */
static int64_t slice_of(const canvas *s, int64_t i, int64_t tiles, int64_t first, int64_t end)
{
    const int64_t at = (2 * i + 1) * (end - first) / (2 * tiles);
    return s->held_count ? s->held[at] : first + at;
}

static mf_status draw(canvas *s, const mf_array *voxels, mf_array **rgb)
{
    const picture_options *o = s->o;
    s->black = o->center - o->width / 2;
    s->white = o->center + o->width / 2;
    if (!(o->width > 0)) {
        const double percents[2] = {o->low, o->high};
        double values[2];
        MF_TRY(mf_percentiles(voxels->data, mf_array_count(voxels), percents, 2, values));
        s->black = values[0];
        s->white = values[1] > values[0] ? values[1] : values[0] + 1;
    }
    s->voxels = voxels->data;
    s->cut = 2 - o->axis;
    s->across = s->cut == 0 ? 1 : 0;
    s->down = s->cut == 2 ? 1 : 2;
    s->flip_across = grows_positive(&s->grid, s->across);
    s->flip_down = grows_positive(&s->grid, s->down);
    s->sides = s->sides && runs_sideways(&s->grid, s->across);
    if (s->masks)
        MF_TRY(choose_masks(s));
    int64_t first, end;
    MF_TRY(drawn_range(s, &first, &end));
    if (o->one && (o->slice < 0 || o->slice >= s->grid.size[s->cut]))
        return mf_fail(MF_INVALID, "there is no slice %lld across %c: they go from 0 to %lld",
                       (long long)o->slice, "xyz"[s->cut], (long long)s -> grid.size[s->cut] - 1);
    if (s->masks && !o->one && !strcmp(mf_artifact_type(s->masks), "seeds"))
        MF_TRY(find_held(s));
    if (o->one) {
        first = o->slice;
        end = o->slice + 1;
    } else if (s->held_count) {
        first = 0;
        end = s->held_count;
    }
    int64_t tiles = o->slices < end - first ? o->slices : end - first;
    MF_TRY(layout(s, tiles, rgb));
    for (int64_t i = 0; i < tiles; i++)
        MF_TRY(draw_tile(s, i, slice_of(s, i, tiles, first, end)));
    return MF_OK;
}

void picture_window(const mf_artifact *volume, picture_options *options)
{
    const char *modality = mf_artifact_text(volume, "modality");
    if (!modality || strcmp(modality, "CT") || mf_volume_normalized(volume))
        return;
    options->center = 40;
    options->width = 400;
}

/* Whether a map holds one label beside 0, or none. */
static bool is_single(const int32_t *labels, int64_t count)
{
    int32_t label = 0;
    for (int64_t i = 0; i < count; i++) {
        if (labels[i] && label && labels[i] != label)
            return false;
        label = labels[i] ? labels[i] : label;
    }
    return true;
}

static mf_status in_type(const mf_artifact *a, mf_dtype dtype, mf_array **made)
{
    mf_array *own;
    MF_TRY(mf_artifact_array(a, "voxels", &own));
    mf_status status = mf_array_convert(own, dtype, made);
    mf_array_unref(own);
    return status;
}

static int by_value(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* A legend of the labels of a map, where they have names. */
static mf_status add_legend(const mf_names *names, const mf_array *labels, mf_array **rgb)
{
    mf_array *sorted;
    if (!names->count || !labels)
        return MF_OK;
    MF_TRY(mf_array_new(MF_I32, labels->rank, labels->shape, &sorted));
    const int64_t count = mf_array_count(labels);
    int32_t *v = sorted->data;
    size_t n = 0;
    const int32_t *from = labels->data;
    for (int64_t i = 0; i < count; i++) /* one of each run */
        if (from[i] > 0 && (!n || v[n - 1] != from[i]))
            v[n++] = from[i];
    qsort(v, n, sizeof *v, by_value);
    int64_t *values = calloc(n + 1, sizeof *values);
    size_t different = 0;
    for (size_t i = 0; i < n && values; i++)
        if (!i || v[i] != v[i - 1])
            values[different++] = v[i];
    mf_array_unref(sorted);
    mf_status status =
        values ? legend_add(names, values, different, rgb) : mf_no_memory(0, "a legend");
    free(values);
    return status;
}

/* Whether the scan's file says which side is the patient's right. */
static bool sides_known(const mf_artifact *a)
{
    return !mf_artifact_text(a, "sides");
}

mf_status picture_draw(const mf_artifact *volume, const mf_artifact *over, const picture_options *o,
                       mf_array **rgb)
{
    mf_names names = {0};
    canvas s = {
        .o = o, .names = &names, .sides = sides_known(volume) && (!over || sides_known(over))};
    mf_grid other;
    mf_array *voxels = NULL, *labels = NULL;
    *rgb = NULL;
    MF_TRY(mf_artifact_grid(volume, &s.grid));
    if (over) {
        MF_TRY(mf_artifact_grid(over, &other));
        if (!mf_grid_equal(&s.grid, &other, 0.01))
            return mf_fail(MF_INVALID,
                           "what is to be drawn over the scan lies on another grid: "
                           "%lld x %lld x %lld instead of %lld x %lld x %lld",
                           (long long)other.size[0], (long long)other.size[1],
                           (long long)other.size[2], (long long)s.grid.size[0],
                           (long long)s.grid.size[1], (long long)s.grid.size[2]);
    }
    mf_status status = in_type(volume, MF_F32, &voxels);
    if (!status && over && !strcmp(mf_artifact_type(over), "labels"))
        status = mf_artifact_names(over, &names);
    if (!status && over && !strcmp(mf_artifact_type(over), "labels"))
        status = in_type(over, MF_I32, &labels);
    else
        s.masks = over;
    s.labels = labels ? labels->data : NULL;
    s.border = labels && o->outline_single && is_single(labels->data, mf_array_count(labels));
    s.fill = o->fill && !s.border;
    if (!status)
        status = draw(&s, voxels, rgb);
    if (!status)
        status = add_legend(&names, labels, rgb);
    mf_names_clear(&names);
    free(s.tile);
    free(s.mask);
    free(s.held);
    mf_array_unref(voxels);
    mf_array_unref(labels);
    if (status) {
        mf_array_unref(*rgb);
        *rgb = NULL;
    }
    return status;
}
