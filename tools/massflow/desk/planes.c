/* planes.c - see planes.h. */
#include "planes.h"
#include <math.h>
#include <string.h>

/* A cosine below this (17 degrees off a plane) is not worth a letter of its own. */
static const double oblique = 0.3;

/* axis[w]: the axis of the grid that runs along world axis w (0 right, 1 front, 2 head): of the six
 * ways to pair them the one with the largest sum of cosines, so that no axis is used twice. */
static void pair_axes(const mf_grid *g, int axis[3])
{
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    double best = -1;
    for (int k = 0; k < 6; k++) {
        double sum = 0;
        for (int w = 0; w < 3; w++)
            sum += fabs(g->direction[3 * w + orders[k][w]]);
        if (sum > best + 1e-9) {
            best = sum;
            memcpy(axis, orders[k], sizeof orders[k]);
        }
    }
}

/* Letters of a direction in RAS+, the strongest first. The strongest always has one. */
static void name_direction(const double d[3], char mark[DESK_MARK])
{
    bool used[3] = {false, false, false};
    int n = 0;
    for (int k = 0; k < 3; k++) {
        int most = -1;
        for (int w = 0; w < 3; w++)
            if (!used[w] && (most < 0 || fabs(d[w]) > fabs(d[most])))
                most = w;
        used[most] = true;
        if (k == 0 || fabs(d[most]) >= oblique)
            mark[n++] = (d[most] > 0 ? "RAS" : "LPI")[most];
    }
    mark[n] = 0;
}

/* The marks at both ends of an axis as it is drawn: at the end where drawing starts (left, top) and
 * at the other. */
static void mark_ends(const mf_grid *g, int axis, bool back, char start[DESK_MARK],
                      char end[DESK_MARK])
{
    double to_end[3], to_start[3];
    for (int w = 0; w < 3; w++) {
        to_end[w] = g->direction[3 * w + axis] * (back ? -1 : 1);
        to_start[w] = -to_end[w];
    }
    name_direction(to_start, start);
    name_direction(to_end, end);
}

/* Whether the index of `axis` grows towards + of world axis w. */
static bool grows(const mf_grid *g, int axis, int w)
{
    return g->direction[3 * w + axis] > 0;
}

void desk_planes(const mf_grid *grid, bool neurological, desk_plane planes[DESK_VIEWS])
{
    enum { RIGHT, FRONT, HEAD };
    static const int worlds[DESK_VIEWS][3] = {/* across, width, height */
                                              [DESK_AXIAL] = {HEAD, RIGHT, FRONT},
                                              [DESK_CORONAL] = {FRONT, RIGHT, HEAD},
                                              [DESK_SAGITTAL] = {RIGHT, FRONT, HEAD}};
    int axis[3];
    pair_axes(grid, axis);
    for (int v = 0; v < DESK_VIEWS; v++) {
        const int *w = worlds[v];
        desk_plane *p = planes + v;
        *p = (desk_plane){.across = axis[w[0]], .column = axis[w[1]], .row = axis[w[2]]};
        /* The + of its world axis lies on the left and at the top; right is on the right where
         * the patient is looked at from behind or from above. */
        p->across_back = !grows(grid, p->across, w[0]);
        p->column_back = grows(grid, p->column, w[1]);
        p->row_back = grows(grid, p->row, w[2]);
        if (neurological && w[1] == RIGHT)
            p->column_back = !p->column_back;
        mark_ends(grid, p->column, p->column_back, p->left, p->right);
        mark_ends(grid, p->row, p->row_back, p->top, p->bottom);
    }
}
