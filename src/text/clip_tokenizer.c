/* clip_tokenizer.c - see clip_tokenizer.h.
 *
 *     text --special tokens as spelled--> pieces --normalize--> pieces --<|startoftext|>--> pieces
 *          --words--> bytes --alphabet--> one token per byte --merges--> ids
 *
 * The order matters: what surrounds a special token is normalized without it, and bos is looked
 * for only afterwards, when everything is in lower case.
 */
#include "text/clip_tokenizer.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "format/checkpoint.h"
#include "text/bpe.h"
#include "text/clip_text.h"
#include "text/clip_vocab.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TOKENS    ((size_t)1 << 20)
#define MAX_TOKEN     1024               /* bytes of one token; CLIP's longest has 64 */
#define MAX_TEXTS     ((size_t)64 << 20) /* bytes of all tokens together */
#define END_OF_WORD   "</w>"
#define BYTE_SPELLING 8 /* room for a byte's token: two bytes, "</w>" and a NUL */

struct clip_tokenizer {
    size_t n_vocab;
    char *texts;      /* all tokens, each with its NUL; owned */
    uint32_t *offset; /* [n_vocab] into texts, [n_vocab] is their end; owned */
    struct bpe bpe;
    int32_t byte_id[256], byte_end_id[256]; /* the second at the end of a word */
    int32_t bos, eos, pad;
    struct clip_text bos_text; /* normalized */
};

/* The token that stands for a byte: the code point U+00XX where that is printable, otherwise one
 * from U+0100 on, so that vocabularies are text files without blanks. */
static void spell_byte(unsigned byte, bool end_of_word, char spelling[BYTE_SPELLING])
{
    uint32_t cp = byte;
    if (byte <= 0x20)
        cp = 0x100 + byte;
    else if (byte >= 0x7f && byte <= 0xa0)
        cp = 0x121 + (byte - 0x7f);
    else if (byte == 0xad)
        cp = 0x143;
    size_t n = utf8_encode(cp, spelling);
    memcpy(spelling + n, end_of_word ? END_OF_WORD : "", end_of_word ? sizeof(END_OF_WORD) : 1);
}

static const char *token_text(const struct clip_tokenizer *t, size_t id)
{
    return t->texts + t->offset[id];
}

/* Appends the token that is the texts a and b put together; there is room. */
static void add_token(struct clip_tokenizer *t, const char *a, const char *b)
{
    size_t n_a = strlen(a), n_b = strlen(b);
    uint32_t begin = t->offset[t->n_vocab];
    memcpy(t->texts + begin, a, n_a);
    memcpy(t->texts + begin + n_a, b, n_b + 1);
    t->offset[++t->n_vocab] = begin + (uint32_t)(n_a + n_b + 1);
}

static int reserve_tokens(struct clip_tokenizer *t, size_t n, size_t n_text, struct err *e)
{
    t->texts = mem_try_array(n_text, 1, "a vocabulary", e);
    t->offset = mem_try_array(n + 1, sizeof(*t->offset), "a vocabulary", e);
    return t->texts && t->offset ? 0 : ERR_NOMEM;
}

/* CLIP's own vocabulary from its merges. */
static int load_builtin(struct clip_tokenizer *t, struct err *e)
{
    if (reserve_tokens(t, CLIP_VOCAB_SIZE, CLIP_VOCAB_TEXT_BYTES, e))
        return ERR_NOMEM;
    struct bpe_merge *merges = mem_try_array(CLIP_VOCAB_N_MERGES, sizeof(*merges), "merges", e);
    if (!merges)
        return ERR_NOMEM;
    for (int end = 0; end < 2; end++) {
        for (int pass = 0; pass < 2; pass++) { /* the printable bytes come first */
            for (unsigned byte = 0; byte < 256; byte++) {
                char spelling[BYTE_SPELLING];
                bool printable = byte > 0x20 && (byte < 0x7f || byte > 0xa0) && byte != 0xad;
                if (printable != (pass == 0))
                    continue;
                (end ? t->byte_end_id : t->byte_id)[byte] = (int32_t)t->n_vocab;
                spell_byte(byte, end, spelling);
                add_token(t, spelling, "");
            }
        }
    }
    for (uint32_t i = 0; i < CLIP_VOCAB_N_MERGES; i++) {
        const uint16_t *pair = &clip_vocab_merges[2 * i];
        merges[i] = (struct bpe_merge){pair[0], pair[1], (uint32_t)t->n_vocab};
        add_token(t, token_text(t, pair[0]), token_text(t, pair[1]));
    }
    add_token(t, "<|startoftext|>", "");
    add_token(t, "<|endoftext|>", "");
    int rc = bpe_init(&t->bpe, t->n_vocab, merges, CLIP_VOCAB_N_MERGES, e);
    free(merges);
    return rc;
}

/* The id of a token, or -1. */
static int32_t find_token(const struct map *ids, const char *text, size_t len)
{
    return (int32_t)(uintptr_t)map_get(ids, text, len) - 1;
}

/* Takes the tokens over and fills the map from text to id + 1. */
static int load_tokens(struct clip_tokenizer *t, const struct ckpt_vocab *v, struct map *ids,
                       struct err *e)
{
    size_t total = 0;
    if (v->n_tokens > MAX_TOKENS)
        return err_set(e, ERR_FORMAT, "tokenizer: %zu tokens, more than the %zu supported",
                       v->n_tokens, MAX_TOKENS);
    for (size_t i = 0; i < v->n_tokens; i++) {
        size_t n = v->tokens[i] ? strlen(v->tokens[i]) : 0;
        if (n == 0)
            return err_set(e, ERR_FORMAT, "tokenizer: token %zu is missing or empty", i);
        if (n > MAX_TOKEN)
            return err_set(e, ERR_FORMAT, "tokenizer: token %zu has %zu bytes, more than %d", i, n,
                           MAX_TOKEN);
        total += n + 1;
        if (total > MAX_TEXTS)
            return err_set(e, ERR_FORMAT, "tokenizer: the tokens are longer than %zu MiB together",
                           MAX_TEXTS >> 20);
    }
    if (reserve_tokens(t, v->n_tokens, total, e))
        return ERR_NOMEM;
    for (size_t i = 0; i < v->n_tokens; i++) {
        const char *text = v->tokens[i];
        void *old = map_put(ids, text, strlen(text), (void *)(uintptr_t)(i + 1));
        if (old)
            return err_set(e, ERR_FORMAT, "tokenizer: tokens %zu and %zu are both \"%.40s\"",
                           (size_t)(uintptr_t)old - 1, i, text);
        add_token(t, text, "");
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        for (int end = 0; end < 2; end++) {
            char spelling[BYTE_SPELLING];
            spell_byte(byte, end, spelling);
            int32_t id = find_token(ids, spelling, strlen(spelling));
            if (id < 0)
                return err_set(e, ERR_FORMAT,
                               "tokenizer: byte 0x%02x has no token \"%s\"; this is not a "
                               "byte-level vocabulary of CLIP's form",
                               byte, spelling);
            (end ? t->byte_end_id : t->byte_id)[byte] = id;
        }
    }
    return 0;
}

/* Reads one merge, "left right". */
static int load_merge(const struct map *ids, const char *text, size_t rank, struct bpe_merge *m,
                      struct buf *joined, struct err *e)
{
    const char *gap = text ? strchr(text, ' ') : NULL;
    if (!gap || gap == text || !gap[1] || strchr(gap + 1, ' '))
        return err_set(e, ERR_FORMAT, "tokenizer: merge %zu, \"%.40s\", is not two tokens", rank,
                       text ? text : "");
    buf_reset(joined);
    buf_append(joined, text, (size_t)(gap - text));
    buf_append_str(joined, gap + 1);
    int32_t left = find_token(ids, text, (size_t)(gap - text));
    int32_t right = find_token(ids, gap + 1, strlen(gap + 1));
    int32_t result = find_token(ids, buf_str(joined), joined->len);
    if (left < 0 || right < 0 || result < 0)
        return err_set(e, ERR_FORMAT, "tokenizer: merge %zu, \"%.40s\": %s not in the vocabulary",
                       rank, text,
                       left < 0    ? "the left token is"
                       : right < 0 ? "the right token is"
                                   : "the result is");
    *m = (struct bpe_merge){(uint32_t)left, (uint32_t)right, (uint32_t)result};
    return 0;
}

static int load_merges(struct clip_tokenizer *t, const struct ckpt_vocab *v, const struct map *ids,
                       struct err *e)
{
    struct buf joined;
    int rc = 0;
    if (v->n_merges > MAX_TOKENS)
        return err_set(e, ERR_FORMAT, "tokenizer: %zu merges, more than the %zu supported",
                       v->n_merges, MAX_TOKENS);
    struct bpe_merge *merges = mem_try_array(v->n_merges, sizeof(*merges), "merges", e);
    if (!merges)
        return ERR_NOMEM;
    buf_init(&joined, MAX_TEXTS);
    for (size_t i = 0; i < v->n_merges && !rc; i++)
        rc = load_merge(ids, v->merges[i], i, &merges[i], &joined, e);
    if (!rc)
        rc = bpe_init(&t->bpe, t->n_vocab, merges, v->n_merges, e);
    buf_release(&joined);
    free(merges);
    return rc;
}

/* Turns a given or default special token into a checked id. */
static int special_id(const struct clip_tokenizer *t, int given, int32_t usual, const char *what,
                      int32_t *id, struct err *e)
{
    *id = given < 0 ? usual : given;
    if (*id < 0)
        return err_set(e, ERR_FORMAT, "tokenizer: the vocabulary has no %s token", what);
    if ((size_t)*id >= t->n_vocab)
        return err_set(e, ERR_FORMAT, "tokenizer: the %s token's id %d is not below %zu", what,
                       given, t->n_vocab);
    return 0;
}

static int load(struct clip_tokenizer *t, const struct ckpt_vocab *v, struct err *e)
{
    int32_t bos = CLIP_VOCAB_BOS, eos = CLIP_VOCAB_EOS;
    struct map ids = {0};
    int rc;
    if (v->n_tokens == 0) {
        rc = load_builtin(t, e);
    } else {
        rc = load_tokens(t, v, &ids, e);
        if (!rc)
            rc = load_merges(t, v, &ids, e);
        bos = find_token(&ids, "<|startoftext|>", 15);
        eos = find_token(&ids, "<|endoftext|>", 13);
        map_release(&ids);
    }
    if (!rc)
        rc = special_id(t, v->bos, bos, "start-of-text", &t->bos, e);
    if (!rc)
        rc = special_id(t, v->eos, eos, "end-of-text", &t->eos, e);
    if (!rc)
        rc = special_id(t, v->pad, t->eos, "padding", &t->pad, e);
    if (!rc) {
        const char *text = token_text(t, (size_t)t->bos);
        rc = clip_text_normalize(&t->bos_text, text, strlen(text), e);
    }
    return rc;
}

int clip_tokenizer_new(struct clip_tokenizer **out, const struct ckpt_vocab *v, struct err *e)
{
    static const struct ckpt_vocab builtin = {.bos = -1, .eos = -1, .pad = -1};
    struct clip_tokenizer *t = mem_alloc(sizeof(*t));
    clip_text_init(&t->bos_text);
    int rc = load(t, v ? v : &builtin, e);
    if (rc) {
        clip_tokenizer_free(t);
        t = NULL;
    }
    *out = t;
    return rc;
}

void clip_tokenizer_free(struct clip_tokenizer *t)
{
    if (!t)
        return;
    free(t->texts);
    free(t->offset);
    bpe_release(&t->bpe);
    clip_text_release(&t->bos_text);
    free(t);
}

/* One call's working memory and output. */
struct encoder {
    const struct clip_tokenizer *t;
    struct clip_text text;
    struct bpe_scratch bpe;
    int32_t *word; /* [word_cap] one id per byte, then the merged ones */
    size_t word_cap;
    int32_t *ids;  /* [max], the caller's */
    size_t max, n; /* n counts on beyond max */
};

static void emit(struct encoder *c, int32_t id)
{
    if (c->n < c->max)
        c->ids[c->n] = id;
    c->n++;
}

static int encode_word(struct encoder *c, const uint32_t *cps, size_t n_cps, struct err *e)
{
    size_t n = 0;
    if (n_cps * 4 > c->word_cap) {
        free(c->word);
        c->word_cap = n_cps < 64 ? 256 : n_cps * 4;
        if (!(c->word = mem_try_array(c->word_cap, sizeof(*c->word), "a long word", e))) {
            c->word_cap = 0;
            return ERR_NOMEM;
        }
    }
    for (size_t i = 0; i < n_cps; i++) {
        char bytes[4];
        size_t n_bytes = utf8_encode(cps[i], bytes);
        for (size_t k = 0; k < n_bytes; k++) {
            bool last = i + 1 == n_cps && k + 1 == n_bytes;
            c->word[n++] = (last ? c->t->byte_end_id : c->t->byte_id)[(unsigned char)bytes[k]];
        }
    }
    int rc = bpe_apply(&c->t->bpe, &c->bpe, c->word, &n, e);
    for (size_t i = 0; i < n && !rc; i++)
        emit(c, c->word[i]);
    return rc;
}

static int encode_words(struct encoder *c, const uint32_t *cps, size_t n, struct err *e)
{
    size_t begin = 0, end, limit = 0;
    for (; (end = clip_text_word(cps, n, &begin, &limit)) > begin; begin = end) {
        int rc = encode_word(c, cps + begin, end - begin, e);
        if (rc)
            return rc;
    }
    return 0;
}

/* A piece of text without special tokens, except for bos. */
static int encode_piece(struct encoder *c, const char *text, size_t len, struct err *e)
{
    const struct clip_text *bos = &c->t->bos_text;
    size_t begin = 0, i = 0;
    int rc = len ? clip_text_normalize(&c->text, text, len, e) : 0;
    if (rc || len == 0)
        return rc;
    const uint32_t *cps = c->text.cps;
    while (bos->n && i + bos->n <= c->text.n && !rc) {
        if (cps[i] != bos->cps[0] || memcmp(cps + i, bos->cps, bos->n * sizeof(*cps)) != 0) {
            i++;
            continue;
        }
        rc = encode_words(c, cps + begin, i - begin, e);
        emit(c, c->t->bos);
        i += bos->n;
        begin = i;
    }
    return rc ? rc : encode_words(c, cps + begin, c->text.n - begin, e);
}

/* The length of the special token that text begins with (the longer one if both do), or 0. */
static size_t match_special(const struct clip_tokenizer *t, const char *text, size_t len,
                            int32_t *id)
{
    const int32_t ids[] = {t->eos, t->pad};
    size_t found = 0;
    for (int k = 0; k < 2; k++) {
        const char *token = token_text(t, (size_t)ids[k]);
        size_t n = strlen(token);
        if (ids[k] == t->bos || token[0] != text[0] || n > len || n <= found ||
            memcmp(token, text, n) != 0)
            continue;
        found = n;
        *id = ids[k];
    }
    return found;
}

static int encode_text(struct encoder *c, const char *text, size_t len, struct err *e)
{
    size_t begin = 0, i = 0;
    while (i < len) {
        int32_t id;
        size_t n = match_special(c->t, text + i, len - i, &id);
        if (n == 0) {
            i++;
            continue;
        }
        int rc = encode_piece(c, text + begin, i - begin, e);
        if (rc)
            return rc;
        emit(c, id);
        i += n;
        begin = i;
    }
    return encode_piece(c, text + begin, len - begin, e);
}

int clip_tokenizer_encode(const struct clip_tokenizer *t, const char *text, size_t len,
                          int32_t *ids, size_t max, struct err *e)
{
    struct encoder c = {.t = t, .ids = ids, .max = max};
    if (len > CLIP_TEXT_MAX)
        return err_set(e, ERR_ARG, "the prompt has %zu bytes; at most %zu are allowed", len,
                       CLIP_TEXT_MAX);
    clip_text_init(&c.text);
    int rc = encode_text(&c, text, len, e);
    clip_text_release(&c.text);
    bpe_scratch_release(&c.bpe);
    free(c.word);
    return rc ? rc : (int)c.n;
}

const char *clip_tokenizer_token(const struct clip_tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->n_vocab ? token_text(t, (size_t)id) : NULL;
}

size_t clip_tokenizer_n_vocab(const struct clip_tokenizer *t)
{
    return t->n_vocab;
}

int32_t clip_tokenizer_bos(const struct clip_tokenizer *t)
{
    return t->bos;
}

int32_t clip_tokenizer_eos(const struct clip_tokenizer *t)
{
    return t->eos;
}

int32_t clip_tokenizer_pad(const struct clip_tokenizer *t)
{
    return t->pad;
}
