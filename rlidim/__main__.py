"""``python -m rlidim`` is the command line."""

from rlidim.cli import main

if __name__ == "__main__":
    main()
