/* clip_tokenizer_test.c - ids against transformers' CLIPTokenizer, and vocabularies that lie. */
#include "support/test.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "text/clip_tokenizer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_BYTE_TOKENS 512

static json_t *reference; /* tests/data/text/clip_tokens.json */

static int setup(void **state)
{
    char *path = test_data("text/clip_tokens.json");
    json_error_t e;
    reference = json_load_file(path, 0, &e);
    free(path);
    (void)state;
    return reference ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(reference);
    return 0;
}

static struct clip_tokenizer *make(const struct ckpt_vocab *v)
{
    struct clip_tokenizer *t;
    struct err e = {0};
    assert_ok(clip_tokenizer_new(&t, v, &e), e);
    return t;
}

static struct clip_tokenizer *make_padded(int pad)
{
    return make(&(struct ckpt_vocab){.bos = -1, .eos = -1, .pad = pad});
}

/* The bytes of a case, from "text" or "hex"; heap. */
static char *case_bytes(const json_t *c, size_t *n)
{
    const json_t *text = json_object_get(c, "text");
    const char *hex = json_string_value(json_object_get(c, "hex"));
    if (text) {
        *n = json_string_length(text);
        return mem_strndup(json_string_value(text), *n);
    }
    *n = strlen(hex) / 2;
    char *bytes = mem_alloc(*n + 1);
    for (size_t i = 0; i < *n; i++) {
        const char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};
        bytes[i] = (char)strtoul(digits, NULL, 16);
    }
    return bytes;
}

static void check_ids(const json_t *c, const char *bytes, size_t n_bytes, const json_t *want,
                      const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n || i < json_array_size(want); i++)
        if (n != json_array_size(want) ||
            ids[i] != (int32_t)json_integer_value(json_array_get(want, i)))
            fail_msg("%s: token %zu of %zu (%zu wanted) of \"%.*s\"",
                     json_string_value(json_object_get(c, "hex")), i, n, json_array_size(want),
                     (int)n_bytes, bytes);
}

static void check_case(const struct clip_tokenizer *t, const json_t *c, const json_t *want)
{
    struct err e = {0};
    size_t n_bytes;
    int32_t ids[4096];
    char *bytes = case_bytes(c, &n_bytes);
    int n = clip_tokenizer_encode(t, bytes, n_bytes, ids, 4096, &e);
    assert_in_range(n, 0, 4096);
    check_ids(c, bytes, n_bytes, want, ids, (size_t)n);
    free(bytes);
}

static void mixed_corpus(void **state)
{
    (void)state;
    struct clip_tokenizer *plain = make(NULL), *bang = make_padded(0);
    const json_t *c;
    size_t i;
    assert_true(json_array_size(json_object_get(reference, "cases")) > 400);
    json_array_foreach(json_object_get(reference, "cases"), i, c)
    {
        const json_t *special = json_object_get(c, "bang");
        check_case(plain, c, json_object_get(c, "ids"));
        check_case(bang, c, special ? special : json_object_get(c, "ids"));
    }
    clip_tokenizer_free(plain);
    clip_tokenizer_free(bang);
}

/* As the reference pads and truncates; returns the number of tokens that do not fit. */
static int frame(const struct clip_tokenizer *t, const char *text, size_t len, int32_t *ids,
                 size_t n_ctx)
{
    struct err e = {0};
    int n = clip_tokenizer_encode(t, text, len, ids + 1, n_ctx - 2, &e);
    assert_ok(n < 0, e);
    size_t used = (size_t)n < n_ctx - 2 ? (size_t)n : n_ctx - 2;
    ids[0] = clip_tokenizer_bos(t);
    ids[used + 1] = clip_tokenizer_eos(t);
    for (size_t i = used + 2; i < n_ctx; i++)
        ids[i] = clip_tokenizer_pad(t);
    return n - (int)used;
}

static void prompts_cut_and_padded(void **state)
{
    (void)state;
    static const char *const keys[2][2] = {{"eos", "eos_cut"}, {"bang", "bang_cut"}};
    const json_t *c;
    size_t i;
    for (int k = 0; k < 2; k++) {
        struct clip_tokenizer *t = make_padded(k == 0 ? -1 : 0);
        json_array_foreach(json_object_get(reference, "prompts"), i, c)
        {
            int32_t ids[77];
            size_t n;
            char *bytes = case_bytes(c, &n);
            int cut = frame(t, bytes, n, ids, 77);
            assert_int_equal(cut, json_integer_value(json_object_get(c, keys[k][1])));
            check_ids(c, bytes, n, json_object_get(c, keys[k][0]), ids, 77);
            free(bytes);
        }
        clip_tokenizer_free(t);
    }
}

static void whole_books(void **state)
{
    (void)state;
    struct clip_tokenizer *t = make(NULL);
    const json_t *c;
    size_t i, n_read = 0;
    json_array_foreach(json_object_get(reference, "files"), i, c)
    {
        struct err e = {0};
        struct file_map m;
        const char *name = json_string_value(json_object_get(c, "file"));
        char *path = test_shared(name);
        if (!path)
            continue;
        assert_ok(file_map_open(&m, path, &e), e);
        int32_t *ids = mem_alloc(m.size * sizeof(*ids)), want;
        int n = clip_tokenizer_encode(t, (const char *)m.data, m.size, ids, m.size, &e);
        char hash[17];
        want = (int32_t)json_integer_value(json_object_get(c, "n"));
        snprintf(hash, sizeof(hash), "%016llx",
                 (unsigned long long)hash_fnv1a(ids, (size_t)(n < 0 ? 0 : n) * sizeof(*ids)));
        if (n != want || strcmp(hash, json_string_value(json_object_get(c, "fnv1a"))) != 0)
            fail_msg("%s: %d ids with hash %s, not %d with %s", name, n, hash, want,
                     json_string_value(json_object_get(c, "fnv1a")));
        n_read++;
        free(ids);
        file_map_close(&m);
        free(path);
    }
    clip_tokenizer_free(t);
    if (n_read == 0)
        test_skip("the shared data is absent");
}

/* A vocabulary of all bytes, the results of `merges` and the special tokens. The byte tokens come
 * from the built-in one. */
struct vocab {
    const char *tokens[N_BYTE_TOKENS + 64];
    const char *merges[64];
    char *joined[64];
    struct ckpt_vocab v;
};

static void vocab_init(struct vocab *s, const struct clip_tokenizer *builtin,
                       const char *const *merges, size_t n_merges)
{
    *s = (struct vocab){.v = {.bos = -1, .eos = -1, .pad = -1}};
    for (; s->v.n_tokens < N_BYTE_TOKENS; s->v.n_tokens++)
        s->tokens[s->v.n_tokens] = clip_tokenizer_token(builtin, (int32_t)s->v.n_tokens);
    for (size_t i = 0; i < n_merges; i++) {
        const char *gap = strchr(merges[i], ' ');
        s->joined[i] = mem_printf("%.*s%s", (int)(gap - merges[i]), merges[i], gap + 1);
        s->tokens[s->v.n_tokens++] = s->joined[i];
        s->merges[s->v.n_merges++] = merges[i];
    }
    s->tokens[s->v.n_tokens++] = "<|startoftext|>";
    s->tokens[s->v.n_tokens++] = "<|endoftext|>";
    s->v.tokens = s->tokens;
    s->v.merges = s->merges;
}

static void vocab_release(struct vocab *s)
{
    for (size_t i = 0; i < 64; i++)
        free(s->joined[i]);
}

static void custom_vocabulary(void **state)
{
    (void)state;
    struct clip_tokenizer *builtin = make(NULL);
    const json_t *custom = json_object_get(reference, "custom"), *c;
    const char *merges[64];
    size_t i, n = json_array_size(json_object_get(custom, "merges"));
    struct vocab s;
    for (i = 0; i < n; i++)
        merges[i] = json_string_value(json_array_get(json_object_get(custom, "merges"), i));
    vocab_init(&s, builtin, merges, n);
    struct clip_tokenizer *t = make(&s.v);
    assert_int_equal(clip_tokenizer_n_vocab(t), N_BYTE_TOKENS + n + 2);
    assert_int_equal(clip_tokenizer_bos(t), N_BYTE_TOKENS + n);
    assert_int_equal(clip_tokenizer_eos(t), N_BYTE_TOKENS + n + 1);
    assert_int_equal(clip_tokenizer_pad(t), clip_tokenizer_eos(t));
    json_array_foreach(json_object_get(custom, "cases"), i, c)
        check_case(t, c, json_object_get(c, "ids"));
    clip_tokenizer_free(t);
    clip_tokenizer_free(builtin);
    vocab_release(&s);
}

/* Given as a custom vocabulary, CLIP's own tokens and merges must give the same ids. */
static void builtin_as_custom(void **state)
{
    (void)state;
    struct clip_tokenizer *builtin = make(NULL);
    size_t n = clip_tokenizer_n_vocab(builtin);
    char *path = test_shared("tokenizers/clip/merges.txt");
    struct err e = {0};
    char *text;
    if (!path) {
        clip_tokenizer_free(builtin);
        test_skip("the shared data is absent");
    }
    assert_ok(file_read(path, 1 << 20, &text, NULL, &e), e);
    const char **tokens = mem_alloc(n * sizeof(*tokens)), **merges = mem_alloc(n * sizeof(*merges));
    struct ckpt_vocab v = {.tokens = tokens, .merges = merges, .bos = -1, .eos = -1, .pad = 0};
    for (; v.n_tokens < n; v.n_tokens++)
        tokens[v.n_tokens] = clip_tokenizer_token(builtin, (int32_t)v.n_tokens);
    char *line = strchr(text, '\n') + 1;
    for (char *end; (end = strchr(line, '\n')) && end > line; line = end + 1) {
        *end = '\0';
        merges[v.n_merges++] = line;
    }
    assert_int_equal(v.n_merges, n - N_BYTE_TOKENS - 2);
    struct clip_tokenizer *t = make(&v);
    const json_t *c;
    size_t i;
    json_array_foreach(json_object_get(reference, "cases"), i, c)
    {
        const json_t *special = json_object_get(c, "bang");
        check_case(t, c, special ? special : json_object_get(c, "ids"));
    }
    clip_tokenizer_free(t);
    clip_tokenizer_free(builtin);
    free(tokens);
    free(merges);
    free(text);
    free(path);
}

static void refused(const struct ckpt_vocab *v, const char *part)
{
    struct clip_tokenizer *t;
    struct err e = {0};
    assert_int_equal(clip_tokenizer_new(&t, v, &e), ERR_FORMAT);
    assert_null(t);
    assert_err(e, ERR_FORMAT, part);
}

static void lying_vocabularies(void **state)
{
    (void)state;
    static const char *const good[] = {"a b", "ab c</w>"};
    struct clip_tokenizer *builtin = make(NULL);
    struct vocab s;
    char *longest = mem_alloc(2000);
    memset(longest, 'x', 1999);
    vocab_init(&s, builtin, good, 2);
    const struct {
        size_t token; /* whose text is replaced, or */
        int merge;    /* this one's (if >= 0) */
        const char *text, *error;
    } lies[] = {
        {7, -1, "", "token 7 is missing or empty"},
        {7, -1, NULL, "token 7 is missing or empty"},
        {7, -1, longest, "token 7 has 1999 bytes"},
        {513, -1, "ab", "tokens 512 and 513 are both \"ab\""},
        {64, -1, "other", "byte 0x61 has no token \"a\""},
        {256 + 188, -1, "other", "byte 0x00 has no token"},
        {514, -1, "other", "no start-of-text token"},
        {515, -1, "other", "no end-of-text token"},
        {512, -1, "other", "merge 0, \"a b\": the result is not in the vocabulary"},
        {0, 0, "zz b", "the left token is not in the vocabulary"},
        {0, 0, "a zz", "the right token is not in the vocabulary"},
        {0, 1, "a", "merge 1, \"a\", is not two tokens"},
        {0, 1, " a", "is not two tokens"},
        {0, 1, "a ", "is not two tokens"},
        {0, 1, "a b c", "is not two tokens"},
        {0, 1, "", "is not two tokens"},
        {0, 1, NULL, "is not two tokens"},
    };
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        const char **place = lies[i].merge < 0 ? &s.tokens[lies[i].token]
                                               : &s.merges[lies[i].merge];
        const char *truth = *place;
        *place = lies[i].text;
        refused(&s.v, lies[i].error);
        *place = truth;
    }
    s.v.pad = 516;
    refused(&s.v, "the padding token's id 516 is not below 516");
    s.v.n_tokens = (size_t)1 << 40;
    refused(&s.v, "more than the 1048576 supported");
    vocab_release(&s);
    free(longest);
    clip_tokenizer_free(builtin);
}

static void limits(void **state)
{
    (void)state;
    struct clip_tokenizer *t = make(NULL);
    struct err e = {0};
    int32_t ids[4] = {-1, -1, -1, -1};
    assert_int_equal(clip_tokenizer_encode(t, "a b c d e", 9, ids, 3, &e), 5);
    assert_int_equal(ids[2], 322);
    assert_int_equal(ids[3], -1);
    assert_int_equal(clip_tokenizer_encode(t, "a", CLIP_TEXT_MAX + 1, ids, 4, &e), ERR_ARG);
    assert_err(e, ERR_ARG, "4194304");
    assert_null(clip_tokenizer_token(t, -1));
    assert_null(clip_tokenizer_token(t, 49408));
    assert_string_equal(clip_tokenizer_token(t, 49407), "<|endoftext|>");
    assert_string_equal(clip_tokenizer_token(t, 2368), "cat</w>");
    clip_tokenizer_free(t);
    clip_tokenizer_free(NULL);
}

/* Words and runs of marks of a megabyte: with quadratic time these would take hours. */
static void endless_words(void **state)
{
    (void)state;
    struct clip_tokenizer *t = make(NULL);
    const char *const units[] = {"a", "ab", "!", "\xcc\x81\xcc\xa3", "<|endoftext|", "'"};
    for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
        struct err e = {0};
        struct buf b;
        buf_init(&b, 1 << 20);
        while (b.len + strlen(units[u]) <= b.max)
            buf_append_str(&b, units[u]);
        int n = clip_tokenizer_encode(t, b.data, b.len, NULL, 0, &e);
        assert_ok(n < 0 ? n : 0, e);
        assert_in_range(n, 1 << 14, 1 << 20);
        buf_release(&b);
    }
    clip_tokenizer_free(t);
}

static void every_allocation_fails(void **state)
{
    (void)state;
    static const char *const merges[] = {"a b", "ab c</w>"};
    struct clip_tokenizer *builtin = make(NULL), *t = NULL;
    struct vocab s;
    int rc = ERR_NOMEM, n_failed = 0;
    vocab_init(&s, builtin, merges, 2);
    for (int k = 0; k < 2; k++) {
        rc = ERR_NOMEM;
        for (long n = 1; rc; n++, n_failed++) {
            struct err e = {0};
            mem_fail_nth(n);
            rc = clip_tokenizer_new(&t, k ? &s.v : NULL, &e);
            mem_fail_nth(0);
            if (rc)
                assert_err(e, ERR_NOMEM, "not enough memory");
        }
        rc = ERR_NOMEM;
        for (long n = 1; rc < 0; n++, n_failed++) {
            struct err e = {0};
            mem_fail_nth(n);
            rc = clip_tokenizer_encode(t, "abc abcabc", 10, NULL, 0, &e);
            mem_fail_nth(0);
        }
        clip_tokenizer_free(t);
    }
    assert_true(n_failed >= 12);
    vocab_release(&s);
    clip_tokenizer_free(builtin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mixed_corpus),
        cmocka_unit_test(prompts_cut_and_padded),
        cmocka_unit_test(whole_books),
        cmocka_unit_test(custom_vocabulary),
        cmocka_unit_test(builtin_as_custom),
        cmocka_unit_test(lying_vocabularies),
        cmocka_unit_test(limits),
        cmocka_unit_test(endless_words),
        cmocka_unit_test(every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
