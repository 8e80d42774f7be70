/* repl_commands.c - see repl_commands.h. */
#include "cli/repl_commands.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/answer.h"
#include "cli/answer_options.h"
#include "cli/line.h"
#include "cli/message.h"
#include "format/json.h"
#include "models/language.h"
#include "pipeline/text_model.h"
#include "text/chat.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PAGE ((size_t)64 << 20)
#define MAX_FILE ((size_t)256 << 20)

typedef int command_fn(struct repl *r, const char *rest, struct err *e);
static command_fn do_help, do_set, do_show, do_system, do_save, do_load, do_clear, do_bye;

static const struct command {
    const char *name, *operands, *text;
    command_fn *fn;
} commands[] = {
    {"help", "", "this page; also /?", do_help},
    {"set", "NAME [VALUE]", "change a setting; /set alone lists them", do_set},
    {"show", "[WHAT]", "info, system, parameters, template or messages", do_show},
    {"system", "[TEXT]", "how the model shall behave; alone: as it is used to", do_system},
    {"save", "FILE", "write the conversation to a file", do_save},
    {"load", "FILE", "go on with one that was saved", do_load},
    {"clear", "", "begin a new conversation", do_clear},
    {"bye", "", "end; also /exit, /quit, Ctrl-D", do_bye},
};
#define N_COMMANDS (sizeof(commands) / sizeof(*commands))

static int print(struct buf *b, struct err *e)
{
    int rc = message_out(buf_str(b), b->len, e);
    buf_release(b);
    return rc;
}

/* Cuts the first word off: its length; *rest is what follows the blanks behind it. */
static size_t first_word(const char *text, const char **rest)
{
    size_t n = strcspn(text, " \t\n");
    *rest = text + n + strspn(text + n, " \t\n");
    return n;
}

static bool is_word(const char *text, size_t n, const char *word)
{
    return n == strlen(word) && strncmp(text, word, n) == 0;
}

/* ---- /set ---- */

static int set_parameter(struct repl *r, const char *rest, struct err *e)
{
    const char *value;
    size_t n = first_word(rest, &value);
    char *name = mem_strndup(rest, n);
    struct text_options *o = &r->answerer->options;
    int before = o->num_ctx;
    struct buf b;
    int rc = 0;
    buf_init(&b, MAX_PAGE);
    if (n == 0) {
        const char *text;
        for (int i = 0; text_option_name(i, &text); i++)
            buf_printf(&b, "  %-18s  %s\n", text_option_name(i, NULL), text);
    } else {
        /* A seed or a penalty may be wrong for the sampler only: then it is as it was. */
        struct text_options old = *o;
        rc = text_option_set(o, name, value, e);
        if (!rc && (rc = answerer_check(r->answerer, e)) && strcmp(name, "stop") != 0)
            *o = old;
        if (!rc && o->num_ctx != before && (rc = answerer_reopen(r->answerer, e)))
            o->num_ctx = before;
    }
    free(name);
    return rc ? (buf_release(&b), rc) : print(&b, e);
}

static int set_switch(struct repl *r, const char *name, struct err *e)
{
    struct answerer *a = r->answerer;
    bool thinks = strcmp(name, "think") == 0;
    if (thinks || strcmp(name, "nothink") == 0) {
        if (!chat_template_abilities(a->model->chat)->thinking_option)
            return err_set(e, ERR_UNSUPPORTED, "%s cannot be told whether to think",
                           a->model->name);
        a->thinking = thinks ? CHAT_THINKING_ON : CHAT_THINKING_OFF;
    } else if (strcmp(name, "verbose") == 0 || strcmp(name, "quiet") == 0) {
        a->verbose = *name == 'v';
    } else {
        line_remember(r->reader, strcmp(name, "history") == 0);
    }
    return 0;
}

static int set_format(struct repl *r, const char *rest, struct err *e)
{
    return answer_format(r->answerer, rest, e);
}

/* Those without a function are switches: set_switch() knows them by name. */
static const struct command settings[] = {
    {"parameter", "[NAME VALUE]", "how answers are made; alone: all names", set_parameter},
    {"system", "TEXT", "how the model shall behave", do_system},
    {"format", "json|FILE", "answers are JSON, or follow a schema; alone: neither", set_format},
    {"think", "", "let the model think first", NULL},
    {"nothink", "", "and not", NULL},
    {"verbose", "", "say how fast answers are", NULL},
    {"quiet", "", "and not", NULL},
    {"history", "", "remember what is typed", NULL},
    {"nohistory", "", "and not", NULL},
};
#define N_SETTINGS (sizeof(settings) / sizeof(*settings))

static void list(struct buf *b, const char *before, const struct command *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char left[64];
        snprintf(left, sizeof(left), "%s%s %s", before, rows[i].name, rows[i].operands);
        buf_printf(b, "  %-26s  %s\n", left, rows[i].text);
    }
}

/* Calls the row that a word names. */
static int call(struct repl *r, const struct command *rows, size_t n, const char *line,
                struct err *e)
{
    const char *rest;
    size_t word = first_word(line, &rest);
    for (size_t i = 0; i < n; i++)
        if (is_word(line, word, rows[i].name))
            return rows[i].fn ? rows[i].fn(r, rest, e) : set_switch(r, rows[i].name, e);
    bool set = rows == settings;
    return err_set(e, ERR_ARG, "there is no %s%.*s; %s lists what there is", set ? "setting " : "/",
                   (int)(word < 60 ? word : 60), line, set ? "/set" : "/help");
}

static int do_set(struct repl *r, const char *rest, struct err *e)
{
    struct buf b;
    if (*rest)
        return call(r, settings, N_SETTINGS, rest, e);
    buf_init(&b, MAX_PAGE);
    list(&b, "/set ", settings, N_SETTINGS);
    return print(&b, e);
}

/* ---- /show ---- */

static void show_info(const struct answerer *a, struct buf *b)
{
    const struct language_params *p = language_params(a->model->language);
    buf_printf(b,
               "  model         %s\n  architecture  %s\n  parameters    %.2f billion\n"
               "  weights       %.2f GB\n  layers        %d, width %d, %d heads (%d of keys)\n"
               "  vocabulary    %d tokens\n  context       %d tokens, of %d trained for\n",
               a->model->name, p->arch, (double)p->n_weights / 1e9, (double)p->size / 1e9,
               p->n_layer, p->n_embd, p->n_head, p->n_head_kv, p->n_vocab, answerer_context(a),
               p->n_ctx_train);
}

static void show_parameters(const struct answerer *a, struct buf *b)
{
    struct text_options own;
    text_options_init(&own, &TOKEN_SAMPLER_DEFAULTS);
    text_options_show(&a->options, &own, b);
    if (b->len == 0)
        buf_append_str(b, "as they are by default\n");
}

static void show_messages(const struct answerer *a, struct buf *b)
{
    size_t i;
    const json_t *m;
    json_array_foreach(a->messages, i, m)
        buf_printf(b, "%s: %s\n", json_string_value(json_object_get(m, "role")),
                   json_string_value(json_object_get(m, "content")));
}

static int do_show(struct repl *r, const char *rest, struct err *e)
{
    const struct answerer *a = r->answerer;
    const char *more;
    size_t n = first_word(rest, &more);
    struct buf b;
    buf_init(&b, MAX_PAGE);
    if (n == 0 || is_word(rest, n, "info"))
        show_info(a, &b);
    else if (is_word(rest, n, "system"))
        buf_printf(&b, "%s\n", answerer_system(a) ? answerer_system(a) : "there is none");
    else if (is_word(rest, n, "parameters"))
        show_parameters(a, &b);
    else if (is_word(rest, n, "template"))
        buf_printf(&b, "%s\n", chat_template_source(a->model->chat, false));
    else if (is_word(rest, n, "messages"))
        show_messages(a, &b);
    else
        err_set(e, ERR_ARG, "/show %.60s: there are info, system, parameters, template, messages",
                rest);
    if (e->code) {
        buf_release(&b);
        return e->code;
    }
    return print(&b, e);
}

/* ---- the others ---- */

static int do_help(struct repl *r, const char *rest, struct err *e)
{
    struct buf b;
    (void)r;
    (void)rest;
    buf_init(&b, MAX_PAGE);
    list(&b, "/", commands, N_COMMANDS);
    buf_append_str(&b, "  \"\"\"                         begins and ends a text of several lines\n"
                       "  \\                           at a line's end: it goes on\n"
                       "  Ctrl-C                      stops an answer\n");
    return print(&b, e);
}

static int do_system(struct repl *r, const char *rest, struct err *e)
{
    size_t n = strlen(rest);
    bool quoted = n >= 2 && rest[0] == '"' && rest[n - 1] == '"';
    char *text = mem_strndup(rest + quoted, n - 2 * (size_t)quoted);
    int rc = answerer_set_system(r->answerer, *text ? text : NULL, e);
    free(text);
    return rc;
}

static int do_clear(struct repl *r, const char *rest, struct err *e)
{
    (void)rest;
    (void)e;
    answerer_clear(r->answerer);
    return 0;
}

static int do_bye(struct repl *r, const char *rest, struct err *e)
{
    (void)rest;
    (void)e;
    r->ended = true;
    return 0;
}

/* A file of ours: an object with a list of messages that have a role and a text. */
static int read_saved(const char *path, json_t **messages, struct err *e)
{
    struct json_doc d = {0};
    size_t i;
    json_t *m;
    *messages = NULL;
    int rc = json_doc_read(&d, path, MAX_FILE, e);
    if (rc)
        return rc;
    json_t *list_of = json_object_get(d.root, "messages");
    bool good = json_is_array(list_of);
    json_array_foreach(list_of, i, m) good = good && json_is_string(json_object_get(m, "role")) &&
                                             json_is_string(json_object_get(m, "content"));
    if (good)
        *messages = json_incref(list_of);
    else
        rc = err_set(e, ERR_FORMAT, "%s is no conversation that /save wrote", path);
    json_doc_release(&d);
    return rc;
}

static int do_save(struct repl *r, const char *rest, struct err *e)
{
    struct file_writer w;
    json_t *old = NULL;
    if (!*rest)
        return err_set(e, ERR_ARG, "/save needs the path of a file");
    int rc = file_exists(rest) ? read_saved(rest, &old, e) : 0;
    if (rc)
        err_prefix(e, "it is not overwritten");
    json_decref(old);
    if (!rc)
        rc = file_writer_open(&w, rest, e);
    if (rc)
        return rc;
    json_t *all = json_pack("{s:s, s:O}", "model", r->answerer->model->name, "messages",
                            r->answerer->messages);
    char *text = json_dumps(all, JSON_INDENT(2));
    file_writer_write(&w, text, strlen(text));
    file_writer_write(&w, "\n", 1);
    free(text);
    json_decref(all);
    return file_writer_commit(&w, e);
}

static int do_load(struct repl *r, const char *rest, struct err *e)
{
    json_t *messages;
    if (!*rest)
        return err_set(e, ERR_ARG, "/load needs the path of a file");
    int rc = read_saved(rest, &messages, e);
    if (!rc)
        answerer_take_messages(r->answerer, messages);
    return rc;
}

int repl_command(struct repl *r, const char *line, struct err *e)
{
    static const char *const others[][2] = {{"?", "help"}, {"exit", "bye"}, {"quit", "bye"}};
    const char *rest;
    size_t n = first_word(line + 1, &rest);
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
        if (is_word(line + 1, n, others[i][0]))
            return call(r, commands, N_COMMANDS, others[i][1], e);
    char *trimmed = mem_strdup(line + 1);
    for (size_t end = strlen(trimmed); end > 0 && strchr(" \t\n", trimmed[end - 1]);)
        trimmed[--end] = '\0';
    int rc = call(r, commands, N_COMMANDS, trimmed, e);
    free(trimmed);
    return rc;
}
