/* rank_links.h - direct connections between the workers that run one node together, as transports
 * of its devices (<massflow/transport.h>).
 *
 * Each worker listens at an address of its own; the run tells all addresses to all. They prove to
 * each other, as a worker and a run do (frames.h), that they know a secret that the run has drawn
 * for this start of the node, and all that travels is sealed. A worker has a connection for each of
 * its devices to each of those whose number differs from its own in one bit: others exchange
 * nothing. On a new connection the worker with the higher number says MF_LINK_RANK. Then each
 * message is one or several MF_LINK_BYTES: bytes of the whole message, the next of them. */
#ifndef MASSFLOW_RUN_REMOTE_RANK_LINKS_H
#define MASSFLOW_RUN_REMOTE_RANK_LINKS_H

#include "run/remote/frames.h"
#include <massflow/transport.h>

#define MF_RANK_LINKS_MOST 64 /* workers */

typedef struct mf_rank_links mf_rank_links;

typedef struct mf_rank_links_options {
    int rank, ranks, devices; /* its number, how many workers, devices of each */
    mf_token secret;
    double seconds; /* in which all have to be connected */
} mf_rank_links_options;

/* Listens at this host's address of a connected socket. */
MF_MUST_USE mf_status mf_rank_links_new(const mf_rank_links_options *options, int beside,
                                        mf_rank_links **links);
void mf_rank_links_free(mf_rank_links *links);                 /* NULL is fine */
const char *mf_rank_links_address(const mf_rank_links *links); /* "10.0.0.5:40123" */
/* Connects; addresses [ranks]. MF_CANCELLED once it is aborted. */
MF_MUST_USE mf_status mf_rank_links_meet(mf_rank_links *links, const char *const *addresses);
mf_transport *const *mf_rank_links_transports(mf_rank_links *links); /* [devices], borrowed */
/* Whoever waits here or at the other ends fails as MF_CANCELLED. From any thread. */
void mf_rank_links_abort(mf_rank_links *links);
void mf_rank_links_beat(mf_rank_links *links); /* heartbeats, where they are due; from any thread */

#endif
