"""
What an execution costs beside the diagnostic itself, against an earlier commit or against bare forks.

    .venv/bin/python -m benchmarks.overhead --against COMMIT    # no-ops, of this project and of an earlier commit
    .venv/bin/python -m benchmarks.overhead --forks             # half a second of real work, here and in bare forks
    .venv/bin/python -m benchmarks.overhead --growth 10000      # whether the last no-ops cost what the first do

`benchmarks.peers` compares with other programs.
"""

import argparse

from benchmarks.overhead.against import compare, compare_with_forks, measure_growth


def main() -> None:
    """Measure what the command line chooses, and print a table."""
    parser = argparse.ArgumentParser(description="Compare the cost of an execution.")
    base = parser.add_mutually_exclusive_group(required=True)
    base.add_argument("--against", metavar="COMMIT", help="compare with an earlier commit of this project")
    base.add_argument("--forks", action="store_true", help="compare real work with a bare pool of forks")
    base.add_argument("--growth", type=int, metavar="COUNT", help="measure each tenth of so many no-ops")
    parser.add_argument("--alternations", type=int, default=10, help="how often each is measured")
    parser.add_argument("--count", type=int, default=200, help="with --against: no-ops of each measurement")
    parser.add_argument("--same-packages", action="store_true", help="with --against: both on the packages of today")
    parser.add_argument("--side-by-side", action="store_true", help="both at the same time, instead of in turns")
    options = parser.parse_args()
    if options.growth:
        measure_growth(options.growth)
        return
    if options.forks:
        compare_with_forks(options.alternations, side_by_side=options.side_by_side)
        return
    compare(
        options.against,
        options.alternations,
        options.count,
        same_packages=options.same_packages,
        side_by_side=options.side_by_side,
    )


if __name__ == "__main__":
    main()
