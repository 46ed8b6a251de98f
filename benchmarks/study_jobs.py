"""How much faster a study is with two arms at a time: `--jobs 2` against `--jobs 1`, one thread a process.

Four arms that are alike in cost, each trained on the phantom and probed; both studies have the same steps, so that
their rows must be the same to the last byte. Planning is left out of the time.

    OMP_NUM_THREADS=1 taskset -c 0,1 python benchmarks/study_jobs.py
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from result_files import machine, write_results

STUDY = """
about: Four arms of one cost
arms:
{arms}
tables:
  probe: {{title: Linear probe, task: linear, metric: roc_auc, arms: [a0, a1, a2, a3]}}
"""
SET = '["optimizer.weight_decay={decay}", "training.steps={steps}"]'
ARM = "  a{number}: {{title: SimSiam {number}, recipe: simsiam/small, set: " + SET + "}}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--images", type=int, default=256)
    options = parser.parse_args()
    about = machine("timm") | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "-")}
    from vesalius import pipeline
    from vesalius.data.phantom import write_phantom

    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        write_phantom(here / "scans", images=options.images, seed=0)
        pipeline.prepare(here / "scans", here / "store", progress=False)
        arms = [ARM.format(number=one, decay=0.01 * (one + 1), steps=options.steps) for one in range(4)]
        (here / "study.yaml").write_text(STUDY.format(arms="\n".join(arms)))
        seconds, rows = {}, {}
        for jobs in (1, 2):
            out = here / f"jobs{jobs}"
            words = [
                "study",
                str(here / "study.yaml"),
                "--data",
                f"{here / 'store'}@all",
                "--label",
                f"{here / 'store'}=sex",
            ]
            command = [sys.executable, "-m", "vesalius.cli", *words, "--out", str(out), "--jobs", str(jobs)]
            subprocess.run([*command, "--plan"], check=True, stdout=subprocess.DEVNULL)
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            seconds[jobs] = time.perf_counter() - start
            rows[jobs] = (out / "results.parquet").read_bytes()
    told = [
        {
            "jobs": jobs,
            "seconds": round(value, 1),
            "ratio": round(seconds[1] / value, 2),
            "same": "yes" if rows[jobs] == rows[1] else "NO",
        }
        for jobs, value in seconds.items()
    ]
    columns = {
        "arms at a time": "{jobs}",
        "s": "{seconds}",
        "times as fast": "{ratio}",
        "same results.parquet": "{same}",
    }
    write_results("study_jobs", "A study with several arms at a time", about, told, columns)


if __name__ == "__main__":
    main()
