#!/usr/bin/env python3
"""Prompt speed of Lar and llama.cpp side by side, in processor time of one thread.

    bench/prompts.py --lar build/release/lar --peer DIR/llama-bench FILE.gguf ...

Each program reads a short and a long prompt; the difference of their processor seconds is what the
tokens between cost, without start, loading and repacking; both read it twice, to warm up. Other work on the machine disturbs this
less than wall time. Programs take turns; the least of --repetitions counts.
"""
import argparse
import os
import resource
import subprocess


def seconds(command, isa):
    """User time of one run."""
    env = dict(os.environ, LAR_CPU=isa) if isa else os.environ
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def command_of(program, peer, file, tokens):
    options = ["-t", "1", "-p", str(tokens), "-n", "0", "-r", "1"]
    return [program, "-m", file, "-fa", "1", *options] if peer else [program, "bench", file, *options]


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--lar", required=True)
    p.add_argument("--peer", help="llama-bench of a build for the same instruction set")
    p.add_argument("--isa", help="LAR_CPU for Lar")
    p.add_argument("--short", type=int, default=64)
    p.add_argument("--long", type=int, default=320)
    p.add_argument("--repetitions", type=int, default=3)
    p.add_argument("files", nargs="+")
    o = p.parse_args()
    programs = [("lar", o.lar, False)] + ([("llama.cpp", o.peer, True)] if o.peer else [])
    print("file,program,seconds per token,tokens per second and thread", flush=True)
    for file in o.files:
        least = {}
        for _ in range(o.repetitions):
            for name, program, peer in programs:
                for tokens in (o.short, o.long):
                    s = seconds(command_of(program, peer, file, tokens), None if peer else o.isa)
                    least[name, tokens] = min(s, least.get((name, tokens), s))
        for name, _, _ in programs:
            each = 0.5 * (least[name, o.long] - least[name, o.short]) / (o.long - o.short)
            print(f"{os.path.basename(file)},{name},{each:.5f},{1 / each:.1f}", flush=True)


if __name__ == "__main__":
    main()
