/* arena.c - see arena.h. Pieces come from blocks that are freed together. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK ((size_t)64 * 1024)

typedef struct block {
    struct block *next;
    size_t used, size;
    alignas(max_align_t) char data[];
} block;

struct mf_arena {
    block *blocks;
};

static void *must(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

mf_arena *mf_arena_new(void)
{
    return must(calloc(1, sizeof(mf_arena)));
}

void mf_arena_free(mf_arena *arena)
{
    if (!arena)
        return;
    while (arena->blocks) {
        block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
    free(arena);
}

void *mf_arena_alloc(mf_arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2)
        abort();
    bytes = (bytes + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
    block *b = arena->blocks;
    if (!b || b->size - b->used < bytes) {
        /* Blocks grow with the arena: a small one stays small, a large one has few blocks. */
        size_t room = b ? b->size * 2 : BLOCK / 128;
        room = room > BLOCK ? BLOCK : room;
        room = bytes > room ? bytes : room;
        b = must(calloc(1, sizeof *b + room));
        b->size = room;
        b->next = arena->blocks;
        arena->blocks = b;
    }
    void *piece = b->data + b->used;
    b->used += bytes;
    return piece;
}

char *mf_arena_copy_n(mf_arena *arena, const char *text, size_t length)
{
    char *copy = mf_arena_alloc(arena, length + 1, 1);
    memcpy(copy, text, length);
    return copy;
}

char *mf_arena_copy(mf_arena *arena, const char *text)
{
    return mf_arena_copy_n(arena, text, strlen(text));
}

char *mf_arena_print(mf_arena *arena, const char *format, ...)
{
    va_list args;
    char *text;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        abort();
    va_end(args);
    char *copy = mf_arena_copy(arena, text);
    free(text);
    return copy;
}

void *mf_grow(void *data, size_t *room, size_t need, size_t size)
{
    if (need <= *room)
        return data;
    size_t wanted = *room ? *room : 8;
    while (wanted < need)
        wanted *= 2;
    *room = wanted;
    return must(reallocarray(data, wanted, size));
}

void mf_text_add_n(mf_text *text, const char *bytes, size_t count)
{
    text->data = mf_grow(text->data, &text->room, text->length + count + 1, 1);
    memcpy(text->data + text->length, bytes, count);
    text->length += count;
    text->data[text->length] = 0;
}

void mf_text_add(mf_text *text, const char *format, ...)
{
    va_list args;
    char small[256];
    va_start(args, format);
    int length = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (length >= 0 && (size_t)length < sizeof small) {
        mf_text_add_n(text, small, (size_t)length);
        return;
    }
    char *large;
    va_start(args, format);
    length = vasprintf(&large, format, args);
    va_end(args);
    if (length < 0)
        abort();
    mf_text_add_n(text, large, (size_t)length);
    free(large);
}

char *mf_text_take(mf_text *text)
{
    mf_text_add_n(text, "", 0);
    char *data = text->data;
    *text = (mf_text){0};
    return data;
}
