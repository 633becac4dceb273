/* choices.h - which regions of one size become masks where there are more than are allowed. */
#ifndef MF_SLIC_CHOICES_H
#define MF_SLIC_CHOICES_H

#include "regions.h"

#include <massflow/error.h>
#include <stddef.h>
#include <stdint.h>

/* A region that may become a mask. */
typedef struct mf_choice {
    mf_region of;   /* as it was in its turn */
    double edge;    /* visible share of its border */
    int32_t region; /* its number */
    int32_t turn;   /* 0: a supervoxel; else a union, 1 for the first merge threshold */
} mf_choice;

/* Zeroed: none, before the first turn. */
typedef struct mf_choices {
    mf_choice *list;
    size_t count;
    int32_t **union_of; /* [turns][regions] at the end of each turn, as in mf_regions */
    size_t turns;
} mf_choices;

/* Adds region n to the turn that is not ended. */
MF_MUST_USE mf_status mf_choices_add(mf_choices *choices, const mf_regions *regions, int32_t n,
                                     double edge);

/* Ends a turn: keeps which supervoxel is in which region now. */
MF_MUST_USE mf_status mf_choices_turn(mf_choices *choices, const mf_regions *regions);

/* Keeps at most `most`, by turn and number. All turns may have the same number, of which one with
 * fewer leaves the rest to the others; the largest of a turn are kept. Returns how many it drops.
 */
size_t mf_choices_keep(mf_choices *choices, size_t most);

void mf_choices_free(mf_choices *choices);

#endif
