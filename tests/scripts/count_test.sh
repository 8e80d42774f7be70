#!/bin/sh
# What tools/check/count.awk makes of the ways a ctest entry can end.
got=$(awk -f tools/check/count.awk <<'XML'
<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="(empty)" tests="6" failures="3" disabled="0" skipped="1">
	<testcase name="cases" classname="cases" time="0.1" status="run">
		<system-out>[==========] Running 4 test(s).
skip: no data
[==========] 4 test(s) run.
[  PASSED  ] 3 test(s).
[  SKIPPED ] 1 test(s), listed below:
</system-out>
	</testcase>
	<testcase name="one bad case" classname="x" time="0.1" status="fail">
		<system-out>[  PASSED  ] 1 test(s).
[  FAILED  ] 2 test(s), listed below:
[  FAILED  ] first
[  FAILED  ] second
</system-out>
	</testcase>
	<testcase name="leak" classname="x" time="0.1" status="fail">
		<system-out>[  PASSED  ] 5 test(s).</system-out>
	</testcase>
	<testcase name="crash" classname="x" time="0.1" status="fail">
		<system-out></system-out>
	</testcase>
	<testcase name="absent" classname="x" time="0" status="notrun"></testcase>
	<testcase name="script" classname="x" time="0" status="run"></testcase>
</testsuite>
XML
)
[ "$got" = "10 5 1" ] || { echo "wanted 10 5 1, got $got"; exit 1; }
