/* language_fuzz.c - any bytes as a GGUF file of a language model: it is refused with a sentence, or
 * a model is recorded on a tape and its memory measured.
 */
#include "base/err.h"
#include "format/checkpoint.h"
#include "models/language.h"
#include "tensor/kv.h"
#include "tensor/tape.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void record(const struct language_model *m)
{
    const struct language_params *p = language_params(m);
    struct kv_layer *kv = calloc((size_t)p->n_layer, sizeof(*kv));
    struct kv_seq seq = {.n_rows = 2};
    struct kv_batch batch = {1, &seq};
    struct tape *t = tape_new(DTYPE_F32);
    struct language_batch b = {.kv = kv, .batch = &batch};
    struct err e = {0};
    size_t bytes;
    for (int i = 0; kv && i < p->n_layer; i++)
        kv[i] = (struct kv_layer){DTYPE_F16, p->n_head_kv, p->d_k, p->d_v, NULL, NULL};
    b.tokens = tape_input(t, DTYPE_I32, "tokens", 1, (int64_t[]){2});
    b.positions = tape_input(t, DTYPE_I32, "positions", 1, (int64_t[]){2});
    b.outputs = tape_input(t, DTYPE_I32, "outputs", 1, (int64_t[]){1});
    if (kv)
        language_forward(t, m, &b);
    if (tape_measure(t, &bytes, &e) && !e.text[0])
        abort();
    tape_free(t);
    free(kv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct checkpoint *c;
    struct language_model *m;
    struct err e = {0};
    char path[64];
    int file = memfd_create("model.gguf", 0);
    if (file < 0 || write(file, data, n) != (ssize_t)n)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    if (checkpoint_open(&c, path, &e) == 0) {
        if (language_open(&m, c, &e) == 0)
            record(m);
        else if (!e.code || !e.text[0])
            abort();
        language_close(m);
        checkpoint_close(c);
    }
    close(file);
    return 0;
}
