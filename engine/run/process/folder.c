/* folder.c - see folder.h.
 *
 * A folder's file OWNER says whose it is: a line with the machine, one with process and start, one
 * with "keep" or "drop", then a line a process group. It is there, whole, before anything else is;
 * a folder without one is nobody's business here. */
#include "run/process/folder.h"
#include "store/process.h"
#include <massflow/file.h>

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "massflow-exec-"
#define OWNER ".massflow"

static const char *base(void)
{
    const char *given = getenv("TMPDIR");

    return given && *given ? given : "/tmp";
}

/* Its owner is named to the last: whoever is killed here leaves what can be told. */
static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    (void)about, (void)kind;
    if (where->level > 1 || (where->level == 1 && strcmp(path + where->base, OWNER)))
        remove(path); /* what can't be removed is left to the system */
    return 0;
}

void mf_folder_remove(const char *path)
{
    char *name = NULL;

    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (asprintf(&name, "%s/" OWNER, path) < 0)
        return;
    remove(name);
    free(name);
    remove(path);
}

/* ---- a new one ------------------------------------------------------------------------------- */

static mf_status write_owner(const char *path, bool keep)
{
    char *name = NULL, *begun = NULL;
    mf_process self;
    mf_status status = MF_OK;
    FILE *file = NULL;
    bool good;

    if (asprintf(&name, "%s/" OWNER, path) < 0)
        return mf_no_memory(0, "a folder");
    if (asprintf(&begun, "%s.new", name) < 0) {
        free(name);
        return mf_no_memory(0, "a folder");
    }
    mf_process_self(&self);
    file = fopen(begun, "wxe");
    good = file && fprintf(file, "%s\n%lld %lld\n%s\n", self.machine, (long long)self.pid,
                           (long long)self.start, keep ? "keep" : "drop") > 0;
    if (file)
        good &= fclose(file) == 0;
    if (!good || rename(begun, name) != 0)
        status = mf_fail(MF_IO, "%s: %s", name, strerror(errno));
    free(begun);
    free(name);
    return status;
}

mf_status mf_folder_new(bool keep, char **path)
{
    mf_status status;

    if (asprintf(path, "%s/" PREFIX "XXXXXX", base()) < 0) {
        *path = NULL;
        return mf_no_memory(0, "a folder");
    }
    if (mkdtemp(*path)) {
        char *whole = realpath(*path, NULL); /* commands run elsewhere */
        if (whole) {
            free(*path);
            *path = whole;
        }
        status = write_owner(*path, keep);
        if (!status)
            return MF_OK;
        mf_folder_remove(*path);
    } else {
        status =
            mf_hint(mf_fail(MF_IO, "no folder could be made in %s: %s", base(), strerror(errno)),
                    "TMPDIR in the environment names another place");
    }
    free(*path);
    *path = NULL;
    return status;
}

void mf_folder_used_by(const char *path, int group)
{
    char *name = NULL;
    FILE *file;

    if (asprintf(&name, "%s/" OWNER, path) < 0)
        return;
    file = fopen(name, "ae");
    if (file) {
        fprintf(file, "%d\n", group);
        fclose(file);
    }
    free(name);
}

/* ---- those that were left -------------------------------------------------------------------- */

static bool group_lives(long group)
{
    return group > 1 && (kill((pid_t)-group, 0) == 0 || errno != ESRCH);
}

/* Whether the owner that the file names is gone, with all that it started, and did not want the
 * folder kept. */
static bool is_left(FILE *file)
{
    mf_process owner;
    char line[256];
    long long pid, start;

    if (!fgets(owner.machine, sizeof owner.machine, file))
        return false;
    owner.machine[strcspn(owner.machine, "\n")] = '\0';
    if (!fgets(line, sizeof line, file) || sscanf(line, "%lld %lld", &pid, &start) != 2)
        return false;
    owner.pid = pid;
    owner.start = start;
    if (!fgets(line, sizeof line, file) || strcmp(line, "drop\n") || !mf_process_gone(&owner))
        return false;
    while (fgets(line, sizeof line, file)) {
        if (group_lives(strtol(line, NULL, 10)))
            return false;
    }
    return true;
}

static bool sweep_one(const char *path)
{
    struct stat about;
    char *name = NULL;
    FILE *file;
    int64_t size;
    bool left;

    if (lstat(path, &about) != 0 || !S_ISDIR(about.st_mode) || about.st_uid != geteuid() ||
        asprintf(&name, "%s/" OWNER, path) < 0)
        return false;
    mf_error_free(mf_file_open(name, &file, &size)); /* then it is nobody's business here */
    free(name);
    left = file && is_left(file);
    if (file)
        fclose(file);
    if (left)
        mf_folder_remove(path);
    return left;
}

int mf_folders_sweep(void)
{
    DIR *folder = opendir(base());
    struct dirent *entry;
    int count = 0;

    while (folder && (entry = readdir(folder))) {
        char *path = NULL;
        if (strncmp(entry->d_name, PREFIX, sizeof PREFIX - 1) ||
            asprintf(&path, "%s/%s", base(), entry->d_name) < 0)
            continue;
        count += sweep_one(path);
        free(path);
    }
    if (folder)
        closedir(folder);
    return count;
}
