/* prompts.h - points and a box on a slice, as a page sends them. */
#ifndef MASSFLOW_DESK_PROMPTS_H
#define MASSFLOW_DESK_PROMPTS_H

#include "click_graph.h"
#include "desk.h"

enum { PROMPTS_MOST = 256 };

/* Prompts as the page sends them: voxel indices x y z of the volume, all on one slice.
 * {"axis": 2, "slice": 40, "points": [[x, y, z, label], ...], "box": [x, y, z, x, y, z] or null} */
typedef struct prompts {
    int axis; /* of arrays */
    int64_t slice;
    size_t points, corners;
    double xyz[PROMPTS_MOST][3]; /* points */
    int labels[PROMPTS_MOST];
    double box[2][3];
} prompts;

/* Of the body of a request, or of an object in it. MF_INVALID where there is none. */
MF_MUST_USE mf_status prompts_read(const desk_request *q, json_object *o, prompts *p);
/* From voxels to RAS+ mm, in place; what is returned borrows of them. */
click_prompts prompts_to_world(prompts *p, const mf_grid *grid);

#endif
