/* arena.h - memory that is released all at once: per model, per request, per step.
 *
 * arena_alloc() is for small things (names, op records); what a file or request sizes takes
 * arena_try_array().
 * One thread at a time.
 */
#ifndef LAR_BASE_ARENA_H
#define LAR_BASE_ARENA_H

#include <stddef.h>

struct arena_block;
struct err;

/* A zeroed struct arena is an empty arena. */
struct arena {
    struct arena_block *block; /* newest first */
};

void *arena_alloc(struct arena *a, size_t size); /* zeroed, 16-byte aligned, never NULL */
/* n * size zeroed bytes, 16-byte aligned, or NULL with ERR_NOMEM naming `what`. */
void *arena_try_array(struct arena *a, size_t n, size_t size, const char *what, struct err *e);
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void arena_release(struct arena *a); /* everything; the arena may be used again */

#endif
