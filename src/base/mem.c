/* mem.c - heap allocation with two policies; see mem.h. */
#include "base/mem.h"

#include "base/err.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE ((size_t)2 << 20)

static atomic_long fail_countdown;

void mem_fail_nth(long n)
{
    atomic_store(&fail_countdown, n);
}

static int must_fail(void)
{
    return atomic_load(&fail_countdown) > 0 && atomic_fetch_sub(&fail_countdown, 1) == 1;
}

/* Small allocations that fail leave nothing sensible to do. */
static void *checked(void *p)
{
    if (!p) {
        fputs("lar: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *mem_alloc(size_t size)
{
    return checked(calloc(1, size ? size : 1));
}

void *mem_realloc(void *p, size_t size)
{
    return checked(realloc(p, size ? size : 1));
}

char *mem_strndup(const char *s, size_t n)
{
    char *copy = mem_alloc(n + 1);
    memcpy(copy, s, n);
    return copy;
}

char *mem_strdup(const char *s)
{
    return s ? mem_strndup(s, strlen(s)) : NULL;
}

char *mem_printf(const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *s = mem_alloc((size_t)(n < 0 ? 0 : n) + 1);
    vsnprintf(s, (size_t)(n < 0 ? 0 : n) + 1, fmt, again);
    va_end(again);
    return s;
}

void *mem_try_array(size_t n, size_t size, const char *what, struct err *e)
{
    size_t total;
    void *p = NULL;
    if (!__builtin_mul_overflow(n, size, &total) && !must_fail())
        p = calloc(1, total ? total : 1);
    if (!p)
        err_set(e, ERR_NOMEM, "not enough memory for %s (%zu x %zu bytes)", what, n, size);
    return p;
}

void *mem_try_aligned(size_t size, const char *what, struct err *e)
{
    size_t align = size >= 4 * HUGE_PAGE ? HUGE_PAGE : 64;
    void *p = NULL;
    if (size <= SIZE_MAX - HUGE_PAGE && !must_fail())
        p = aligned_alloc(align, (size + align) / align * align);
    if (!p) {
        err_set(e, ERR_NOMEM, "not enough memory for %s (%zu MiB)", what, size >> 20);
        return NULL;
    }
#ifdef MADV_HUGEPAGE
    if (align == HUGE_PAGE)
        madvise(p, size, MADV_HUGEPAGE);
#endif
    return p;
}

void mem_free_aligned(void *p)
{
    free(p);
}

/* MemAvailable of /proc/meminfo (Linux), else all physical memory. */
size_t mem_available(void)
{
    char line[128];
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && !kib && fgets(line, sizeof(line), f))
        if (strncmp(line, "MemAvailable:", 13) == 0)
            kib = strtoull(line + 13, NULL, 10);
    if (f)
        fclose(f);
    if (kib)
        return (size_t)kib << 10;
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (size_t)pages * (size_t)size : 0;
}
