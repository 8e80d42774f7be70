/* language_test.c - every architecture and every rope scaling against transformers, on tiny
 * checkpoints of hash weights: layers, logits and greedy continuations, from a Hugging Face folder
 * and from a GGUF file; any division into chunks and sequences gives the same.
 */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "format/checkpoint.h"
#include "models/language.h"
#include "support/hash_checkpoint.h"
#include "support/language_gguf.h"
#include "support/stages.h"
#include "tensor/kv.h"
#include "tensor/ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define N_BLOCKS  16 /* of the cache */
#define N_SEQ     4
#define TOLERANCE 1e-4 /* sums of some hundred products in f32, a few layers deep */

static const char *const cases[] = {
    "llama",        "llama-linear",  "llama-yarn", "llama-llama3", "llama-bias", "mistral",
    "mistral-nemo", "mixtral",       "qwen2",      "qwen3",        "qwen3moe",   "qwen3moe-plain",
    "gemma2",       "gemma3",        "phi3",       "phi3-short",   "phi3-long",  "smollm3",
    "olmo2",        "gpt-oss-mxfp4", "gpt-oss",
};

#define N_CASES (sizeof(cases) / sizeof(cases[0]))

/* Other forms of config.json. */
static const char *const old_cases[] = {"llama-old", "gemma3-old", "gemma3-seeing"};

/* A model with a cache. */
struct rig {
    struct checkpoint *file, *ref;
    struct language_model *model;
    const struct language_params *p;
    struct kv_layer *kv;
    int32_t blocks[N_SEQ][N_BLOCKS]; /* of each sequence, disjoint */
    struct backend *b;
    struct err e;
};

/* The folder of a model whose weights no hash gives: tests/data has them. */
static void copy_folder(const char *folder, const char *weights, struct err *e)
{
    char *from = test_data(weights), *to = file_join(folder, "model.safetensors"), *data;
    char *config = file_join(folder, "config.json");
    struct checkpoint *c;
    struct file_writer f;
    size_t n;
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_ok(file_read(from, 1 << 20, &data, &n, e), *e);
    assert_ok(file_writer_open(&f, to, e), *e);
    file_writer_write(&f, data, n);
    assert_ok(file_writer_commit(&f, e), *e);
    assert_ok(checkpoint_open(&c, from, e), *e);
    const char *text = checkpoint_meta(c, "config");
    assert_ok(file_writer_open(&f, config, e), *e);
    file_writer_write(&f, text, strlen(text));
    assert_ok(file_writer_commit(&f, e), *e);
    checkpoint_close(c);
    free(from);
    free(to);
    free(config);
    free(data);
}

/* The model's folder as it would be downloaded: below dir, on the heap. */
static char *make_folder(struct checkpoint *ref, const char *dir, struct err *e)
{
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .n_shards = 2};
    char *folder = file_join(dir, "language");
    if (checkpoint_meta(ref, "weights")) {
        copy_folder(folder, checkpoint_meta(ref, "weights"), e);
        return folder;
    }
    char *manifest = test_data(checkpoint_meta(ref, "manifest"));
    assert_ok(hash_checkpoint_write(manifest, dir, &o, e), *e);
    free(manifest);
    return folder;
}

static void rig_open(struct rig *r, const char *name, bool gguf)
{
    char *dir = test_temp_dir(), variant[64];
    *r = (struct rig){0};
    snprintf(variant, sizeof(variant), "language-%s", name);
    r->ref = stages_open(variant);
    char *folder = make_folder(r->ref, dir, &r->e), *path = file_join(dir, "model.gguf");
    assert_ok(checkpoint_open(&r->file, folder, &r->e), r->e);
    if (gguf) {
        assert_ok(language_gguf_write(r->file, path, &r->e), r->e);
        checkpoint_close(r->file);
        assert_ok(checkpoint_open(&r->file, path, &r->e), r->e);
    }
    assert_int_equal(checkpoint_layout(r->file), CKPT_LANGUAGE);
    assert_ok(language_open(&r->model, r->file, &r->e), r->e);
    assert_ok(cpu_backend_new(&r->b, 2, NULL, &r->e), r->e);
    r->p = language_params(r->model);
    r->kv = mem_alloc((size_t)r->p->n_layer * sizeof(*r->kv));
    for (int i = 0; i < r->p->n_layer; i++) {
        struct kv_layer *l = &r->kv[i];
        *l = (struct kv_layer){DTYPE_F32, r->p->n_head_kv, r->p->d_k, r->p->d_v, NULL, NULL};
        l->k = mem_alloc(N_SEQ * N_BLOCKS * kv_k_bytes(l));
        l->v = mem_alloc(N_SEQ * N_BLOCKS * kv_v_bytes(l));
    }
    for (int i = 0; i < N_SEQ * N_BLOCKS; i++)
        r->blocks[i / N_BLOCKS][i % N_BLOCKS] = i;
    free(folder);
    free(path);
    free(dir);
}

static void rig_close(struct rig *r)
{
    for (int i = 0; i < r->p->n_layer; i++) {
        free(r->kv[i].k);
        free(r->kv[i].v);
    }
    free(r->kv);
    language_close(r->model);
    checkpoint_close(r->file);
    checkpoint_close(r->ref);
    backend_free(r->b);
}

/* A tape for n rows, all of whose logits are wanted. */
struct step {
    struct rig *r;
    struct tape *t;
    struct language_batch in;
    struct kv_seq seq[N_SEQ];
    struct kv_batch batch;
    struct tensor *logits; /* [n, n_vocab] */
    int n;
};

static void step_init(struct step *s, struct rig *r, int n)
{
    *s = (struct step){.r = r, .t = tape_new(DTYPE_F32), .n = n};
    s->batch.seq = s->seq;
    s->in.tokens = tape_input(s->t, DTYPE_I32, "tokens", 1, (int64_t[]){n});
    s->in.positions = tape_input(s->t, DTYPE_I32, "positions", 1, (int64_t[]){n});
    s->in.outputs = tape_input(s->t, DTYPE_I32, "outputs", 1, (int64_t[]){n});
    s->in.kv = r->kv;
    s->in.batch = &s->batch;
    s->in.n_ctx = 104;
    s->logits = tape_keep(s->t, language_forward(s->t, r->model, &s->in));
    assert_ok(tape_plan(s->t, &r->e), r->e);
    for (int i = 0; i < n; i++)
        ((int32_t *)s->in.outputs->data)[i] = i;
}

/* The next rows: n tokens of sequence `seq` from position n_past on. */
static void step_add(struct step *s, int seq, const int32_t *tokens, int n, int n_past)
{
    int first = 0;
    for (int i = 0; i < s->batch.n_seq; i++)
        first += s->seq[i].n_rows;
    s->seq[s->batch.n_seq++] = (struct kv_seq){first, n, n_past, s->r->blocks[seq]};
    for (int i = 0; i < n; i++) {
        ((int32_t *)s->in.tokens->data)[first + i] = tokens[i];
        ((int32_t *)s->in.positions->data)[first + i] = n_past + i;
    }
}

static const float *step_run(struct step *s)
{
    assert_ok(tape_run(s->t, s->r->b, &s->r->e), s->r->e);
    s->batch.n_seq = 0;
    return s->logits->data;
}

/* One sequence's tokens in one step; its logits go to out [n, n_vocab]. */
static void run_chunk(struct rig *r, const int32_t *tokens, int n, int n_past, float *out)
{
    struct step s;
    step_init(&s, r, n);
    step_add(&s, 0, tokens + n_past, n, n_past);
    const float *logits = step_run(&s);
    memcpy(out + n_past * r->p->n_vocab, logits, (size_t)(n * r->p->n_vocab) * sizeof(*out));
    tape_free(s.t);
}

/* The largest difference over the largest magnitude. */
static void assert_close(const char *what, const float *x, const float *want, int64_t n)
{
    double worst = 0, most = 0;
    for (int64_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)x[i] - (double)want[i]));
        most = fmax(most, fabs((double)want[i]));
        if (isnan(x[i]))
            fail_msg("%s: NaN", what);
    }
    if (!(worst <= TOLERANCE * most))
        fail_msg("%s: differs by %.3g of %.3g", what, worst, most);
}

static const int32_t *ref_ids(struct rig *r, const char *name, int *n)
{
    const struct ckpt_tensor *t = stages_tensor(r->ref, name);
    assert_non_null(t);
    *n = (int)t->dim[0];
    return t->data;
}

/* Layers and logits of all tokens at once. */
static void check_layers(struct rig *r)
{
    int n;
    const int32_t *tokens = ref_ids(r, "input.tokens", &n);
    struct step s;
    step_init(&s, r, n);
    step_add(&s, 0, tokens, n, 0);
    assert_int_equal(stages_run(s.t, r->b, r->ref, TOLERANCE), r->p->n_layer);
    stages_compare(s.logits, r->ref, "output.logits", TOLERANCE);
    tape_free(s.t);
}

static int argmax(const float *x, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}

/* One tape serves all the steps of one token. */
static void check_greedy(struct rig *r)
{
    int n, n_greedy, prompt = (int)strtol(checkpoint_meta(r->ref, "prompt"), NULL, 10);
    const int32_t *tokens = ref_ids(r, "input.tokens", &n);
    const int32_t *want = ref_ids(r, "output.greedy", &n_greedy);
    struct step first, one;
    step_init(&first, r, prompt);
    step_init(&one, r, 1);
    step_add(&first, 1, tokens, prompt, 0);
    const float *logits = step_run(&first) + (prompt - 1) * r->p->n_vocab;
    assert_int_equal(n_greedy, 64);
    for (int i = 0; i < n_greedy; i++) {
        int32_t id = argmax(logits, r->p->n_vocab);
        if (id != want[i])
            fail_msg("token %d of the continuation is %d, not %d", i, id, want[i]);
        step_add(&one, 1, &id, 1, prompt + i);
        logits = step_run(&one);
    }
    tape_free(first.t);
    tape_free(one.t);
}

static void check_chunks(struct rig *r)
{
    static const int chunks[] = {7, 1, 13, 2, 17};
    int n, at = 0;
    const int32_t *tokens = ref_ids(r, "input.tokens", &n);
    const struct ckpt_tensor *whole = stages_tensor(r->ref, "output.logits");
    size_t size = (size_t)(n * r->p->n_vocab);
    float *x = mem_alloc(size * sizeof(*x));
    for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); at += chunks[i++])
        run_chunk(r, tokens, chunks[i], at, x);
    assert_int_equal(at, n);
    assert_close("in chunks", x, whole->data, (int64_t)size);
    struct step one;
    step_init(&one, r, 1);
    for (int i = 0; i < n; i++) {
        step_add(&one, 0, tokens + i, 1, i);
        memcpy(x + i * r->p->n_vocab, step_run(&one), (size_t)r->p->n_vocab * sizeof(*x));
    }
    tape_free(one.t);
    assert_close("token by token", x, whole->data, (int64_t)size);
    free(x);
}

/* Three sequences in one step, one of them begun before, are what they are alone. */
static void check_batch(struct rig *r)
{
    int n, v = r->p->n_vocab;
    const int32_t *tokens = ref_ids(r, "input.tokens", &n);
    const float *whole = stages_tensor(r->ref, "output.logits")->data;
    struct step s;
    step_init(&s, r, 11);
    step_add(&s, 2, tokens, 11, 0);
    step_run(&s);
    tape_free(s.t);
    step_init(&s, r, 9 + 1 + n);
    step_add(&s, 1, tokens, 9, 0);
    step_add(&s, 2, tokens + 11, 1, 11);
    step_add(&s, 3, tokens, n, 0);
    const float *x = step_run(&s);
    assert_close("the first sequence", x, whole, 9 * v);
    assert_close("the second sequence", x + 9 * v, whole + 11 * v, v);
    assert_close("the third sequence", x + 10 * v, whole, n * v);
    tape_free(s.t);
}

static void test_huggingface(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CASES; i++) {
        struct rig r;
        print_message("%s\n", cases[i]);
        rig_open(&r, cases[i], false);
        check_layers(&r);
        check_greedy(&r);
        check_chunks(&r);
        check_batch(&r);
        rig_close(&r);
    }
}

static void test_configs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(old_cases) / sizeof(old_cases[0]); i++) {
        struct rig r;
        rig_open(&r, old_cases[i], false);
        check_layers(&r);
        rig_close(&r);
    }
}

static void test_gguf(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CASES; i++) {
        struct rig r;
        print_message("%s\n", cases[i]);
        rig_open(&r, cases[i], true);
        check_layers(&r);
        check_greedy(&r);
        rig_close(&r);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_huggingface),
        cmocka_unit_test(test_configs),
        cmocka_unit_test(test_gguf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
