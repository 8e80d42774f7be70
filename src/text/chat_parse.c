/* chat_parse.c - see chat_parse.h.
 *
 * What is undecided waits in `held`. In every state the parser looks for the markers that may come
 * now; at the first position where one stands complete it acts, at the first where one may still
 * become complete it waits, and what lies in front of either is passed on. White space in front of
 * a marker belongs to the marker.
 */
#include "text/chat_parse.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "text/chat_format.h"
#include "text/jinja.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HELD   ((size_t)16 << 20) /* bytes of one call */
#define MAX_HEADER 256                /* bytes of a harmony header */

enum state {
    IN_CONTENT,
    IN_THINKING,
    IN_CALL,
    IN_HEADER, /* harmony: between <|start|> or <|channel|> and <|message|> */
};

enum act {
    ACT_NONE,
    ACT_THINK,
    ACT_END_THINK,
    ACT_CALL,
    ACT_END_CALL,
    ACT_DROP,
    ACT_HEADER,
    ACT_MESSAGE
};

struct chat_parser {
    struct chat_parser_options o;
    json_t *tools; /* owned; NULL: calls are not looked for */
    struct buf held;
    enum state state;
    int row;                    /* of the thinking or call at hand */
    struct chat_json_scan scan; /* of the call at hand */
    char *recipient;            /* harmony: the tool that is called; owned */
    bool fresh;                 /* no content yet in this answer, or since the thinking or a call */
    bool called;                /* a call ended where the content begins that is fresh */
    bool skip_space;            /* the next white space belongs to the marker before it */
    bool finishing;
};

/* A marker that stands in the text, or may come to stand there. */
struct match {
    enum act act;
    int row;
    size_t at, n;
    bool partial;
};

static void emit_text(struct chat_parser *p, enum chat_event_type type, size_t n)
{
    char *text = mem_strndup(p->held.data ? p->held.data : "", n);
    struct chat_event e = {.type = type, .text = text, .n = n};
    if (n)
        p->o.event(p->o.ctx, &e);
    free(text);
}

static void drop(struct chat_parser *p, size_t n)
{
    if (!n || !p->held.data)
        return;
    memmove(p->held.data, p->held.data + n, p->held.len - n);
    p->held.len -= n;
    p->held.data[p->held.len] = '\0';
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Compares a marker with the text at `at`: 1 it stands there, -1 it may still, 0 no. */
static int compare(const struct chat_parser *p, size_t at, const char *marker)
{
    size_t n = strlen(marker), left = p->held.len - at;
    if (memcmp(p->held.data + at, marker, n < left ? n : left) != 0)
        return 0;
    return left >= n ? 1 : p->finishing ? 0 : -1;
}

static bool try_marker(const struct chat_parser *p, struct match *m, const char *marker,
                       enum act act, int row)
{
    int is = *marker ? compare(p, m->at, marker) : 0;
    if (is) {
        m->act = act;
        m->row = row;
        m->n = strlen(marker);
        m->partial = is < 0;
    }
    return is != 0;
}

static bool try_harmony(const struct chat_parser *p, struct match *m)
{
    if (p->state == IN_HEADER)
        return try_marker(p, m, "<|message|>", ACT_MESSAGE, 0);
    for (int i = 0; chat_harmony_ends[i]; i++)
        if (try_marker(p, m, chat_harmony_ends[i], ACT_HEADER, 0))
            return true;
    return false;
}

/* The markers that may come in content. Thinking begins an answer; markers of it further on are
 * text about them. */
static bool try_openings(const struct chat_parser *p, struct match *m, bool fresh)
{
    for (int i = 0; i < CHAT_CALL_ROWS && p->tools; i++)
        if ((p->o.format.calls >> i & 1) && try_marker(p, m, chat_call_rows[i].open, ACT_CALL, i))
            return true;
    for (int i = 0; i < CHAT_THINKING_ROWS && fresh; i++)
        if ((p->o.format.thinking >> i & 1) &&
            try_marker(p, m, chat_thinking_rows[i].open, ACT_THINK, i))
            return true;
    for (int i = 0; chat_dropped[i] && (p->o.format.thinking >> CHAT_THINKING_COHERE & 1); i++)
        if (try_marker(p, m, chat_dropped[i], ACT_DROP, 0))
            return true;
    for (int i = 0; i < CHAT_CALL_ROWS && p->called && fresh; i++) /* a stray end of a call */
        if ((p->o.format.calls >> i & 1) && strcmp(chat_call_rows[i].close, "```") != 0 &&
            try_marker(p, m, chat_call_rows[i].close, ACT_DROP, 0))
            return true;
    return false;
}

static bool try_all(const struct chat_parser *p, struct match *m, bool fresh)
{
    if (p->o.format.harmony)
        return try_harmony(p, m);
    if (p->state == IN_THINKING)
        return try_marker(p, m, chat_thinking_rows[p->row].close, ACT_END_THINK, p->row);
    return try_openings(p, m, fresh);
}

/* The first marker in what is held. */
static struct match find_marker(const struct chat_parser *p)
{
    struct match m = {.at = p->state == IN_CALL ? p->scan.at : 0};
    bool fresh = p->fresh;
    for (; m.at < p->held.len; m.at++) {
        if (try_all(p, &m, fresh))
            return m;
        fresh = fresh && is_space(p->held.data[m.at]);
    }
    return m;
}

static enum chat_event_type text_type(const struct chat_parser *p)
{
    return p->state == IN_THINKING ? CHAT_THINKING : CHAT_CONTENT;
}

/* Passes on the first n bytes that are held. */
static void pass_on(struct chat_parser *p, size_t n)
{
    for (size_t i = 0; i < n && p->state == IN_CONTENT; i++)
        p->fresh = p->fresh && is_space(buf_str(&p->held)[i]);
    emit_text(p, text_type(p), n);
    drop(p, n);
}

/* Calls */

static void emit_calls(struct chat_parser *p, const struct chat_calls *calls)
{
    for (size_t i = 0; i < calls->n; i++) {
        struct buf b;
        buf_init(&b, 2 * MAX_HELD);
        if (jinja_put_json(&b, calls->v[i].arguments, true, NULL) != 0)
            continue;
        struct chat_event e = {.type = CHAT_CALL,
                               .text = "",
                               .name = calls->v[i].name,
                               .arguments = buf_str(&b),
                               .id = calls->v[i].id};
        p->o.event(p->o.ctx, &e);
        buf_release(&b);
    }
}

static void emit_bad_call(struct chat_parser *p, const char *open, size_t n, const char *why)
{
    struct buf b;
    buf_init(&b, 2 * MAX_HELD);
    buf_append_str(&b, open);
    buf_append(&b, p->held.data ? p->held.data : "", n);
    struct chat_event e = {
        .type = CHAT_BAD_CALL, .text = buf_str(&b), .n = b.len, .why = why ? why : "malformed"};
    p->o.event(p->o.ctx, &e);
    buf_release(&b);
}

/* The body of the call at hand, the first n bytes held, has come to its end. */
static void end_call(struct chat_parser *p, size_t n)
{
    const struct chat_call_marks *row = &chat_call_rows[p->row];
    struct chat_calls calls = {.tools = p->tools};
    bool bare = p->row == CHAT_CALL_BARE;
    bool ok = row->parse(&calls, p->held.data ? p->held.data : "", n);
    for (size_t i = 0; ok && bare && i < calls.n; i++) /* JSON without a marker may be any JSON */
        ok = chat_calls_knows(&calls, calls.v[i].name);
    p->state = IN_CONTENT;
    if (ok) {
        emit_calls(p, &calls);
    } else if (bare) {
        pass_on(p, n);
        chat_calls_release(&calls);
        p->fresh = p->called = false;
        return;
    } else {
        emit_bad_call(p, row->open, n, calls.why);
    }
    chat_calls_release(&calls);
    drop(p, n);
    p->fresh = p->called = p->skip_space = true;
}

static void begin_call(struct chat_parser *p, int row)
{
    p->state = IN_CALL;
    p->row = row;
    p->scan = (struct chat_json_scan){0};
}

/* Where JSON may begin in the body: behind Mistral's name and marks. false: not known yet. */
static bool skip_to_json(struct chat_parser *p)
{
    static const char *const marks[] = {"[ARGS]", "[CALL_ID]"};
    while (!p->scan.begun && p->scan.at < p->held.len) {
        char c = p->held.data[p->scan.at];
        int is = 0;
        for (int i = 0; i < 2 && c == '[' && !is; i++)
            is = compare(p, p->scan.at, marks[i]);
        if (is < 0)
            return false;
        if ((c == '[' || c == '{') && !is)
            return true;
        p->scan.at++;
    }
    return p->scan.begun;
}

/* The end of the call's body in what is held: its marker's length in *mark. false: not yet. */
static bool find_call_end(struct chat_parser *p, size_t *n, size_t *mark)
{
    const struct chat_call_marks *row = &chat_call_rows[p->row];
    *mark = 0;
    *n = p->held.len;
    if (row->end == CHAT_END_JSON) {
        if (!skip_to_json(p) || !chat_json_scan(&p->scan, p->held.data, p->held.len))
            return p->finishing;
        *n = p->scan.at;
        return true;
    }
    for (; row->end == CHAT_END_MARKER && p->scan.at < p->held.len; p->scan.at++) {
        int is = compare(p, p->scan.at, row->close);
        if (is > 0) {
            *n = p->scan.at;
            *mark = strlen(row->close);
            return true;
        }
        if (is < 0)
            return false;
    }
    return p->finishing;
}

/* Does the object that begins the answer look like a call, by its first key? 1 yes, 0 no, -1 not
 * known yet. */
static int looks_like_call(const struct chat_parser *p, size_t at)
{
    static const char *const keys[] = {"name",      "function",  "type", "parameters",
                                       "arguments", "tool_name", "id"};
    const char *s = p->held.data, *end = s + p->held.len;
    const char *q = s + at + 1;
    while (q < end && (is_space(*q) || (s[at] == '[' && *q == '{')))
        q++;
    if (q == end)
        return p->finishing ? 0 : -1;
    if (*q++ != '"')
        return 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        size_t n = strlen(keys[i]), left = (size_t)(end - q);
        if (memcmp(q, keys[i], n < left ? n : left) != 0)
            continue;
        if (left <= n)
            return p->finishing ? 0 : -1;
        if (q[n] == '"')
            return 1;
    }
    return 0;
}

/* An answer that begins with JSON and may be a call: true when it is one, or not known yet. */
static bool try_bare_call(struct chat_parser *p, bool *wait)
{
    size_t at = 0;
    bool between = false;
    *wait = false;
    if (!p->tools || !p->fresh || p->o.format.harmony || !(p->o.format.calls >> CHAT_CALL_BARE & 1))
        return false;
    for (; at < p->held.len; at++) {
        bool semicolon = p->held.data[at] == ';' && p->called; /* Llama's, between calls */
        if (!is_space(p->held.data[at]) && !semicolon)
            break;
        between = between || semicolon;
    }
    if (at == p->held.len)
        *wait = between && !p->finishing;
    if (at == p->held.len || (p->held.data[at] != '{' && p->held.data[at] != '['))
        return *wait;
    int is = looks_like_call(p, at);
    *wait = is < 0;
    if (is > 0)
        begin_call(p, CHAT_CALL_BARE);
    return is != 0;
}

/* Harmony: "analysis", "final", "commentary to=functions.x <|constrain|>json". */
static void begin_message(struct chat_parser *p, size_t n)
{
    static const char to[] = "to=";
    char *header = mem_strndup(p->held.data ? p->held.data : "", n);
    char *recipient = strstr(header, to);
    free(p->recipient);
    p->recipient = NULL;
    if (recipient && p->tools) {
        recipient += sizeof to - 1;
        p->recipient = mem_strndup(recipient, strcspn(recipient, " <\n\r\t"));
        begin_call(p, 0);
    } else {
        p->state = strstr(header, "analysis") ? IN_THINKING : IN_CONTENT;
    }
    free(header);
}

static void end_harmony_call(struct chat_parser *p, size_t n)
{
    struct chat_calls calls = {.tools = p->tools};
    struct buf b;
    json_t *v = json_loadb(p->held.data ? p->held.data : "", n, 0, NULL);
    buf_init(&b, MAX_HELD);
    const char *name = p->recipient;
    if (strncmp(name, "functions.", 10) == 0)
        name += 10;
    if (json_is_object(v) && name[0]) {
        calls.v = mem_alloc(sizeof(*calls.v));
        calls.v[calls.n++] = (struct chat_call){.name = mem_strdup(name),
                                                .arguments = json_incref(v)};
        emit_calls(p, &calls);
    } else {
        buf_printf(&b, "to=%s ", p->recipient);
        emit_bad_call(p, buf_str(&b), n,
                      name[0] ? "the arguments of the call are no JSON object"
                              : "the call names no tool");
    }
    buf_release(&b);
    json_decref(v);
    chat_calls_release(&calls);
    drop(p, n);
}

static void act_on_harmony(struct chat_parser *p, const struct match *m)
{
    p->fresh = false;
    if (m->act == ACT_MESSAGE) {
        begin_message(p, m->at);
        drop(p, m->at + m->n);
        return;
    }
    if (p->state == IN_CALL)
        end_harmony_call(p, m->at);
    else
        pass_on(p, m->at);
    drop(p, m->n);
    p->state = IN_HEADER;
}

/* What stands in front of the marker goes, less its last white space; then the marker acts. */
static void act_on(struct chat_parser *p, const struct match *m)
{
    if (p->o.format.harmony) {
        act_on_harmony(p, m);
        return;
    }
    size_t n = m->at;
    while (n && is_space(p->held.data[n - 1]))
        n--;
    pass_on(p, n);
    drop(p, m->at - n + m->n);
    p->skip_space = m->act != ACT_CALL;
    if (m->act == ACT_THINK) {
        p->state = IN_THINKING;
        p->row = m->row;
    } else if (m->act == ACT_END_THINK) {
        p->state = IN_CONTENT;
        p->fresh = true;
        p->called = false;
    } else if (m->act == ACT_CALL) {
        begin_call(p, m->row);
    }
}

static void skip_space(struct chat_parser *p)
{
    size_t n = 0;
    while (p->skip_space && n < p->held.len && is_space(p->held.data[n]))
        n++;
    drop(p, n);
    p->skip_space = p->skip_space && !p->held.len;
}

/* Text in front of what may become a marker. Thinking and content in front of markers lose their
 * last white space, so that waits too. */
static bool text_step(struct chat_parser *p)
{
    bool wait;
    skip_space(p);
    if (p->state == IN_CONTENT && try_bare_call(p, &wait))
        return !wait;
    struct match m = find_marker(p);
    bool too_long = p->state == IN_HEADER && m.at > MAX_HEADER;
    if (m.act && !m.partial && !too_long) {
        act_on(p, &m);
        return true;
    }
    if (p->state == IN_HEADER) {
        if (p->finishing && !too_long && !p->fresh) /* the answer was cut short in it */
            drop(p, p->held.len);
        if (too_long || p->finishing) /* no header after all */
            p->state = IN_CONTENT;
        return p->state == IN_CONTENT && p->held.len > 0;
    }
    if (p->state == IN_CALL) { /* of harmony: up to its end */
        p->scan.at = m.at;
        return false;
    }
    size_t n = m.at;
    while (n && is_space(p->held.data[n - 1]) && !p->finishing && !p->o.format.harmony)
        n--;
    pass_on(p, n);
    return false;
}

/* true: more can be done with what is held. */
static bool step(struct chat_parser *p)
{
    size_t n, mark;
    if (p->state != IN_CALL || p->o.format.harmony)
        return text_step(p);
    if (!find_call_end(p, &n, &mark))
        return false;
    bool known = p->row != CHAT_CALL_BARE;
    end_call(p, n);
    drop(p, known ? mark : 0);
    return p->held.len > 0;
}

static int run(struct chat_parser *p, struct err *e)
{
    while (!buf_failed(&p->held) && step(p))
        ;
    return buf_failed(&p->held)
               ? err_set(e, ERR_NOMEM, "a tool call of the model is longer than %zu MB",
                         MAX_HELD >> 20)
               : 0;
}

/* Does the prompt end inside of thinking? */
static void continue_prompt(struct chat_parser *p)
{
    size_t n = p->o.prompt_n;
    while (n && is_space(p->o.prompt[n - 1]))
        n--;
    for (int i = 0; i < CHAT_THINKING_ROWS; i++) {
        size_t k = strlen(chat_thinking_rows[i].open);
        if ((p->o.format.thinking >> i & 1) && n >= k &&
            memcmp(p->o.prompt + n - k, chat_thinking_rows[i].open, k) == 0) {
            p->state = IN_THINKING;
            p->row = i;
            p->skip_space = true;
        }
    }
}

struct chat_parser *chat_parser_new(const struct chat_parser_options *o)
{
    struct chat_parser *p = mem_alloc(sizeof(*p));
    p->o = *o;
    p->tools = json_array_size(o->tools) ? json_incref((json_t *)o->tools) : NULL;
    p->fresh = true;
    buf_init(&p->held, MAX_HELD);
    if (o->format.harmony)
        p->state = IN_HEADER;
    else if (o->prompt)
        continue_prompt(p);
    p->o.prompt = NULL;
    return p;
}

void chat_parser_free(struct chat_parser *p)
{
    if (!p)
        return;
    json_decref(p->tools);
    buf_release(&p->held);
    free(p->recipient);
    free(p);
}

int chat_parser_push(struct chat_parser *p, const char *text, size_t n, struct err *e)
{
    buf_append(&p->held, text, n);
    return run(p, e);
}

int chat_parser_finish(struct chat_parser *p, struct err *e)
{
    p->finishing = true;
    int rc = run(p, e);
    if (!rc && p->state == IN_CALL && p->o.format.harmony)
        end_harmony_call(p, p->held.len);
    return rc;
}

bool chat_parser_is_thinking(const struct chat_parser *p)
{
    return p->state == IN_THINKING;
}
