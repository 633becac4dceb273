/* first_use.c - see first_use.h. The process prints a verdict, which is kept beside the built
 * programs:
 *
 *   own | other | none     the form of the kernels to use
 *   kept | once            whether the verdict may be remembered
 *   TEXT                   what is wrong with the own form, and for `none` with the other
 *
 * Remembered are wrong numbers. A crash or an error of the driver, such as memory that another
 * program has, may be gone tomorrow, and so may a refusal: the device is checked again. */
#include "embed/first_use.h"
#include "compute/programs.h"
#include "embed/version.h"
#include "kernels_digest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Raised when other cases are checked at first use, or a verdict is written differently. */
#define FIRST_USE "first use 2"

enum { VERDICT = 2 * MF_FIRST_USE_TEXT + 64, FIRST_WAIT = 10 * 1000 /* ms */ };

extern char **environ;

/* Whom it is told. */
typedef struct listener {
    mf_first_use_say say;
    void *self;
} listener;

static void tell(const listener *l, const char *format, ...) MF_PRINTF(2, 3);
static void tell(const listener *l, const char *format, ...)
{
    char *text;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) >= 0) {
        l->say(l->self, text);
        free(text);
    }
    va_end(args);
}

static int spawn(const char *program, const char *device, int output, pid_t *pid)
{
    char *arguments[] = {"massflow", "first-use", (char *)device, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, usual;

    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&how);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, output, 1);
    posix_spawn_file_actions_addclosefrom_np(&files, 3);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &usual);
    int failed = posix_spawn(pid, program, &files, &how, arguments, environ);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return failed;
}

static size_t hear(const listener *l, const mf_device *device, int pipe, char verdict[VERDICT])
{
    size_t have = 0;
    int wait = FIRST_WAIT;

    while (have + 1 < VERDICT) {
        int ready = poll(&(struct pollfd){.fd = pipe, .events = POLLIN}, 1, wait);
        if (!ready) {
            tell(l,
                 "device %s (%s) is used for the first time with this driver; its "
                 "kernels are compiled and checked",
                 mf_device_text(device), mf_device_get_info(device)->name);
            wait = -1;
        }
        if (ready <= 0)
            continue;
        ssize_t got = read(pipe, verdict + have, VERDICT - 1 - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        have += (size_t)got;
    }
    return have;
}

static mf_status not_checked(const mf_device *device, const char *why)
{
    return mf_hint(mf_fail(MF_DEVICE, "device %s (%s) could not be checked: %s",
                           mf_device_text(device), mf_device_get_info(device)->name, why),
                   "massflow devices %s --check says more; MASSFLOW_FIRST_USE=0 leaves this check "
                   "out",
                   mf_device_text(device));
}

static mf_status ask(const listener *l, const mf_host *host, const mf_device *device,
                     char verdict[VERDICT])
{
    int ends[2], how = 0;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC))
        return not_checked(device, strerror(errno));
    int failed = spawn(mf_host_program(host), mf_device_text(device), ends[1], &pid);
    close(ends[1]);
    size_t size = failed ? 0 : hear(l, device, ends[0], verdict);
    close(ends[0]);
    verdict[size] = 0;
    if (failed)
        return not_checked(device, strerror(failed));
    while (waitpid(pid, &how, 0) < 0 && errno == EINTR)
        continue;
    if (how || !size)
        return not_checked(device,
                           WIFSIGNALED(how) ? strsignal(WTERMSIG(how)) : "the check failed");
    return MF_OK;
}

/* ---- verdicts -------------------------------------------------------------------------------- */

static const char *form_words(bool plain)
{
    return plain ? "kernels for CPUs" : "kernels for GPUs";
}

/* Cuts the next line off. */
static char *line(char **rest)
{
    char *found = strsep(rest, "\n");
    return found ? found : "";
}

static mf_status refuse(const mf_device *device, const char *own, const char *other)
{
    const mf_device_info *info = mf_device_get_info(device);

    return mf_hint(
        mf_fail(MF_DEVICE,
                "device %s (%s) computes wrong results with driver %s\n  %s: %s\n  %s: %s",
                mf_device_text(device), info->name, info->driver, form_words(info->plain), own,
                form_words(!info->plain), other),
        "use another version of the driver%s; massflow devices %s --check shows all that is wrong",
        info->is_cpu ? "" : " or --device cpu", mf_device_text(device));
}

/* Leaves `verdict` cut in lines. */
static mf_status follow(const listener *l, mf_host *host, size_t index, mf_device *device,
                        char *verdict)
{
    const mf_device_info *info = mf_device_get_info(device);
    char *form = line(&verdict);

    line(&verdict); /* kept or once */
    char *own = line(&verdict), *other = line(&verdict);
    if (!strcmp(form, "own"))
        return MF_OK;
    if (!strcmp(form, "none"))
        return refuse(device, own, other);
    if (strcmp(form, "other") != 0)
        return not_checked(device, "its verdict makes no sense");
    tell(l,
         "warning: device %s (%s), driver %s: the %s are wrong: %s\n"
         "  The run uses the %s on it instead, which are slower there. massflow devices %s "
         "--check shows all that is wrong.",
         mf_device_text(device), info->name, info->driver, form_words(info->plain), own,
         form_words(!info->plain), mf_device_text(device));
    return mf_host_set_form(host, index, !info->plain);
}

/* Another text of a driver, other kernels and another massflow are another key. */
static mf_status make_key(const mf_device *device, char key[MF_HEX_SIZE])
{
    const mf_device_info *info = mf_device_get_info(device);
    const char *const texts[] = {FIRST_USE,    form_words(info->plain), info->name,
                                 info->vendor, info->platform,          info->version,
                                 info->driver, MF_KERNELS_SHA256,       MF_VERSION};
    mf_digest *digest;

    MF_TRY(mf_digest_new(&digest));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        mf_digest_add_text(digest, texts[i]);
    mf_digest_end_hex(digest, key);
    mf_digest_free(digest);
    return MF_OK;
}

static bool recall(const mf_binary_store *store, const char *key, char verdict[VERDICT])
{
    size_t size = 0;
    uint8_t *bytes = store->get(store->self, key, &size);
    bool found = bytes && size < VERDICT;

    if (found) {
        memcpy(verdict, bytes, size);
        verdict[size] = 0;
    }
    free(bytes);
    return found;
}

static mf_status one(const listener *l, mf_host *host, size_t index, mf_device *device,
                     const mf_binary_store *store)
{
    char key[MF_HEX_SIZE], verdict[VERDICT];

    MF_TRY(make_key(device, key));
    if (!store || !recall(store, key, verdict)) {
        MF_TRY(ask(l, host, device, verdict));
        const char *second = strchr(verdict, '\n');
        if (store && second && !strncmp(second, "\nkept\n", 6))
            store->put(store->self, key, (const uint8_t *)verdict, strlen(verdict));
    }
    return follow(l, host, index, device, verdict);
}

mf_status mf_first_use(mf_host *host, mf_first_use_say say, void *self)
{
    const listener l = {say, self};
    const char *wanted = getenv("MASSFLOW_FIRST_USE");
    mf_device *const *devices;
    size_t count;
    mf_programs *programs;
    mf_binary_store store;
    mf_status status = MF_OK;

    MF_TRY(mf_host_devices(host, &devices, &count));
    if (wanted && !strcmp(wanted, "0"))
        return MF_OK;
    programs = mf_programs_open(NULL, NULL); /* without it nothing is remembered */
    if (programs)
        store = mf_programs_store(programs);
    for (size_t i = 0; i < count && !status; i++)
        status = one(&l, host, i, devices[i], programs ? &store : NULL);
    mf_programs_free(programs);
    return status;
}
