/* chunks.c - see chunks.h. */
#include "text/chunks.h"

#include "base/err.h"
#include "base/mem.h"
#include "text/clip_tokenizer.h"
#include "text/prompt.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BACKTRACK 20 /* A1111's standard of "Prompt word wrap length limit" */

/* The chunk being filled is the last one of `c`. */
struct builder {
    struct chunks *c;
    const struct chunk_rules *r;
    int32_t comma;
    size_t used;     /* tokens in the open chunk, without bos and eos */
    bool open;       /* is there an open chunk? */
    size_t last_end; /* one behind the last comma of the open chunk; 0: none */
    struct err *e;
};

static int32_t *open_ids(const struct builder *b)
{
    return b->c->ids + (b->c->n - 1) * b->c->n_ctx + 1;
}

static float *open_weights(const struct builder *b)
{
    return b->c->weights + (b->c->n - 1) * b->c->n_ctx + 1;
}

/* A chunk of nothing but its frame. */
static int open_chunk(struct builder *b)
{
    struct chunks *c = b->c;
    const struct clip_tokenizer *t = b->r->tokenizer;
    if (c->n == CHUNKS_MAX)
        return err_set(b->e, ERR_ARG, "the prompt has more than %zu tokens; shorten it",
                       CHUNKS_MAX * (c->n_ctx - 2));
    int32_t *ids = c->ids + c->n * c->n_ctx;
    float *weights = c->weights + c->n * c->n_ctx;
    for (size_t i = 0; i < c->n_ctx; i++) {
        ids[i] = i == 0   ? clip_tokenizer_bos(t)
                 : i == 1 ? clip_tokenizer_eos(t)
                          : clip_tokenizer_pad(t);
        weights[i] = 1;
    }
    c->n++;
    b->open = true;
    b->used = b->last_end = 0;
    return 0;
}

static void put(struct builder *b, int32_t id, float weight)
{
    int32_t *ids = open_ids(b);
    ids[b->used] = id;
    open_weights(b)[b->used++] = weight;
    ids[b->used] = clip_tokenizer_eos(b->r->tokenizer);
}

/* Moves what follows the last comma of a full chunk into a new one. */
static int backtrack(struct builder *b)
{
    size_t begin = b->last_end, n = b->used - begin;
    int32_t moved[BACKTRACK];
    float weights[BACKTRACK];
    memcpy(moved, open_ids(b) + begin, n * sizeof(*moved));
    memcpy(weights, open_weights(b) + begin, n * sizeof(*weights));
    for (size_t i = begin; i <= b->used; i++) {
        open_ids(b)[i] = i == begin ? clip_tokenizer_eos(b->r->tokenizer)
                                    : clip_tokenizer_pad(b->r->tokenizer);
        open_weights(b)[i] = 1;
    }
    int rc = open_chunk(b);
    for (size_t i = 0; !rc && i < n; i++)
        put(b, moved[i], weights[i]);
    return rc;
}

/* The word that the tokens begin with, or NULL. */
static const struct chunk_word *find_word(const struct chunk_rules *r, const int32_t *ids, size_t n)
{
    const struct chunk_word *found = NULL;
    for (size_t i = 0; i < r->n_words; i++) {
        const struct chunk_word *w = &r->words[i];
        if (w->n_ids <= n && memcmp(w->ids, ids, w->n_ids * sizeof(*ids)) == 0 &&
            (!found || w->n_ids > found->n_ids))
            found = w;
    }
    return found;
}

/* Before each token: the chunk it goes into. A comma that opens a chunk because the last one was
 * full is not remembered, as in the reference. */
static int make_room(struct builder *b, int32_t id)
{
    size_t most = b->c->n_ctx - 2;
    int rc = b->open ? 0 : open_chunk(b);
    if (rc)
        return rc;
    if (id == b->comma)
        b->last_end = b->used + 1;
    else if (b->used == most && b->last_end && b->used - (b->last_end - 1) <= BACKTRACK)
        rc = backtrack(b);
    return rc || b->used < most ? rc : open_chunk(b);
}

static int add_tokens(struct builder *b, const int32_t *ids, size_t n, float weight)
{
    int rc = 0;
    for (size_t i = 0; i < n && !rc;) {
        const struct chunk_word *w = find_word(b->r, ids + i, n - i);
        rc = make_room(b, ids[i]);
        if (!rc && w && b->used + (size_t)w->n > b->c->n_ctx - 2)
            rc = open_chunk(b);
        for (int k = 0; !rc && k < (w ? w->n : 1); k++)
            put(b, w ? w->first + k : ids[i], weight);
        i += w ? w->n_ids : 1;
    }
    return rc;
}

static int add_text(struct builder *b, const char *text, size_t len, float weight)
{
    const struct clip_tokenizer *t = b->r->tokenizer;
    int n = clip_tokenizer_encode(t, text, len, NULL, 0, b->e);
    if (n <= 0)
        return n;
    int32_t *ids = mem_try_array((size_t)n, sizeof(*ids), "a prompt's tokens", b->e);
    int rc = ids ? clip_tokenizer_encode(t, text, len, ids, (size_t)n, b->e) : ERR_NOMEM;
    if (rc >= 0)
        rc = add_tokens(b, ids, (size_t)n, weight);
    free(ids);
    return rc;
}

static bool is_letter(char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c & 0x80);
}

/* The length of the longest word that the text goes on with at `at`, not in the middle of letters;
 * 0: none. */
static size_t word_at(const struct chunk_rules *r, const char *text, size_t len, size_t at)
{
    size_t longest = 0;
    for (size_t i = 0; i < r->n_words; i++) {
        const char *word = r->words[i].text;
        size_t n = strlen(word);
        if (n <= longest || n > len - at || strncasecmp(text + at, word, n) != 0 ||
            (at > 0 && is_letter(text[at - 1]) && is_letter(word[0])) ||
            (at + n < len && is_letter(text[at + n]) && is_letter(word[n - 1])))
            continue;
        longest = n;
    }
    return longest;
}

static int add_part(struct builder *b, const char *text, size_t len, float weight)
{
    size_t begin = 0;
    int rc = 0;
    for (size_t i = 0, n = 0; i < len && !rc && b->r->n_words; i += n ? n : 1) {
        n = word_at(b->r, text, len, i);
        if (n)
            rc = add_text(b, text + begin, i - begin, weight);
        if (n && !rc)
            rc = add_text(b, text + i, n, weight);
        begin = n ? i + n : begin;
    }
    return rc ? rc : add_text(b, text + begin, len - begin, weight);
}

static int build(struct builder *b, const struct prompt *p)
{
    int rc = 0;
    for (size_t i = 0; i < p->n && !rc; i++) {
        const struct prompt_part *x = &p->parts[i];
        if (!x->is_break) {
            rc = add_part(b, p->text + x->begin, x->len, (float)x->weight);
        } else {
            rc = b->open ? 0 : open_chunk(b); /* two breaks leave an empty chunk between them */
            b->open = false;
        }
    }
    return rc || b->c->n ? rc : open_chunk(b);
}

int chunks_make(struct chunks *c, const struct chunk_rules *r, const char *text, size_t len,
                struct err *e)
{
    struct builder b = {.c = c, .r = r, .e = e};
    struct prompt p = {0};
    size_t n = CHUNKS_MAX * r->n_ctx;
    *c = (struct chunks){.n_ctx = r->n_ctx};
    c->ids = mem_try_array(n, sizeof(*c->ids), "a prompt's tokens", e);
    c->weights = mem_try_array(n, sizeof(*c->weights), "a prompt's tokens", e);
    int rc = c->ids && c->weights ? 0 : ERR_NOMEM;
    if (!rc) { /* one token, but in a vocabulary without it */
        int n_comma = clip_tokenizer_encode(r->tokenizer, ",", 1, &b.comma, 1, e);
        b.comma = n_comma == 1 ? b.comma : -1;
        rc = n_comma < 0 ? n_comma : 0;
    }
    if (!rc)
        rc = prompt_parse(&p, text, len, e);
    if (!rc)
        rc = build(&b, &p);
    prompt_release(&p);
    if (rc)
        chunks_release(c);
    return rc;
}

void chunks_release(struct chunks *c)
{
    free(c->ids);
    free(c->weights);
    *c = (struct chunks){0};
}
