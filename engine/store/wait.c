/* wait.c - saying that this process waits for a lock of another one, and of whose.
 *
 * Locks on files of the store are held for moments. Where one stays (a program that looks into the
 * database, a process that was stopped) nobody should have to guess. */
#include "store/internal.h"

#include <massflow/seconds.h>

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define FIRST 1  /* seconds until it is said */
#define AGAIN 60 /* seconds from then on */

/* Of the whole process, as locks are. */
static mf_store_waiting tell_waiting;
static void *tell_self;

void mf_store_on_wait(mf_store_waiting waiting, void *self)
{
    tell_waiting = waiting;
    tell_self = self;
}

/* ---- who holds a lock -------------------------------------------------------------------------
 */

/* Whether a file of /proc that belongs to an open file says that it holds a lock. */
static bool holds_lock(const char *fdinfo)
{
    FILE *file = fopen(fdinfo, "re");
    char line[256];
    bool yes = false;
    while (file && !yes && fgets(line, sizeof line, file))
        yes = !strncmp(line, "lock:", 5);
    if (file)
        fclose(file);
    return yes;
}

static bool process_holds(long pid, const struct stat *wanted)
{
    char path[96];
    struct dirent *e;
    bool yes = false;
    snprintf(path, sizeof path, "/proc/%ld/fd", pid);
    DIR *stream = opendir(path);
    while (stream && !yes && (e = readdir(stream))) {
        struct stat st;
        if (!isdigit((unsigned char)*e->d_name))
            continue;
        snprintf(path, sizeof path, "/proc/%ld/fd/%.10s", pid, e->d_name);
        if (stat(path, &st) || st.st_dev != wanted->st_dev || st.st_ino != wanted->st_ino)
            continue;
        snprintf(path, sizeof path, "/proc/%ld/fdinfo/%.10s", pid, e->d_name);
        yes = holds_lock(path);
    }
    if (stream)
        closedir(stream);
    return yes;
}

/* Among the processes that this one may look into; 0 for none. */
static long search_processes(const struct stat *wanted)
{
    DIR *stream = opendir("/proc");
    struct dirent *e;
    long found = 0;
    while (stream && !found && (e = readdir(stream))) {
        long pid = strtol(e->d_name, NULL, 10);
        if (pid > 0 && pid != getpid() && process_holds(pid, wanted))
            found = pid;
    }
    if (stream)
        closedir(stream);
    return found;
}

/* The kernel's list names processes of all users, but no holder of an open file's own lock. A line:
 * "1: POSIX  ADVISORY  WRITE 4711 08:01:131074 0 EOF"; "->" marks who waits. (proc_locks(5)) */
static long search_list(const struct stat *wanted)
{
    FILE *file = fopen("/proc/locks", "re");
    char line[256];
    long found = 0;
    while (file && !found && fgets(line, sizeof line, file)) {
        long pid;
        unsigned major, minor;
        unsigned long long inode;
        if (strstr(line, "->") ||
            sscanf(line, "%*d: %*s %*s %*s %ld %x:%x:%llu", &pid, &major, &minor, &inode) != 4)
            continue;
        if (inode == wanted->st_ino && major == major(wanted->st_dev) &&
            minor == minor(wanted->st_dev) && pid > 0 && pid != getpid())
            found = pid;
    }
    if (file)
        fclose(file);
    return found;
}

/* The first line of a file of /proc with NULs as blanks, and what a terminal would take as an order
 * left out. */
static void read_words(const char *path, char text[80])
{
    FILE *file = fopen(path, "re");
    size_t got = file ? fread(text, 1, 79, file) : 0;
    if (file)
        fclose(file);
    while (got && (!text[got - 1] || text[got - 1] == '\n'))
        got--;
    for (size_t i = 0; i < got; i++)
        text[i] = !text[i] ? ' ' : (unsigned char)text[i] < 32 || text[i] == 127 ? '?' : text[i];
    text[got] = 0;
}

static bool is_stopped(long pid)
{
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = 0;
    if (file)
        fclose(file);
    return state == 'T' || state == 't';
}

/* Another process, or this one where only it holds a lock; 0 where none shows. */
static long find_holder(const char *path)
{
    struct stat wanted;
    if (stat(path, &wanted) != 0)
        return 0;
    long pid = search_list(&wanted);
    pid = pid ? pid : search_processes(&wanted);
    return pid ? pid : process_holds(getpid(), &wanted) ? getpid() : 0;
}

char *mf__lock_holder(const char *path)
{
    char *text = NULL, words[80], name[64];
    long pid = find_holder(path);
    if (pid == getpid())
        return strdup("this process itself");
    if (!pid)
        return strdup("another process, which does not show on this machine or to this user");
    snprintf(name, sizeof name, "/proc/%ld/cmdline", pid);
    read_words(name, words);
    if (asprintf(&text, "process %ld (%s)%s", pid, *words ? words : "of another user",
                 is_stopped(pid) ? ", which is stopped" : "") < 0)
        return NULL;
    return text;
}

/* ---- saying so --------------------------------------------------------------------------------
 */

void mf__delay_begin(mf__delay *w)
{
    w->begun = mf_seconds();
    w->next = w->begun + FIRST;
}

double mf__delay_look(mf__delay *w, const char *path)
{
    double at = mf_seconds();
    if (at < w->next)
        return at - w->begun;
    w->next = at + AGAIN;
    if (!tell_waiting || find_holder(path) == getpid()) /* its own writer is at work */
        return at - w->begun;
    char *holder = mf__lock_holder(path), *text = NULL;
    if (holder && asprintf(&text, "waiting for the cache for %.0f s: %s has locked '%s'",
                           at - w->begun, holder, path) >= 0)
        tell_waiting(tell_self, text);
    free(text);
    free(holder);
    return at - w->begun;
}
