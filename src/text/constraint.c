/* constraint.c - see constraint.h. */
#include "text/constraint.h"

#include "base/err.h"
#include "base/mem.h"
#include "text/grammar.h"
#include "text/grammar_machine.h"
#include "text/token_trie.h"

#include <stdlib.h>
#include <string.h>

#define MAX_BYTES ((size_t)32 << 20) /* remembered; then all is forgotten and begins anew */

_Static_assert(TOKEN_TRIE_DEPTH <= MACHINE_LOOKAHEAD,
               "parts must be told apart as deep as the trie");

/* What may come in one part of a state, whatever stands below it. */
struct part {
    uint32_t *bits;     /* tokens that fit, [n_words]; NULL: they are in `fit` */
    int32_t *fit;       /* [n_fit] few tokens */
    int32_t *uncertain; /* [n_uncertain] tokens that leave the part and go on beyond */
    uint32_t n_fit, n_uncertain;
};

struct constraint {
    const struct grammar *g;
    const struct token_trie *trie;
    struct machine m;
    uint32_t state;
    bool ended; /* an end token was accepted */
    int32_t *ends;
    size_t n_ends, n_words;
    int32_t *token_ids;       /* [g->n_tokens] of the tokens that the grammar names */
    struct part **parts;      /* by state; NULL: not yet looked at */
    size_t cap_parts;         /* of that array */
    size_t bytes;             /* that the parts take */
    int32_t *fit, *uncertain; /* [tokens of the trie] scratch */
};

/* ---- a new one ---- */

static int find_token(struct constraint *c, const struct gbnf_token *t, int32_t *id, struct err *e)
{
    const struct token_pieces *p = &c->trie->pieces;
    *id = t->id;
    if (!t->text && (size_t)t->id < p->n)
        return 0;
    if (!t->text)
        return err_set(e, ERR_ARG, "the grammar names token %d, but the vocabulary has only %zu",
                       (int)t->id, p->n);
    size_t n = strlen(t->text);
    for (size_t i = 0; i < p->n; i++) {
        if (p->n_bytes[i] == n && memcmp(p->bytes[i], t->text, n) == 0) {
            *id = (int32_t)i;
            return 0;
        }
    }
    return err_set(e, ERR_ARG, "the grammar names a token %s, which the vocabulary lacks", t->text);
}

static int set_up(struct constraint *c, struct err *e)
{
    const struct grammar *g = c->g;
    c->token_ids = mem_alloc((g->n_tokens + 1) * sizeof *c->token_ids);
    for (size_t i = 0; i < g->n_tokens; i++) {
        int rc = find_token(c, &g->tokens[i], &c->token_ids[i], e);
        if (rc)
            return rc;
    }
    size_t n = (size_t)c->trie->n_tokens + 1;
    c->fit = mem_try_array(n, sizeof *c->fit, "a grammar's tokens", e);
    c->uncertain = mem_try_array(n, sizeof *c->uncertain, "a grammar's tokens", e);
    if (!c->fit || !c->uncertain)
        return ERR_NOMEM;
    int rc = machine_init(&c->m, g, e);
    if (rc)
        return rc;
    c->m.token_ids = c->token_ids;
    c->state = c->m.start;
    return 0;
}

int constraint_new(struct constraint **c, const struct grammar *g, const struct token_trie *t,
                   const int32_t *ends, size_t n_ends, struct err *e)
{
    *c = NULL;
    for (size_t i = 0; i < n_ends; i++)
        if (ends[i] < 0 || (size_t)ends[i] >= t->pieces.n)
            return err_set(e, ERR_ARG, "the end token %d is not in the vocabulary of %zu",
                           (int)ends[i], t->pieces.n);
    struct constraint *x = mem_alloc(sizeof *x);
    x->g = g;
    x->trie = t;
    x->n_words = (t->pieces.n + 31) / 32;
    x->n_ends = n_ends;
    x->ends = mem_alloc((n_ends + 1) * sizeof *x->ends);
    if (n_ends)
        memcpy(x->ends, ends, n_ends * sizeof *ends);
    int rc = set_up(x, e);
    if (rc) {
        constraint_free(x);
        return rc;
    }
    *c = x;
    return 0;
}

static void forget_parts(struct constraint *c)
{
    for (size_t i = 0; i < c->cap_parts; i++) {
        if (!c->parts[i])
            continue;
        free(c->parts[i]->bits);
        free(c->parts[i]->fit);
        free(c->parts[i]->uncertain);
        free(c->parts[i]);
    }
    free(c->parts);
    c->parts = NULL;
    c->cap_parts = c->bytes = 0;
}

void constraint_free(struct constraint *c)
{
    if (!c)
        return;
    forget_parts(c);
    machine_release(&c->m);
    free(c->ends);
    free(c->token_ids);
    free(c->fit);
    free(c->uncertain);
    free(c);
}

void constraint_reset(struct constraint *c)
{
    c->state = c->m.start;
    c->ended = false;
}

/* ---- masks ---- */

static void set_bit(uint32_t *bits, int32_t id)
{
    bits[id / 32] |= 1U << (id % 32);
}

static bool has_bit(const uint32_t *bits, int32_t id)
{
    return bits[id / 32] >> (id % 32) & 1;
}

/* Walks the trie from a part: which tokens fit, which go on beyond it. */
static void walk(struct constraint *c, uint32_t part, uint32_t *n_fit, uint32_t *n_uncertain)
{
    const struct token_trie *t = c->trie;
    uint32_t at[TOKEN_TRIE_DEPTH + 1] = {part};  /* the state after each byte on the way */
    bool beyond[TOKEN_TRIE_DEPTH + 1] = {false}; /* the part was left before or there */
    for (uint32_t i = 1; i < t->n_nodes;) {
        const struct token_trie_node *x = &t->nodes[i];
        uint32_t to = machine_step(&c->m, at[x->depth - 1], x->byte);
        if (to == MACHINE_DEAD) {
            uint32_t n = t->nodes[x->end].first - x->first;
            if (beyond[x->depth - 1]) {
                memcpy(c->uncertain + *n_uncertain, t->tokens + x->first, n * sizeof *t->tokens);
                *n_uncertain += n;
            }
            i = x->end;
            continue;
        }
        at[x->depth] = to;
        beyond[x->depth] = beyond[x->depth - 1] || c->m.states[to].escaped;
        for (uint32_t k = x->first; k < t->nodes[i + 1].first; k++)
            c->fit[(*n_fit)++] = t->tokens[k];
        i++;
    }
}

static int32_t *copy_ids(const int32_t *ids, uint32_t n)
{
    int32_t *copy = mem_alloc((n + 1) * sizeof *copy);
    memcpy(copy, ids, n * sizeof *copy);
    return copy;
}

static const struct part *find_part(struct constraint *c, uint32_t state)
{
    if (state >= c->cap_parts) {
        size_t cap = 2 * (size_t)state + 64;
        c->parts = mem_realloc(c->parts, cap * sizeof *c->parts);
        memset(c->parts + c->cap_parts, 0, (cap - c->cap_parts) * sizeof *c->parts);
        c->cap_parts = cap;
    }
    if (c->parts[state])
        return c->parts[state];
    struct part *p = mem_alloc(sizeof *p);
    walk(c, state, &p->n_fit, &p->n_uncertain);
    p->uncertain = copy_ids(c->uncertain, p->n_uncertain);
    c->bytes += sizeof *p + p->n_uncertain * sizeof *p->uncertain;
    if (p->n_fit <= c->n_words) {
        p->fit = copy_ids(c->fit, p->n_fit);
        c->bytes += p->n_fit * sizeof *p->fit;
    } else {
        p->bits = mem_alloc(c->n_words * sizeof *p->bits);
        for (uint32_t i = 0; i < p->n_fit; i++)
            set_bit(p->bits, c->fit[i]);
        c->bytes += c->n_words * sizeof *p->bits;
    }
    c->parts[state] = p;
    return p;
}

/* Tries tokens from the whole state. Neighbours in the list begin alike, so their common bytes are
 * read once. */
static void try_tokens(struct constraint *c, const int32_t *ids, uint32_t n, uint32_t *bits)
{
    const struct token_pieces *p = &c->trie->pieces;
    uint32_t at[TOKEN_TRIE_DEPTH + 1] = {c->state};
    uint32_t depth = 0; /* at[1..depth] are the states along the bytes of `last` */
    const char *last = NULL;
    for (uint32_t i = 0; i < n; i++) {
        const char *bytes = p->bytes[ids[i]];
        uint32_t len = p->n_bytes[ids[i]], k = 0;
        if (has_bit(bits, ids[i]))
            continue;
        while (k < depth && k < len && bytes[k] == last[k])
            k++;
        uint32_t state = at[k];
        for (; k < len && state != MACHINE_DEAD; k++) {
            state = machine_step(&c->m, state, (unsigned char)bytes[k]);
            if (k < TOKEN_TRIE_DEPTH)
                at[k + 1] = state;
        }
        depth = k < TOKEN_TRIE_DEPTH ? k : TOKEN_TRIE_DEPTH;
        last = bytes;
        if (state != MACHINE_DEAD)
            set_bit(bits, ids[i]);
    }
}

/* Tokens that the grammar names. */
static void allow_named(struct constraint *c, uint32_t *bits)
{
    const struct machine_state s = c->m.states[c->state];
    for (uint32_t i = 0; i < s.n; i++) {
        const struct grammar_node *x = &c->g->nodes[s.threads[i].node];
        if (x->kind != GRAMMAR_TOKEN)
            continue;
        if (!c->g->tokens[x->a].other) {
            set_bit(bits, c->token_ids[x->a]);
            continue;
        }
        for (size_t id = 0; id < c->trie->pieces.n; id++)
            if ((int32_t)id != c->token_ids[x->a])
                set_bit(bits, (int32_t)id);
    }
}

static int check_work(struct constraint *c, struct err *e)
{
    if (c->m.failed)
        return err_set(e, ERR_FORMAT,
                       "the grammar is too ambiguous to be followed here; simplify "
                       "its rules");
    if (c->bytes + c->m.bytes <= MAX_BYTES)
        return 0;
    forget_parts(c);
    return machine_forget(&c->m, &c->state, e);
}

int constraint_mask(struct constraint *c, uint32_t *bits, struct err *e)
{
    const uint32_t *parts;
    int rc = check_work(c, e);
    if (rc)
        return rc;
    memset(bits, 0, c->n_words * sizeof *bits);
    size_t n = c->ended ? 0 : machine_parts(&c->m, c->state, &parts);
    for (size_t i = 0; i < n; i++) {
        const struct part *p = find_part(c, parts[i]);
        for (size_t k = 0; p->bits && k < c->n_words; k++)
            bits[k] |= p->bits[k];
        for (uint32_t k = 0; p->fit && k < p->n_fit; k++)
            set_bit(bits, p->fit[k]);
    }
    for (size_t i = 0; i < n; i++)
        try_tokens(c, c->parts[parts[i]]->uncertain, c->parts[parts[i]]->n_uncertain, bits);
    if (n > 0) {
        try_tokens(c, c->trie->longer, c->trie->n_longer, bits);
        allow_named(c, bits);
    }
    if (constraint_may_end(c))
        for (size_t i = 0; i < c->n_ends; i++)
            set_bit(bits, c->ends[i]);
    if (c->m.failed)
        return check_work(c, e);
    for (size_t i = 0; i < c->n_words; i++)
        if (bits[i])
            return 0;
    return err_set(e, ERR_UNSUPPORTED,
                   "no token of this vocabulary can go on as the grammar demands");
}

/* ---- moving on ---- */

int constraint_accept(struct constraint *c, int32_t id, struct err *e)
{
    const struct token_pieces *p = &c->trie->pieces;
    if (id < 0 || (size_t)id >= p->n)
        return err_set(e, ERR_ARG, "token %d is not in the vocabulary", (int)id);
    bool text = !(p->control && p->control[id]);
    uint32_t to = MACHINE_DEAD;
    if (!c->ended)
        to = machine_token(&c->m, c->state, id, p->bytes[id], text ? p->n_bytes[id] : 0);
    if (to != MACHINE_DEAD) {
        c->state = to;
        return 0;
    }
    for (size_t i = 0; i < c->n_ends && constraint_may_end(c); i++) {
        if (c->ends[i] == id) {
            c->ended = true;
            return 0;
        }
    }
    int rc = check_work(c, e);
    return rc ? rc : err_set(e, ERR_ARG, "the grammar does not allow token %d here", (int)id);
}

int constraint_accept_text(struct constraint *c, const void *text, size_t n, struct err *e)
{
    uint32_t state = c->ended ? MACHINE_DEAD : c->state;
    for (size_t i = 0; i < n; i++) {
        state = machine_step(&c->m, state, ((const unsigned char *)text)[i]);
        if (state == MACHINE_DEAD) {
            int rc = check_work(c, e);
            return rc ? rc : err_set(e, ERR_ARG, "the grammar does not allow byte %zu", i + 1);
        }
    }
    c->state = state;
    return 0;
}

bool constraint_may_end(const struct constraint *c)
{
    return c->ended || c->m.states[c->state].accepting;
}

bool constraint_done(const struct constraint *c)
{
    return c->ended || (c->m.states[c->state].accepting && c->m.states[c->state].n == 0);
}
