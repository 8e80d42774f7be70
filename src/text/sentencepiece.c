/* sentencepiece.c - tokenizers of SentencePiece: from its model file, a protocol buffer, and from
 * what GGUF's metadata says of one (tokenizer_parts.h).
 *
 * https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto:
 *
 *     ModelProto       1 pieces: 1 text, 2 score, 3 type | 2 trainer_spec | 3 normalizer_spec
 *     TrainerSpec      3 model_type (1 Unigram, 2 BPE) | 35 byte_fallback | 40 unk_id | 41 bos_id
 *                      | 42 eos_id
 *     NormalizerSpec   2 precompiled_charsmap | 3 add_dummy_prefix | 4 remove_extra_whitespaces
 */
#include "base/err.h"
#include "base/mem.h"
#include "text/tokenizer_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Orders floats as unsigned integers, the largest first. */
static uint32_t rank_of(float score)
{
    uint32_t bits;
    score += 0.0f; /* -0 is 0 */
    memcpy(&bits, &score, sizeof(bits));
    return bits & 0x80000000u ? bits : 0x7fffffffu - bits;
}

/* A token that merging or the search for the likeliest cut may make. */
static bool is_text(const struct tokenizer *t, size_t i)
{
    return t->kind[i] == TOKEN_NORMAL || t->kind[i] == TOKEN_USER || t->kind[i] == TOKEN_UNUSED;
}

static struct step *add_step(struct steps *s, enum step_kind kind)
{
    s->list[s->n] = (struct step){.kind = kind, .text = {META_SPACE, 3}};
    return &s->list[s->n++];
}

static int add_normalizer(struct tokenizer *t, const struct sentencepiece *s, struct err *e)
{
    struct steps *steps = &t->normalizer;
    int rc = 0;
    if (s->charsmap.n > 0)
        rc = charsmap_init(&add_step(steps, STEP_CHARSMAP)->charsmap, &t->arena, s->charsmap, e);
    if (!rc && s->collapse) {
        struct step *strip = add_step(steps, STEP_STRIP);
        strip->left = strip->right = strip->only_blanks = true;
        struct step *replace = add_step(steps, STEP_REPLACE);
        replace->text = (struct span){" ", 1};
        rc = regex_new(&replace->regex, (struct span){" +", 2}, false, e);
    }
    if (s->prefix)
        add_step(steps, STEP_PREPEND);
    add_step(steps, STEP_REPLACE);
    return rc;
}

static int copy_scores(struct tokenizer *t, const float *scores, struct err *e)
{
    t->score = mem_try_array(t->vocab.n, sizeof(*t->score), "the scores", e);
    if (!t->score)
        return ERR_NOMEM;
    for (size_t i = 0; i < t->vocab.n; i++)
        t->score[i] = scores[i];
    return tokenizer_index_unigram(t, e);
}

static int rank_by_score(struct tokenizer *t, const float *scores, struct err *e)
{
    t->rank = mem_try_array(t->vocab.n, sizeof(*t->rank), "the scores", e);
    if (!t->rank)
        return ERR_NOMEM;
    for (size_t i = 0; i < t->vocab.n; i++)
        t->rank[i] = is_text(t, i) ? rank_of(scores[i]) : UINT32_MAX;
    return 0;
}

int tokenizer_make_sentencepiece(struct tokenizer *t, const struct sentencepiece *s, struct err *e)
{
    for (size_t i = 0; i < t->vocab.n; i++)
        if (isnan(s->scores[i]))
            return err_set(e, ERR_FORMAT, "the score of token %zu is no number", i);
    t->strip_first_space = s->prefix;
    t->fuse_unknown = true;
    t->model = s->unigram ? MODEL_UNIGRAM : MODEL_TEXTS;
    int rc = add_normalizer(t, s, e);
    if (!rc)
        rc = s->unigram ? copy_scores(t, s->scores, e) : rank_by_score(t, s->scores, e);
    return rc ? rc : tokenizer_split_at_blanks(t, e);
}

/* -- the file -- */

/* One field of a message. */
struct field {
    uint32_t number;
    uint64_t value;    /* of a varint */
    struct span bytes; /* of fixed and delimited ones */
};

static bool take_varint(struct span *s, uint64_t *v)
{
    *v = 0;
    for (int shift = 0; s->n > 0 && shift < 64; shift += 7) {
        unsigned char c = (unsigned char)*s->p++;
        s->n--;
        *v |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80)
            return true;
    }
    return false;
}

/* Takes the next field off a message: 1, 0 at its end, or ERR_FORMAT. */
static int take_field(struct span *s, struct field *f)
{
    uint64_t tag, n = 0;
    *f = (struct field){0};
    if (s->n == 0)
        return 0;
    if (!take_varint(s, &tag) || tag >> 3 > UINT32_MAX)
        return ERR_FORMAT;
    f->number = (uint32_t)(tag >> 3);
    switch (tag & 7) {
    case 0:
        return take_varint(s, &f->value) ? 1 : ERR_FORMAT;
    case 1:
        n = 8;
        break;
    case 2:
        if (!take_varint(s, &n))
            return ERR_FORMAT;
        break;
    case 5:
        n = 4;
        break;
    default:
        return ERR_FORMAT;
    }
    if (n > s->n)
        return ERR_FORMAT;
    f->bytes = (struct span){s->p, (size_t)n};
    s->p += n;
    s->n -= (size_t)n;
    return 1;
}

/* What the file holds. */
struct model_file {
    struct span *pieces; /* [n], borrowed texts */
    float *scores;
    uint8_t *types; /* as in GGUF, from 1 */
    size_t n;
    struct sentencepiece s;
    bool byte_fallback;
    int32_t unknown, bos, eos;
};

static int read_piece(struct model_file *m, struct span message)
{
    struct field f;
    int rc;
    m->types[m->n] = 1;
    while ((rc = take_field(&message, &f)) == 1) {
        if (f.number == 1)
            m->pieces[m->n] = f.bytes;
        else if (f.number == 2 && f.bytes.n == 4)
            memcpy(&m->scores[m->n], f.bytes.p, 4);
        else if (f.number == 3)
            m->types[m->n] = f.value >= 1 && f.value <= 6 ? (uint8_t)f.value : 5;
    }
    m->n++;
    return rc;
}

static int read_trainer(struct model_file *m, struct span message)
{
    struct field f;
    int rc;
    while ((rc = take_field(&message, &f)) == 1) {
        if (f.number == 3)
            m->s.unigram = f.value != 2;
        else if (f.number == 35)
            m->byte_fallback = f.value != 0;
        else if (f.number == 40)
            m->unknown = (int32_t)f.value;
        else if (f.number == 41)
            m->bos = (int32_t)f.value;
        else if (f.number == 42)
            m->eos = (int32_t)f.value;
    }
    return rc;
}

static int read_normalizer(struct model_file *m, struct span message)
{
    struct field f;
    int rc;
    while ((rc = take_field(&message, &f)) == 1) {
        if (f.number == 2)
            m->s.charsmap = f.bytes;
        else if (f.number == 3)
            m->s.prefix = f.value != 0;
        else if (f.number == 4)
            m->s.collapse = f.value != 0;
    }
    return rc;
}

/* The number of pieces, or ERR_FORMAT for what is no such file. */
static long count_pieces(struct span file)
{
    struct field f;
    long n = 0;
    int rc;
    while ((rc = take_field(&file, &f)) == 1)
        n += f.number == 1;
    return rc ? rc : n;
}

static int read_file(struct model_file *m, struct span file, struct err *e)
{
    long n = count_pieces(file);
    struct field f;
    int rc = 0;
    if (n <= 0 || (size_t)n > VOCAB_MAX_TOKENS)
        return err_set(e, ERR_FORMAT, "this is no SentencePiece model, or a damaged one");
    m->pieces = mem_try_array((size_t)n, sizeof(*m->pieces), "the pieces", e);
    m->scores = mem_try_array((size_t)n, sizeof(*m->scores), "the pieces", e);
    m->types = mem_try_array((size_t)n, 1, "the pieces", e);
    if (!m->pieces || !m->scores || !m->types)
        return ERR_NOMEM;
    while (!rc && take_field(&file, &f) == 1) {
        if (f.number == 1)
            rc = read_piece(m, f.bytes);
        else if (f.number == 2)
            rc = read_trainer(m, f.bytes);
        else if (f.number == 3)
            rc = read_normalizer(m, f.bytes);
    }
    return rc ? err_set(e, ERR_FORMAT, "the SentencePiece model is damaged") : 0;
}

static int32_t checked(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->vocab.n ? id : -1;
}

static int make(struct tokenizer *t, struct model_file *m, struct err *e)
{
    int rc = vocab_init(&t->vocab, m->pieces, m->n, e);
    if (!rc)
        rc = tokenizer_reserve(t, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < m->n; i++)
        t->kind[i] = (uint8_t)(m->types[i] - 1);
    t->byte_fallback = m->byte_fallback;
    t->unknown = checked(t, m->unknown);
    t->bos = checked(t, m->bos);
    t->eos = checked(t, m->eos);
    if (t->eos >= 0)
        t->end[t->eos] = 1;
    if (t->bos >= 0 && !m->s.unigram) /* as Llama and Mistral, T5 adds EOS */
        t->before[t->n_before++] = t->bos;
    else if (t->eos >= 0 && m->s.unigram)
        t->after[t->n_after++] = t->eos;
    m->s.scores = m->scores;
    rc = tokenizer_make_sentencepiece(t, &m->s, e);
    if (!rc)
        rc = tokenizer_make_pieces(t, e);
    return rc ? rc : tokenizer_add_by_kind(t, e);
}

int tokenizer_from_sentencepiece(struct tokenizer **out, struct span file, struct err *e)
{
    struct model_file m = {
        .s = {.unigram = true, .prefix = true, .collapse = true}, .bos = 1, .eos = 2};
    struct tokenizer *t = mem_alloc(sizeof(*t));
    *out = NULL;
    int rc = read_file(&m, file, e);
    if (!rc)
        rc = make(t, &m, e);
    free(m.pieces);
    free(m.scores);
    free(m.types);
    if (rc) {
        tokenizer_free(t);
        return rc;
    }
    *out = t;
    return 0;
}
