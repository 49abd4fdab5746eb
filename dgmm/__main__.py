"""`python -m dgmm` is the command `dgmm`."""

from dgmm.cli import main

if __name__ == "__main__":
    main()
