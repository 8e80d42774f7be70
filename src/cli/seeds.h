/* seeds.h - the seeds of --seed: "7", "1-9", "5,8,13", "1-3,7". */
#ifndef LAR_CLI_SEEDS_H
#define LAR_CLI_SEEDS_H

#include <stdbool.h>
#include <stdint.h>

#define SEEDS_MAX 10000

struct seeds {
    uint64_t *v; /* owned, [n] */
    int n;
};

/* False for anything else, ranges that fall and more than SEEDS_MAX; `s` is empty then. */
bool seeds_parse(struct seeds *s, const char *text);
void seeds_release(struct seeds *s);

/* 32 bits by chance, as other programs show and accept them. */
uint64_t seeds_random(void);

#endif
