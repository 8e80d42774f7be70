/* json_schema_fuzz.c - any JSON as a schema: if it becomes a grammar, what is written along its
 * masks is JSON. */
#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "text/constraint.h"
#include "text/grammar.h"
#include "text/json_schema.h"
#include "text/token_trie.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N_VOCAB = 257, END = 256, STEPS = 300 };

static const struct token_trie *vocabulary(void)
{
    static char text[N_VOCAB];
    static const char *bytes[N_VOCAB];
    static uint32_t n_bytes[N_VOCAB];
    static const struct token_pieces pieces = {N_VOCAB, bytes, n_bytes, NULL};
    static struct token_trie *trie;
    for (int i = 0; i < N_VOCAB && !trie; i++) {
        text[i] = (char)i;
        bytes[i] = &text[i];
        n_bytes[i] = i != END;
    }
    if (!trie && token_trie_new(&trie, &pieces, NULL) != 0)
        abort();
    return trie;
}

static bool allowed(const uint32_t *bits, int id)
{
    return bits[id / 32] >> (id % 32) & 1;
}

/* Any allowed byte, but often one that brings the end nearer. */
static int choose(const uint32_t *bits, uint64_t random)
{
    static const char closing[] = "\"}],";
    if (allowed(bits, END))
        return END;
    for (int i = 0; i < 4 && random % 3; i++)
        if (allowed(bits, closing[i]))
            return closing[i];
    int id = (int)(random >> 8) & 255;
    while (!allowed(bits, id))
        id = (id + 1) & 255;
    return id;
}

static void check_json(const struct buf *text)
{
    json_error_t why;
    json_t *v = json_loadb(text->data, text->len, JSON_DECODE_ANY, &why);
    /* It keeps no zero characters, which are JSON all the same. */
    if (!v && json_error_code(&why) != json_error_null_character)
        abort();
    json_decref(v);
}

static void walk(struct constraint *c, uint64_t random)
{
    struct buf text;
    uint32_t bits[(N_VOCAB + 31) / 32];
    int id = 0;
    buf_init(&text, 1 << 20);
    for (int i = 0; i < STEPS && id != END && constraint_mask(c, bits, NULL) == 0; i++) {
        id = choose(bits, random);
        random = hash_mix64(random);
        if (constraint_accept(c, id, NULL) != 0)
            abort();
        if (id != END)
            buf_append_char(&text, (char)id);
    }
    if (id == END)
        check_json(&text);
    buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int32_t ends[] = {END};
    struct grammar *g;
    struct constraint *c;
    json_t *schema = json_loadb((const char *)data, size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES,
                                NULL);
    if (schema && grammar_from_json_schema(&g, schema, NULL) == 0) {
        if (constraint_new(&c, g, vocabulary(), ends, 1, NULL) == 0) {
            for (uint64_t seed = 0; seed < 3; seed++) {
                constraint_reset(c);
                walk(c, hash_fnv1a(data, size) + seed);
            }
            constraint_free(c);
        }
        grammar_free(g);
    }
    json_decref(schema);
    return 0;
}
