/* notices.c - see notices.h. */
#include "notices.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MOST 1000 /* kept; what comes beyond is dropped, for nobody reads it */

struct notices {
    pthread_mutex_t lock;
    char *lines[MOST];
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

    if (!n)
        return;
    while ((line = notices_take(n)))
        free(line);
    pthread_mutex_destroy(&n->lock);
    free(n);
}

void notices_put(void *self, const char *text)
{
    notices *n = self;

    pthread_mutex_lock(&n->lock);
    if (n->count < MOST) {
        n->lines[(n->first + n->count) % MOST] = strdup(text);
        n->count += n->lines[(n->first + n->count) % MOST] != NULL;
    }
    pthread_mutex_unlock(&n->lock);
}

char *notices_take(notices *n)
{
    char *line = NULL;

    pthread_mutex_lock(&n->lock);
    if (n->count) {
        line = n->lines[n->first];
        n->first = (n->first + 1) % MOST;
        n->count--;
    }
    pthread_mutex_unlock(&n->lock);
    return line;
}
