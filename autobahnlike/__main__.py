"""``python -m autobahnlike``."""

from autobahnlike.cli import main

if __name__ == "__main__":
    main()
