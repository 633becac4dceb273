/* notices.c - see notices.h. */
#include "notices.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MOST 1000 /* kept; what comes beyond is dropped, for nobody reads it */

struct notices {
    pthread_mutex_t lock;
    struct {
        char *text;
        bool wrong;
    } lines[MOST];
    size_t first, count;
};

notices *notices_new(void)
{
    notices *n = calloc(1, sizeof *n);

    if (n)
        pthread_mutex_init(&n->lock, NULL);
    return n;
}

void notices_free(notices *n)
{
    char *line;
    bool wrong;

    if (!n)
        return;
    while ((line = notices_take(n, &wrong)))
        free(line);
    pthread_mutex_destroy(&n->lock);
    free(n);
}

static void put(notices *n, const char *text, bool wrong)
{
    pthread_mutex_lock(&n->lock);
    if (n->count < MOST) {
        size_t i = (n->first + n->count) % MOST;
        n->lines[i].text = strdup(text);
        n->lines[i].wrong = wrong;
        n->count += n->lines[i].text != NULL;
    }
    pthread_mutex_unlock(&n->lock);
}

void notices_put(void *self, const char *text)
{
    put(self, text, false);
}

void notices_warn(void *self, const char *text)
{
    put(self, text, true);
}

char *notices_take(notices *n, bool *wrong)
{
    char *line = NULL;

    pthread_mutex_lock(&n->lock);
    if (n->count) {
        line = n->lines[n->first].text;
        *wrong = n->lines[n->first].wrong;
        n->first = (n->first + 1) % MOST;
        n->count--;
    }
    pthread_mutex_unlock(&n->lock);
    return line;
}
