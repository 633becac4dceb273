/* tensor_names.h - SAM 2's tensors as the package `transformers` calls them, under the original
 * names. */
#ifndef SAM2_TENSOR_NAMES_H
#define SAM2_TENSOR_NAMES_H

#include "../../weights/tensors.h"

/* Whether these are tensors of Sam2Model or Sam2VideoModel. */
bool sam2_names_foreign(const mf_tensors *t);
/* Renames them in place, in order of name again. Names that no rule knows stay as they are. */
MF_MUST_USE mf_status sam2_names_original(mf_tensors *t);

#endif
