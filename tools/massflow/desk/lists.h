/* lists.h - the labels or masks of a source, with names, sizes and places, for a page. */
#ifndef MASSFLOW_DESK_LISTS_H
#define MASSFLOW_DESK_LISTS_H

#include "source.h"

#include <json-c/json.h>

/* Puts `labels`: label, name and color where it has them, voxels, and at, a voxel x y z on the
 * axial slice where it is largest. MF_INVALID for a source of another kind. */
MF_MUST_USE mf_status desk_list_labels(const desk_source *source, json_object *o);
/* Puts `masks`: mask, score, voxels, at, a voxel inside of it, and axis and slice where it was
 * found on one. */
MF_MUST_USE mf_status desk_list_masks(const desk_source *source, json_object *o);

#endif
