/* planes.h - which axis of a volume's grid goes where when it is drawn, and which side of the
 * patient each edge of the picture shows. Knows geometry alone.
 *
 * A slice is cut along the axes of the grid, never interpolated: the plane nearest to axial is
 * drawn as axial. Of an oblique grid the letters say so: "RA" is to the right and to the front. */
#ifndef MASSFLOW_DESK_PLANES_H
#define MASSFLOW_DESK_PLANES_H

#include <massflow/artifact.h>

typedef enum desk_view { DESK_AXIAL, DESK_CORONAL, DESK_SAGITTAL, DESK_VIEWS } desk_view;

enum { DESK_MARK = 4 }; /* room for three letters */

/* A plane as it is drawn. Axes are those of the grid: 0 x, 1 y, 2 z. */
typedef struct desk_plane {
    int across;       /* the axis that slices are numbered along */
    bool across_back; /* its index falls to the head, to the front, or to the patient's right */
    int column, row;  /* the axes along the picture's width and height */
    bool column_back; /* the index along the width falls from left to right */
    bool row_back;    /* the index along the height falls from top to bottom */
    /* Where one goes from the middle to each edge: "R", "L", "A", "P", "S", "I", or several. */
    char left[DESK_MARK], right[DESK_MARK], top[DESK_MARK], bottom[DESK_MARK];
} desk_plane;

/* The three planes in order of desk_view. Head and front are up; in sagittal planes the front is on
 * the left. The patient's right is on the left of axial and coronal planes, as radiologists look at
 * them; `neurological`: on the right. */
void desk_planes(const mf_grid *grid, bool neurological, desk_plane planes[DESK_VIEWS]);

#endif
