/* view.h - how volumes, labels, masks and samples are drawn for a look at them. */
#ifndef OVERLAY_VIEW_H
#define OVERLAY_VIEW_H

#include <massflow/stage.h>

extern const mf_type *const view_types[]; /* ends with NULL */

#endif
