/* jinja.h - the template language of chat templates.
 *
 * What jinja2 3.1 renders in the environment of transformers' apply_chat_template() is rendered to
 * the same bytes: ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True) without
 * autoescaping, the extensions loopcontrols and {% generation %}, raise_exception(),
 * strftime_now(), and json.dumps() behind the filter tojson.
 *
 *     text --jinja_lex--> tokens --jinja_parse--> nodes --jinja_exec, jinja_eval--> text
 *
 * There are no other templates to load, so extends, include and import are errors; so are integers
 * beyond 64 bits. A template is untrusted: steps, memory, nesting and output are bounded.
 * Language: https://jinja.palletsprojects.com/en/stable/templates/
 */
#ifndef LAR_TEXT_JINJA_H
#define LAR_TEXT_JINJA_H

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct err;
struct jinja;
struct json_t; /* jansson.h */
struct tm;

#define JINJA_MAX_SOURCE ((size_t)4 << 20) /* bytes of a template */
#define JINJA_MAX_STEPS  20000000          /* evaluated nodes and touched items of one rendering */
#define JINJA_MAX_HEAP   ((size_t)256 << 20) /* bytes of values of one rendering */

/* Parses a template of UTF-8. Errors are ERR_FORMAT and name the line. Once parsed, a template may
 * be rendered by several threads at once. */
int jinja_parse(struct jinja **j, const char *source, size_t n, struct err *e);
void jinja_free(struct jinja *j);

/* Whether the template's code mentions this name: as a variable, an attribute or a string. */
int jinja_mentions(const struct jinja *j, const char *name);

/* Appends the rendering with these variables (a JSON object; borrowed) to `out`, whose maximum
 * bounds the output. `now` is the time that strftime_now() tells; NULL is the local time. What the
 * template itself refuses with raise_exception() is ERR_ARG with its message, every other fault
 * ERR_FORMAT; both name the line. */
int jinja_render(const struct jinja *j, const struct json_t *variables, const struct tm *now,
                 struct buf *out, struct err *e);

/* Appends a JSON value as json.dumps() writes it, without the blanks where `compact`. */
int jinja_put_json(struct buf *out, const struct json_t *v, bool compact, struct err *e);

#endif
