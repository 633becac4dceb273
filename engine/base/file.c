/* file.c - see file.h. */
#include <massflow/file.h>

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static mf_status cannot_open(const char *path, int why)
{
    return mf_fail(why == ENOENT || why == ENOTDIR ? MF_NOT_FOUND : MF_IO, "%s: %s", path,
                   strerror(why));
}

static mf_status check_regular(const char *path, mode_t mode)
{
    if (S_ISREG(mode))
        return MF_OK;
    if (S_ISDIR(mode))
        return mf_fail(MF_INVALID, "%s: is a folder, not a file", path);
    return mf_hint(mf_fail(MF_INVALID, "%s: is a %s, not a file", path,
                           S_ISFIFO(mode)   ? "pipe"
                           : S_ISSOCK(mode) ? "socket"
                                            : "device"),
                   "write the bytes to a file, and name that");
}

mf_status mf_file_check(const char *path)
{
    struct stat about;
    return stat(path, &about) ? cannot_open(path, errno) : check_regular(path, about.st_mode);
}

/* The first look keeps devices from being opened at all, which alone can have an effect; the second
 * is at what was opened. O_NONBLOCK: a pipe that came in between does not make us wait. */
mf_status mf_file_descriptor(const char *path, int *file, int64_t *size)
{
    struct stat about;
    *file = -1;
    *size = 0;
    MF_TRY(mf_file_check(path));
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return cannot_open(path, errno);
    mf_status status =
        fstat(fd, &about) ? cannot_open(path, errno) : check_regular(path, about.st_mode);
    if (status) {
        close(fd);
        return status;
    }
    *file = fd;
    *size = (int64_t)about.st_size;
    return MF_OK;
}

mf_status mf_file_open(const char *path, FILE **file, int64_t *size)
{
    int fd;
    *file = NULL;
    MF_TRY(mf_file_descriptor(path, &fd, size));
    *file = fdopen(fd, "rb");
    if (*file)
        return MF_OK;
    int why = errno;
    close(fd);
    *size = 0;
    return cannot_open(path, why);
}

static mf_status read_opened(const char *path, FILE *file, size_t size, char **bytes)
{
    *bytes = malloc(size + 1);
    if (!*bytes)
        return mf_no_memory(size, "%s", path);
    size_t got = fread(*bytes, 1, size, file);
    (*bytes)[got] = '\0';
    if (got == size)
        return MF_OK;
    mf_status status =
        ferror(file) ? cannot_open(path, errno)
                     : mf_hint(mf_fail(MF_IO, "%s: ended after %zu of %zu bytes", path, got, size),
                               "wait until it has been written");
    free(*bytes);
    *bytes = NULL;
    return status;
}

mf_status mf_file_read(const char *path, size_t most, char **bytes, size_t *size)
{
    FILE *file;
    int64_t has;
    *bytes = NULL;
    *size = 0;
    MF_TRY(mf_file_open(path, &file, &has));
    mf_status status = MF_OK;
    if ((uint64_t)has > most)
        status = mf_fail(MF_UNSUPPORTED, "%s: has %lld bytes; at most %zu are read", path,
                         (long long)has, most);
    if (!status)
        status = read_opened(path, file, (size_t)has, bytes);
    fclose(file);
    if (!status)
        *size = (size_t)has;
    return status;
}

bool mf_path_ignored(const char *name)
{
    static const char *const left[] = {
        /* Python, version control, editors' projects */
        "__pycache__", ".ipynb_checkpoints", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".git",
        ".hg", ".svn", ".idea", ".vscode",
        /* macOS, Windows, file systems, storage; removed files that are still open on NFS and FUSE
         */
        ".DS_Store", "._*", "__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir", ".nfs*",
        ".fuse_hidden*", "lost+found", "System Volume Information", "$RECYCLE.BIN",
        /* open in Vim, Emacs (a link to nowhere, and what is not saved yet), Kate, LibreOffice */
        ".?*.sw[a-p]", ".#*", "#*#", ".*.kate-swp", ".~lock.*#"};

    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        if (!fnmatch(left[i], name, 0))
            return true;
    return false;
}

bool mf_path_plain(const char *path)
{
    for (const unsigned char *c = (const unsigned char *)path; *c; c++)
        if (*c < 0x20 || *c == 0x7f)
            return false;
    return true;
}
