/* device_check.c - runs the checks in a child, which tells its parent each step through a pipe.
 *
 * The parent never opens a device: it lives on when a driver takes the child down, names the case
 * in which that was, and starts another child behind it. While a case takes long it says so. The
 * child is the same program, forked before any driver is loaded, so messages are structs. */
#include "device_check.h"
#include "compute/compute.h"
#include "compute/programs.h"
#include "run/process/signals.h"

#include <errno.h>
#include <massflow/memory.h>
#include <massflow/seconds.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CRASHES = 8, FIRST_WAIT = 10 /* s */ };

typedef struct message {
    enum { DEVICE, BEGINS, ENDS, OVER, FAILED } kind;
    size_t device; /* in order of the request */
    mf_device_info info;
    char text[160]; /* of the device, of the case */
    char op[64];
    mf_check_form form;
    mf_check_result result;
    char error[1024];
} message;

/* ---- the child ------------------------------------------------------------------------------- */

typedef struct child {
    int pipe;
    size_t device;
    message m;
} child;

static void tell(child *c)
{
    const char *at = (const char *)&c->m;
    size_t left = sizeof c->m;
    c->m.device = c->device;
    while (left) {
        ssize_t n = write(c->pipe, at, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(2); /* nobody listens */
        at += n;
        left -= (size_t)n;
    }
}

static void tell_error(child *c, mf_status status)
{
    char *text = mf_error_text(status);
    c->m.kind = FAILED;
    snprintf(c->m.error, sizeof c->m.error, "%s", text ? text : "an error");
    free(text);
    mf_error_free(status);
    tell(c);
}

static void on_begin(void *self, mf_check_form form, const char *op, const char *text)
{
    child *c = self;
    c->m.kind = BEGINS;
    c->m.form = form;
    snprintf(c->m.op, sizeof c->m.op, "%s", op);
    snprintf(c->m.text, sizeof c->m.text, "%s", text);
    tell(c);
    mf_signals_hold();
}

static void on_end(void *self, mf_check_form form, const char *op, const mf_check_result *result,
                   const mf_check_labels *labels)
{
    child *c = self;
    (void)op, (void)labels;
    c->m.kind = ENDS;
    c->m.form = form;
    c->m.result = *result;
    tell(c);
}

static void check_one(child *c, mf_device *device, const check_request *request, size_t skip)
{
    mf_check_options options = request->options;
    mf_check_form own = mf_check_form_of(device);
    size_t wrong;
    options.skip = skip;
    options.forms[own] = !request->other_form;
    options.forms[!own] = request->other_form || (own == MF_CHECK_CPU_FORM && !request->own_form);
    c->m.kind = DEVICE;
    c->m.info = *mf_device_get_info(device);
    c->m.form = own;
    snprintf(c->m.text, sizeof c->m.text, "%s", mf_device_text(device));
    tell(c);
    mf_status status =
        mf_check_run(device, &options, &(mf_check_observer){c, on_begin, on_end}, &wrong);
    if (status)
        tell_error(c, status);
}

/* All devices from `first` on; of that the cases behind `skip`. */
static void work(int pipe, const check_request *request, size_t first, size_t skip)
{
    child c = {.pipe = pipe};
    mf_device **devices;
    size_t count;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    mf_signals_before_drivers();
    mf_status status = mf_devices_open(request->device ? request->device : "all", &devices, &count);
    mf_signals_hold();
    if (status) {
        tell_error(&c, status);
        _exit(0);
    }
    mf_programs *programs = mf_programs_open(NULL, NULL);
    mf_binary_store store;
    if (programs)
        store = mf_programs_store(programs);
    for (c.device = first; c.device < count; c.device++, skip = 0) {
        if (programs)
            mf_device_keep_binaries(devices[c.device], &store);
        check_one(&c, devices[c.device], request, skip);
    }
    c.m.kind = OVER;
    tell(&c);
    _exit(0); /* drivers have handlers at exit that need not be right either */
}

/* ---- the parent ------------------------------------------------------------------------------ */

typedef struct parent {
    const check_request *request;
    FILE *out;
    check_report *report;
    check_device *device;      /* the last one */
    check_row *row;            /* begun and not shown */
    char running[160];         /* a case, "" for none */
    double since, told, begun; /* of the case, of the device */
    size_t done;               /* cases of the device that ended, however */
    int crashes;
    bool over;
    char failed[1024];
} parent;

static mf_status no_memory(void)
{
    return mf_no_memory(0, "the checks of devices");
}

static void end_row(parent *p)
{
    if (p->row)
        check_show_end(p->out, p->row);
    p->row = NULL;
}

static void end_device(parent *p)
{
    end_row(p);
    if (p->device)
        p->device->seconds = mf_seconds() - p->begun;
}

static mf_status begin_device(parent *p, const message *m)
{
    if (m->device < p->report->count)
        return MF_OK; /* again, after a crash */
    check_device *more = mf_list_more(p->report->devices, p->report->count, sizeof *more);
    if (!more)
        return no_memory();
    end_device(p);
    p->report->devices = more;
    p->device = &more[p->report->count++];
    *p->device = (check_device){.info = m->info, .form = m->form};
    snprintf(p->device->text, sizeof p->device->text, "%.39s", m->text);
    p->done = 0;
    p->crashes = 0;
    p->begun = mf_seconds();
    fprintf(p->out, "%s", p->report->count > 1 ? "\n" : "");
    check_show_device(p->out, p->device);
    check_show_head(p->out);
    return MF_OK;
}

static mf_status begin_case(parent *p, const message *m)
{
    snprintf(p->running, sizeof p->running, "%s", m->text);
    p->since = mf_seconds();
    p->told = FIRST_WAIT;
    if (p->row && p->row->form == m->form && !strcmp(p->row->op, m->op))
        return MF_OK;
    end_row(p);
    check_device *d = p->device;
    check_row *more = mf_list_more(d->rows, d->row_count, sizeof *more);
    if (!more)
        return no_memory();
    d->rows = more;
    p->row = &more[d->row_count++];
    *p->row = (check_row){.form = m->form};
    snprintf(p->row->op, sizeof p->row->op, "%s", m->op);
    check_show_begin(p->out, m->op, m->form);
    return MF_OK;
}

static void add_failure(parent *p, const char *text, const mf_check_result *result,
                        const char *error)
{
    check_row *row = p->row;
    if (row->wrong < CHECK_FAILURES) {
        check_failure *f = &row->failures[row->wrong];
        snprintf(f->text, sizeof f->text, "%s", text);
        if (result) {
            snprintf(f->what, sizeof f->what, "%s", result->what);
            f->got = result->got;
            f->want = result->want;
            f->bound = result->bound;
        }
        snprintf(f->error, sizeof f->error, "%s", error);
    }
    row->wrong++;
    p->device->wrong++;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void end_case(parent *p, const mf_check_result *r)
{
    check_row *row = p->row;
    row->cases++;
    p->device->cases++;
    p->done++;
    p->running[0] = 0;
    if (r->ratio > row->ratio)
        row->ratio = r->ratio;
    if (r->seconds > 0 && r->flops + r->bytes > row->flops + row->bytes) {
        row->seconds = r->seconds;
        row->flops = r->flops;
        row->bytes = r->bytes;
        snprintf(row->timed, sizeof row->timed, "%s", r->text);
    }
    row->local_memory = larger(row->local_memory, r->local_memory);
    row->private_memory = larger(row->private_memory, r->private_memory);
    row->multiple = larger(row->multiple, r->multiple);
    if (!row->group || (r->group && r->group < row->group))
        row->group = r->group;
    if (r->wrong)
        add_failure(p, r->text, r, r->error);
}

static mf_status take(parent *p, const message *m)
{
    switch (m->kind) {
    case DEVICE:
        return begin_device(p, m);
    case BEGINS:
        return begin_case(p, m);
    case ENDS:
        end_case(p, &m->result);
        return MF_OK;
    case FAILED:
        snprintf(p->failed, sizeof p->failed, "%s", m->error);
        return MF_OK;
    default:
        p->over = true;
        return MF_OK;
    }
}

/* A case that takes long is named, again and again, each time after twice as long. */
static void say_waiting(parent *p)
{
    double seconds = mf_seconds() - p->since;
    if (!p->running[0] || seconds < p->told)
        return;
    fprintf(p->out, "\n    %s: %.0f s so far\n%-26s %-4s ", p->running, seconds, p->row->op,
            mf_check_form_text(p->row->form));
    fflush(p->out);
    p->told *= 2;
}

/* What one child tells, until it ends. */
static mf_status listen(parent *p, int pipe)
{
    message m;
    size_t have = 0;
    for (;;) {
        struct pollfd fd = {.fd = pipe, .events = POLLIN};
        int ready = poll(&fd, 1, 1000);
        if (ready <= 0) {
            say_waiting(p);
            continue;
        }
        ssize_t n = read(pipe, (char *)&m + have, sizeof m - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return MF_OK;
        have += (size_t)n;
        if (have < sizeof m)
            continue;
        have = 0;
        MF_TRY(take(p, &m));
    }
}

/* The child is gone in the middle of a case, or while devices were looked for. */
static mf_status crashed(parent *p, int how)
{
    char words[128];
    if (WIFSIGNALED(how))
        snprintf(words, sizeof words, "the driver crashed: signal %d, %s", WTERMSIG(how),
                 strsignal(WTERMSIG(how)));
    else
        snprintf(words, sizeof words, "the driver ended the process with status %d",
                 WEXITSTATUS(how));
    if (!p->device || !p->running[0])
        return mf_fail(MF_DEVICE, "%s, outside of any check", words);
    add_failure(p, p->running, NULL, words);
    p->row->cases++;
    p->row->crashed = true;
    p->device->cases++;
    p->done++;
    p->running[0] = 0;
    if (++p->crashes < CRASHES)
        return MF_OK;
    snprintf(p->device->error, sizeof p->device->error,
             "the driver crashed in %d cases; the rest was not run", p->crashes);
    return MF_OK;
}

static mf_status start(parent *p, int *pipe_of, pid_t *pid)
{
    int ends[2];
    bool gone = p->device && p->device->error[0];
    size_t first = p->report->count ? p->report->count - !gone : 0, skip = gone ? 0 : p->done;
    fflush(NULL);
    if (pipe(ends))
        return mf_fail(MF_IO, "no pipe for the checks: %s", strerror(errno));
    *pid = fork();
    if (*pid == 0) {
        close(ends[0]);
        work(ends[1], p->request, first, skip);
    }
    close(ends[1]);
    *pipe_of = ends[0];
    if (*pid > 0)
        return MF_OK;
    close(ends[0]);
    return mf_fail(MF_IO, "no process for the checks: %s", strerror(errno));
}

static mf_status run_all(parent *p)
{
    while (!p->over) {
        int pipe = -1, how = 0;
        pid_t pid = -1;
        MF_TRY(start(p, &pipe, &pid));
        mf_status status = listen(p, pipe);
        close(pipe);
        while (waitpid(pid, &how, 0) < 0 && errno == EINTR)
            continue;
        MF_TRY(status);
        if (p->failed[0])
            return mf_fail(MF_DEVICE, "%s", p->failed);
        if (!p->over)
            MF_TRY(crashed(p, how));
    }
    return MF_OK;
}

mf_status device_check(const check_request *request, FILE *out, check_report *report)
{
    parent p = {.request = request, .out = out, .report = report};
    double start_time = mf_seconds();
    *report = (check_report){NULL};
    mf_status status = run_all(&p);
    end_device(&p);
    report->seconds = mf_seconds() - start_time;
    report->right = !status;
    for (size_t i = 0; i < report->count; i++)
        report->right &= !report->devices[i].wrong && !report->devices[i].error[0];
    return status;
}

void check_report_clear(check_report *report)
{
    for (size_t i = 0; i < report->count; i++)
        free(report->devices[i].rows);
    free(report->devices);
    *report = (check_report){NULL};
}
