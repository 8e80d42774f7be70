/* detokenizer_test.c - whole characters only, whatever the tokens cut. */
#include "support/test.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

static struct tokenizer *open_data(const char *name)
{
    char *path = test_data(name);
    struct tokenizer *t;
    struct err e = {0};
    assert_ok(tokenizer_open(&t, path, &e), e);
    free(path);
    return t;
}

/* The tokens of single bytes. */
static void byte_tokens(const struct tokenizer *t, int32_t ids[256])
{
    size_t n = 0;
    for (int32_t id = 0; (size_t)id < tokenizer_size(t); id++) {
        struct span piece = tokenizer_piece(t, id);
        if (piece.n == 1 && !tokenizer_is_special(t, id)) {
            ids[(unsigned char)piece.p[0]] = id;
            n++;
        }
    }
    assert_true(n >= 256);
}

/* Pushes the bytes one by one; after each the text must be whole characters that stay. */
static void push_bytes(const struct tokenizer *t, const int32_t *ids, struct span bytes)
{
    struct detokenizer d;
    struct buf out, want;
    size_t n_before = 0;
    buf_init(&out, 1 << 16);
    buf_init(&want, 1 << 16);
    unicode_repair(bytes, &want);
    detokenizer_init(&d, t, false);
    for (size_t i = 0; i < bytes.n; i++) {
        detokenizer_push(&d, ids[(unsigned char)bytes.p[i]], &out);
        assert_true(unicode_is_valid((struct span){buf_str(&out), out.len}));
        assert_true(out.len >= n_before && out.len <= want.len);
        assert_memory_equal(buf_str(&out), buf_str(&want), out.len);
        assert_true(d.n_rest < 4);
        n_before = out.len;
    }
    detokenizer_flush(&d, &out);
    assert_int_equal(out.len, want.len);
    assert_memory_equal(buf_str(&out), buf_str(&want), out.len);
    buf_release(&out);
    buf_release(&want);
}

static void never_half_a_character(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "plain",
        "\xc3\xa4\xe2\x82\xac\xf0\x9f\xa6\x99",
        "\xe2\x82",
        "\xf0\x9f\xa6",
        "a\xff\xfe",
        "\xe0\x80\x80",
        "\xed\xa0\x80",
        "\xf4\x90\x80\x80",
        "\xe2\x82\xe2\x82\xac",
        "\xef\xbf\xbd",
        "\xf0\xf0\x9f\xa6\x99",
        "\xc3\xc3\xa4",
        "\x80\xbf",
    };
    struct tokenizer *t = open_data("tokenizers/byte_level_bpe.json");
    int32_t ids[256];
    byte_tokens(t, ids);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        push_bytes(t, ids, (struct span){texts[i], strlen(texts[i])});
    for (uint64_t seed = 0; seed < 3000; seed++) { /* mostly lead and continuation bytes */
        static const char bytes[] = "a\x80\xbf\x9f\xa0\x90\xc2\xdf\xe0\xe2\xed\xef\xf0\xf3\xf4\xff";
        char text[12];
        for (size_t i = 0; i < sizeof(text); i++)
            text[i] = bytes[hash_mix64(seed * 16 + i) % 16];
        push_bytes(t, ids, (struct span){text, sizeof(text)});
    }
    tokenizer_free(t);
}

/* Every way to cut a text in two gives tokens that, one after the other, give the text. */
static void every_split(void **state)
{
    (void)state;
    static const char text[] = "Der S\xc3\xbc"
                               "dwind \xf0\x9f\x8c\xac\xef\xb8\x8f bl\xc3\xa4st: "
                               "\xe4\xba\xba\xe4\xba\xba\xe7\x94\x9f e\xcc\x81!";
    struct tokenizer *t = open_data("tokenizers/byte_level_bpe.json");
    for (size_t cut = 0; cut < sizeof(text); cut++) {
        struct tokens ids = {0};
        struct detokenizer d;
        struct buf out;
        struct err e = {0};
        buf_init(&out, 1 << 16);
        assert_ok(tokenizer_encode(t, (struct span){text, cut}, 0, &ids, &e), e);
        assert_ok(
            tokenizer_encode(t, (struct span){text + cut, sizeof(text) - 1 - cut}, 0, &ids, &e), e);
        detokenizer_init(&d, t, false);
        for (size_t i = 0; i < ids.n; i++) {
            detokenizer_push(&d, ids.ids[i], &out);
            assert_true(unicode_is_valid((struct span){buf_str(&out), out.len}));
        }
        detokenizer_flush(&d, &out);
        assert_string_equal(buf_str(&out), text);
        tokens_release(&ids);
        buf_release(&out);
    }
    tokenizer_free(t);
}

static void put(struct detokenizer *d, const char *spelling, struct buf *out)
{
    int32_t id = tokenizer_find(d->t, (struct span){spelling, strlen(spelling)});
    assert_true(id >= 0);
    detokenizer_push(d, id, out);
}

/* SentencePiece: the first blank goes, bytes become characters, special tokens show on demand. */
static void pieces_of_sentencepiece(void **state)
{
    (void)state;
    struct tokenizer *t = open_data("tokenizers/llama.json");
    for (int special = 0; special < 2; special++) {
        struct detokenizer d;
        struct buf out;
        buf_init(&out, 1 << 16);
        detokenizer_init(&d, t, special);
        for (int twice = 0; twice < 2; twice++) { /* a flushed one begins anew */
            buf_reset(&out);
            put(&d, "<s>", &out);
            put(&d, "\xe2\x96\x81the", &out);
            put(&d, "\xe2\x96\x81the", &out);
            put(&d, "<0xC3>", &out);
            assert_string_equal(buf_str(&out), special ? "<s>the the" : "the the");
            put(&d, "<0xA4>", &out);
            put(&d, "<0xE2>", &out);
            detokenizer_push(&d, -1, &out); /* no token: nothing */
            detokenizer_push(&d, INT32_MAX, &out);
            detokenizer_flush(&d, &out);
            assert_string_equal(buf_str(&out), special ? "<s>the the\xc3\xa4"
                                                         "\xef\xbf\xbd"
                                                       : "the the\xc3\xa4"
                                                         "\xef\xbf\xbd");
        }
        buf_release(&out);
    }
    tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_half_a_character),
        cmocka_unit_test(every_split),
        cmocka_unit_test(pieces_of_sentencepiece),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
