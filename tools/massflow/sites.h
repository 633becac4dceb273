/* sites.h - what the commands about pools share: the file of pools, opened; and the options that
 * name it. */
#ifndef MF_SITES_H
#define MF_SITES_H

#include "command.h"
#include "run/pool/site.h"

#define OPTION_POOLS                                                                               \
    {                                                                                              \
        0, "pools", "FILE", "the file of pools; default: ~/.config/massflow/pools.yaml"            \
    }

/* Reads the file that --pools names, or the usual one, and prints what is wrong with it. 0, or an
 * exit code. */
int open_site(const args *a, mf_site **site);
/* The same of a file, or of the usual one where `path` is NULL; what is wrong with it is one error
 * whose message has all errors of the file with their places. */
MF_MUST_USE mf_status read_site(const char *path, mf_site **site);
/* "Slurm, at most 8 workers, each with 8 slots, 32 GB, for 12 h". */
void site_pool_words(FILE *out, const mf_pool *p);

/* The address at which a run listens for the workers of its pools, "HOST:PORT": `listen` where it
 * is not NULL, else what the site says, else this host's name; without a port that of `last` (an
 * address; or NULL), else 0: any. An error where the host's name is known to itself alone. The
 * caller frees *address. */
MF_MUST_USE mf_status listen_address(const char *listen, const mf_site *site, const char *last,
                                     char **address);
/* "HOST:PORT" as workers are told it: the host as `listen` names it, the port of `bound`. */
MF_MUST_USE mf_status connect_address(const char *listen, const char *bound, char **connect);

#endif
