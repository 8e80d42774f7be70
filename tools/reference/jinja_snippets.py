"""Templates that each show one thing of Jinja, for chat_templates.py: (text, with DATA as
variables or without)."""

DATA = {
    "x": 7,
    "f": 2.5,
    "s": "Hello World",
    "u": "Grüße 東京 🙂",
    "e": "",
    "n": None,
    "t": True,
    "l": [3, 1, 2],
    "w": ["b", "A", "c"],
    "d": {"b": 1, "a": [1, {"k": "v"}], "items": 5, "C": "z"},
    "p": [{"n": "x", "v": 2, "on": True}, {"n": "Y", "v": 1, "on": False}, {"n": "z", "v": 3}],
}

EXPRESSIONS = """
x + 1|x - 10|x * 3|x / 2|x // 2|-x // 2|x % 4|-x % 4|x ** 2|2 ** -1|f * 2|f // 1|-f % 2|1e3|1.5e-7|1e16|123456789012345678.0
0.1 + 0.2|1 / 3|10 / 5|7.0|1_000|0x1F|0b101|0o17|true and false|0 or 'a'|'' or none|1 and 2|not x|x == 7.0|x != 7
1 < 2 < 3|3 > 2 > 2|1 <= 1|'a' < 'b'|[1, 2] < [1, 3]|(1, 2) == (1, 2)|[1] == (1,)|{'a': 1} == {'a': 1.0}|true == 1
'a' in s|'World' in s|'b' in d|4 in l|4 not in l|'x' in e|none in [none]|s[0]|s[-1]|s[1:4]|s[::-1]|s[:-6]|s[100]|u[6:8]|u[-1]|u[::2]
l[0]|l[-1]|l[1:]|l[::-1]|l[5]|l[0:2]|(1, 2, 3)[1:]|range(5)[1:3]|range(5)[-1]|range(3)|d.b|d['b']|d.a[1].k|d.items|d['items']|d.nope|d.nope is defined|d['nope']
s.upper()|s.lower()|s.title()|s.capitalize()|s.strip('Hd')|s.lstrip('H')|s.rstrip('d')|s.split()|s.split('o')|s.split('o', 1)|s.rsplit('o', 1)
s.replace('o', '0')|s.replace('o', '0', 1)|s.replace('', '-')|s.startswith('He')|s.startswith(('x', 'H'))|s.endswith('d')|s.find('o')|s.find('zz')|s.rfind('o')
s.count('o')|s.index('W')|s.partition(' ')|s.rpartition('o')|s.partition('q')|s.rpartition('q')|s.isalpha()|'abc'.isalpha()|'12'.isdigit()|''.isdigit()|'a1'.isalnum()|' '.isspace()|'AB'.isupper()|'ab'.islower()|'a b'.title()
'a,b,,c'.split(',')|'  a  b '.split()|'  a  b '.split(none, 1)|'a\\nb\\r\\nc'.splitlines()|'-'.join(w)|'7'.zfill(3)|'-7'.zfill(4)|'ab'.center(5)|'ab'.center(5, '*')|'abc'.center(6, '*')|'ab'.ljust(4, '.')|'ab'.rjust(4)|'prefix-x'.removeprefix('prefix-')|'x.py'.removesuffix('.py')
u.upper()|u.lower()|'straße'.upper()|u|length|u|upper|'ÄÖ'|lower|d.keys()|d.values()|d.items()|d.keys()|list|d.get('b')|d.get('q')|d.get('q', 9)
'%s is %d' % ('a', 3)|'%5.2f|' % 3.14159|'%c' % 8364|'%%'|'%x' % 255|'%-5s|' % 'a'|'%05d' % 42|'%+d' % 5|'%(a)s' % {'a': 1}|'%r' % 'x'|'%s' % none
'{} {}'.format(1, 'b')|'{1} {0}'.format(1, 2)|'{a}'.format(a=3)|'{:>5}|'.format('x')|'{:.2f}'.format(3.14159)|'{:,}'.format(1234567)|'{:05d}'.format(42)|'{{}}'.format()|'{0[a]}'.format({'a': 1})|'{!r}'.format('x')|'{:x}'.format(255)|'{:%}'.format(0.25)|'{:^7}|'.format('ab')
'a' ~ 1 ~ none ~ true|1 ~ 2|x if t|x if not t|x if not t else 'no'|(x if not t) is defined|'a' 'b'|"it's"|'say "hi"'|['a', "b'c", 'd"e', 1.0, none, true, {'k': (1,)}]|('a',)|()|[]|{}
'\\x41\\u00e9\\t|\\\\|\\'|\\q|\\101'|['\\n\\t\\x00\\x7f\\u200b\\u00e9']|{1: 2, none: 3, true: 4}|{'a': {'b': [1, 2, {'c': none}]}}|[undefined_name]
""".strip()

FILTERS = """
x|abs|-5|abs|-2.5|abs|s|length|l|length|d|length|e|length|undefined_name|length|n|default('z')|undefined_name|default('z')|e|default('z')|e|default('z', true)|undefined_name|default|undefined_name|d(1)
w|sort|w|sort(case_sensitive=true)|l|sort|l|sort(reverse=true)|p|sort(attribute='v')|map(attribute='n')|list|p|map(attribute='n')|join(', ')|p|map(attribute='q', default='?')|list|p|map(attribute='v')|sum|l|sum|p|sum(attribute='v')|w|map('upper')|list|w|map('replace', 'b', 'q')|list
p|selectattr('on')|map(attribute='n')|list|p|rejectattr('on')|map(attribute='n')|list|p|selectattr('n', 'equalto', 'x')|list|length|p|selectattr('on', 'defined')|list|length|p|selectattr('v', 'gt', 1)|map(attribute='n')|join|l|select('odd')|list|l|reject('odd')|list|l|select('>', 1)|list|[0, 1, '', 'a']|select|list
l|first|l|last|e|first|[]|last|s|first|s|last|d|first|l|min|l|max|w|min|p|max(attribute='v')|[]|min|l|reverse|list|s|reverse|l|join('-')|w|join|p|join(', ', attribute='n')|[1, none, 'a']|join(',')|l|list|s|list|d|list
d|dictsort|d|dictsort(case_sensitive=true)|d|dictsort(reverse=true)|{'a': 2, 'b': 1}|dictsort(by='value')|d|items|list|undefined_name|items|list|[1, 2, 2, 1, 3]|unique|list|['a', 'A', 'b']|unique|list|[1, 2, 3, 4, 5]|batch(2)|list|[1, 2, 3]|batch(2, 'x')|list
s|upper|s|lower|s|title|s|capitalize|'  a '|trim|'xxaxx'|trim('x')|s|replace('o', '0')|s|replace('o', '0', 1)|5|string|none|string|true|string|1.0|string|[1]|string|'42'|int|'4.7'|int|'x'|int|'x'|int(9)|'0x1f'|int(base=16)|4.9|int|-4.9|int|none|int|true|int|'1_0'|int|' 7 '|int|'3.5'|float|'x'|float|'x'|float(1.5)|3|float|'inf'|float|none|float
2.5|round|3.5|round|2.567|round(2)|2.567|round(1, 'floor')|2.1|round(method='ceil')|42|round|'a\\nb\\n\\nc'|indent|'a\\nb'|indent(2, true)|'a\\nb\\n\\nc'|indent(2, blank=true)|'a\\nb'|indent('> ')|'%s-%s'|format('a', 2)|'a b  c'|wordcount|'<a&"\\'>'|e|'<a>'|safe|('<a>'|safe) + '<b>'|('<a>'|safe) ~ '<b>'|'<'|safe|upper|['<a>'|safe]|'<b>'|escape|string|('<a>'|e)|replace('&', '!')
d|tojson|d|tojson(indent=2)|d|tojson(sort_keys=true)|d|tojson(separators=(',', ':'))|d|tojson(indent=4, separators=(',', ': '))|u|tojson|u|tojson(ensure_ascii=true)|[1, 2.0, 1e20, 1e-9, none, true, 'a"\\\\\\n\\x01\\x7f/']|tojson|[]|tojson|{}|tojson|[[], {}]|tojson(indent=2)|(1, 2)|tojson|{1: 2, true: 3, none: 4, 1.5: 5}|tojson|undefined_name|tojson|range(3)|tojson|d.items()|tojson|'<>&\\''|tojson|[1, [2]]|tojson(indent='--')
w|groupby('0')|list|length|p|groupby('on')|length|l|attr('x')|s|attr('upper') is callable|x|filter_that_is_not|w|map('nope')|list|w|map|list
""".strip()

TESTS = """
x is defined|q is defined|q is undefined|n is none|n is not none|x is number|f is number|t is number|t is boolean|x is boolean|x is integer|t is integer|f is float|x is float|s is string|x is string|d is mapping|l is mapping|l is sequence|s is sequence|d is sequence|x is sequence|q is sequence|q is iterable|l is iterable|x is iterable|n is iterable|d.items() is sequence|d.items() is iterable|(p|map(attribute='n')) is iterable|(p|map(attribute='n')) is sequence|(1, 2) is sequence|range(2) is sequence
x is odd|x is even|x is divisibleby 7|x is divisibleby(2)|t is true|t is false|x is true|'a' is lower|'A' is upper|'' is lower|x is eq 7|x is equalto(7)|x is ne 7|x is gt 3|x is ge(7)|x is lt 3|x is le 7|x is in [7, 8]|x is sameas 7|n is sameas none|s.upper is callable|s is callable|range is callable|'trim' is filter|'nope' is filter|'odd' is test|x is not odd|not x is odd|x is nope|x is defined and n is none|'<'|safe is escaped
""".strip()


def split_bars(text):
    """The expressions of a line: bars inside of quotes and brackets do not part them."""
    out, depth, quote, at = [], 0, "", 0
    for i, c in enumerate(text):
        if quote:
            if c == quote and text[i - 1] != "\\":
                quote = ""
        elif c in "'\"":
            quote = c
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
        elif c == "|" and depth == 0:
            out.append(text[at:i])
            at = i + 1
    return out + [text[at:]]


STATEMENTS = [
    "a\n{% if true %}\nb\n{% endif %}\nc\n",
    "a\n  {% if true %}  \n  b\n  {%- endif %}\n c",
    "a {%- if true -%} b {%- endif -%} c",
    "  {%+ if true %}x{% endif %}",
    "{% if true +%}\nx{% endif %}",
    "a  {#- c -#}  b{# d #}\nc",
    "a\n  {# alone #}\nb",
    "{{ 1 }}\n{{ 2 -}}\n {{- 3 }}\n",
    "x\n\n",
    "x\r\ny\r{% if true %}\r\nz{% endif %}",
    "{% raw %}{{ not }} {% this %}{% endraw %}!",
    "a {%- raw -%}  {{ x }}  {%- endraw -%} b",
    "{{ {'a': {'b': 1}}.a.b }}{{ '}}' }}{{ \"%}\" }}",
    "{% set a = 1 %}{% set b, c = 2, 3 %}{{ a }}{{ b }}{{ c }}",
    "{% set a = 1, 2 %}{{ a }}",
    "{% set a %}x{{ 1 }}y{% endset %}{{ a }}{{ a|length }}",
    "{% set a | upper | replace('X', 'q') %}x y{% endset %}{{ a }}",
    "{% for i in [1, 2, 3] %}{{ i }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% for i in [] %}x{% else %}none{% endfor %}",
    "{% for i in [1] %}x{% else %}none{% endfor %}",
    "{% for i in undefined_name %}x{% else %}none{% endfor %}",
    "{% for i in none %}x{% endfor %}",
    "{% for i in 5 %}x{% endfor %}",
    "{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k in {'a': 1, 'b': 2} %}{{ k }}{% endfor %}",
    "{% for a, b in [[1, 2], (3, 4)] %}{{ a }}-{{ b }} {% endfor %}",
    "{% for a, (b, c) in [[1, [2, 3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in [[1, 2, 3]] %}x{% endfor %}",
    "{% for c in 'aé🙂' %}[{{ c }}]{% endfor %}",
    "{% for i in range(10) if i is odd %}{{ loop.index }}:{{ i }}/{{ loop.length }} {% endfor %}",
    "{% for i in range(5) %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }} {% endfor %}",
    "{% for i in [1, 2, 3] %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {% endfor %}",
    "{% for i in [1, 1, 2] %}{{ loop.changed(i) }}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% for i in [1, 2] %}{% for j in [1, 2, 3] %}{% if j == 2 %}{% break %}{% endif %}{{ i }}{{ j }} {{ loop.depth }}{% endfor %}{{ loop.index }}{% endfor %}",
    "{% break %}",
    "{% set a = 1 %}{% for i in [1, 2] %}{% set a = a + i %}{{ a }}{% endfor %}{{ a }}",
    "{% set ns = namespace(a=1, b='x') %}{% for i in [1, 2] %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c is defined }}{{ ns }}",
    "{% set ns = namespace({'k': 1}, j=2) %}{{ ns.k + ns.j }}{{ ns['k'] }}",
    "{% set x = {'a': 1} %}{% set x.a = 2 %}",
    "{% set ns = namespace() %}{% set ns._x = 1 %}",
    "{% if false %}{% set a = 1 %}{% endif %}{{ a is defined }}{{ a }}",
    "{% if x is not defined %}{% set x = 5 %}{% endif %}{{ x }}",
    ("{% if x is not defined %}{% set x = 5 %}{% endif %}{{ x }}", True),
    ("{% for i in [1] %}{% set x = 9 %}{{ x }}{% endfor %}{{ x }}", True),
    "{% if 0 %}a{% elif 1 %}b{% elif 2 %}c{% else %}d{% endif %}",
    "{% if 0 %}a{% elif [] %}b{% else %}d{% endif %}",
    "{% macro m(a, b=2, c=a) %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(1, c=5) }}{{ m(b=1, a=2) }}{{ m() }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}",
    "{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, k=4) }}",
    "{% macro m(n) %}{{ n }}{% if n > 0 %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(4) }}",
    "{% macro m() %}{{ y }}{% endmacro %}{% set y = 1 %}{{ m() }}{% set y = 2 %}{{ m() }}",
    "{% macro m() %}{{ i is defined }}{% endmacro %}{% for i in [1] %}{{ m() }}{% endfor %}",
    "{% macro m() %}{% set z = 1 %}{{ z }}{% endmacro %}{{ m() }}{{ z is defined }}",
    "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}in{{ 1 }}{% endcall %}",
    "{% macro m(l) %}{% for i in l %}{{ caller(i, loop.index) }},{% endfor %}{% endmacro %}{% call(x, y) m([5, 6]) %}{{ x }}/{{ y }}{% endcall %}",
    "{% macro m() %}x{% endmacro %}{% call m() %}in{% endcall %}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}",
    "{% macro m(a) %}x{% endmacro %}{{ m is callable }}{{ m.name }}",
    "{% macro m(x) %} {{ x }} {% endmacro %}{{ m('a') | trim }}|{{ m('a')|length }}",
    "{% macro a(x) %}{{ b(x) }}{% endmacro %}{% macro b(x) %}<{{ x }}>{% endmacro %}{{ a(1) }}",
    "{% for i in [[1, [2]], [3]] recursive %}{% if i is iterable %}({{ loop(i) }}){% else %}{{ i }}.{{ loop.depth }}{% endif %}{% endfor %}",
    "{% filter upper %}a{{ 'b' }}{% endfilter %}",
    "{% filter replace('a', 'b') | upper %}aca{% endfilter %}",
    "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}",
    "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q is defined }}",
    "{% generation %}x{% set q = 1 %}{% endgeneration %}{{ q is defined }}",
    "{% block b %}x{% endblock %}y{% block c %}{% endblock c %}",
    "{% print 1, 'a' %}",
    "{{ dict(a=1, b='x') }}{{ dict([('k', 1)]) }}",
    "{{ range(1, 10, 3)|list }}{{ range(3, 0, -1)|list }}{{ range(0)|list }}{{ range(2, 4) }}",
    "{{ range(1000000)|length }}",
    "{{ strftime_now('%d %b %Y %A %H:%M:%S %j') }}",
    "{{ raise_exception('no: ' ~ 1) }}",
    "a{% if true %}{{ raise_exception('stop') }}{% endif %}",
    "{{ undefined_name }}|{{ undefined_name.x }}",
    "{{ undefined_name['x'] }}",
    "{{ undefined_name() }}",
    "{{ undefined_name + 1 }}",
    "{{ undefined_name == undefined_other }}{{ undefined_name == none }}{{ undefined_name in [1] }}",
    "{{ undefined_name < 1 }}",
    "{{ 'a' + 1 }}",
    "{{ 1 + 'a' }}",
    "{{ 'ab' * 3 }}{{ 2 * [1] }}{{ [1] + [2] }}{{ (1,) + (2,) }}",
    "{{ [1] + (2,) }}",
    "{{ 1 // 0 }}",
    "{{ 'a' < 1 }}",
    "{{ [].append(1) }}",
    "{{ {}.update({}) }}",
    "{{ ''.__class__ }}",
    "{{ {}.x.y }}",
    "{{ none.x is defined }}{{ (1).foo is defined }}{{ none['a'] is defined }}",
    "{{ x.y.z }}",
    "{{ 'a'.nope() }}",
    "{{ lipsum is defined }}{{ namespace is defined }}{{ range is defined }}{{ nope is defined }}{{ raise_exception is defined }}",
    "{{ loop is defined }}",
    "{% include 'x' %}",
    "{% nope %}",
    "{% if %}{% endif %}",
    "{% if 1 %}",
    "{% for x in %}{% endfor %}",
    "{{ 1 +",
    "{{ (1 }}",
    "{{ 'abc }}",
    "{# never closed",
    "{{ a b }}",
    "{{ 1 | }}",
    "{{ }}",
    "{% endif %}",
    "{% set 1 = 2 %}",
    "{% set none = 2 %}",
    "{% macro m(a=1, b) %}{% endmacro %}",
    "{{ f(a=1, 2) }}",
    "{{ 1 is odd is even }}",
    "{{ $ }}",
    "{{ [1, 2, }}",
    "{{ [1, 2,] }}{{ (1,) }}{{ {'a': 1,} }}",
    "{% set l = [1, 2] %}{{ m(*l) }}",
    "{% macro m(a, b, c) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(*[1, 2], **{'c': 3}) }}",
    "{{ {'a': 1}['a'] }}{{ {'a': 1}.get('a') }}{{ {'get': 1}['get'] }}",
    "{{ [[1, 2], [3, 4]][1][0] }}{{ [[1, 2]].0.1 }}",
    "{{ not 1 == 2 }}{{ not (1 == 2) and true }}{{ 1 if 0 else 2 if 0 else 3 }}",
    "{{ -1 | abs }}{{ -(1 | abs) }}{{ 2 ** 3 ** 2 }}{{ -2 ** 2 }}",
    "{{ 1 + 2 ~ 3 + 4 }}{{ 'a' ~ 'b' | upper }}{{ 'a' + 'b' | upper }}",
    "{{ [1, 2] | length > 1 and 'yes' }}",
    "{{ 'x' if true else 'y' | upper }}",
    "{{ messages | length }}{{ tools is none }}{{ tools is defined }}{{ documents is none }}{{ add_generation_prompt }}",
    "{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}",
    "{%- set ns = namespace(found=false) -%}{%- for i in [1, 2, 3] if not ns.found -%}{{ i }}{%- if i == 2 %}{% set ns.found = true %}{% endif -%}{%- endfor -%}",
    "{% set x = [] %}{% for i in [1, 2] %}{% set x = x + [i] %}{% endfor %}{{ x }}",
    "{% set t = 'a' %}{% set t = t + 'b' %}{% set v = t + 'c' %}{% set w = t + 'd' %}{{ t }}{{ v }}{{ w }}",
    "{% set ns = namespace(t='') %}{% for i in range(40) %}{% set ns.t = ns.t + 'xyzé' %}{% endfor %}{{ ns.t|length }}{{ ns.t[-3:] }}{{ ns.t[41] }}",
    "{{ (['a', 'b'] | map('upper')) | join }}{{ (['a'] | map('upper')) | length }}",
    "{% set g = ['a', 'b'] | map('upper') %}{{ g | list }}{{ g | list }}",
    "{{ 'abc'[1] }}{{ 'abc'[-4] is defined }}{{ 'abc'['x'] is defined }}",
    "{% for x in [{'a': 1}, {'a': 2}] %}{% set y = x.a %}{{ y }}{% endfor %}",
    "\n{% for i in [1, 2] %}\n- {{ i }}\n{% endfor %}\nend",
    "{%- for i in [1, 2] %}\n- {{ i }}\n{%- endfor %}\nend",
    "{{ '\u00a0 x\u2003' | trim }}|{{ '\u200bx' | trim | length }}",
    "x \u00a0{%- if true %}y{% endif %}",
    "{{ 'é' < 'z' }}{{ ['é', 'z', 'a'] | sort }}",
    "{{ {'b': 1, 'a': 2} | dictsort }}{{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }}",
    "{{ 3 is divisibleby 0 }}",
    "{{ caller is defined }}{{ kwargs is defined }}",
    "{% for i in range(3) %}{{ i }}{% set last = i %}{% endfor %}{{ last is defined }}",
    "{{ true }}{{ false }}{{ none }}{{ True }}{{ None }}",
    "{{ [true, false, none] }}",
    "{{ 1.0 }}{{ 100000000000000000000.0 }}{{ 1e-5 }}{{ 0.00001 }}{{ 0.0001 }}{{ 123456.789 }}{{ -0.0 }}",
    "{{ 'a' if x else 'b' }}",
    "{{ ('a', 'b') in [('a', 'b')] }}{{ {'a': 1} in [{'a': 1}] }}",
]

def filter_chains(line):
    """Pieces of a line of FILTERS: value|filter|filter|value|filter...; every prefix of a chain is a
    snippet of its own, so it does not matter where one ends and the next begins."""
    pieces = split_bars(line)
    for i in range(len(pieces)):
        for j in range(i + 2, min(i + 5, len(pieces) + 1)):
            yield "|".join(pieces[i:j])


def printed(lines, cut):
    return [("{{ " + x + " }}", True) for line in lines.split("\n") for x in cut(line)]


SNIPPETS = printed(EXPRESSIONS, split_bars) + printed(TESTS, split_bars)
SNIPPETS += printed(FILTERS, filter_chains)
SNIPPETS += [x if isinstance(x, tuple) else (x, False) for x in STATEMENTS]
