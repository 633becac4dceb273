/* legend.h - the names of the labels in a picture, below it. */
#ifndef OVERLAY_LEGEND_H
#define OVERLAY_LEGEND_H

#include <massflow/names.h>

/* Makes *rgb (u8 [h, w, 3]) higher, with a swatch, the value and the name of each of `values`
 * (ascending). *rgb is replaced; after an error it is as it was. */
MF_MUST_USE mf_status legend_add(const mf_names *names, const int64_t *values, size_t count,
                                 mf_array **rgb);

#endif
