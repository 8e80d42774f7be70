/* chat_calls.h - the texts of tool calls, in the many ways models write them. Private to
 * chat_parse.c.
 */
#ifndef LAR_TEXT_CHAT_CALLS_H
#define LAR_TEXT_CHAT_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t;

struct chat_call {
    char *name;               /* owned */
    char *id;                 /* owned; NULL: none */
    struct json_t *arguments; /* owned; an object */
};

struct chat_calls {
    struct chat_call *v; /* owned */
    size_t n;
    const struct json_t *tools; /* borrowed; types of parameters */
    const char *why;            /* what is wrong when a parser returned false */
};

void chat_calls_release(struct chat_calls *c);
bool chat_calls_knows(const struct chat_calls *c, const char *name); /* among the tools? */

/* Each takes the text between the markers, appends the calls in it and returns true, or false when
 * it is malformed. */
typedef bool chat_calls_fn(struct chat_calls *c, const char *p, size_t n);

chat_calls_fn chat_calls_json;     /* {"name", "arguments"}, several or a list of them */
chat_calls_fn chat_calls_keyed;    /* [{name: arguments}] */
chat_calls_fn chat_calls_tagged;   /* JSON, <function=...> or name<arg_key>...: <tool_call> */
chat_calls_fn chat_calls_function; /* name>{json} or name><parameter=x>v</parameter> */
chat_calls_fn chat_calls_mistral;  /* [{...}], or name[CALL_ID]id[ARGS]{...} */
chat_calls_fn
    chat_calls_deepseek;         /* <call begin>function<sep>name\n```json\n{...}\n```<call end> */
chat_calls_fn chat_calls_kimi;   /* <begin>functions.name:0<argument begin>{...}<end> */
chat_calls_fn chat_calls_solar;  /* <call:begin>id<call:name>name<call:args>{...}<call:end> */
chat_calls_fn chat_calls_invoke; /* <invoke name="x"><parameter name="y">v</parameter></invoke> */
chat_calls_fn chat_calls_python; /* f(a=1), [f(a=1), g()], f.call(a=1) */
chat_calls_fn chat_calls_llama;  /* JSON or Python */
chat_calls_fn chat_calls_gemma;  /* call:name{key:value} */

/* Where the JSON value that begins at p ends, or NULL; with `begun` at the start of a scan. */
struct chat_json_scan {
    size_t at; /* bytes looked at */
    int depth;
    bool begun, in_text, escaped;
};
/* Looks at what was added since; true: the value ends at s->at. */
bool chat_json_scan(struct chat_json_scan *s, const char *p, size_t n);

#endif
