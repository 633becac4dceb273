/* disjoint.h - cases that are trained on must not judge the result. */
#ifndef MF_MASS_DISJOINT_H
#define MF_MASS_DISJOINT_H

#include <massflow/stage.h>

/* Whether no item of the list `a` is an item of the list `b`, by content; either may be empty. */
MF_MUST_USE mf_status mf_disjoint(mf_task *t, const char *a, const char *b);

#endif
