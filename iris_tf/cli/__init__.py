"""The command line, one file a group of verbs: parse, call one function, print."""


def main() -> None:
    """Run `iris-tf`."""
    from iris_tf.cli.app import main

    main()
