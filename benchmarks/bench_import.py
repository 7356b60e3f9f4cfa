"""`import quantkit` beside `import pandas`, each in a fresh interpreter, alternating."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def run() -> list[dict]:
    ours, peer = [], []
    for module, times in [("pandas", []), ("quantkit", []), *[("quantkit", ours), ("pandas", peer)] * 7]:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
        times.append(time.perf_counter() - start)
    ratio = statistics.median(ours) / statistics.median(peer)
    return [
        {
            "what": "import quantkit / import pandas",
            "ours": statistics.median(ours),
            "peer": statistics.median(peer),
            "ratio": ratio,
            "budget": 1.2,
        }
    ]
