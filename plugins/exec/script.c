/* script.c - see script.h. */
#include "script.h"

#include "command.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether a word of a command names a script by a path that is not absolute. */
static bool names_script(const char *word)
{
    static const char *const suffixes[] = {".py", ".sh", ".bash", ".r",  ".pl",  ".m",
                                           ".jl", ".js", ".lua",  ".rb", ".jar", ".ipynb"};
    size_t length = strlen(word);

    if (*word == '/' || *word == '-' || strpbrk(word, "{}*?$`|;&<>()="))
        return false;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t n = strlen(suffixes[i]);
        if (length > n && !strcasecmp(word + length - n, suffixes[i]))
            return true;
    }
    return false;
}

static bool is_below(const char *folder, const char *name)
{
    char *path;
    bool there;

    if (!folder || asprintf(&path, "%s/%s", folder, name) < 0)
        return false;
    there = access(path, F_OK) == 0;
    free(path);
    return there;
}

static mf_status say_where(mf_status failure, const char *word, const char *files)
{
    char *here = getcwd(NULL, 0);

    if (is_below(files, word))
        failure =
            mf_hint(failure, "'%s' lies in the folder 'files': it is {files}/%s in the command",
                    word, word);
    else if (is_below(here, word))
        failure = mf_hint(failure,
                          "'%s' lies in %s, but a command runs in a folder of its own: give it as "
                          "'files: %s', and write {files} in the command",
                          word, here, word);
    else
        failure = mf_hint(failure,
                          "there is no '%s' in the folder where the command runs, nor in %s; a "
                          "script is given as 'files', and is {files} in the command",
                          word, here ? here : "the current folder");
    free(here);
    return failure;
}

mf_status script_hint(mf_status failure, const char *command, const char *files, const char *folder)
{
    char **words = NULL;
    mf_status unreadable;

    if (!failure || mf_error_code(failure) == MF_CANCELLED || mf_error_hint_text(failure))
        return failure;
    unreadable = command_split(command, &words);
    if (unreadable) { /* a script for a shell */
        mf_error_free(unreadable);
        return failure;
    }
    for (size_t i = 0; words[i]; i++)
        if (names_script(words[i]) && !is_below(folder, words[i])) {
            failure = say_where(failure, words[i], files);
            break;
        }
    free(words);
    return failure;
}
