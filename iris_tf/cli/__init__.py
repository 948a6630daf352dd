"""Command line, one file per group of commands: each command parses, calls one function, prints."""

INTERNAL_ERROR = 70
"""Exit status after an unexpected exception, with a traceback (EX_SOFTWARE of sysexits.h); 1 would
say that two images show different eyes."""


def main() -> None:
    """Run `iris-tf`."""
    try:
        from iris_tf.cli.surroundings import settle

        settle()
        from iris_tf.cli.app import main
    except Exception:  # of a damaged or incomplete installation
        import traceback

        traceback.print_exc()
        raise SystemExit(INTERNAL_ERROR) from None
    main()
