/* tape.h - a flat record of operations, in run order.
 *
 *   struct tape *t = tape_new(DTYPE_F32);
 *   struct tensor *x = tape_input(t, DTYPE_F32, "x", 2, (int64_t[]){77, 768});
 *   struct tensor *y = op_linear(t, op_layernorm(t, x, w, b, 1e-5f), proj, bias);   tensor/ops.h
 *   tape_keep(t, y);
 *   tape_plan(t, e);                                   memory for everything
 *   for each step: write x->data; tape_run(t, backend, e); read y->data
 *
 * Recording errors are sticky: after the first failure every op returns a dummy tensor and the
 * failure is reported once, by tape_plan(). A tape is used by one thread at a time.
 */
#ifndef LAR_TENSOR_TAPE_H
#define LAR_TENSOR_TAPE_H

#include "tensor/tensor.h"

struct err;
struct backend;
struct adapters;
struct kv_layer;
struct kv_batch;

enum op_kind {
#define OP(NAME, function, text) OP_##NAME,
#include "tensor/ops.def"
#undef OP
    N_OP /* in messages: a reshape */
};

#define OP_MAX_SRC 4

/* The directions in which a picture goes on at its other side: of tileable ones. */
enum wrap { WRAP_NONE, WRAP_X, WRAP_Y, WRAP_BOTH };

/* What a gated linear unit multiplies `up` by (Shazeer, arXiv:2002.05202). */
enum glu {
    GLU_SILU,      /* silu(gate) * up */
    GLU_GELU_TANH, /* gelu(gate) * up, the approximation by tanh */
    GLU_CLAMP      /* gpt-oss: g = min(gate, 7), u = clamp(up, +-7): g sigmoid(1.702 g) (u + 1) */
};

/* One recorded operation. Unused sources are NULL; parameters not used by the kind are 0. */
struct op {
    enum op_kind kind;
    struct tensor *out;
    struct tensor *src[OP_MAX_SRC];
    float eps;      /* norms */
    float factor;   /* scale, attend, rope_angles; leaky_relu: the one slope; soft_cap: the cap */
    float offset;   /* scale */
    int n_head;     /* attention, attend, rope */
    int n_group;    /* groupnorm, moments */
    int stride;     /* conv2d; pixel_shuffle: r */
    int pad[4];     /* conv2d: top, left, bottom, right; moments: rows left out */
    bool causal;    /* attention */
    bool silu;      /* groupnorm: SiLU follows */
    enum wrap wrap; /* conv2d */
    float softcap;  /* attend, with what follows */
    int window;
    const struct kv_layer *cache;
    const struct kv_batch *batch;
    bool fast; /* linear, experts, attend: as tape_set_fast() says */
    enum glu glu;
    bool interleaved;        /* rope */
    bool norm;               /* gates */
    const void *const *each; /* experts that do not lie one after the other; or NULL */
};

struct tape;

/* Activations are DTYPE_F32 or DTYPE_BF16. */
struct tape *tape_new(enum dtype activation);
void tape_free(struct tape *t);
enum dtype tape_type(const struct tape *t);

/* What layers recorded from now on add to their weights (nn/adapter.h); NULL: nothing. Borrowed
 * until the tape is freed. */
void tape_adapt(struct tape *t, const struct adapters *a);
const struct adapters *tape_adapters(const struct tape *t);

/* What layers take convolutions recorded from now on to be padded with; at first zeros. */
void tape_wrap(struct tape *t, enum wrap wrap);
enum wrap tape_wraps(const struct tape *t);

/* Lets linear layers recorded from now on round f32 activations, to bf16 or to blocks of int8,
 * where the weight's type has a quicker product that way; at first they do not. */
void tape_set_fast(struct tape *t, bool fast);
bool tape_fast(const struct tape *t);

/* A tensor the caller fills before each run. Its memory is never reused. */
struct tensor *tape_input(struct tape *t, enum dtype type, const char *name, int n_dim,
                          const int64_t *dim);

/* A tensor the caller fills once, after tape_plan() and before the first run. Ops that depend on
 * nothing else run only in the first run: the keys and values of a prompt, say. */
struct tensor *tape_constant(struct tape *t, enum dtype type, const char *name, int n_dim,
                             const int64_t *dim);

/* Keeps x readable after tape_run(). Returns x. */
struct tensor *tape_keep(struct tape *t, struct tensor *x);

/* The name given to tensors recorded from now on is "<scope><suffix>"; scopes nest. Model code
 * uses the module path of the checkpoint: tape_push(t, "down_blocks.%d", i) ... tape_pop(t). */
void tape_push(struct tape *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tape_pop(struct tape *t);

/* Names x after the current scope: the result of the module. Returns x. */
struct tensor *tape_result(struct tape *t, struct tensor *x);

/* Assigns memory by lifetime without allocating it, and tells how much it is. For refusing what
 * cannot fit; tape_plan() does it again. Reports the first recording error. */
int tape_measure(struct tape *t, size_t *bytes, struct err *e);

/* Assigns memory by lifetime (greedy, first fit by offset) and allocates it. Reports the first
 * recording error. To be called after recording, and again after tape_unplan(). */
int tape_plan(struct tape *t, struct err *e);

/* Gives the memory back until the next tape_plan(); all data is lost. */
void tape_unplan(struct tape *t);
size_t tape_memory(const struct tape *t); /* bytes of activation memory, after tape_plan() */

/* Called after each op with the tensor it wrote; a non-zero result stops the run with that code
 * (ERR_CANCELLED, say). For cancelling, and for comparing activations with a reference. */
typedef int tape_observer(const struct op *op, void *ctx);
void tape_observe(struct tape *t, tape_observer *fn, void *ctx);

/* Runs all ops on the backend; after the first run without those that constants determine. */
int tape_run(struct tape *t, struct backend *b, struct err *e);

/* For tensor/ops.c and the backends. */
size_t tape_n_ops(const struct tape *t);
const struct op *tape_op(const struct tape *t, size_t i);
struct tensor *tape_record(struct tape *t, const struct op *op, enum dtype type, int n_dim,
                           const int64_t *dim);
struct tensor *tape_view(struct tape *t, struct tensor *x, int n_dim, const int64_t *dim);
struct tensor *tape_fail(struct tape *t, enum op_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool tape_failed(const struct tape *t);
const char *op_name(enum op_kind kind);

#endif
