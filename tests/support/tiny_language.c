/* tiny_language.c - see tiny_language.h. */
#include "support/tiny_language.h"

#include "base/err.h"
#include "base/file.h"
#include "support/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *tiny_language_write(const char *type)
{
    char *dir = test_temp_dir(), *path = file_join(dir, "tiny.gguf");
    struct program p = {.exe = TEST_BINARY_DIR "/tools/random_gguf"};
    program_home();
    program_run(&p, ARGS("tiny", type, path), 0, "");
    program_release(&p);
    free(dir);
    return path;
}

char *tiny_model, *tiny_dir;

int tiny_language_setup(void **state)
{
    (void)state;
    tiny_model = tiny_language_write("f32");
    tiny_dir = test_temp_dir();
    return 0;
}

int tiny_language_teardown(void **state)
{
    (void)state;
    free(tiny_model);
    free(tiny_dir);
    return 0;
}

void tiny_answer_event(const struct generate_event *ev, void *ctx)
{
    struct tiny_answer *a = ctx;
    assert_false(a->ended);
    assert_int_equal(strlen(ev->text), ev->n_text);
    assert_true(a->n_text + ev->n_text < sizeof(a->text));
    memcpy(a->text + a->n_text, ev->text, ev->n_text + 1);
    a->n_text += ev->n_text;
    a->n_events++;
    if (ev->token) {
        assert_true(a->n < ANSWER_MAX);
        a->logprobs[a->n] = ev->token->logprob;
        a->ids[a->n++] = ev->token->id;
    }
    assert_true(ev->end == !ev->token);
    if (!ev->end)
        return;
    a->ended = true;
    a->finish = ev->finish;
    a->timings = ev->timings;
    if (ev->stop)
        snprintf(a->stop, sizeof(a->stop), "%s", ev->stop);
    if (ev->error)
        a->error = ev->error->code;
}
