#!/usr/bin/env python3
"""JSON Schemas with texts that are valid and texts that are not, by the package `jsonschema`.

Writes tests/data/text/json_schemas.json: [{"schema": ..., "yes": [text], "no": [text]}].

What is written here keeps to the rules of src/text/json_schema.h (properties in the schema's order,
`type` and `additionalProperties` given, plain numbers), so that a text has to fit the grammar if, and
only if, it is valid.
"""
import json
import random
import sys

import jsonschema

CHECKER = jsonschema.Draft202012Validator.FORMAT_CHECKER

STRINGS = ["", "a", "ab", "abc", "hello world", "x" * 12, "é", "日本語", "😀", 'q"uote', "back\\slash",
           "line\nbreak", "123", "a1", "true", "tab\t", "A-1", "/path", "aé😀b"]
NUMBERS = [0, 1, -1, 2, 3, 5, 7, 10, 42, 99, 100, 101, 150, 255, 999, 1000, 12345, -7, -10, -42, -100,
           0.5, -0.5, 1.5, 2.25, -2.25, 3.14159, 99.99, 100.5, 0.001, -0.001, 0.1, 12.75]

HAND = [
    (True, [1, "a", None, [], {}, {"a": [1, {"b": False}]}]),
    ({"type": "object"}, [{}, {"a": 1}, {"a": {"b": [None]}}, [], 1, "x"]),
    ({"type": "null"}, [None, False, 0, ""]),
    ({"type": "boolean"}, [True, False, None, 0, "true"]),
    ({"type": ["integer", "null"]}, [1, None, 1.5, "1"]),
    ({"enum": ["red", "green", 3, None, True, [1, 2], {"a": "b"}]},
     ["red", "green", "blue", 3, 4, None, True, False, [1, 2], [2, 1], {"a": "b"}, {"a": "c"}]),
    ({"type": "string", "enum": ["a", "b", 1]}, ["a", "b", "c", 1]),
    ({"const": "x\ty\"z\\"}, ["x\ty\"z\\", "x"]),
    ({"const": {"a": [1.5, None]}}, [{"a": [1.5, None]}, {"a": [1.5]}]),
    ({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
     [[], ["a"], ["a", 1], ["a", 1, 2], [1], [1, "a"]]),
    ({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}],
      "items": {"type": "boolean"}, "minItems": 1, "maxItems": 4},
     [[], ["a"], ["a", 1], ["a", 1, True], ["a", 1, True, False], ["a", 1, True, False, True], ["a", 1, 2]]),
    ({"type": "array", "prefixItems": [{"type": "null"}], "minItems": 3},
     [[None], [None, 1, 2], [None, "a", []], [1, 2, 3]]),
    ({"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 2}]}, [1, "ab", "abc", None]),
    ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, [1, "a", None, 1.5]),
    ({"oneOf": [{"type": "object", "properties": {"kind": {"const": "a"}, "x": {"type": "integer"}},
                 "required": ["kind", "x"], "additionalProperties": False},
                {"type": "object", "properties": {"kind": {"const": "b"}, "y": {"type": "string"}},
                 "required": ["kind"], "additionalProperties": False}]},
     [{"kind": "a", "x": 1}, {"kind": "b", "y": "s"}, {"kind": "b"}, {"kind": "a"}, {"kind": "c"},
      {"kind": "b", "x": 1}]),
    ({"allOf": [{"type": "integer", "minimum": 3}, {"type": "number", "maximum": 8}]}, [2, 3, 8, 9, 4.5]),
    ({"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]}],
      "additionalProperties": True},
     [{"a": 1, "b": "x"}, {"a": 1}, {"b": "x"}, {"a": "x", "b": "x"}]),
    ({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
      "additionalProperties": False, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
     [{}, {"a": 1}, {"b": 1}, {"a": 1, "b": 2}]),
    ({"type": "integer", "anyOf": [{"maximum": 5}, {"minimum": 10}], "allOf": [{"minimum": 2}]},
     [1, 2, 5, 6, 9, 10, 11]),
    ({"$ref": "#/$defs/list", "$defs": {"list": {"type": "object", "additionalProperties": False,
      "properties": {"v": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/list"}, {"type": "null"}]}},
      "required": ["v", "next"]}}},
     [{"v": 1, "next": None}, {"v": 1, "next": {"v": 2, "next": None}}, {"v": 1}, {"v": 1, "next": {"v": "x"}}]),
    ({"type": "array", "items": {"$ref": "#"}}, [[], [[], [[]]], [1], {}]),
    ({"definitions": {"a/b": {"type": "integer"}, "c~d": {"type": "string"}}, "type": "array",
      "prefixItems": [{"$ref": "#/definitions/a~1b"}, {"$ref": "#/definitions/c~0d"}], "minItems": 2,
      "items": False}, [[1, "a"], ["a", 1]]),
    ({"type": "object", "patternProperties": {"^s_": {"type": "string"}}, "additionalProperties": False},
     [{}, {"s_a": "x"}, {"s_a": 1}, {"t": "x"}, {"s_": "", "s_b": "y"}]),
    ({"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 2},
     [{}, {"a": 1}, {"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}, {"a": "x"}]),
    ({"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1},
     [{}, {"a": 1}, {"a": 1, "b": 2}]),
    ({"type": "object", "properties": {"foo": {"type": "string"}, "for": {"type": "null"}, "f\"q": {"type": "null"}},
      "additionalProperties": {"type": "integer"}, "required": ["for"]},
     [{"for": None}, {"foo": "a", "for": None}, {"for": None, "fo": 1, "fork": 2, "x": 3}, {"for": 1},
      {"for": None, "fo": "x"}, {"for": None, "f": 1, "": 2}, {"for": None, "f\"q": None},
      {"for": None, "f\"qq": 1}, {"for": None, "é": 5}]),
    ({"type": "object", "properties": {"a": False, "b": {"type": "integer"}}, "additionalProperties": True},
     [{"b": 1}, {"a": 1}, {"b": 1, "c": "x"}]),
    ({"type": "object", "required": ["a", "b"], "additionalProperties": {"type": "integer"}},
     [{"a": 1, "b": 2}, {"a": 1}, {"a": 1, "b": "x"}, {"a": 1, "b": 2, "c": 3}]),
    ({"type": "integer", "minimum": -9007199254740991, "maximum": 9007199254740991}, [0, -5, 123456789012345]),
]

PATTERNS = [
    ("^[a-c]+$", ["a", "abc", "d", "", "abcd"]), ("^a.c$", ["abc", "a\"c", "a\\c", "ac", "aéc"]),
    ("b", ["b", "abc", "ac", ""]), ("^x", ["x", "xyz", "ax"]), ("z$", ["z", "xyz", "za"]),
    ("^(foo|bar)?$", ["", "foo", "bar", "foobar"]), ("^\\d{3}-\\d{4}$", ["123-4567", "1234567", "123-456"]),
    ("^\\w+@\\w+\\.com$", ["a@b.com", "a@bxcom", "@b.com"]), ("^[^\\s]+$", ["ab", "a b", "é"]),
    ("^(a|b(c|d)*){2}$", ["aa", "abcd", "bb", "a", "bcdcd"]), ("^a|b$", ["ax", "xb", "x", "a", "b"]),
    ("^\\\\\"\\n$", ["\\\"\n", "\\"]), ("^[\\u00e0-\\u00ff]{1,2}$", ["é", "éé", "e", "ééé"]),
    ("^\\x41\\u0042$", ["AB", "A"]), ("^(?:ab)+?c{2,}$", ["abcc", "ababccc", "abc"]),
    ("^[\\d\\-.]+$", ["1-2.3", "a"]), ("^\\$\\^\\*$", ["$^*", "x"]), ("^[A-Z]{2,5}[0-9]*$", ["AB", "A", "ABC12", "ABCDEF"]),
    ("^[\"\\\\]*$", ["\"\\\"", "", "a"]),
]

FORMATS = {
    "date": ["2024-02-29", "2023-02-29", "2000-02-29", "1900-02-29", "2024-12-31", "2024-13-01", "2024-04-31",
             "2024-1-1", "20240101"],
    "time": ["12:00:00Z", "23:59:59.123456+01:00", "24:00:00Z", "12:60:00Z", "12:00:00"],
    "date-time": ["2024-02-29T12:00:00Z", "2024-02-30T12:00:00Z", "2024-05-05T01:02:03.5-08:00", "2024-05-05"],
    "uuid": ["123e4567-e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-42661417400", "x"],
    "ipv4": ["127.0.0.1", "255.255.255.255", "256.0.0.1", "1.2.3", "01.2.3.4"],
    "ipv6": ["::1", "2001:db8::8a2e:370:7334", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:9", "::", "1::2::3", "12345::",
             "1:2:3:4:5:6:7::", "fe80::1:2"],
    "email": ["a@b.com", "joe.bloggs@example.com", "no-at"],
    "hostname": ["example.com", "a-b.c", "-bad.com", "a"],
    "uri": ["http://example.com/a?b=c#d", "ftp://x/%20", "not a uri", "http://a b"],
    "uri-reference": ["/a/b?c=d#e", "a/b", "", "http://x.y/z", "http://a b", "\\\\x"],
    "iri": ["http://example.com/", "no iri"],
    "json-pointer": ["", "/a/b", "/a~0b/~1", "/a~2", "a"],
    "duration": ["P1D", "PT1H30M", "P1Y2M3D", "P2W", "P", "PT", "1D", "P1DT12H"],
}


def rand_number_schema(r, integer):
    s = {"type": "integer" if integer else "number"}
    pool = [n for n in NUMBERS if not integer or isinstance(n, int)]
    if r.random() < 0.7:
        s[r.choice(["minimum", "exclusiveMinimum"])] = r.choice(NUMBERS if r.random() < 0.3 else pool)
    if r.random() < 0.7:
        s[r.choice(["maximum", "exclusiveMaximum"])] = r.choice(NUMBERS if r.random() < 0.3 else pool)
    return s


def rand_schema(r, depth):
    kind = r.choice(["null", "boolean", "integer", "number", "string", "string", "enum", "array", "object", "object",
                     "any_of"] if depth > 0 else ["boolean", "integer", "number", "string", "enum"])
    if kind in ("integer", "number"):
        s = rand_number_schema(r, kind == "integer")
        return s if any(map(jsonschema.Draft202012Validator(s).is_valid, NUMBERS)) else {"type": kind}
    if kind == "string":
        s = {"type": "string"}
        if r.random() < 0.5:
            s["minLength"] = r.randint(0, 3)
        if r.random() < 0.5:
            s["maxLength"] = r.randint(3, 12)
        return s
    if kind == "enum":
        return {"enum": r.sample(STRINGS, 3) + r.sample(NUMBERS, 2)}
    if kind == "array":
        s = {"type": "array", "items": rand_schema(r, depth - 1)}
        if r.random() < 0.5:
            s["minItems"] = r.randint(0, 2)
        if r.random() < 0.5:
            s["maxItems"] = r.randint(2, 4)
        return s
    if kind == "object":
        names = r.sample(["a", "ab", "b", "name", "x y", "é", "q\"", "id"], r.randint(0, 4))
        s = {"type": "object", "properties": {n: rand_schema(r, depth - 1) for n in names},
             "required": [n for n in names if r.random() < 0.5],
             "additionalProperties": r.choice([False, False, True, {"type": "integer"}])}
        return s
    if kind == "any_of":
        return {"anyOf": [rand_schema(r, depth - 1) for _ in range(r.randint(1, 3))]}
    return {"type": kind}


def rand_value(r, depth):
    k = r.random()
    if k < 0.3:
        return r.choice(STRINGS)
    if k < 0.6 or depth == 0:
        return r.choice(NUMBERS)
    if k < 0.7:
        return r.choice([None, True, False])
    if k < 0.85:
        return [rand_value(r, depth - 1) for _ in range(r.randint(0, 3))]
    return {r.choice(["a", "ab", "b", "name", "z"]): rand_value(r, depth - 1) for _ in range(r.randint(0, 3))}


def instance(r, s, depth=4):
    """A value that is often valid."""
    if s is True or depth == 0 or r.random() < 0.04:
        return rand_value(r, 2)
    if "enum" in s:
        return r.choice(s["enum"])
    if "anyOf" in s:
        return instance(r, r.choice(s["anyOf"]), depth - 1)
    t = s["type"]
    if t == "null":
        return None
    if t == "boolean":
        return r.random() < 0.5
    if t in ("integer", "number"):
        lo = s.get("minimum", s.get("exclusiveMinimum", -60))
        hi = s.get("maximum", s.get("exclusiveMaximum", 60))
        v = r.choice([lo, hi, r.uniform(lo, hi) if lo < hi else lo, lo + 1, hi - 1, lo - 1, r.choice(NUMBERS)])
        return round(v) if t == "integer" else round(v, r.randint(0, 6)) + 0.0
    if t == "string":
        v = r.choice(STRINGS)
        return v[:s["maxLength"]] if r.random() < 0.8 and "maxLength" in s else v
    if t == "array":
        return [instance(r, s["items"], depth - 1) for _ in range(r.randint(s.get("minItems", 0), s.get("maxItems", 3) + 1) if
                s.get("minItems", 0) <= s.get("maxItems", 3) + 1 else 0)]
    out = {}
    for n, p in s["properties"].items():
        if n in s["required"] or r.random() < 0.5:
            if r.random() > 0.03:
                out[n] = instance(r, p, depth - 1)
    if r.random() < 0.3:
        n = r.choice(["z", "abc", "na", "extra", "nam\"e", "日"])
        if n not in s["properties"]:
            out[n] = r.choice(NUMBERS[:12])
    return out


def texts(r, schema, v):
    """The same value, written differently; names, constants and patterns have one spelling."""
    raw = any(k in json.dumps(schema) for k in ("enum", "const", "pattern", "\\u00e9")) or "\\u65e5" in json.dumps(v)
    style = r.choice([{}, {"separators": (",", ":")}, {"indent": 2}, {"indent": "\t"}])
    return json.dumps(v, ensure_ascii=not raw and r.random() < 0.5, **style)


def plain(v):
    """Only what the grammar's rules for numbers and free names can write."""
    if isinstance(v, float):
        return "e" not in repr(v) and len(repr(v)) <= 16
    if isinstance(v, list):
        return all(map(plain, v))
    return all(map(plain, v.values())) if isinstance(v, dict) else True


def case(r, schema, values):
    validator = jsonschema.Draft202012Validator(schema, format_checker=CHECKER)
    yes, no = [], []
    for v in values:
        if not plain(v):
            continue
        list_ = yes if validator.is_valid(v) else no
        text = texts(r, schema, v)
        if text not in list_:
            list_.append(text)
    return {"schema": schema, "yes": yes, "no": no}


def main(path):
    r = random.Random(5)
    out = [case(r, s, v) for s, v in HAND]
    out += [case(r, {"type": "string", "pattern": p}, v + [1]) for p, v in PATTERNS]
    out += [case(r, {"type": "string", "format": f}, v + [1]) for f, v in FORMATS.items()]
    for _ in range(120):
        s = rand_number_schema(r, r.random() < 0.5)
        lo = s.get("minimum", s.get("exclusiveMinimum", -200))
        hi = s.get("maximum", s.get("exclusiveMaximum", 200))
        near = [b + d for b in (lo, hi) for d in (0, 1, -1, 0.5, -0.5, 0.001, -0.001, 0.25)]
        values = [round(v, 6) for v in near + NUMBERS]
        if s["type"] == "integer":  # 1.0 is an integer to jsonschema, but is never written here
            values = [int(v) for v in values if v == int(v)]
        else:
            values = [v if v != int(v) else int(v) for v in values]
        out.append(case(r, s, values))
    while len(out) < 520:
        s = rand_schema(r, 3)
        values = [instance(r, s) for _ in range(12)] + [rand_value(r, 2)]
        values = [v for v in values if not has_whole_float(v)]
        out.append(case(r, s, values))
    with open(path, "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in out) + "\n]\n")
    print(len(out), "schemas,", sum(len(c["yes"]) for c in out), "valid,", sum(len(c["no"]) for c in out), "not")


def has_whole_float(v):
    """1.0 where an integer is wanted is valid to jsonschema."""
    if isinstance(v, float):
        return v == int(v)
    if isinstance(v, (list, dict)):
        return any(map(has_whole_float, v.values() if isinstance(v, dict) else v))
    return False


main(sys.argv[1] if len(sys.argv) > 1 else "tests/data/text/json_schemas.json")
