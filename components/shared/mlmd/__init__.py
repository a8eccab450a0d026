"""Queries of ML Metadata: the only place that knows how TFX records runs, models and their lineage.

`executions` has what one step read and wrote, `runs` what a run consists of, `results` the evaluation and the report of
a model, `pushes` its pushed versions, and `ancestry` everything that an artifact was made from. Import the module that
has the query: what a step imports is part of its code's identity.
"""
