# SPDX-License-Identifier: Apache-2.0
"""Puts a table (Markdown) between the marks of README.md, in place of what stands there:

    tools/peers/run.sh kernels kd_loss --passes 5 | python3 tools/bench/readme_table.py
"""

import argparse
import pathlib
import re
import sys

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
README = pathlib.Path(__file__).parents[2] / "README.md"


def replace_between_marks(text, table):
    """text with table between its marks; SystemExit unless there is exactly one pair of them."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(END) < text.index(BEGIN):
        raise SystemExit(f"readme_table.py: expected one {BEGIN} with one {END} after it")
    between = re.compile(re.escape(BEGIN) + ".*" + re.escape(END), re.DOTALL)
    return between.sub(lambda _: f"{BEGIN}\n{table}\n{END}", text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", nargs="?", help="file with the table; default: standard input")
    parser.add_argument("--readme", type=pathlib.Path, default=README)
    args = parser.parse_args()
    read = pathlib.Path(args.table).read_text() if args.table else sys.stdin.read()
    # What a script says before its table is not part of it.
    table = read[read.find("|"):].strip()
    if not table.startswith("|"):
        raise SystemExit("readme_table.py: there is no table in what was given")
    args.readme.write_text(replace_between_marks(args.readme.read_text(), table))


if __name__ == "__main__":
    main()
