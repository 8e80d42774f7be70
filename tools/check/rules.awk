# rules.awk - the rules of the house style that no compiler knows, for C that clang-format has seen (a
# function's braces stand in column one). Reads the table of layers, the exemptions, then sources:
#
#     awk -f rules.awk layers exempt src/base/buf.c ...
#
# and prints "file:line: what is wrong", exiting with 1 if there was anything.

function report(rule, line, text)
{
    if ((rule, file) in exempt)
        return
    printf "%s:%d: %s\n", file, line, text
    bad = 1
}

# The line without comments, and without what stands between quotes.
function code_of(s,    out, c, two, quote)
{
    out = ""
    while (s != "") {
        if (in_comment) {
            if (!match(s, /\*\//))
                return out
            s = substr(s, RSTART + 2)
            in_comment = 0
            continue
        }
        if (!match(s, /["'\/]/))
            return out s
        out = out substr(s, 1, RSTART - 1)
        s = substr(s, RSTART)
        c = substr(s, 1, 1)
        two = substr(s, 1, 2)
        if (two == "/*") {
            in_comment = 1
            s = substr(s, 3)
        } else if (two == "//") {
            return out
        } else if (c == "/") {
            out = out c
            s = substr(s, 2)
        } else {
            quote = c
            s = substr(s, 2)
            while (s != "" && (c = substr(s, 1, 1)) != quote)
                s = substr(s, c == "\\" ? 3 : 2)
            s = substr(s, 2)
            out = out quote quote
        }
    }
    return out
}

function count(s, re,    n)
{
    return gsub(re, "", s)
}

# The room a path lies in: "src/base/buf.h" and "base/buf.h" are both in src/base.
function room_of(path,    n, part)
{
    n = split(path, part, "/")
    if (n >= 3 && (part[1] "/" part[2]) in level)
        return part[1] "/" part[2]
    if (n >= 2 && ("src/" part[1]) in level)
        return "src/" part[1]
    if (n >= 2 && part[1] in level)
        return part[1]
    return n == 1 ? "include" : ""
}

function start_file()
{
    if (file != "")
        end_file()
    file = FILENAME
    room = room_of(file)
    in_comment = in_function = includes = 0
    signature = ""
    own_header = ""
    if (file ~ /^src\/.*\.c$/) {
        own_header = substr(file, 5)
        sub(/c$/, "h", own_header)
        if ((getline dummy < ("src/" own_header)) < 0)
            own_header = ""
        close("src/" own_header)
    }
    if (room == "" || file ~ /^src\/[^\/]*$/)
        report("layer", 1, "lies in no room of tools/check/layers")
}

function end_file()
{
    if (lines > 1500)
        report("size", lines, "has " lines " lines (at most 1500)")
}

function check_include(path,    to)
{
    includes++
    if (own_header != "" && includes == 1 && path != own_header)
        report("layer", FNR, "includes \"" path "\" before its own header \"" own_header "\"")
    to = room_of(path)
    if (to == "" && level[room] == 14)
        return
    if (to == "")
        report("layer", FNR, "includes \"" path "\", which lies in no room of tools/check/layers")
    else if (to != room && level[to] >= level[room] && level[room] < 14)
        report("layer", FNR, "includes \"" path "\": " room " (" level[room] ") may not use " to \
            " (" level[to] ")")
}

function check_words(code)
{
    if (match(code, /(^|[^A-Za-z0-9_])(strcpy|strcat|v?sprintf|gets|atoi|strtok|s?rand|alloca)[ ]*\(/))
        report("banned", FNR, "banned function: " trim(substr(code, RSTART, RLENGTH)) ")")
    if (code ~ /typedef (struct|union)/)
        report("typedef", FNR, "typedef of a struct")
    if (file ~ /^src\// && room != "src/cli" &&
        match(code, /(^|[^A-Za-z0-9_])(_?exit|_Exit|abort|v?printf|puts|putchar)[ ]*\(/))
        report("ends", FNR, "only cli/ may print or end the process: " \
            trim(substr(code, RSTART, RLENGTH)) ")")
}

function trim(s)
{
    gsub(/^[^A-Za-z_]+/, "", s)
    return s
}

# Parameters of the first parenthesis of a function's signature.
function n_parameters(s,    i, c, depth, n, name)
{
    function_name = s
    sub(/[ ]*\(.*/, "", function_name)
    sub(/.*[^A-Za-z0-9_]/, "", function_name)
    if (s ~ /\((void)?\)/)
        return 0
    n = 1
    for (i = index(s, "("); i > 0 && i <= length(s); i++) {
        c = substr(s, i, 1)
        depth += (c == "(") - (c == ")")
        n += c == "," && depth == 1
        if (depth == 0)
            break
    }
    return n
}

function check_function(code,    n)
{
    if (!in_function) {
        if (code ~ /^\{/) {
            in_function = 1
            first_line = FNR
            complexity = 1
            n = n_parameters(signature)
            if (n > 6)
                report("parameters", FNR, function_name " takes " n " parameters (at most 6)")
        }
        if (code ~ /[;}#]/ || code ~ /^[ ]*$/)
            signature = ""
        else
            signature = signature " " code
        return
    }
    complexity += count(code, "(^|[^A-Za-z0-9_])(if|for|while|case)([^A-Za-z0-9_]|$)")
    complexity += count(code, "&&") + count(code, "\\|\\|") + count(code, "\\?")
    if (code ~ /^\}/) {
        in_function = 0
        signature = ""
        n = FNR - first_line + 1
        if (n > 120)
            report("function", first_line, function_name " has " n " lines (at most 120)")
        if (complexity > 25)
            report("complexity", first_line, function_name " has a cyclomatic complexity of " \
                complexity " (at most 25)")
    }
}

FNR == 1 { n_files++ }

n_files <= 2 {
    if ($0 ~ /^[ ]*(#|$)/)
        next
    if (n_files == 1)
        level[$2] = $1
    else
        exempt[$1, $2] = 1
    next
}

FNR == 1 { start_file() }

{
    lines = FNR
    if ($0 ~ /(^|[^A-Za-z0-9_])(TO[D]O|FIX[M]E|XX[X]|HAC[K])([^A-Za-z0-9_]|$)/)
        report("open", FNR, "an open end; NEEDSWORK: is for open questions")
    if ($0 ~ /^#[ ]*include[ ]*"/) {
        split($0, quoted, "\"")
        check_include(quoted[2])
        next
    }
    if ($0 ~ /^#[ ]*include[ ]*<(immintrin|x86intrin|arm_neon|arm_sve)\.h>/ && file != "src/cpu/simd.h")
        report("simd", FNR, "only src/cpu/simd.h uses intrinsics")
    code = code_of($0)
    check_words(code)
    if (code !~ /^#/)
        check_function(code)
}

END {
    if (file != "")
        end_file()
    exit bad
}
