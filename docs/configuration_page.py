"""The page of all settings, docs/configuration.md, from the settings classes."""

import pathlib

from pipeline.setting_help import Row, sections

PAGE = pathlib.Path(__file__).parent / "configuration.md"
HEAD = """# Configuration

After reading this page you can set anything that the pipeline lets you set. `make docs` writes it from the settings
classes (`components/*/settings.py`, `components/shared/models/settings.py`, `pipeline/config.py`); do not edit it.

Settings are given in YAML files and on the command line; what neither names keeps its default:

```
caption-pipeline run --config my.yaml --config overlay.yaml --set trainer.epochs=3 trainer.model.num_heads=4
```

Later files override earlier ones, `--set` overrides both. The configs in `pipeline/configs`, which are installed with
the package, go by their names, as in `--config rsicd`. The value of a text setting is taken as it is, so that
`--set "data.dir=my data #2"` needs no further quotes; any other value is YAML. `null` stands for the default. An
unknown key is rejected, and the error names the nearest key; for a key of version 0.1 it names the replacement.
"""


def page() -> str:
    """The page in Markdown."""
    return "\n".join([HEAD, *(_table(title, about, rows) for title, about, rows in sections())])


def _table(title: str, about: str, rows: list[Row]) -> str:
    lines = [f"## {title}\n", f"{about}\n", "| key | default | values | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([*lines, *(row.to_markdown() for row in rows), ""])
