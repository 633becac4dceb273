/* label_colour.h - a colour for each label: its own, or one by its value. */
#ifndef MF_COMMON_LABEL_COLOUR_H
#define MF_COMMON_LABEL_COLOUR_H

#include <massflow/names.h>

#ifdef __cplusplus
extern "C" {
#endif

/* By value: neighbours in number differ most. */
void mf_label_colour(int64_t label, uint8_t rgb[3]);
/* The colour that the names give a value, else the one by value. */
void mf_named_colour(const mf_names *names, int64_t label, uint8_t rgb[3]);

#ifdef __cplusplus
}
#endif

#endif
