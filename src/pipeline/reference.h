/* reference.h - pictures that a drawing shall resemble, in style or face, through IP-Adapters.
 *
 *     picture --CLIP's preprocessing--> image encoder --> projection --> tokens     once a request
 *
 * Pictures for the same adapter and weight are looked at together, as diffusers does: their tokens
 * stand beside each other. Other weights and adapters add up.
 */
#ifndef LAR_PIPELINE_REFERENCE_H
#define LAR_PIPELINE_REFERENCE_H

#include "models/ip_adapter.h"
#include "tensor/dtype.h"

#include <stdatomic.h>

struct backend;
struct clip_vision;
struct err;
struct image_model;
struct picture;

#define REFERENCE_MAX 16

/* Everything is borrowed. */
struct imagine_reference {
    const struct checkpoint *adapter, *encoder; /* the IP-Adapter, its image encoder */
    const struct picture *picture;
    double weight; /* 0: no effect */
};

struct reference_adapter {
    const struct checkpoint *file;
    struct ip_adapter net;
};

/* Pictures seen together. */
struct reference_group {
    const struct reference_adapter *adapter;
    double weight;
    int n;           /* pictures */
    int64_t n_token; /* of each */
    float *tokens;   /* owned; [n, n_token, n_context] */
    float *none;     /* owned; [n_token, n_context]: of no picture, for the negative prompt */
    struct tensor *in;
};

struct references {
    struct reference_adapter adapters[REFERENCE_MAX];
    struct reference_group groups[REFERENCE_MAX];
    struct attention_more more[REFERENCE_MAX];
    int n_adapters, n; /* n groups */
};

struct reference_request {
    const struct image_model *m;
    const struct imagine_reference *references;
    int n;
    bool guided; /* the first row is the negative prompt */
    enum dtype precision;
    const atomic_bool *cancel; /* or NULL */
};

/* ERR_ARG for values out of range and adapters made for other models, and what opening and running
 * give. references_release() in every case; a zeroed struct has none. */
int references_open(struct references *x, struct backend *b, const struct reference_request *r,
                    struct err *e);
void references_release(struct references *x);

/* Records their inputs for n rows into x->more, x->n of them. */
void references_record(struct references *x, struct tape *t, int n);
/* After tape_plan(): writes the tokens; with guidance the first half of the rows are negative. */
void references_fill(const struct references *x, bool guided);

/* CLIP's preprocessing: the shorter side becomes `side` (cubic), the middle is cut out, channels
 * are normalised. out [side, side, 3]. */
int reference_pixels(const struct picture *p, int side, float *out, struct err *e);

#endif
