/* gbnf_fuzz.c - any text as a grammar: if it is one, walks along its masks stay inside it, and a
 * mask has just the tokens that can be accepted. */
#include "base/err.h"
#include "base/hash.h"
#include "text/constraint.h"
#include "text/grammar.h"
#include "text/token_trie.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N_VOCAB = 300, STEPS = 12 };

/* Every byte, and pairs of letters. */
static const struct token_trie *vocabulary(void)
{
    static char text[N_VOCAB][2];
    static const char *bytes[N_VOCAB];
    static uint32_t n_bytes[N_VOCAB];
    static const struct token_pieces pieces = {N_VOCAB, bytes, n_bytes, NULL};
    static struct token_trie *trie;
    for (int i = 0; i < N_VOCAB && !trie; i++) {
        text[i][0] = (char)(i < 256 ? i : 'a' + i % 7);
        text[i][1] = (char)('a' + i % 5);
        bytes[i] = text[i];
        n_bytes[i] = i < 256 ? 1 : 2;
    }
    if (!trie && token_trie_new(&trie, &pieces, NULL) != 0)
        abort();
    return trie;
}

static bool allowed(const uint32_t *bits, uint64_t id)
{
    return bits[id / 32] >> (id % 32) & 1;
}

/* One step on; false at an end. */
static bool step(struct constraint *c, uint64_t random)
{
    uint32_t bits[(N_VOCAB + 31) / 32];
    if (constraint_mask(c, bits, NULL) != 0)
        return false;
    uint64_t id = random % N_VOCAB;
    while (!allowed(bits, id)) {
        /* What the mask forbids is refused, and changes nothing. */
        if (constraint_accept(c, (int32_t)id, NULL) == 0)
            abort();
        id = (id + 1) % N_VOCAB;
    }
    if (constraint_accept(c, (int32_t)id, NULL) != 0)
        abort();
    return !constraint_done(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int32_t ends[] = {0};
    struct grammar *g;
    struct constraint *c;
    if (grammar_from_gbnf(&g, data, size, NULL) != 0)
        return 0;
    if (constraint_new(&c, g, vocabulary(), ends, 1, NULL) == 0) {
        uint64_t random = hash_fnv1a(data, size);
        for (int i = 0; i < STEPS && step(c, random); i++)
            random = hash_mix64(random);
        constraint_free(c);
    }
    grammar_free(g);
    return 0;
}
