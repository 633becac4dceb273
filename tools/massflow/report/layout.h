/* layout.h - where the boxes and lines of a layered drawing stand, from top to bottom.
 *
 * In four steps, after Sugiyama, Tagawa and Toda (1981): layers by the longest way from a source;
 * points on each layer that a long line passes; an order in each layer with few crossings; places
 * that keep the order and pull what is linked together. It knows nothing of graph files. */
#ifndef MF_REPORT_LAYOUT_H
#define MF_REPORT_LAYOUT_H

#include <massflow/error.h>
#include <stddef.h>
#include <stdint.h>

typedef struct mf_layout_box {
    double width, height; /* given */
    uint32_t slots;       /* given: places along its lower side where lines leave */
    double x, y;          /* found: the upper left corner */
} mf_layout_box;

/* Lines that leave one slot run together as far as they can. */
typedef struct mf_layout_link {
    uint32_t from, slot, to; /* given */
    double *points;          /* found: x y from the slot to the upper side of `to` */
    size_t count;            /* of points */
} mf_layout_link;

typedef struct mf_layout {
    mf_layout_box *boxes;
    size_t box_count;
    mf_layout_link *links; /* none from a box to itself or back to one above */
    size_t link_count;
    double gap_x, gap_y;  /* given: between boxes, between layers */
    double width, height; /* found */
} mf_layout;

/* Boxes must be in an order in which links go forward. */
MF_MUST_USE mf_status mf_layout_solve(mf_layout *layout);
/* Frees the points; boxes and links are the caller's. */
void mf_layout_clear(mf_layout *layout);

#endif
