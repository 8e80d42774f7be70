/* tiny_language.h - a language model of random weights, and answers of it, for tests. */
#ifndef LAR_TESTS_SUPPORT_TINY_LANGUAGE_H
#define LAR_TESTS_SUPPORT_TINY_LANGUAGE_H

#include "pipeline/generate.h"
#include "support/test.h"

/* Writes tools/random_gguf's "tiny" in this type ("f32", "q8_0") to a fresh folder; its path; heap.
 * A failure fails the running test. */
char *tiny_language_write(const char *type);

/* For groups of tests that run the program: its "f32" form and an empty folder, until the group's
 * teardown. */
extern char *tiny_model, *tiny_dir;
int tiny_language_setup(void **state);
int tiny_language_teardown(void **state);

#define ANSWER_MAX 4096

/* What the events of one request said. */
struct tiny_answer {
    int32_t ids[ANSWER_MAX];
    float logprobs[ANSWER_MAX];
    int n, n_events;
    char text[ANSWER_MAX];
    size_t n_text;
    bool ended;
    enum generate_finish finish;
    char stop[64]; /* the stop string found, or "" */
    int error;     /* code of GENERATE_ERROR */
    struct generate_timings timings;
};

/* A generate_event_fn whose ctx is a struct tiny_answer. */
void tiny_answer_event(const struct generate_event *ev, void *ctx);

#endif
