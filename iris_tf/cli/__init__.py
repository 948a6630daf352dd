"""Command line, one file per group of commands: each command parses, calls one function, prints."""


def main() -> None:
    """Run `iris-tf`."""
    from iris_tf.cli.surroundings import settle

    settle()
    from iris_tf.cli.app import main

    main()
