/* get.h - what the files of the command get share. */
#ifndef MF_GET_H
#define MF_GET_H

#include "run/output/output.h"
#include "workspace.h"

/* The output of a node that is meant: the one named, the only one, the only one that `file` (or
 * NULL) can hold, or the only one that came out. 0, or an exit code after printing why not. */
int get_port(const workspace *w, const mf_target *target, const mf_plan_node *n, const char *file,
             uint32_t *port);
/* One of several files to be written. */
typedef struct get_item {
    const mf_plan_node *node;
    uint32_t port;
    char *path; /* freed with the list */
} get_item;

/* The results of the second operand and all after it as files of `folder`. An exit code. */
int get_many(const args *a, workspace *w, const char *folder);

/* With --names: the names of a label map beside its file. An exit code. */
int get_names(const args *a, const workspace *w, const mf_artifact *artifact, const char *file,
              const mf_output_rule *rule);

/* With --nnunet. Gives the files their places in a raw data set, and refuses what makes none; makes
 * the folders; and, when the files are there, writes dataset.json. Exit codes. */
int nnunet_lay_out(const args *a, workspace *w, const char *folder, get_item *items, size_t count);
int nnunet_folders(const char *folder, const get_item *items, size_t count);
int nnunet_describe(const args *a, workspace *w, const char *folder, get_item *items, size_t count,
                    const mf_output_rule *rule);

#endif
