/* first_use.c - a device is checked before a run first uses it with its driver.
 *
 * The check runs in a process of its own (`massflow first-use DEVICE`), because a driver that is
 * wrong may also crash, and because nothing may be forked once a driver is loaded. It prints a
 * verdict, which is kept beside the built programs:
 *
 *   own | other | none     the form of the kernels to use
 *   kept | once            whether the verdict may be remembered
 *   TEXT                   what is wrong with the own form, and for `none` with the other
 *
 * Remembered are wrong numbers. A crash or an error of the driver, such as memory that another
 * program has, may be gone tomorrow, and so may a refusal: the device is checked again. */
#include "first_use.h"
#include "command.h"
#include "compute/programs.h"
#include "device_check.h"
#include "kernels_digest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Raised when other cases are checked at first use, or a verdict is written differently. */
#define FIRST_USE "first use 2"

enum { TEXT = 1024, VERDICT = 2 * TEXT + 64, FIRST_WAIT = 10 * 1000 /* ms */ };

extern char **environ;

/* ---- the process that checks ----------------------------------------------------------------- */

/* The first failure; whether all of them are wrong numbers. */
static bool describe(const check_report *report, char text[TEXT])
{
    const check_device *d = report->devices;
    bool numbers = !d->error[0];

    *text = 0;
    for (size_t i = 0; i < d->row_count; i++)
        for (int k = 0; k < d->rows[i].wrong && k < CHECK_FAILURES; k++) {
            const check_failure *f = &d->rows[i].failures[k];
            numbers &= !f->error[0];
            if (*text)
                continue;
            if (f->error[0])
                snprintf(text, TEXT, "%s: %s", f->text, f->error);
            else
                snprintf(text, TEXT, "%s: %s is %.9g, should be %.9g, may differ by %.2g", f->text,
                         f->what, f->got, f->want, f->bound);
        }
    text[strcspn(text, "\n")] = 0;
    return numbers;
}

static mf_status check_form(const char *device, bool other, FILE *out, bool *right, bool *numbers,
                            char text[TEXT])
{
    check_request request = {.device = device,
                             .options = {.depth = MF_CHECK_FIRST},
                             .own_form = true,
                             .other_form = other};
    check_report report;
    mf_status status = device_check(&request, out, &report);

    if (!status && (!report.count || (report.right && !report.devices->cases)))
        status = mf_fail(MF_INTERNAL, "no op was checked on device %s", device);
    *right = report.right;
    if (!status && !report.right)
        *numbers &= describe(&report, text);
    check_report_clear(&report);
    return status;
}

static mf_status find_verdict(const char *device, FILE *out)
{
    char own_text[TEXT] = "", other_text[TEXT] = "";
    bool own, other = false, numbers = true;

    MF_TRY(check_form(device, false, out, &own, &numbers, own_text));
    if (!own)
        MF_TRY(check_form(device, true, out, &other, &numbers, other_text));
    printf("%s\n%s\n",
           own     ? "own"
           : other ? "other"
                   : "none",
           own || (other && numbers) ? "kept" : "once");
    if (!own)
        printf("%s\n", own_text);
    if (!own && !other)
        printf("%s\n", other_text);
    return MF_OK;
}

static int check(const args *a)
{
    FILE *out = fopen("/dev/null", "w");
    mf_status status;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!out)
        return command_refuse("/dev/null: %s", strerror(errno));
    status = find_verdict(args_at(a, 0), out);
    fclose(out);
    return status ? command_fail(status, EXIT_FAILED) : EXIT_DONE;
}

/* Without a summary it is not listed. */
const command command_first_use = {"first-use", "DEVICE", NULL, NULL, NULL, 1, 1, check};

/* ---- the run that asks for it ---------------------------------------------------------------- */

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

static size_t hear(const mf_device *device, int pipe, char verdict[VERDICT])
{
    size_t have = 0;
    int wait = FIRST_WAIT;

    while (have + 1 < VERDICT) {
        int ready = poll(&(struct pollfd){.fd = pipe, .events = POLLIN}, 1, wait);
        if (!ready) {
            fprintf(stderr,
                    "massflow: device %s (%s) is used for the first time with this driver; its "
                    "kernels are compiled and checked\n",
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

static mf_status ask(const mf_host *host, const mf_device *device, char verdict[VERDICT])
{
    int ends[2], how = 0;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC))
        return not_checked(device, strerror(errno));
    int failed = spawn(mf_host_program(host), mf_device_text(device), ends[1], &pid);
    close(ends[1]);
    size_t size = failed ? 0 : hear(device, ends[0], verdict);
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
static mf_status follow(mf_host *host, size_t index, mf_device *device, char *verdict)
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
    fprintf(stderr,
            "massflow: warning: device %s (%s), driver %s: the %s are wrong: %s\n"
            "  The run uses the %s on it instead, which are slower there. massflow devices %s "
            "--check shows all that is wrong.\n",
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

static mf_status one(mf_host *host, size_t index, mf_device *device, const mf_binary_store *store)
{
    char key[MF_HEX_SIZE], verdict[VERDICT];

    MF_TRY(make_key(device, key));
    if (!store || !recall(store, key, verdict)) {
        MF_TRY(ask(host, device, verdict));
        const char *second = strchr(verdict, '\n');
        if (store && second && !strncmp(second, "\nkept\n", 6))
            store->put(store->self, key, (const uint8_t *)verdict, strlen(verdict));
    }
    return follow(host, index, device, verdict);
}

mf_status first_use(mf_host *host)
{
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
        status = one(host, i, devices[i], programs ? &store : NULL);
    mf_programs_free(programs);
    return status;
}
