/* trials.h - earlier runs as the rows of a table: parameters of their stages, and the numbers of
 * the tables that they came to. */
#ifndef MF_TRIALS_H
#define MF_TRIALS_H

#include "stages/stages.h"
#include "store/store.h"

typedef struct trial {
    const mf_run_entry *run;
    char **cells; /* by column; NULL: it has none */
    size_t room;  /* of cells */
} trial;

typedef struct trial_column {
    char *name; /* "encoder.steps", "dice.summary.dice", "dice.summary.dice[liver]" */
    bool metric;
    bool differs; /* between two trials */
} trial_column;

typedef struct trials {
    trial *rows; /* oldest first */
    size_t count;
    trial_column *columns;
    size_t column_count;
    mf_run_entry *runs; /* that the rows point to */
    size_t run_count;
} trials;

/* Of the runs of a graph (absolute path), or of all (NULL), at most `limit` of the newest (0: all).
 * A run that came to the same as a newer one is left out. Clear also after an error. */
MF_MUST_USE mf_status trials_read(mf_store *store, const mf_registry *registry, const char *graph,
                                  size_t limit, trials *t);
void trials_clear(trials *t);
/* "" where a trial has nothing there. */
const char *trials_cell(const trials *t, size_t row, size_t column);

#endif
