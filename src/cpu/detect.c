/* detect.c - which kernel tables this build has and this machine can run. */
#include "cpu/kernels.h"

#include "base/err.h"

#include <stdio.h>
#include <string.h>

#if defined(LAR_HAVE_amx)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#define TABLE(isa) extern const struct kernels kernels_##isa;
TABLE(generic)
TABLE(avx2)
TABLE(avx512)
TABLE(avx512bf16)
TABLE(amx)
TABLE(neon)

/* The compiler's run-time checks cover both the processor and the operating system's support for
 * the wider registers. */
#if defined(LAR_HAVE_avx2)
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni") && has_avx2();
}

static bool has_avx512bf16(void)
{
    return has_avx512() && __builtin_cpu_supports("avx512bf16");
}
#endif

#if defined(LAR_HAVE_amx)
/* Linux enlarges a thread's saved state by the tiles' 8 KB only for processes that ask for it;
 * asking again changes nothing. */
static bool has_amx(void)
{
    enum { AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24, TILE_STATE = 3 << 17, OSXSAVE = 1 << 27 };
    unsigned a, b, c, d, xcr0, high;
    if (!has_avx512bf16() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & AMX_BF16) ||
        !(d & AMX_TILE) || !__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE))
        return false;
    __asm__("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
    if ((xcr0 & TILE_STATE) != TILE_STATE)
        return false;
#if defined(__linux__)
    const long request_permission = 0x1023, tile_data = 18; /* ARCH_REQ_XCOMP_PERM */
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return true;
#endif
}
#endif

static bool always(void)
{
    return true;
}

static const struct {
    const struct kernels *k;
    bool (*usable)(void);
} tables[] = {
/* Best first. F16C comes with every processor that has AVX2. */
#if defined(LAR_HAVE_amx)
    {&kernels_amx, has_amx},
#endif
#if defined(LAR_HAVE_avx512bf16)
    {&kernels_avx512bf16, has_avx512bf16},
#endif
#if defined(LAR_HAVE_avx512)
    {&kernels_avx512, has_avx512},
#endif
#if defined(LAR_HAVE_avx2)
    {&kernels_avx2, has_avx2},
#endif
#if defined(LAR_HAVE_neon)
    {&kernels_neon, always},
#endif
    {&kernels_generic, always},
};

#define N_TABLES ((int)(sizeof(tables) / sizeof(tables[0])))

const struct kernels *kernels_at(int i)
{
    for (int j = 0; j < N_TABLES; j++)
        if (tables[j].usable() && i-- == 0)
            return tables[j].k;
    return NULL;
}

const struct kernels *kernels_pick(const char *name, struct err *e)
{
    char choices[128] = "";
    const struct kernels *k;
    if (!name || !*name)
        return kernels_at(0);
    for (int i = 0; (k = kernels_at(i)); i++) {
        size_t n = strlen(choices);
        if (strcmp(k->name, name) == 0)
            return k;
        snprintf(choices + n, sizeof(choices) - n, "%s%s", i ? ", " : "", k->name);
    }
    err_set(e, ERR_ARG, "LAR_CPU=%s: this machine can run %s", name, choices);
    return NULL;
}
