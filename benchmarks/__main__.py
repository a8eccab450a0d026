"""Runs the benchmarks: one JSON object per line. `make bench ARGS="run extract"` runs some."""

import argparse
import gc

from benchmarks import caption, containers, decode, evaluate, extract, ingest, run, serve, storage, train

BENCHMARKS = {
    "run": run.cached_run,
    "ingest": ingest.over_pillow,
    "containers": containers.over_files,
    "coco": ingest.coco_memory,
    "extract": extract.extraction,
    "memory": extract.memory,
    "caption": caption.captioning_over_extraction,
    "evaluate": evaluate.metrics,
    "train": train.over_naive,
    "reading": train.reading,
    "decode": decode.decoding,
    "serve": serve.single_image,
    "storage": storage.over_disk,
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(BENCHMARKS)} (default: all)")
    names = parser.parse_args().names or list(BENCHMARKS)
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    gc.freeze()  # as `pipeline.local_run` does
    for name in names:
        for result in BENCHMARKS[name]():
            print(result.to_json(), flush=True)


if __name__ == "__main__":
    main()
