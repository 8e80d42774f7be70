/* mem.h - heap allocation.
 *
 * Small things (names, option structs, list nodes) use mem_alloc() and friends, which end the
 * process when memory is gone. Anything sized by a file or a request uses mem_try_*(), which
 * checks the multiplication and reports ERR_NOMEM.
 */
#ifndef LAR_BASE_MEM_H
#define LAR_BASE_MEM_H

#include <stddef.h>

struct err;

void *mem_alloc(size_t size);            /* zeroed, never NULL; free() it */
void *mem_realloc(void *p, size_t size); /* never NULL */
char *mem_strdup(const char *s);         /* never NULL; NULL gives NULL */
char *mem_strndup(const char *s, size_t n);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* n * size zeroed bytes, or NULL with ERR_NOMEM naming `what`. */
void *mem_try_array(size_t n, size_t size, const char *what, struct err *e);

/* size bytes aligned to 64, not cleared, or NULL with ERR_NOMEM naming `what`. Large blocks are
 * offered to the kernel for huge pages. Release with mem_free_aligned(). */
void *mem_try_aligned(size_t size, const char *what, struct err *e);
void mem_free_aligned(void *p);

/* Bytes that the system could give now without swapping; what is cached counts as free. 0 where it
 * cannot be told. */
size_t mem_available(void);

/* Fault injection for tests: the n-th mem_try_*() call from now fails (0 switches it off). */
void mem_fail_nth(long n);

#endif
