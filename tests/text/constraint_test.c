/* constraint_test.c - masks against trying every token, and walks along them. */
#include "support/test.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "text/constraint.h"
#include "text/grammar.h"
#include "text/token_trie.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_VOCAB 3000
#define END     2999
#define CONTROL 2998

/* A vocabulary of every byte and of random strings that JSON is made of. */
struct vocabulary {
    char text[N_VOCAB][72];
    const char *bytes[N_VOCAB];
    uint32_t n_bytes[N_VOCAB];
    uint8_t control[N_VOCAB];
    struct token_pieces pieces;
    struct token_trie *trie;
};

static void make_piece(struct vocabulary *v, uint32_t i)
{
    static const char *const parts[] = {
        "\"",       "\",",      "\":",  " \"", "{",    "}",   "[",    "]",    ",",
        " ",        "\n",       "a",    "b",   "name", "1",   "2",    "0",    ".",
        "-",        "true",     "null", "\\",  "n",    "u00", "\xc3", "\xa9", "\xe2\x82\xac",
        "\xf0\x9f", "\x98\x80", "e"};
    uint64_t r = hash_mix64(i);
    int n = 1 + (int)(r % 4) * (int)(r >> 8 & 1) + (i % 97 == 0 ? 20 : 0);
    v->text[i][0] = '\0';
    for (int k = 0; k < n; k++) {
        r = hash_mix64(r);
        size_t used = strlen(v->text[i]);
        snprintf(v->text[i] + used, sizeof v->text[i] - used, "%s", parts[r % 30]);
    }
}

static struct vocabulary *vocabulary(void)
{
    struct err e = {0};
    struct vocabulary *v = calloc(1, sizeof *v);
    for (uint32_t i = 0; i < N_VOCAB; i++) {
        if (i < 256)
            v->text[i][0] = (char)i;
        else
            make_piece(v, i);
        v->bytes[i] = v->text[i];
        v->n_bytes[i] = i < 256 ? 1 : (uint32_t)strlen(v->text[i]);
    }
    v->control[END] = v->control[CONTROL] = 1;
    snprintf(v->text[CONTROL], sizeof v->text[CONTROL], "<think>");
    v->n_bytes[CONTROL] = 7;
    v->pieces = (struct token_pieces){N_VOCAB, v->bytes, v->n_bytes, v->control};
    assert_ok(token_trie_new(&v->trie, &v->pieces, &e), e);
    return v;
}

static void vocabulary_free(struct vocabulary *v)
{
    token_trie_free(v->trie);
    free(v);
}

static struct constraint *constraint(const struct vocabulary *v, const char *gbnf,
                                     struct grammar **g)
{
    static const int32_t ends[] = {END};
    struct err e = {0};
    struct constraint *c;
    assert_ok(grammar_from_gbnf(g, gbnf, strlen(gbnf), &e), e);
    assert_ok(constraint_new(&c, *g, v->trie, ends, 1, &e), e);
    return c;
}

static bool allowed(const uint32_t *bits, int32_t id)
{
    return bits[id / 32] >> (id % 32) & 1;
}

/* Follows random masks of a constraint for `steps` tokens, comparing each with what a second one,
 * fed with the same text, says of every single token. */
static void walk(const struct vocabulary *v, const char *gbnf, uint64_t seed, int steps)
{
    struct grammar *g, *g2;
    struct constraint *c = constraint(v, gbnf, &g), *one = constraint(v, gbnf, &g2);
    static char text[1 << 16];
    size_t n_text = 0;
    for (int step = 0; step < steps && !constraint_done(c); step++) {
        struct err e = {0};
        uint32_t bits[(N_VOCAB + 31) / 32];
        int32_t open[N_VOCAB];
        size_t n = 0;
        int rc = constraint_mask(c, bits, &e);
        if (rc)
            fail_msg("%s: after \"%.*s\": %s", gbnf, (int)n_text, text, e.text);
        for (int32_t id = 0; id < N_VOCAB; id++) {
            constraint_reset(one);
            assert_ok(constraint_accept_text(one, text, n_text, &e), e);
            bool fits = constraint_accept(one, id, NULL) == 0;
            if (fits != allowed(bits, id))
                fail_msg("%s: after \"%.*s\" token %d \"%s\" is %s", gbnf, (int)n_text, text,
                         (int)id, v->text[id], fits ? "missing" : "allowed");
            if (fits && id != END)
                open[n++] = id;
        }
        if (n == 0)
            break;
        seed = hash_mix64(seed + 1);
        int32_t id = open[seed % n];
        assert_ok(constraint_accept(c, id, &e), e);
        assert_true(n_text + v->n_bytes[id] < sizeof text);
        memcpy(text + n_text, v->bytes[id], v->n_bytes[id]);
        n_text += v->n_bytes[id];
    }
    constraint_free(c);
    constraint_free(one);
    grammar_free(g);
    grammar_free(g2);
}

static const char json[] =
    "root ::= value\n"
    "value ::= object | array | string | number | \"true\" | \"null\"\n"
    "object ::= \"{\" (pair (\",\" \" \"? pair)*)? \"}\"\n"
    "pair ::= string \":\" \" \"? value\n"
    "array ::= \"[\" (value (\", \" value)*)? \"]\"\n"
    "string ::= \"\\\"\" char{0,90} \"\\\"\"\n"
    "char ::= [^\"\\\\\\x00-\\x1f] | \"\\\\\" ([\"\\\\n] | \"u\" [0-9a-f]{4})\n"
    "number ::= \"-\"? ([0-9] | [1-9] [0-9]{0,15}) (\".\" [0-9]+)?\n";

static const char *const grammars[] = {
    json,
    "root ::= (\"\\\"name\\\": \" [ab\xc3\xa9]{3,70} \"\\n\"){2,80}\n",
    "root ::= .{0,200} \"true\" [^n]*",
    "root ::= x{70,140} \"b\"+\nx ::= \"a\"? \"b\" | \"a\"",
    "root ::= (a | b)*\na ::= \"1\" | \"12\"\nb ::= \"2\" | \"0\" a \"0\"",
};

static void masks_are_exact(void **state)
{
    (void)state;
    struct vocabulary *v = vocabulary();
    for (size_t i = 0; i < sizeof grammars / sizeof *grammars; i++)
        for (uint64_t seed = 0; seed < 4; seed++)
            walk(v, grammars[i], seed, 60);
    vocabulary_free(v);
}

/* The tokens that may come next, as a string of their numbers. */
static const char *may_come(struct constraint *c, char *text, size_t size)
{
    struct err e = {0};
    uint32_t bits[(N_VOCAB + 31) / 32];
    text[0] = '\0';
    assert_ok(constraint_mask(c, bits, &e), e);
    for (int32_t id = 0; id < N_VOCAB; id++)
        if (allowed(bits, id))
            snprintf(text + strlen(text), size - strlen(text), "%d ", (int)id);
    return text;
}

/* Tokens that the grammar names, control tokens among them; ends only where it may end. */
static void tokens_by_name(void **state)
{
    (void)state;
    struct vocabulary *v = vocabulary();
    struct grammar *g;
    struct constraint *c = constraint(v, "root ::= <think> !<[100]> \"q\"? <[2998]>", &g);
    char text[1 << 16];
    struct err e = {0};
    assert_string_equal(may_come(c, text, sizeof text), "2998 ");
    assert_int_equal(constraint_accept(c, 'b', &e), ERR_ARG);
    assert_err(e, ERR_ARG, "does not allow token 98");
    assert_ok(constraint_accept(c, CONTROL, NULL), e);
    assert_null(strstr(may_come(c, text, sizeof text), " 100 "));
    assert_non_null(strstr(text, " 99 101 "));
    assert_ok(constraint_accept(c, 'a', NULL), e);
    assert_string_equal(may_come(c, text, sizeof text), "113 2998 ");
    assert_ok(constraint_accept(c, 'q', NULL), e);
    assert_false(constraint_may_end(c));
    assert_ok(constraint_accept(c, CONTROL, NULL), e);
    assert_true(constraint_done(c));
    assert_string_equal(may_come(c, text, sizeof text), "2999 ");
    assert_ok(constraint_accept(c, END, NULL), e);
    constraint_free(c);
    grammar_free(g);

    struct err e2 = {0};
    assert_ok(grammar_from_gbnf(&g, "root ::= <nothing>", 18, &e), e);
    assert_int_equal(constraint_new(&c, g, v->trie, NULL, 0, &e2), ERR_ARG);
    assert_err(e2, ERR_ARG, "a token <nothing>, which the vocabulary lacks");
    grammar_free(g);
    vocabulary_free(v);
}

/* More than the limit of what is remembered: all is forgotten, and the walk goes on unharmed. */
static void long_walks(void **state)
{
    (void)state;
    struct vocabulary *v = vocabulary();
    struct grammar *g;
    struct constraint *c = constraint(
        v, "root ::= x\nx ::= \"(\" [a-z]{0,900000} x y \")\" | \"!\"\ny ::= \"?\"?", &g);
    struct err e = {0};
    uint32_t bits[(N_VOCAB + 31) / 32];
    for (int i = 0; i < 300000; i++) {
        assert_ok(constraint_accept(c, i % 3 ? 'a' + i % 26 : '(', &e), e);
        if (i % 1000 == 0)
            assert_ok(constraint_mask(c, bits, &e), e);
    }
    assert_ok(constraint_mask(c, bits, &e), e);
    assert_true(allowed(bits, '!') && allowed(bits, 'q') && !allowed(bits, ')'));
    assert_ok(constraint_accept(c, '!', &e), e);
    for (int i = 0; i < 100000; i++)
        assert_ok(constraint_accept(c, ')', &e), e);
    assert_true(constraint_done(c));
    constraint_free(c);
    grammar_free(g);
    vocabulary_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_are_exact),
        cmocka_unit_test(tokens_by_name),
        cmocka_unit_test(long_walks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
