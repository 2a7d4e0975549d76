"""Runs every benchmark, one after another; ends with status 1 when one cannot be run, not when one falls short."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TOOLS = {"run_all.py", "reporting.py", "guarded_api.py", "near_duplicates.py"}


def main() -> int:
    """Run the benchmarks and repeat their ratios at the end."""
    ratios: list[str] = []
    failed: list[str] = []
    for path in sorted(HERE.glob("*.py")):
        if path.name in TOOLS:
            continue
        print(f"== {path.name}", flush=True)
        ended = subprocess.run([sys.executable, str(path)], stdout=subprocess.PIPE, text=True, check=False)
        print(ended.stdout, flush=True)
        ratios += [line for line in ended.stdout.splitlines() if line.startswith("ratio ")]
        failed += [path.name] if ended.returncode else []
    print("\n".join(["== ratios", *ratios, *(f"failed {name}" for name in failed)]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
