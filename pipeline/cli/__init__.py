"""The command line `caption-pipeline`, one module per command.

A module of this package with two functions is a command of the module's name:

    add_parser(subparsers)    adds the command's parser, with its help
    run(args) -> int          carries it out; returns the exit status, or raises `pipeline.errors.UserError`

Nothing heavy is imported before `run`, so that `--help` answers at once.
"""
