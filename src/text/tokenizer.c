/* tokenizer.c - see tokenizer.h: added tokens, the way through the parts, and what callers ask. */
#include "text/tokenizer.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/regex.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

#define MAX_TOKENS    (TOKENIZER_TEXT_MAX + 2 * TOKENIZER_MAX_ENDS)
#define MAX_EXPANSION 12 /* of a text that is normalized or spelled differently */

int tokens_push(struct tokens *list, int32_t id, struct err *e)
{
    if (list->n == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 256;
        if (list->n >= MAX_TOKENS)
            return err_set(e, ERR_ARG, "a text gives more than %zu tokens", MAX_TOKENS);
        int32_t *ids = realloc(list->ids, cap * sizeof(*ids));
        if (!ids)
            return err_set(e, ERR_NOMEM, "not enough memory for %zu tokens", cap);
        list->ids = ids;
        list->cap = cap;
    }
    list->ids[list->n++] = id;
    return 0;
}

void tokens_release(struct tokens *list)
{
    free(list->ids);
    *list = (struct tokens){0};
}

void tokenizer_free(struct tokenizer *t)
{
    if (!t)
        return;
    vocab_release(&t->vocab);
    vocab_release(&t->pieces);
    trie_release(&t->by_text);
    trie_release(&t->added_raw);
    trie_release(&t->added_normalized);
    steps_release(&t->normalizer);
    steps_release(&t->splitter);
    bpe_release(&t->bpe);
    free(t->kind);
    free(t->end);
    free(t->added);
    free(t->rank);
    free(t->score);
    arena_release(&t->arena);
    free(t);
}

int tokenizer_reserve(struct tokenizer *t, struct err *e)
{
    t->kind = mem_try_array(t->vocab.n, 1, "the tokens", e);
    t->end = mem_try_array(t->vocab.n, 1, "the tokens", e);
    return t->kind && t->end ? 0 : ERR_NOMEM;
}

/* -- added tokens -- */

int tokenizer_add_by_kind(struct tokenizer *t, struct err *e)
{
    t->added = mem_try_array(t->vocab.n + 1, sizeof(*t->added), "the special tokens", e);
    if (!t->added)
        return ERR_NOMEM;
    for (size_t i = 0; i < t->vocab.n; i++) {
        bool special = t->kind[i] == TOKEN_CONTROL || t->kind[i] == TOKEN_UNKNOWN ||
                       t->kind[i] == TOKEN_VISIBLE;
        if (special || t->kind[i] == TOKEN_USER)
            t->added[t->n_added++] = (struct added){.id = (int32_t)i, .special = special};
    }
    return tokenizer_index_added(t, e);
}

/* The code point that ends at `end`, or 0 at the beginning of the text. */
static uint32_t before(struct span text, size_t end)
{
    size_t begin = end, taken;
    while (begin > 0 && end - begin < 4 && ((unsigned char)text.p[--begin] & 0xc0) == 0x80)
        continue;
    return end > 0 ? utf8_decode(text.p + begin, end - begin, &taken) : 0;
}

static uint32_t after(struct span text, size_t begin, size_t *taken)
{
    *taken = 0;
    return begin < text.n ? utf8_decode(text.p + begin, text.n - begin, taken) : 0;
}

struct hit {
    const struct added *token;
    size_t begin, end;
};

/* The longest added token that stands at text[at] and may count there. */
static bool added_at(const struct encoder *c, const struct trie *trie, struct span text, size_t at,
                     struct hit *hit)
{
    uint32_t node = 0;
    size_t taken;
    hit->token = NULL;
    for (size_t i = at; i < text.n; i++) {
        node = trie_step(trie, node, (unsigned char)text.p[i]);
        if (!node)
            break;
        const struct added *a = trie->value[node] < 0 ? NULL : &c->t->added[trie->value[node]];
        if (!a || (a->special && !(c->flags & TOKENIZE_SPECIAL)))
            continue;
        if (a->single_word &&
            (unicode_is_word(before(text, at)) || unicode_is_word(after(text, i + 1, &taken))))
            continue;
        *hit = (struct hit){a, at, i + 1};
    }
    return hit->token != NULL;
}

/* Takes the blanks around a token that strips them; those before it from `least` on. */
static void take_blanks(struct span text, size_t least, struct hit *hit)
{
    size_t taken;
    while (hit->token->lstrip && hit->begin > least && unicode_is_space(before(text, hit->begin)))
        do
            hit->begin--;
        while (hit->begin > least && ((unsigned char)text.p[hit->begin] & 0xc0) == 0x80);
    while (hit->token->rstrip && unicode_is_space(after(text, hit->end, &taken)))
        hit->end += taken;
}

typedef int text_fn(struct encoder *c, struct span text, bool first);

/* Pushes the added tokens of the text; what lies between them goes to fn(). */
static int split_added(struct encoder *c, const struct trie *trie, struct span text, bool first,
                       text_fn *fn)
{
    size_t begin = 0;
    int rc = 0;
    for (size_t i = 0; i < text.n && !rc;) {
        struct hit hit;
        if (!trie->n_nodes || !trie->start[(unsigned char)text.p[i]] ||
            !added_at(c, trie, text, i, &hit)) {
            i++;
            continue;
        }
        take_blanks(text, begin, &hit);
        if (hit.begin > begin)
            rc = fn(c, (struct span){text.p + begin, hit.begin - begin}, first && begin == 0);
        if (!rc)
            rc = tokens_push(c->out, hit.token->id, c->e);
        begin = i = hit.end;
    }
    if (!rc && begin < text.n)
        rc = fn(c, (struct span){text.p + begin, text.n - begin}, first && begin == 0);
    return rc;
}

/* -- encoding -- */

static int normalize_and_split(struct encoder *c, struct span text, bool first)
{
    struct span normalized;
    int rc = steps_normalize(c, text, &first, &normalized);
    return rc ? rc : split_added(c, &c->t->added_normalized, normalized, first, steps_split);
}

static int push_all(struct encoder *c, const int32_t *ids, size_t n)
{
    int rc = 0;
    for (size_t i = 0; i < n && !rc && (c->flags & TOKENIZE_ENDS); i++)
        rc = tokens_push(c->out, ids[i], c->e);
    return rc;
}

static void encoder_init(struct encoder *c, const struct tokenizer *t, struct err *e)
{
    *c = (struct encoder){.t = t, .e = e};
    for (size_t i = 0; i < TOKENIZER_N_TEXTS; i++)
        buf_init(&c->texts[i], MAX_EXPANSION * TOKENIZER_TEXT_MAX);
}

static void encoder_release(struct encoder *c)
{
    for (size_t i = 0; i < TOKENIZER_N_TEXTS; i++)
        buf_release(&c->texts[i]);
    regex_scratch_release(&c->regex);
    bpe_scratch_release(&c->bpe);
    tokens_release(&c->ids);
    free(c->begin);
    free(c->best);
}

/* What is no UTF-8 becomes U+FFFD, but for a model of bytes. */
static int repair(struct encoder *c, struct span *text)
{
    struct buf *b = &c->texts[TEXT_REPAIRED];
    if ((c->t->bytes && c->t->normalizer.n == 0) || unicode_is_valid(*text))
        return 0;
    unicode_repair(*text, b);
    *text = (struct span){buf_str(b), b->len};
    return buf_failed(b) ? err_set(c->e, ERR_NOMEM, "not enough memory to repair a text") : 0;
}

int tokenizer_encode(const struct tokenizer *t, struct span text, unsigned flags,
                     struct tokens *out, struct err *e)
{
    struct encoder c;
    if (text.n > TOKENIZER_TEXT_MAX)
        return err_set(e, ERR_ARG, "a text of %zu bytes is longer than the %zu supported", text.n,
                       TOKENIZER_TEXT_MAX);
    encoder_init(&c, t, e);
    c.out = out;
    c.flags = flags;
    int rc = repair(&c, &text);
    if (!rc)
        rc = push_all(&c, t->before, t->n_before);
    if (!rc)
        rc = split_added(&c, &t->added_raw, text, true, normalize_and_split);
    if (!rc)
        rc = push_all(&c, t->after, t->n_after);
    encoder_release(&c);
    return rc;
}

/* The text of an added token as it is looked for, in the arena if it is not its own. */
static int added_text(struct encoder *c, struct tokenizer *t, const struct added *a,
                      struct span *text)
{
    struct span normalized;
    bool first = true;
    *text = vocab_text(&t->vocab, a->id);
    if (!a->normalized || t->normalizer.n == 0 || !unicode_is_valid(*text))
        return 0;
    int rc = steps_normalize(c, *text, &first, &normalized);
    if (!rc)
        *text = (struct span){arena_strndup(&t->arena, normalized.p, normalized.n), normalized.n};
    return rc;
}

int tokenizer_index_added(struct tokenizer *t, struct err *e)
{
    struct trie_key *keys = mem_try_array(t->n_added + 1, sizeof(*keys), "the added tokens", e);
    struct encoder c;
    if (!keys)
        return ERR_NOMEM;
    encoder_init(&c, t, e);
    int rc = 0;
    for (int normalized = 0; normalized < 2 && !rc; normalized++) {
        size_t n = 0;
        for (size_t i = 0; i < t->n_added && !rc; i++) {
            if (t->added[i].normalized != normalized)
                continue;
            keys[n].value = (int32_t)i;
            rc = added_text(&c, t, &t->added[i], &keys[n++].text);
        }
        if (n > 0 && !rc)
            rc = trie_init(normalized ? &t->added_normalized : &t->added_raw, keys, n, e);
    }
    encoder_release(&c);
    free(keys);
    return rc;
}

/* -- questions -- */

static bool exists(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->vocab.n;
}

struct span tokenizer_piece(const struct tokenizer *t, int32_t id)
{
    return exists(t, id) ? vocab_text(&t->pieces, id) : (struct span){"", 0};
}

struct span tokenizer_spelling(const struct tokenizer *t, int32_t id)
{
    return exists(t, id) ? vocab_text(&t->vocab, id) : (struct span){"", 0};
}

int32_t tokenizer_find(const struct tokenizer *t, struct span spelling)
{
    return vocab_find(&t->vocab, spelling.p, spelling.n);
}

size_t tokenizer_size(const struct tokenizer *t)
{
    return t->vocab.n;
}

int32_t tokenizer_bos(const struct tokenizer *t)
{
    return t->bos;
}

int32_t tokenizer_eos(const struct tokenizer *t)
{
    return t->eos;
}

bool tokenizer_adds_bos(const struct tokenizer *t)
{
    return t->n_before > 0;
}

bool tokenizer_is_end(const struct tokenizer *t, int32_t id)
{
    return exists(t, id) && t->end[id];
}

bool tokenizer_is_special(const struct tokenizer *t, int32_t id)
{
    return exists(t, id) && (t->kind[id] == TOKEN_CONTROL || t->kind[id] == TOKEN_UNKNOWN);
}

bool tokenizer_strips_first_space(const struct tokenizer *t)
{
    return t->strip_first_space;
}

bool tokenizer_strips_last_space(const struct tokenizer *t)
{
    return t->spelling == SPELLED_SUFFIX;
}
