/* grammar_machine.c - see grammar_machine.h. */
#include "text/grammar_machine.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "text/grammar.h"

#include <stdlib.h>
#include <string.h>

#define MAX_THREADS ((size_t)1 << 15) /* of one state */
#define MAX_MOVES   ((size_t)1 << 20) /* without reading a byte */
#define MAX_PART    32                /* frames above the one that a part stands on */

/* A thread on its way to nodes that read something. */
struct move {
    uint32_t node, frame;
    uint32_t fresh; /* frames on top that were pushed since the last byte */
};

struct seen {
    struct move move;
    uint32_t round; /* of which closure this is */
};

struct machine_work {
    struct move *moves;             /* a stack */
    struct machine_thread *threads; /* what came out */
    struct seen *seen;              /* a hash table */
    uint32_t *parts;
    struct machine_thread
        *below; /* of machine_parts(): .node is the frame below, .frame the index */
    size_t n_moves, n_threads, n_seen, cap_moves, cap_threads, n_slots, cap_parts, cap_below;
    size_t steps;
    uint32_t round;
    bool accepting, escaped;
};

static void *room(void *array, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return array;
    while (*cap <= n)
        *cap = *cap ? 2 * *cap : 64;
    return mem_realloc(array, *cap * size);
}

static uint64_t hash_pair(uint32_t a, uint32_t b)
{
    return hash_mix64((uint64_t)a << 32 | b);
}

/* ---- frames ---- */

static uint64_t hash_frame(const struct machine_frame *f)
{
    return hash_mix64(hash_pair(f->parent, f->target) ^ ((uint64_t)f->count << 1 | f->solid));
}

static bool same_frame(const struct machine_frame *a, const struct machine_frame *b)
{
    return a->parent == b->parent && a->target == b->target && a->count == b->count &&
           a->solid == b->solid;
}

static void grow_frame_slots(struct machine *m)
{
    size_t n = m->n_frame_slots ? 2 * m->n_frame_slots : 256;
    uint32_t *slots = mem_alloc(n * sizeof *slots);
    for (size_t i = 0; i < m->n_frames; i++) {
        size_t at = hash_frame(&m->frames[i]) & (n - 1);
        while (slots[at])
            at = (at + 1) & (n - 1);
        slots[at] = (uint32_t)i + 1;
    }
    free(m->frame_slots);
    m->frame_slots = slots;
    m->n_frame_slots = n;
}

static uint32_t intern_frame(struct machine *m, struct machine_frame f)
{
    if (2 * m->n_frames >= m->n_frame_slots)
        grow_frame_slots(m);
    size_t mask = m->n_frame_slots - 1, at = hash_frame(&f) & mask;
    for (; m->frame_slots[at]; at = (at + 1) & mask)
        if (same_frame(&m->frames[m->frame_slots[at] - 1], &f))
            return m->frame_slots[at] - 1;
    m->frames = room(m->frames, m->n_frames, &m->cap_frames, sizeof *m->frames);
    m->frames[m->n_frames++] = f;
    m->bytes += 2 * sizeof f;
    m->frame_slots[at] = (uint32_t)m->n_frames;
    return (uint32_t)m->n_frames - 1;
}

/* ---- states ---- */

static uint64_t hash_state(const struct machine_state *s)
{
    return hash_fnv1a(s->threads, s->n * sizeof *s->threads) ^ (uint64_t)s->accepting ^
           (uint64_t)s->escaped << 1;
}

static bool same_state(const struct machine_state *a, const struct machine_state *b)
{
    return a->n == b->n && a->accepting == b->accepting && a->escaped == b->escaped &&
           (a->n == 0 || memcmp(a->threads, b->threads, a->n * sizeof *a->threads) == 0);
}

static void grow_state_slots(struct machine *m)
{
    size_t n = m->n_state_slots ? 2 * m->n_state_slots : 256;
    uint32_t *slots = mem_alloc(n * sizeof *slots);
    for (size_t i = 0; i < m->n_states; i++) {
        size_t at = hash_state(&m->states[i]) & (n - 1);
        while (slots[at])
            at = (at + 1) & (n - 1);
        slots[at] = (uint32_t)i + 1;
    }
    free(m->state_slots);
    m->state_slots = slots;
    m->n_state_slots = n;
}

static int by_thread(const void *a, const void *b)
{
    const struct machine_thread *x = a, *y = b;
    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    return (x->frame > y->frame) - (x->frame < y->frame);
}

static void sort_threads(struct machine_work *w)
{
    size_t n = 0;
    if (w->n_threads > 1)
        qsort(w->threads, w->n_threads, sizeof *w->threads, by_thread);
    for (size_t i = 0; i < w->n_threads; i++)
        if (n == 0 || by_thread(&w->threads[n - 1], &w->threads[i]) != 0)
            w->threads[n++] = w->threads[i];
    w->n_threads = n;
}

/* The number of the state that the work came to. */
static uint32_t intern_state(struct machine *m)
{
    struct machine_work *w = m->work;
    sort_threads(w);
    struct machine_state s = {.threads = w->threads,
                              .n = (uint32_t)w->n_threads,
                              .accepting = w->accepting,
                              .escaped = w->escaped};
    if (2 * m->n_states >= m->n_state_slots)
        grow_state_slots(m);
    size_t mask = m->n_state_slots - 1, at = hash_state(&s) & mask;
    for (; m->state_slots[at]; at = (at + 1) & mask)
        if (same_state(&m->states[m->state_slots[at] - 1], &s))
            return m->state_slots[at] - 1;
    size_t bytes = s.n * sizeof *s.threads;
    struct machine_thread *threads = arena_alloc(&m->arena, bytes + 1);
    if (bytes)
        memcpy(threads, w->threads, bytes);
    s.threads = threads;
    m->states = room(m->states, m->n_states, &m->cap_states, sizeof *m->states);
    m->states[m->n_states++] = s;
    m->bytes += bytes + 2 * sizeof s;
    m->state_slots[at] = (uint32_t)m->n_states;
    return (uint32_t)m->n_states - 1;
}

/* ---- moving without reading ---- */

static void begin(struct machine_work *w)
{
    w->n_threads = w->n_moves = w->n_seen = w->steps = 0;
    w->accepting = w->escaped = false;
    if (++w->round == 0) { /* after 2^32 rounds old marks would look new */
        memset(w->seen, 0, w->n_slots * sizeof *w->seen);
        w->round = 1;
    }
}

static void grow_seen(struct machine_work *w)
{
    size_t n = w->n_slots ? 2 * w->n_slots : 64;
    struct seen *seen = mem_alloc(n * sizeof *seen);
    for (size_t i = 0; i < w->n_slots; i++) {
        const struct seen *x = &w->seen[i];
        if (x->round != w->round)
            continue;
        size_t at = hash_pair(x->move.node, x->move.frame) & (n - 1);
        while (seen[at].round)
            at = (at + 1) & (n - 1);
        seen[at] = *x;
    }
    free(w->seen);
    w->seen = seen;
    w->n_slots = n;
}

/* A place that was reached before is worth going on from again only with fewer fresh frames: of
 * those, loops count no empty turns. */
static void move(struct machine_work *w, uint32_t node, uint32_t frame, uint32_t fresh)
{
    if (2 * w->n_seen >= w->n_slots)
        grow_seen(w);
    size_t mask = w->n_slots - 1, at = hash_pair(node, frame) & mask;
    struct seen *x = &w->seen[at];
    for (; x->round == w->round; at = (at + 1) & mask, x = &w->seen[at])
        if (x->move.node == node && x->move.frame == frame)
            break;
    if (x->round == w->round && x->move.fresh <= fresh)
        return;
    w->n_seen += x->round != w->round;
    *x = (struct seen){{node, frame, fresh}, w->round};
    w->moves = room(w->moves, w->n_moves, &w->cap_moves, sizeof *w->moves);
    w->moves[w->n_moves++] = x->move;
}

static void enter_loop(struct machine *m, uint32_t loop, uint32_t parent, uint32_t count,
                       uint32_t fresh)
{
    struct machine_frame f = {parent, loop, count, false};
    move(m->work, m->g->loops[loop].body, intern_frame(m, f), fresh + 1);
}

static void end_turn(struct machine *m, struct machine_frame f)
{
    const struct grammar_loop *l = &m->g->loops[f.target];
    if (f.count >= l->least)
        move(m->work, l->next, f.parent, 0);
    if (f.count >= l->most)
        return;
    uint32_t count = f.count + 1, enough = l->least > 1 ? l->least : 1;
    if (l->most == GBNF_UNBOUNDED && count > enough)
        count = enough; /* further turns are all alike */
    enter_loop(m, f.target, f.parent, count, 0);
}

static void end(struct machine *m, struct move x)
{
    if (x.frame == MACHINE_NONE || x.frame == MACHINE_BASE) {
        m->work->accepting |= x.frame == MACHINE_NONE;
        m->work->escaped |= x.frame == MACHINE_BASE;
        return;
    }
    struct machine_frame f = m->frames[x.frame];
    if (f.count == 0)
        move(m->work, f.target, f.parent, x.fresh > 0 ? x.fresh - 1 : 0);
    else if (x.fresh == 0)
        end_turn(m, f);
}

static void follow(struct machine *m, struct move x)
{
    struct machine_work *w = m->work;
    const struct grammar_node *n = &m->g->nodes[x.node];
    switch (n->kind) {
    case GRAMMAR_BYTES:
    case GRAMMAR_TOKEN:
        w->threads = room(w->threads, w->n_threads, &w->cap_threads, sizeof *w->threads);
        w->threads[w->n_threads++] = (struct machine_thread){x.node, x.frame};
        break;
    case GRAMMAR_SPLIT:
        move(w, n->b, x.frame, x.fresh);
        move(w, n->a, x.frame, x.fresh);
        break;
    case GRAMMAR_CALL: {
        const struct grammar_rule *r = &m->g->rules[n->a];
        if (n->b == 0) { /* the last thing that a rule does needs no frame: lists stay flat */
            move(w, r->entry, x.frame, x.fresh);
            break;
        }
        struct machine_frame f = {x.frame, n->b, 0, r->solid};
        move(w, r->entry, intern_frame(m, f), x.fresh + 1);
        break;
    }
    case GRAMMAR_LOOP:
        if (m->g->loops[n->a].least == 0)
            move(w, m->g->loops[n->a].next, x.frame, x.fresh);
        enter_loop(m, n->a, x.frame, 1, x.fresh);
        break;
    case GRAMMAR_END:
        end(m, x);
        break;
    }
}

/* Runs all moves to their ends; the state they make together. */
static uint32_t settle(struct machine *m)
{
    struct machine_work *w = m->work;
    while (w->n_moves > 0) {
        if (w->n_threads > MAX_THREADS || ++w->steps > MAX_MOVES) {
            m->failed = true;
            return MACHINE_DEAD;
        }
        follow(m, w->moves[--w->n_moves]);
    }
    return intern_state(m);
}

/* ---- reading ---- */

static uint32_t find_next(struct machine *m, uint32_t state, unsigned char byte)
{
    const struct machine_state s = m->states[state];
    begin(m->work);
    for (uint32_t i = 0; i < s.n; i++) {
        const struct grammar_node *n = &m->g->nodes[s.threads[i].node];
        if (n->kind != GRAMMAR_BYTES)
            continue;
        for (uint32_t k = n->a; k < n->a + n->b; k++) {
            const struct grammar_edge *edge = &m->g->edges[k];
            if (edge->lo <= byte && byte <= edge->hi)
                move(m->work, edge->to, s.threads[i].frame, 0);
        }
    }
    return settle(m);
}

uint32_t machine_step(struct machine *m, uint32_t state, unsigned char byte)
{
    struct machine_state *s = &m->states[state];
    uint8_t class = m->g->classes[byte];
    if (s->next && s->next[class])
        return s->next[class] - 1;
    if (s->n == 0)
        return MACHINE_DEAD;
    if (!s->next) {
        s->next = arena_alloc(&m->arena, m->g->n_classes * sizeof *s->next);
        m->bytes += m->g->n_classes * sizeof *s->next;
    }
    uint32_t next = find_next(m, state, byte);
    if (!m->failed)
        m->states[state].next[class] = next + 1;
    return next;
}

uint32_t machine_token(struct machine *m, uint32_t state, int32_t id, const char *bytes, size_t n)
{
    uint32_t spelt = n > 0 ? state : MACHINE_DEAD;
    for (size_t i = 0; i < n && spelt != MACHINE_DEAD; i++)
        spelt = machine_step(m, spelt, (unsigned char)bytes[i]);
    if (m->g->n_tokens == 0 || m->failed)
        return spelt;

    const struct machine_state from = m->states[state], to = m->states[spelt];
    bool named = false;
    begin(m->work);
    for (uint32_t i = 0; i < from.n; i++) {
        const struct grammar_node *x = &m->g->nodes[from.threads[i].node];
        if (x->kind != GRAMMAR_TOKEN || (m->token_ids[x->a] == id) == m->g->tokens[x->a].other)
            continue;
        move(m->work, x->b, from.threads[i].frame, 0);
        named = true;
    }
    if (!named)
        return spelt;
    for (uint32_t i = 0; i < to.n; i++)
        move(m->work, to.threads[i].node, to.threads[i].frame, 0);
    m->work->accepting |= to.accepting;
    m->work->escaped |= to.escaped;
    return settle(m);
}

/* ---- parts ---- */

static uint32_t frame_below(const struct machine *m, uint32_t frame)
{
    for (int i = 0; i < MAX_PART && frame > MACHINE_BASE && !m->frames[frame].solid; i++)
        frame = m->frames[frame].parent;
    return frame;
}

/* The smallest turn that MACHINE_LOOKAHEAD bytes cannot tell from this one: each turn takes a byte.
 */
static uint32_t similar_turn(const struct grammar_loop *l, uint32_t count)
{
    uint32_t missing = l->least > count ? l->least - count : 0;
    if (l->most - count < MACHINE_LOOKAHEAD || (missing > 0 && missing < MACHINE_LOOKAHEAD))
        return count;
    if (missing > 0)
        return 1;
    return l->least > 1 ? l->least : 1;
}

/* The frames above `below` once more, on top of MACHINE_BASE. */
static uint32_t copy_frames(struct machine *m, uint32_t frame, uint32_t below)
{
    uint32_t path[MAX_PART], copy = below == MACHINE_NONE ? MACHINE_NONE : MACHINE_BASE;
    size_t n = 0;
    for (; frame != below; frame = m->frames[frame].parent)
        path[n++] = frame;
    while (n-- > 0) {
        struct machine_frame f = m->frames[path[n]];
        f.parent = copy;
        if (f.count > 0)
            f.count = similar_turn(&m->g->loops[f.target], f.count);
        copy = intern_frame(m, f);
    }
    return copy;
}

size_t machine_parts(struct machine *m, uint32_t state, const uint32_t **parts)
{
    struct machine_work *w = m->work;
    const struct machine_state s = m->states[state];
    size_t n_parts = 0;
    w->below = room(w->below, s.n, &w->cap_below, sizeof *w->below);
    w->parts = room(w->parts, s.n, &w->cap_parts, sizeof *w->parts);
    for (uint32_t i = 0; i < s.n; i++)
        w->below[i] = (struct machine_thread){frame_below(m, s.threads[i].frame), i};
    if (s.n > 1)
        qsort(w->below, s.n, sizeof *w->below, by_thread);
    for (uint32_t i = 0; i < s.n;) {
        uint32_t below = w->below[i].node;
        begin(w);
        for (; i < s.n && w->below[i].node == below; i++) {
            struct machine_thread t = s.threads[w->below[i].frame];
            w->threads = room(w->threads, w->n_threads, &w->cap_threads, sizeof *w->threads);
            t.frame = copy_frames(m, t.frame, below);
            w->threads[w->n_threads++] = t;
        }
        w->parts[n_parts++] = intern_state(m);
    }
    *parts = w->parts;
    return n_parts;
}

/* ---- life ---- */

static void clear(struct machine *m)
{
    const uint32_t nowhere = UINT32_MAX;
    arena_release(&m->arena);
    if (m->n_frame_slots)
        memset(m->frame_slots, 0, m->n_frame_slots * sizeof *m->frame_slots);
    if (m->n_state_slots)
        memset(m->state_slots, 0, m->n_state_slots * sizeof *m->state_slots);
    m->n_frames = m->n_states = m->bytes = 0;
    intern_frame(m, (struct machine_frame){nowhere, nowhere, 0, false}); /* MACHINE_NONE */
    intern_frame(m, (struct machine_frame){nowhere, nowhere, 0, true});  /* MACHINE_BASE */
    begin(m->work);
    intern_state(m); /* MACHINE_DEAD */
}

static int find_start(struct machine *m, struct err *e)
{
    begin(m->work);
    move(m->work, m->g->rules[m->g->root].entry, MACHINE_NONE, 0);
    m->start = settle(m);
    return m->failed ? err_set(e, ERR_FORMAT, "the grammar is too ambiguous to follow") : 0;
}

int machine_init(struct machine *m, const struct grammar *g, struct err *e)
{
    *m = (struct machine){.g = g};
    m->work = mem_alloc(sizeof *m->work);
    clear(m);
    int rc = find_start(m, e);
    if (rc)
        machine_release(m);
    return rc;
}

void machine_release(struct machine *m)
{
    if (m->work) {
        free(m->work->moves);
        free(m->work->threads);
        free(m->work->seen);
        free(m->work->parts);
        free(m->work->below);
        free(m->work);
    }
    arena_release(&m->arena);
    free(m->frames);
    free(m->states);
    free(m->frame_slots);
    free(m->state_slots);
    *m = (struct machine){0};
}

int machine_forget(struct machine *m, uint32_t *state, struct err *e)
{
    struct machine_state s = m->states[*state];
    struct machine_frame *old = m->frames;
    size_t n = m->n_frames;
    struct machine_thread *threads = mem_alloc(s.n * sizeof *threads + 1);
    uint32_t *number = mem_alloc((n + 1) * sizeof *number); /* 1: wanted; then the new number */
    if (s.n)
        memcpy(threads, s.threads, s.n * sizeof *threads);
    for (uint32_t i = 0; i < s.n; i++)
        for (uint32_t f = threads[i].frame; f > MACHINE_BASE && !number[f]; f = old[f].parent)
            number[f] = 1;
    m->frames = NULL;
    m->cap_frames = 0;
    clear(m);
    number[MACHINE_NONE] = MACHINE_NONE;
    number[MACHINE_BASE] = MACHINE_BASE;
    for (uint32_t f = MACHINE_BASE + 1; f < n; f++) { /* parents are older than their children */
        struct machine_frame copy = old[f];
        if (!number[f])
            continue;
        copy.parent = number[copy.parent];
        number[f] = intern_frame(m, copy);
    }
    int rc = find_start(m, e);
    begin(m->work);
    for (uint32_t i = 0; i < s.n && !rc; i++)
        move(m->work, threads[i].node, number[threads[i].frame], 0);
    m->work->accepting = s.accepting;
    m->work->escaped = s.escaped;
    *state = rc ? MACHINE_DEAD : settle(m);
    free(old);
    free(threads);
    free(number);
    return rc;
}
