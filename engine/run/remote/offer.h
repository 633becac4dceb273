/* offer.h - the input files of a node, as a worker on another machine may read them here.
 *
 * The worker is told names and digests. It reads the files itself where it finds the same content
 * under these names; else it asks for the bytes, by number: of the input, then of the byte in all
 * its files one after the other. It can name no path. What is sent is what the plan hashed, and
 * where it no longer is the answer is an error. */
#ifndef MASSFLOW_RUN_REMOTE_OFFER_H
#define MASSFLOW_RUN_REMOTE_OFFER_H

#include "run/plan/files.h"
#include "run/worker/wire.h"

#define MF_OFFER_SLICE ((size_t)1 << 20) /* bytes at a time */

typedef struct mf_offer mf_offer;
/* Borrows both; `files` may be NULL. */
MF_MUST_USE mf_status mf_offer_new(const mf_file_watch *files, mf_store *store, mf_offer **offer);
void mf_offer_free(mf_offer *offer); /* NULL is fine */
/* How many; of each its path as the user wrote it, the absolute folder, how many parts: of each the
 * name from that folder on, and digest. */
MF_MUST_USE mf_status mf_offer_put(const mf_offer *offer, mf_packet *p);
/* Question: number. Answer: how many files, of each name from the folder on, bytes, and whether it
 * is a program; an empty folder ends with "/". */
MF_MUST_USE mf_status mf_offer_list(mf_offer *offer, mf_packet *question, mf_packet *answer);
/* Question: number, first byte, how many. Calls with slices. */
MF_MUST_USE mf_status mf_offer_read(mf_offer *offer, mf_packet *question,
                                    mf_status (*call)(void *self, const void *bytes, size_t size),
                                    void *self);

#endif
