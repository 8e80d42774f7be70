/* pull.h - a model from a registry into the store.
 *
 * Blobs come first, each under its name only when it is right; the manifest comes last and at once:
 * whatever happens on the way, the store holds whole models only, and what has come is gone on
 * with.
 */
#ifndef LAR_ENGINE_PULL_H
#define LAR_ENGINE_PULL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct err;
struct model_name;
struct store;

enum pull_result {
    PULL_NEW,    /* it was not there */
    PULL_NEWER,  /* another one was */
    PULL_CURRENT /* the same one was */
};

struct pull {
    const struct store *store; /* into its first root */
    const struct model_name *name;
    bool plain;                /* http in place of https */
    bool check;                /* only say which result it would be */
    const atomic_bool *cancel; /* or NULL */
    /* Called now and then with the bytes of all blobs; or NULL. */
    void (*progress)(int64_t done, int64_t size, void *ctx);
    void *ctx;
};

int pull_model(const struct pull *p, enum pull_result *result, struct err *e);

#endif
