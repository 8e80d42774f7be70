/* chunks_test.c - chunks against A1111's rules (tools/reference/prompts.py), and words that stand
 * for vectors.
 */
#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "text/chunks.h"
#include "text/clip_tokenizer.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BOS 49406
#define EOS 49407

static struct clip_tokenizer *make(int pad)
{
    struct err e = {0};
    struct clip_tokenizer *t;
    struct ckpt_vocab v = {.bos = -1, .eos = -1, .pad = pad};
    assert_ok(clip_tokenizer_new(&t, &v, &e), e);
    return t;
}

static struct chunks cut(const struct chunk_rules *r, const char *text)
{
    struct err e = {0};
    struct chunks c;
    assert_ok(chunks_make(&c, r, text, strlen(text), &e), e);
    assert_int_equal(c.n_ctx, r->n_ctx);
    return c;
}

/* One chunk: bos, `ids` with `weights`, eos, padding. */
static void check_chunk(const struct chunks *c, size_t i, const json_t *want, int32_t pad,
                        const char *text)
{
    const json_t *ids = json_array_get(want, 0), *weights = json_array_get(want, 1);
    const int32_t *got = c->ids + i * c->n_ctx;
    const float *weight = c->weights + i * c->n_ctx;
    size_t n = json_array_size(ids);
    for (size_t k = 0; k < c->n_ctx; k++) {
        bool inside = k >= 1 && k <= n;
        int32_t id = k == 0       ? BOS
                     : inside     ? (int32_t)json_integer_value(json_array_get(ids, k - 1))
                     : k == n + 1 ? EOS
                                  : pad;
        double w = inside ? json_number_value(json_array_get(weights, k - 1)) : 1;
        if (got[k] != id || !(fabs(weight[k] - w) <= 1e-7 * fabs(w)))
            fail_msg("\"%s\": chunk %zu, token %zu is %d x %g, wanted %d x %g", text, i, k, got[k],
                     (double)weight[k], id, w);
    }
}

static void chunks_of_a1111(void **state)
{
    (void)state;
    struct clip_tokenizer *t[2] = {make(EOS), make(0)};
    const struct chunk_rules rules[2] = {{.tokenizer = t[0], .n_ctx = 77},
                                         {.tokenizer = t[1], .n_ctx = 20}};
    char *path = test_data("text/prompts.json");
    json_t *cases = json_load_file(path, 0, NULL);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        const char *text = json_string_value(json_object_get(c, "text"));
        for (int k = 0; k < 2; k++) {
            const json_t *want = json_object_get(c, k ? "20" : "77");
            struct chunks got = cut(&rules[k], text);
            if (got.n != json_array_size(want))
                fail_msg("\"%s\": %zu chunks, wanted %zu", text, got.n, json_array_size(want));
            for (size_t n = 0; n < got.n; n++)
                check_chunk(&got, n, json_array_get(want, n), k ? 0 : EOS, text);
            chunks_release(&got);
        }
    }
    json_decref(cases);
    free(path);
    clip_tokenizer_free(t[0]);
    clip_tokenizer_free(t[1]);
}

static void expect(const struct chunk_rules *r, const char *text, const int32_t *want, size_t n)
{
    struct chunks c = cut(r, text);
    assert_int_equal(c.n * c.n_ctx, n);
    for (size_t i = 0; i < n; i++)
        if (c.ids[i] != want[i])
            fail_msg("\"%s\": id %zu is %d, wanted %d", text, i, c.ids[i], want[i]);
    chunks_release(&c);
}

#define EXPECT(r, text, ...)                        \
    expect(r, text, (const int32_t[]){__VA_ARGS__}, \
           sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

/* cat = 2368, dog = 1929; the longest word counts, and its vectors stay together. */
static void words_of_vectors(void **state)
{
    (void)state;
    struct clip_tokenizer *t = make(0);
    const int32_t cat[] = {2368}, cat_dog[] = {2368, 1929};
    const struct chunk_word words[] = {
        {"cat", cat, 1, 50000, 2}, {"cat dog", cat_dog, 2, 50002, 3}, {"cat", cat, 1, 1, 1}};
    struct chunk_rules r = {.tokenizer = t, .n_ctx = 6, .words = words, .n_words = 3};
    EXPECT(&r, "a cat", BOS, 320, 50000, 50001, EOS, 0);
    EXPECT(&r, "Cat dog", BOS, 50002, 50003, 50004, EOS, 0);
    EXPECT(&r, "dog cat", BOS, 1929, 50000, 50001, EOS, 0);
    EXPECT(&r, "a a cat dog", BOS, 320, 320, EOS, 0, 0, BOS, 50002, 50003, 50004, EOS, 0);
    EXPECT(&r, "a (cat:1.5)", BOS, 320, 50000, 50001, EOS, 0);
    struct chunks c = cut(&r, "a (cat:1.5)");
    const float weights[] = {1, 1, 1.5f, 1.5f, 1, 1};
    assert_memory_equal(c.weights, weights, sizeof(weights));
    chunks_release(&c);
    clip_tokenizer_free(t);
}

static void too_long(void **state)
{
    (void)state;
    struct clip_tokenizer *t = make(0);
    struct chunk_rules r = {.tokenizer = t, .n_ctx = 77};
    struct err e = {0};
    struct chunks c;
    size_t n = 2 * 75 * (size_t)CHUNKS_MAX;
    char *text = mem_alloc(n + 4);
    for (size_t i = 0; i < n; i += 2)
        memcpy(text + i, "a ", 3);
    c = cut(&r, text);
    assert_int_equal(c.n, CHUNKS_MAX);
    chunks_release(&c);
    memcpy(text + n, "a", 2);
    assert_int_equal(chunks_make(&c, &r, text, strlen(text), &e), ERR_ARG);
    assert_err(e, ERR_ARG, "the prompt has more than 4800 tokens; shorten it");
    assert_null(c.ids);
    free(text);
    clip_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_of_a1111),
        cmocka_unit_test(words_of_vectors),
        cmocka_unit_test(too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
