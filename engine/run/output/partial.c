/* partial.c - see partial.h. ".writing-MACHINE-PID-START-XXXXXX": the machine as 8 digits of a
 * digest. Files of that name are of earlier versions. */
#include "run/output/partial.h"
#include "store/digest.h"
#include "store/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX ".writing-"

static void digits_of(const mf_process *p, char digits[9])
{
    char hex[MF_HEX_SIZE];

    mf_digest_hex(p->machine, strlen(p->machine), hex);
    snprintf(digits, 9, "%.8s", hex);
}

static int folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (int)(slash + 1 - path) : 0;
}

static const char *name_in(const char *path)
{
    return path + folder_length(path);
}

static mf_status no_memory(const char *path)
{
    return mf_no_memory(0, "writing %s", path);
}

static mf_status failed(const char *path, int why)
{
    return mf_fail(MF_IO, "%s: %s", path, strerror(why));
}

/* ---- beginning ------------------------------------------------------------------------------- */

static char *folder_pattern(const char *path)
{
    mf_process self;
    char digits[9], *name;

    mf_process_self(&self);
    digits_of(&self, digits);
    if (asprintf(&name, "%.*s" PREFIX "%s-%lld-%lld-XXXXXX", folder_length(path), path, digits,
                 (long long)self.pid, (long long)self.start) < 0)
        return NULL;
    return name;
}

/* The folder is kept open, and written to as what is open: where others can write beside it, they
 * can put another one in its place, but not here. */
static mf_status open_folder(mf_partial *p)
{
    struct stat about;

    p->opened = open(p->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (p->opened < 0 || fstat(p->opened, &about) != 0)
        return failed(p->path, errno);
    if (about.st_uid != geteuid() || (about.st_mode & 077) != 0)
        return mf_fail(MF_IO, "%s: somebody has replaced the folder %s", p->path, p->folder);
    return MF_OK;
}

mf_status mf_partial_begin(const char *path, mf_partial *p)
{
    mf_status status;

    *p = (mf_partial){.opened = -1};
    p->path = strdup(path);
    p->folder = folder_pattern(path);
    if (!p->path || !p->folder) {
        status = no_memory(path);
        free(p->folder);
        p->folder = NULL;
    } else if (!mkdtemp(p->folder)) {
        status = failed(path, errno);
        free(p->folder);
        p->folder = NULL;
    } else {
        status = open_folder(p);
    }
    if (!status && asprintf(&p->file, "/proc/self/fd/%d/%s", p->opened, name_in(path)) < 0) {
        p->file = NULL;
        status = no_memory(path);
    }
    if (status)
        mf_partial_drop(p);
    return status;
}

/* ---- ending ---------------------------------------------------------------------------------- */

static mf_status sync_file(const mf_partial *p)
{
    int file = openat(p->opened, name_in(p->path), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    mf_status status = MF_OK;

    if (file < 0 || fsync(file) != 0)
        status = failed(p->path, errno);
    if (file >= 0)
        close(file);
    return status;
}

/* Only where nothing has the name. File systems that cannot do that at once make a second name, and
 * those that have none (FAT) are looked at before. 0, or an errno. */
static int rename_new(const mf_partial *p)
{
    const char *name = name_in(p->path);
    struct stat about;

    if (renameat2(p->opened, name, AT_FDCWD, p->path, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
    if (linkat(p->opened, name, AT_FDCWD, p->path, 0) == 0)
        return 0; /* the first name goes with its folder */
    if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS)
        return errno;
    if (lstat(p->path, &about) == 0)
        return EEXIST;
    return renameat(p->opened, name, AT_FDCWD, p->path) == 0 ? 0 : errno;
}

mf_status mf_partial_place(const mf_partial *p, bool replace, bool *taken)
{
    int why = 0;

    *taken = false;
    MF_TRY(sync_file(p));
    if (!replace)
        why = rename_new(p);
    else if (renameat(p->opened, name_in(p->path), AT_FDCWD, p->path) != 0)
        why = errno;
    *taken = !replace && why == EEXIST;
    return why && !*taken ? failed(p->path, why) : MF_OK;
}

mf_status mf_partial_end(mf_partial *p)
{
    bool taken;
    mf_status status = mf_partial_place(p, true, &taken);

    mf_partial_drop(p);
    return status;
}

void mf_partial_drop(mf_partial *p)
{
    if (p->folder && p->opened >= 0)
        unlinkat(p->opened, name_in(p->path), 0);
    if (p->folder) {
        close(p->opened);
        rmdir(p->folder);
    }
    free(p->path);
    free(p->file);
    free(p->folder);
    *p = (mf_partial){.opened = -1};
}

/* ---- those that were left -------------------------------------------------------------------- */

static bool is_left(const char *name, const mf_process *self)
{
    char digits[9], theirs[9];
    long long pid, start;
    mf_process owner = *self;
    int length = 0;

    digits_of(self, digits);
    if (sscanf(name, PREFIX "%8[0-9a-f]-%lld-%lld-%n", theirs, &pid, &start, &length) != 3 ||
        !length || strcmp(digits, theirs))
        return false;
    owner.pid = pid;
    owner.start = start;
    return mf_process_gone(&owner);
}

/* Files and links in it; folders it has none of. */
static void empty_folder(int folder)
{
    DIR *stream = fdopendir(folder);
    struct dirent *entry;

    if (!stream) {
        close(folder);
        return;
    }
    while ((entry = readdir(stream)))
        unlinkat(dirfd(stream), entry->d_name, 0);
    closedir(stream);
}

static void remove_left(int folder, const char *name)
{
    struct stat about;

    if (fstatat(folder, name, &about, AT_SYMLINK_NOFOLLOW) != 0 || about.st_uid != geteuid())
        return;
    if (!S_ISDIR(about.st_mode)) {
        unlinkat(folder, name, 0);
        return;
    }
    int left = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (left >= 0)
        empty_folder(left);
    unlinkat(folder, name, AT_REMOVEDIR);
}

void mf_partials_sweep(const char *path)
{
    char *name = strndup(path, (size_t)folder_length(path));
    DIR *folder = name ? opendir(*name ? name : ".") : NULL;
    struct dirent *entry;
    mf_process self;

    mf_process_self(&self);
    while (folder && (entry = readdir(folder))) {
        if (is_left(entry->d_name, &self))
            remove_left(dirfd(folder), entry->d_name);
    }
    if (folder)
        closedir(folder);
    free(name);
}
