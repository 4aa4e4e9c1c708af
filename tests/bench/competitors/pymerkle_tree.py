"""pymerkle's own in-memory tree over the same leaves: `python -m tests.bench.competitors.pymerkle_tree PREIMAGES`.

Each 96 bytes of the file are an entry. One line of JSON tells the root, which is of another shape than OpenZeppelin's
(one hash a leaf, no order of siblings), and the seconds from entries in memory to the root.
"""

import json
import sys
import time
from pathlib import Path

from pymerkle import InmemoryTree


def main() -> None:
    content = Path(sys.argv[1]).read_bytes()
    entries = [content[start : start + 96] for start in range(0, len(content), 96)]
    del content
    began = time.perf_counter()
    tree = InmemoryTree("keccak_256")
    for entry in entries:
        tree.append_entry(entry)
    root = tree.get_root().hex()
    print(json.dumps({"root": "0x" + root, "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
