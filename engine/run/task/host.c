/* host.c - devices, opened when first asked for; sessions, kept while they may be used again. */
#include "compute/devices.h"
#include "compute/programs.h"
#include "run/artifact/check.h"
#include "run/process/signals.h"
#include "run/task/task.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Sessions that wait for their next user; more are closed, the least recently used first. */
#define IDLE_SESSIONS 4

/* No list of devices is longer (choose.c). */
#define MOST_DEVICES 64

struct mf_session {
    mf_session *next; /* newest use first */
    const mf_stage *stage;
    size_t device; /* index in the host's devices */
    char key[MF_HEX_SIZE];
    void *value;
    bool busy;
};

struct mf_host {
    mf_store *store;
    const mf_registry *registry;
    char *device_words, *program;
    mf_log_sink sink;
    void *sink_self;
    const mf_supply *supply; /* NULL: the store */
    struct mf_workers *workers;
    atomic_bool cancelled;
    atomic_int signal; /* that asked for it; 0: none */
    int cancel_event;
    pthread_mutex_t lock; /* of what follows */
    mf_device **devices;
    size_t device_count;
    enum { OWN, FOR_GPUS, FOR_CPUS } forms[MOST_DEVICES];
    mf_programs *programs; /* NULL where none can be kept */
    mf_session *sessions;
};

mf_status mf_host_new(mf_store *store, const mf_registry *registry, const char *devices,
                      mf_host **host)
{
    mf_host *h = calloc(1, sizeof *h);

    *host = NULL;
    if (!h || !(h->device_words = strdup(devices ? devices : ""))) {
        free(h);
        return mf_no_memory(0, "starting a run");
    }
    h->store = store;
    h->registry = registry;
    h->cancel_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&h->lock, NULL);
    *host = h;
    return MF_OK;
}

static void close_session(mf_session *s)
{
    if (s->stage->close && s->value)
        s->stage->close(s->value);
    free(s);
}

void mf_host_free(mf_host *h)
{
    if (!h)
        return;
    for (mf_session *s = h->sessions, *next; s; s = next) {
        next = s->next;
        close_session(s);
    }
    for (size_t i = 0; i < h->device_count; i++)
        mf_device_unref(h->devices[i]);
    free(h->devices);
    mf_programs_free(h->programs);
    if (h->cancel_event >= 0)
        close(h->cancel_event);
    pthread_mutex_destroy(&h->lock);
    free(h->device_words);
    free(h->program);
    free(h);
}

void mf_host_set_log(mf_host *h, mf_log_sink sink, void *self)
{
    h->sink = sink;
    h->sink_self = self;
}

void mf_host_log(mf_host *h, const char *node, const char *line)
{
    if (h->sink)
        h->sink(h->sink_self, node, line);
}

void mf_host_set_supply(mf_host *h, const mf_supply *supply)
{
    h->supply = supply;
}

const mf_supply *mf_host_supply(const mf_host *h)
{
    return h->supply;
}

mf_status mf_host_get(const mf_host *h, const char *id, mf_artifact **artifact)
{
    return h->supply ? h->supply->get(h->supply->self, id, artifact)
                     : mf_open_artifact(h->store, h->registry, id, artifact);
}

mf_store *mf_host_store(const mf_host *h)
{
    return h->store;
}

const mf_registry *mf_host_registry(const mf_host *h)
{
    return h->registry;
}

static mf_status use_form(mf_host *h, size_t i)
{
    mf_device *other;

    if (h->forms[i] == OWN)
        return MF_OK;
    MF_TRY(mf_device_again(h->devices[i], h->forms[i] == FOR_CPUS, &other));
    mf_device_unref(h->devices[i]);
    h->devices[i] = other;
    return MF_OK;
}

static void keep_programs(mf_host *h)
{
    h->programs = mf_programs_open(NULL, NULL);
    if (!h->programs)
        return; /* each process builds its own; `massflow devices` says why */
    const mf_binary_store store = mf_programs_store(h->programs);
    for (size_t i = 0; i < h->device_count; i++)
        mf_device_keep_binaries(h->devices[i], &store);
}

static mf_status open_devices(mf_host *h)
{
    mf_status status;

    mf_signals_before_drivers();
    status = mf_devices_open(h->device_words, &h->devices, &h->device_count);
    mf_signals_hold();
    MF_TRY(status);
    keep_programs(h);
    for (size_t i = 0; i < h->device_count; i++)
        MF_TRY(use_form(h, i));
    return MF_OK;
}

mf_status mf_host_devices(mf_host *h, mf_device *const **devices, size_t *count)
{
    mf_status status = MF_OK;

    pthread_mutex_lock(&h->lock);
    if (!h->devices)
        status = open_devices(h);
    *devices = h->devices;
    *count = h->device_count;
    pthread_mutex_unlock(&h->lock);
    return status;
}

mf_status mf_host_device(mf_host *h, size_t index, mf_device **device)
{
    mf_device *const *devices;
    size_t count;

    *device = NULL;
    MF_TRY(mf_host_devices(h, &devices, &count));
    *device = devices[index];
    return MF_OK;
}

int mf_host_compiling(mf_host *h, size_t index)
{
    mf_device *device = NULL;

    if (pthread_mutex_trylock(&h->lock))
        return 0; /* held while a driver starts: who shows progress does not wait for it */
    if (index < h->device_count)
        device = mf_device_ref(h->devices[index]);
    pthread_mutex_unlock(&h->lock);
    int sources = device ? mf_device_compiling(device) : 0;
    mf_device_unref(device);
    return sources;
}

mf_status mf_host_set_form(mf_host *h, size_t index, bool plain)
{
    mf_status status = MF_OK;

    if (index >= MOST_DEVICES)
        return mf_fail(MF_INVALID, "there is no device %zu", index);
    pthread_mutex_lock(&h->lock);
    h->forms[index] = plain ? FOR_CPUS : FOR_GPUS;
    if (index < h->device_count)
        status = use_form(h, index);
    pthread_mutex_unlock(&h->lock);
    return status;
}

int mf_host_form(const mf_host *h, size_t index)
{
    return index < MOST_DEVICES ? (int)h->forms[index] - 1 : -1;
}

const char *mf_host_device_words(const mf_host *h)
{
    return h->device_words;
}

mf_status mf_host_set_program(mf_host *h, const char *path)
{
    char *copy = strdup(path);

    if (!copy)
        return mf_no_memory(0, "the name of a program");
    free(h->program);
    h->program = copy;
    return MF_OK;
}

const char *mf_host_program(const mf_host *h)
{
    return h->program;
}

void mf_host_set_workers(mf_host *h, struct mf_workers *workers)
{
    h->workers = workers;
}

struct mf_workers *mf_host_workers(const mf_host *h)
{
    return h->workers;
}

void mf_host_cancel(mf_host *h)
{
    uint64_t one = 1;

    atomic_store(&h->cancelled, true);
    if (h->cancel_event >= 0 && write(h->cancel_event, &one, sizeof one) < 0)
        return; /* it can be read already */
}

void mf_host_interrupt(mf_host *h, int number)
{
    atomic_store(&h->signal, number);
    mf_host_cancel(h);
}

int mf_host_signal(const mf_host *h)
{
    return atomic_load(&h->signal);
}

int mf_host_cancel_event(const mf_host *h)
{
    return h->cancel_event;
}

bool mf_host_cancelled(const mf_host *h)
{
    return atomic_load(&h->cancelled);
}

/* ---- sessions -------------------------------------------------------------------------------- */

/* Stage, parameters and `model` inputs. */
static mf_status session_key(const mf_work *work, char key[MF_HEX_SIZE])
{
    mf_digest *digest;
    mf_port_type type;

    MF_TRY(mf_digest_new(&digest));
    mf_digest_add_text(digest, work->stage->name);
    mf_digest_add_text(digest, mf_params_json(work->params));
    for (size_t i = 0; i < mf_params_path_count(work->params); i++) {
        const char *name;
        const char *path = mf_params_path(work->params, i, &name);
        mf_digest_add_text(digest, name);
        mf_digest_add_text(digest, path);
    }
    for (size_t i = 0; i < work->feed_count; i++) {
        const mf_feed *feed = &work->feeds[i];
        if (!mf_port_type_parse(feed->port->type, &type) || strcmp(type.name, "model"))
            continue;
        mf_digest_add_text(digest, feed->port->name);
        for (size_t k = 0; k < feed->count; k++)
            mf_digest_add_text(digest, feed->elements[k].id);
    }
    mf_digest_end_hex(digest, key);
    mf_digest_free(digest);
    return MF_OK;
}

static mf_session *take_idle(mf_host *h, const mf_stage *stage, size_t device, const char *key)
{
    mf_session *s;

    pthread_mutex_lock(&h->lock);
    for (s = h->sessions; s; s = s->next) {
        if (!s->busy && s->stage == stage && s->device == device && !strcmp(s->key, key))
            break;
    }
    if (s)
        s->busy = true;
    pthread_mutex_unlock(&h->lock);
    return s;
}

mf_status mf_session_acquire(mf_host *h, mf_task *task, const mf_work *work, mf_session **session)
{
    char key[MF_HEX_SIZE];
    mf_session *s;
    mf_status status;

    *session = NULL;
    if (!work->stage->open)
        return MF_OK;
    MF_TRY(session_key(work, key));
    s = take_idle(h, work->stage, mf_task_device(task), key);
    if (s) {
        *session = s;
        return MF_OK;
    }
    s = calloc(1, sizeof *s);
    if (!s)
        return mf_no_memory(sizeof *s, "a session");
    s->stage = work->stage;
    s->device = mf_task_device(task);
    s->busy = true;
    memcpy(s->key, key, sizeof key);
    status = work->stage->open(task, mf_params_struct(work->params), &s->value);
    if (status)
        s->value = NULL; /* of what a plugin left there after an error nothing is known */
    else
        status = mf_task_drain(task);
    if (status) {
        close_session(s);
        return mf_within(status, "opening a session of %s", work->stage->name);
    }
    pthread_mutex_lock(&h->lock);
    s->next = h->sessions;
    h->sessions = s;
    pthread_mutex_unlock(&h->lock);
    *session = s;
    return MF_OK;
}

static mf_session **find_link(mf_host *h, mf_session *session)
{
    mf_session **link = &h->sessions;

    while (*link != session)
        link = &(*link)->next;
    return link;
}

/* Takes the idle session that was used longest ago out of the list, when there are too many. */
static mf_session *take_surplus(mf_host *h)
{
    mf_session *last = NULL;
    int idle = 0;

    for (mf_session *s = h->sessions; s; s = s->next) {
        if (!s->busy) {
            idle++;
            last = s;
        }
    }
    if (idle <= IDLE_SESSIONS)
        return NULL;
    *find_link(h, last) = last->next;
    return last;
}

void mf_session_release(mf_host *h, mf_session *session)
{
    mf_session *surplus;

    if (!session)
        return;
    pthread_mutex_lock(&h->lock);
    *find_link(h, session) = session->next;
    session->busy = false;
    session->next = h->sessions;
    h->sessions = session;
    surplus = take_surplus(h);
    pthread_mutex_unlock(&h->lock);
    if (surplus)
        close_session(surplus);
}

void *mf_session_value(const mf_session *session)
{
    return session ? session->value : NULL;
}
