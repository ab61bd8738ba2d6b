"""Find near-duplicate functions in the standard library of the running Python.

    phasetrace run --breakdown examples/simple_iter.py
    phasetrace run --breakdown examples/simple_iter.py --limit 100 --threshold 0.75

Two functions are near-duplicates if their syntax trees, with all names and constants dropped,
share most of their short runs of node types (shingles): similarity is the Jaccard index of the
two shingle sets.  Comparing all pairs would take too long, so MinHash signatures and
locality-sensitive hashing (LSH) propose the pairs worth a look, one signature band at a time:

    discover -> parse -> fingerprint -> compare (repeated until a band adds nothing) -> report

Each of the five is a `node`, its steps are `phase`s, and one `execution` spans them all.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import os
import sysconfig
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TypeVar
from zlib import crc32

from phasetrace import execution, node, phase, timed

SKIPPED_FOLDERS = {"distutils", "encodings", "idlelib", "lib2to3", "site-packages", "test", "tests"}
FILES_PER_BATCH = 8
FUNCTIONS_PER_BATCH = 200
SHINGLE_LENGTH = 4
FEWEST_SHINGLES = 40  # leaves out getters, trivial wrappers and repetitive boilerplate
LSH_BANDS = 10
ROWS_PER_BAND = 2
REPORTED_GROUPS = 8

HASH_MASKS = [crc32(f"hash {row}".encode()) for row in range(LSH_BANDS * ROWS_PER_BAND)]

Item = TypeVar("Item")
Source = tuple[str, bytes]
Function = tuple[str, ast.AST]
Pair = tuple[int, int]
Link = tuple[float, Pair]


@dataclass(frozen=True)
class Fingerprint:
    """What is compared of a function; similar sets have similar signatures."""

    location: str
    shingles: frozenset[int]
    signature: tuple[int, ...]


@dataclass
class Group:
    """Near-duplicates, and the least similarity that joined them."""

    members: list[int]
    similarity: float = 1.0


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Cut the items into runs of at most `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))


async def discover(limit: int) -> list[Source]:
    """Read the first `limit` source files, in threads."""
    async with node("discover", node_type="io"):
        stdlib = Path(sysconfig.get_path("stdlib"))
        chosen = batches(list_files(stdlib)[:limit], FILES_PER_BATCH)
        reads = [asyncio.to_thread(read_sources, stdlib, paths) for paths in chosen]
        return [source for sources in await asyncio.gather(*reads) for source in sources]


@phase("list_files")
def list_files(stdlib: Path) -> list[Path]:
    """List the source files, top-level modules first."""
    paths = []
    for folder, subfolders, names in os.walk(stdlib):
        subfolders[:] = set(subfolders) - SKIPPED_FOLDERS
        paths += [Path(folder, name).relative_to(stdlib) for name in names if name.endswith(".py")]
    return sorted(paths, key=lambda path: (len(path.parts), path.parts))


def read_sources(stdlib: Path, paths: Sequence[Path]) -> list[Source]:
    """Read one batch of files."""
    with phase("read_sources", files=len(paths)) as reading:
        modules = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths]
        texts = [(stdlib / path).read_bytes() for path in paths]
        reading.set_attribute("bytes", sum(map(len, texts)))
    return list(zip(modules, texts, strict=True))


async def parse(sources: list[Source]) -> list[Function]:
    """Find all functions, one batch of files per thread."""
    async with node("parse", node_type="cpu", depends_on=("discover",)):
        parses = [asyncio.to_thread(parse_batch, b) for b in batches(sources, FILES_PER_BATCH)]
        return [function for functions in await asyncio.gather(*parses) for function in functions]


def parse_batch(sources: Sequence[Source]) -> list[Function]:
    """Find the functions of one batch of files."""
    with phase("build_trees", files=len(sources)):
        trees = {module: ast.parse(text) for module, text in sources}
    with phase("collect_functions") as collecting:
        functions = [f for module in trees for f in functions_in(trees[module], f"{module}:")]
        collecting.set_attribute("functions", len(functions))
    return functions


def functions_in(tree: ast.AST, prefix: str) -> Iterator[Function]:
    """Find functions and methods, but not functions inside functions."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield f"{prefix}{child.name}:{child.lineno}", child
        elif isinstance(child, ast.ClassDef):
            yield from functions_in(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.stmt):
            yield from functions_in(child, prefix)


@node("fingerprint", node_type="cpu", depends_on=("parse",))
def fingerprint(functions: list[Function]) -> list[Fingerprint]:
    """Fingerprint the functions worth comparing, exact duplicates only once."""
    distinct: dict[frozenset[int], str] = {}
    for batch in batches(functions, FUNCTIONS_PER_BATCH):
        with phase("normalise", functions=len(batch)):
            for location, tree in batch:
                shingles = shingles_of(tree)
                if len(shingles) >= FEWEST_SHINGLES:
                    distinct.setdefault(shingles, location)
    fingerprints = []
    for group in batches(list(distinct.items()), FUNCTIONS_PER_BATCH):
        with phase("minhash", functions=len(group)):
            fingerprints += [Fingerprint(location, s, minhash(s)) for s, location in group]
    return fingerprints


def shingles_of(tree: ast.AST) -> frozenset[int]:
    """Hash every run of node types in the tree."""
    outline = []
    pending = [tree]
    while pending:
        current = pending.pop()
        outline.append(type(current).__name__)
        pending.extend(ast.iter_child_nodes(current))
    starts = range(len(outline) - SHINGLE_LENGTH + 1)
    runs = (" ".join(outline[start : start + SHINGLE_LENGTH]) for start in starts)
    return frozenset(crc32(run.encode()) for run in runs)


def minhash(shingles: frozenset[int]) -> tuple[int, ...]:
    """Take the least shingle under each of the hash functions."""
    return tuple(min(map(mask.__xor__, shingles)) for mask in HASH_MASKS)


def compare(fingerprints: list[Fingerprint], threshold: float) -> tuple[list[Group], int]:
    """Group near-duplicates, one LSH band per iteration."""
    group_of = [Group([index]) for index in range(len(fingerprints))]
    compared: set[Pair] = set()
    for band in range(LSH_BANDS):
        with node("compare", node_type="cpu", iteration=band, depends_on=("fingerprint",)):
            with phase("candidates") as proposing:
                pairs = candidates(fingerprints, band) - compared
                proposing.set_attribute("pairs", len(pairs))
            with phase("verify", pairs=len(pairs)) as verifying:
                similar = verify(fingerprints, pairs, threshold)
                verifying.set_attribute("similar", len(similar))
            compared |= pairs
            if not merge(group_of, similar):
                break
    groups = [group for index, group in enumerate(group_of) if group.members[0] == index]
    return [group for group in groups if len(group.members) > 1], len(compared)


def candidates(fingerprints: list[Fingerprint], band: int) -> set[Pair]:
    """Pair the functions whose signatures agree in the whole band."""
    rows = slice(band * ROWS_PER_BAND, (band + 1) * ROWS_PER_BAND)
    buckets = defaultdict(list)
    for index, candidate in enumerate(fingerprints):
        buckets[candidate.signature[rows]].append(index)
    return {pair for bucket in buckets.values() for pair in combinations(bucket, 2)}


def verify(fingerprints: list[Fingerprint], pairs: set[Pair], threshold: float) -> list[Link]:
    """Keep the pairs whose shingle sets are similar enough."""
    similar = []
    for pair in pairs:
        one, other = (fingerprints[member].shingles for member in pair)
        similarity = len(one & other) / len(one | other)
        if similarity >= threshold:
            similar.append((similarity, pair))
    return sorted(similar, reverse=True)


@timed(phase="merge")
def merge(group_of: list[Group], similar: list[Link]) -> int:
    """Join the groups of every similar pair, and count the joins."""
    merged = 0
    for similarity, (first, second) in similar:
        kept, absorbed = group_of[first], group_of[second]
        if kept is not absorbed:
            kept.similarity = min(similarity, kept.similarity, absorbed.similarity)
            kept.members = sorted(kept.members + absorbed.members)
            for member in absorbed.members:
                group_of[member] = kept
            merged += 1
    return merged


@node("report", node_type="io", depends_on=("compare",))
def report(fingerprints: list[Fingerprint], groups: list[Group], compared: int) -> None:
    """Print the groups that repeat the most code."""

    def repeated_code(group: Group) -> int:
        return sum(len(fingerprints[member].shingles) for member in group.members[1:])

    print("similarity  functions")
    for group in sorted(groups, key=repeated_code, reverse=True)[:REPORTED_GROUPS]:
        first, second, *others = (fingerprints[member].location for member in group.members)
        more = f"  (+{len(others)} more)" if others else ""
        print(f"{group.similarity:10.2f}  {first} ~ {second}{more}")
    total = len(fingerprints)
    print(
        f"{len(groups)} groups of near-duplicates among {total:,} distinct functions; "
        f"compared {compared:,} of {total * (total - 1) // 2:,} pairs"
    )


async def main(limit: int, threshold: float) -> None:
    """Run the five nodes in one execution."""
    async with execution(name="near-duplicates", limit=limit, threshold=threshold):
        fingerprints = fingerprint(await parse(await discover(limit)))
        groups, compared = compare(fingerprints, threshold)
        report(fingerprints, groups, compared)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Find near-duplicate functions in the stdlib.")
    parser.add_argument("--limit", type=int, default=200, help="number of files (default: 200)")
    parser.add_argument("--threshold", type=float, default=0.85, help="default: 0.85")
    options = parser.parse_args()
    warnings.simplefilter("ignore", SyntaxWarning)
    asyncio.run(main(options.limit, options.threshold))
