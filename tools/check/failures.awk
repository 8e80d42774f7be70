# failures.awk - reads a log of `ctest --repeat until-pass:2 --output-on-failure`: names each test
# program that failed, says if it passed on the second run (flaky), and shows what it complained of.

BEGIN {
    preset = FILENAME == "" ? ARGV[1] : FILENAME
    sub(/.*\//, "", preset)
    sub(/\.log$/, "", preset)
}
/Test +#[0-9]+: / {
    name = $0
    sub(/.*Test +#[0-9]+: /, "", name)
    sub(/[ .].*/, "", name)
    failing = /\*\*\*/ && !/\*\*\*Skipped/
    if (failing && !(name in state))
        order[++n] = name
    if (failing)
        state[name] = "failed"
    else if (name in state && / Passed /)
        state[name] = "flaky"
    next
}
/^ *Start +[0-9]+: / { failing = 0 }
failing && /\[  FAILED  \] [a-z]|rror: |ERROR|WARNING: Thread|\[   LINE   \]|^skip:/ && lines[name] < 8 {
    said[name] = said[name] "    " substr($0, 1, 300) "\n"
    lines[name]++
}
END {
    for (i = 1; i <= n; i++)
        printf "%s: %s %s\n%s", state[order[i]], preset, order[i], said[order[i]]
}
