/* path.h - names of files: where they really lie, and how a shell takes them. */
#ifndef MASSFLOW_BASE_PATH_H
#define MASSFLOW_BASE_PATH_H

#include <stdbool.h>

/* The folder of a file that need not be there, with all links on the way followed. NULL, with errno
 * set, where it has none or memory is short. The caller frees. */
char *mf_real_folder(const char *path);
/* The same with the file's own name, of which a link is not followed. */
char *mf_real_name(const char *path);
/* The text as one word of a shell: as it is where it has letters, digits and "_./+-" alone and does
 * not begin with "-", else, or where `always`, in quotes. Never NULL; the caller frees. */
char *mf_shell_word(const char *text, bool always);
/* Whether a name leads down from where it begins: it is not absolute and has no "." and "..". A
 * file that it names lies in that folder. Empty is fine. */
bool mf_path_leads_down(const char *name);

#endif
