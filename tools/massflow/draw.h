/* draw.h - a picture of a stored result, over the scan that it belongs to. */
#ifndef MF_DRAW_H
#define MF_DRAW_H

#include "workspace.h"

/* "z", "y=12": an axis, and a slice or -1 */
MF_MUST_USE mf_status draw_parse(const char *text, mf_view *view);

/* Whether something draws this type. */
bool draw_can(const mf_registry *registry, const char *type);

/* u8 [h, w, 3]. `plan` and `node` say where the artifact comes from, so that its scan can be
 * looked for: among the node's own outputs, then above it. `plan` may be NULL. */
MF_MUST_USE mf_status draw_artifact(const mf_registry *registry, mf_plan *plan, size_t node,
                                    const mf_artifact *artifact, const mf_view *view,
                                    mf_array **rgb);

#endif
