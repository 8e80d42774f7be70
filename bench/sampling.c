/* sampling.c - what choosing a token costs beside the model, as CSV.
 *
 *     sampling TOKENIZER [SCHEMA|GRAMMAR.gbnf TEXT]...
 *
 * TOKENIZER is anything `lar tokenize` takes. First the sampler, with random logits of its
 * vocabulary and several settings. Then for each pair a constraint, led along TEXT's tokens three
 * times: cold, with what the first time left behind, and once more. `us` is the processor time of a
 * token on average (mask, acceptance for constraints), `max_us` the slowest one.
 */
#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "text/constraint.h"
#include "text/grammar.h"
#include "text/json_schema.h"
#include "text/token_sampler.h"
#include "text/token_trie.h"
#include "text/tokenizer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct err e;

static void check(int rc)
{
    if (rc == 0)
        return;
    fprintf(stderr, "sampling: %s\n", e.text);
    exit(1);
}

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

/* Peaked like a model's: a few likely tokens above a broad rest. */
static void make_logits(float *logits, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t r = hash_mix64(seed * n + i);
        float u = (float)(r >> 40) * 0x1p-24F, v = (float)(r & 0xffffff) * 0x1p-24F;
        logits[i] = 8 * u + (v < 0.0005F ? 12 * u : 0) - 10;
    }
}

static void bench_sampler(const char *name, struct token_sampler_params p, size_t n)
{
    enum { PICKS = 50 };
    struct token_sampler *s;
    struct token_choice c;
    float *logits = mem_alloc(n * sizeof *logits);
    double sum = 0, most = 0;
    check(token_sampler_new(&s, &p, n, &e));
    for (uint64_t i = 0; i < PICKS; i++) {
        make_logits(logits, n, i);
        double from = now_us();
        check(token_sampler_pick(s, logits, NULL, &c, &e));
        token_sampler_accept(s, c.id);
        double took = now_us() - from;
        sum += took;
        most = took > most ? took : most;
    }
    printf("sampler,%s,%zu,%.1f,%.1f\n", name, n, sum / PICKS, most);
    token_sampler_free(s);
    free(logits);
}

static void bench_samplers(size_t n)
{
    struct token_sampler_params p = TOKEN_SAMPLER_DEFAULTS;
    bench_sampler("defaults", p, n);
    p.n_logprobs = 5;
    bench_sampler("defaults with logprobs", p, n);
    p.n_logprobs = -1;
    p.repeat_penalty = 1.1F;
    p.dry_multiplier = 0.8F;
    bench_sampler("penalties and DRY", p, n);
    p = TOKEN_SAMPLER_DEFAULTS;
    p.temperature = 0;
    bench_sampler("greedy", p, n);
    p = TOKEN_SAMPLER_DEFAULTS;
    p.top_k = 0;
    bench_sampler("top_p alone", p, n);
    p.top_p = 1;
    p.min_p = 0.05F;
    bench_sampler("min_p alone", p, n);
    p.min_p = 0;
    bench_sampler("no filter", p, n);
    p.typical_p = 0.9F;
    bench_sampler("typical", p, n);
    p.typical_p = 1;
    p.mirostat = 2;
    bench_sampler("mirostat", p, n);
}

struct vocabulary {
    const char **bytes;
    uint32_t *n_bytes;
    uint8_t *control;
    struct token_pieces pieces;
    struct token_trie *trie;
};

static void make_vocabulary(struct vocabulary *v, const struct tokenizer *t)
{
    size_t n = tokenizer_size(t);
    v->bytes = mem_alloc(n * sizeof *v->bytes);
    v->n_bytes = mem_alloc(n * sizeof *v->n_bytes);
    v->control = mem_alloc(n);
    for (size_t i = 0; i < n; i++) {
        struct span piece = tokenizer_piece(t, (int32_t)i);
        v->bytes[i] = piece.p;
        v->n_bytes[i] = (uint32_t)piece.n;
        v->control[i] = tokenizer_is_special(t, (int32_t)i);
    }
    v->pieces = (struct token_pieces){n, v->bytes, v->n_bytes, v->control};
    double from = now_us();
    check(token_trie_new(&v->trie, &v->pieces, &e));
    printf("trie,%u nodes,%zu,%.0f,\n", v->trie->n_nodes, n, now_us() - from);
}

static struct grammar *read_grammar(const char *path)
{
    struct grammar *g;
    char *text;
    size_t n;
    check(file_read(path, 1 << 22, &text, &n, &e));
    double from = now_us();
    if (strstr(path, ".gbnf")) {
        check(grammar_from_gbnf(&g, text, n, &e));
    } else {
        json_t *schema = json_loadb(text, n, JSON_DECODE_ANY, NULL);
        check(grammar_from_json_schema(&g, schema, &e));
        json_decref(schema);
    }
    printf("grammar,%s,%zu,%.0f,\n", path, g->n_nodes, now_us() - from);
    free(text);
    return g;
}

static void bench_constraint(const struct vocabulary *v, const struct tokenizer *t,
                             const char *grammar, const char *path)
{
    struct grammar *g = read_grammar(grammar);
    struct constraint *c;
    struct tokens tokens = {0};
    char *text;
    size_t n;
    uint32_t *bits = mem_alloc((v->pieces.n + 31) / 32 * sizeof *bits);
    check(file_read(path, 1 << 22, &text, &n, &e));
    check(tokenizer_encode(t, (struct span){text, n}, 0, &tokens, &e));
    check(constraint_new(&c, g, v->trie, NULL, 0, &e));
    for (int turn = 0; turn < 3; turn++) {
        double sum = 0, most = 0;
        constraint_reset(c);
        for (size_t i = 0; i < tokens.n; i++) {
            double from = now_us();
            check(constraint_mask(c, bits, &e));
            check(constraint_accept(c, tokens.ids[i], &e));
            double took = now_us() - from;
            sum += took;
            most = took > most ? took : most;
        }
        printf("constraint %d,%s,%zu,%.1f,%.1f\n", turn, path, tokens.n, sum / (double)tokens.n,
               most);
    }
    constraint_free(c);
    grammar_free(g);
    tokens_release(&tokens);
    free(bits);
    free(text);
}

int main(int argc, char **argv)
{
    struct tokenizer *t;
    struct vocabulary v;
    printf("what,which,n,us,max_us\n");
    if (argc < 2) {
        bench_samplers(131072);
        return 0;
    }
    if (argc % 2) {
        fprintf(stderr, "usage: sampling [TOKENIZER [SCHEMA|GRAMMAR.gbnf TEXT]...]\n");
        return 2;
    }
    check(tokenizer_open(&t, argv[1], &e));
    bench_samplers(tokenizer_size(t));
    make_vocabulary(&v, t);
    for (int i = 2; i < argc; i += 2)
        bench_constraint(&v, t, argv[i], argv[i + 1]);
    token_trie_free(v.trie);
    free((void *)v.bytes);
    free(v.n_bytes);
    free(v.control);
    tokenizer_free(t);
    return 0;
}
