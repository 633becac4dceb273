/* look.h - what the files of the part Look share: results that are open, and JSON of their voxels.
 */
#ifndef MF_DESK_LOOK_H
#define MF_DESK_LOOK_H

#include "desk.h"
#include "slabs.h"

/* A volume, labels or masks that requests look at. */
typedef struct desk_opened {
    char id[65];
    desk_source *source;
    int users;
    uint64_t used;
} desk_opened;

/* looked_at.c */

/* The source that a request names by ?id=; in use until desk_look_leave. */
MF_MUST_USE mf_status desk_look_enter(const desk_request *q, desk_opened **opened);
void desk_look_leave(const desk_request *q, desk_opened *opened);
desk_slabs *desk_look_slabs(const desk_request *q); /* borrowed */
/* Answers with the object that `fill` makes of the source a request names. */
MF_MUST_USE mf_status desk_look_json(desk_request *q, desk_reply *r,
                                     mf_status (*fill)(const desk_source *s, json_object *o));

/* look.c */
json_object *desk_look_integers(const int64_t *v, int count);

/* Answers of requests below /api/look: look_lists.c, look_slices.c, look_file.c */
MF_MUST_USE mf_status desk_look_labels(desk_request *q, desk_reply *r);
MF_MUST_USE mf_status desk_look_masks(desk_request *q, desk_reply *r);
MF_MUST_USE mf_status desk_look_slices(desk_request *q, desk_reply *r);
MF_MUST_USE mf_status desk_look_file(desk_request *q, desk_reply *r);

#endif
