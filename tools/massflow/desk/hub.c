/* hub.c - see hub.h. */
#include "hub.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One event as it is sent; the ears that still have to send it share it. */
typedef struct event {
    int refs;
    size_t size;
    char text[];
} event;

struct hub_ear {
    hub *h;
    event *waiting[HUB_MOST_WAITING];
    size_t first, count;
    event *now; /* that is being said; NULL where the text is one of the two below */
    const char *said;
    size_t left; /* of it */
    bool lost;   /* something, so that it has to begin anew */
    bool beat;   /* it is to be told that the desk is there */
    hub_ear *next;
};

struct hub {
    pthread_mutex_t lock;
    pthread_cond_t news;
    bool closed;
    hub_ear *ears;
    size_t count;
};

static const char anew[] = "event: anew\ndata: {}\n\n", beat[] = ": still here\n\n";

mf_status hub_new(hub **h)
{
    *h = calloc(1, sizeof **h);
    if (!*h)
        return mf_no_memory(sizeof **h, "events");
    pthread_mutex_init(&(*h)->lock, NULL);
    pthread_cond_init(&(*h)->news, NULL);
    return MF_OK;
}

void hub_free(hub *h)
{
    if (!h)
        return;
    pthread_cond_destroy(&h->news);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

void hub_close(hub *h)
{
    pthread_mutex_lock(&h->lock);
    h->closed = true;
    pthread_cond_broadcast(&h->news);
    pthread_mutex_unlock(&h->lock);
}

static void drop(event *e)
{
    if (--e->refs == 0)
        free(e);
}

static void forget(hub_ear *ear)
{
    for (; ear->count; ear->count--) {
        drop(ear->waiting[ear->first]);
        ear->first = (ear->first + 1) % HUB_MOST_WAITING;
    }
}

static void add(hub_ear *ear, event *e)
{
    if (ear->lost)
        return;
    if (ear->count == HUB_MOST_WAITING) {
        ear->lost = true;
        return;
    }
    e->refs++;
    ear->waiting[(ear->first + ear->count++) % HUB_MOST_WAITING] = e;
}

void hub_put(hub *h, const char *name, const char *json)
{
    size_t room = strlen(name) + strlen(json) + sizeof "event: \ndata: \n\n";
    event *e = malloc(sizeof *e + room);

    if (e) {
        e->refs = 1;
        e->size = (size_t)snprintf(e->text, room, "event: %s\ndata: %s\n\n", name, json);
    }
    pthread_mutex_lock(&h->lock);
    for (hub_ear *ear = h->ears; ear; ear = ear->next)
        if (e)
            add(ear, e);
        else
            ear->lost = true;
    if (e)
        drop(e);
    pthread_cond_broadcast(&h->news);
    pthread_mutex_unlock(&h->lock);
}

void hub_beat(hub *h)
{
    pthread_mutex_lock(&h->lock);
    for (hub_ear *ear = h->ears; ear; ear = ear->next)
        ear->beat = true;
    pthread_cond_broadcast(&h->news);
    pthread_mutex_unlock(&h->lock);
}

hub_ear *hub_listen(hub *h)
{
    hub_ear *ear = calloc(1, sizeof *ear);

    if (!ear)
        return NULL;
    ear->h = h;
    ear->lost = true; /* the first event is "anew" */
    pthread_mutex_lock(&h->lock);
    bool full = h->closed || h->count >= HUB_MOST_EARS;
    if (!full) {
        ear->next = h->ears;
        h->ears = ear;
        h->count++;
    }
    pthread_mutex_unlock(&h->lock);
    if (full) {
        free(ear);
        return NULL;
    }
    return ear;
}

void hub_leave(void *self)
{
    hub_ear *ear = self;
    hub *h = ear->h;

    pthread_mutex_lock(&h->lock);
    for (hub_ear **at = &h->ears; *at; at = &(*at)->next)
        if (*at == ear) {
            *at = ear->next;
            h->count--;
            break;
        }
    forget(ear);
    if (ear->now)
        drop(ear->now);
    pthread_mutex_unlock(&h->lock);
    free(ear);
}

/* What is to be said next, once the last was said whole. False: nothing. */
static bool next(hub_ear *ear)
{
    if (ear->lost) {
        forget(ear);
        ear->lost = false;
        ear->said = anew;
        ear->left = sizeof anew - 1;
    } else if (ear->count) {
        ear->now = ear->waiting[ear->first];
        ear->first = (ear->first + 1) % HUB_MOST_WAITING;
        ear->count--;
        ear->said = ear->now->text;
        ear->left = ear->now->size;
    } else if (ear->beat) {
        ear->said = beat;
        ear->left = sizeof beat - 1;
    }
    ear->beat = false;
    return ear->left > 0;
}

static size_t say(hub_ear *ear, char *to, size_t room)
{
    size_t size = ear->left < room ? ear->left : room;

    memcpy(to, ear->said, size);
    ear->said += size;
    ear->left -= size;
    if (!ear->left && ear->now) {
        drop(ear->now);
        ear->now = NULL;
    }
    return size;
}

size_t hub_read(void *self, char *to, size_t room)
{
    hub_ear *ear = self;
    hub *h = ear->h;
    size_t size = 0;

    pthread_mutex_lock(&h->lock);
    while (!h->closed && !ear->left && !next(ear))
        pthread_cond_wait(&h->news, &h->lock);
    if (!h->closed)
        size = say(ear, to, room);
    pthread_mutex_unlock(&h->lock);
    return size;
}
