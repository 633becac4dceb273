/* layout.c - see layout.h. */
#include "layout.h"

#include <massflow/memory.h>

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ORDER_SWEEPS 24
#define PLACE_SWEEPS 40
#define BEND_WIDTH 10 /* room that a passing line takes */
#define BEND_WEIGHT 6 /* how much straighter lines are worth than centered boxes */

/* A box, or the point where a long line passes a layer. */
typedef struct vertex {
    int layer;
    double width, x; /* x: of the center */
    double wish;     /* where its neighbours want it */
    size_t at;       /* in its layer */
    bool bend;
} vertex;

typedef struct segment {
    size_t a, b; /* vertices of neighbouring layers, a above */
} segment;

typedef struct layer {
    size_t *v; /* vertices from left to right */
    size_t count;
} layer;

typedef struct solver {
    mf_layout *l;
    vertex *v;
    size_t count;
    segment *s;
    size_t segment_count;
    layer *layers;
    int layer_count;
    size_t *slots;        /* everything that the layers point into */
    size_t *best;         /* the best order so far */
    double *sum, *weight; /* by vertex: of wishes */
} solver;

static mf_status no_memory(void)
{
    return mf_no_memory(0, "a drawing of the graph");
}

/* ---- layers and bends ------------------------------------------------------------------------ */

static mf_status add_vertex(solver *s, vertex v, size_t *index)
{
    vertex *grown = mf_list_more(s->v, s->count, sizeof *grown);
    if (!grown)
        return no_memory();
    s->v = grown;
    *index = s->count;
    s->v[s->count++] = v;
    return MF_OK;
}

static mf_status add_segment(solver *s, size_t a, size_t b)
{
    for (size_t i = 0; i < s->segment_count; i++) {
        if (s->s[i].a == a && s->s[i].b == b)
            return MF_OK;
    }
    segment *grown = mf_list_more(s->s, s->segment_count, sizeof *grown);
    if (!grown)
        return no_memory();
    s->s = grown;
    s->s[s->segment_count++] = (segment){a, b};
    return MF_OK;
}

/* The longest way from a source; sources themselves go down to what uses them. */
static mf_status find_layers(solver *s)
{
    const mf_layout *l = s->l;
    bool *fed = calloc(l->box_count + 1, sizeof *fed);

    if (!fed)
        return no_memory();
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < l->link_count; i++) {
            int below = s->v[l->links[i].from].layer + 1;
            fed[l->links[i].to] = true;
            if (s->v[l->links[i].to].layer < below) {
                s->v[l->links[i].to].layer = below;
                moved = true;
            }
        }
    }
    for (size_t b = 0; b < l->box_count; b++) {
        int lowest = -1;
        for (size_t i = 0; i < l->link_count && !fed[b]; i++) {
            int to = s->v[l->links[i].to].layer;
            if (l->links[i].from == b && (lowest < 0 || to - 1 < lowest))
                lowest = to - 1;
        }
        if (lowest > 0)
            s->v[b].layer = lowest;
    }
    free(fed);
    return MF_OK;
}

/* The vertex on `layer` of the lines that leave the link's slot; made where it is new. `chain`
 * holds for each layer the bend of that slot plus 1. */
static mf_status pass(solver *s, size_t *chain, size_t from, int at, size_t *bend)
{
    if (!chain[at]) {
        MF_TRY(add_vertex(s, (vertex){.layer = at, .width = BEND_WIDTH, .bend = true}, bend));
        chain[at] = *bend + 1;
        MF_TRY(add_segment(s, at - 1 == s->v[from].layer ? from : chain[at - 1] - 1, *bend));
    }
    *bend = chain[at] - 1;
    return MF_OK;
}

/* Where a link passes: vertices from the layer below its source to the one above its target. */
static mf_status route(solver *s, mf_layout_link *link, size_t *chain, size_t *way)
{
    int first = s->v[link->from].layer, last = s->v[link->to].layer;
    size_t above = link->from;

    for (int at = first + 1; at < last; at++) {
        MF_TRY(pass(s, chain, link->from, at, &above));
        way[at - first - 1] = above;
    }
    return add_segment(s, above, link->to);
}

static bool same_slot(const mf_layout_link *a, const mf_layout_link *b)
{
    return a->from == b->from && a->slot == b->slot;
}

/* Bends for all links; ways[i] are those of link i. */
static mf_status route_all(solver *s, size_t **ways)
{
    mf_layout *l = s->l;
    size_t *chain = calloc((size_t)s->layer_count + 1, sizeof *chain);
    bool *done = calloc(l->link_count + 1, sizeof *done);
    mf_status status = chain && done ? MF_OK : no_memory();

    for (size_t i = 0; i < l->link_count && !status; i++) {
        if (done[i])
            continue;
        memset(chain, 0, (size_t)s->layer_count * sizeof *chain);
        for (size_t k = i; k < l->link_count && !status; k++) {
            if (done[k] || !same_slot(&l->links[i], &l->links[k]))
                continue;
            done[k] = true;
            ways[k] = calloc((size_t)s->layer_count + 1, sizeof **ways);
            status = ways[k] ? route(s, &l->links[k], chain, ways[k]) : no_memory();
        }
    }
    free(chain);
    free(done);
    return status;
}

/* ---- order ----------------------------------------------------------------------------------- */

static mf_status fill_layers(solver *s)
{
    size_t at = 0;

    s->layers = calloc((size_t)s->layer_count + 1, sizeof *s->layers);
    s->slots = calloc(s->count + 1, sizeof *s->slots);
    s->best = calloc(s->count + 1, sizeof *s->best);
    s->sum = calloc(s->count + 1, sizeof *s->sum);
    s->weight = calloc(s->count + 1, sizeof *s->weight);
    if (!s->layers || !s->slots || !s->best || !s->sum || !s->weight)
        return no_memory();
    for (int k = 0; k < s->layer_count; k++) {
        layer *row = &s->layers[k];
        row->v = s->slots + at;
        for (size_t i = 0; i < s->count; i++) {
            if (s->v[i].layer != k)
                continue;
            s->v[i].at = row->count;
            row->v[row->count++] = i;
        }
        at += row->count;
    }
    return MF_OK;
}

static size_t crossings(const solver *s)
{
    size_t count = 0;

    for (size_t i = 0; i < s->segment_count; i++) {
        const vertex *a = &s->v[s->s[i].a], *b = &s->v[s->s[i].b];
        for (size_t k = i + 1; k < s->segment_count; k++) {
            const vertex *c = &s->v[s->s[k].a], *d = &s->v[s->s[k].b];
            count += a->layer == c->layer &&
                     ((a->at < c->at && b->at > d->at) || (a->at > c->at && b->at < d->at));
        }
    }
    return count;
}

/* The mean place of a vertex's neighbours above (or below); its own where it has none. */
static void wish(solver *s, bool above, bool by_order)
{
    memset(s->sum, 0, s->count * sizeof *s->sum);
    memset(s->weight, 0, s->count * sizeof *s->weight);
    for (size_t i = 0; i < s->segment_count; i++) {
        size_t own = above ? s->s[i].b : s->s[i].a, other = above ? s->s[i].a : s->s[i].b;
        double w = !by_order && s->v[own].bend && s->v[other].bend ? BEND_WEIGHT : 1;
        s->sum[own] += w * (by_order ? (double)s->v[other].at : s->v[other].x);
        s->weight[own] += w;
    }
    for (size_t i = 0; i < s->count; i++) {
        double own = by_order ? (double)s->v[i].at : s->v[i].x;
        s->v[i].wish = s->weight[i] > 0 ? s->sum[i] / s->weight[i] : own;
    }
}

/* Insertion: rows are short, and equal ones keep their order. */
static void sort_row(solver *s, layer *row)
{
    for (size_t i = 1; i < row->count; i++) {
        size_t moved = row->v[i], k = i;
        for (; k > 0 && s->v[row->v[k - 1]].wish > s->v[moved].wish; k--)
            row->v[k] = row->v[k - 1];
        row->v[k] = moved;
    }
    for (size_t i = 0; i < row->count; i++)
        s->v[row->v[i]].at = i;
}

static void swap_neighbours(solver *s, layer *row, size_t i)
{
    size_t left = row->v[i];

    row->v[i] = row->v[i + 1];
    row->v[i + 1] = left;
    s->v[row->v[i]].at = i;
    s->v[left].at = i + 1;
}

/* Swaps neighbours as long as that saves crossings. */
static size_t untangle(solver *s, size_t count)
{
    for (bool better = true; better && count;) {
        better = false;
        for (int k = 0; k < s->layer_count; k++) {
            for (size_t i = 0; i + 1 < s->layers[k].count; i++) {
                size_t now;
                swap_neighbours(s, &s->layers[k], i);
                now = crossings(s);
                if (now < count) {
                    count = now;
                    better = true;
                } else {
                    swap_neighbours(s, &s->layers[k], i);
                }
            }
        }
    }
    return count;
}

/* Swapping costs segments squared a try; larger graphs do with the sweeps. */
#define UNTANGLED 160

static void order(solver *s)
{
    size_t least = crossings(s);

    memcpy(s->best, s->slots, s->count * sizeof *s->best);
    for (int sweep = 0; sweep < ORDER_SWEEPS && least; sweep++) {
        bool down = sweep % 2 == 0;
        size_t count;
        for (int i = 1; i < s->layer_count; i++) {
            wish(s, down, true);
            sort_row(s, &s->layers[down ? i : s->layer_count - 1 - i]);
        }
        count = crossings(s);
        if (s->segment_count <= UNTANGLED && sweep % 6 == 5)
            count = untangle(s, count);
        if (count >= least)
            continue;
        least = count;
        memcpy(s->best, s->slots, s->count * sizeof *s->best);
    }
    memcpy(s->slots, s->best, s->count * sizeof *s->best);
    for (int k = 0; k < s->layer_count; k++) {
        for (size_t i = 0; i < s->layers[k].count; i++)
            s->v[s->layers[k].v[i]].at = i;
    }
}

/* ---- places ---------------------------------------------------------------------------------- */

static double distance(const solver *s, const layer *row, size_t i)
{
    const vertex *a = &s->v[row->v[i]], *b = &s->v[row->v[i + 1]];
    double gap = a->bend && b->bend ? s->l->gap_x / 2 : s->l->gap_x;

    return (a->width + b->width) / 2 + gap;
}

/* The places nearest to the wishes (least squares) that keep order and distances: with the
 * distances taken out that is isotonic regression, by pooling neighbours that violate it. */
static void place_row(solver *s, const layer *row, double *mean, double *weight, size_t *size)
{
    double offset = 0;
    size_t blocks = 0, at = 0;

    for (size_t i = 0; i < row->count; i++) {
        const vertex *v = &s->v[row->v[i]];
        mean[blocks] = v->wish - offset;
        weight[blocks] = v->bend ? BEND_WEIGHT : 1;
        size[blocks++] = 1;
        while (blocks > 1 && mean[blocks - 2] > mean[blocks - 1]) {
            double both = weight[blocks - 2] + weight[blocks - 1];
            mean[blocks - 2] =
                (mean[blocks - 2] * weight[blocks - 2] + mean[blocks - 1] * weight[blocks - 1]) /
                both;
            weight[blocks - 2] = both;
            size[blocks - 2] += size[blocks - 1];
            blocks--;
        }
        if (i + 1 < row->count)
            offset += distance(s, row, i);
    }
    offset = 0;
    for (size_t b = 0; b < blocks; b++) {
        for (size_t k = 0; k < size[b]; k++, at++) {
            s->v[row->v[at]].x = mean[b] + offset;
            if (at + 1 < row->count)
                offset += distance(s, row, at);
        }
    }
}

static mf_status place(solver *s)
{
    double *mean = calloc(s->count + 1, sizeof *mean);
    double *weight = calloc(s->count + 1, sizeof *weight);
    size_t *size = calloc(s->count + 1, sizeof *size);
    mf_status status = mean && weight && size ? MF_OK : no_memory();

    for (size_t i = 0; i < s->count; i++)
        s->v[i].wish = 0;
    for (int k = 0; k < s->layer_count && !status; k++)
        place_row(s, &s->layers[k], mean, weight, size);
    for (int sweep = 0; sweep < PLACE_SWEEPS && !status; sweep++) {
        bool down = sweep % 2 == 0;
        for (int i = 0; i < s->layer_count; i++) {
            wish(s, down, false);
            place_row(s, &s->layers[down ? i : s->layer_count - 1 - i], mean, weight, size);
        }
    }
    free(mean);
    free(weight);
    free(size);
    return status;
}

/* ---- handing back ---------------------------------------------------------------------------- */

static mf_status settle_boxes(solver *s, double *top, double *bottom)
{
    mf_layout *l = s->l;
    double left = INFINITY, right = -INFINITY, y = 0;

    for (size_t i = 0; i < s->count; i++) {
        left = fmin(left, s->v[i].x - s->v[i].width / 2);
        right = fmax(right, s->v[i].x + s->v[i].width / 2);
    }
    for (int k = 0; k < s->layer_count; k++) {
        double height = 0;
        for (size_t i = 0; i < s->layers[k].count; i++) {
            size_t v = s->layers[k].v[i];
            s->v[v].x -= left;
            if (v < l->box_count)
                height = fmax(height, l->boxes[v].height);
        }
        top[k] = y;
        bottom[k] = y + height;
        for (size_t i = 0; i < s->layers[k].count; i++) {
            size_t v = s->layers[k].v[i];
            if (v >= l->box_count)
                continue;
            l->boxes[v].x = s->v[v].x - l->boxes[v].width / 2;
            l->boxes[v].y = y + (height - l->boxes[v].height) / 2;
        }
        y += height + l->gap_y;
    }
    l->width = s->count ? right - left : 0;
    l->height = s->count ? y - l->gap_y : 0;
    return MF_OK;
}

/* Where a link comes in: those that come from further left further left. */
static double entry(const solver *s, size_t link, size_t *const *ways)
{
    const mf_layout *l = s->l;
    const mf_layout_box *box = &l->boxes[l->links[link].to];
    size_t rank = 0, all = 0;
    double own = 0;

    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < l->link_count; i++) {
            int length = s->v[l->links[i].to].layer - s->v[l->links[i].from].layer - 1;
            const vertex *last = &s->v[length > 0 ? ways[i][length - 1] : (size_t)l->links[i].from];
            double x = last->x + 1e-3 * (double)l->links[i].slot;
            if (l->links[i].to != l->links[link].to)
                continue;
            if (!round && i == link)
                own = x;
            if (round) {
                all++;
                rank += x < own || (!(x > own) && i < link);
            }
        }
    }
    return box->x + box->width * ((double)rank + 1) / ((double)all + 1);
}

/* A line passes a layer straight, so that it bends only where no boxes are. */
static mf_status settle_link(const solver *s, size_t i, size_t *const *ways, const double *top,
                             const double *bottom)
{
    mf_layout *l = s->l;
    mf_layout_link *link = &l->links[i];
    const mf_layout_box *from = &l->boxes[link->from], *to = &l->boxes[link->to];
    int first = s->v[link->from].layer, bends = s->v[link->to].layer - first - 1;
    size_t n = 0;

    link->points = calloc(2 * (2 * (size_t)bends + 2), sizeof *link->points);
    if (!link->points)
        return no_memory();
    link->points[n++] =
        from->x + from->width * (link->slot + 1) / ((from->slots ? from->slots : 1) + 1);
    link->points[n++] = from->y + from->height;
    for (int k = 0; k < bends; k++) {
        link->points[n++] = s->v[ways[i][k]].x;
        link->points[n++] = top[first + 1 + k];
        link->points[n++] = s->v[ways[i][k]].x;
        link->points[n++] = bottom[first + 1 + k];
    }
    link->points[n++] = entry(s, i, ways);
    link->points[n++] = to->y;
    link->count = n / 2;
    return MF_OK;
}

static mf_status settle(solver *s, size_t *const *ways)
{
    double *top = calloc((size_t)s->layer_count + 1, sizeof *top);
    double *bottom = calloc((size_t)s->layer_count + 1, sizeof *bottom);
    mf_status status = top && bottom ? settle_boxes(s, top, bottom) : no_memory();

    for (size_t i = 0; i < s->l->link_count && !status; i++)
        status = settle_link(s, i, ways, top, bottom);
    free(top);
    free(bottom);
    return status;
}

static mf_status solve(solver *s, size_t **ways)
{
    mf_layout *l = s->l;
    size_t index;

    for (size_t i = 0; i < l->box_count; i++)
        MF_TRY(add_vertex(s, (vertex){.width = l->boxes[i].width}, &index));
    MF_TRY(find_layers(s));
    for (size_t i = 0; i < s->count; i++) {
        if (s->v[i].layer >= s->layer_count)
            s->layer_count = s->v[i].layer + 1;
    }
    MF_TRY(route_all(s, ways));
    MF_TRY(fill_layers(s));
    order(s);
    MF_TRY(place(s));
    return settle(s, ways);
}

mf_status mf_layout_solve(mf_layout *l)
{
    solver s = {.l = l};
    size_t **ways = calloc(l->link_count + 1, sizeof *ways);
    mf_status status = ways ? MF_OK : no_memory();

    for (size_t i = 0; i < l->link_count && !status; i++) {
        if (l->links[i].from >= l->links[i].to || l->links[i].to >= l->box_count)
            status = mf_fail(MF_INVALID, "link %zu of a drawing does not go forward", i);
    }
    if (!status)
        status = solve(&s, ways);
    for (size_t i = 0; ways && i < l->link_count; i++)
        free(ways[i]);
    free(ways);
    free(s.v);
    free(s.s);
    free(s.layers);
    free(s.slots);
    free(s.best);
    free(s.sum);
    free(s.weight);
    if (status)
        mf_layout_clear(l);
    return status;
}

void mf_layout_clear(mf_layout *l)
{
    for (size_t i = 0; i < l->link_count; i++) {
        free(l->links[i].points);
        l->links[i].points = NULL;
        l->links[i].count = 0;
    }
}
