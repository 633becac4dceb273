/* rank_groups.h - transports between the threads of several processes (<massflow/program.h>): the
 * threads of one process by rank_threads.h, thread i of one process and thread i of another by a
 * transport of their own. With D threads a process, thread i of process p is rank p D + i.
 *
 * Only such ranks exchange anything with each other whose numbers differ in their process or in
 * their thread, not in both: those of recursive halving. */
#ifndef MF_COMMON_RANK_GROUPS_H
#define MF_COMMON_RANK_GROUPS_H

#include <massflow/program.h>

typedef struct mf_rank_groups mf_rank_groups;
/* between [threads]: from each thread of this process to the same one of the others; borrowed. */
MF_MUST_USE mf_status mf_rank_groups_new(int threads, mf_transport *const *between,
                                         mf_rank_groups **groups);
void mf_rank_groups_free(mf_rank_groups *groups); /* NULL is fine; after all threads */
/* That of one thread of this process; borrowed. */
mf_transport *mf_rank_groups_at(mf_rank_groups *groups, int thread);

#endif
