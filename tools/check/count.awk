# count.awk - adds up JUnit files of ctest: prints "PASSED FAILED SKIPPED". The cases inside a cmocka
# program count one by one; any other entry, and a program that failed without reporting a failed
# case (a crash, a leak, a time-out, a missing program), counts as one.

function finish()
{
    if (status == "")
        return
    if (status != "run" && f == 0)
        f = 1
    if (p + f + s == 0)
        p = 1
    passed += p
    failed += f
    skipped += s
    status = ""
}

/<testcase / {
    finish()
    p = f = s = 0
    status = $0
    sub(/.* status="/, "", status)
    sub(/".*/, "", status)
}
/\[  PASSED  \] [0-9]+ test/ { p += $4 }
/\[  FAILED  \] [0-9]+ test/ { f += $4 }
/\[  SKIPPED \] [0-9]+ test/ { s += $4 }
END {
    finish()
    print passed + 0, failed + 0, skipped + 0
}
