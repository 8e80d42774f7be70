/* jinja_ast.h - a parsed template as nodes. Private to the interpreter. */
#ifndef LAR_TEXT_JINJA_AST_H
#define LAR_TEXT_JINJA_AST_H

#include "base/map.h"
#include "text/jinja_value.h"

struct jinja_node;

struct jinja_nodes {
    struct jinja_node **v;
    size_t n, cap;
};

enum jinja_kind {
    /* Expressions. */
    JN_CONST,   /* value */
    JN_NAME,    /* name */
    JN_TUPLE,   /* list */
    JN_LIST,    /* list */
    JN_DICT,    /* list: key, value, key, value */
    JN_COND,    /* a if b else c (or NULL) */
    JN_OR,      /* a or b */
    JN_AND,     /* a and b */
    JN_NOT,     /* not a */
    JN_COMPARE, /* a, then list of JN_OPERAND: op, a */
    JN_OPERAND,
    JN_BINARY,  /* a op b */
    JN_CONCAT,  /* list, joined by ~ */
    JN_NEGATE,  /* -a */
    JN_PLUS,    /* +a */
    JN_ATTR,    /* a.name */
    JN_ITEM,    /* a[b] */
    JN_SLICE,   /* a:b:c as the b of JN_ITEM; each may be NULL */
    JN_CALL,    /* a(list) */
    JN_FILTER,  /* a|name(list); a is NULL in front of a block */
    JN_TEST,    /* a is name(list) */
    JN_KEYWORD, /* an argument: name=a */
    JN_STAR,    /* an argument: *a */
    JN_STARS,   /* an argument: **a */
    JN_NSREF,   /* a target: name.attr, the attribute in `value` */

    /* Statements. */
    JN_DATA,         /* value */
    JN_PRINT,        /* list */
    JN_SET,          /* a = b */
    JN_SET_BLOCK,    /* a = body, through the filter b or NULL */
    JN_FOR,          /* for a in b if c: body, else other; op: recursive */
    JN_IF,           /* list of JN_BRANCH */
    JN_BRANCH,       /* if a (NULL: else): body */
    JN_MACRO,        /* name, list of parameters, body, op: JINJA_USES_* */
    JN_PARAM,        /* name, default a or NULL */
    JN_CALL_BLOCK,   /* a: the call, list of parameters, body */
    JN_FILTER_BLOCK, /* a: filters, body */
    JN_WITH,         /* list of JN_SET, body */
    JN_SCOPE,        /* body */
    JN_BREAK,
    JN_CONTINUE
};

enum { JINJA_USES_CALLER = 1, JINJA_USES_KWARGS = 2, JINJA_USES_VARARGS = 4 };
enum { JINJA_IN = 512, JINJA_NOT_IN }; /* comparisons beside jinja_operator */

struct jinja_node {
    enum jinja_kind kind;
    int line;
    int op;
    const char *name;                 /* interned: the same name is the same pointer */
    const struct jv_builtin *builtin; /* of a filter or test; NULL: there is none of this name */
    struct jinja_node *a, *b, *c;
    struct jinja_nodes list, body, other;
    struct jv value;
};

/* Immutable once parsed. */
struct jinja {
    struct arena arena;
    struct map names; /* interned -> the same pointer */
    struct jinja_nodes body;
};

#endif
