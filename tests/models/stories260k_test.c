/* stories260k_test.c - a real, trained model, converted by tools/llama2c_gguf.c, tells its story as
 * llama2.c does.
 */
#include "support/test.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "format/checkpoint.h"
#include "format/weights.h"
#include "models/language.h"
#include "support/llama2c.h"
#include "tensor/kv.h"
#include "tensor/tape.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#define N_STEPS 200

struct story {
    struct checkpoint *file;
    struct language_model *model;
    struct tokenizer *tokenizer;
    struct kv_layer kv[8];
    int32_t blocks[N_STEPS / KV_BLOCK + 1];
    struct err e;
};

/* Converts and opens; false where the shared data is absent. */
static bool story_open(struct story *s)
{
    *s = (struct story){0};
    char *model = test_shared("weights/stories260K/stories260K.bin");
    char *tokens = test_shared("weights/stories260K/tok512.bin");
    bool there = model && tokens;
    if (there) {
        char *dir = test_temp_dir(), *path = file_join(dir, "stories260K.gguf");
        assert_ok(llama2c_convert(model, tokens, path, &s->e), s->e);
        assert_ok(checkpoint_open(&s->file, path, &s->e), s->e);
        assert_ok(language_open(&s->model, s->file, &s->e), s->e);
        assert_ok(
            tokenizer_from_gguf(&s->tokenizer, &checkpoint_weights(s->file)->files[0]->gguf, &s->e),
            s->e);
        free(path);
        free(dir);
    }
    free(model);
    free(tokens);
    return there;
}

static void cache_open(struct story *s)
{
    const struct language_params *p = language_params(s->model);
    size_t n = sizeof(s->blocks) / sizeof(s->blocks[0]);
    for (int i = 0; i < p->n_layer; i++) {
        struct kv_layer *l = &s->kv[i];
        *l = (struct kv_layer){DTYPE_F32, p->n_head_kv, p->d_k, p->d_v, NULL, NULL};
        l->k = mem_alloc(n * kv_k_bytes(l));
        l->v = mem_alloc(n * kv_v_bytes(l));
    }
    for (size_t i = 0; i < n; i++)
        s->blocks[i] = (int32_t)i;
}

static void story_close(struct story *s)
{
    for (int i = 0; i < language_params(s->model)->n_layer; i++) {
        free(s->kv[i].k);
        free(s->kv[i].v);
    }
    tokenizer_free(s->tokenizer);
    language_close(s->model);
    checkpoint_close(s->file);
}

static int32_t argmax(const float *x, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}

/* From BOS on, each time the most likely token. */
static void tell(struct story *s, struct buf *out)
{
    struct backend *b;
    struct detokenizer d;
    struct kv_seq seq = {.n_rows = 1, .blocks = s->blocks};
    struct kv_batch batch = {1, &seq};
    struct tape *t = tape_new(DTYPE_F32);
    struct language_batch in = {.kv = s->kv, .batch = &batch};
    in.tokens = tape_input(t, DTYPE_I32, "tokens", 1, (int64_t[]){1});
    in.positions = tape_input(t, DTYPE_I32, "positions", 1, (int64_t[]){1});
    in.outputs = tape_input(t, DTYPE_I32, "outputs", 1, (int64_t[]){1});
    struct tensor *logits = tape_keep(t, language_forward(t, s->model, &in));
    assert_ok(tape_plan(t, &s->e), s->e);
    assert_ok(cpu_backend_new(&b, 1, NULL, &s->e), s->e);
    detokenizer_init(&d, s->tokenizer, false);
    int32_t id = tokenizer_bos(s->tokenizer);
    *(int32_t *)in.outputs->data = 0;
    for (int i = 0; i < N_STEPS; i++) {
        *(int32_t *)in.tokens->data = id;
        *(int32_t *)in.positions->data = seq.n_past = i;
        assert_ok(tape_run(t, b, &s->e), s->e);
        id = argmax(logits->data, language_params(s->model)->n_vocab);
        detokenizer_push(&d, id, out);
    }
    detokenizer_flush(&d, out);
    backend_free(b);
    tape_free(t);
}

static void test_story(void **state)
{
    struct story s;
    struct buf out;
    size_t n;
    char *path = test_shared("weights/stories260K/expected_greedy_200.txt"), *want;
    (void)state;
    if (!path || !story_open(&s)) {
        free(path);
        test_skip("no stories260K in the shared data");
        return;
    }
    assert_ok(file_read(path, 1 << 16, &want, &n, &s.e), s.e);
    cache_open(&s);
    buf_init(&out, 1 << 16);
    tell(&s, &out);
    assert_string_equal(buf_str(&out), want);
    buf_release(&out);
    story_close(&s);
    free(want);
    free(path);
}

/* What is no such model is refused. */
static void test_refused(void **state)
{
    struct err e = {0};
    char *dir = test_temp_dir(), *path = file_join(dir, "x.bin");
    (void)state;
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite("0123456789012345678901234567890123456789", 1, 40, f), 40);
    fclose(f);
    assert_int_not_equal(llama2c_convert(path, path, path, &e), 0);
    assert_err(e, ERR_FORMAT, "no model of llama2.c");
    free(path);
    free(dir);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_story),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
