/* answer.c - see answer.h. */
#include "cli/answer.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "cli/answer_options.h"
#include "cli/interrupt.h"
#include "cli/markdown.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/seeds.h"
#include "cli/terminal.h"
#include "cpu/cpu.h"
#include "engine/store.h"
#include "pipeline/generate.h"
#include "pipeline/text_model.h"
#include "text/chat.h"
#include "text/chat_parse.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_ANSWER ((size_t)64 << 20)

/* One answer on its way to the terminal. */
struct printing {
    bool terminal, colour;
    struct chat_parser *parser;         /* owned; NULL: all of it is the answer */
    bool thinking;                      /* thoughts were shown last */
    struct markdown markdown, thoughts; /* of a terminal */
    struct buf shown;                   /* scratch */
    struct buf all;                     /* the answer so far */
    enum generate_finish finish;
    struct generate_timings timings;
    double first; /* when the first token came */
    struct err e; /* of writing, or of the generator */
};

/* ---- opening ---- */

static struct generator_options generator_options(const struct answerer *a)
{
    const struct option_value *v = a->o->value;
    struct generator_options g;
    generator_options_init(&g, a->backend, a->model);
    if (a->options.num_ctx > 0)
        g.n_ctx = a->options.num_ctx;
    if (v[OPTION_CACHE_TYPE].given)
        g.cache_type = dtype_from_name(v[OPTION_CACHE_TYPE].text);
    g.exact = v[OPTION_EXACT].given;
    return g;
}

int answerer_context(const struct answerer *a)
{
    return generator_options(a).n_ctx;
}

int answerer_reopen(struct answerer *a, struct err *e)
{
    struct generator_options o = generator_options(a);
    struct generator *g;
    int rc = generator_new(&g, &o, e);
    if (rc)
        return rc;
    generator_free(a->generator);
    a->generator = g;
    return 0;
}

int answerer_check(const struct answerer *a, struct err *e)
{
    struct token_sampler *s;
    int rc = token_sampler_new(&s, &a->options.sampler,
                               (size_t)language_params(a->model->language)->n_vocab, e);
    if (!rc)
        token_sampler_free(s);
    return rc;
}

static enum chat_thinking thinking_of(const struct option_value *v)
{
    if (!v->given)
        return CHAT_THINKING_DEFAULT;
    return strcmp(v->text, "yes") == 0 ? CHAT_THINKING_ON : CHAT_THINKING_OFF;
}

int answerer_open(struct answerer *a, const struct options *o, const char *model, struct err *e)
{
    const struct option_value *threads = &o->value[OPTION_THREADS];
    char *path = NULL;
    *a = (struct answerer){.o = o,
                           .opened = clock_seconds(),
                           .messages = json_array(),
                           .thinking = thinking_of(&o->value[OPTION_THINK]),
                           .verbose = o->value[OPTION_VERBOSE].given};
    int rc = store_weights(model, &path, e);
    if (!rc)
        rc = text_model_open(&a->model, path, e);
    free(path);
    if (!rc)
        rc = cpu_backend_new(&a->backend, threads->given ? (int)threads->whole : 0, NULL, e);
    if (!rc)
        rc = answer_options(a, e);
    if (!rc)
        rc = answerer_reopen(a, e);
    if (!rc && o->value[OPTION_SYSTEM].given)
        rc = answerer_set_system(a, o->value[OPTION_SYSTEM].text, e);
    return rc;
}

void answerer_close(struct answerer *a)
{
    generator_free(a->generator);
    text_form_release(&a->form);
    text_options_release(&a->options);
    free(a->bias);
    text_model_close(a->model);
    backend_free(a->backend);
    json_decref(a->messages);
    *a = (struct answerer){0};
}

static int new_message(json_t **m, const char *role, const char *text, size_t n, struct err *e)
{
    *m = json_pack("{s:s, s:s%}", "role", role, "content", text, n);
    if (*m)
        return 0;
    return err_set(e, ERR_ARG, "the %s's text is not UTF-8", role); /* what else can be wrong? */
}

const char *answerer_system(const struct answerer *a)
{
    const json_t *first = json_array_get(a->messages, 0);
    const char *role = json_string_value(json_object_get(first, "role"));
    return role && strcmp(role, "system") == 0
               ? json_string_value(json_object_get(first, "content"))
               : NULL;
}

int answerer_set_system(struct answerer *a, const char *text, struct err *e)
{
    json_t *m = NULL;
    int rc = text ? new_message(&m, "system", text, strlen(text), e) : 0;
    if (rc)
        return rc;
    if (answerer_system(a))
        json_array_remove(a->messages, 0);
    if (m)
        json_array_insert_new(a->messages, 0, m);
    return 0;
}

void answerer_clear(struct answerer *a)
{
    json_t *kept = json_array();
    if (answerer_system(a))
        json_array_append(kept, json_array_get(a->messages, 0));
    answerer_take_messages(a, kept);
}

void answerer_take_messages(struct answerer *a, struct json_t *messages)
{
    json_decref(a->messages);
    a->messages = messages;
}

/* ---- answering ---- */

static void show(struct printing *p)
{
    if (p->shown.len > 0 && !p->e.code)
        message_out(buf_str(&p->shown), p->shown.len, &p->e);
    buf_reset(&p->shown);
}

/* Thoughts are faint, and told apart by an empty line where there are no colours. */
static void think(struct printing *p, bool thinking)
{
    if (p->thinking == thinking)
        return;
    p->thinking = thinking;
    if (!thinking)
        markdown_end(&p->thoughts, &p->shown);
    if (p->colour)
        buf_append_str(&p->shown, thinking ? "\033[2m" : "\033[0m");
    if (!thinking)
        buf_append_str(&p->shown, "\n\n");
}

static void print(struct printing *p, const char *text, size_t n)
{
    buf_append(&p->all, text, n);
    think(p, false);
    if (p->terminal)
        markdown_put(&p->markdown, text, n, &p->shown);
    else
        buf_append(&p->shown, text, n);
    show(p);
}

static void on_chat(void *ctx, const struct chat_event *ev)
{
    struct printing *p = ctx;
    if (ev->type != CHAT_THINKING) {
        print(p, ev->text, ev->n);
    } else if (p->terminal) {
        think(p, true);
        markdown_put(&p->thoughts, ev->text, ev->n, &p->shown);
        show(p);
    }
}

static void on_event(const struct generate_event *ev, void *ctx)
{
    struct printing *p = ctx;
    if (!(p->first > 0))
        p->first = clock_seconds();
    if (p->parser)
        chat_parser_push(p->parser, ev->text, ev->n_text, &p->e);
    else
        print(p, ev->text, ev->n_text);
    if (!ev->end)
        return;
    if (p->parser)
        chat_parser_finish(p->parser, &p->e);
    p->finish = ev->finish;
    p->timings = ev->timings;
    if (ev->error)
        err_set(&p->e, ev->error->code, "%s", ev->error->text);
}

static void say_speed(const char *what, int n, double seconds)
{
    message_note("%-6s %6d tokens  %8.3f s  %8.2f tokens/s", what, n, seconds,
                 seconds > 0 ? n / seconds : 0);
}

/* The first token is the prompt's, so the generation's time is that of the others. */
static void say_timings(const struct answerer *a, const struct printing *p)
{
    const struct generate_timings *t = &p->timings;
    if (t->n_cached > 0)
        message_note("cached %6d tokens", t->n_cached);
    say_speed("prompt", t->n_prompt - t->n_cached, t->prompt);
    say_speed("answer", t->n_generated > 1 ? t->n_generated - 1 : 0, t->generation);
    message_note("first token %.3f s after the start", p->first - a->opened);
}

/* Ends the line on a terminal, where the shell's prompt comes next. */
static void finish(struct answerer *a, struct printing *p)
{
    think(p, false);
    if (p->terminal)
        markdown_end(&p->markdown, &p->shown);
    if (p->all.len > 0 && p->all.data[p->all.len - 1] != '\n')
        buf_append_char(&p->shown, '\n');
    show(p);
    if (a->verbose)
        say_timings(a, p);
}

static int answer(struct answerer *a, const struct tokens *prompt, struct printing *p,
                  struct err *e)
{
    struct generate_request r;
    int id;
    generate_request_init(&r, a->model);
    r.prompt = prompt->ids;
    r.n_prompt = (int)prompt->n;
    r.sampler = a->options.sampler;
    if (!a->options.seeded)
        r.sampler.seed = seeds_random();
    r.constraint = a->form.constraint;
    r.stop = (const char *const *)a->options.stop;
    r.n_stop = a->options.n_stop;
    r.max_tokens = a->options.num_predict;
    r.cancel = interrupt_flag();
    r.on_event = on_event;
    r.ctx = p;
    int rc = generator_add(a->generator, &r, &id, e);
    if (rc)
        return rc;
    text_form_reset(&a->form);
    while (generator_step(a->generator) > 0)
        if (p->e.code) /* nobody reads it any more */
            generator_cancel(a->generator, id);
    finish(a, p);
    if (p->e.code)
        return err_set(e, p->e.code, "%s", p->e.text);
    return p->finish == GENERATE_CANCELLED ? err_set(e, ERR_CANCELLED, "cancelled") : 0;
}

static void begin(struct printing *p)
{
    *p = (struct printing){.terminal = isatty(STDOUT_FILENO)};
    p->colour = p->terminal && terminal_is_capable(STDOUT_FILENO) && !terminal_no_color();
    markdown_init(&p->markdown, p->colour);
    markdown_init(&p->thoughts, false);
    buf_init(&p->shown, MAX_ANSWER);
    buf_init(&p->all, MAX_ANSWER);
}

static void release(struct printing *p)
{
    chat_parser_free(p->parser);
    buf_release(&p->shown);
    buf_release(&p->all);
}

int answerer_continue(struct answerer *a, const char *text, struct err *e)
{
    struct tokens prompt = {0};
    struct printing p;
    begin(&p);
    int rc = text_model_tokenize(a->model, text, strlen(text), &prompt, e);
    if (!rc)
        rc = answer(a, &prompt, &p, e);
    tokens_release(&prompt);
    release(&p);
    return rc;
}

/* Renders the conversation, and takes the answer apart where the template knows of thoughts. */
static int render(struct answerer *a, struct printing *p, struct tokens *prompt, struct err *e)
{
    struct chat_request r = {
        .messages = a->messages, .add_generation_prompt = true, .thinking = a->thinking};
    struct buf text;
    buf_init(&text, TOKENIZER_TEXT_MAX);
    int rc = text_model_chat(a->model, &r, prompt, &text, e);
    struct chat_parser_options o = {.format = chat_format_of_template(a->model->chat),
                                    .prompt = buf_str(&text),
                                    .prompt_n = text.len,
                                    .event = on_chat,
                                    .ctx = p};
    if (!rc && (o.format.thinking || o.format.harmony))
        p->parser = chat_parser_new(&o);
    buf_release(&text);
    return rc;
}

int answerer_say(struct answerer *a, const char *text, struct err *e)
{
    struct tokens prompt = {0};
    struct printing p;
    json_t *m, *answered;
    int rc = new_message(&m, "user", text, strlen(text), e);
    if (rc)
        return rc;
    json_array_append_new(a->messages, m);
    begin(&p);
    rc = render(a, &p, &prompt, e);
    if (!rc)
        rc = answer(a, &prompt, &p, e);
    if (p.all.len > 0 && new_message(&answered, "assistant", buf_str(&p.all), p.all.len, NULL) == 0)
        json_array_append_new(a->messages, answered);
    else if (rc)
        json_array_remove(a->messages, json_array_size(a->messages) - 1);
    tokens_release(&prompt);
    release(&p);
    return rc;
}
