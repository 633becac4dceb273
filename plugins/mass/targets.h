/* targets.h - what a classifier learns of cases: classes by name, and which of them a case has. */
#ifndef MF_MASS_TARGETS_H
#define MF_MASS_TARGETS_H

#include <massflow/stage.h>

enum { MF_TARGETS_MOST = 64 };

typedef struct mf_targets {
    char *name[MF_TARGETS_MOST];
    int64_t count;
    const char *target; /* the parameter that named them; borrowed */
    bool multi_label;   /* each name is a column of 0 and 1, in the order of `target`; else a value
                         * of the column `target`, sorted */
} mf_targets;           /* starts as {0} */

void mf_targets_clear(mf_targets *c);
int64_t mf_targets_find(const mf_targets *c, const char *name); /* -1: none */

/* What case i of a port is: the column of its case, else the attribute of its artifact. *there:
 * whether it has either. */
MF_MUST_USE mf_status mf_target_text(mf_task *t, const char *port, size_t i, const char *column,
                                     char *text, size_t size, bool *there);
/* The same, where it must be there. */
MF_MUST_USE mf_status mf_target_of(mf_task *t, const char *port, size_t i, const char *column,
                                   char *text, size_t size);

/* The values of `target` that the cases of the port `train` have: at least two. Cases without one
 * are passed over where `gaps` says so, else an error. */
MF_MUST_USE mf_status mf_targets_collect(mf_task *t, const char *target, bool gaps, mf_targets *c);
/* Columns joined by commas; one is enough. */
MF_MUST_USE mf_status mf_targets_columns(const char *target, mf_targets *c);

/* The cases of a port that are used, and their classes. */
typedef struct mf_truth {
    size_t *at;     /* [n]: their places in the port */
    uint8_t *label; /* [n, classes]: 0 or 1 */
    int64_t n;
} mf_truth; /* starts as {0} */
void mf_truth_clear(mf_truth *truth);
/* Cases with a gap are left out and logged by name where `gaps` says so, else an error. */
MF_MUST_USE mf_status mf_truth_read(mf_task *t, const char *port, const mf_targets *c, bool gaps,
                                    mf_truth *truth);

#endif
