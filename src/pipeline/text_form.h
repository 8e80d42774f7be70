/* text_form.h - what an answer must look like: a grammar over a model's vocabulary.
 *
 * A form belongs to one request at a time; text_form_reset() makes it ready for the next one and
 * keeps what it has learned.
 */
#ifndef LAR_PIPELINE_TEXT_FORM_H
#define LAR_PIPELINE_TEXT_FORM_H

#include <stddef.h>

struct constraint;
struct err;
struct grammar;
struct text_model;
struct json_t; /* jansson.h */

/* A zeroed one is no form. The model is borrowed. */
struct text_form {
    struct grammar *grammar;       /* owned, as the constraint */
    struct constraint *constraint; /* for struct generate_request; NULL: none */
};

/* By a GBNF grammar: ERR_FORMAT names its line. The caller releases `f` in every case. */
int text_form_gbnf(struct text_form *f, struct text_model *m, const char *text, size_t n,
                   struct err *e);
/* By a JSON Schema; NULL: any JSON object. */
int text_form_json(struct text_form *f, struct text_model *m, const struct json_t *schema,
                   struct err *e);
void text_form_reset(struct text_form *f);
void text_form_release(struct text_form *f);

#endif
