/* isolate.c - running a task in a process of its own: spawn it, answer what it asks, and say how it
 * ended when it did not end well.
 *
 * The process is spawned, never forked, for this one has threads and OpenCL; it leads a process
 * group of its own, so that what it starts ends with it. It reads inputs through this process,
 * which alone has the store open, and hands its outputs back in shared memory. */
#include "run/process/clock.h"
#include "run/process/folder.h"
#include "run/process/groups.h"
#include "run/process/marked.h"
#include "run/worker/execute.h"
#include "run/worker/frozen.h"
#include "run/worker/heard.h"
#include "run/worker/wire.h"

#include "base/arena.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Lines that an error shows of what the process wrote last. */
#define TAIL_LINES 12
/* Seconds between the time-out, which the stage may meet at a cancel point, and the kill. */
#define GRACE 1.0
#define LOOK 200 /* ms, between looks at whether the task is to end */
/* Seconds for the rest of a message that has begun. */
#define PATIENCE 60
/* Reads of what it and its children printed last; the pipe holds less. */
#define MOST_LEFT 1024

extern char **environ;

/* An input that it has asked for. */
typedef struct known {
    char id[MF_HEX_SIZE];
    mf_artifact *artifact;
} known;

/* The last lines of many. */
typedef struct tail {
    char *lines[TAIL_LINES];
    size_t count;
} tail;

typedef struct process {
    mf_task *task;
    const mf_limits *limits;
    pid_t pid;
    char mark[MF_MARK_SIZE];   /* in the environment of all that it starts */
    int socket, output, death; /* death: can be read once the process has ended; or -1 */
    double start;
    bool killed, cancelling;
    int how; /* as wait says */
    struct rusage usage;
    bool done; /* it said how the stage ended: */
    mf_status result;
    mf_status broken;     /* what it said made no sense, or could not be heard */
    tail logged, printed; /* in two, for which of them came first is not known */
    mf_text line;         /* printed, not ended yet */
    known *inputs;
    size_t input_count, input_room;
    mf_packet head; /* of the output or state that is arriving */
    mf_artifact *arriving, *state;
    mf_array_info *infos;
    size_t info_count, info_next;
    const char *port; /* of the output; NULL for a state */
} process;

/* ---- what it writes ---------------------------------------------------------------------------
 */

static void keep_line(process *w, tail *kept, const char *node, const char *line)
{
    char **slot = &kept->lines[kept->count++ % TAIL_LINES];

    free(*slot);
    *slot = strdup(line);
    mf_host_log(mf_task_host(w->task), node, line);
}

static void take_output(process *w, const char *bytes, size_t size)
{
    const char *node = mf_task_work(w->task)->node;

    while (size) {
        const char *end = memchr(bytes, '\n', size);
        size_t length = end ? (size_t)(end - bytes) : size;
        mf_text_add_n(&w->line, bytes, length);
        if (end || w->line.length > 4096) {
            keep_line(w, &w->printed, node, w->line.data);
            w->line.length = 0;
        }
        length += end != NULL;
        bytes += length;
        size -= length;
    }
}

/* Reads once; false at the end or when there is nothing. */
static bool read_output(process *w)
{
    char bytes[4096];
    ssize_t got;

    if (w->output < 0)
        return false;
    got = read(w->output, bytes, sizeof bytes);
    if (got > 0) {
        take_output(w, bytes, (size_t)got);
        return true;
    }
    if (got == 0) {
        close(w->output);
        w->output = -1;
    }
    return false;
}

/* ---- what it asks -----------------------------------------------------------------------------
 */

/* A place under that id; what was there is let go. */
static known *add_known(process *w, const char *id)
{
    known *k = NULL;

    for (size_t i = 0; i < w->input_count && !k; i++)
        k = !strcmp(w->inputs[i].id, id) ? &w->inputs[i] : NULL;
    if (k) {
        mf_artifact_unref(k->artifact);
        return k;
    }
    w->inputs = mf_grow(w->inputs, &w->input_room, w->input_count + 1, sizeof *w->inputs);
    k = &w->inputs[w->input_count++];
    snprintf(k->id, sizeof k->id, "%s", id);
    k->artifact = NULL;
    return k;
}

static mf_status input(process *w, const char *id, const mf_artifact **artifact)
{
    mf_artifact *opened;

    for (size_t i = 0; i < w->input_count; i++) {
        if (!strcmp(w->inputs[i].id, id)) {
            *artifact = w->inputs[i].artifact;
            return MF_OK;
        }
    }
    MF_TRY(mf_task_get(w->task, id, &opened));
    *artifact = add_known(w, id)->artifact = opened;
    return MF_OK;
}

static mf_status put_box(mf_packet *p, mf_packet *q, const mf_artifact *a,
                         const mf_array_info *info)
{
    int64_t lo[3], hi[3];
    size_t bytes = mf_dtype_size(info->dtype);
    uint8_t *data;
    mf_status status;

    for (int i = 0; i < 3; i++) {
        lo[i] = mf_packet_get_int(q);
        hi[i] = mf_packet_get_int(q);
        if (lo[i] < 0 || hi[i] < lo[i] || !mf_size_mul(bytes, (size_t)(hi[i] - lo[i]), &bytes))
            q->failed = true;
    }
    MF_TRY(mf_packet_check(q));
    data = malloc(bytes ? bytes : 1);
    if (!data)
        return mf_no_memory(0, "a box of an array");
    status = mf_artifact_read_box(a, info->name, lo, hi, data);
    if (!status)
        mf_packet_bytes(p, data, bytes);
    free(data);
    return status;
}

static mf_status put_row(mf_packet *p, mf_packet *q, const mf_artifact *a,
                         const mf_array_info *info)
{
    uint8_t *bytes;
    size_t size;
    int64_t row = mf_packet_get_int(q);

    MF_TRY(mf_packet_check(q));
    MF_TRY(mf_artifact_read_row(a, info->name, row, &bytes, &size));
    mf_packet_bytes(p, bytes, size);
    free(bytes);
    return MF_OK;
}

/* What was asked of an artifact, behind the place of the status. */
static mf_status put_answer(process *w, mf_packet *q, mf_packet *p)
{
    const char *id = mf_packet_get_text(q);
    const mf_artifact *a;
    mf_array_info info;
    int64_t index;

    q->failed |= !id;
    MF_TRY(mf_packet_check(q));
    MF_TRY(input(w, id, &a));
    if (q->kind == MF_WIRE_GET) {
        mf_packet_head(p, a);
        return MF_OK;
    }
    index = mf_packet_get_int(q);
    if (index < 0 || (size_t)index >= mf_artifact_array_count(a))
        return mf_fail(MF_INTERNAL, "a message of the other process is damaged");
    mf_artifact_array_info(a, (size_t)index, &info);
    if (q->kind == MF_WIRE_ARRAY)
        return mf_packet_array(p, a, info.name);
    return q->kind == MF_WIRE_BOX ? put_box(p, q, a, &info) : put_row(p, q, a, &info);
}

/* The state is then read like an input. */
static mf_status load_state(process *w, mf_packet *q, mf_packet *p)
{
    int64_t most = mf_packet_get_int(q), step = 0;
    mf_artifact *state = NULL;
    known *k;

    MF_TRY(mf_packet_check(q));
    MF_TRY(mf_checkpoint_load(w->task, most, &step, &state));
    if (state) {
        k = add_known(w, MF_WIRE_STATE);
        k->artifact = state;
    }
    mf_packet_int(p, step);
    mf_packet_int(p, state != NULL);
    return MF_OK;
}

/* The state whose content has come. */
static mf_status save_state(process *w, mf_packet *q)
{
    int64_t step = mf_packet_get_int(q);
    bool keep = mf_packet_get_int(q) != 0;
    mf_artifact *state = w->state;
    mf_status status = mf_packet_check(q);

    w->state = NULL;
    if (!status && !state)
        status = mf_fail(MF_INTERNAL, "a message of the other process is damaged");
    if (!status)
        status = mf_checkpoint_save(w->task, step, state, keep);
    mf_artifact_unref(state);
    return status;
}

static mf_status put_reply(process *w, mf_packet *q, mf_packet *p)
{
    if (q->kind == MF_WIRE_LOAD_STATE)
        return load_state(w, q, p);
    return q->kind == MF_WIRE_SAVE_STATE ? save_state(w, q) : put_answer(w, q, p);
}

static mf_status answer(process *w, mf_packet *q)
{
    mf_packet content = {0}, p = {.kind = MF_WIRE_REPLY};
    mf_status status = put_reply(w, q, &content);

    mf_packet_status(&p, status);
    if (!status)
        mf_packet_append(&p, &content);
    mf_error_free(status);
    status = mf_wire_send(w->socket, &p);
    mf_packet_clear(&p);
    mf_packet_clear(&content);
    return status;
}

/* ---- what it tells ----------------------------------------------------------------------------
 */

static mf_status finish_arrival(process *w)
{
    mf_artifact *a = w->arriving;

    w->arriving = NULL;
    if (w->port)
        return mf_out(w->task, w->port, a);
    mf_artifact_unref(w->state);
    w->state = a;
    return MF_OK;
}

/* An output or a state begins: its head is kept until all its arrays are there. Takes over the
 * packet. */
static mf_status begin_arrival(process *w, mf_packet *p)
{
    bool output = p->kind == MF_WIRE_OUTPUT;
    const char *type;

    if (w->arriving)
        return mf_fail(MF_INTERNAL, "a message of the other process is damaged");
    mf_packet_clear(&w->head);
    free(w->infos);
    w->infos = NULL;
    w->head = *p;
    *p = (mf_packet){0};
    w->port = output ? mf_packet_get_text(&w->head) : NULL;
    type = mf_packet_get_text(&w->head);
    w->head.failed |= (output && !w->port) || !type;
    MF_TRY(mf_packet_check(&w->head));
    MF_TRY(mf_artifact_new(type, &w->arriving));
    MF_TRY(mf_packet_get_attributes(&w->head, w->arriving));
    MF_TRY(mf_packet_get_arrays(&w->head, &w->infos, &w->info_count));
    w->info_next = 0;
    return w->info_count ? MF_OK : finish_arrival(w);
}

static mf_status add_content(process *w, mf_packet *p)
{
    const mf_array_info *info;
    mf_array *array, *offsets;
    mf_status status;

    if (!w->arriving)
        return mf_fail(MF_INTERNAL, "a message of the other process is damaged");
    info = &w->infos[w->info_next++];
    MF_TRY(mf_packet_get_array(p, info, &array, &offsets));
    status = offsets ? mf_artifact_add_rows(w->arriving, info->name, array, offsets)
                     : mf_artifact_add(w->arriving, info->name, array);
    mf_array_unref(array);
    mf_array_unref(offsets);
    if (!status && w->info_next == w->info_count)
        status = finish_arrival(w);
    return status;
}

static mf_status take_log(process *w, mf_packet *p)
{
    const char *node, *line;

    MF_TRY(mf_heard_log(w->task, p, &node, &line));
    keep_line(w, &w->logged, node, line);
    return MF_OK;
}

static mf_status take_message(process *w, mf_packet *p)
{
    switch (p->kind) {
    case MF_WIRE_LOG:
        return take_log(w, p);
    case MF_WIRE_PROGRESS:
        return mf_heard_progress(w->task, p);
    case MF_WIRE_OUTPUT:
    case MF_WIRE_STATE_HEAD:
        return begin_arrival(w, p);
    case MF_WIRE_CONTENT:
        return add_content(w, p);
    case MF_WIRE_DONE:
        w->done = true;
        mf_error_free(w->result);
        w->result = mf_packet_get_status(p);
        return MF_OK;
    default:
        return answer(w, p);
    }
}

static void kill_all(process *w)
{
    w->killed = true;
    kill(-w->pid, SIGKILL);
}

/* One message. What can't be understood ends the process. */
static void hear(process *w)
{
    mf_packet p;
    bool end = false;
    mf_status status = mf_wire_receive(w->socket, &p, &end);

    if (!status && !end)
        status = take_message(w, &p);
    mf_packet_clear(&p);
    if (!status && !end)
        return;
    close(w->socket);
    w->socket = -1;
    if (!status)
        return;
    /* That it died in the middle of a message says less than how it died. */
    if (mf_error_code(status) == MF_IO) {
        mf_error_free(status);
        return;
    }
    w->broken = status;
    kill_all(w);
}

/* ---- the process ------------------------------------------------------------------------------
 */

/* All devices of the task, each with the form of its kernels. */
static void put_devices(const process *w, mf_packet *p)
{
    const size_t *devices;
    size_t count = mf_task_device_list(w->task, &devices);

    mf_packet_int(p, (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        mf_packet_int(p, (int64_t)devices[i]);
        mf_packet_int(p, mf_host_form(mf_task_host(w->task), devices[i]));
    }
}

static mf_status put_start(process *w, mf_packet *p)
{
    mf_host *host = mf_task_host(w->task);
    const mf_registry *registry = mf_host_registry(host);
    int64_t files = 0;

    while (mf_registry_loaded(registry, (size_t)files))
        files++;
    mf_packet_int(p, (int64_t)w->limits->memory);
    mf_packet_int(p, mf_task_threads(w->task));
    mf_packet_int(p, (int64_t)(w->limits->timeout * 1e6));
    mf_packet_text(p, mf_host_device_words(host));
    put_devices(w, p);
    mf_packet_int(p, files);
    for (int64_t i = 0; i < files; i++)
        mf_packet_text(p, mf_registry_loaded(registry, (size_t)i));
    return mf_frozen_put(p, mf_task_work(w->task));
}

/* This process's, and the mark. */
static char **marked_environment(process *w)
{
    size_t count = 0;

    while (environ[count])
        count++;
    char **made = calloc(count + 2, sizeof *made);
    if (!made)
        return NULL;
    mf_mark_new(w->mark);
    made[0] = w->mark;
    memcpy(made + 1, environ, count * sizeof *made);
    return made;
}

static int spawn_with(process *w, int socket, int output)
{
    char **environment = marked_environment(w);
    char *arguments[] = {"massflow", "worker", (char *)mf_task_work(w->task)->node, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, usual;
    int failed;

    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGINT);
    sigaddset(&usual, SIGTERM);
    sigaddset(&usual, SIGPIPE);
    sigaddset(&usual, SIGXFSZ);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&how);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, output, 1);
    posix_spawn_file_actions_adddup2(&files, output, 2);
    posix_spawn_file_actions_adddup2(&files, socket, MF_WORKER_SOCKET);
    posix_spawn_file_actions_addclosefrom_np(&files, MF_WORKER_SOCKET + 1);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                       POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &usual);
    failed = !environment ? ENOMEM
                          : posix_spawn(&w->pid, mf_host_program(mf_task_host(w->task)), &files,
                                        &how, arguments, environment);
    free(environment);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return failed;
}

static mf_status spawn(process *w)
{
    int sockets[2], pipes[2], failed;
    struct timeval patience = {.tv_sec = PATIENCE};

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
        return mf_fail(MF_IO, "no worker process could be started: %s", strerror(errno));
    if (pipe2(pipes, O_CLOEXEC) != 0) {
        mf_status status =
            mf_fail(MF_IO, "no worker process could be started: %s", strerror(errno));
        close(sockets[0]);
        close(sockets[1]);
        return status;
    }
    failed = spawn_with(w, sockets[1], pipes[1]);
    close(sockets[1]);
    close(pipes[1]);
    w->socket = sockets[0];
    w->output = pipes[0];
    fcntl(w->output, F_SETFL, O_NONBLOCK);
    setsockopt(w->socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(w->socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (failed)
        return mf_fail(MF_IO, "no worker process could be started: %s", strerror(failed));
    mf_group_add(w->pid, true);
    w->death = pidfd_open(w->pid, 0);
    return MF_OK;
}

static void send_cancel(process *w)
{
    mf_packet p = {.kind = MF_WIRE_CANCEL};

    w->cancelling = true;
    if (w->socket >= 0)
        mf_error_free(mf_wire_send(w->socket, &p));
}

/* Milliseconds until it is to be killed; -1: never. */
static int patience(const process *w)
{
    double left = w->start + w->limits->timeout + GRACE - mf_run_clock();

    if (w->limits->timeout <= 0 || w->killed)
        return -1;
    return left > 0 ? (int)(left * 1e3) + 1 : 0;
}

/* Of its host a file says so, of the task alone nothing does. */
static bool is_cancelled(const process *w)
{
    return !w->cancelling && mf_task_cancelled(w->task);
}

/* Waits for whatever comes first; true once the process has ended. */
static bool step(process *w)
{
    int wish = w->cancelling ? -1 : mf_host_cancel_event(mf_task_host(w->task));
    struct pollfd waits[] = {{.fd = w->socket, .events = POLLIN},
                             {.fd = w->output, .events = POLLIN},
                             {.fd = wish, .events = POLLIN},
                             {.fd = w->death, .events = POLLIN}};
    int left = patience(w);

    if (left == 0)
        kill_all(w);
    if (left < 0 || left > LOOK)
        left = LOOK;
    if (poll(waits, 4, left) < 0 && errno != EINTR)
        return true;
    if (waits[2].revents || is_cancelled(w))
        send_cancel(w);
    if (waits[0].revents)
        hear(w);
    if (waits[1].revents)
        read_output(w);
    if (w->death < 0)
        return w->socket < 0;
    return waits[3].revents && !waits[0].revents;
}

/* Ends what it left behind, and takes what is still on the way. */
static void reap(process *w)
{
    kill(-w->pid, SIGKILL);
    mf_mark_end(w->mark);
    mf_group_remove(w->pid);
    while (wait4(w->pid, &w->how, 0, &w->usage) < 0 && errno == EINTR)
        ;
    for (int i = 0; i < MOST_LEFT && read_output(w); i++)
        ;
    if (w->line.length)
        keep_line(w, &w->printed, mf_task_work(w->task)->node, w->line.data);
}

/* ---- how it ended -----------------------------------------------------------------------------
 */

static void add_tail(mf_text *text, const tail *kept, const char *what)
{
    size_t first = kept->count > TAIL_LINES ? kept->count - TAIL_LINES : 0;

    if (kept->count)
        mf_text_add(text, "\n  last lines that it %s:", what);
    for (size_t i = first; i < kept->count; i++)
        mf_text_add(text, "\n  | %s", kept->lines[i % TAIL_LINES]);
}

/* "SIGSEGV (Segmentation fault)" */
static void add_signal(mf_text *text, int number)
{
    const char *name = sigabbrev_np(number);

    if (name)
        mf_text_add(text, "SIG%s (%s)", name, sigdescr_np(number));
    else
        mf_text_add(text, "signal %d", number);
}

static mf_status death(const process *w)
{
    mf_text text = {0};
    mf_status status;
    bool out_of_time = w->killed && w->limits->timeout > 0;

    if (out_of_time)
        mf_text_add(&text, "it ran longer than its timeout of %g s and was killed",
                    w->limits->timeout);
    else if (WIFSIGNALED(w->how))
        mf_text_add(&text, "its process was killed by ");
    else
        mf_text_add(&text, "its process ended with exit status %d before the stage was done",
                    WEXITSTATUS(w->how));
    if (!out_of_time && WIFSIGNALED(w->how))
        add_signal(&text, WTERMSIG(w->how));
    mf_text_add(&text, "; peak memory %.0f MB", (double)w->usage.ru_maxrss * 1024e-6);
    add_tail(&text, &w->logged, "logged");
    add_tail(&text, &w->printed, "printed");
    status = mf_fail(out_of_time ? MF_CANCELLED : MF_INTERNAL, "%s", text.data);
    if (!out_of_time && WIFSIGNALED(w->how) && WTERMSIG(w->how) == SIGKILL)
        status = mf_hint(status, "probably the system is out of memory: see dmesg");
    free(text.data);
    return status;
}

/* With a limit of its own, what looks like a defect may be the lack of memory. */
static mf_status with_limit(const process *w, mf_status status)
{
    bool signalled = !w->done && WIFSIGNALED(w->how) && WTERMSIG(w->how) != SIGKILL && !w->killed;

    if (!status || !w->limits->memory || (mf_error_code(status) != MF_NO_MEMORY && !signalled))
        return status;
    return mf_hint(status, "its process is limited to %.0f MB by 'memory' in the graph file",
                   (double)w->limits->memory * 1e-6);
}

static mf_status outcome(process *w)
{
    mf_status status = MF_OK;

    if (w->broken)
        status = w->broken;
    else if (w->done)
        status = w->result;
    else
        status = death(w);
    if (!w->done)
        mf_folders_sweep(); /* its own, if it had one */
    if (w->result && status != w->result)
        mf_error_free(w->result);
    w->broken = w->result = NULL;
    if (!status)
        status = mf_task_check_outputs(w->task);
    return with_limit(w, status);
}

static void clear(process *w)
{
    int files[] = {w->socket, w->output, w->death};

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (files[i] >= 0)
            close(files[i]);
    }
    for (size_t i = 0; i < TAIL_LINES; i++) {
        free(w->logged.lines[i]);
        free(w->printed.lines[i]);
    }
    for (size_t i = 0; i < w->input_count; i++)
        mf_artifact_unref(w->inputs[i].artifact);
    mf_artifact_unref(w->arriving);
    mf_artifact_unref(w->state);
    mf_packet_clear(&w->head);
    free(w->inputs);
    free(w->infos);
    free(w->line.data);
}

static mf_status run(process *w, mf_packet *start)
{
    MF_TRY(spawn(w));
    /* Where it is dead already, how it died says more. */
    mf_error_free(mf_wire_send(w->socket, start));
    while (!step(w))
        ;
    reap(w);
    return outcome(w);
}

mf_status mf_execute_isolated(mf_task *task, const mf_limits *limits, mf_spent *spent)
{
    process w = {.task = task,
                 .limits = limits,
                 .socket = -1,
                 .output = -1,
                 .death = -1,
                 .start = mf_run_clock()};
    mf_packet start = {.kind = MF_WIRE_START};
    mf_status status = MF_OK;

    if (!mf_host_program(mf_task_host(task)))
        status = mf_fail(MF_UNSUPPORTED, "this program can't run a node in a process of its own");
    if (!status)
        status = put_start(&w, &start);

    mf_task_begin_checkpoints(task);
    if (!status)
        status = run(&w, &start);
    spent->peak_bytes = w.usage.ru_maxrss * 1024;
    mf_packet_clear(&start);
    clear(&w);
    if (status)
        mf_task_drop(task);
    return status;
}
