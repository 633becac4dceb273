/* folder.h - folders for the files of a task, in TMPDIR: removed when it ends, and those that
 * killed processes left by whoever comes next. */
#ifndef MASSFLOW_RUN_FOLDER_H
#define MASSFLOW_RUN_FOLDER_H

#include <massflow/error.h>

#include <stdbool.h>

/* A new one; *path is for free(). With `keep` mf_folders_sweep leaves it alone. */
MF_MUST_USE mf_status mf_folder_new(bool keep, char **path);
/* A process group uses it now. */
void mf_folder_used_by(const char *path, int group);
void mf_folder_remove(const char *path);

/* Removes the folders of this user in TMPDIR whose owner ran on this system and is gone, with all
 * process groups that used them. What can't be known to be so stays. Returns how many it removed.
 */
int mf_folders_sweep(void);

#endif
