/* arena.h - many small pieces of memory that are freed at once, and texts that grow.
 *
 * For structures that are small beside what they describe: names, graphs, messages. When the system
 * has no memory for such a piece the program is aborted; data that users size (voxels, files) never
 * goes through here. */
#ifndef MASSFLOW_BASE_ARENA_H
#define MASSFLOW_BASE_ARENA_H

#include <massflow/error.h>
#include <stdint.h>

typedef struct mf_arena mf_arena;

mf_arena *mf_arena_new(void);
void mf_arena_free(mf_arena *arena); /* NULL is fine */
/* count * size zeroed bytes, aligned for any type. */
void *mf_arena_alloc(mf_arena *arena, size_t count, size_t size);
char *mf_arena_copy(mf_arena *arena, const char *text);
char *mf_arena_copy_n(mf_arena *arena, const char *text, size_t length);
char *mf_arena_print(mf_arena *arena, const char *format, ...) MF_PRINTF(2, 3);

/* realloc for an array that grows by doubling; *room elements are allocated, `need` are wanted. */
void *mf_grow(void *data, size_t *room, size_t need, size_t size);

/* A text that grows: start with {0}, free `data`. `data` is NULL while nothing was added. */
typedef struct mf_text {
    char *data;
    size_t length, room;
} mf_text;
void mf_text_add(mf_text *text, const char *format, ...) MF_PRINTF(2, 3);
void mf_text_add_n(mf_text *text, const char *bytes, size_t count);
char *mf_text_take(mf_text *text); /* never NULL; the caller frees, the text is empty again */

#endif
