/* json_schema.h - a JSON Schema as a grammar: whatever fits the grammar is valid.
 *
 * The reverse holds but for how JSON may be written, and for what a model should not be lured into:
 *   - white space stands after { [ , : and before } ], and is short: nothing, one blank, or line
 *     breaks with indentation;
 *   - properties come in the schema's order, then additional ones. As in llama.cpp an object whose
 *     schema lists properties has no others unless `additionalProperties` says so;
 *   - numbers have at most 16 digits before and after the point, and no exponent where they have
 *     bounds; strings of `enum` and `const`, and names of properties, are written in one way;
 *   - a schema without `type` means the types that its keywords are about;
 *   - branches of `oneOf` must be told apart by type, by constants, or by a property with different
 *     constants, which is then required.
 *
 * Supported: type, enum, const, properties, required, additionalProperties, patternProperties
 * (alone), minProperties, maxProperties, items, prefixItems, additionalItems, minItems, maxItems,
 * minLength, maxLength, pattern, format (those of the specification but regex and
 * relative-json-pointer; OpenAPI's byte, binary and password), minimum, maximum, exclusiveMinimum,
 * exclusiveMaximum, anyOf, oneOf, allOf, and $ref within the schema. Annotations are ignored; any
 * other keyword is an error that names it.
 *
 * Sources: json-schema.org, draft 2020-12 (and draft-07's items, definitions); RFC 3339 and others
 * for formats.
 */
#ifndef LAR_TEXT_JSON_SCHEMA_H
#define LAR_TEXT_JSON_SCHEMA_H

struct buf;
struct err;
struct grammar;
struct json_t;

#define JSON_SCHEMA_MAX_RULES 20000
#define JSON_SCHEMA_MAX_DEPTH 64

/* Any JSON object: what OpenAI calls json_object and Ollama "json". */
#define JSON_SCHEMA_ANY_OBJECT "{\"type\":\"object\"}"

/* Appends the grammar as GBNF. ERR_UNSUPPORTED names a keyword and where it stands ("#/items"),
 * ERR_FORMAT what is wrong there, also when nothing could be valid or the schema grows too large.
 */
int json_schema_to_gbnf(const struct json_t *schema, struct buf *out, struct err *e);

int grammar_from_json_schema(struct grammar **g, const struct json_t *schema, struct err *e);

#endif
