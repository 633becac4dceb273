/* command.h - the text of a command: its words, and the names in braces that stand for files. */
#ifndef EXEC_COMMAND_H
#define EXEC_COMMAND_H

#include <massflow/error.h>

#include <stdbool.h>

/* A port of exec.run: its name, and the forms of its file, the usual one first. */
typedef struct exec_port {
    const char *name;
    const char *suffixes; /* ".nii.gz .nii", or ANY_SUFFIX */
    bool list;            /* a folder with a file for each element */
} exec_port;
extern const exec_port exec_inputs[], exec_outputs[]; /* end with a NULL name */

typedef enum place_kind {
    PLACE_IN,      /* {in}: the folder of all inputs */
    PLACE_OUT,     /* {out}: the folder for outputs */
    PLACE_FILES,   /* {files} */
    PLACE_THREADS, /* {threads} */
    PLACE_INPUT,   /* {volume}, {volume.npy} */
    PLACE_OUTPUT   /* {out.labels}, {out.labels.npy} */
} place_kind;

#define INDEX_SUFFIX                                                                               \
    ".index" /* {volumes.index}: a table of the elements instead of their folder                   \
              */

#define ANY_SUFFIX "*" /* of a port whose file has a suffix of its own */

/* By output: the suffix of the file that a command names, or "" where it names none. */
typedef char output_suffix[16];

/* What a name in braces stands for. */
typedef struct place {
    place_kind kind;
    const exec_port *port; /* of INPUT and OUTPUT */
    char suffix[16];       /* the same: ".nii.gz"; "": that of the input's own name */
} place;

/* Puts what stands for a place into *text, which the caller of command_expand frees. */
typedef mf_status (*place_text)(void *self, const place *place, char **text);

/* Replaces the places of `text`; "{{" and "}}" are braces. {'...'} is the text in it as it is, with
 * each quote in it doubled: what comes from a case stands so (MF_COMMAND). For `shell` all that is
 * put in is quoted as its place in the script needs. */
MF_MUST_USE mf_status command_expand(const char *text, bool shell, place_text fill, void *self,
                                     char **expanded);
/* Words are separated by white space; quotes '...' and "..." keep it, and so does {'...'}; no other
 * character is special. Free *words, one block, with free(); NULL stands behind the last. */
MF_MUST_USE mf_status command_split(const char *text, char ***words);
/* Whether a word holds {'...'}. */
bool command_has_literal(const char *word);

#endif
