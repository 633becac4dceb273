/* slurm.h - what Slurm is asked and what it answers, as texts: the script of a worker, the words of
 * sbatch, squeue and scancel, and the lines of squeue. It starts nothing. */
#ifndef MASSFLOW_RUN_SLURM_H
#define MASSFLOW_RUN_SLURM_H

#include "base/arena.h"
#include "run/pool/growth.h"
#include "run/pool/site.h"

/* What a worker of a pool is started with. */
typedef struct mf_pool_worker {
    const mf_pool *pool;
    const char *name;    /* of the allocations: "massflow-gpu-1a2b3c4d"; no other run has it */
    const char *connect; /* HOST:PORT */
    const char *token;   /* the file; absolute */
    const char *program; /* massflow; absolute */
    const char *plugins; /* more of them, as options: "--plugins DIR"; or "" */
    const char *log;     /* the folder for what workers print; absolute */
} mf_pool_worker;

/* The words of the worker's command line behind its program, quoted for a shell. `ends` is text for
 * the shell, or NULL. */
char *mf_worker_words(mf_arena *arena, const mf_pool_worker *w, const char *slots,
                      const char *ends);
/* A line of the site with its words in braces replaced, each as one word of a shell. */
char *mf_pool_line(mf_arena *arena, const mf_pool_worker *w, const char *line);

/* The script that sbatch is given. */
char *mf_slurm_script(mf_arena *arena, const mf_pool_worker *w);
/* Words of sbatch that ask for `count` allocations; `excluded`: hosts, or "". End with NULL. */
const char *const *mf_slurm_submit(mf_arena *arena, const mf_pool_worker *w, const char *script,
                                   size_t count, const char *excluded);
/* Words of squeue that ask for all allocations of some names, joined by commas. */
const char *const *mf_slurm_count(mf_arena *arena, const char *names);
/* Words of scancel: what waits of a name, or with `all` also what runs. */
const char *const *mf_slurm_cancel(mf_arena *arena, const char *name, bool all);

/* One allocation of the answer of squeue. */
typedef struct mf_slurm_job {
    const char *name;
    mf_seen seen;
    const char *reason; /* why it waits: "Resources" */
} mf_slurm_job;

/* The lines of squeue; those that are none are passed over. The texts are the arena's. */
void mf_slurm_read(mf_arena *arena, const char *text, mf_slurm_job **jobs, size_t *count);

/* What the pool's workers have, as far as the site and the arguments of sbatch say; slots: 1,
 * memory and devices: 0 where nothing does. Of a limit of memory nine tenths are for nodes. */
void mf_slurm_sizes(const mf_pool *pool, int *slots, size_t *memory, int *devices);

#endif
