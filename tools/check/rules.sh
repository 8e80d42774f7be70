#!/bin/sh
# Runs rules.awk over the C files of the tree in the current folder.
here=$(dirname "$0")
find src include tests fuzz bench tools examples -name '*.[ch]' 2>/dev/null | LC_ALL=C sort |
    LC_ALL=C xargs awk -f "$here/rules.awk" "$here/layers" "$here/exempt"
