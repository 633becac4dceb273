/* spool.h - chunks in a folder that workers on other machines see, beside the connection.
 *
 * The process of the run writes what it has sent to one worker there, in a thread of its own, so
 * that no node waits for it; the next worker that lacks the chunk reads it from the folder. Nothing
 * rests on it: what is missing there, or is not what its name says, comes by the connection. */
#ifndef MASSFLOW_RUN_REMOTE_SPOOL_H
#define MASSFLOW_RUN_REMOTE_SPOOL_H

#include "store/chunk_cache.h"

typedef struct mf_spool mf_spool;

/* `most`: bytes that it may hold. `tell` (may be NULL) hears, once, that it can't be written. */
MF_MUST_USE mf_status mf_spool_open(const char *dir, int64_t most,
                                    void (*tell)(void *self, const char *line), void *self,
                                    mf_spool **spool);
void mf_spool_close(mf_spool *spool); /* NULL is fine; the folder stays */
const char *mf_spool_dir(const mf_spool *spool);
/* Copies the chunk, which is written later; where too much waits it is left out. From any thread.
 */
void mf_spool_put(mf_spool *spool, const uint8_t digest[MF_DIGEST_BYTES], const mf_chunk *chunk);

#endif
