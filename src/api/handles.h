/* handles.h - what is behind the handles of lar.h. */
#ifndef LAR_API_HANDLES_H
#define LAR_API_HANDLES_H

#include "format/picture.h"
#include "lar.h"

#include <stdatomic.h>

struct backend;
struct err;
struct generator;
struct image_model;
struct text_embedder;
struct text_model;

struct lar {
    struct backend *backend; /* owned */
    atomic_bool cancel;
};

struct lar_image_model {
    struct lar *lar; /* borrowed */
    struct image_model *model;
    char *name; /* owned */
};

struct lar_text_model {
    struct lar *lar; /* borrowed */
    struct text_model *model;
    struct generator *generator;
};

struct lar_embedder {
    struct lar *lar; /* borrowed */
    struct text_embedder *model;
};

/* Passes a failure on, unless the caller has one already. Returns rc. */
int api_report(int rc, const struct err *own, struct lar_error *e);

/* The same picture under its other name; the data is shared. */
struct picture api_picture(const struct lar_picture *p);
struct lar_picture api_lar_picture(const struct picture *p);

#endif
