/* params.h - what the plugin host and the graph need of parameters beyond stages.h. */
#ifndef MF_STAGES_PARAMS_H
#define MF_STAGES_PARAMS_H

#include "stages/stages.h"

size_t mf_param_field_size(mf_param_kind kind); /* 0 for no kind */
bool mf_param_list(mf_param_kind kind);         /* written in brackets */
/* "1 to 100 mm", "at least 0"; the caller frees. */
char *mf_param_range(const mf_param *param);
/* A word of a choice, and its other spellings, joined by =. Neither ends with a NUL. */
typedef struct mf_choice {
    const char *word, *others;
    size_t length, others_length;
} mf_choice;
/* The next word; start with *rest at `choices`. False past the last. */
bool mf_param_word(const mf_param *param, const char **rest, mf_choice *choice);
/* A parameter's value as a graph file would write it; the caller frees. */
char *mf_param_show(const mf_params *params, const mf_param *param);

mf_params *mf_params_empty(const mf_stage *stage); /* nothing set; NULL when memory is short */
MF_MUST_USE mf_status mf_params_fallback(mf_params *params, const mf_param *param);
/* A copy to set more in, of parameters that are not finished. */
MF_MUST_USE mf_status mf_params_copy(const mf_params *from, mf_params **params);

#endif
