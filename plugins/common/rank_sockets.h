/* rank_sockets.h - a transport between ranks by stream sockets, one to each other rank
 * (<massflow/program.h>): between processes, and as well between threads. */
#ifndef MF_COMMON_RANK_SOCKETS_H
#define MF_COMMON_RANK_SOCKETS_H

#include <massflow/program.h>

typedef struct mf_rank_sockets mf_rank_sockets;
/* sockets [ranks]: connected stream sockets; that of the rank itself is not read. They are closed
 * with it, also after an error. */
MF_MUST_USE mf_status mf_rank_sockets_new(int rank, int ranks, const int *sockets,
                                          mf_rank_sockets **made);
void mf_rank_sockets_free(mf_rank_sockets *s);               /* NULL is fine */
mf_transport *mf_rank_sockets_transport(mf_rank_sockets *s); /* borrowed */

#endif
