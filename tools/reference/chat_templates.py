"""Writes tests/data/text/chat_templates.json: what transformers renders from every chat template of
the shared data, and tests/data/text/jinja_cases.json: what it renders from the snippets below.

    python tools/reference/chat_templates.py SHARED_DATA_FOLDER [DUMP_FOLDER]

Of the templates only hashes are stored: per conversation six words, for add_generation_prompt off
and on, each with enable_thinking absent, true and false. A word is the beginning of the SHA-256 of
the text, "=" (the word before it again), "!n" (the template refused with message n) or "?" (another
error). With DUMP_FOLDER the texts themselves are written there, to see what differs.
"""

import datetime
import glob
import hashlib
import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
import jinja2  # noqa: E402
from jinja_snippets import DATA, SNIPPETS  # noqa: E402
from transformers.utils import chat_template_utils as reference  # noqa: E402

OUT = os.path.join(os.path.dirname(__file__), "../../tests/data/text")
NOW = datetime.datetime(2026, 3, 7, 9, 5, 2)


class FixedDate(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


reference.datetime = FixedDate


def user(content):
    return {"role": "user", "content": content}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


def call(name, arguments, number=0):
    return {"id": f"call{number:05d}", "type": "function", "function": {"name": name, "arguments": arguments}}


def result(content, number=0, **more):
    return {"role": "tool", "tool_call_id": f"call{number:05d}", "content": content, **more}


SYSTEM = {"role": "system", "content": "You are Lar, the spirit of the house.\nBe brief & <kind>."}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Tells the weather of a \"place\" <today> & tomorrow.",
            "parameters": {
                "type": "object",
                "properties": {
                    "place": {"type": "string", "description": "A city, e.g. Köln"},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                    "days": {"type": "integer", "description": "How many", "minimum": 1, "maximum": 7},
                },
                "required": ["place"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "search",
            "description": "Searches.",
            "parameters": {
                "type": "object",
                "properties": {
                    "query": {"type": "string", "description": "Words"},
                    "tags": {"type": "array", "items": {"type": "string"}, "description": "Tags"},
                    "range": {
                        "type": "object",
                        "description": "From and to",
                        "properties": {"from": {"type": "number"}, "to": {"type": ["number", "null"]}},
                        "required": ["from"],
                    },
                    "exact": {"type": "boolean"},
                    "any": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                },
                "required": ["query", "tags"],
            },
            "return": {"type": "string", "description": "The result"},
        },
    },
    {"type": "function", "function": {"name": "now", "description": "The time", "parameters": {"type": "object", "properties": {}}}},
]
NESTED = {"query": "Grüße \"an\" 東京\n", "tags": ["a", "b'c"], "range": {"from": 1.5, "to": None}, "exact": True, "limit": 10}
PICTURE = {"type": "image", "image": "x.png"}


def parts(*texts):
    return [{"type": "text", "text": t} for t in texts]


CONVERSATIONS = {
    "user": {"messages": [user("Hello, who are you?")]},
    "system": {"messages": [SYSTEM, user("  Hi!\n")]},
    "turns": {
        "messages": [
            SYSTEM,
            user("What is 2+2?"),
            assistant("It is **4**.\n\n"),
            user("Schön – and in 日本語? 🙂 'quoted' \"text\""),
            assistant("四です。"),
            user("<|im_end|> thanks {{ x }}"),
        ]
    },
    "no system": {"messages": [user("a"), assistant("b"), user("c")]},
    "ends with assistant": {"messages": [user("Tell me a story"), assistant("Once upon")]},
    "tools": {"messages": [SYSTEM, user("How is the weather in Köln?")], "tools": TOOLS},
    "tool result": {
        "messages": [
            SYSTEM,
            user("Weather?"),
            assistant("", tool_calls=[call("get_weather", {"place": "Köln", "days": 2})]),
            result("{\"temp\": 21.5, \"sky\": \"<clear>\"}", name="get_weather"),
        ],
        "tools": TOOLS,
    },
    "tool turns": {
        "messages": [
            user("Weather?"),
            assistant("Let me look.", tool_calls=[call("get_weather", {"place": "Paris", "unit": "celsius"}, 1)]),
            result("21", 1, name="get_weather"),
            assistant("It is 21 degrees."),
            user("And search that"),
            assistant(None, tool_calls=[call("search", NESTED, 2), call("now", {}, 3)]),
            result("nothing\nfound", 2, name="search"),
            result("12:00", 3, name="now"),
            assistant("Nothing was found."),
            user("Thanks"),
        ],
        "tools": TOOLS,
    },
    "arguments as text": {
        "messages": [
            user("Weather?"),
            assistant("", tool_calls=[call("get_weather", "{\"place\": \"Rome\", \"days\": 3}", 4)]),
            result("fine", 4, name="get_weather"),
            assistant("Fine."),
            user("Good"),
        ],
        "tools": TOOLS,
    },
    "calls without tools": {
        "messages": [
            user("Weather?"),
            assistant("", tool_calls=[call("get_weather", {"place": "Oslo"}, 5)]),
            result("cold", 5, name="get_weather"),
        ]
    },
    "reasoning": {
        "messages": [
            SYSTEM,
            user("17*23?"),
            assistant("391", reasoning_content="17*23 = 17*20 + 17*3\n= 391"),
            user("Sure?"),
        ]
    },
    "thinking in text": {
        "messages": [
            user("17*23?"),
            assistant("<think>\n340 + 51\n</think>\n\n391"),
            user("Again"),
            assistant("<think>hm</think>391 still"),
            user("Ok"),
        ]
    },
    "reasoning and tools": {
        "messages": [
            user("Weather?"),
            assistant("", reasoning_content="I must look.", tool_calls=[call("get_weather", {"place": "Bonn"}, 6)]),
            result("rain", 6, name="get_weather"),
            assistant("Rain.", reasoning_content="It said rain."),
            user("And now?"),
            assistant("", reasoning_content="Look again.", tool_calls=[call("now", {}, 7)]),
            result("noon", 7, name="now"),
        ],
        "tools": TOOLS,
    },
    "image": {
        "messages": [
            {"role": "system", "content": parts("Describe.")},
            {"role": "user", "content": [PICTURE, *parts("What is this?")]},
            {"role": "assistant", "content": parts("A cat.")},
            {"role": "user", "content": [*parts("And "), PICTURE, *parts("this?"), PICTURE]},
        ]
    },
    "parts": {"messages": [{"role": "user", "content": parts("One. ", "Two.")}]},
    "developer": {"messages": [{"role": "developer", "content": "Be terse."}, user("Hi")]},
    "reasoning effort": {"messages": [user("Hi")], "reasoning_effort": "high"},
    "wrong order": {"messages": [assistant("Hello!"), assistant("Anyone?"), user("Me"), user("Me too"), SYSTEM]},
    "no messages": {"messages": []},
}
CHOICES = [(prompt, thinking) for prompt in (False, True) for thinking in (None, True, False)]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def templates(shared):
    root = os.path.join(shared, "chat-templates")
    for path in sorted(glob.glob(root + "/llama.cpp/*.jinja") + glob.glob(root + "/ollama-renderers/*.jinja*")):
        yield os.path.relpath(path, root), open(path, encoding="utf-8", newline="").read()
    for path in sorted(glob.glob(root + "/hf-tokenizer-config/*.json")):
        template = json.load(open(path, encoding="utf-8")).get("chat_template")
        named = template if isinstance(template, list) else [{"name": "", "template": template}]
        for t in named:
            if t["template"]:
                yield os.path.relpath(path, root) + "#" + t["name"], t["template"]
    for i, t in enumerate(json.load(open(root + "/ollama-gotmpl/index.json", encoding="utf-8"))):
        yield f"ollama-gotmpl/index.json#{i}", t["template"]


def render(source, variables):
    """The text, ("raise", message) or ("error", type)."""
    variables = dict(variables)
    try:
        (text,), _ = reference.render_jinja_template(
            conversations=[variables.pop("messages")], chat_template=source, **TOKENS, **variables
        )
        return text
    except jinja2.exceptions.TemplateError as e:
        if type(e) is jinja2.exceptions.TemplateError:
            return ("raise", str(e))
        return ("error", f"{type(e).__name__}: {e}")
    except Exception as e:
        return ("error", f"{type(e).__name__}: {e}")


def words(source, conversation, errors, dump):
    out = []
    last = None
    for prompt, thinking in CHOICES:
        variables = {**conversation, "add_generation_prompt": prompt}
        if thinking is not None:
            variables["enable_thinking"] = thinking
        r = render(source, variables)
        if dump:
            dump(prompt, thinking, r)
        if isinstance(r, str):
            word = hashlib.sha256(r.encode()).hexdigest()[:12]
        elif r[0] == "raise":
            word = f"!{errors.setdefault(r[1], len(errors))}"
        else:
            word = "?"
        out.append("=" if word == last else word)
        last = word
    return " ".join(out)


def main():
    shared = sys.argv[1]
    dump_folder = sys.argv[2] if len(sys.argv) > 2 else None
    for c in CONVERSATIONS.values():
        c["messages"] = reference._alias_reasoning_fields(c["messages"])
    errors = {}
    rows = {}
    for name, source in templates(shared):
        if dump_folder:
            with open(os.path.join(dump_folder, name.replace("/", "_") + ".src"), "w", newline="") as f:
                f.write(source)
        for title, conversation in CONVERSATIONS.items():
            def dump(prompt, thinking, r):
                path = f"{name.replace('/', '_')}.{title}.{prompt:d}.{thinking}"
                with open(os.path.join(dump_folder, path), "w", newline="") as f:
                    f.write(r if isinstance(r, str) else repr(r))
            rows.setdefault(name, []).append(words(source, conversation, errors, dump_folder and dump))
    with open(OUT + "/chat_templates.json", "w", encoding="utf-8") as f:
        f.write('{"now": ' + json.dumps(NOW.isoformat()) + ",\n")
        f.write('"tokens": ' + json.dumps(TOKENS) + ",\n")
        f.write('"conversations": ' + json.dumps(CONVERSATIONS, ensure_ascii=False) + ",\n")
        f.write('"refusals": ' + json.dumps(list(errors), ensure_ascii=False) + ",\n")
        body = [json.dumps(n) + ": " + json.dumps(w) for n, w in rows.items()]
        f.write('"templates": {\n' + ",\n".join(body) + "\n}}\n")

    cases = []
    for source, variables in dict.fromkeys((s, v) for s, v in SNIPPETS):
        r = render(source, {"messages": [], **(DATA if variables else {})})
        case = {"template": source, "data": variables}
        if isinstance(r, str) and " at 0x" in r:
            continue  # an address
        if isinstance(r, str):
            case["text"] = r
        else:
            case["refusal" if r[0] == "raise" else "error"] = r[1][:60]
        cases.append(json.dumps(case, ensure_ascii=False))
    with open(OUT + "/jinja_cases.json", "w", encoding="utf-8") as f:
        f.write('{"data": ' + json.dumps(DATA, ensure_ascii=False) + ',\n"cases": [\n')
        f.write(",\n".join(cases) + "\n]}\n")


main()
