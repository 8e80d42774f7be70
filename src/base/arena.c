/* arena.c - a list of blocks, bump allocation in the newest. */
#include "base/arena.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE 65536

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    _Alignas(16) char data[];
};

void *arena_alloc(struct arena *a, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (!a->block || a->block->size - a->block->used < size) {
        size_t want = size > BLOCK_SIZE ? size : BLOCK_SIZE;
        struct arena_block *b = mem_alloc(sizeof(*b) + want);
        b->size = want;
        b->next = a->block;
        a->block = b;
    }
    void *p = a->block->data + a->block->used;
    a->block->used += size;
    return p;
}

void *arena_try_array(struct arena *a, size_t n, size_t size, const char *what, struct err *e)
{
    size_t total;
    if (__builtin_mul_overflow(n, size, &total))
        total = SIZE_MAX - sizeof(struct arena_block);
    struct arena_block *b = mem_try_array(sizeof(*b) + total, 1, what, e);
    if (!b)
        return NULL;
    b->size = b->used = total;
    if (a->block) { /* behind the newest block, which may have room left */
        b->next = a->block->next;
        a->block->next = b;
    } else {
        a->block = b;
    }
    return b->data;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
    char *copy = arena_alloc(a, n + 1);
    memcpy(copy, s, n);
    return copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return s ? arena_strndup(a, s, strlen(s)) : NULL;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    size_t size = (size_t)(n < 0 ? 0 : n) + 1;
    char *s = arena_alloc(a, size);
    vsnprintf(s, size, fmt, again);
    va_end(again);
    return s;
}

void arena_release(struct arena *a)
{
    while (a->block) {
        struct arena_block *next = a->block->next;
        free(a->block);
        a->block = next;
    }
}
