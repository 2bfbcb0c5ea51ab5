"""The program: the command line, which Ctrl-C may end before it is all imported."""

import sys

INTERRUPTED = 130  # as a shell says it of SIGINT


def main() -> None:
    """Run the command line."""
    try:
        from rlidim.cli import main as run
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    run()


if __name__ == "__main__":
    main()
