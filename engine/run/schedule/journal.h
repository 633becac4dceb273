/* journal.h - what is written down of a run while it goes on: its nodes and what they said.
 *
 * Belongs to the scheduler's thread. Entries are gathered and written many at a time. */
#ifndef MASSFLOW_RUN_JOURNAL_H
#define MASSFLOW_RUN_JOURNAL_H

#include "store/store.h"

typedef struct mf_journal mf_journal;

/* Without a store nothing is kept. */
MF_MUST_USE mf_status mf_journal_open(mf_store *store, const mf_run_start *start,
                                      mf_journal **journal);
int64_t mf_journal_run(const mf_journal *journal); /* the run's id in the store */
/* Its message and key are copied; its names must stay until the next flush. */
MF_MUST_USE mf_status mf_journal_node(mf_journal *journal, const mf_run_node *entry);
/* `node` must stay while the journal is there; `text` is copied. What a node says is kept up to a
 * limit, and so is what all of them say; where that is reached a line says so. */
MF_MUST_USE mf_status mf_journal_line(mf_journal *journal, const char *node, const char *text);
MF_MUST_USE mf_status mf_journal_flush(mf_journal *journal);
/* Writes what is left and how the run ended. */
MF_MUST_USE mf_status mf_journal_end(mf_journal *journal, const char *status);
void mf_journal_free(mf_journal *journal); /* NULL is fine */

double mf_journal_now(void); /* seconds since 1970, with fractions */

#endif
