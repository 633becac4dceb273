/* site.h - the file of a site that says where workers come from: its pools. It knows nothing of
 * graphs, and nothing that it says is part of a key.
 *
 *     listen: login1                  # the address that workers connect to; HOST or HOST:PORT
 *     pools:
 *       gpu:
 *         submit: slurm
 *         sbatch: [--partition=gpu, --gres=gpu:1, --cpus-per-task=8, --mem=32G]
 *         time: 12:00:00
 *         max: 8
 *       office:
 *         submit: command
 *         command: ssh office massflow worker --connect {connect} --token {token} --pool {pool} */
#ifndef MASSFLOW_RUN_SITE_H
#define MASSFLOW_RUN_SITE_H

#include "graph/text/diagnostics.h"

#include <stddef.h>
#include <stdint.h>

/* How an allocation is asked for. */
typedef enum mf_submit {
    MF_SUBMIT_SLURM,  /* sbatch, with a script that ends as a worker */
    MF_SUBMIT_COMMAND /* a line for a shell */
} mf_submit;

typedef struct mf_pool {
    const char *name;
    mf_submit submit;
    const char *const *sbatch; /* arguments of sbatch, as given */
    size_t sbatch_count;
    /* Lines for a shell, with {connect}, {token}, {pool} and {name}; NULL: none. `count` prints how
     * many allocations with this name wait or run, `cancel` ends those that wait. */
    const char *command, *count, *cancel;
    const char *mpi; /* srun --mpi=: each task of an allocation is a worker then; NULL: none */
    const char *const *setup; /* lines of the script before the worker starts */
    size_t setup_count;
    const char *program;   /* massflow, as the nodes find it; NULL: where this one lies */
    const char *time_text; /* as given; NULL: none */
    double time;           /* s, of an allocation; INFINITY: none given */
    int max;               /* workers at one time */
    int backlog;           /* of these, that wait in the queue */
    double idle;           /* s without work after which a worker ends */
    int slots;             /* 0: the cores of the allocation */
    size_t memory;         /* bytes; 0: not known */
    int devices;           /* below 0: not known */
    int signal;            /* s before its end that the batch system sends SIGTERM */
    bool token_by_environment;
    mf_place place; /* of its name in the file; its texts are the site's */
} mf_pool;

/* The value of an option among the arguments of sbatch: "--mem=4G", "--mem 4G" as two of them,
 * "-c8", "-c 8" as two. NULL: not there. *first, *behind: where it is, if not NULL. */
const char *mf_pool_argument(const mf_pool *p, const char *name, char letter, size_t *first,
                             size_t *behind);
/* Workers of an allocation: the tasks that sbatch is asked for with `mpi`, else 1; 0: it is not
 * told how many. */
int mf_pool_tasks(const mf_pool *p);

typedef struct mf_site mf_site;

/* The file that --pools names, or NULL: MASSFLOW_POOLS, else massflow/pools.yaml in the user's
 * configuration (XDG_CONFIG_HOME, ~/.config), else /etc/massflow/pools.yaml. Errors in it are
 * diagnostics, and *site is NULL then; a status is returned where it can't be read. */
MF_MUST_USE mf_status mf_site_read(const char *path, mf_diagnostics *diagnostics, mf_site **site);
void mf_site_free(mf_site *site); /* NULL is fine */

const char *mf_site_path(const mf_site *site);
const char *mf_site_listen(const mf_site *site); /* NULL: not given */
const char *mf_site_folder(const mf_site *site); /* for scripts, tokens and logs; NULL: not given */
/* A folder for chunks that the nodes see, and the bytes that it may hold; NULL: not given. */
const char *mf_site_spool(const mf_site *site, int64_t *bytes);
size_t mf_site_count(const mf_site *site);
const mf_pool *mf_site_pool(const mf_site *site, size_t i);
/* The pool of this name: else an error that lists those that there are. */
MF_MUST_USE mf_status mf_site_find(const mf_site *site, const char *name, const mf_pool **pool);
/* The pools of "gpu,cpu", each once. The caller frees *pools. */
MF_MUST_USE mf_status mf_site_choose(const mf_site *site, const char *names, const mf_pool ***pools,
                                     size_t *count);

#endif
