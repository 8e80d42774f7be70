/* grammar_machine.h - runs a grammar over bytes. For text/constraint.c and tests.
 *
 * A place in a text is a set of threads, each a node and the stack of frames to which it returns:
 *
 *     {"a": "x|      threads: inside `string` ─► frame: object, after the value ─► no frame
 *
 * Frames and sets of threads ("states") are stored once each and have numbers, and where a byte
 * leads from a state is remembered, so that the machine becomes a table as it runs: text that stays
 * in a string, or comes back to where it was, costs one look-up a byte.
 *
 * A state may also stand on MACHINE_BASE, "whatever called this": such a part of a state is the
 * same in many states. When its frames run out it is marked as `escaped`.
 */
#ifndef LAR_TEXT_GRAMMAR_MACHINE_H
#define LAR_TEXT_GRAMMAR_MACHINE_H

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct grammar;

#define MACHINE_DEAD 0U /* the state from which nothing leads on */
#define MACHINE_NONE 0U /* the frame below all: the end of the text */
#define MACHINE_BASE 1U /* the frame below a part of a state */

#define MACHINE_LOOKAHEAD 64 /* bytes for which machine_parts() keeps states apart */

struct machine_frame {
    uint32_t parent; /* frame */
    uint32_t target; /* node to go on at, or loop */
    uint32_t count;  /* of a loop: the turn it is in, from 1; 0: a call */
    bool solid;      /* the called rule is */
};

struct machine_thread {
    uint32_t node, frame;
};

struct machine_state {
    const struct machine_thread *threads; /* [n], sorted */
    uint32_t n;
    bool accepting; /* the text may end here */
    bool escaped;   /* MACHINE_BASE was reached */
    uint32_t *next; /* [classes of bytes] state + 1; 0: not yet known; NULL: none is */
};

struct machine {
    const struct grammar *g; /* borrowed */
    struct arena arena;      /* of threads and tables */
    struct machine_frame *frames;
    struct machine_state *states;
    uint32_t *frame_slots, *state_slots; /* hash tables of numbers + 1 */
    size_t n_frames, n_states, cap_frames, cap_states, n_frame_slots, n_state_slots;
    size_t bytes;              /* about what all this takes */
    struct machine_work *work; /* owned scratch */
    const int32_t *token_ids;  /* [g->n_tokens] set by the caller; borrowed */
    uint32_t start;            /* state */
    bool failed;               /* a set of threads grew beyond its limit */
};

/* ERR_FORMAT for a grammar that cannot begin within the limits. */
int machine_init(struct machine *m, const struct grammar *g, struct err *e);
void machine_release(struct machine *m);

/* Where the byte leads; MACHINE_DEAD, also when m->failed. */
uint32_t machine_step(struct machine *m, uint32_t state, unsigned char byte);

/* Where the n bytes of a token lead, or the token itself where the grammar names it. */
uint32_t machine_token(struct machine *m, uint32_t state, int32_t id, const char *bytes, size_t n);

/* The state's threads by the frame that they stand on, each group as a state on MACHINE_BASE: texts
 * of up to MACHINE_LOOKAHEAD bytes cannot tell apart two states with one part in common, as long as
 * its threads do not escape. Returns their number; *parts is borrowed until the next call. */
size_t machine_parts(struct machine *m, uint32_t state, const uint32_t **parts);

/* Forgets everything but this state, which gets another number. */
int machine_forget(struct machine *m, uint32_t *state, struct err *e);

#endif
